//! Joins the data of the edge with the tunnels of an account.
//!
//! Health checks carry a name and no id. A name that two tunnels share, or that no tunnel has, is counted and not
//! guessed. Traffic carries both; a row with the id of a tunnel belongs to this tunnel only.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use super::{EdgeView, TunnelHealth, TunnelTraffic};
use crate::domain::{
    label::Label as _,
    tunnel::{Tunnel, TunnelLists, TunnelType},
};

/// What the edge measures for one tunnel.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct TunnelEdge {
    /// `None` without data.
    pub health: Option<Arc<TunnelHealth>>,
    pub traffic: TunnelTraffic,
    /// The site that Cloudflare assigns.
    pub site: Option<Arc<str>>,
}

/// The data of the edge beside the tunnels of one account.
#[derive(Debug, Clone, Default)]
pub struct EdgeMatches {
    /// In the order of the list of each type.
    tunnels: [Arc<[TunnelEdge]>; TunnelType::ALL.len()],
    /// Names in the data that belong to no tunnel, or to several.
    pub unmatched: usize,
    /// Tunnels with enabled health checks and without data.
    pub without_data: usize,
}

impl EdgeMatches {
    /// The data of the tunnel at this position of its list; `None` if the edge is not polled.
    pub fn get(&self, tunnel_type: TunnelType, index: usize) -> Option<&TunnelEdge> {
        self.tunnels[tunnel_type as usize].get(index)
    }

    /// Joins the data with the lists, which are in the order of [`TunnelType::ALL`].
    pub fn join(view: &EdgeView, lists: &TunnelLists<'_>) -> Self {
        let names = Names::of(lists);
        let mut traffic = TrafficIndex::new(view, &names);
        let mut without_data = 0;
        let tunnels = lists.each_ref().map(|list| {
            let edges = list.iter().map(|tunnel| {
                let edge = edge_of(view, &names, &mut traffic, tunnel);
                without_data += usize::from(edge.health.is_none() && has_checks(tunnel));
                edge
            });
            edges.collect()
        });
        let unmatched = view.health.tunnels.keys().map(|name| &**name).filter(|name| !names.is_unique(name));
        let unmatched = unmatched.chain(traffic.unmatched()).collect::<HashSet<_>>().len();
        Self { tunnels, unmatched, without_data }
    }
}

fn edge_of(view: &EdgeView, names: &Names<'_>, traffic: &mut TrafficIndex<'_>, tunnel: &Tunnel) -> TunnelEdge {
    let traffic = traffic.take(names, tunnel);
    if !names.is_unique(&tunnel.name) {
        return TunnelEdge { traffic, ..TunnelEdge::default() };
    }
    let (health, site) = (view.health.tunnels.get(&*tunnel.name), view.health.sites.get(&*tunnel.name));
    TunnelEdge { health: health.cloned(), traffic, site: site.cloned() }
}

fn has_checks(tunnel: &Tunnel) -> bool {
    tunnel.health_check.as_ref().is_none_or(|check| check.enabled != Some(false))
}

/// The tunnels of the account by name and by id.
struct Names<'a> {
    /// How many tunnels have the name.
    counts: HashMap<&'a str, usize>,
    ids: HashSet<&'a str>,
}

impl<'a> Names<'a> {
    fn of(lists: &TunnelLists<'a>) -> Self {
        let mut names = Self { counts: HashMap::new(), ids: HashSet::new() };
        for tunnel in lists.iter().flatten() {
            *names.counts.entry(&tunnel.name).or_default() += 1;
            names.ids.insert(tunnel.id.as_str());
        }
        names
    }

    fn is_unique(&self, name: &str) -> bool {
        self.counts.get(name) == Some(&1)
    }
}

/// The traffic by the id of a tunnel, and by name where the id is not that of a tunnel.
struct TrafficIndex<'a> {
    by_id: HashMap<&'a str, TunnelTraffic>,
    /// `None` if several ids have the name.
    by_name: HashMap<&'a str, Option<(&'a str, TunnelTraffic)>>,
    matched: HashSet<&'a str>,
}

impl<'a> TrafficIndex<'a> {
    fn new(view: &'a EdgeView, names: &Names<'_>) -> Self {
        let mut index = Self { by_id: HashMap::new(), by_name: HashMap::new(), matched: HashSet::new() };
        for row in view.traffic.iter().flat_map(|traffic| traffic.rows.iter()) {
            if names.ids.contains(&*row.id) {
                index.by_id.entry(&row.id).or_default().set(row.direction, row.rate);
                continue;
            }
            let known = index.by_name.entry(&row.name).or_insert(Some((&row.id, TunnelTraffic::default())));
            match known {
                Some((id, traffic)) if *id == &*row.id => traffic.set(row.direction, row.rate),
                _ => *known = None,
            }
        }
        index
    }

