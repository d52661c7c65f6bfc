use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use hyper::Method;
use serde_json::{Value, json};

use super::*;
use crate::{SandboxSettings, testing::TestApi};

/// Whether the prober of the demo gets replies from an address. No other prober gets them from another host, because
/// all addresses are on loopback.
fn replies(address: &str, muted: &BTreeSet<IpAddr>) -> bool {
    let address: IpAddr = address.split('/').next().unwrap().parse().unwrap();
    assert!(address.is_loopback(), "{address}");
    !muted.contains(&address)
}

/// The verdict at vantage `site`.
fn verdict(tunnel: &Value, muted: &BTreeSet<IpAddr>) -> &'static str {
    let inside = replies(tunnel["interface_address"].as_str().unwrap(), muted);
    let endpoint = tunnel.get("customer_endpoint").or(tunnel.get("customer_gre_endpoint")).unwrap();
    let outside = replies(endpoint.as_str().unwrap(), muted);
    match (inside, outside, tunnel["bgp_status"]["state"].as_str()) {
        (true, _, None | Some("BGP_UP")) => "healthy",
        (true, _, Some(_)) => "bgp_fault",
        (false, _, Some("BGP_UP")) => "path_mismatch",
        (false, true, _) => "tunnel_fault",
        (false, false, _) => "unreachable",
    }
}

fn all(demo: &mut TestApi) -> Vec<Value> {
    let mut tunnels = demo.list("ipsec_tunnels");
    tunnels.extend(demo.list("gre_tunnels"));
    tunnels
}

/// The verdict of each tunnel in each second of two periods.
fn verdicts() -> Vec<BTreeMap<String, &'static str>> {
    let mut demo = TestApi::new(SandboxSettings::default());
    let mut seconds = Vec::new();
    for _ in 0..360 {
        let tunnels = all(&mut demo);
        let muted = demo.world.muted().borrow().clone();
        seconds.push(tunnels.iter().map(|tunnel| (tunnel["name"].to_string(), verdict(tunnel, &muted))).collect());
        demo.advance_clock(Duration::from_secs(1));
    }
    seconds
}

#[test]
fn the_demo_shows_every_verdict_for_at_least_20_seconds_within_three_minutes() {
    let seconds = verdicts();
    let mut longest: BTreeMap<&str, usize> = BTreeMap::new();
    for name in seconds[0].keys() {
        for run in seconds[..180].chunk_by(|before, after| before[name] == after[name]) {
            let best = longest.entry(run[0][name]).or_default();
            *best = (*best).max(run.len());
        }
    }
    let expected = BTreeSet::from(["healthy", "bgp_fault", "tunnel_fault", "unreachable", "path_mismatch"]);
    assert_eq!(longest.keys().copied().collect::<BTreeSet<_>>(), expected);
    for (verdict, seconds) in longest {
        assert!(seconds >= 20, "{verdict} lasts only {seconds} s");
    }
}

#[test]
fn the_demo_shows_a_fault_from_the_first_poll_on_and_most_tunnels_reply() {
    for second in verdicts() {
        assert!(second.len() >= 6);
        assert!(second.values().any(|verdict| *verdict == "bgp_fault"), "{second:?}");
        let silent = second.values().filter(|verdict| !["healthy", "bgp_fault"].contains(verdict)).count();
        assert!(silent * 2 < second.len(), "if half of the targets are silent, the prober looks broken: {second:?}");
    }
}

#[test]
fn the_demo_restarts_after_three_minutes() {
    let seconds = verdicts();
    assert_eq!(seconds[..180], seconds[180..]);
}

#[test]
fn one_tunnel_of_the_demo_flaps() {
    let mut demo = TestApi::new(SandboxSettings::default());
    let mut states = Vec::new();
    for _ in 0..180 {
        let tunnels = demo.list("ipsec_tunnels");
        let flapping = tunnels.iter().find(|tunnel| tunnel["name"] == "lon-ipsec-1").unwrap();
        states.push(flapping["bgp_status"]["state"].clone());
        demo.advance_clock(Duration::from_secs(1));
    }
    let runs: Vec<usize> = states.chunk_by(|before, after| before == after).map(<[Value]>::len).collect();
    assert_eq!(runs, [10, 18, 18, 18, 18, 18, 18, 18, 18, 18, 8]);
}

