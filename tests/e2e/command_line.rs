//! Wrong and missing settings: one line that names the setting, and an exit code.

use std::{net::TcpListener, process::Command};

use crate::support::{
    exporter::{ACCOUNT, program, run, token_file},
    free_address,
    tools::tool,
};

/// The exit code of a wrong configuration (`EX_USAGE` of sysexits.h).
const USAGE: i32 = 64;

#[test]
fn version_names_version_and_revision() {
    let ended = run(program().arg("--version"));
    assert_eq!(ended.status.code(), Some(0), "{ended:?}");
    assert!(ended.stdout.contains(env!("CARGO_PKG_VERSION")), "{ended:?}");
    assert!(ended.stdout.contains("revision"), "{ended:?}");
    assert!(ended.stdout.contains("\ncompiler: rustc ") && ended.stdout.contains("\ntarget: "), "{ended:?}");
}

#[test]
fn the_short_help_fits_one_screen_and_the_long_one_shows_no_values_of_variables() {
    let help = |flag: &str| run(program().env("MTE_STATE_DIRECTORY", "/hunter2").args(["serve", flag])).stdout;
    let (short, long) = (help("-h"), help("--help"));
    assert!(short.lines().count() <= 50, "{short}");
    assert!(long.lines().count() > 100 && long.contains("[env: MTE_STATE_DIRECTORY]"), "{long}");
    assert!(!short.contains("hunter2") && !long.contains("hunter2"), "{long}");
}

#[test]
fn help_lists_the_commands_and_exits_with_0() {
    let ended = run(program().arg("--help"));
    assert_eq!(ended.status.code(), Some(0), "{ended:?}");
    for word in ["demo", "sandbox", "serve"] {
        assert!(ended.stdout.contains(word), "no `{word}` in {}", ended.stdout);
    }
}

#[test]
fn bash_completes_the_values_of_closed_lists() {
    let Some(bash) = tool("bash") else { return };
    let script = run(program().args(["completions", "bash"])).stdout;
    for (flag, typed, expected) in [
        ("--log.level", "", "trace debug info warn error"),
        ("--verdict", "path_", "path_mismatch"),
        ("--output", "", "table json"),
    ] {
        let complete = format!(
            "{script}\nCOMP_WORDS=(magic-tunnel-exporter tunnels {flag} '{typed}') COMP_CWORD=3\n\
             _magic__tunnel__exporter magic-tunnel-exporter '{typed}' {flag}\necho \"${{COMPREPLY[*]}}\""
        );
        let ended = run(Command::new(&bash).args(["-c", &complete]));
        assert_eq!(ended.stdout.trim(), expected, "{flag} {typed}: {}", ended.stderr);
    }
}

#[test]
fn a_wrong_value_is_reported_with_its_key_and_the_rule() {
    let table: [(&[&str], &[&str]); 9] = [
        (&["--poll.interval=banana"], &["poll.interval", "banana"]),
        (&["--poll.interval=0s"], &["poll.interval", "0s"]),
        (&["--poll.timeout=-1s"], &["poll.timeout", "-1s"]),
        (&["--poll.stale-after=1ms"], &["poll.stale-after", "1ms"]),
        (&["--web.listen-address=nonsense"], &["web.listen-address", "nonsense"]),
        (&["--cloudflare.api-url=http://192.0.2.1/client/v4"], &["cloudflare.api-url", "192.0.2.1", "https"]),
        (&["--cloudflare.api-url=ftp://127.0.0.1"], &["cloudflare.api-url", "ftp"]),
        (&["--log.level=loud"], &["log.level", "loud"]),
        (&["--log.format=xml"], &["log.format", "xml"]),
    ];
    for (flags, words) in table {
        let mut command = program();
        command.env("CLOUDFLARE_API_TOKEN", "x").env("CLOUDFLARE_ACCOUNT_ID", ACCOUNT).args(flags);
        let ended = run(&mut command);
        assert_eq!(ended.status.code(), Some(USAGE), "{flags:?}: {ended:?}");
        for word in words {
            assert!(ended.stderr.contains(word), "{flags:?}: no `{word}` in {}", ended.stderr);
        }
        assert!(ended.stderr.trim().lines().count() <= 3, "{flags:?} gets a sentence, not a page: {}", ended.stderr);
        assert!(!ended.stderr.contains("panicked"), "{}", ended.stderr);
    }
}

