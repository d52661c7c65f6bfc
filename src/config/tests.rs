mod file;

use std::fs;

use clap::Parser;

use super::*;
use crate::poller::CredentialSource;

#[derive(Debug, Parser)]
struct Line {
    #[command(flatten)]
    flags: Flags,
    #[command(flatten)]
    file: flags::FileFlags,
    #[command(flatten)]
    log: flags::LogFlags,
    #[command(flatten)]
    sandbox: flags::SandboxFlags,
}

const ACCOUNT: &str = "--cloudflare.account-id=c4a7362d577a6c3019a474fd6f485821";

fn token(name: &str) -> Option<String> {
    (name == "CLOUDFLARE_API_TOKEN").then(|| "token\n".to_owned())
}

/// The environment of one test.
trait Variables: Fn(&str) -> Option<String> + Send + Sync + 'static {}
impl<T: Fn(&str) -> Option<String> + Send + Sync + 'static> Variables for T {}

fn line(arguments: &[&str], environment: impl Variables) -> Result<(Line, Inputs), String> {
    let line = Line::try_parse_from(["test"].iter().chain(arguments)).map_err(|error| error.to_string())?;
    let (file, log) = (line.file.clone(), line.log.clone());
    Ok((line, Inputs { file, log, environment: Arc::new(environment), secrets: Arc::default() }))
}

fn config(arguments: &[&str], environment: impl Variables) -> Result<Config, String> {
    let (line, inputs) = line(arguments, environment)?;
    Config::for_serve(&line.flags, &inputs).map_err(|error| error.to_string())
}

#[test]
fn an_account_and_a_token_are_enough() {
    let config = config(&[ACCOUNT], token).unwrap();
    assert_eq!(config.poll.interval, Duration::from_mins(1));
    assert_eq!(config.poll.stale_after, Duration::from_mins(5));
    assert_eq!(config.poll.timeout, Duration::from_secs(10));
    assert_eq!(config.accounts[0].url.to_string(), "https://api.cloudflare.com/client/v4");
    assert_eq!(config.web.telemetry_path, "/metrics");
    assert_eq!(config.web.listen, [":9847".parse().unwrap()]);
    assert!(matches!(config.accounts[..], [_]));
}

#[test]
fn the_path_of_the_metrics_is_one_that_every_client_can_request() {
    for path in ["/m", "/metrics/", "/probe/metrics_1.0~a-b"] {
        let config = config(&[ACCOUNT, &format!("--web.telemetry-path={path}")], token).unwrap();
        assert_eq!(config.web.telemetry_path, path);
    }
    for path in [
        "",
        "*",
        "/metrics#a",
        "/metrics?a",
        "//metrics",
        "/a//b",
        "/a/../metrics",
        "/./metrics",
        "/metrics/..",
        "/m%65trics",
        "/metrics;a",
        "/métrics",
        "/{metrics}",
        "/a\\b",
        "/metrics\t",
        "metrics",
        "/",
        "/-/healthy",
        "/-/metrics",
        "/api/v1/tunnels",
        "/api/metrics",
        "/tunnels/x",
        "/runbooks",
        "/assets/x",
        "/a b",
    ] {
        let rule = "must be a path such as /metrics: it starts with `/`, has only letters, digits and `/-._~`, \
             no `//`, `.` or `..` segment, and is not another page";
        let error = config(&[ACCOUNT, &format!("--web.telemetry-path={path}")], token).unwrap_err();
        assert_eq!(error, format!("`--web.telemetry-path` is `{}`: {rule}", path.trim_end_matches('\t')));
    }
}

