//! The exporter shows no secret that it is configured with or receives: in no log line of any level, page or error
//! message.

use std::{fs, path::Path, process::Command};

use serde_json::{Value, json};

use crate::support::{
    SOON,
    api::{self, Answer, Api, by_collection},
    exporter::{ACCOUNT, Ended, Exporter, TOKEN, program, run, token_file},
    http,
    tunnels::{all_is_well, envelope, gre, gre_list, ipsec, with},
};

/// The secrets. None of them is part of another word, so that each occurrence is found.
const MD5_KEY: &str = "s3cr3t-md5-key-4c11";
const FQDN: &str = "s3cr3t-fqdn.ipsec.example";
const HEX_ID: &str = "5ec8e7c0ffee5ec8e7c0ffee";
const USER_ID: &str = "s3cr3t-user@example.net";
const KEY: &str = "s3cr3t-global-key-91aa";
const LICENCE: &str = "s3cr3t-licence-key-07";

const SECRETS: [&str; 7] = [TOKEN, MD5_KEY, FQDN, HEX_ID, USER_ID, KEY, LICENCE];

fn tunnel_with_secrets(name: &str) -> Value {
    let tunnel = with(ipsec(name), "/bgp/md5_key", json!(MD5_KEY));
    let tunnel = with(tunnel, "/custom_remote_identities", json!({ "fqdn_id": FQDN }));
    let tunnel = with(tunnel, "/remote_identities", json!({ "hex_id": HEX_ID, "fqdn_id": FQDN, "user_id": USER_ID }));
    with(tunnel, "/license_key", json!(LICENCE))
}

/// Answers with secrets in places that parsers and error messages might quote.
fn indiscreet_answers() -> Vec<Answer> {
    let tunnel = tunnel_with_secrets("ipsec-1");
    let whole = envelope("ipsec_tunnels", std::slice::from_ref(&tunnel));
    let cut_after = |text: &str| whole[..whole.find(text).expect("the secret is in the body") + text.len()].to_owned();
    let quoting = json!({
        "result": null, "success": false, "messages": [],
        "errors": [{ "code": 6003, "message": format!("Bearer {TOKEN} with {MD5_KEY} for {FQDN}") }],
    });
    let wrong_types = [
        with(tunnel.clone(), "/bgp/md5_key", json!({ "key": MD5_KEY })),
        with(tunnel.clone(), "/bgp/md5_key", json!([MD5_KEY])),
        with(tunnel.clone(), "/custom_remote_identities", json!(FQDN)),
        with(tunnel.clone(), "/bgp", json!(MD5_KEY)),
        with(tunnel.clone(), "/id", json!(null)),
        with(tunnel.clone(), "/name", json!([USER_ID])),
        json!(MD5_KEY),
    ];
    vec![
        api::json("200 OK", &whole),
        api::json("200 OK", envelope("ipsec_tunnels", &wrong_types)),
        api::json("200 OK", cut_after(MD5_KEY)),
        api::json("200 OK", cut_after(FQDN)),
        api::json("200 OK", whole.replace("\"success\":true", &format!("\"success\":\"{MD5_KEY}\""))),
        api::json("200 OK", format!("{MD5_KEY} {whole}")),
        api::json("200 OK", quoting.to_string()),
        api::json("400 Bad Request", quoting.to_string()),
        api::json("500 Internal Server Error", quoting.to_string()),
        api::answer("302 Found", &format!("Location: https://{MD5_KEY}.example/?token={TOKEN}\r\n"), ""),
        api::answer(&format!("500 {MD5_KEY}"), &format!("X-Echo: {TOKEN}\r\n"), &whole),
    ]
}

