use std::{sync::Arc, time::Duration};

use web_toolkit::server::Hosts;

use super::*;
use crate::{
    config::{Inputs, flags},
    domain::{
        probe::ProbeEngine,
        rules::{Pattern, Selector, TunnelRules},
    },
    exposition::Groups,
    poller::CredentialSource,
    prober::settings::ProbeOverride,
    secret::Secret,
    telemetry,
};

fn config() -> Config {
    let flags = flags::Flags {
        cloudflare: flags::CloudflareFlags {
            account_ids: ["a", "b"].map(str::to_owned).into(),
            ..flags::CloudflareFlags::default()
        },
        ..flags::Flags::default()
    };
    let inputs = Inputs {
        file: flags::FileFlags::default(),
        log: flags::LogFlags::default(),
        environment: Arc::new(|name| match name {
            "CLOUDFLARE_API_TOKEN" => Some("hunter2".to_owned()),
            "STATE_DIRECTORY" => Some("/var/lib/magic-tunnel-exporter".to_owned()),
            _ => None,
        }),
        secrets: Arc::default(),
    };
    Config::for_serve(&flags, &inputs).unwrap()
}

fn other_hosts() -> Hosts {
    Hosts::new(&["exporter.example".parse().unwrap()])
}

/// The effect of one change: accounts added, changed and forgotten, and keys that need a restart.
fn effects(change: fn(&mut Config)) -> [String; 4] {
    let (old, mut new) = (config(), config());
    change(&mut new);
    let difference = Difference::between(&old, &new);
    let names = |accounts: &[AccountConfig]| {
        accounts.iter().map(|account| account.account.name.to_string()).collect::<Vec<_>>().join(" ")
    };
    let forgotten: Vec<_> = difference.forgotten.iter().map(ToString::to_string).collect();
    [names(&difference.added), names(&difference.changed), forgotten.join(" "), difference.need_restart.join(" ")]
}

fn rename(config: &mut Config, at: usize, name: &str) {
    config.accounts[at].account.name = AccountName::new(name);
}

/// A description, the change, and its effects.
type TableCase = (&'static str, fn(&mut Config), [&'static str; 4]);

const CASES: [TableCase; 25] = [
    ("nothing", |_| {}, ["", "", "", ""]),
    ("another order of accounts", |config| config.accounts.reverse(), ["", "", "", ""]),
    ("an account removed", |config| drop(config.accounts.remove(0)), ["", "", "a", ""]),
    (
        "an account added",
        |config| {
            config.accounts.push(config.accounts[0].clone());
            rename(config, 2, "c");
            config.accounts[2].account.id = "c".to_owned();
        },
        ["c", "", "", ""],
    ),
    ("a new name", |config| rename(config, 0, "acme"), ["acme", "", "a", ""]),
    ("another id behind a name", |config| config.accounts[0].account.id = "z".to_owned(), ["a", "", "a", ""]),
    (
        "another token",
        |config| {
            config.accounts[1].account.credentials = CredentialSource::Token(Secret::given("other").unwrap());
        },
        ["", "b", "", ""],
    ),
    ("another API", |config| config.accounts[0].url = "https://proxy.example".parse().unwrap(), ["", "a", "", ""]),
    (
        "swapped names",
        |config| {
            rename(config, 0, "b");
            rename(config, 1, "a");
        },
        ["b a", "", "a b", ""],
    ),
    ("the interval", |config| config.poll.interval = Duration::from_secs(9), ["", "a b", "", ""]),
    ("the timeout", |config| config.poll.timeout = Duration::from_secs(9), ["", "a b", "", ""]),
    (
        "the excluded tunnels",
        |config| {
            config.rules = Arc::new(TunnelRules { exclude: vec![Pattern::new("x")], ..TunnelRules::default() });
        },
        ["", "a b", "", ""],
    ),
    ("staleness", |config| config.poll.stale_after = Duration::from_mins(9), ["", "", "", ""]),
    ("probing", |config| config.probe.enabled = true, ["", "", "", ""]),
    ("override", |config| config.probe.overrides.push(ProbeOverride::new(Selector::name("x"))), ["", "", "", ""]),
    ("the address", |config| config.web.listen.clear(), ["", "", "", "web.listen_address"]),
    ("sockets of systemd", |config| config.web.systemd_socket = true, ["", "", "", "web.systemd_socket"]),
    ("the engine of the prober", |config| config.probe.engine = ProbeEngine::Client, ["", "", "", "probe.engine"]),
    ("the state directory", |config| config.state = None, ["", "", "", "state.directory"]),
    ("the path", |config| config.web.telemetry_path = "/m".to_owned(), ["", "", "", "web.telemetry_path"]),
    ("the host names", |config| config.web.hosts = other_hosts(), ["", "", "", "web.hosts"]),
    ("the switch", |config| config.web.enable_lifecycle = true, ["", "", "", "web.enable_lifecycle"]),
    ("the views", |config| config.web.expose = Groups::only(&[]), ["", "", "", "web.expose"]),
    ("open health pages", |config| config.web.open_health = true, ["", "", "", "web.open_health"]),
    (
        "the log",
        |config| {
            config.log.level = telemetry::LogLevel::Debug;
            config.log.format = telemetry::LogFormat::Json;
        },
        ["", "", "", "log.level log.format"],
    ),
];

#[test]
fn each_change_affects_only_the_accounts_and_keys_it_concerns() {
    for (what, change, expected) in CASES {
        assert_eq!(effects(change), expected, "{what}");
    }
}

#[test]
fn the_summary_names_accounts_and_is_empty_without_a_change() {
    let (old, mut new) = (config(), config());
    assert_eq!(Difference::between(&old, &new).summary(), "");
    rename(&mut new, 0, "acme");
    new.accounts[1].url = "https://proxy.example".parse().unwrap();
    let difference = Difference::between(&old, &new);
    assert_eq!(difference.summary(), "accounts added: acme; changed: b; removed: a");
    assert_eq!(difference.stopping(), ["a", "b"].map(AccountName::new).into());
}