#[test]
fn a_wrong_value_is_reported_with_name_value_and_rule() {
    let table = [
        ("--poll.interval=5x", "`--poll.interval` is `5x`: must be a duration such as 30s, 5m or 1h"),
        ("--poll.interval=1ms", "`--poll.interval` is `1ms`: must be between 200ms and 24h"),
        ("--poll.interval=2d", "`--poll.interval` is `2d`: must be between 200ms and 24h"),
        ("--poll.timeout=0s", "`--poll.timeout` is `0s`: must be between 100ms and 24h"),
        ("--poll.stale-after=30s", "`--poll.stale-after` is `30s`: must be longer than `--poll.interval` (1m)"),
        (
            "--web.listen-address=9847",
            "`--web.listen-address` is `9847`: must be `:port`, `host:port` or `[ipv6]:port`, with a port from 0 to 65535",
        ),
        (
            "--cloudflare.api-url=http://api.cloudflare.com",
            "`--cloudflare.api-url` is `http://api.cloudflare.com`: must use https; http would expose the token and \
             is allowed on loopback addresses only",
        ),
        (
            "--cloudflare.api-url=https://u:hunter2@api.cloudflare.com",
            "`--cloudflare.api-url` must not contain a user, a password, a query or a fragment",
        ),
        (
            "--cloudflare.account-id=../x",
            "`--cloudflare.account-id` (4 characters, not shown): must be an account id: at most 32 letters and digits, as the \
             URL of the dashboard shows it",
        ),
        ("--log.level=loud", "`--log.level` is `loud`: must be one of trace, debug, info, warn, error"),
        ("--log.format=xml", "`--log.format` is `xml`: must be one of logfmt, json"),
    ];
    for (argument, sentence) in table {
        assert_eq!(config(&[ACCOUNT, argument], token).unwrap_err(), sentence);
    }
}

#[test]
fn a_missing_account_or_token_is_reported_with_both_ways_to_set_it_and_the_demo() {
    let no_account = config(&[], token).unwrap_err();
    let no_token = config(&[ACCOUNT], |_: &str| None).unwrap_err();
    for (sentence, ways) in [
        (no_account, ["--cloudflare.account-id", "CLOUDFLARE_ACCOUNT_ID"]),
        (no_token, ["--cloudflare.api-token-file", "CLOUDFLARE_API_TOKEN"]),
    ] {
        assert!(ways.iter().all(|way| sentence.contains(way)) && sentence.contains("demo"), "{sentence}");
    }
}

#[test]
fn an_api_key_needs_an_email_address() {
    fn key_only(name: &str) -> Option<String> {
        (name == "CLOUDFLARE_API_KEY").then(|| "hunter2".to_owned())
    }
    let sentence = config(&[ACCOUNT], key_only).unwrap_err();
    assert_eq!(
        sentence,
        "`CLOUDFLARE_EMAIL` is missing: an API key needs the e-mail address of its user; set it, or `cloudflare.email` in the file"
    );
    let both =
        |name: &str| key_only(name).or_else(|| (name == "CLOUDFLARE_EMAIL").then(|| "noc@example.com".to_owned()));
    let config = config(&[ACCOUNT], both).unwrap();
    assert!(matches!(config.accounts[0].account.credentials, CredentialSource::Key { .. }));
    assert!(!format!("{config:?}").contains("hunter2"));
}

#[test]
fn a_token_file_overrides_the_environment_and_its_line_break_is_removed() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let flag = format!("--cloudflare.api-token-file={}", file.path().display());
    let sentence = config(&[ACCOUNT, &flag], token).unwrap_err();
    assert!(sentence.ends_with("must hold a secret: the file is empty"), "{sentence}");
    fs::write(file.path(), "from-file\n").unwrap();
    assert!(config(&[ACCOUNT, &flag], token).is_ok());
    fs::write(file.path(), "two\nlines\n").unwrap();
    let sentence = config(&[ACCOUNT, &flag], token).unwrap_err();
    assert!(sentence.contains("line break") && !sentence.contains("two"), "{sentence}");
    let sentence = config(&[ACCOUNT, "--cloudflare.api-token-file=/does/not/exist"], token).unwrap_err();
    assert!(sentence.contains("/does/not/exist") && sentence.contains("must be a readable file"), "{sentence}");
}

#[test]
fn accounts_are_listed_once_each() {
    let config = config(&["--cloudflare.account-id=a,b", "--cloudflare.account-id=a"], token).unwrap();
    let names: Vec<&str> = config.accounts.iter().map(|account| account.account.name.as_str()).collect();
    assert_eq!(names, ["a", "b"]);
}

#[test]
fn probing_is_off_by_default() {
    let silent = config(&[ACCOUNT], token).unwrap().probe;
    assert_eq!(silent, ProbeSettings::default());
    for (argument, on) in [("--probe", true), ("--probe=true", true), ("--probe=false", false)] {
        assert_eq!(config(&[ACCOUNT, argument], token).unwrap().probe.enabled, on, "{argument}");
    }
}

