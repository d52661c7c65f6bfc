//! The configuration file: every key has an effect, mistakes are reported with their lines, and flags override it.

use std::{collections::BTreeSet, fs, net::IpAddr, path::Path, time::Duration};

use clap::CommandFactory as _;
use proptest::prelude::*;
use secrecy::ExposeSecret as _;
use tempfile::TempDir;

use super::*;
use crate::{
    domain::{
        fixtures::tunnel,
        probe::{ProbeEngine, ProbeTarget, Silence, SocketMode, Vantage},
        tunnel::Tunnel,
    },
    exposition::{Group, Groups},
    inventory::HubCredentials,
    telemetry,
};

/// A configuration file in a folder with secrets, as an operator has them.
struct House(TempDir);

impl House {
    fn new(text: &str) -> Self {
        let house = Self(tempfile::tempdir().unwrap());
        for name in ["token", "key", "acme-token", "globex-key"] {
            fs::write(house.path(name), format!("secret-of-{name}\n")).unwrap();
        }
        fs::write(house.path("web.yml"), "http_server_config: {headers: {X-Frame-Options: deny}}\n").unwrap();
        fs::write(house.path("mte.yml"), text).unwrap();
        house
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.0.path().join(name)
    }

    fn flag(&self) -> String {
        format!("--config.file={}", self.path("mte.yml").display())
    }

    /// `serve` with the file and only these flags.
    fn config(&self, flags: &[&str]) -> Result<Config, String> {
        self.config_in(flags, |_: &str| None)
    }

    fn config_in(&self, flags: &[&str], environment: impl Variables) -> Result<Config, String> {
        let file = self.flag();
        let config = config(&[&[file.as_str()], flags].concat(), environment);
        config.map_err(|sentence| sentence.replace(&format!("{}/", self.0.path().display()), ""))
    }
}

/// One account, for tests of other sections.
const ONE: &str = "accounts: [{id: a, api_token_file: token}]\n";

fn with_one_account(text: &str) -> Result<Config, String> {
    House::new(&format!("{ONE}{text}")).config(&[])
}

fn secret_of(account: &AccountConfig) -> String {
    let (CredentialSource::Token(secret) | CredentialSource::Key { key: secret, .. }) = &account.account.credentials;
    secret.current().0.expose_secret().to_owned()
}

#[test]
fn every_key_reaches_its_place() {
    let config = with_one_account(
        "web:
  listen_address: [127.0.0.1:1, '[::1]:2']
  systemd_socket: on
  telemetry_path: /m
  hosts: [exporter.example, Other.example.]
  enable_lifecycle: on
  open_health: on
  expose: [edge, observed]
  config_file: web.yml
poll: {interval: 30s, timeout: 5s, stale_after: 10m}
log: {level: debug, format: json}
state: {directory: state}
probe:
  enabled: yes
  interval: 500ms
  timeout: 400ms
  down_after: 5
  up_after: 1
  targets: [interface_peer, customer_endpoint]
  source: [192.0.2.1, 2001:db8::1]
  interface: gre1
  engine: client
  socket: raw
  vantage: remote
  uplink: 192.0.2.9
  silence: always
  rtt_buckets: [1ms, 10ms]
",
    )
    .unwrap();
    assert_eq!(config.web.listen, ["127.0.0.1:1", "[::1]:2"].map(|text| text.parse().unwrap()));
    assert_eq!((config.web.telemetry_path.as_str(), config.web.systemd_socket), ("/m", true));
    let hosts = ["exporter.example", "other.example"].map(|name| name.parse().unwrap());
    assert_eq!(config.web.hosts, web_toolkit::server::Hosts::new(&hosts));
    let named = config.web.access.map(|file| file.path().ends_with("web.yml"));
    assert_eq!((config.web.enable_lifecycle, config.web.open_health, named), (true, true, Some(true)));
    assert_eq!(config.web.expose, Groups::only(&[Group::Edge, Group::Probes, Group::Rtt, Group::Verdict]));
    let state = config.state.unwrap();
    assert!(state.required && state.directory.is_absolute() && state.directory.ends_with("state"), "{state:?}");
    let poll = Poll {
        interval: Duration::from_secs(30),
        timeout: Duration::from_secs(5),
        stale_after: Duration::from_mins(10),
    };
    assert_eq!(config.poll, poll);
    assert_eq!(config.log, Log { level: telemetry::LogLevel::Debug, format: telemetry::LogFormat::Json });
    let probe = config.probe;
    assert!(probe.enabled);
    assert_eq!(probe.session.timing.interval(), Duration::from_millis(500));
    assert_eq!(probe.session.timing.timeout(), Duration::from_millis(400));
    assert_eq!((probe.session.thresholds.down_after.get(), probe.session.thresholds.up_after.get()), (5, 1));
    assert_eq!(probe.tunnels.targets, [ProbeTarget::CustomerEndpoint, ProbeTarget::InterfacePeer].into());
    assert_eq!(probe.tunnels.sources.v4, "192.0.2.1".parse().ok());
    assert_eq!(probe.tunnels.sources.v6, "2001:db8::1".parse().ok());
    assert_eq!(probe.tunnels.interface.as_deref(), Some("gre1"));
    assert_eq!((probe.engine, probe.socket), (ProbeEngine::Client, SocketMode::Raw));
    assert_eq!(probe.silence, Silence::Always);
    assert_eq!((probe.tunnels.vantage, &probe.uplinks[..]), (Vantage::Remote, &[ip("192.0.2.9")][..]));
    assert_eq!(probe.buckets.bounds().len(), 2);
}

