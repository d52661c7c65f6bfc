use std::time::Duration;

use web_toolkit::clock::{self, Moment};

use super::*;
use crate::{
    domain::{
        fixtures::{addressed, fleet, gre, polled, route, routed},
        inventory::{Fleet, TunnelList},
        routes::prefixes::HopState,
        tunnel::TunnelType,
    },
    snapshot::Judged,
};

const STALE_AFTER: Duration = Duration::from_mins(5);

fn snapshot(fleet: &Arc<Fleet>, now: Moment) -> Snapshot {
    let state = |account: &AccountName| {
        let matches = Arc::clone(fleet.accounts[account].route_matches());
        Arc::new(PrefixReport::assess(matches, |tunnel| [HopState::Working, HopState::Broken][tunnel.index as usize]))
    };
    let prefixes = fleet.accounts.keys().map(|account| (account.clone(), state(account))).collect();
    let judged = Judged { fleet: Arc::clone(fleet), prefixes: Arc::new(prefixes), ..Judged::default() };
    Snapshot { judged, stale_after: STALE_AFTER, now }
}

fn two_tunnels(now: Moment) -> Arc<Fleet> {
    polled(Some(now), [addressed("a", "", "10.0.0.0/31", ""), addressed("b", "", "10.0.0.2/31", "")])
}

#[tokio::test]
async fn the_most_endangered_prefix_is_the_first() {
    let now = clock::now();
    let routes = [
        route("10.1.0.0/16", "10.0.0.1", 100),
        route("10.2.0.0/16", "10.0.0.1", 100),
        route("10.2.0.0/16", "10.0.0.3", 100),
        route("10.3.0.0/16", "10.0.0.3", 100),
        route("10.4.0.0/16", "10.0.0.99", 100),
    ];
    let snapshot = snapshot(&routed(&two_tunnels(now), now, routes), now);
    let rows: Vec<(String, PrefixState)> =
        snapshot.prefixes().iter().map(|row| (row.prefix.to_string(), row.state())).collect();
    let expected = [
        ("10.3.0.0/16", PrefixState::Lost),
        ("10.2.0.0/16", PrefixState::AtRisk),
        ("10.4.0.0/16", PrefixState::Unknown),
        ("10.1.0.0/16", PrefixState::Ok),
    ];
    assert_eq!(rows, expected.map(|(prefix, state)| (prefix.to_owned(), state)));
    let counts: Vec<u32> = snapshot.rows().filter_map(|row| row.routes.map(|routes| routes.count())).collect();
    assert_eq!(counts, [2, 2]);
    let at_risk = snapshot.prefixes()[1];
    let names: Vec<&str> = at_risk
        .routes()
        .flat_map(|(position, _)| snapshot.tunnels_of_route(&at_risk, position).map(|entry| &*entry.tunnel.name))
        .collect();
    assert_eq!(names, ["a", "b"]);
}

#[tokio::test]
async fn stale_routes_have_no_values() {
    let now = clock::now();
    let fleet = routed(&two_tunnels(now), now, [route("10.1.0.0/16", "10.0.0.1", 100)]);
    let stale = snapshot(&fleet, now.after(STALE_AFTER + Duration::from_secs(1)));
    assert!(stale.prefixes().is_empty());
    assert!(stale.rows().all(|row| row.routes.is_none()));
    assert!(stale.fleet().accounts.keys().all(|account| stale.unmatched_routes(account).is_none()));
}

#[tokio::test]
async fn routes_are_unmatched_only_once_every_list_of_tunnels_is_known() {
    let now = clock::now();
    let account = AccountName::new("acme");
    let wrong = || [route("10.1.0.0/16", "10.0.0.99", 100)];
    let unmatched = |fleet: &Arc<Fleet>| snapshot(&routed(fleet, now, wrong()), now).unmatched_routes(&account);
    assert_eq!(unmatched(&two_tunnels(now)), None, "the GRE tunnels are not known yet");
    assert_eq!(unmatched(&fleet([addressed("a", "", "10.0.0.0/31", "")])), None);
    let both = [addressed("a", "", "10.0.0.0/31", ""), gre(addressed("b", "", "10.0.0.2/31", ""))];
    assert_eq!(unmatched(&polled(Some(now), both)), Some(1));
}

#[tokio::test]
async fn an_account_that_is_not_entitled_to_gre_tunnels_has_none() {
    let now = clock::now();
    let account = AccountName::new("acme");
    let unmatched = |reason| {
        let status = PollStatus { state: PollState::Failed(reason), ..PollStatus::default() };
        let mut fleet = Fleet::clone(&two_tunnels(now));
        let known = Arc::make_mut(fleet.accounts.get_mut(&account).unwrap());
        known.set_list(TunnelType::Gre, TunnelList { status, ..TunnelList::default() });
        let routed = routed(&Arc::new(fleet), now, [route("10.1.0.0/16", "10.0.0.99", 100)]);
        snapshot(&routed, now).unmatched_routes(&account)
    };
    assert_eq!(unmatched(FailureReason::NotEntitled), Some(1));
    assert_eq!(unmatched(FailureReason::Auth), None, "the route may lead to a tunnel that cannot be read");
}
