use serde::Deserialize;

use super::*;
use crate::yaml::keys_of;

#[derive(Default, Deserialize)]
#[serde(default)]
struct Root {
    poll: Node<Poll>,
    probe: Node<Probe>,
    users: Node<BTreeMap<String, Node>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Poll {
    interval: Node,
    stale_after: Node,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Probe {
    interval: Node,
    down_after: Node,
    targets: Node,
}

/// Reads all keys, and returns the mistakes.
fn mistakes(text: &str) -> Vec<String> {
    let sections = vec![("poll", keys_of::<Poll>()), ("probe", keys_of::<Probe>())];
    let layout = Layout { sections, secrets: &[("token", "token_file")] };
    let (mut reader, root) = match SettingsReader::open::<Root>("a.yml", text, layout) {
        Ok(opened) => opened,
        Err(error) => return error.to_string().lines().map(str::to_owned).collect(),
    };
    // The order of the sections in the file is another one.
    let probe = reader.section("probe", root.probe);
    reader.many("probe.targets", &[], probe.targets);
    for (key, node) in [("probe.interval", probe.interval), ("probe.down_after", probe.down_after)] {
        let setting = reader.one((key, None, node));
        setting.and_then(|setting| reader.number(&setting, 1..=10));
    }
    let poll = reader.section("poll", root.poll);
    for (key, node) in [("poll.interval", poll.interval), ("poll.stale_after", poll.stale_after)] {
        let setting = reader.one((key, None, node));
        setting.and_then(|setting| reader.duration(&setting, Duration::from_secs(1)));
    }
    reader.pairs("users", root.users);
    reader.finish().map_or_else(|error| error.to_string().lines().map(str::to_owned).collect(), |()| Vec::new())
}

#[test]
fn all_mistakes_are_reported_in_the_order_of_the_file() {
    let text = "\
poll:
  intervall: 1m
  stale-after: 5m
  down_after: 3
  interval: soon
  interval: 1m
probe:
  interval: 20
  down_after: [1]
  targets: {a: b}
  token: x
users: none
everything: else
";
    assert_eq!(
        mistakes(text),
        [
            "a.yml: line 2: unknown key `poll.intervall`; did you mean `interval`?",
            "a.yml: line 3: unknown key `poll.stale-after`; use underscores: `stale_after`",
            "a.yml: line 4: unknown key `poll.down_after`; nest it under `probe`",
            "a.yml: line 5: `poll.interval` is `soon`: must be a duration such as 30s, 5m or 1h",
            "a.yml: line 6: key `poll.interval` is given twice",
            "a.yml: line 8: `probe.interval` is `20`: must be a whole number from 1 to 10",
            "a.yml: line 9: `probe.down_after` must be one value, not a list or a section",
            "a.yml: line 10: `probe.targets` must be a list or one value",
            "a.yml: line 11: `probe.token` must not be in this file: write the secret to a file of its own and set `token_file`",
            "a.yml: line 12: `users` must be a section: put its keys on the lines below it, indented",
            "a.yml: line 13: unknown key `everything`; expected one of `poll`, `probe`, `users`",
        ]
    );
}

#[test]
fn an_unknown_key_comes_with_a_suggestion() {
    for (text, suggestion) in [
        ("pol: {}", "did you mean `poll`?"),
        ("prboe: {}", "did you mean `probe`?"),
        ("interval: 1m", "nest it under `poll` or `probe`"),
        ("stale_after: 1m", "nest it under `poll`"),
        ("stale-after: 1m", "nest it under `poll`"),
        ("poll.stale_after: 1m", "nest `stale_after` under `poll`"),
        ("poll_stale_after: 1m", "nest `stale_after` under `poll`"),
        ("poll: {targets: []}", "nest it under `probe`"),
        ("poll: {intervals: 1m}", "did you mean `interval`?"),
        ("poll: {interval_s: 1m}", "did you mean `interval`?"),
        ("poll: {every: 1m}", "expected one of `interval`, `stale_after`"),
        ("poll: {x: 1m}", "expected one of `interval`, `stale_after`"),
    ] {
        let mistakes = mistakes(text);
        assert!(matches!(&mistakes[..], [one] if one.ends_with(suggestion)), "{text}: {mistakes:?}");
    }
}

#[test]
fn text_that_is_not_yaml_is_reported_alone() {
    assert!(matches!(&mistakes("poll: {\n")[..], [one] if one.starts_with("a.yml: line ")));
    assert_eq!(mistakes("- a\n"), ["a.yml: line 1: the file must begin with a key and a colon"]);
    assert_eq!(mistakes(""), [""; 0]);
}

#[test]
fn what_looks_like_a_secret_is_never_quoted() {
    const TOKENS: [&str; 4] =
        ["v1.0-hunter2hunter2hunter2", "hunter2hunter2hunter2", "hunter2.hunter2_hunter2-x", "aHVudGVyMmh1bnRlcjI="];
    for token in TOKENS {
        assert!(looks_like_secret(token));
        for template in
            ["poll: {interval: T}", "T: 1", "poll: {T: 1}", "users: {T: [1]}", "users: {T: 1, T: 2}", "poll: T"]
        {
            let mistakes = mistakes(&template.replace('T', token));
            assert!(matches!(&mistakes[..], [one] if !one.contains(token)), "{template}: {mistakes:?}");
        }
    }
    assert_eq!(
        mistakes("poll: {interval: v1.0-hunter2hunter23}"),
        ["a.yml: line 1: `poll.interval` (20 characters, not shown): must be a duration such as 30s, 5m or 1h"]
    );
    for text in ["/etc/Vb3xAq7Zk9dPwTnR2mLs", "\"Vb3xAq7Zk9dPwTnR2mLs\"", "https://noc:x@example.com/"] {
        assert!(looks_like_secret(text), "{text}");
    }
    for text in [
        "/etc/prometheus/magic-tunnel-exporter-v2/token-2026-11-21.txt",
        "magic-exporter-01.frankfurt-2.example.com:9847",
        "must be one of after-answer, always",
    ] {
        assert!(!looks_like_secret(text), "{text}");
    }
    for text in ["/etc/magic-tunnel-exporter/token", "https://api.cloudflare.com/client/v4", "tomorrow", "2001:db8::1"]
    {
        assert!(!looks_like_secret(text), "{text}");
    }
}

#[test]
fn a_rule_of_another_part_that_quotes_a_token_is_shown_without_it() {
    let (mut reader, _) = SettingsReader::open::<Root>("a.yml", "poll: {}", Layout::default()).unwrap();
    reader.report_at(3, "events.tunnel", "unknown tunnel `Vb3xAq7Zk_9dPw-TnR2mLs`; expected one of `fra`, `ams`");
    assert_eq!(
        reader.finish().unwrap_err().to_string(),
        "a.yml: line 3: `events.tunnel` unknown tunnel (22 characters, not shown); expected one of `fra`, `ams`"
    );
}

#[test]
fn flags_override_the_file_and_come_first() {
    let (mut reader, root) =
        SettingsReader::open::<Root>("a.yml", "poll: {interval: x}\nzzz: 1\n", Layout::default()).unwrap();
    let poll = reader.section("poll", root.poll);
    let setting = reader.one(("poll.interval", Some("y"), poll.interval)).unwrap();
    assert_eq!(
        (&*setting.name, setting.name_like_this("poll.stale_after").as_str()),
        ("--poll.interval", "--poll.stale-after")
    );
    reader.duration(&setting, Duration::ZERO);
    let error = reader.finish().unwrap_err();
    let first = error.mistakes()[0].to_string();
    assert_eq!((error.mistakes().len(), first.starts_with("`--poll.interval` is `y`: ")), (2, true), "{error}");
}
