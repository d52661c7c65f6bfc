//! `check`: the preflight, with a sandbox where everything works and with an API where little does.

use std::{fs, net::TcpListener, os::unix::fs::PermissionsExt as _, path::Path, sync::Arc};

use serde_json::{Value, json};

use crate::{
    sandbox::Sandbox,
    support::{
        api::{self, Answer, Api},
        exporter::{ACCOUNT, Ended, Exporter, TOKEN, program, run, token_file},
        free_address,
        tunnels::{gre, gre_list},
    },
    web_config::authority::Authority,
};

/// A folder with a token file that only its owner can read.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a temporary folder");
    fs::set_permissions(token_file(&folder), fs::Permissions::from_mode(0o600)).expect("a file of our own");
    folder
}

fn check(api: impl std::fmt::Display, account: &str, folder: &Path, flags: &[&str]) -> Ended {
    let mut command = program();
    command.args([
        "check",
        &format!("--cloudflare.api-url=http://{api}/client/v4"),
        "--cloudflare.account-id",
        account,
    ]);
    command.arg("--cloudflare.api-token-file").arg(folder.join("token"));
    let ended = run(command.arg(format!("--web.listen-address={}", free_address())).args(flags));
    let said = format!("{}{}", ended.stdout, ended.stderr);
    assert!(!said.contains(TOKEN), "the output contains the token:\n{said}");
    ended
}

/// Whether a line has this level and contains all of these words.
fn says(ended: &Ended, level: &str, words: &[&str]) -> bool {
    let fits = |line: &str| line.starts_with(level) && words.iter().all(|word| line.contains(word));
    ended.stdout.lines().any(fits)
}

#[test]
fn if_everything_works_every_line_is_ok() {
    let (sandbox, folder) = (Sandbox::start(), folder());
    let ended = check(sandbox.address, &sandbox.account, folder.path(), &[]);
    assert_eq!((ended.status.code(), &*ended.stderr), (Some(0), ""), "{}", ended.stdout);
    // The story of the demo has a route with a wrong next hop.
    let is_route = |line: &str| line.contains("routes can be read: 9 routes") && line.starts_with("warn ");
    assert_eq!(ended.stdout.lines().filter(|line| is_route(line)).count(), 1, "{}", ended.stdout);
    assert!(ended.stdout.lines().all(|line| line.starts_with("ok ") || is_route(line)), "{}", ended.stdout);
    for words in [
        &["configuration", "1 account"][..],
        &["secret", "token` can be read"],
        &["token of", "active"],
        &["clock", "clock is"],
        &["permission", "gre_tunnels can be read: 4 tunnels"],
        &["permission", "ipsec_tunnels can be read: 4 tunnels"],
        &["icmp", "probing is off"],
        &["state", "no directory is set"],
        &["listen", "is free"],
        &["web", "without TLS"],
    ] {
        assert!(says(&ended, "ok", words), "no line with {words:?}:\n{}", ended.stdout);
    }
    let columns: Vec<Option<usize>> = ended.stdout.lines().map(|line| line.rfind("  ")).collect();
    assert!(columns.iter().all(|column| *column == columns[0]), "not aligned:\n{}", ended.stdout);
}

/// An API with a clock years behind, where the token belongs to the account and may read one list only.
fn reluctant(expires_on: &'static str) -> Answer {
    let years_ago = "Date: Sat, 21 Nov 2020 10:00:00 GMT\r\nContent-Type: application/json\r\n";
    let refused = |code: u32| json!({"success": false, "errors": [{"code": code, "message": "no"}], "messages": [], "result": null});
    let known = json!({
        "success": true, "errors": [], "messages": [{"code": 10000, "message": "This API Token is valid and active"}],
        "result": {"id": "x", "status": "active", "expires_on": expires_on},
    });
    let of_user = api::answer("401 Unauthorized", years_ago, refused(1000).to_string());
    let of_account = api::answer("200 OK", years_ago, known.to_string());
    let forbidden = api::answer("403 Forbidden", years_ago, refused(10000).to_string());
    let list = gre_list(&[gre("gre-1")]);
    Arc::new(move |request, wire| match request.line.as_str() {
        line if line.contains("/user/tokens/verify") => of_user(request, wire),
        line if line.contains(&format!("/accounts/{ACCOUNT}/tokens/verify")) => of_account(request, wire),
        line if line.contains("/ipsec_tunnels") => forbidden(request, wire),
        _ => list(request, wire),
    })
}