#[test]
fn the_demo_has_tunnels_of_every_kind_and_state() {
    let mut demo = TestApi::new(SandboxSettings::default());
    let tunnels = all(&mut demo);
    let state = |state: &str| tunnels.iter().any(|tunnel| tunnel["bgp_status"]["state"] == state);
    assert!(state("BGP_UP") && state("BGP_ESTABLISHING") && state("BGP_DOWN"));
    assert!(tunnels.iter().any(|tunnel| tunnel.get("bgp").is_none() && tunnel.get("bgp_status").is_none()));
    assert!(tunnels.iter().any(|tunnel| tunnel["health_check"]["enabled"] == false));
    assert!(tunnels.iter().any(|tunnel| tunnel["automatic_return_routing"] == true));
    let psk = |tunnel: &Value| tunnel["psk_metadata"]["last_generated_on"].is_string();
    assert!(tunnels.iter().any(psk) && !tunnels.iter().all(psk));
    assert!(tunnels.iter().any(|tunnel| tunnel["custom_remote_identities"]["fqdn_id"].is_string()));
    assert!(!demo.list("ipsec_tunnels").is_empty() && !demo.list("gre_tunnels").is_empty());
}

#[test]
fn a_restart_shows_the_same_ids() {
    let ids = |mut demo: TestApi| -> Vec<String> { all(&mut demo).iter().map(|t| t["id"].to_string()).collect() };
    let first = ids(TestApi::new(SandboxSettings { tunnels: 100, ..SandboxSettings::default() }));
    assert_eq!(first, ids(TestApi::new(SandboxSettings { tunnels: 100, ..SandboxSettings::default() })));
    assert_eq!(first.iter().collect::<BTreeSet<_>>().len(), first.len());
    assert_eq!(stable_id(&[]), "6c62272e07bb014262b821756295c58d", "the FNV-1a offset basis");
    assert_eq!(stable_id(&["a"]), "d228cb696f1a8caf78912b704e4a8964", "a published FNV-1a test vector");
}

#[test]
fn after_hours_without_a_request_only_the_last_period_is_played() {
    let story = Story::demo();
    let now = web_toolkit::clock::now();
    let mut player = StoryPlayer::new(story, now);
    let later = now.after(Duration::from_secs(180 * 100 + 20));
    let mut steps = Vec::new();
    while let Some((_, turn)) = player.next_step(later) {
        steps.push(matches!(turn, StoryStep::Restart));
    }
    assert_eq!(steps, [true, false, false], "a restart, the events at 10 s and at 15 s");
    assert_eq!(player.due(), Some(now.after(Duration::from_secs(180 * 100 + 28))));
}

#[test]
fn a_story_without_a_period_runs_once() {
    let story = Story::parse("once.yml", SMALL).unwrap();
    let now = web_toolkit::clock::now();
    let mut player = StoryPlayer::new(story, now);
    assert_eq!(player.due(), Some(now.after(Duration::from_secs(5))));
    let later = now.after(Duration::from_hours(1));
    assert!(matches!(player.next_step(later), Some((_, StoryStep::Event(_)))));
    assert!(player.next_step(later).is_none());
    assert_eq!(player.due(), None);
}

#[test]
fn deleted_tunnels_stay_deleted_and_other_changes_last_until_the_story_restarts() {
    let mut demo = TestApi::new(SandboxSettings::default());
    let ipsec = demo.list("ipsec_tunnels");
    let fra = ipsec.iter().find(|tunnel| tunnel["name"] == "fra-ipsec-1").unwrap()["id"].clone();
    demo.expect_result(&Method::DELETE, &format!("ipsec_tunnels/{}", fra.as_str().unwrap()), &Value::Null);
    let waw = ipsec.iter().find(|tunnel| tunnel["name"] == "waw-ipsec-1").unwrap();
    let mut body = waw.clone();
    body["description"] = json!("changed");
    demo.expect_result(&Method::PUT, &format!("ipsec_tunnels/{}", waw["id"].as_str().unwrap()), &body);
    let description = |demo: &mut TestApi| {
        let list = demo.list("ipsec_tunnels");
        assert!(list.iter().all(|tunnel| tunnel["id"] != fra));
        list.iter().find(|tunnel| tunnel["id"] == waw["id"]).unwrap()["description"].clone()
    };
    demo.advance_clock(Duration::from_secs(170));
    assert_eq!(description(&mut demo), "changed");
    demo.advance_clock(Duration::from_secs(15));
    assert_eq!(description(&mut demo), waw["description"]);
}

