use std::time::Duration;

use web_toolkit::clock;

use super::*;
use crate::{
    domain::{
        fixtures::{addressed, fleet},
        probe::{EchoOutcome, ProbePath, Silence},
    },
    prober::{mtu::MtuSettings, settings::SessionSettings},
};

fn roster() -> Roster {
    Roster::new(Arc::default(), Arc::default(), Arc::default(), PastReplies::new())
}

fn on() -> Arc<ProbeSettings> {
    Arc::new(ProbeSettings { enabled: true, ..ProbeSettings::default() })
}

fn addresses<'a>(keys: impl IntoIterator<Item = &'a SessionKey>) -> Vec<String> {
    let mut addresses: Vec<_> = keys.into_iter().map(|key| key.address.to_string()).collect();
    addresses.sort();
    addresses
}

fn started(change: &PlanChange) -> Vec<String> {
    addresses(change.start.iter().map(|(key, _)| key))
}

/// Number of requests to the `n`th target of a tunnel.
fn requests(roster: &Roster, id: &str, n: usize) -> u64 {
    let (_, probes) = roster.board().tunnels.iter().find(|(key, _)| key.id.as_str() == id).unwrap();
    probes.targets[n].tally.read().requests
}

fn probe_each_once(roster: &Roster) {
    for (_, tally) in roster.board().sessions.iter() {
        tally.begin();
        tally.finish(
            EchoOutcome::Reply { rtt: Duration::from_millis(1) },
            clock::now(),
            SessionSettings::default().thresholds,
        );
    }
}

#[test]
fn the_same_inventory_changes_nothing() {
    let mut roster = roster();
    let fleet = fleet([addressed("t1", "203.0.113.1", "10.0.0.0/31", "")]);
    assert_eq!(started(&roster.update(&fleet, &on())), ["10.0.0.0", "203.0.113.1"]);
    let again = roster.update(&fleet, &on());
    assert!(again.start.is_empty() && again.stop.is_empty() && again.board.is_none());
}

#[test]
fn a_new_tunnel_does_not_affect_other_counters() {
    let mut roster = roster();
    let t1 = || addressed("t1", "203.0.113.1", "10.0.0.0/31", "");
    roster.update(&fleet([t1()]), &on());
    probe_each_once(&roster);
    let change = roster.update(&fleet([t1(), addressed("t2", "203.0.113.2", "", "")]), &on());
    assert_eq!(started(&change), ["203.0.113.2"]);
    assert!(change.stop.is_empty());
    assert_eq!((requests(&roster, "t1", 0), requests(&roster, "t2", 0)), (1, 0));
}

#[test]
fn a_changed_address_restarts_only_that_target() {
    let mut roster = roster();
    roster.update(&fleet([addressed("t1", "203.0.113.1", "10.0.0.0/31", "")]), &on());
    probe_each_once(&roster);
    let change = roster.update(&fleet([addressed("t1", "203.0.113.9", "10.0.0.0/31", "")]), &on());
    assert_eq!(started(&change), ["203.0.113.9"]);
    assert_eq!(addresses(&change.stop), ["203.0.113.1"]);
    assert_eq!((requests(&roster, "t1", 0), requests(&roster, "t1", 1)), (0, 1));
}

#[test]
fn a_removed_tunnel_drops_its_counters_except_shared_ones() {
    let mut roster = roster();
    let t2 = || addressed("t2", "203.0.113.1", "", "");
    roster.update(&fleet([addressed("t1", "203.0.113.1", "10.0.0.0/31", ""), t2()]), &on());
    probe_each_once(&roster);
    let change = roster.update(&fleet([t2()]), &on());
    assert_eq!(addresses(&change.stop), ["10.0.0.0"]);
    assert_eq!(requests(&roster, "t2", 0), 1);
    assert_eq!(roster.board().tunnels.len(), 1);
    assert_eq!(roster.board().sessions.len(), 1);
}

#[test]
fn disabling_probing_empties_the_board() {
    let mut roster = roster();
    let fleet = fleet([addressed("t1", "203.0.113.1", "", "")]);
    roster.update(&fleet, &on());
    let change = roster.update(&fleet, &Arc::default());
    assert_eq!(addresses(&change.stop), ["203.0.113.1"]);
    assert!(roster.board().tunnels.is_empty() && roster.board().sessions.is_empty());
}