/// All pages of a running exporter.
pub(crate) fn everything_shown(exporter: &Exporter) -> String {
    let mut shown = String::new();
    for path in ["/metrics", "/", "/-/healthy", "/-/ready", "/nowhere", "/api/v1/tunnels", "/api/v1/targets"] {
        for accept in ["application/openmetrics-text;version=1.0.0", "text/plain;version=0.0.4"] {
            let reply = http::request(exporter.address, "GET", path, &[("Accept", accept)]).expect("an answer");
            shown.push_str(&reply.text());
        }
    }
    shown
}

fn assert_discreet(what: &str, text: &str) {
    for secret in SECRETS {
        if let Some(line) = text.lines().find(|line| line.contains(secret)) {
            panic!("{what} shows the secret {secret}:\n{line}");
        }
    }
}

/// An exporter at log level trace.
fn exporter(format: &str, api: &Api, credentials: impl FnOnce(&mut Command)) -> Exporter {
    let mut command = program();
    command
        .args(["serve", "--poll.interval=1s", "--poll.timeout=3s", "--log.level=trace"])
        .args(["--cloudflare.account-id", ACCOUNT])
        .arg(format!("--log.format={format}"))
        .arg(format!("--cloudflare.api-url=http://{}/client/v4", api.address));
    credentials(&mut command);
    Exporter::start(&mut command)
}

/// The pages after one poll, and the log up to the end of the exporter.
fn shown_and_said(mut exporter: Exporter) -> String {
    exporter.await_page("a poll that ended", SOON, |page| {
        page.value("api_request_duration_seconds_count", &[("collection", "ipsec_tunnels")])
            .filter(|&count| count > 0.0)
    });
    let shown = everything_shown(&exporter);
    exporter.process.signal("TERM");
    let Ended { stdout, stderr, .. } = exporter.process.ended(SOON);
    let said = format!("{stdout}{stderr}");
    assert!(said.contains(ACCOUNT) && said.lines().count() >= 3, "a log is expected:\n{said}");
    format!("{shown}\n{said}")
}

fn token_from(file: &Path) -> impl FnOnce(&mut Command) {
    move |command| {
        command.arg("--cloudflare.api-token-file").arg(file);
    }
}

#[test]
fn a_tunnel_with_secrets_is_shown_without_them() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for format in ["logfmt", "json"] {
        let answer = api::json("200 OK", envelope("ipsec_tunnels", &[tunnel_with_secrets("ipsec-1")]));
        let api = Api::start(by_collection(answer, gre_list(&[gre("gre-1")])));
        let directory = folder.path().join(format);
        let mut exporter = exporter(format, &api, |command| {
            command.arg("--state.directory").arg(&directory);
            token_from(&token_file(&folder))(command);
        });
        exporter.await_page("the tunnel", SOON, |page| {
            page.all("tunnel_info", &[("tunnel_name", "ipsec-1")]).pop().cloned()
        });
        let page = exporter.samples();
        let identity = page.value("tunnel_custom_identity", &[("tunnel_name", "ipsec-1")]);
        assert_eq!(identity, Some(1.0), "the page shows that there is an identity, but not its value");
        let info = page.all("tunnel_bgp_info", &[("tunnel_name", "ipsec-1")]);
        assert_eq!(info[0].labels["md5"], "true", "the page shows that there is a key, but not its value");
        assert_discreet(format, &shown_and_said(exporter));
        let stored = fs::read_to_string(directory.join("state.json")).expect("written at the end");
        assert!(stored.contains("\"healthy\""), "{stored}");
        assert_discreet("the state file", &stored);
    }
}

#[test]
fn secrets_in_wrong_answers_are_not_shown() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for format in ["logfmt", "json"] {
        for (n, answer) in indiscreet_answers().into_iter().enumerate() {
            let api = Api::start(by_collection(answer, gre_list(&[gre("gre-1")])));
            let exporter = exporter(format, &api, token_from(&token_file(&folder)));
            assert_discreet(&format!("answer {n} in {format}"), &shown_and_said(exporter));
        }
    }
}

