use clap::Parser;

use super::*;

#[derive(Debug, Parser)]
struct Line {
    #[command(flatten)]
    flags: Flags,
    #[command(flatten)]
    log: LogFlags,
}

const ACCOUNT: &str = "--cloudflare.account-id=c4a7362d577a6c3019a474fd6f485821";

fn token(name: &str) -> Option<String> {
    (name == "CLOUDFLARE_API_TOKEN").then(|| "token\n".to_owned())
}

fn config(arguments: &[&str], environment: Environment<'_>) -> Result<Config, String> {
    let line = Line::try_parse_from(["test"].iter().chain(arguments)).map_err(|error| error.to_string())?;
    Log::from_flags(&line.log).map_err(|error| error.to_string())?;
    Config::for_serve(&line.flags, environment).map_err(|error| error.to_string())
}

#[test]
fn an_account_and_a_token_are_enough() {
    let config = config(&[ACCOUNT], &token).unwrap();
    assert_eq!(config.poll.interval, Duration::from_mins(1));
    assert_eq!(config.poll.stale_after, Duration::from_mins(5));
    assert_eq!(config.api.timeout, Duration::from_secs(10));
    assert_eq!(config.api.url.to_string(), "https://api.cloudflare.com/client/v4");
    assert_eq!(config.web.telemetry_path, "/metrics");
    assert_eq!(config.web.listen, [":9847".parse().unwrap()]);
    assert!(matches!(config.accounts[..], [_]));
}

#[test]
fn a_wrong_value_is_one_sentence_with_key_value_and_rule() {
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
            "--web.telemetry-path=metrics",
            "`--web.telemetry-path` is `metrics`: must be a path such as /metrics: it begins with `/`, and is neither `/` nor below `/-/`",
        ),
        (
            "--cloudflare.api-url=http://api.cloudflare.com",
            "`--cloudflare.api-url` is `http://api.cloudflare.com`: must use https: plain http is allowed on loopback only, \
             for it would show the token to the network",
        ),
        (
            "--cloudflare.api-url=https://u:hunter2@api.cloudflare.com",
            "`--cloudflare.api-url` must not hold a user, a password, a query or a fragment",
        ),
        (
            "--cloudflare.account-id=../x",
            "`--cloudflare.account-id` is `../x`: must be an account id: at most 32 letters and digits, as the dashboard's address shows it",
        ),
        ("--log.level=loud", "`--log.level` is `loud`: must be one of trace, debug, info, warn, error"),
        ("--log.format=xml", "`--log.format` is `xml`: must be one of logfmt, json"),
    ];
    for (argument, sentence) in table {
        assert_eq!(config(&[ACCOUNT, argument], &token).unwrap_err(), sentence);
    }
}

#[test]
fn what_is_missing_is_said_with_both_ways_to_give_it_and_the_demo() {
    let no_account = config(&[], &token).unwrap_err();
    let no_token = config(&[ACCOUNT], &|_| None).unwrap_err();
    for (sentence, ways) in [
        (no_account, ["--cloudflare.account-id", "CLOUDFLARE_ACCOUNT_ID"]),
        (no_token, ["--cloudflare.api-token-file", "CLOUDFLARE_API_TOKEN"]),
    ] {
        assert!(ways.iter().all(|way| sentence.contains(way)) && sentence.contains("demo"), "{sentence}");
    }
}

#[test]
fn the_older_pair_needs_both_halves() {
    let key_only = |name: &str| (name == "CLOUDFLARE_API_KEY").then(|| "hunter2".to_owned());
    let sentence = config(&[ACCOUNT], &key_only).unwrap_err();
    assert_eq!(sentence, "`CLOUDFLARE_EMAIL` is missing: an API key needs the e-mail address of its user");
    let both =
        |name: &str| key_only(name).or_else(|| (name == "CLOUDFLARE_EMAIL").then(|| "noc@example.com".to_owned()));
    let config = config(&[ACCOUNT], &both).unwrap();
    assert!(matches!(config.accounts[0].credentials, Credentials::Key { .. }));
    assert!(!format!("{config:?}").contains("hunter2"));
}

#[test]
fn a_token_file_beats_the_environment_and_loses_its_line_break() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let flag = format!("--cloudflare.api-token-file={}", file.path().display());
    let sentence = config(&[ACCOUNT, &flag], &token).unwrap_err();
    assert!(sentence.ends_with("must hold a secret: the file is empty"), "{sentence}");
    fs::write(file.path(), "from-file\n").unwrap();
    assert!(config(&[ACCOUNT, &flag], &token).is_ok());
    fs::write(file.path(), "two\nlines\n").unwrap();
    let sentence = config(&[ACCOUNT, &flag], &token).unwrap_err();
    assert!(sentence.contains("line break") && !sentence.contains("two"), "{sentence}");
    let sentence = config(&[ACCOUNT, "--cloudflare.api-token-file=/does/not/exist"], &token).unwrap_err();
    assert!(sentence.contains("/does/not/exist") && sentence.contains("must be a readable file"), "{sentence}");
}

#[test]
fn accounts_are_listed_once_each() {
    let config = config(&["--cloudflare.account-id=a,b", "--cloudflare.account-id=a"], &token).unwrap();
    let names: Vec<&str> = config.accounts.iter().map(|account| account.name.as_str()).collect();
    assert_eq!(names, ["a", "b"]);
}
