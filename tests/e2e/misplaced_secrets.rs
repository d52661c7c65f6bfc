//! A secret in the wrong place: as any flag, variable, argument, key or value. No message repeats it.

use std::{
    path::Path,
    process::Command,
    sync::atomic::{AtomicUsize, Ordering},
    thread,
};

use crate::support::exporter::{ACCOUNT, program};

/// An API token, a token with a prefix, a global API key and an origin CA key, all of them random.
const SECRETS: [&str; 4] = [
    "Vb3xAq7Zk_9dPw-TnR2mLs8YhJ4cF6gQoE1uXiB0",
    "cfut_a8Kd0Lq2Wza7Kd1Lq3Wzb8Ke0Mq2Xza8Kd0Lp2Vzb1c2d3e4",
    "c2547eb745079dac9320b638f5e225cf483cc",
    "v1.0-9f8e7d6c5b4a39281706f5e4-7d0c1b9a3f5e2846d1c0b9a87f6e5d4c3b2a1908f7e6d5c4b3a2918070f6e5d4c3b2a190",
];

/// What a mistake makes of a secret.
fn forms(secret: &str) -> [String; 7] {
    [
        secret.to_owned(),
        format!("{secret}\n"),
        format!("\"{secret}\""),
        format!("Bearer {secret}"),
        format!("/etc/{secret}.txt"),
        format!("{secret}:9847"),
        format!("https://user:{secret}@localhost/"),
    ]
}

/// The program with settings that let it fail at once: an API that nothing serves.
fn command(arguments: &[&str]) -> Command {
    let mut command = program();
    command.args(arguments).envs([
        ("CLOUDFLARE_API_URL", "http://127.0.0.1:9"),
        ("MTE_POLL_TIMEOUT", "100ms"),
        ("MTE_WEB_LISTEN_ADDRESS", "127.0.0.1:0"),
        ("MTE_LOG_LEVEL", "trace"),
    ]);
    command
}

/// Runs all commands, several at a time. Panics if the output of one contains its secret, or half of it.
fn assert_discreet(cases: &[(&str, Command)]) {
    let next = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while let Some((secret, command)) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
                    assert_output_discreet(secret, command);
                }
            });
        }
    });
}

fn assert_output_discreet(secret: &str, command: &Command) {
    let mut copy = Command::new(command.get_program());
    copy.env_clear().args(command.get_args());
    copy.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let output = copy.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    assert!(!said.contains(&secret[..secret.len() / 2]), "{command:?}:\n{said}");
    assert!(!said.contains(&secret[secret.len() / 2..]), "{command:?}:\n{said}");
    assert!(!said.contains("panicked"), "{command:?}:\n{said}");
}

/// The flags and the variables of a command, and an argument with which it ends at once.
fn settings(name: &'static str) -> (Vec<String>, Vec<String>, Option<&'static str>) {
    let help = program().args([name, "--help"]).output().expect("the program").stdout;
    let help = String::from_utf8(help).expect("text");
    let words = |before: &str| -> Vec<String> {
        let ends = |c: char| !(c.is_ascii_alphanumeric() || ".-_".contains(c));
        help.split(before).skip(1).filter_map(|rest| rest.split(ends).next().map(str::to_owned)).collect()
    };
    let ends = match name {
        "serve" => Some("--poll.timeout=banana"),
        "demo" | "sandbox" => Some("--sandbox.tunnels=banana"),
        _ => None,
    };
    let (mut flags, mut variables) = (words("  --"), words("[env: "));
    flags.extend(words(", --"));
    flags.retain(|flag| !["help", "version"].contains(&flag.as_str()));
    variables.extend(["CLOUDFLARE_API_KEY", "CLOUDFLARE_EMAIL", "CREDENTIALS_DIRECTORY"].map(str::to_owned));
    assert!(!flags.is_empty() && variables.len() > 3, "{name}: {flags:?} {variables:?}");
    (flags, variables, ends)
}