#[test]
fn faults_can_be_part_of_a_story() {
    let text = format!(
        "{SMALL}  - {{at: 10s, say: the API is down, faults: [{{fault: {{html: {{code: 502}}}}}}]}}\n  - {{at: 20s, say: the API is back, faults: []}}\n"
    );
    let mut api = TestApi::with_story(Story::parse("faults.yml", &text).unwrap());
    let path = format!("/client/v4/accounts/{}/magic/gre_tunnels", api.account);
    for (at, status) in [(9, 200), (11, 502), (21, 200)] {
        let start = api.now;
        api.advance_clock(Duration::from_secs(at));
        let request = api.request(&Method::GET, &path, "");
        assert_eq!(api.respond(&request).status.as_u16(), status, "after {at} s");
        api.now = start;
    }
}

#[test]
fn a_new_key_is_an_event_and_only_its_time_is_shown() {
    let text = format!("{SMALL}  - {{at: 10s, tunnel: two, say: rekeyed, set: {{psk: hunter2}}}}\n");
    let mut api = TestApi::with_story(Story::parse("keys.yml", &text).unwrap());
    assert!(api.list("ipsec_tunnels")[0].get("psk_metadata").is_none());
    api.advance_clock(Duration::from_secs(11));
    let two = api.list("ipsec_tunnels").swap_remove(0);
    assert!(two["psk_metadata"]["last_generated_on"].is_string(), "{two}");
    assert!(!two.to_string().contains("hunter2"), "{two}");
}

const SMALL: &str = "\
accounts:
  - name: small
    tunnels:
      - type: gre
        name: one
        cloudflare_gre_endpoint: 198.51.100.1
        customer_gre_endpoint: 203.0.113.1
        interface_address: 10.0.0.0/31
        bgp: {customer_asn: 65000}
      - type: ipsec
        name: two
        cloudflare_endpoint: 198.51.100.1
        interface_address: 10.0.0.2/31
events:
  - at: 5s
    tunnel: one
    say: it goes down
    bgp_status: down
";

/// Each error: the text that is replaced, the text that replaces it, and the message.
const INVALID_STORIES: &[(&str, &str, &str)] = &[
    (
        "interface_address: 10.0.0.0/31",
        "interface_address: 10.0.0.0/29",
        "bad.yml: line 8: tunnels.interface_address: interface_address must be an IPv4 prefix of length 31 or 30",
    ),
    ("name: two", "name: one", "bad.yml: line 11: tunnels.name: name cannot be shared with another tunnel"),
    (
        "customer_asn: 65000",
        "customer_asn: -1",
        "bad.yml: line 9: tunnels.bgp.customer_asn: customer_asn must be a whole number from 0 to 4294967295",
    ),
    ("type: ipsec", "type: vpn", "bad.yml: line 10: tunnels.type: must be `ipsec` or `gre`"),
    ("        name: two\n", "", "bad.yml: line 10: tunnels.name: name is required"),
    ("tunnel: one", "tunnel: three", "bad.yml: line 15: events.tunnel: unknown tunnel `three`"),
    ("tunnel: one", "tunnel: two", "bad.yml: line 15: events.bgp_status: `two` has no `bgp` at that time"),
    ("    tunnel: one\n", "", "bad.yml: line 15: events.tunnel: is required with `set`, `bgp_status` and `edge`"),
    (
        "bgp_status: down",
        "bgp_status: broken",
        "bad.yml: line 15: events.bgp_status: `state` must be BGP_UP, BGP_ESTABLISHING or BGP_DOWN, not `broken`",
    ),
    (
        "bgp_status: down",
        "bgp_status: {state: up, since: now}",
        "bad.yml: line 15: events.bgp_status: unknown field `since`, expected one of `state`, `tcp_established`, `bgp_state`, `updated_at`",
    ),
    ("bgp_status: down", "every: 10s", "bad.yml: line 15: events.every: needs a `period`, or it would never end"),
    ("accounts:\n", "period: 5s\naccounts:\n", "bad.yml: line 16: events.at: must be before the end of the period"),
    (
        "bgp_status: down",
        "set: {interface_address: nonsense}",
        "bad.yml: line 15: events.set.interface_address: interface_address must be an IPv4 prefix of length 31 or 30",
    ),
    (
        "bgp_status: down",
        "edge: {pass_ratio: 2}",
        "bad.yml: line 15: events.edge: `pass_ratio` must be from 0 to 1, not 2",
    ),
    (
        "bgp: {customer_asn: 65000}",
        "edge: {state_by_colo: {fra01: 0.5}}",
        "bad.yml: line 9: tunnels.edge: invalid type: floating point `0.5`, expected string or map",
    ),
    ("accounts:\n", "edge_page_size: 0\naccounts:\n", "bad.yml: line 1: edge_page_size: must be from 1 to 10000"),
    ("accounts:\n", "edge_page_size: 10001\naccounts:\n", "bad.yml: line 1: edge_page_size: must be from 1 to 10000"),
    ("bgp_status: down", "set: {name: other}", "bad.yml: line 15: events.set.name: a story cannot rename a tunnel"),
];