#[test]
fn every_probe_flag_reaches_the_prober() {
    use crate::domain::probe::{ProbeEngine, ProbeTarget, Silence, SocketMode, Vantage};
    let arguments = [
        ACCOUNT,
        "--probe",
        "--probe.interval=500ms",
        "--probe.down-after=5",
        "--probe.up-after=1",
        "--probe.targets=interface_peer,customer_endpoint",
        "--probe.source=192.0.2.1,2001:db8::1",
        "--probe.interface=gre1",
        "--probe.engine=client",
        "--probe.socket=raw",
        "--probe.dscp=46",
        "--probe.vantage=remote",
        "--probe.uplink=192.0.2.9",
        "--probe.uplink=192.0.2.10",
        "--probe.silence=always",
        "--probe.rtt-buckets=1ms,10ms",
    ];
    let probe = config(&arguments, token).unwrap().probe;
    assert_eq!(probe.session.timing.interval(), Duration::from_millis(500));
    assert_eq!(probe.session.timing.timeout(), Duration::from_millis(500), "no longer than the interval");
    assert_eq!((probe.session.thresholds.down_after.get(), probe.session.thresholds.up_after.get()), (5, 1));
    let targets = [ProbeTarget::CustomerEndpoint, ProbeTarget::InterfacePeer];
    assert_eq!(probe.tunnels.targets, targets.into());
    assert_eq!(probe.tunnels.sources.v4, "192.0.2.1".parse().ok());
    assert_eq!(probe.tunnels.sources.v6, "2001:db8::1".parse().ok());
    assert_eq!(probe.tunnels.interface.as_deref(), Some("gre1"));
    assert_eq!((probe.engine, probe.socket, probe.dscp), (ProbeEngine::Client, SocketMode::Raw, 46));
    assert_eq!(probe.silence, Silence::Always);
    assert_eq!((probe.tunnels.vantage, probe.uplinks.len()), (Vantage::Remote, 2));
    assert_eq!(probe.buckets.bounds().len(), 2);
}

#[test]
fn the_path_mtu_is_configured_by_flags() {
    use crate::prober::mtu::MtuSettings;
    let flags = ["--probe.mtu", "--probe.mtu.interval=10s", "--probe.mtu.expected=1436", "--probe.mtu.floor=1000"];
    let probe = config(&[&[ACCOUNT], &flags[..]].concat(), token).unwrap().probe;
    assert_eq!(probe.mtu, MtuSettings { enabled: true, interval: Duration::from_secs(10), floor: 1_000 });
    assert_eq!((probe.tunnels.mtu, probe.tunnels.expected_mtu), (true, Some(1_436)));
    let engine = config(&[ACCOUNT, "--probe.mtu", "--probe.engine=client"], token).unwrap_err();
    let expected = "`--probe.mtu` is `true`: needs `--probe.engine` to be auto or batch, because the engine `client` lets \
                    the kernel fragment packets";
    assert_eq!(engine, expected);
}

#[test]
fn a_wrong_probe_flag_is_reported_too() {
    let table = [
        ("--probe.dscp=64", "`--probe.dscp` is `64`: must be a whole number from 0 to 63"),
        ("--probe.mtu=perhaps", "`--probe.mtu` is `perhaps`: must be true or false"),
        ("--probe.mtu.interval=2h", "`--probe.mtu.interval` is `2h`: must be at most 1h"),
        ("--probe.mtu.expected=64", "`--probe.mtu.expected` is `64`: must be a whole number from 128 to 1500"),
        ("--probe.mtu.floor=1501", "`--probe.mtu.floor` is `1501`: must be a whole number from 128 to 1500"),
        ("--probe=perhaps", "`--probe` is `perhaps`: must be true or false"),
        ("--probe.interval=10ms", "`--probe.interval` is `10ms`: must be between 100ms and 24h"),
        ("--probe.timeout=5s", "`--probe.timeout` is `5s`: must not be longer than `--probe.interval` (1s)"),
        ("--probe.down-after=0", "`--probe.down-after` is `0`: must be a whole number from 1 to 1000"),
        ("--probe.up-after=many", "`--probe.up-after` is `many`: must be a whole number from 1 to 1000"),
        (
            "--probe.targets=everything",
            "`--probe.targets` is `everything`: must be one of customer_endpoint, interface_address, interface_address6, \
             interface_peer, interface_peer6, health_check_target",
        ),
        ("--probe.source=eth0", "`--probe.source` is `eth0`: invalid IP address syntax"),
        (
            "--probe.source=192.0.2.1,192.0.2.2",
            "`--probe.source` is `192.0.2.1,192.0.2.2`: must be given once for IPv4 and once for IPv6 at most",
        ),
        (
            "--probe.interface=a/b",
            "`--probe.interface` is `a/b`: must be the name of a network interface: at most 15 characters, without blanks and `/`",
        ),
        ("--probe.engine=fast", "`--probe.engine` is `fast`: must be one of auto, batch, client"),
        ("--probe.socket=udp", "`--probe.socket` is `udp`: must be one of auto, dgram, raw"),
        ("--probe.vantage=moon", "`--probe.vantage` is `moon`: must be one of site, remote"),
        ("--probe.uplink=example.com", "`--probe.uplink` is `example.com`: invalid IP address syntax"),
        ("--probe.silence=never", "`--probe.silence` is `never`: must be one of after-answer, always"),
        ("--probe.rtt-buckets=2s,1s", "`--probe.rtt-buckets` is `2s,1s`: buckets must be above zero and ascending"),
    ];
    for (argument, sentence) in table {
        assert_eq!(config(&[ACCOUNT, argument], token).unwrap_err(), sentence);
    }
}