/// A command with an account and a token. They can be missing if the case sets others.
fn with_account(arguments: &[&str], without_token: bool) -> Command {
    let mut command = command(arguments);
    command.env("CLOUDFLARE_ACCOUNT_ID", ACCOUNT);
    if !without_token {
        command.env("CLOUDFLARE_API_TOKEN", "x");
    }
    command
}

/// The cases of one command: the text as each flag, variable and argument.
fn cases_of(name: &'static str, secret: &'static str, text: &str) -> Vec<(&'static str, Command)> {
    let (flags, variables, ends) = settings(name);
    let line: Vec<&str> = [name].into_iter().chain(ends).collect();
    let by_flag = flags.iter().map(|flag| with_account(&[&line[..], &[&format!("--{flag}={text}")]].concat(), false));
    let by_variable = variables.iter().map(|variable| {
        let mut command = with_account(&line, variable.contains("KEY") || variable.contains("CREDENTIALS"));
        command.env(variable, text);
        command
    });
    let arguments = [text.to_owned(), format!("--{text}"), format!("-{text}"), format!("--{text}=1")];
    let by_argument = arguments.iter().map(|argument| with_account(&[name, argument], false));
    by_flag.chain(by_variable).chain(by_argument).map(|command| (secret, command)).collect()
}

#[test]
fn no_flag_variable_or_argument_repeats_a_secret() {
    let mut cases: Vec<_> = SECRETS.iter().flat_map(|secret| cases_of("check", secret, secret)).collect();
    for form in &forms(SECRETS[0])[1..] {
        cases.extend(cases_of("check", SECRETS[0], form));
    }
    // The other commands read the same settings in the same way.
    for (n, name) in ["serve", "tunnels", "demo", "sandbox", "healthcheck"].into_iter().enumerate() {
        let secret = SECRETS[n % SECRETS.len()];
        cases.extend(cases_of(name, secret, secret));
    }
    assert!(cases.len() > 500, "{} cases", cases.len());
    assert_discreet(&cases);
}

/// The account id where the token belongs, and the token where the account id belongs.
#[test]
fn a_token_that_was_swapped_with_the_account_is_not_shown() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let id = folder.path().join("id");
    std::fs::write(&id, ACCOUNT).expect("a file");
    let mut cases = Vec::new();
    for secret in SECRETS {
        for name in ["serve", "check", "tunnels"] {
            let mut by_variable = command(&[name]);
            by_variable.env("CLOUDFLARE_ACCOUNT_ID", secret).env("CLOUDFLARE_API_TOKEN", ACCOUNT);
            let mut by_file = command(&[name, "--cloudflare.account-id", secret]);
            by_file.arg("--cloudflare.api-token-file").arg(&id);
            cases.extend([(secret, by_variable), (secret, by_file)]);
        }
    }
    for (_, command) in &mut cases {
        assert_eq!(command.output().expect("the program").status.code(), Some(64), "{command:?}");
    }
    assert_discreet(&cases);
}

/// The cases of one file: a secret in place of the value, the key or the whole of each of its lines.
fn cases_of_file(lines: &[&str], folder: &Path, command: impl Fn(&Path) -> Command) -> Vec<(&'static str, Command)> {
    let mut cases = Vec::new();
    for (number, line) in lines.iter().enumerate() {
        let (key, _) = line.split_once(':').expect("a key");
        let indent = &key[..key.len() - key.trim_start_matches([' ', '-']).len()];
        let secret = SECRETS[number % SECRETS.len()];
        let variants = [
            format!("{key}: {secret}"),
            format!("{key}: '/etc/{secret}'"),
            format!("{key}: [{secret}, {secret}]"),
            format!("{key}: {{{secret}: {secret}}}"),
            format!("{indent}{secret}: 1"),
            format!("{indent}{secret}"),
            format!("{key}: *{secret}"),
            format!("{key}: \"{secret}"),
        ];
        for (v, variant) in variants.iter().enumerate() {
            let text = [&lines[..number], &[variant], &lines[number + 1..]].concat().join("\n");
            let file = folder.join(format!("{number}-{v}.yml"));
            std::fs::write(&file, text).expect("a file");
            cases.push((secret, command(&file)));
        }
    }
    cases
}

