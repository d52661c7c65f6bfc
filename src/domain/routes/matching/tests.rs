use proptest::prelude::*;

use super::*;
use crate::domain::{
    fixtures::{addressed, gre, route, scoped},
    tunnel::Tunnel,
};

fn join(routes: impl IntoIterator<Item = Route>, tunnels: &[Tunnel]) -> RouteMatches {
    let mut routes: Vec<Route> = routes.into_iter().collect();
    routes.sort_by(|a, b| a.sort_key().cmp(&b.sort_key()));
    let lists: TunnelLists<'_> = std::array::from_fn(|index| {
        tunnels.iter().filter(|tunnel| tunnel.tunnel_type() == TunnelType::ALL[index]).collect()
    });
    RouteMatches::join(routes.into(), &lists)
}

fn position(tunnel_type: TunnelType, index: u32) -> ListPosition {
    ListPosition { tunnel_type, index }
}

/// Two IPsec tunnels, one of which has an IPv6 prefix, and a GRE tunnel.
fn tunnels() -> [Tunnel; 3] {
    [
        addressed("fra", "", "10.0.0.0/31", ""),
        addressed("lon", "", "10.0.0.5/30", "fd00::2/127"),
        gre(addressed("ams", "", "10.0.0.9/31", "")),
    ]
}

#[test]
fn the_next_hop_is_the_customers_side_of_a_tunnel() {
    use TunnelType::{Gre, Ipsec};
    for (next_hop, found) in [
        ("10.0.0.1", Some(position(Ipsec, 0))),
        ("10.0.0.6", Some(position(Ipsec, 1))),
        ("fd00::3", Some(position(Ipsec, 1))),
        ("10.0.0.8", Some(position(Gre, 0))),
        // Cloudflare's side, the network address of the /30, another address, and no address.
        ("10.0.0.0", None),
        ("10.0.0.4", None),
        ("192.0.2.1", None),
        ("next", None),
    ] {
        let matches = join([route("192.0.2.0/24", next_hop, 100)], &tunnels());
        assert_eq!(matches.tunnels(0).collect::<Vec<_>>(), Vec::from_iter(found), "{next_hop}");
        assert_eq!(matches.unmatched(), usize::from(found.is_none()), "{next_hop}");
    }
}

#[test]
fn the_routes_of_a_tunnel_are_counted_and_listed() {
    let routes = [
        route("10.2.0.0/16", "10.0.0.1", 100),
        route("10.1.0.0/16", "10.0.0.1", 100),
        route("10.1.0.0/16", "10.0.0.6", 100),
        route("fd01::/48", "fd00::3", 100),
    ];
    let matches = join(routes, &tunnels());
    let count = |tunnel_type, index| matches.count(tunnel_type, index);
    assert_eq!((count(TunnelType::Ipsec, 0), count(TunnelType::Ipsec, 1)), (Some(2), Some(2)));
    assert_eq!((count(TunnelType::Gre, 0), count(TunnelType::Gre, 1)), (Some(0), None));
    let prefixes: Vec<String> = matches.routes_of(TunnelType::Ipsec, 0).map(|route| route.prefix.to_string()).collect();
    assert_eq!(prefixes, ["10.1.0.0/16", "10.2.0.0/16"]);
}

#[test]
fn two_tunnels_with_one_interface_prefix_share_the_next_hop() {
    let twins = [addressed("a", "", "10.0.0.0/31", ""), addressed("b", "", "10.0.0.0/31", "")];
    let matches = join([route("192.0.2.0/24", "10.0.0.1", 100)], &twins);
    assert_eq!(matches.tunnels(0).count(), 2);
    assert_eq!(matches.unmatched(), 0);
}

#[test]
fn many_tunnels_with_one_interface_prefix_are_not_all_compared() {
    let same: Vec<Tunnel> = (0..100).map(|number| addressed(&number.to_string(), "", "10.0.0.0/31", "")).collect();
    let matches = join([route("192.0.2.0/24", "10.0.0.1", 100)], &same);
    assert_eq!(matches.tunnels(0).count(), MOST_TUNNELS);
}

#[test]
fn routes_of_a_scope_are_a_group_of_their_own_beside_those_of_all_data_centers() {
    let shared = route("10.1.0.0/16", "10.0.0.1", 100);
    let routes = [
        shared.clone(),
        scoped(route("10.1.0.0/16", "10.0.0.6", 100), "EEUR"),
        scoped(route("10.1.0.0/16", "10.0.0.8", 100), "APAC"),
        scoped(route("10.2.0.0/16", "10.0.0.8", 100), "APAC"),
    ];
    let matches = join(routes, &tunnels());
    let groups: Vec<(String, String, usize, usize)> = matches
        .groups()
        .iter()
        .map(|group| {
            let (prefix, scope) = matches.prefix(group);
            let scope = scope.map(ToString::to_string).unwrap_or_default();
            (prefix.to_string(), scope, group.routes.len(), group.shared.len())
        })
        .collect();
    let expected = [
        ("10.1.0.0/16", "", 1, 0),
        ("10.1.0.0/16", "APAC", 1, 1),
        ("10.1.0.0/16", "EEUR", 1, 1),
        ("10.2.0.0/16", "APAC", 1, 0),
    ];
    assert_eq!(groups, expected.map(|(prefix, scope, own, shared)| (prefix.to_owned(), scope.to_owned(), own, shared)));
}

fn any_route() -> impl Strategy<Value = Route> {
    let region = proptest::option::of(prop_oneof![Just("APAC"), Just("EEUR")]);
    (0..4_u8, 0..14_u8, 0..3_u32, region).prop_map(|(prefix, hop, priority, region)| {
        let route = route(&format!("10.{prefix}.0.0/16"), &format!("10.0.0.{hop}"), priority);
        match region {
            Some(region) => scoped(route, region),
            None => route,
        }
    })
}

proptest! {
    #[test]
    fn each_route_is_in_one_group_and_leads_to_a_tunnel_or_is_unmatched(routes in proptest::collection::vec(any_route(), 0..40)) {
        let matches = join(routes.clone(), &tunnels());
        let members: Vec<usize> = matches.groups().iter().flat_map(|group| group.routes.clone()).collect();
        prop_assert_eq!(members, (0..routes.len()).collect::<Vec<_>>());
        let counted: u32 = TunnelType::ALL.iter().flat_map(|&of| (0..3).filter_map(|index| matches.count(of, index)).collect::<Vec<_>>()).sum();
        prop_assert_eq!(counted as usize + matches.unmatched(), routes.len());
        for (index, group) in matches.groups().iter().enumerate() {
            let (prefix, scope) = matches.prefix(group);
            let same = |route: &Route| route.prefix == prefix && route.scope.as_ref() == scope;
            prop_assert!(matches.routes()[group.routes.clone()].iter().all(same));
            prop_assert!(matches.routes()[group.shared.clone()].iter().all(|route| route.prefix == prefix && route.scope.is_none()));
            let others = matches.groups().iter().skip(index + 1).map(|other| matches.prefix(other));
            prop_assert!(others.into_iter().all(|other| other != (prefix, scope)));
        }
    }
}