#[test]
fn credentials_from_the_environment_are_not_shown() {
    let api = Api::start(all_is_well());
    let token = exporter("logfmt", &api, |command| {
        command.env("CLOUDFLARE_API_TOKEN", TOKEN);
    });
    assert_discreet("a token", &shown_and_said(token));
    let pair = exporter("logfmt", &api, |command| {
        command.env("CLOUDFLARE_EMAIL", USER_ID).env("CLOUDFLARE_API_KEY", KEY);
    });
    assert_discreet("a key", &shown_and_said(pair));
}

#[test]
fn a_refused_configuration_does_not_repeat_its_secrets() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let broken = folder.path().join("broken");
    std::fs::write(&broken, format!("{TOKEN}\n{KEY}\u{1}\n")).expect("a file");
    let mut two_lines = program();
    token_from(&broken)(&mut two_lines);
    let mut not_ascii = program();
    not_ascii.env("CLOUDFLARE_API_TOKEN", format!("{TOKEN}\u{7}"));
    let mut in_the_url = program();
    in_the_url.env("CLOUDFLARE_API_TOKEN", TOKEN).arg(format!("--cloudflare.api-url=https://user:{KEY}@127.0.0.1/"));
    let mut as_a_flag = program();
    as_a_flag.arg(format!("--cloudflare.api-token={TOKEN}"));
    for mut command in [two_lines, not_ascii, in_the_url, as_a_flag] {
        let ended = run(command.args(["--cloudflare.account-id", ACCOUNT, "--log.level=trace"]));
        assert_eq!(ended.status.code(), Some(64), "{ended:?}");
        assert_discreet("a refusal", &format!("{}{}", ended.stdout, ended.stderr));
    }
}

/// A secret in the wrong place of a configuration file is shown neither at the start nor at a reload.
#[test]
fn a_configuration_file_with_secrets_in_it_does_not_show_them() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    token_file(&folder);
    let file = folder.path().join("mte.yml");
    let good = format!("accounts: [{{id: {ACCOUNT}, api_token_file: token}}]\n");
    let bad = [
        format!("accounts: [{{id: {ACCOUNT}, api_token: {TOKEN}}}]\n"),
        format!("accounts: [{{id: {ACCOUNT}, api_token_file: {TOKEN}0123456789}}]\n"),
        format!("cloudflare: {{api_key: {KEY}}}\n{good}"),
        format!("{good}poll: {{interval: \"{KEY}\n"),
        format!("{good}*{KEY}\n"),
        format!("accounts: [{{id: {ACCOUNT}, api_token_file: token, api_url: 'https://u:{KEY}@127.0.0.1'}}]\n"),
    ];
    for text in &bad {
        std::fs::write(&file, text).expect("a file");
        let ended = run(program().arg("--log.level=trace").arg("--config.file").arg(&file));
        assert_eq!(ended.status.code(), Some(64), "{text}: {ended:?}");
        assert_discreet(text, &format!("{}{}", ended.stdout, ended.stderr).replace(text, ""));
    }
    let api = Api::start(all_is_well());
    std::fs::write(&file, &good).expect("a file");
    let running = exporter("logfmt", &api, |command| {
        command.arg("--web.enable-lifecycle").arg("--config.file").arg(&file);
        command.arg("--cloudflare.api-token-file").arg(folder.path().join("token"));
    });
    let mut answers = String::new();
    for text in bad.iter().chain([&good]) {
        std::fs::write(&file, text).expect("a file");
        // The file is checked although the flag overrides its accounts.
        answers += &http::request(running.address, "POST", "/-/reload", &[]).expect("an answer").text();
    }
    assert_discreet("an answer", &answers);
    assert_discreet("reloads", &shown_and_said(running));
}

/// The check itself finds a secret.
#[test]
#[should_panic(expected = "shows the secret")]
fn a_leak_would_be_found() {
    assert_discreet("a line", &format!("level=trace headers={{authorization: Bearer {TOKEN}}}"));
}