#[test]
fn a_missing_permission_of_the_token_is_named() {
    let folder = folder();
    let api = Api::start(reluctant("2020-01-01T00:00:00Z"));
    let ended = check(api.address, ACCOUNT, folder.path(), &[]);
    assert_eq!(ended.status.code(), Some(1), "{}", ended.stdout);
    assert!(
        says(&ended, "FAIL", &["token of", "expired at 2020-01-01T00:00:00Z", "create a new token"]),
        "{}",
        ended.stdout
    );
    let permission = ["ipsec_tunnels cannot be read", "403", "10000", "needs `Magic WAN Read` or `Magic Transit Read`"];
    assert!(says(&ended, "FAIL", &permission), "{}", ended.stdout);
    assert!(says(&ended, "ok", &["gre_tunnels can be read: 1 tunnel"]), "{}", ended.stdout);
    assert!(says(&ended, "warn", &["clock", "ahead of the API", "NTP"]), "{}", ended.stdout);
    assert_eq!(api.requests().len(), 6, "each request is sent once: {:?}", api.requests());
}

#[test]
fn a_token_of_the_account_is_accepted_like_one_of_a_user() {
    let folder = folder();
    let api = Api::start(reluctant("2199-01-01T00:00:00Z"));
    let ended = check(api.address, ACCOUNT, folder.path(), &[]);
    assert!(says(&ended, "ok", &["token of", "active, expires at 2199-01-01T00:00:00Z"]), "{}", ended.stdout);
}

#[test]
fn each_problem_of_the_machine_is_reported_with_a_fix() {
    let (sandbox, folder) = (Sandbox::start(), folder());
    let taken = TcpListener::bind(free_address()).expect("a listener");
    let taken = taken.local_addr().expect("its address").to_string();
    let authority = Authority::new();
    let expired = authority.signs_until(&["exporter.example"], 2020);
    fs::write(folder.path().join("server.crt"), &expired.certificate).expect("a file");
    fs::write(folder.path().join("server.key"), &expired.key).expect("a file");
    for name in ["token", "server.key"] {
        let readable = fs::Permissions::from_mode(0o644);
        fs::set_permissions(folder.path().join(name), readable).expect("a file of our own");
    }
    let web = folder.path().join("web.yml");
    fs::write(&web, "tls_server_config: {cert_file: server.crt, key_file: server.key}\n").expect("a file");
    let web = format!("--web.config.file={}", web.display());
    let listen = format!("--web.listen-address={taken}");
    let state = "--state.directory=/proc/self";
    let flags = ["--probe", "--probe.interface=nowhere0", &web, &listen, state];
    let ended = check(sandbox.address, &sandbox.account, folder.path(), &flags);
    assert_eq!(ended.status.code(), Some(1), "{}", ended.stdout);
    for (level, words) in [
        ("FAIL", &["icmp", "ICMPv4", "nowhere0", "--probe.interface"][..]),
        ("FAIL", &["state", "`/proc/self` cannot be written to", "can write to"]),
        ("FAIL", &["listen", &taken, "in use", "--web.listen-address"]),
        ("ok", &["listen", "is free"]),
        ("FAIL", &["web", "certificate expired at 2020-01-01T00:00:00Z", "renew"]),
        ("warn", &["secret", "every user of this machine", "chmod o-r"]),
        ("warn", &["web", "key_file", "every user of this machine"]),
    ] {
        assert!(says(&ended, level, words), "no {level} with {words:?}:\n{}", ended.stdout);
    }
}

#[test]
fn offline_only_files_are_tested_and_nothing_is_requested() {
    let folder = folder();
    let api = Api::start(reluctant("2199-01-01T00:00:00Z"));
    let taken = TcpListener::bind(free_address()).expect("a listener");
    let listen = format!("--web.listen-address={}", taken.local_addr().expect("its address"));
    let flags = ["--offline", "--probe", "--probe.interface=nowhere0", "--state.directory=/proc/self", &listen];
    let ended = check(api.address, ACCOUNT, folder.path(), &flags);
    assert_eq!((ended.status.code(), api.requests().len()), (Some(0), 0), "{}", ended.stdout);
    let subjects: Vec<_> = ended.stdout.lines().map(|line| line.split_whitespace().nth(1)).collect();
    assert_eq!(subjects, [Some("configuration"), Some("secret"), Some("web")], "{}", ended.stdout);
    assert!(says(&ended, "ok", &["configuration", "1 account; offline"]), "{}", ended.stdout);
    let wrong = check(api.address, ACCOUNT, folder.path(), &["--offline", "--poll.interval=soon"]);
    assert_eq!(wrong.status.code(), Some(64), "{wrong:?}");
}