#[test]
fn new_buckets_restart_no_session() {
    let mut roster = roster();
    let fleet = fleet([addressed("t1", "203.0.113.1", "", "")]);
    roster.update(&fleet, &on());
    probe_each_once(&roster);
    let mut settings = on();
    Arc::make_mut(&mut settings).buckets = Buckets::new([Duration::from_secs(1)]).unwrap();
    let change = roster.update(&fleet, &settings);
    assert!(change.start.is_empty() && change.stop.is_empty());
    let reading = roster.board().sessions[0].1.read();
    assert_eq!((reading.requests, reading.rtt.counts().len()), (1, 2));
}

#[test]
fn a_new_silence_rule_is_on_the_board() {
    let mut roster = roster();
    let fleet = fleet([addressed("t1", "203.0.113.1", "", "")]);
    roster.update(&fleet, &on());
    let change =
        roster.update(&fleet, &Arc::new(ProbeSettings { silence: Silence::Always, ..ProbeSettings::clone(&on()) }));
    assert_eq!(change.board.unwrap().settings.silence, Silence::Always);
}

#[test]
fn an_address_that_answered_before_the_restart_has_ever_answered() {
    let past = ProbePath { address: [10, 0, 0, 0].into(), source: None, interface: None };
    let last_reply = clock::now().wall;
    let replies = [(past, Some(last_reply))].into();
    let mut roster = Roster::new(Arc::default(), Arc::default(), Arc::default(), replies);
    let fleet_of_one = fleet([addressed("t1", "203.0.113.1", "10.0.0.0/31", "")]);
    let change = roster.update(&fleet_of_one, &on());
    let known = change.start.iter().map(|(key, tally)| {
        let reading = tally.read();
        assert_eq!((reading.requests, reading.replies, reading.state.up), (0, 0, None));
        (key.address.to_string(), reading.state.ever_answered, reading.last_reply)
    });
    let known: Vec<_> = known.collect();
    assert_eq!(known, [("10.0.0.0".to_owned(), true, Some(last_reply)), ("203.0.113.1".to_owned(), false, None)]);

    // Through another interface the address is another target.
    let mut bound = ProbeSettings::clone(&on());
    bound.tunnels.interface = Some("gre1".into());
    let change = roster.update(&fleet_of_one, &Arc::new(bound));
    assert!(change.start.iter().all(|(_, tally)| !tally.state().ever_answered));
}

/// The addresses with a new watch of the path MTU, and those that are no longer watched.
fn mtu_changes(change: &PlanChange) -> (Vec<String>, Vec<String>) {
    (addresses(change.start_mtu.iter().map(|(key, ..)| key)), addresses(&change.stop_mtu))
}

#[test]
fn the_watch_of_a_path_mtu_follows_its_address_and_its_limits() {
    let mut roster = roster();
    let settings = |interval| {
        let mtu = MtuSettings { enabled: true, interval: Duration::from_secs(interval), ..MtuSettings::default() };
        Arc::new(ProbeSettings { mtu, ..ProbeSettings::clone(&on()) })
    };
    let none = Vec::<String>::new;
    let watched = |roster: &Roster| -> Vec<Option<u16>> {
        let sessions = roster.board().sessions.iter();
        sessions.map(|(_, tally)| tally.mtu().map(|mtu| mtu.expected)).collect()
    };
    let one = fleet([addressed("t1", "203.0.113.1", "10.0.0.0/31", "")]);
    assert_eq!(mtu_changes(&roster.update(&one, &on())), (none(), none()));
    assert_eq!(mtu_changes(&roster.update(&one, &settings(60))), (vec!["10.0.0.0".into()], none()));
    assert_eq!(watched(&roster), [Some(1_400), None], "not the customer endpoint");
    let two = fleet([addressed("t1", "203.0.113.1", "10.0.0.0/31", ""), addressed("t2", "", "10.0.0.2/31", "")]);
    assert_eq!(mtu_changes(&roster.update(&two, &settings(60))), (vec!["10.0.0.2".into()], none()));
    let both = || vec!["10.0.0.0".to_owned(), "10.0.0.2".to_owned()];
    assert_eq!(mtu_changes(&roster.update(&two, &settings(30))), (both(), both()), "other limits");
    assert_eq!(mtu_changes(&roster.update(&one, &settings(30))), (none(), vec!["10.0.0.2".into()]));
    assert_eq!(mtu_changes(&roster.update(&one, &on())), (none(), vec!["10.0.0.0".into()]));
    assert_eq!(watched(&roster), [None, None]);
}