fn sandbox(arguments: &[&str], environment: impl Variables) -> Result<SandboxConfig, String> {
    let (line, inputs) = line(arguments, environment)?;
    SandboxConfig::load(&line.sandbox, "127.0.0.1:9848", &inputs).map_err(|error| error.to_string())
}

/// A file in a folder of its own, and the flag that names it.
fn flag_with_file(flag: &str, text: &str) -> (tempfile::NamedTempFile, String) {
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), text).unwrap();
    let flag = format!("{flag}={}", file.path().display());
    (file, flag)
}

#[test]
fn a_sandbox_needs_no_flags() {
    let config = sandbox(&[], |_: &str| None).unwrap();
    assert_eq!(config.listen, "127.0.0.1:9848".parse().unwrap());
    assert!(config.settings.token.is_none() && !config.settings.strict);
    assert_eq!(config.settings.tunnels, 0);
    assert_eq!(config.settings.story.accounts().map(|(name, _)| name).collect::<Vec<_>>(), ["demo"]);
    assert_eq!(config.settings.faults.count(), 0);
}

#[test]
fn every_sandbox_flag_reaches_the_sandbox() {
    use secrecy::ExposeSecret as _;
    let (_story, story) = flag_with_file("--sandbox.story", "accounts:\n  - name: lab\n  - name: office\n");
    let (_faults, faults) = flag_with_file("--sandbox.faults", "faults:\n  - {fault: silence}\n  - {fault: reset}\n");
    let (_token, token) = flag_with_file("--sandbox.token-file", "from-file\n");
    let expires = "--sandbox.token-expires=10d";
    let arguments = ["--sandbox.strict", "--sandbox.tunnels=10000", &story, &faults, &token, expires];
    let variable = |name: &str| (name == "MTE_SANDBOX_TOKEN").then(|| "from-variable".to_owned());
    let settings = sandbox(&arguments, variable).unwrap().settings;
    assert!(settings.strict);
    assert_eq!(settings.tunnels, 10_000);
    assert_eq!(settings.story.accounts().map(|(name, _)| name).collect::<Vec<_>>(), ["lab", "office"]);
    assert_eq!(settings.faults.count(), 2);
    assert_eq!(settings.token_expiry, "10d".parse().ok());
    assert_eq!(settings.token.as_ref().unwrap().expose_secret(), "from-file");
    assert!(!format!("{settings:?}").contains("from-file"));
    let settings = sandbox(&["--sandbox.strict=false"], variable).unwrap().settings;
    assert_eq!(settings.token.unwrap().expose_secret(), "from-variable");
    assert!(!settings.strict);
}

