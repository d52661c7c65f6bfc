use web_toolkit::clock;

use super::*;
use crate::{
    domain::probe::ProbeTarget,
    inventory::{ListAge, decode},
};

const SECOND: Duration = Duration::from_secs(1);

/// An inventory of one account with these IPsec tunnels, each `name` or `name@site`.
fn inventory(ipsec: &str, gre: &str, tunnels: &[&str]) -> Inventory {
    let tunnels: Vec<String> = tunnels
        .iter()
        .map(|tunnel| {
            let (name, site) = tunnel.split_once('@').unwrap_or((tunnel, "fra"));
            format!(r#"{{"account":"acme","id":"{name}","name":"{name}","type":"ipsec","site":"{site}"}}"#)
        })
        .collect();
    let list = |name: &str, state: &str| format!(r#"{{"account":"acme","collection":"{name}_tunnels",{state}}}"#);
    let lists = [list("ipsec", ipsec), list("gre", gre)].join(",");
    decode(&format!(r#"{{"version":1,"collections":[{lists}],"tunnels":[{}]}}"#, tunnels.join(","))).unwrap()
}

const GOOD: &str = r#""state":"succeeded""#;
const WAITING: &str = r#""state":"waiting""#;
const LOST: &str = r#""state":"failed","reason":"timeout""#;
const OLD: &str = r#""state":"failed","reason":"auth","last_success":"2026-11-21T10:00:00Z""#;

fn ledger() -> HubLedger {
    HubLedger::resume(Arc::default(), &Fleet::awaiting_hub())
}

fn times(age: u64) -> ReplyTimes {
    let gre = ListAge { account: AccountName::new("acme"), tunnel_type: TunnelType::Gre, age: 600 * SECOND };
    let edge =
        EdgeAge { account: AccountName::new("acme"), from: 420 * SECOND, to: 120 * SECOND, stale_after: 900 * SECOND };
    ReplyTimes { age: Duration::from_secs(age), lists: vec![gre], edges: vec![edge] }
}

fn names(ledger: &HubLedger) -> Vec<String> {
    let fleet = ledger.fleet();
    fleet.accounts.values().flat_map(|known| known.entries()).map(|entry| entry.tunnel.name.to_string()).collect()
}

fn status(ledger: &HubLedger, tunnel_type: TunnelType) -> PollStatus {
    ledger.fleet().accounts[&AccountName::new("acme")].list(tunnel_type).status
}

#[test]
fn an_agent_is_ready_when_it_has_an_inventory() {
    let (mut ledger, now) = (ledger(), clock::now());
    assert!(!ledger.fleet().is_ready());
    ledger.fail(FailureReason::Connect);
    assert!(!ledger.fleet().is_ready());
    assert_eq!(ledger.fleet().from_hub.unwrap().state, PollState::Failed(FailureReason::Connect));
    ledger.apply(inventory(GOOD, GOOD, &["a@lon", "b"]), &times(0), now);
    let fleet = ledger.fleet();
    assert!(fleet.is_ready());
    let sites: Vec<_> =
        fleet.accounts.values().flat_map(|known| known.entries()).map(|entry| entry.site.clone()).collect();
    assert_eq!(sites, [Some("lon".into()), Some("fra".into())]);
}

#[test]
fn reported_values_are_as_old_as_the_hub_says_whatever_the_clocks_show() {
    let (mut ledger, now) = (ledger(), clock::now());
    for ahead in [-3600, 0, 3600] {
        let wall = now.wall.checked_add(jiff::SignedDuration::from_secs(ahead)).unwrap();
        ledger.apply(inventory(GOOD, OLD, &["a"]), &times(40), Moment { wall, ..now });
        let age = |tunnel_type| now.since(status(&ledger, tunnel_type).last_success.unwrap());
        assert_eq!((age(TunnelType::Ipsec), age(TunnelType::Gre)), (40 * SECOND, 600 * SECOND));
    }
    ledger.confirm(&times(10), now.after(60 * SECOND));
    let age = |tunnel_type| now.after(60 * SECOND).since(status(&ledger, tunnel_type).last_success.unwrap());
    assert_eq!((age(TunnelType::Ipsec), age(TunnelType::Gre)), (10 * SECOND, 600 * SECOND), "as the hub says again");
    ledger.confirm(&ReplyTimes { age: 10 * SECOND, ..ReplyTimes::default() }, now.after(120 * SECOND));
    let age = |tunnel_type| now.after(120 * SECOND).since(status(&ledger, tunnel_type).last_success.unwrap());
    assert_eq!((age(TunnelType::Ipsec), age(TunnelType::Gre)), (10 * SECOND, 660 * SECOND), "only one was confirmed");
}

#[test]
fn tunnels_vanish_only_if_the_hub_knows_that_they_did() {
    for (what, answer, left) in [
        ("one is removed", inventory(GOOD, GOOD, &["a"]), &["a"][..]),
        ("all are removed", inventory(GOOD, GOOD, &[]), &[]),
        ("a list of the hub was never read", inventory(LOST, GOOD, &[]), &["a", "b"]),
        ("a list of the hub is not polled yet", inventory(WAITING, GOOD, &[]), &["a", "b"]),
        ("an empty list beside a failure", inventory(GOOD, LOST, &[]), &["a", "b"]),
        ("a removal beside a failure", inventory(GOOD, LOST, &["b"]), &["b"]),
        ("an old list of the hub", inventory(OLD, GOOD, &["a"]), &["a"]),
        ("no lists", decode(r#"{"version":1,"collections":[],"tunnels":[]}"#).unwrap(), &["a", "b"]),
    ] {
        let (mut ledger, now) = (ledger(), clock::now());
        ledger.apply(inventory(GOOD, GOOD, &["a", "b"]), &times(0), now);
        ledger.apply(answer, &times(0), now);
        assert_eq!(names(&ledger), left, "{what}");
    }
}

#[test]
fn only_a_whole_inventory_is_stored() {
    let now = clock::now();
    for (answer, stored) in [
        (inventory(GOOD, GOOD, &[]), true),
        (inventory(OLD, GOOD, &["a"]), true),
        (inventory(LOST, GOOD, &["a"]), false),
        (inventory(GOOD, WAITING, &[]), false),
    ] {
        let mut ledger = ledger();
        ledger.apply(inventory(GOOD, GOOD, &["a"]), &times(0), now);
        assert_eq!(ledger.apply(answer, &times(0), now).1, stored);
    }
}

#[test]
fn a_stored_inventory_is_probed_and_its_reported_values_are_stale_until_a_hub_confirms_them() {
    let (mut ledger, now) = (ledger(), clock::now());
    // The clock was set back since: the inventory seems to be newer than now.
    let confirmed = now.after(3600 * SECOND);
    ledger.apply_stored(inventory(GOOD, GOOD, &["a"]), confirmed, now);
    let is_fresh = |ledger: &HubLedger, now| status(ledger, TunnelType::Ipsec).is_fresh(now, 86_400 * SECOND);
    assert_eq!(names(&ledger), ["a"]);
    assert!(ledger.fleet().is_ready() && !is_fresh(&ledger, now));
    assert_eq!(ledger.confirmed().unwrap().wall, confirmed.wall);
    ledger.fail(FailureReason::Timeout);
    assert!(!is_fresh(&ledger, now) && names(&ledger) == ["a"]);
    ledger.confirm(&times(3), now);
    assert!(is_fresh(&ledger, now));
}

#[test]
fn a_restart_of_the_feed_keeps_tunnels_and_sites() {
    let (mut first, now) = (ledger(), clock::now());
    first.apply(inventory(GOOD, GOOD, &["a@lon"]), &times(0), now);
    let second = HubLedger::resume(Arc::default(), &first.fleet());
    let entries = |ledger: &HubLedger| {
        ledger.fleet().accounts[&AccountName::new("acme")].list(TunnelType::Ipsec).entries.to_vec()
    };
    assert_eq!(entries(&first), entries(&second));
}

#[test]
fn what_the_hub_states_about_a_tunnel_follows_the_hub() {
    let tunnel = |more: &str| {
        let text = format!(
            r#"{{"version":1,"collections":[{{"account":"acme","collection":"ipsec_tunnels",{GOOD}}}],
                "tunnels":[{{"account":"acme","id":"a","name":"a","type":"ipsec"{more}}}]}}"#
        );
        decode(&text).unwrap()
    };
    let (mut ledger, now) = (ledger(), clock::now());
    let steering = |ledger: &HubLedger| {
        let entries = ledger.fleet().accounts[&AccountName::new("acme")].list(TunnelType::Ipsec).entries.to_vec();
        entries[0].steering.as_deref().cloned()
    };
    let state = |ledger: &HubLedger, now| {
        let fleet = ledger.fleet();
        let known = &fleet.accounts[&AccountName::new("acme")];
        known.edge()?.health_window(now)?;
        known.matches().get(TunnelType::Ipsec, 0)?.health.as_ref()?.state
    };
    let probe = r#","probe":{"enabled":true,"targets":["customer_endpoint","by_pigeon"],"uplink":["192.0.2.1","new"]}"#;
    ledger.apply(tunnel(&format!(r#"{probe},"edge":{{"state":"down"}}"#)), &times(0), now);
    let expected = Steering {
        enabled: Some(true),
        targets: Some([ProbeTarget::CustomerEndpoint].into()),
        uplinks: Some(vec!["192.0.2.1".parse().unwrap()]),
        ..Steering::default()
    };
    assert_eq!((steering(&ledger), state(&ledger, now)), (Some(expected), Some(HealthState::Down)));
    let later = now.after(800 * SECOND);
    assert_eq!(state(&ledger, later), None, "the end of the time span is older than 900 s");
    ledger.confirm(&times(0), later);
    assert_eq!(state(&ledger, later), Some(HealthState::Down));
    let resumed = HubLedger::resume(Arc::default(), &ledger.fleet());
    assert_eq!((steering(&resumed), state(&resumed, later)), (steering(&ledger), Some(HealthState::Down)));
    ledger = resumed;
    ledger.apply(tunnel(""), &times(0), later);
    assert_eq!((steering(&ledger), state(&ledger, later)), (None, None));
}