#[test]
fn every_error_in_a_story_file_names_file_line_key_and_rule() {
    Story::parse("good.yml", SMALL).unwrap();
    for (from, to, message) in INVALID_STORIES {
        assert!(SMALL.contains(from));
        let error = Story::parse("bad.yml", &SMALL.replacen(from, to, 1)).unwrap_err();
        assert_eq!(error.to_string(), *message, "{from:?} -> {to:?}");
    }
}

/// Messages of the YAML parser, compared by line and key only.
#[test]
fn an_invalid_story_file_is_rejected_with_a_line() {
    for (text, line, word) in [
        ("accounts: []", "line 1:", "accounts: there must be at least one"),
        ("acounts: []", "line 1:", "acounts"),
        ("accounts:\n  - name: a\n    color: red\n", "line 3:", "color"),
        (
            "accounts:\n  - name: a\n    id: abc\n",
            "line 2:",
            "accounts.id (3 characters, not shown): must be 32 hex digits",
        ),
        ("accounts:\n  - name: a\n  - name: a\n", "line 3:", "accounts.name: `a` is the name of another account"),
        (
            "accounts:\n  - name: a\n    id: 00000000000000000000000000000001\n  - name: b\n    id: 00000000000000000000000000000001\n",
            "line 4:",
            "accounts.id: `b` has the id of another account",
        ),
        ("period: 0s\naccounts:\n  - name: a\n", "line 1:", "period: must be at least 1s"),
        ("period: soon\naccounts:\n  - name: a\n", "line 1:", "`soon` is not a duration"),
        ("accounts: [", "line 1:", ""),
    ] {
        let error = Story::parse("bad.yml", text).unwrap_err().to_string();
        assert!(error.starts_with(&format!("bad.yml: {line}")) && error.contains(word), "{text:?}: {error}");
        assert!(!error.contains('\n'), "one line: {error}");
    }
}

std::thread_local! {
    /// The log lines of this thread.
    static LOG: std::cell::RefCell<Vec<u8>> = const { std::cell::RefCell::new(Vec::new()) };
}

struct LogWriter;

impl std::io::Write for LogWriter {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        LOG.with_borrow_mut(|log| log.extend_from_slice(bytes));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn each_event_is_one_line_in_the_log() {
    // Global, because tracing caches that an event has no subscriber: another test can log it first, on a thread
    // without one.
    let subscriber = tracing_subscriber::fmt().without_time().with_ansi(false).with_writer(|| LogWriter).finish();
    tracing::subscriber::set_global_default(subscriber).unwrap();
    let mut demo = TestApi::new(SandboxSettings::default());
    for second in 0..=185 {
        demo.world.advance(demo.now.after(Duration::from_secs(second)));
    }
    let text = String::from_utf8(LOG.take()).unwrap();
    assert_eq!(text.lines().count(), Story::demo().events.len() + 1, "{text}");
    assert!(text.lines().all(|line| line.contains(" INFO ")), "{text}");
    assert!(text.contains("story: fra-ipsec-1: the circuit is down, the BGP hold timer expires in 35 s"), "{text}");
    assert!(text.lines().last().unwrap().contains("story: restarting from the beginning"), "{text}");
}