#[test]
fn a_wrong_sandbox_flag_is_reported_too() {
    let table = [
        ("--sandbox.strict=perhaps", "`--sandbox.strict` is `perhaps`: must be true or false"),
        ("--sandbox.tunnels=many", "`--sandbox.tunnels` is `many`: must be a whole number from 0 to 100000"),
        ("--sandbox.tunnels=100001", "`--sandbox.tunnels` is `100001`: must be a whole number from 0 to 100000"),
        (
            "--sandbox.token-expires=soon",
            "`--sandbox.token-expires` is `soon`: must be an RFC 3339 time or a duration, for example 10d",
        ),
        ("--sandbox.tunnels=-1", "`--sandbox.tunnels` is `-1`: must be a whole number from 0 to 100000"),
        (
            "--sandbox.listen-address=9848",
            "`--sandbox.listen-address` is `9848`: must be `:port`, `host:port` or `[ipv6]:port`, with a port from 0 to 65535",
        ),
    ];
    for (argument, sentence) in table {
        assert_eq!(sandbox(&[argument], |_: &str| None).unwrap_err(), sentence);
    }
    let secret = |name: &str| (name == "MTE_SANDBOX_TOKEN").then(|| "hunter2\nhunter2".to_owned());
    let sentence = sandbox(&[], secret).unwrap_err();
    assert!(
        sentence.starts_with("`MTE_SANDBOX_TOKEN` cannot be used: ") && !sentence.contains("hunter2"),
        "{sentence}"
    );
}

#[test]
fn a_sandbox_that_other_machines_can_reach_needs_a_token() {
    for address in [":9848", "0.0.0.0:9848", "[::]:9848", "192.0.2.1:9848", "sandbox.example:9848"] {
        let flag = format!("--sandbox.listen-address={address}");
        let rule = "needs a token, because other machines can connect: set `--sandbox.token-file` or MTE_SANDBOX_TOKEN, \
            or listen on 127.0.0.1";
        let sentence = format!("`--sandbox.listen-address` is `{address}`: {rule}");
        assert_eq!(sandbox(&[&flag], |_: &str| None).unwrap_err(), sentence);
        let variable = |name: &str| (name == "MTE_SANDBOX_TOKEN").then(|| "from-variable".to_owned());
        assert!(sandbox(&[&flag], variable).unwrap().settings.token.is_some(), "{address}");
        let (_token, token) = flag_with_file("--sandbox.token-file", "from-file\n");
        assert!(sandbox(&[&flag, &token], |_: &str| None).unwrap().settings.token.is_some(), "{address}");
    }
    for address in ["127.0.0.1:9848", "127.1.2.3:0", "[::1]:9848", "[::ffff:127.0.0.1]:9848", "localhost:9848"] {
        let flag = format!("--sandbox.listen-address={address}");
        assert!(sandbox(&[&flag], |_: &str| None).is_ok(), "{address}");
    }
}

#[test]
fn a_wrong_sandbox_file_is_named_with_its_line() {
    let table = [
        ("--sandbox.token-file", "\n", "must hold a secret: the file is empty"),
        ("--sandbox.story", "accounts:\n  - name: a\n    color: red\n", ": line 3: "),
        ("--sandbox.story", "", ": line 1: "),
        ("--sandbox.faults", "faults:\n  - {fault: earthquake}\n", ": line 2: "),
    ];
    for (flag, text, rule) in table {
        let (file, argument) = flag_with_file(flag, text);
        let sentence = sandbox(&[&argument], |_: &str| None).unwrap_err();
        let path = file.path().display().to_string();
        assert!(sentence.starts_with(&format!("`{flag}` ")), "{sentence}");
        assert!(sentence.contains(&path) && sentence.contains(rule) && !sentence.contains('\n'), "{sentence}");
        let missing = format!("{flag}=/does/not/exist");
        let sentence = sandbox(&[&missing], |_: &str| None).unwrap_err();
        assert!(sentence.contains("/does/not/exist") && sentence.contains("must be a readable file"), "{sentence}");
    }
}

#[test]
fn the_state_directory_is_set_by_flag_file_or_service_manager() {
    let location = |directory: &str, required| Some(StateLocation { directory: directory.into(), required });
    let with = |arguments: &[&str], created: &'static str| {
        let environment = move |name: &str| match name {
            "STATE_DIRECTORY" => Some(created.to_owned()),
            _ => token(name),
        };
        config(&[&[ACCOUNT], arguments].concat(), environment).unwrap().state
    };
    assert_eq!(with(&[], ""), None);
    assert_eq!(with(&[], "/var/lib/a:/var/lib/b"), location("/var/lib/a", false));
    assert_eq!(with(&["--state.directory=/srv/state"], "/var/lib/a"), location("/srv/state", true));
    assert_eq!(with(&["--state.directory="], "/var/lib/a"), None, "an empty text means none");
}