    fn take(&mut self, names: &Names<'_>, tunnel: &Tunnel) -> TunnelTraffic {
        if let Some(traffic) = self.by_id.get(tunnel.id.as_str()) {
            return *traffic;
        }
        let Some((&name, Some((_, traffic)))) = self.by_name.get_key_value(&*tunnel.name) else {
            return TunnelTraffic::default();
        };
        if !names.is_unique(name) {
            return TunnelTraffic::default();
        }
        self.matched.insert(name);
        *traffic
    }

    /// The names that belong to no tunnel, or to several.
    fn unmatched(&self) -> impl Iterator<Item = &'a str> {
        self.by_name.keys().copied().filter(|name| !self.matched.contains(name))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::domain::{
        edge::{EdgeHealth, EdgeTraffic, TrafficDirection, TrafficRate, TrafficRow},
        fixtures::{edge_view, gre, tunnel},
        tunnel::{HealthCheck, InterconnectDetails, TunnelDetails},
    };

    fn traffic(id: &str, name: &str, bytes_per_second: f64) -> TrafficRow {
        let rate = TrafficRate { bytes_per_second, packets_per_second: 1.0 };
        TrafficRow { id: id.into(), name: name.into(), direction: TrafficDirection::ToSite, rate }
    }

    fn view(health: &[&str], rows: Vec<TrafficRow>) -> EdgeView {
        let tunnels = health.iter().map(|&name| (name.into(), Arc::default())).collect();
        let sites = health.iter().map(|&name| (name.into(), Arc::from(format!("site of {name}")))).collect();
        EdgeView {
            stale_after: Duration::from_mins(15),
            health: EdgeHealth { tunnels: Arc::new(tunnels), sites: Arc::new(sites), ..EdgeHealth::default() },
            traffic: Some(EdgeTraffic { rows: rows.into(), ..EdgeTraffic::default() }),
        }
    }

    fn bytes(edge: Option<&TunnelEdge>) -> Option<f64> {
        edge.unwrap().traffic.rate(TrafficDirection::ToSite).map(|rate| rate.bytes_per_second)
    }

    #[test]
    fn an_interconnect_has_the_data_with_its_name() {
        let mut cni = tunnel("cni-1");
        cni.details = TunnelDetails::Interconnect(InterconnectDetails::default());
        let now = web_toolkit::clock::now();
        let mut lists: TunnelLists<'_> = Default::default();
        lists[TunnelType::Interconnect as usize] = vec![&cni];
        let matches = EdgeMatches::join(&edge_view(now, now, [("cni-1", 1000)]), &lists);
        assert!(matches.get(TunnelType::Interconnect, 0).unwrap().health.is_some());
        assert_eq!((matches.unmatched, matches.without_data), (0, 0));
    }

    #[test]
    fn health_is_joined_by_name_and_never_guessed() {
        let unchecked = Tunnel {
            health_check: Some(HealthCheck { enabled: Some(false), ..HealthCheck::default() }),
            ..tunnel("unchecked")
        };
        let ipsec = [tunnel("fra"), tunnel("twin"), tunnel("mute"), unchecked];
        let gre = [gre(tunnel("twin"))];
        let lists = [gre.iter().collect(), ipsec.iter().collect(), Vec::new()];
        let matches = EdgeMatches::join(&view(&["fra", "twin", "cni-1"], Vec::new()), &lists);
        let health = |tunnel_type, index| matches.get(tunnel_type, index).unwrap().health.is_some();
        assert!(health(TunnelType::Ipsec, 0));
        assert_eq!(matches.get(TunnelType::Ipsec, 0).unwrap().site.as_deref(), Some("site of fra"));
        assert!(!health(TunnelType::Ipsec, 1) && !health(TunnelType::Gre, 0), "two tunnels have this name");
        assert_eq!(matches.unmatched, 2, "the twins and the interconnect");
        assert_eq!(matches.without_data, 3, "the twins and the mute one");
        assert_eq!(matches.get(TunnelType::Gre, 1), None);
    }

    #[test]
    fn traffic_is_joined_by_id_and_then_by_name() {
        let named = |id: &str, name: &str| Tunnel { name: name.into(), ..tunnel(id) };
        let ipsec = [named("1", "renamed"), named("2", "old name"), named("3", "by-name")];
        let rows = vec![
            traffic("1", "old name", 10.0),
            traffic("other-format", "by-name", 30.0),
            traffic("9", "twice", 1.0),
            traffic("8", "twice", 2.0),
        ];
        let matches = EdgeMatches::join(&view(&[], rows), &[Vec::new(), ipsec.iter().collect(), Vec::new()]);
        assert_eq!(bytes(matches.get(TunnelType::Ipsec, 0)), Some(10.0));
        assert_eq!(bytes(matches.get(TunnelType::Ipsec, 1)), None, "the row belongs to the renamed tunnel");
        assert_eq!(bytes(matches.get(TunnelType::Ipsec, 2)), Some(30.0));
        assert_eq!(matches.unmatched, 1);
    }
}