#[test]
fn every_key_of_the_path_mtu_reaches_its_place() {
    use crate::prober::mtu::MtuSettings;
    let text = "probe:\n  dscp: 46\n  mtu: {enabled: on, interval: 30s, expected: 1436, floor: 1000}\n";
    let probe = with_one_account(text).unwrap().probe;
    assert_eq!(probe.mtu, MtuSettings { enabled: true, interval: Duration::from_secs(30), floor: 1_000 });
    assert_eq!((probe.tunnels.expected_mtu, probe.dscp), (Some(1_436), 46));
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

#[test]
fn tunnels_are_chosen_and_overridden() {
    let config = with_one_account(
        "tunnels:
  include: ['fra-*', 'lon-*']
  exclude: fra-9
  overrides:
    - name: fra-*
      site: frankfurt
      uplink: [192.0.2.9, 192.0.2.10]
    - id: f1
      account: a
      probe: false
      vantage: remote
      targets: [interface_peer]
      source: 192.0.2.1
      interface: gre1
      extra_address: [10.9.0.1, 'fd00::9']
      mtu: false
      expected_mtu: 1300
",
    )
    .unwrap();
    let watched: Vec<bool> =
        ["fra-1", "fra-9", "lon-1", "par-1"].map(|name| config.rules.includes(&tunnel(name))).into();
    assert_eq!(watched, [true, false, true, false]);
    let account = AccountName::new("a");
    assert_eq!(config.rules.site(&account, &tunnel("fra-1")).as_deref(), Some("frankfurt"));
    assert_eq!(config.rules.site(&account, &tunnel("lon-1")), None);
    let frankfurt = config.probe.for_tunnel(&account, &tunnel("fra-1"), None);
    assert_eq!(frankfurt.uplinks, Some(vec![ip("192.0.2.9"), ip("192.0.2.10")]));
    assert!(frankfurt.enabled);
    let f1 = config.probe.for_tunnel(&account, &tunnel("f1"), None);
    assert_eq!((f1.enabled, f1.vantage, f1.interface.as_deref()), (false, Vantage::Remote, Some("gre1")));
    assert!(f1.targets.contains(&ProbeTarget::InterfacePeer) && !f1.targets.contains(&ProbeTarget::CustomerEndpoint));
    assert_eq!((f1.extra.v4, f1.extra.v6), ("10.9.0.1".parse().ok(), "fd00::9".parse().ok()));
    assert_eq!((f1.sources.v4, f1.uplinks), ("192.0.2.1".parse().ok(), None));
    assert_eq!((f1.mtu, f1.expected_mtu, frankfurt.mtu, frankfurt.expected_mtu), (false, Some(1_300), true, None));
    let of_another = config.probe.for_tunnel(&AccountName::new("b"), &tunnel("f1"), None);
    assert!(of_another.enabled, "the override is for one account");
}

#[test]
fn each_account_has_its_own_name_secret_and_api_or_the_shared_ones() {
    let house = House::new(
        "cloudflare: {api_token_file: token, api_url: 'https://proxy.example/v4', email: noc@example.com}
accounts:
  - id: '00000000000000000000000000000001'
  - {id: 12345678901234567890123456789012, name: acme, api_token_file: acme-token}
  - {id: c, name: globex, api_key_file: key, api_url: http://127.0.0.1:9/v4}
",
    );
    let accounts = house.config(&[]).unwrap().accounts;
    let seen: Vec<_> = accounts
        .iter()
        .map(|a| (a.account.name.as_str(), a.account.id.as_str(), secret_of(a), a.url.to_string()))
        .collect();
    let proxy = "https://proxy.example/v4";
    assert_eq!(
        seen,
        [
            (
                "00000000000000000000000000000001",
                "00000000000000000000000000000001",
                "secret-of-token".to_owned(),
                proxy.to_owned()
            ),
            ("acme", "12345678901234567890123456789012", "secret-of-acme-token".to_owned(), proxy.to_owned()),
            ("globex", "c", "secret-of-key".to_owned(), "http://127.0.0.1:9/v4".to_owned()),
        ]
    );
    let CredentialSource::Key { email, .. } = &accounts[2].account.credentials else { panic!("a key is not a token") };
    assert_eq!(email, "noc@example.com", "the shared address");
}

/// The credentials of an account without its own, by decreasing precedence.
#[test]
fn shared_credentials_are_read_from_the_first_source_that_has_some() {
    let house = House::new("cloudflare: {api_token_file: token}\naccounts: [{id: a}]\n");
    let without = House::new("accounts: [{id: a}]\n");
    fs::write(house.path("cloudflare-api-token"), "secret-of-systemd\n").unwrap();
    let folder = house.0.path().display().to_string();
    let by_flag = format!("--cloudflare.api-token-file={}", house.path("acme-token").display());
    let in_environment = |name: &str| match name {
        "CLOUDFLARE_API_TOKEN" => Some("secret-of-environment".to_owned()),
        _ => None,
    };
    let by_systemd = move |name: &str| (name == "CREDENTIALS_DIRECTORY").then(|| folder.clone());
    let secret = |config: Result<Config, String>| secret_of(&config.unwrap().accounts[0]);
    assert_eq!(secret(house.config_in(&[&by_flag], in_environment)), "secret-of-acme-token");
    assert_eq!(secret(house.config_in(&[], in_environment)), "secret-of-environment");
    assert_eq!(secret(house.config_in(&[], by_systemd.clone())), "secret-of-token");
    assert_eq!(secret(without.config_in(&[], by_systemd)), "secret-of-systemd");
    let elsewhere = |name: &str| (name == "CREDENTIALS_DIRECTORY").then(|| "/nowhere".to_owned());
    let sentence = without.config_in(&[], elsewhere).unwrap_err();
    assert!(sentence.contains("line 1: `--cloudflare.api-token-file` is missing"), "{sentence}");
}

#[test]
fn the_credentials_of_an_account_override_the_shared_ones() {
    let house = House::new("accounts: [{id: a, api_token_file: acme-token}]\n");
    let by_flag = format!("--cloudflare.api-token-file={}", house.path("token").display());
    assert_eq!(secret_of(&house.config(&[&by_flag]).unwrap().accounts[0]), "secret-of-acme-token");
}

#[test]
fn accounts_of_flags_replace_those_of_the_file() {
    let house = House::new("cloudflare: {api_token_file: token}\naccounts: [{id: a, name: acme}, {id: b}]\n");
    let names = |flags: &[&str]| {
        let accounts = house.config(flags).unwrap().accounts;
        accounts.iter().map(|account| account.account.name.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(names(&[]), ["acme", "b"]);
    assert_eq!(names(&["--cloudflare.account-id=c,a"]), ["c", "a"]);
    let with_secret = House::new("cloudflare: {api_token_file: token}\naccounts: [{id: a, api_token: hunter2}]\n");
    let sentence = with_secret.config(&["--cloudflare.account-id=c"]).unwrap_err();
    assert!(sentence.contains("`accounts.api_token` must not be in this file"), "unused or not: {sentence}");
}

#[test]
fn an_empty_file_and_empty_sections_are_valid() {
    for text in ["", "# nothing yet\n", "---\n", "poll:\nweb: {}\nlog:\ntunnels:\n  overrides:\n  include: []\n"] {
        let house = House::new(text);
        let flags = [ACCOUNT, &format!("--cloudflare.api-token-file={}", house.path("token").display())];
        let with_file = house.config(&flags).unwrap();
        let without = config(&flags, |_: &str| None).unwrap();
        assert_eq!(Config { file: None, ..with_file }, without, "{text}");
    }
}

/// Every setting that has a flag: its key, a value that is accepted and one that is not.
const SETTINGS: [(&str, &str, &str); 48] = [
    ("web.listen_address", ":1", "x"),
    ("web.systemd_socket", "true", "x"),
    ("web.telemetry_path", "/m", "m"),
    ("web.hosts", "exporter.example", "exporter.example:9847"),
    ("web.enable_lifecycle", "true", "x"),
    ("web.open_health", "true", "x"),
    ("web.alertmanager_url", "https://alerts.example", "x"),
    ("web.expose", "observed", "x"),
    ("web.config_file", "web.yml", "nowhere"),
    ("poll.interval", "20s", "x"),
    ("poll.timeout", "20s", "x"),
    ("poll.stale_after", "20m", "x"),
    ("edge.enabled", "true", "x"),
    ("edge.interval", "30s", "29s"),
    ("edge.window", "1m", "2h"),
    ("edge.delay", "0s", "31m"),
    ("edge.stale_after", "20m", "8m"),
    ("edge.min_checks", "1", "0"),
    ("edge.traffic", "false", "x"),
    ("edge.colos", "fra01", "fra 01"),
    ("interconnects.enabled", "false", "x"),
    ("routes.enabled", "false", "x"),
    ("routes.prefix_metrics", "true", "x"),
    ("probe.enabled", "true", "x"),
    ("probe.interval", "2s", "x"),
    ("probe.timeout", "500ms", "x"),
    ("probe.down_after", "5", "x"),
    ("probe.up_after", "5", "x"),
    ("probe.targets", "interface_peer", "x"),
    ("probe.source", "192.0.2.1", "x"),
    ("probe.interface", "gre1", "a/b"),
    ("probe.engine", "client", "x"),
    ("probe.socket", "raw", "x"),
    ("probe.dscp", "46", "64"),
    ("probe.mtu.enabled", "true", "x"),
    ("probe.mtu.interval", "30s", "2h"),
    ("probe.mtu.expected", "1436", "9000"),
    ("probe.mtu.floor", "1000", "100"),
    ("probe.vantage", "remote", "x"),
    ("probe.uplink", "192.0.2.1", "x"),
    ("probe.silence", "always", "x"),
    ("probe.rtt_buckets", "1s", "x"),
    ("state.directory", "state", "/dev/null"),
    ("log.level", "debug", "x"),
    ("log.format", "json", "x"),
    ("cloudflare.api_url", "https://proxy.example", "x"),
    ("cloudflare.api_token_file", "token", "nowhere"),
    ("cloudflare.api_key_file", "key", "nowhere"),
];

/// Flags without a key of the same name: the accounts are a list, and the file does not name itself.
const NO_SETTINGS: [&str; 15] = [
    "--cloudflare.account-id",
    "--config.file",
    // An agent has no accounts: `an_agent_is_configured_by_file_and_flags`.
    "--inventory.advertise",
    "--inventory.basic-auth.password-file",
    "--inventory.basic-auth.username",
    "--inventory.bearer-token-file",
    "--inventory.interval",
    "--inventory.prober",
    "--inventory.site",
    "--inventory.timeout",
    "--inventory.tls.ca-file",
    "--inventory.tls.cert-file",
    "--inventory.tls.key-file",
    "--inventory.tls.server-name",
    "--inventory.url",
];

fn flag_for(key: &str) -> String {
    match key {
        "probe.enabled" => "--probe".to_owned(),
        "probe.mtu.enabled" => "--probe.mtu".to_owned(),
        "web.config_file" => "--web.config.file".to_owned(),
        key => web_toolkit::settings::flag_for(key),
    }
}

fn setting(key: &str, value: &str) -> String {
    let (section, key) = key.split_once('.').unwrap();
    match key.split_once('.') {
        Some((inner, key)) => format!("{section}: {{{inner}: {{{key}: '{value}'}}}}\n"),
        None => format!("{section}: {{{key}: '{value}'}}\n"),
    }
}

#[test]
fn every_flag_overrides_the_file_and_every_key_is_checked() {
    for (key, good, bad) in SETTINGS {
        let (flag, in_key) = (flag_for(key), key.contains("key_file"));
        let house = |value: &str| {
            let email = if in_key { "accounts: [{id: a, email: x@example.com}]\n" } else { "accounts: [{id: a}]\n" };
            House::new(&format!("{email}{}", setting(key, value)))
        };
        let token = |name: &str| match name {
            // Overrides the file and is overridden by flags.
            "CLOUDFLARE_EMAIL" => Some("noc@example.com".to_owned()),
            _ => None,
        };
        let others: &[&str] = if key.starts_with("cloudflare.") && key.ends_with("_file") {
            &[]
        } else {
            &["--cloudflare.api-token-file=TOKEN"]
        };
        let wrong = house(bad);
        let tokens = wrong.path("token").display().to_string();
        let flags = |extra: &[&str]| -> Vec<String> {
            others.iter().chain(extra).map(|flag| flag.replace("TOKEN", &tokens)).collect()
        };
        let run = |house: &House, extra: &[&str]| {
            let flags = flags(extra);
            house.config_in(&flags.iter().map(String::as_str).collect::<Vec<_>>(), token)
        };
        let sentence = run(&wrong, &[]).unwrap_err();
        assert!(sentence.starts_with(&format!("mte.yml: line 2: `{key}` is `{bad}`: ")), "{sentence}");
        let value = if key.ends_with("_file") { wrong.path(good).display().to_string() } else { good.to_owned() };
        let by_flag = format!("{flag}={value}");
        assert!(run(&wrong, &[&by_flag]).is_ok(), "{by_flag} overrides {key}: {:?}", run(&wrong, &[&by_flag]));
        let by_flag = format!("{flag}={bad}");
        let sentence = run(&house(good), &[&by_flag]).unwrap_err();
        assert!(sentence.starts_with(&format!("`{flag}` is `{bad}`: ")), "{sentence}");
    }
}

#[test]
fn the_table_of_settings_has_every_flag() {
    let command = Line::command();
    let flags = command.get_arguments().filter_map(|argument| argument.get_long());
    let flags: BTreeSet<String> =
        flags.filter(|flag| !flag.starts_with("sandbox.")).map(|flag| format!("--{flag}")).collect();
    let table = SETTINGS.iter().map(|(key, ..)| flag_for(key)).chain(NO_SETTINGS.map(str::to_owned));
    assert_eq!(flags, table.collect());
}

#[test]
fn the_documentation_has_every_flag_variable_and_key() {
    let text = fs::read_to_string(repository("docs/CONFIGURATION.md")).unwrap();
    for argument in Line::command().get_arguments() {
        let Some(flag) = argument.get_long().filter(|flag| *flag != "help") else { continue };
        let variable =
            argument.get_env().and_then(|name| name.to_str()).unwrap_or_else(|| panic!("{flag}: no variable"));
        for word in [format!("`--{flag}`"), format!("`{variable}`")] {
            assert!(text.contains(&word), "docs/CONFIGURATION.md does not mention {word}");
        }
    }
    for (key, ..) in SETTINGS {
        assert!(text.contains(&format!("`{key}`")), "docs/CONFIGURATION.md does not mention {key}");
    }
}

/// Files with one mistake each, and its message.
const MISTAKES: [(&str, &str); 51] = [
    // The form of the file.
    ("- a\n", "mte.yml: line 1: the file must begin with a key and a colon"),
    ("hello\n", "mte.yml: line 1: the file must begin with a key and a colon"),
    ("poll:\n  interval: 1m\n  interval: 2m\n", "mte.yml: line 3: key `poll.interval` is given twice"),
    ("pol:\n  interval: 1m\n", "mte.yml: line 1: unknown key `pol`; did you mean `poll`?"),
    ("poll:\n  intervall: 1m\n", "mte.yml: line 2: unknown key `poll.intervall`; did you mean `interval`?"),
    ("poll: 1m\n", "mte.yml: line 1: `poll` must be a section: put its keys on the lines below it, indented"),
    ("poll: [1m]\n", "mte.yml: line 1: `poll` must be a section: put its keys on the lines below it, indented"),
    ("poll:\n  interval:\n", "mte.yml: line 2: `poll.interval` has no value: set one, or remove the key"),
    ("poll:\n  interval: [1m]\n", "mte.yml: line 2: `poll.interval` must be one value, not a list or a section"),
    ("probe: {targets: {a: b}}\n", "mte.yml: line 1: `probe.targets` must be a list or one value"),
    ("probe: {targets: [[a]]}\n", "mte.yml: line 1: `probe.targets` must be a list of single values"),
    // Values.
    (
        "probe:\n  engine: client\n  mtu: {enabled: true}\n",
        "mte.yml: line 3: `probe.mtu.enabled` is `true`: needs `probe.engine` to be auto or batch, because the engine \
         `client` lets the kernel fragment packets",
    ),
    (
        "tunnels:\n  overrides:\n    - {id: x, expected_mtu: 9000}\n",
        "mte.yml: line 3: `tunnels.overrides.expected_mtu` is `9000`: must be a whole number from 128 to 1500",
    ),
    ("poll:\n  interval: 60\n", "mte.yml: line 2: `poll.interval` is `60`: must be a duration such as 30s, 5m or 1h"),
    ("poll:\n  interval: 1ms\n", "mte.yml: line 2: `poll.interval` is `1ms`: must be between 200ms and 24h"),
    (
        "poll:\n  interval: 10m\n  stale_after: 5m\n",
        "mte.yml: line 3: `poll.stale_after` is `5m`: must be longer than `poll.interval` (10m)",
    ),
    (
        "probe:\n  timeout: 5s\n",
        "mte.yml: line 2: `probe.timeout` is `5s`: must not be longer than `probe.interval` (1s)",
    ),
    (
        "edge:\n  stale_after: 8m\n",
        "mte.yml: line 2: `edge.stale_after` is `8m`: must be longer than the sum of `edge.delay`, `edge.interval` and \
             `edge.window`, which counts as at least 5m with traffic (8m)",
    ),
    (
        "edge:\n  colos: [fra 01]\n",
        "mte.yml: line 2: `edge.colos` is `fra 01`: must be the name of a data center, such as fra01",
    ),
    (
        "edge: {colos: 'a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,p,q,r,s,t,t,u'}\n",
        "mte.yml: line 1: `edge.colos` is `u`: must contain at most 20 data centers",
    ),
    ("edge:\n  window: 2h\n", "mte.yml: line 2: `edge.window` is `2h`: must not be longer than 1h"),
    ("probe:\n  enabled: maybe\n", "mte.yml: line 2: `probe.enabled` is `maybe`: must be true or false"),
    (
        "probe:\n  source: [192.0.2.1, 192.0.2.2]\n",
        "mte.yml: line 2: `probe.source` is `192.0.2.1,192.0.2.2`: must be given once for IPv4 and once for IPv6 at most",
    ),
    (
        "probe:\n  targets:\n    - customer_endpoint\n    - extra_address\n",
        "mte.yml: line 4: `probe.targets` is `extra_address`: must be one of customer_endpoint, interface_address, \
             interface_address6, interface_peer, interface_peer6, health_check_target",
    ),
    (
        "probe:\n  rtt_buckets: [2s, 1s]\n",
        "mte.yml: line 2: `probe.rtt_buckets` is `2s,1s`: buckets must be above zero and ascending",
    ),
    ("log: {level: loud}\n", "mte.yml: line 1: `log.level` is `loud`: must be one of trace, debug, info, warn, error"),
    // Accounts.
    ("accounts: {id: a}\n", "mte.yml: line 1: `accounts` must be a list: begin each member with `-`"),
    ("accounts: [a]\n", "mte.yml: line 1: `accounts` must be a section: put its keys on the lines below it, indented"),
    (
        "accounts:\n  - name: acme\n",
        "mte.yml: line 2: `accounts.id` is missing: set the id of the account, as the URL of the dashboard shows it",
    ),
    (
        "accounts:\n  - {id: ../x, api_token_file: token}\n",
        "mte.yml: line 2: `accounts.id` (4 characters, not shown): must be an account id: at most 32 letters and digits, as the URL of the dashboard shows it",
    ),
    (
        "accounts:\n  - {id: a, name: '', api_token_file: token}\n",
        "mte.yml: line 2: `accounts.name` is ``: must be 1 to 128 printable characters",
    ),
    (
        "accounts:\n  - {id: a, name: cfut_a8Kd0Lq2Wza7Kd1L, api_token_file: token}\n",
        "mte.yml: line 2: `accounts.name` (21 characters, not shown): must be a name: this looks like a secret, and names appear in labels",
    ),
    (
        "accounts:\n  - {id: a, name: x, api_token_file: token}\n  - {id: b, name: x, api_token_file: token}\n",
        "mte.yml: line 3: `accounts.name` is `x`: must be the name of one account only",
    ),
    (
        "accounts:\n  - {id: a, name: x, api_token_file: token}\n  - {id: a, api_token_file: token}\n",
        "mte.yml: line 3: `accounts.id` (1 characters, not shown): must be listed once: its tunnels would be counted twice",
    ),
    (
        "accounts:\n  - {id: a, api_token_file: nowhere}\n",
        "mte.yml: line 2: `accounts.api_token_file` is `nowhere`: must be a readable file: No such file or directory (os error 2)",
    ),
    (
        "accounts:\n  - {id: a, api_token_file: token, api_key_file: key}\n",
        "mte.yml: line 2: `accounts.api_key_file` must not be set together with `api_token_file`: remove one of them",
    ),
    (
        "accounts:\n  - {id: a, api_key_file: key}\n",
        "mte.yml: line 2: `email` is missing: an API key needs the e-mail address of its user; set it next to `api_key_file`, or set CLOUDFLARE_EMAIL",
    ),
    (
        "accounts:\n  - {id: a, api_token_file: token, api_url: http://192.0.2.1}\n",
        "mte.yml: line 2: `accounts.api_url` is `http://192.0.2.1`: must use https; http would expose the token and is allowed on loopback addresses only",
    ),
    (
        "accounts:\n  - {id: a, api_token_file: token, color: red}\n",
        "mte.yml: line 2: unknown key `accounts.color`; expected one of `id`, `name`, `api_token_file`, `api_key_file`, `email`, `api_url`, `edge`",
    ),
    // Tunnels.
    (
        "tunnels: {overrides: [{site: x}]}\n",
        "mte.yml: line 1: `tunnels.overrides` needs either the `id` of a tunnel or the `name` of tunnels, in which `*` matches any characters",
    ),
    (
        "tunnels:\n  overrides:\n    - {name: x, id: y}\n",
        "mte.yml: line 3: `tunnels.overrides` needs either the `id` of a tunnel or the `name` of tunnels, in which `*` matches any characters",
    ),
    (
        "tunnels:\n  overrides:\n    - {name: x, account: b}\n",
        "mte.yml: line 3: `tunnels.overrides.account` is `b`: must be the name of an account; expected one of a",
    ),
    (
        "tunnels:\n  overrides:\n    - {name: x, extra_address: [10.0.0.1, 10.0.0.2]}\n",
        "mte.yml: line 3: `tunnels.overrides.extra_address` is `10.0.0.1,10.0.0.2`: must be given once for IPv4 and once for IPv6 at most",
    ),
    (
        "tunnels:\n  overrides:\n    - {name: x, site: ''}\n",
        "mte.yml: line 3: `tunnels.overrides.site` is ``: must be 1 to 128 printable characters",
    ),
    // Sites.
    (
        "sites:\n  - {from: name, pattern: '^([a-z]+)-'}\n",
        "mte.yml: line 2: `sites.pattern` is `^([a-z]+)-`: must contain a group named `site`, for example `^(?<site>[a-z]+)-`",
    ),
    (
        "sites:\n  - from: name\n    pattern: '^(?<site>[a-z+-'\n",
        "mte.yml: line 3: `sites.pattern` is `^(?<site>[a-z+-`: must be a regular expression: non-empty character class has no closing bracket after dash",
    ),
    (
        "sites:\n  - {from: name}\n",
        "mte.yml: line 2: `sites.pattern` is missing: set a regular expression with a group named `site`, for example `^(?<site>[a-z]+)-`",
    ),
    (
        "sites: [{from: id, pattern: '(?<site>x)'}]\n",
        "mte.yml: line 1: `sites.from` is `id`: must be one of name, description",
    ),
    ("sites: '^(?<site>[a-z]+)-'\n", "mte.yml: line 1: `sites` must be a list: begin each member with `-`"),
    (
        "sites: [{name: fra-*, pattern: '(?<site>x)'}]\n",
        "mte.yml: line 1: unknown key `sites.name`; nest it under `accounts` or `tunnels.overrides`",
    ),
    (
        "tunnels: {exclude: ['']}\n",
        "mte.yml: line 1: `tunnels.exclude` is ``: must not be empty: it would match no tunnel",
    ),
];

#[test]
fn a_regular_expression_is_not_a_pattern_for_names() {
    for pattern in ["^fra-", "fra-1$", "fra-[12]", "fra-(1|2)", "fra|lon"] {
        for (text, key) in [
            (format!("tunnels: {{include: ['{pattern}']}}\n"), "tunnels.include"),
            (format!("tunnels: {{exclude: ['lon-*', '{pattern}']}}\n"), "tunnels.exclude"),
            (format!("tunnels: {{overrides: [{{name: '{pattern}', probe: false}}]}}\n"), "tunnels.overrides.name"),
        ] {
            let sentence = with_one_account(&text).unwrap_err();
            let rule = "must be a name in which `*` matches any characters and `?` one; `^ $ [ ] ( ) |` are for";
            assert_eq!(
                sentence.split(" the regular").next(),
                Some(&*format!("mte.yml: line 2: `{key}` is `{pattern}`: {rule}"))
            );
        }
    }
}

#[test]
fn one_line_names_the_sites_of_all_tunnels() {
    let config = with_one_account(
        "\
tunnels:
  overrides: [{name: fra-9, site: frankfurt-south}]
sites:
  - {from: description, pattern: '^(?<site>[A-Z][a-z]+), '}
  - {pattern: '^(?<site>[a-z]+)-'}
",
    )
    .unwrap();
    let account = AccountName::new("a");
    let site = |tunnel: Tunnel| config.rules.site(&account, &tunnel);
    assert_eq!(site(tunnel("fra-9")).as_deref(), Some("frankfurt-south"));
    assert_eq!(site(Tunnel { description: "Paris, spare".into(), ..tunnel("p-1") }).as_deref(), Some("Paris"));
    for number in 0..400 {
        let letters: String = format!("{number:03}").bytes().map(|digit| char::from(digit + 49)).collect();
        assert_eq!(site(tunnel(&format!("{letters}-1"))).as_deref(), Some(&*letters));
    }
    assert_eq!(site(tunnel("9")), None);
    let keys: Vec<_> = config.file_rules.iter().map(|rule| (rule.key, rule.line)).collect();
    assert_eq!(keys, [("tunnels.overrides", 3), ("sites", 5), ("sites", 6)]);
}

#[test]
fn the_number_of_site_rules_is_bounded() {
    let rules = "  - {pattern: '^(?<site>[a-z]+)-'}\n".repeat(101);
    let mistakes = House::new(&format!("sites:\n{rules}{ONE}")).config(&[]).unwrap_err();
    let rule = "`sites` must not have more than 100 rules: one rule can name the sites of all tunnels";
    assert_eq!(mistakes, format!("mte.yml: line 102: {rule}"));
}

#[test]
fn a_mistake_is_reported_with_file_line_key_and_rule() {
    for (text, sentence) in MISTAKES {
        let rest = if text.starts_with("accounts") || text.starts_with(['-', 'h']) { "" } else { ONE };
        assert_eq!(House::new(&format!("{text}{rest}")).config(&[]).unwrap_err(), sentence, "{text}");
    }
}

#[test]
fn all_mistakes_of_a_file_are_reported_at_once_in_its_order() {
    const TOKEN: &str = "v1.0-hunter2hunter2hunter2hunter2hunter2";
    let house = House::new(&format!(
        "\
web:
  config_file: bad-web.yml
  telemetry-path: /m
accounts:
  - {{id: {TOKEN}, api_token_file: token}}
  - {{id: b, api_token: {TOKEN}}}
tunnels:
  overrides:
    - {{name: fra-*, vantage: moon, interval: 1s}}
poll:
  intervall: 1m
  timeout: 1ms
  timeout: 2s
probe:
  targets: {{a: b}}
interval: 1m
"
    ));
    fs::write(house.path("bad-web.yml"), "tls_server_config: {max_version: TLS10}\nuser: x\n").unwrap();
    let mistakes = house.config(&["--log.level=loud"]).unwrap_err();
    let lines: Vec<&str> = mistakes.lines().collect();
    assert_eq!(
        lines,
        [
            "`--log.level` is `loud`: must be one of trace, debug, info, warn, error",
            "mte.yml: line 3: unknown key `web.telemetry-path`; use underscores: `telemetry_path`",
            "mte.yml: line 5: `accounts.id` (40 characters, not shown): must be an account id: at most 32 letters and digits, as the URL of the dashboard shows it",
            "mte.yml: line 6: `accounts.api_token` must not be in this file: write the secret to a file of its own and set `api_token_file`",
            "mte.yml: line 9: unknown key `tunnels.overrides.interval`; nest it under `edge` or `inventory` or `poll` or `probe` or `probe.mtu`",
            "mte.yml: line 9: `tunnels.overrides.vantage` is `moon`: must be one of site, remote",
            "mte.yml: line 11: unknown key `poll.intervall`; did you mean `interval`?",
            "mte.yml: line 12: `poll.timeout` is `1ms`: must be between 100ms and 24h",
            "mte.yml: line 13: key `poll.timeout` is given twice",
            "mte.yml: line 15: `probe.targets` must be a list or one value",
            "mte.yml: line 16: unknown key `interval`; nest it under `edge` or `inventory` or `poll` or `probe` or `probe.mtu`",
            "bad-web.yml: line 1: `tls_server_config.max_version` is `TLS10`: must be TLS12 or TLS13; older versions are insecure and not supported",
            "bad-web.yml: line 2: unknown key `user`; expected one of `tls_server_config`, `http_server_config`, `basic_auth_users`, `rate_limit`",
        ]
    );
}

/// Secrets in the place of a path, or where no key is allowed, and the messages.
const WITH_SECRETS: [(&str, &str); 15] = [
    (
        "accounts: [{id: a, api_token: SECRET}]\n",
        "`accounts.api_token` must not be in this file: write the secret to a file of its own and set `api_token_file`",
    ),
    ("accounts: [{id: a, token: SECRET}]\n", "`accounts.token` must not be in this file"),
    (
        "accounts: [{id: a, api_key: SECRET}]\n",
        "`accounts.api_key` must not be in this file: write the secret to a file of its own and set `api_key_file`",
    ),
    ("cloudflare: {api_token: SECRET}\naccounts: [{id: a}]\n", "`cloudflare.api_token` must not be in this file"),
    ("cloudflare: {api_key: SECRET}\naccounts: [{id: a}]\n", "`cloudflare.api_key` must not be in this file"),
    (
        "accounts: [{id: a, api_token_file: TOKEN}]\n",
        "`accounts.api_token_file` is not the path of a readable file, and looks like the secret itself",
    ),
    (
        "cloudflare: {api_key_file: TOKEN}\naccounts: [{id: a}]\n",
        "`cloudflare.api_key_file` is not the path of a readable file",
    ),
    ("accounts: [{id: a, api_token: [SECRET]}]\n", "`accounts.api_token` must not be in this file"),
    ("accounts: [{id: a, api_token_file: [SECRET]}]\n", "must be one value"),
    ("api_token: SECRET\n", "`api_token` must not be in this file"),
    ("accounts: [{id: a, password: SECRET}]\n", "unknown key `accounts.password`"),
    (
        "accounts: [{id: a, api_token_file: token, api_url: 'https://u:SECRET@x.example'}]\n",
        "`accounts.api_url` must not contain a user, a password",
    ),
    ("accounts: [{id: a, api_token: \"SECRET}]\n", "mte.yml: line "),
    ("accounts: [{id: a, api_token: *SECRET}]\n", "mte.yml: line "),
    ("accounts:\n- id: a\n  api_token: SECRET\n api_key: SECRET\n", "mte.yml: line "),
];

#[test]
fn a_secret_in_the_file_is_named_by_its_key_and_never_shown() {
    const SECRET: &str = "v1.0-hunter2hunter2hunter2hunter2hunter2";
    const TOKEN: &str = "hunter2hunter2hunter2hunter2hunter2hunt2";
    for (text, words) in WITH_SECRETS {
        let text = text.replace("SECRET", SECRET).replace("TOKEN", TOKEN);
        let house = House::new(&text);
        let sentence = house.config(&[]).unwrap_err();
        assert!(sentence.contains(words), "{text}: {sentence}");
        assert!(!sentence.contains("hunter2") && !sentence.contains('\n'), "{sentence}");
    }
}

#[test]
fn a_file_that_cannot_be_read_is_named_with_the_rule() {
    let house = House::new("");
    fs::write(house.path("binary"), [0, 159, 146, 150]).unwrap();
    // Sparse: a gigabyte that uses no space.
    fs::File::create(house.path("huge")).unwrap().set_len(1 << 30).unwrap();
    for (name, rule) in [
        ("missing", "must be a readable file: No such file or directory (os error 2)"),
        (".", "must be a file: it is a directory"),
        ("binary", "must be UTF-8 text"),
        ("huge", "must be at most 1024 KiB"),
    ] {
        let path = house.path(name).display().to_string();
        let sentence = config(&[ACCOUNT, &format!("--config.file={path}")], token).unwrap_err();
        assert_eq!(sentence, format!("`--config.file` is `{path}`: {rule}"));
    }
    let sentence = config(&[ACCOUNT, "--config.file=/dev/zero"], token).unwrap_err();
    assert_eq!(sentence, "`--config.file` is `/dev/zero`: must be a regular file, not a device, pipe or socket");
}

#[test]
fn a_link_that_is_swapped_all_the_time_gives_one_file_or_the_other() {
    use std::os::unix::fs::symlink;
    let house = House::new("");
    fs::write(house.path("a.yml"), format!("{ONE}poll: {{interval: 11s}}\n")).unwrap();
    fs::write(house.path("b.yml"), format!("{ONE}poll: {{interval: 12s}}\n")).unwrap();
    let (stop, stopped) = std::sync::mpsc::channel::<()>();
    std::thread::scope(|scope| {
        let house = &house;
        scope.spawn(move || {
            let targets = ["a.yml", "b.yml"].into_iter().cycle();
            for target in targets.take_while(|_| stopped.try_recv() == Err(std::sync::mpsc::TryRecvError::Empty)) {
                symlink(house.path(target), house.path("next")).unwrap();
                fs::rename(house.path("next"), house.path("mte.yml")).unwrap();
            }
        });
        // Until the first link exists, the file is empty.
        while house.path("mte.yml").read_link().is_err() {
            std::thread::yield_now();
        }
        for _ in 0..200 {
            let interval = house.config(&[]).unwrap().poll.interval;
            assert!([11, 12].map(Duration::from_secs).contains(&interval), "{interval:?}");
        }
        drop(stop);
    });
}

#[test]
fn the_sandbox_is_configured_by_the_same_file() {
    let house = House::new(
        "sandbox: {listen_address: '127.0.0.1:1', token_file: token, strict: true, tunnels: 7, story: s.yml, faults: f.yml}
log: {level: warn}
accounts: [{nonsense: true}]
",
    );
    fs::write(house.path("s.yml"), "accounts: [{name: lab}]\n").unwrap();
    fs::write(house.path("f.yml"), "faults: [{fault: silence}]\n").unwrap();
    let flag = house.flag();
    let config = sandbox(&[&flag], |_: &str| None).unwrap();
    let settings = config.settings;
    assert_eq!((config.listen, settings.strict, settings.tunnels), ("127.0.0.1:1".parse().unwrap(), true, 7));
    assert_eq!((settings.token.unwrap().expose_secret(), settings.faults.count()), ("secret-of-token", 1));
    assert_eq!(settings.story.accounts().map(|(name, _)| name).collect::<Vec<_>>(), ["lab"]);
    assert_eq!(config.log.level, telemetry::LogLevel::Warn);
    let config = sandbox(&[&flag, "--sandbox.tunnels=8"], |_: &str| None).unwrap();
    assert_eq!(config.settings.tunnels, 8);
    fs::write(house.path("mte.yml"), "sandbox:\n  tunnels: many\n").unwrap();
    let sentence = sandbox(&[&flag], |_: &str| None).unwrap_err();
    assert!(
        sentence.ends_with("line 2: `sandbox.tunnels` is `many`: must be a whole number from 0 to 100000"),
        "{sentence}"
    );
}

fn repository(path: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// `config.example.yml` with its examples switched on: a line that begins with `#` and a word, without a blank between,
/// is one.
fn example(examples: bool) -> String {
    let text = fs::read_to_string(repository("config.example.yml")).unwrap();
    let line = |line: &str| {
        let words = line.trim_start();
        match words.strip_prefix('#') {
            Some(example) if examples && example.starts_with(|c: char| c.is_ascii_lowercase() || c == '-') => {
                format!("{}{example}\n", &line[..line.len() - words.len()])
            }
            Some(example) if examples && example.starts_with("  ") => {
                format!("{}{example}\n", &line[..line.len() - words.len()])
            }
            _ => format!("{line}\n"),
        }
    };
    text.lines().map(line).collect()
}

#[test]
fn the_example_is_the_defaults() {
    let house = House::new(&example(false));
    let by_flag = format!("--cloudflare.api-token-file={}", house.path("token").display());
    let mut with_file = house.config(&[ACCOUNT, &by_flag]).unwrap();
    let without = config(&[ACCOUNT, &by_flag], |_: &str| None).unwrap();
    // The file states the defaults, which only an agent distinguishes from settings that are not stated.
    with_file.probe.stated = without.probe.stated.clone();
    assert_eq!(Config { file: None, ..with_file }, without);
    let (with_file, without) =
        (sandbox(&[&house.flag()], |_: &str| None).unwrap(), sandbox(&[], |_: &str| None).unwrap());
    assert_eq!(format!("{:?}", with_file.settings), format!("{:?}", without.settings));
    assert_eq!(with_file.listen, without.listen);
}

#[test]
fn the_example_names_every_key_and_parses_with_all_of_them() {
    let text = example(true);
    let known = layout().sections.into_iter();
    let mut known: BTreeSet<String> =
        known.flat_map(|(section, keys)| keys.iter().map(move |key| format!("{section}.{key}"))).collect();
    known.extend(web_toolkit::yaml::keys_of::<ConfigKeys>().iter().map(ToString::to_string));
    let named = keys_in("", &serde_saphyr::from_str(&text).unwrap());
    assert_eq!(named, known);
    let (_, root) = SettingsReader::open::<ConfigKeys>("example", text, layout()).unwrap();
    assert!(root.sandbox.line() > root.tunnels.line(), "the sections are in the file");
}

fn keys_in(path: &str, value: &serde_json::Value) -> BTreeSet<String> {
    let mut keys = BTreeSet::new();
    for member in value.as_array().into_iter().flatten() {
        keys.extend(keys_in(path, member));
    }
    for (key, value) in value.as_object().into_iter().flatten() {
        let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
        keys.extend(keys_in(&path, value));
        keys.insert(path);
    }
    keys
}

/// Every example of a configuration file in the documents.
#[test]
fn every_documented_example_is_accepted() {
    let mut seen = 0;
    for document in ["docs/CONFIGURATION.md", "README.md"] {
        let text = fs::read_to_string(repository(document)).unwrap();
        for block in text.split("```yaml\n# config.yml\n").skip(1) {
            let block = block.split("```").next().unwrap();
            let house = House::new(&block.replace("/etc/magic-tunnel-exporter/", ""));
            let environment = |name: &str| (name == "CLOUDFLARE_API_TOKEN").then(|| "t".to_owned());
            let config = if block.contains("accounts:") {
                house.config_in(&[], environment)
            } else {
                house.config_in(&[ACCOUNT], environment)
            };
            assert!(config.is_ok(), "{document}: {config:?}\n{block}");
            seen += 1;
        }
    }
    assert!(seen >= 5, "{seen} examples");
}

#[test]
fn an_agent_is_configured_by_file_and_flags() {
    let house = House::new(
        "inventory:
  url: [https://hub.example:9847, https://other.example]
  site: [fra, lon]
  interval: 20s
  prober: fra-1
  advertise: http://fra.example:9847
  basic_auth: {username: fra, password_file: token}
",
    );
    let hub = house.config_in(&["--inventory.interval=7s"], |_: &str| None).unwrap().inventory.unwrap();
    let urls: Vec<_> = hub.urls.iter().map(ToString::to_string).collect();
    assert_eq!(urls, ["https://hub.example:9847/", "https://other.example/"]);
    assert_eq!((hub.query().as_str(), &*hub.prober), ("site=fra&site=lon", "fra-1"));
    assert_eq!((hub.interval, hub.timeout), (Duration::from_secs(7), Duration::from_secs(10)));
    assert!(matches!(hub.credentials, Some(HubCredentials::Basic { username, .. }) if username == "fra"));
}

#[test]
fn settings_of_an_agent_that_do_not_fit_together_are_refused() {
    for (text, mistake) in [
        ("inventory: {site: fra}", "`inventory.url` is missing"),
        ("inventory: {url: 'http://192.0.2.1:9847'}", "must use https"),
        ("inventory: {url: 'https://user:pw@hub.example'}", "must not contain a user"),
        ("inventory: {url: 'https://h.example', interval: 2h}", "must be at most 1h"),
        ("inventory: {url: 'https://h.example', basic_auth: {username: fra}}", "needs `username` and `password_file`"),
        ("inventory: {url: 'https://h.example', tls: {cert_file: token}}", "needs both `cert_file` and `key_file`"),
        ("inventory: {url: 'https://h.example', advertise: 'fra:9847'}", "must be a URL with a port"),
        ("inventory: {url: 'https://h.example', prober: prüfer}", "must have ASCII characters only"),
        ("inventory: {url: 'https://h.example'}\naccounts: [{id: a}]", "cannot be combined with `--inventory.url`"),
        (
            "inventory: {url: 'https://h.example'}\nedge: {enabled: true}",
            "`edge.enabled` cannot be combined with `--inventory.url`: an agent gets the state at the edge from its hub",
        ),
    ] {
        let mistakes = House::new(text).config_in(&[], |_: &str| None).unwrap_err();
        assert!(mistakes.contains(mistake) && mistakes.lines().count() == 1, "{text}: {mistakes}");
        assert!(!mistakes.contains("user:pw"), "{mistakes}");
    }
}

#[test]
fn grants_need_an_identity_and_a_reach() {
    for (text, mistake) in [
        ("users: [{user: fra, sites: [fra]}]", "needs users or verified client certificates"),
        ("users: [{sites: [fra]}]", "needs either the `user` or the name in the `certificate`"),
        ("users: [{user: fra}]", "needs either a list of `sites` or `all: true`"),
        ("users: [{user: fra, sites: [fra], all: true}]", "needs either a list of `sites` or `all: true`"),
        ("users: []", "must have a member"),
    ] {
        let house = House::new(&format!("accounts: [{{id: a}}]\nfleet:\n  {text}\n"));
        let mistakes = house.config_in(&[], token).unwrap_err();
        assert!(mistakes.contains(mistake) && mistakes.lines().count() == 1, "{text}: {mistakes}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// No file makes the program panic, and no mistake has more than one line.
    #[test]
    fn any_file_is_accepted_or_refused_with_one_line_per_mistake(
        text in "([a-z_]{1,12}: ?|- |  |\\{|\\}|\\[|\\]|[0-9]{1,3}[smh]?|'|\"|\n|&a|\\*a|[^\u{0}]){0,40}"
    ) {
        if let Err(mistakes) = House::new(&text).config_in(&[ACCOUNT], token) {
            let lines = mistakes.lines().collect::<Vec<_>>();
            prop_assert!(!lines.is_empty() && lines.len() <= text.lines().count() * 20 + 1, "{}", mistakes);
            prop_assert!(lines.iter().all(|line| line.starts_with("mte.yml: line ") && line.len() < 2000), "{}", mistakes);
        }
    }
}