#[test]
fn a_wrong_value_for_the_sandbox_is_reported_before_anything_starts() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let story = folder.path().join("story.yml");
    std::fs::write(&story, "accounts:\n  - name: lab\n    tunnels: [{name: lost}]\n").expect("a file");
    let wrong_story = format!("--sandbox.story={}", story.display());
    let table: [(&str, &[&str]); 4] = [
        ("--sandbox.tunnels=many", &["sandbox.tunnels", "many", "whole number"]),
        ("--sandbox.strict=perhaps", &["sandbox.strict", "perhaps", "true or false"]),
        ("--sandbox.token-file=/nowhere", &["sandbox.token-file", "/nowhere", "readable file"]),
        (&wrong_story, &["sandbox.story", "line 3", "tunnels.type: is required"]),
    ];
    for command in ["sandbox", "demo"] {
        for (flag, words) in table {
            let ended = run(program().args([command, flag]));
            assert_eq!(ended.status.code(), Some(USAGE), "{command} {flag}: {ended:?}");
            for word in words {
                assert!(ended.stderr.contains(word), "{command} {flag}: no `{word}` in {}", ended.stderr);
            }
            assert_eq!(ended.stderr.trim().lines().count(), 1, "{command} {flag}: {}", ended.stderr);
        }
    }
}

#[test]
fn an_unknown_flag_or_command_is_refused() {
    for (arg, shown) in [("--no.such-flag", "--no.such-flag"), ("dance", "5 characters, not shown")] {
        let ended = run(program().arg(arg));
        assert_eq!(ended.status.code(), Some(USAGE), "{arg}: {ended:?}");
        assert!(ended.stderr.contains(shown), "{arg}: {}", ended.stderr);
    }
}

#[test]
fn without_token_or_account_the_message_names_flags_variables_and_the_demo() {
    let mut without_token = program();
    without_token.env("CLOUDFLARE_ACCOUNT_ID", ACCOUNT);
    let mut without_account = program();
    without_account.env("CLOUDFLARE_API_TOKEN", "x");
    let table: [(_, &[&str]); 3] = [
        (without_token, &["CLOUDFLARE_API_TOKEN", "--cloudflare.api-token-file", "demo"]),
        (without_account, &["CLOUDFLARE_ACCOUNT_ID", "--cloudflare.account-id", "demo"]),
        (program(), &["demo"]),
    ];
    for (mut command, words) in table {
        let ended = run(&mut command);
        assert_eq!(ended.status.code(), Some(USAGE), "{command:?}: {ended:?}");
        for word in words {
            assert!(ended.stderr.contains(word), "{command:?}: no `{word}` in {}", ended.stderr);
        }
    }
}

#[test]
fn a_token_file_that_is_missing_or_empty_is_named() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let missing = folder.path().join("nowhere");
    let empty = folder.path().join("empty");
    std::fs::write(&empty, "\n").expect("a file");
    for file in [missing, empty] {
        let file = file.to_str().expect("a UTF-8 path");
        let ended =
            run(program().args(["serve", "--cloudflare.account-id", ACCOUNT, "--cloudflare.api-token-file", file]));
        assert_eq!(ended.status.code(), Some(USAGE), "{file}: {ended:?}");
        assert!(ended.stderr.contains(file), "{file}: {}", ended.stderr);
    }
}

#[test]
fn a_port_in_use_is_reported_in_one_line_with_exit_code_1() {
    let taken = TcpListener::bind(free_address()).expect("a listener");
    let address = taken.local_addr().expect("its address").to_string();
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut serve = program();
    serve
        .args(["serve", "--cloudflare.account-id", ACCOUNT, "--cloudflare.api-url=http://127.0.0.1:1/client/v4"])
        .arg("--cloudflare.api-token-file")
        .arg(token_file(&folder))
        .arg(format!("--web.listen-address={address}"));
    let mut demo = program();
    demo.args([
        "demo",
        &format!("--web.listen-address={address}"),
        &format!("--sandbox.listen-address={}", free_address()),
    ]);
    let mut demo_sandbox = program();
    demo_sandbox.args([
        "demo",
        &format!("--web.listen-address={}", free_address()),
        &format!("--sandbox.listen-address={address}"),
    ]);
    let mut sandbox = program();
    sandbox.args(["sandbox", &format!("--sandbox.listen-address={address}")]);
    for mut command in [serve, demo, demo_sandbox, sandbox] {
        let ended = run(&mut command);
        assert_eq!(ended.status.code(), Some(1), "{command:?}: {ended:?}");
        let sentences: Vec<&str> = ended.stderr.lines().filter(|line| line.contains(&address)).collect();
        assert_eq!(sentences.len(), 1, "{command:?}: one line names the address: {}", ended.stderr);
        assert!(sentences[0].to_lowercase().contains("in use"), "{command:?}: {}", ended.stderr);
        assert!(!ended.stderr.contains("panicked"), "{}", ended.stderr);
    }
}

