//! The static routes of an account (`magic/routes`), and the state of the prefixes that they lead to.
//!
//! The API does not list routes that are learned over BGP.

pub mod matching;
pub mod prefixes;

use std::{fmt, net::IpAddr, sync::Arc};

use ipnet::IpNet;

use super::{dataset::PollStatus, tunnel::Stated};

/// A static route: packets to the prefix leave through the tunnel with the next hop as its customer's side.
///
/// Sorted by prefix, then routes for all data centers first, then by priority.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// Without host bits.
    pub prefix: IpNet,
    /// `None` if all data centers use the route.
    pub scope: Option<Arc<RouteScope>>,
    /// The lowest number is used first. Routes of equal prefix and priority share the traffic.
    pub priority: Option<u32>,
    pub next_hop: Stated<IpAddr>,
    /// Share of the traffic among routes of equal priority.
    pub weight: Option<u32>,
    pub description: Box<str>,
    /// Empty if the API omits it.
    pub id: Box<str>,
}

impl Route {
    /// What routes are sorted by. The rest only makes the order independent of that of the API.
    pub fn sort_key(&self) -> impl Ord + '_ {
        let next_hop = (self.next_hop.value(), &*self.id);
        (self.prefix, self.scope.as_deref(), self.priority.unwrap_or(u32::MAX), next_hop, self.weight)
    }
}

/// The data centers that use a route (`scope`). At least one list has members.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RouteScope {
    /// `colo_regions`, sorted.
    pub regions: Box<[Box<str>]>,
    /// `colo_names`, sorted.
    pub data_centers: Box<[Box<str>]>,
}

/// Lists the regions and data centers.
impl fmt::Display for RouteScope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, name) in self.regions.iter().chain(&self.data_centers).enumerate() {
            let comma = if index == 0 { "" } else { ", " };
            write!(f, "{comma}{name}")?;
        }
        Ok(())
    }
}

/// The routes of one account.
#[derive(Debug, Clone, Default)]
pub struct RouteTable {
    pub status: PollStatus,
    /// The last valid list, sorted. Kept while polls fail.
    pub routes: Arc<[Route]>,
    /// Members of the last valid list that have no valid prefix.
    pub rejected: usize,
    /// Whether each prefix has metrics of its own.
    pub per_prefix: bool,
}
