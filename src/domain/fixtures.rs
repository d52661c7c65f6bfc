//! Tunnels and fleets for tests.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use web_toolkit::clock::Moment;

use super::{
    dataset::{PollState, PollStatus},
    edge::{EdgeChecks, EdgeHealth, EdgeResult, EdgeTraffic, EdgeView, EdgeWindow, TrafficRow, TunnelHealth},
    inventory::{AccountInventory, AccountName, Fleet, InventoryEntry, TunnelList},
    routes::{Route, RouteScope, RouteTable},
    tunnel::{
        BgpState, BgpStatus, FsmState, GreDetails, IpsecDetails, Speaker, Stated, Tunnel, TunnelDetails, TunnelId,
        TunnelType,
    },
};

/// An IPsec tunnel without addresses.
pub(crate) fn tunnel(id: &str) -> Tunnel {
    Tunnel::bare(TunnelId::new(id), id, TunnelDetails::Ipsec(IpsecDetails::default()))
}

pub(crate) fn gre(mut tunnel: Tunnel) -> Tunnel {
    tunnel.details = TunnelDetails::Gre(GreDetails::default());
    tunnel
}

/// A tunnel with a customer endpoint and prefixes; `""` means absent, and invalid addresses are kept as text.
pub(crate) fn addressed(id: &str, endpoint: &str, prefix: &str, prefix6: &str) -> Tunnel {
    fn stated<T: std::str::FromStr>(text: &str) -> Stated<T> {
        if text.is_empty() {
            return Stated::Absent;
        }
        text.parse().map_or_else(|_| Stated::Unparsable(text.into()), Stated::Value)
    }
    Tunnel {
        customer_endpoint: stated(endpoint),
        interface_address: stated(prefix),
        interface_address6: stated(prefix6),
        ..tunnel(id)
    }
}

/// The same tunnel with a BGP session in this state.
pub(crate) fn reporting(mut tunnel: Tunnel, state: BgpState) -> Tunnel {
    tunnel.bgp_status = Some(BgpStatus {
        state,
        fsm: FsmState::None,
        tcp_established: None,
        updated_at: None,
        cloudflare_speaker: Speaker::default(),
        customer_speaker: Speaker::default(),
    });
    tunnel
}

/// One account, `acme`, with these tunnels and without a successful poll.
pub(crate) fn fleet(tunnels: impl IntoIterator<Item = Tunnel>) -> Arc<Fleet> {
    polled(None, tunnels)
}

/// One account, `acme`, with these tunnels, last polled at `at`. Without an interconnect, none are polled.
pub(crate) fn polled(at: Option<Moment>, tunnels: impl IntoIterator<Item = Tunnel>) -> Arc<Fleet> {
    let mut lists: BTreeMap<TunnelType, Vec<InventoryEntry>> = BTreeMap::new();
    for tunnel in tunnels {
        let entry = InventoryEntry { tunnel: Arc::new(tunnel), bgp_state_changes: 0, site: None, steering: None };
        lists.entry(entry.tunnel.tunnel_type()).or_default().push(entry);
    }
    let mut account = AccountInventory::default();
    account.set_list(TunnelType::Interconnect, TunnelList { is_off: true, ..TunnelList::default() });
    for (tunnel_type, entries) in lists {
        let status = PollStatus { state: PollState::Succeeded, last_success: at, ..PollStatus::default() };
        account.set_list(tunnel_type, TunnelList { status, entries: entries.into(), ..TunnelList::default() });
    }
    Arc::new(Fleet { accounts: [(AccountName::new("acme"), Arc::new(account))].into(), ..Fleet::default() })
}

/// A view of the edge from `from` to `to` with a thousand checks of each tunnel, of which this many passed.
pub(crate) fn edge_view<'a>(from: Moment, to: Moment, passed: impl IntoIterator<Item = (&'a str, u64)>) -> EdgeView {
    let status = PollStatus { state: PollState::Succeeded, last_success: Some(to), ..PollStatus::default() };
    let tunnels = passed.into_iter().map(|(name, passed)| {
        let checks = EdgeChecks::default().plus(EdgeResult::Ok, passed);
        let checks = checks.and_then(|checks| checks.plus(EdgeResult::Timeout, 1000 - passed));
        let state = checks.and_then(|checks| checks.state(20));
        (
            name.into(),
            Arc::new(TunnelHealth {
                checks,
                state,
                routing_score: Some(passed as f64 / 1000.0),
                ..TunnelHealth::default()
            }),
        )
    });
    let window = Some(EdgeWindow { from, to });
    let tunnels = Arc::new(tunnels.collect());
    EdgeView {
        stale_after: Duration::from_mins(15),
        health: EdgeHealth { status, window, newest: Some(to.wall), tunnels, ..EdgeHealth::default() },
        traffic: None,
    }
}

/// The same view with traffic in the same window.
pub(crate) fn with_traffic(mut view: EdgeView, rows: impl IntoIterator<Item = TrafficRow>) -> EdgeView {
    let EdgeHealth { status, window, .. } = view.health;
    view.traffic = Some(EdgeTraffic { status, window, truncated: false, rows: rows.into_iter().collect() });
    view
}

/// The same fleet with this view of every account.
pub(crate) fn seen_by_edge(fleet: &Arc<Fleet>, view: &EdgeView) -> Arc<Fleet> {
    let mut fleet = Fleet::clone(fleet);
    for account in fleet.accounts.values_mut() {
        Arc::make_mut(account).set_edge(Some(view.clone()));
    }
    Arc::new(fleet)
}

/// A route with this priority; an invalid next hop is kept as text.
pub(crate) fn route(prefix: &str, next_hop: &str, priority: u32) -> Route {
    Route {
        prefix: prefix.parse().unwrap(),
        scope: None,
        priority: Some(priority),
        next_hop: next_hop.parse().map_or_else(|_| Stated::Unparsable(next_hop.into()), Stated::Value),
        weight: None,
        description: Box::default(),
        id: Box::default(),
    }
}

/// The same route for one region only.
pub(crate) fn scoped(route: Route, region: &str) -> Route {
    let scope = RouteScope { regions: [region.into()].into(), data_centers: Box::default() };
    Route { scope: Some(Arc::new(scope)), ..route }
}

/// The same fleet with these routes in every account, polled at `at`.
pub(crate) fn routed(fleet: &Arc<Fleet>, at: Moment, routes: impl IntoIterator<Item = Route>) -> Arc<Fleet> {
    let mut routes: Vec<Route> = routes.into_iter().collect();
    routes.sort_by(|a, b| a.sort_key().cmp(&b.sort_key()));
    let status = PollStatus { state: PollState::Succeeded, last_success: Some(at), ..PollStatus::default() };
    let table = RouteTable { status, routes: routes.into(), per_prefix: true, ..RouteTable::default() };
    let mut fleet = Fleet::clone(fleet);
    for account in fleet.accounts.values_mut() {
        Arc::make_mut(account).set_routes(Some(table.clone()));
    }
    Arc::new(fleet)
}