/// Each source has a wrong value. The error names the source that is used.
#[test]
fn flags_override_the_environment_which_overrides_the_file() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("mte.yml");
    let table = [
        ("web", "listen_address", "--web.listen-address", "MTE_WEB_LISTEN_ADDRESS"),
        ("web", "telemetry_path", "--web.telemetry-path", "MTE_WEB_TELEMETRY_PATH"),
        ("web", "enable_lifecycle", "--web.enable-lifecycle", "MTE_WEB_ENABLE_LIFECYCLE"),
        ("web", "alertmanager_url", "--web.alertmanager-url", "MTE_WEB_ALERTMANAGER_URL"),
        ("poll", "interval", "--poll.interval", "MTE_POLL_INTERVAL"),
        ("poll", "timeout", "--poll.timeout", "MTE_POLL_TIMEOUT"),
        ("poll", "stale_after", "--poll.stale-after", "MTE_POLL_STALE_AFTER"),
        ("probe", "enabled", "--probe", "MTE_PROBE"),
        ("probe", "interval", "--probe.interval", "MTE_PROBE_INTERVAL"),
        ("probe", "timeout", "--probe.timeout", "MTE_PROBE_TIMEOUT"),
        ("probe", "down_after", "--probe.down-after", "MTE_PROBE_DOWN_AFTER"),
        ("probe", "up_after", "--probe.up-after", "MTE_PROBE_UP_AFTER"),
        ("probe", "targets", "--probe.targets", "MTE_PROBE_TARGETS"),
        ("probe", "source", "--probe.source", "MTE_PROBE_SOURCE"),
        ("probe", "interface", "--probe.interface", "MTE_PROBE_INTERFACE"),
        ("probe", "socket", "--probe.socket", "MTE_PROBE_SOCKET"),
        ("probe", "vantage", "--probe.vantage", "MTE_PROBE_VANTAGE"),
        ("probe", "uplink", "--probe.uplink", "MTE_PROBE_UPLINK"),
        ("probe", "silence", "--probe.silence", "MTE_PROBE_SILENCE"),
        ("probe", "rtt_buckets", "--probe.rtt-buckets", "MTE_PROBE_RTT_BUCKETS"),
        ("log", "level", "--log.level", "MTE_LOG_LEVEL"),
        ("log", "format", "--log.format", "MTE_LOG_FORMAT"),
        ("cloudflare", "api_url", "--cloudflare.api-url", "CLOUDFLARE_API_URL"),
        ("cloudflare", "api_token_file", "--cloudflare.api-token-file", "CLOUDFLARE_API_TOKEN_FILE"),
        ("cloudflare", "api_key_file", "--cloudflare.api-key-file", "CLOUDFLARE_API_KEY_FILE"),
    ];
    for (section, key, flag, variable) in table {
        std::fs::write(&file, format!("{section}: {{{key}: /by/the/file/}}\n")).expect("a file");
        let complaint = |with: &[&str]| {
            let mut command = program();
            command.arg("serve").env("MTE_CONFIG_FILE", &file).env("CLOUDFLARE_ACCOUNT_ID", ACCOUNT);
            command.env("CLOUDFLARE_EMAIL", "noc@example.com");
            if !key.ends_with("_file") {
                command.env("CLOUDFLARE_API_TOKEN", "x");
            }
            if with.contains(&"environment") {
                command.env(variable, "/by/variable/?");
            }
            if with.contains(&"flag") {
                command.arg(format!("{flag}=/by/flag/?"));
            }
            let ended = run(&mut command);
            assert_eq!(ended.status.code(), Some(USAGE), "{flag} {with:?}: {ended:?}");
            ended.stderr
        };
        if key != "telemetry_path" {
            let said = complaint(&[]);
            assert!(said.contains(&format!("line 1: `{section}.{key}` is `/by/the/file/`")), "{said}");
        }
        let said = complaint(&["environment"]);
        assert!(said.contains(&format!("`{flag}` is `/by/variable/?`")), "{said}");
        let said = complaint(&["environment", "flag"]);
        assert!(said.contains(&format!("`{flag}` is `/by/flag/?`")), "{said}");
    }
}
