use proptest::prelude::*;

use super::*;
use crate::domain::{
    fixtures::{addressed, route, scoped},
    routes::Route,
    tunnel::{Tunnel, TunnelLists},
};

use HopState::{Broken, Unknown, Working};

fn hops(states: &[HopState]) -> PrefixHops {
    let mut hops = PrefixHops::default();
    for &state in states {
        hops.add(state, 1);
    }
    hops
}

#[test]
fn the_state_of_a_prefix_is_that_of_its_tunnels() {
    let table: &[(&[HopState], PrefixState)] = &[
        (&[Working], PrefixState::Ok),
        (&[Unknown], PrefixState::Unknown),
        (&[Broken], PrefixState::Lost),
        (&[Working, Working], PrefixState::Ok),
        (&[Working, Unknown], PrefixState::Ok),
        (&[Unknown, Unknown], PrefixState::Unknown),
        (&[Working, Broken], PrefixState::AtRisk),
        (&[Unknown, Broken], PrefixState::AtRisk),
        (&[Broken, Broken], PrefixState::Lost),
        (&[Working, Working, Broken], PrefixState::Ok),
        (&[Working, Unknown, Broken], PrefixState::Ok),
        (&[Unknown, Unknown, Broken], PrefixState::Unknown),
        (&[Working, Broken, Broken], PrefixState::AtRisk),
        (&[Broken, Broken, Broken], PrefixState::Lost),
        (&[], PrefixState::Unknown),
    ];
    for (states, expected) in table {
        assert_eq!(hops(states).state(), *expected, "{states:?}");
    }
}

#[test]
fn a_tunnel_that_carries_traffic_carries_its_routes_whatever_cloudflare_reports() {
    let state = |verdict: Verdict| HopState::from(verdict);
    for verdict in [Verdict::Healthy, Verdict::BgpFault, Verdict::CheckFault] {
        assert_eq!(state(verdict), Working, "{verdict}");
    }
    for verdict in [Verdict::TunnelFault, Verdict::Unreachable, Verdict::ReportedDown] {
        assert_eq!(state(verdict), Broken, "{verdict}");
    }
    for verdict in [Verdict::PathMismatch, Verdict::Unknown, Verdict::ProberIsolated] {
        assert_eq!(state(verdict), Unknown, "{verdict}");
    }
}

/// Three tunnels with the next hops 10.0.0.1, 10.0.0.3 and 10.0.0.5.
fn tunnels() -> [Tunnel; 3] {
    [0, 2, 4].map(|host| addressed(&format!("t{host}"), "", &format!("10.0.0.{host}/31"), ""))
}

fn assess(routes: impl IntoIterator<Item = Route>, states: [HopState; 3]) -> Vec<(String, PrefixHops)> {
    let mut routes: Vec<Route> = routes.into_iter().collect();
    routes.sort_by(|a, b| a.sort_key().cmp(&b.sort_key()));
    let tunnels = tunnels();
    let mut lists = TunnelLists::default();
    lists[TunnelType::Ipsec as usize] = tunnels.iter().collect();
    let matches = Arc::new(RouteMatches::join(routes.into(), &lists));
    let report = PrefixReport::assess(Arc::clone(&matches), |tunnel| states[tunnel.index as usize]);
    let name = |group| {
        let (prefix, scope) = matches.prefix(group);
        format!("{prefix}{}", scope.map(|scope| format!(" {scope}")).unwrap_or_default())
    };
    matches.groups().iter().map(name).zip(report.hops.iter().copied()).collect()
}

#[test]
fn three_tunnels_of_equal_priority_of_which_one_is_left() {
    let routes = ["10.0.0.1", "10.0.0.3", "10.0.0.5"].map(|hop| route("192.0.2.0/24", hop, 100));
    let states = |states| assess(routes.clone(), states)[0].1.state();
    assert_eq!(states([Working, Working, Working]), PrefixState::Ok);
    assert_eq!(states([Working, Broken, Working]), PrefixState::Ok);
    assert_eq!(states([Working, Broken, Broken]), PrefixState::AtRisk);
    assert_eq!(states([Broken, Broken, Broken]), PrefixState::Lost);
}

#[test]
fn two_routes_to_one_tunnel_are_one_tunnel() {
    let routes = [route("192.0.2.0/24", "10.0.0.1", 100), route("192.0.2.0/24", "10.0.0.1", 200)];
    assert_eq!(assess(routes.clone(), [Working; 3])[0].1, hops(&[Working]));
    assert_eq!(assess(routes, [Broken; 3])[0].1.state(), PrefixState::Lost);
}

#[test]
fn a_prefix_with_a_next_hop_that_no_tunnel_has_is_not_lost() {
    let wrong = route("192.0.2.0/24", "203.0.113.9", 100);
    assert_eq!(assess([wrong.clone()], [Broken; 3])[0].1, hops(&[Unknown]));
    let both = [wrong, route("192.0.2.0/24", "10.0.0.1", 100)];
    assert_eq!(assess(both, [Broken; 3])[0].1.state(), PrefixState::AtRisk);
}

#[test]
fn a_region_also_uses_the_routes_for_all_data_centers() {
    let routes = [route("192.0.2.0/24", "10.0.0.1", 100), scoped(route("192.0.2.0/24", "10.0.0.3", 100), "EEUR")];
    let states = |states| assess(routes.clone(), states).into_iter().map(|(_, hops)| hops.state()).collect::<Vec<_>>();
    assert_eq!(states([Working, Working, Working]), [PrefixState::Ok, PrefixState::Ok]);
    assert_eq!(states([Broken, Working, Working]), [PrefixState::Lost, PrefixState::AtRisk]);
    assert_eq!(states([Working, Broken, Working]), [PrefixState::Ok, PrefixState::AtRisk]);
    assert_eq!(states([Broken, Broken, Working]), [PrefixState::Lost, PrefixState::Lost]);
}

fn any_state() -> impl Strategy<Value = HopState> {
    prop_oneof![Just(Working), Just(Broken), Just(Unknown)]
}

proptest! {
    #[test]
    fn a_tunnel_that_breaks_never_improves_a_prefix(states in proptest::collection::vec(any_state(), 1..6), index in any::<prop::sample::Index>()) {
        let mut broken = states.clone();
        *index.get_mut(&mut broken) = Broken;
        prop_assert!(hops(&states).state() <= hops(&broken).state());
    }

    #[test]
    fn a_prefix_is_lost_only_if_every_tunnel_is_broken(states in proptest::collection::vec(any_state(), 0..6)) {
        let all_broken = !states.is_empty() && states.iter().all(|&state| state == Broken);
        prop_assert_eq!(hops(&states).state() == PrefixState::Lost, all_broken);
    }

    #[test]
    fn every_prefix_counts_each_of_its_tunnels_once(hosts in proptest::collection::vec((0..3_u8, 0..8_u8), 0..30), states in [any_state(), any_state(), any_state()]) {
        let routes = hosts.iter().map(|(prefix, host)| route(&format!("10.{prefix}.0.0/16"), &format!("10.0.0.{host}"), 100));
        for (prefix, found) in assess(routes, states) {
            let own = hosts.iter().filter(|(number, _)| prefix == format!("10.{number}.0.0/16"));
            let mut expected = PrefixHops::default();
            let mut seen = std::collections::BTreeSet::new();
            for (_, host) in own {
                match host {
                    1 | 3 | 5 if seen.insert(*host) => expected.add(states[usize::from(host / 2)], 1),
                    1 | 3 | 5 => {}
                    _ => expected.add(Unknown, 1),
                }
            }
            prop_assert_eq!(found, expected);
        }
    }
}