/// The lines of the example that are settings, those behind a `#` included. Nothing serves its addresses.
fn example_lines() -> Vec<String> {
    let example = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/config.example.yml")).expect("a file");
    let example = example.replace("https://api.cloudflare.com", "http://127.0.0.1:9");
    let example = example.replace("https://hub.example:9847", "https://127.0.0.1:9");
    let is_example = |line: &str| line.starts_with('#') && (!line.starts_with("# ") || line.starts_with("#  "));
    let bare = example.lines().map(|line| if is_example(line) { &line[1..] } else { line });
    bare.filter(|line| !line.trim_start().starts_with('#') && line.contains(':')).map(str::to_owned).collect()
}

/// The lines without these keys and what is below them.
fn without<'a>(lines: &'a [String], keys: &[&str]) -> Vec<&'a str> {
    let mut dropped = None;
    let is_kept = |line: &&str| {
        let text = line.trim_start();
        let indent = line.len() - text.len();
        if dropped.is_none_or(|key| indent <= key) {
            dropped = keys.iter().any(|key| text.starts_with(&format!("{key}:"))).then_some(indent);
        }
        dropped.is_none()
    };
    lines.iter().map(String::as_str).filter(is_kept).collect()
}

/// An exporter has accounts, an agent has an inventory with one kind of credentials; more would be an error.
#[test]
fn no_key_or_value_of_the_configuration_file_repeats_a_secret() {
    let example = example_lines();
    let of_exporters = ["accounts", "cloudflare", "edge", "fleet"];
    let [password, token] = ["bearer_token_file", "basic_auth"].map(|other| [&of_exporters[..], &[other]].concat());
    for others in [vec!["inventory"], password, token] {
        let folder = tempfile::tempdir().expect("a temporary folder");
        for name in ["acme-token", "globex-key", "token", "key", "hub-password", "hub-token"] {
            std::fs::write(folder.path().join(name), "x").expect("a file");
        }
        let cases = cases_of_file(&without(&example, &others), folder.path(), |file| {
            let mut command = command(&["check", "--poll.timeout=100ms"]);
            command.env_remove("CLOUDFLARE_API_URL").arg("--config.file").arg(file);
            command
        });
        assert!(cases.len() > 200, "without {others:?}: {} cases", cases.len());
        assert_discreet(&cases);
    }
}

const WEB_FILE: &str = "\
tls_server_config:
  cert_file: a.pem
  key_file: b.pem
  client_auth_type: NoClientCert
  min_version: TLS12
  cipher_suites: [TLS_AES_128_GCM_SHA256]
http_server_config:
  http2: true
  headers:
    X-Frame-Options: deny
basic_auth_users:
  alice: x
rate_limit:
  interval: 1s";

const STORY: &str = "\
accounts:
  - name: lab
    tunnels:
      - type: ipsec
        name: one
        cloudflare_endpoint: 198.51.100.1
        interface_address: 10.0.0.0/31
        bgp: {customer_asn: 65000, md5_key: x}
events:
  - at: 5s
    tunnel: one
    bgp_status: down";

#[test]
fn no_key_or_value_of_the_other_files_repeats_a_secret() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let with_file = |flag: &'static str, arguments: &'static [&str]| {
        move |file: &Path| with_account(&[arguments, &[&format!("{flag}={}", file.display())]].concat(), false)
    };
    let lines = |text: &'static str| text.lines().collect::<Vec<_>>();
    let web = with_file("--web.config.file", &["check"]);
    assert_discreet(&cases_of_file(&lines(WEB_FILE), folder.path(), web));
    // With this flag the command ends, even if the story is valid.
    let story = with_file("--sandbox.story", &["sandbox", "--sandbox.tunnels=banana"]);
    assert_discreet(&cases_of_file(&lines(STORY), folder.path(), story));
}
