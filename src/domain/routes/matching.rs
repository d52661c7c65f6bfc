//! Joins routes with tunnels: the next hop of a route is the customer's side of a tunnel.

use std::{net::IpAddr, ops::Range, sync::Arc};

use ipnet::IpNet;

use super::{Route, RouteScope};
use crate::domain::{
    label::Label as _,
    peer::customer_side,
    tunnel::{TunnelLists, TunnelType},
};

/// Maximum number of tunnels of one next hop. Two tunnels have the same customer side only by mistake.
const MOST_TUNNELS: usize = 8;

/// Maximum number of routes for all data centers that count for a scope of the same prefix.
const MOST_SHARED: usize = 64;

/// A tunnel by its position in the list of its type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ListPosition {
    pub tunnel_type: TunnelType,
    pub index: u32,
}

/// The routes of one account beside its tunnels.
#[derive(Debug, Clone, Default)]
pub struct RouteMatches {
    routes: Arc<[Route]>,
    /// The customer's side of every tunnel, sorted.
    hops: Box<[(IpAddr, ListPosition)]>,
    /// For each route, its tunnels in `hops`.
    tunnels: Box<[Range<u32>]>,
    groups: Box<[PrefixGroup]>,
    /// Number of routes to each tunnel, in the order of its list.
    counts: [Box<[u32]>; TunnelType::ALL.len()],
    unmatched: usize,
}

/// The routes to one prefix that the same data centers use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PrefixGroup {
    /// Positions of the routes with exactly this scope.
    pub routes: Range<usize>,
    /// Positions of the routes for all data centers, which those of a scope use as well; empty without a scope.
    pub shared: Range<usize>,
}

impl RouteMatches {
    /// Joins sorted routes with the lists, which are in the order of [`TunnelType::ALL`].
    pub fn join(routes: Arc<[Route]>, lists: &TunnelLists<'_>) -> Self {
        let hops = customer_sides(lists);
        let tunnels: Box<[Range<u32>]> = routes.iter().map(|route| find(&hops, route)).collect();
        let mut counts = lists.each_ref().map(|list| vec![0; list.len()].into_boxed_slice());
        for (_, tunnel) in tunnels.iter().flat_map(|range| &hops[as_index(range)]) {
            counts[tunnel.tunnel_type as usize][tunnel.index as usize] += 1;
        }
        let unmatched = tunnels.iter().filter(|range| range.is_empty()).count();
        let groups = group(&routes);
        Self { routes, hops, tunnels, groups, counts, unmatched }
    }

    /// The routes, in the order of the positions.
    pub fn routes(&self) -> &Arc<[Route]> {
        &self.routes
    }

    /// One group per prefix and scope, sorted.
    pub fn groups(&self) -> &[PrefixGroup] {
        &self.groups
    }

    /// The tunnels of the route at this position: one, unless no tunnel or several have the next hop.
    pub fn tunnels(&self, route: usize) -> impl Iterator<Item = ListPosition> + '_ {
        self.hops[as_index(&self.tunnels[route])].iter().map(|(_, tunnel)| *tunnel)
    }

    /// Number of routes to a tunnel.
    pub fn count(&self, tunnel_type: TunnelType, index: usize) -> Option<u32> {
        self.counts[tunnel_type as usize].get(index).copied()
    }

    /// The routes to a tunnel. Looks at every route.
    pub fn routes_of(&self, tunnel_type: TunnelType, index: usize) -> impl Iterator<Item = &Route> {
        let leads_here =
            move |tunnel: ListPosition| (tunnel.tunnel_type, tunnel.index as usize) == (tunnel_type, index);
        self.routes
            .iter()
            .enumerate()
            .filter(move |(route, _)| self.tunnels(*route).any(leads_here))
            .map(|(_, route)| route)
    }

    /// Number of routes with a next hop that is not the customer's side of a tunnel.
    pub fn unmatched(&self) -> usize {
        self.unmatched
    }

    /// The prefix and the scope of a group.
    pub fn prefix(&self, group: &PrefixGroup) -> (IpNet, Option<&Arc<RouteScope>>) {
        let first = &self.routes[group.routes.start];
        (first.prefix, first.scope.as_ref())
    }
}

fn as_index(range: &Range<u32>) -> Range<usize> {
    range.start as usize..range.end as usize
}

fn to_u32(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

/// The customer's sides of all tunnels, sorted by address.
fn customer_sides(lists: &TunnelLists<'_>) -> Box<[(IpAddr, ListPosition)]> {
    let mut hops = Vec::new();
    for (&tunnel_type, list) in TunnelType::ALL.iter().zip(lists) {
        for (index, tunnel) in list.iter().enumerate() {
            let position = ListPosition { tunnel_type, index: to_u32(index) };
            for prefix in [&tunnel.interface_address, &tunnel.interface_address6] {
                hops.extend(prefix.value().and_then(|prefix| customer_side(tunnel, prefix)).map(|ip| (ip, position)));
            }
        }
    }
    hops.sort_unstable();
    hops.dedup();
    hops.into()
}

/// The range of the hops with the next hop of a route.
fn find(hops: &[(IpAddr, ListPosition)], route: &Route) -> Range<u32> {
    let Some(next_hop) = route.next_hop.value() else { return 0..0 };
    let start = hops.partition_point(|(address, _)| address < next_hop);
    let same = hops[start..].iter().take(MOST_TUNNELS).take_while(|(address, _)| address == next_hop).count();
    to_u32(start)..to_u32(start + same)
}

/// Groups sorted routes by prefix and scope.
fn group(routes: &[Route]) -> Box<[PrefixGroup]> {
    let mut groups = Vec::new();
    let mut start = 0;
    for of_prefix in routes.chunk_by(|a, b| a.prefix == b.prefix) {
        let shared =
            start..start + of_prefix.iter().take(MOST_SHARED).take_while(|route| route.scope.is_none()).count();
        for of_scope in of_prefix.chunk_by(|a, b| a.scope == b.scope) {
            let routes = start..start + of_scope.len();
            let shared = if of_scope[0].scope.is_some() { shared.clone() } else { 0..0 };
            start = routes.end;
            groups.push(PrefixGroup { routes, shared });
        }
    }
    groups.into()
}

#[cfg(test)]
mod tests;