#[test]
fn an_exporter_that_runs_already_is_recognized_on_its_own_port() {
    let (sandbox, folder) = (Sandbox::start(), folder());
    let own = Authority::new().signs(&["exporter.example"]);
    let hash = bcrypt::hash("password", 4).expect("a hash");
    for (name, content) in [
        ("server.crt", own.certificate.as_str()),
        ("server.key", &own.key),
        ("tls.yml", "tls_server_config: {cert_file: server.crt, key_file: server.key}\n"),
        ("users.yml", &format!("basic_auth_users: {{ada: '{hash}'}}\n")),
        ("none.yml", ""),
    ] {
        fs::write(folder.path().join(name), content).expect("a file");
    }
    for web in ["none.yml", "users.yml", "tls.yml"] {
        let mut serve = program();
        serve.args(["serve", "--cloudflare.account-id", &sandbox.account, "--cloudflare.api-token-file"]);
        serve.arg(folder.path().join("token")).arg("--web.config.file").arg(folder.path().join(web));
        let running = Exporter::launch(serve.arg(format!("--cloudflare.api-url=http://{}/client/v4", sandbox.address)));
        let address = running.address.to_string();
        let listen = format!("--web.listen-address={address}");
        let ended = check(sandbox.address, &sandbox.account, folder.path(), &[&listen]);
        let words = ["listen", &address, "this exporter is running here"];
        assert!(says(&ended, "ok", &words), "{web}: {}", ended.stdout);
    }
}

#[test]
fn patterns_that_leave_out_every_tunnel_are_a_warning() {
    let (sandbox, folder) = (Sandbox::start(), folder());
    let file = folder.path().join("mte.yml");
    fs::write(&file, "tunnels: {include: [tokyo-*, '*-gre-1'], exclude: ['*']}\n").expect("a file");
    let file = format!("--config.file={}", file.display());
    let ended = check(sandbox.address, &sandbox.account, folder.path(), &[&file]);
    assert!(says(&ended, "warn", &["every tunnel is left out", "select 0 of 9"]), "{}", ended.stdout);
    assert!(says(&ended, "warn", &["a pattern of `tunnels.include` matches no tunnel"]), "{}", ended.stdout);
    assert_eq!(ended.status.code(), Some(0), "{}", ended.stdout);
}

#[test]
fn json_contains_the_same_findings() {
    let (sandbox, folder) = (Sandbox::start(), folder());
    for (account, ok) in [(sandbox.account.as_str(), true), ("0000000000000000000000000000beef", false)] {
        let ended = check(sandbox.address, account, folder.path(), &["--output=json"]);
        let answer: Value = serde_json::from_str(&ended.stdout).expect("JSON");
        assert_eq!((answer["ok"].as_bool(), ended.status.success()), (Some(ok), ok), "{answer}");
        let findings = answer["findings"].as_array().expect("a list");
        let is_addition = |finding: &&Value| {
            let message = finding["message"].as_str().expect("a message");
            ["routes", "cf_interconnects"].iter().any(|dataset| message.starts_with(dataset))
        };
        let permissions = findings.iter().filter(|finding| finding["subject"] == "permission");
        let permissions = permissions.filter(|finding| !is_addition(finding));
        let level = if ok { "ok" } else { "fail" };
        assert!(
            permissions.clone().count() == 2
                && permissions.clone().all(|f| f["level"] == level && f["account"] == account),
            "{answer}"
        );
    }
}

#[test]
fn a_wrong_configuration_is_reported_in_one_line() {
    let ended = run(program()
        .args(["check", "--poll.interval=soon", "--cloudflare.account-id", "a"])
        .env("CLOUDFLARE_API_TOKEN", "t"));
    assert_eq!(ended.status.code(), Some(64), "{ended:?}");
    assert!(ended.stdout.is_empty() && ended.stderr.contains("`--poll.interval` is `soon`"), "{ended:?}");
}
