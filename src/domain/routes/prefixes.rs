//! The state of each prefix, from its routes and the verdicts on their tunnels.

use std::sync::Arc;

use super::matching::{ListPosition, PrefixGroup, RouteMatches};
use crate::domain::{
    label::{Label, label_enum},
    tunnel::TunnelType,
    verdict::Verdict,
};

label_enum! {
    /// Whether a tunnel carries the traffic of its static routes.
    pub enum HopState {
        /// The tunnel carries traffic. Its BGP session and Cloudflare's checks do not matter to static routes.
        Working => "working",
        Broken => "broken",
        /// The verdict does not tell, or the next hop is not that of a tunnel.
        Unknown => "unknown",
    }
}

impl From<Verdict> for HopState {
    fn from(verdict: Verdict) -> Self {
        match verdict {
            Verdict::Healthy | Verdict::BgpFault | Verdict::CheckFault => Self::Working,
            Verdict::TunnelFault | Verdict::Unreachable | Verdict::ReportedDown => Self::Broken,
            Verdict::PathMismatch | Verdict::Unknown | Verdict::ProberIsolated => Self::Unknown,
        }
    }
}

label_enum! {
    /// How many tunnels a prefix has left. From the least to the most severe.
    pub enum PrefixState {
        /// At least one tunnel works, and it is not the last of several.
        Ok => "ok",
        /// No tunnel is known to work, but several may, or the only one.
        Unknown => "unknown",
        /// All of at least two tunnels but one are broken.
        AtRisk => "at_risk",
        /// All tunnels are broken.
        Lost => "lost",
    }
}

/// The tunnels of one prefix by state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PrefixHops([u32; HopState::ALL.len()]);

impl PrefixHops {
    pub fn count(self, state: HopState) -> u32 {
        self.0[state as usize]
    }

    fn add(&mut self, state: HopState, number: u32) {
        self.0[state as usize] += number;
    }

    pub fn state(self) -> PrefixState {
        let [working, broken, unknown] =
            [HopState::Working, HopState::Broken, HopState::Unknown].map(|s| self.count(s));
        match (working + unknown, broken) {
            (0, 1..) => PrefixState::Lost,
            (1, 1..) => PrefixState::AtRisk,
            _ if working > 0 => PrefixState::Ok,
            _ => PrefixState::Unknown,
        }
    }
}

/// The state of every prefix of one account, and what it was reached from.
#[derive(Debug, Clone, Default)]
pub struct PrefixReport {
    pub matches: Arc<RouteMatches>,
    /// In the order of [`RouteMatches::groups`].
    pub hops: Box<[PrefixHops]>,
}

impl PrefixReport {
    /// `state` returns the state of a tunnel; it is called once per route and more often for scoped ones.
    pub fn assess(matches: Arc<RouteMatches>, state: impl Fn(ListPosition) -> HopState) -> Self {
        let mut tunnels = Vec::new();
        let hops = matches.groups().iter().map(|group| count_hops(&matches, group, &mut tunnels, &state)).collect();
        Self { matches, hops }
    }

    /// Number of prefixes in this state. A prefix counts once per scope.
    pub fn count(&self, state: PrefixState) -> usize {
        self.hops.iter().filter(|hops| hops.state() == state).count()
    }
}

/// Counts each tunnel once, however many routes lead to it. `tunnels` is memory to reuse.
fn count_hops(
    matches: &RouteMatches,
    group: &PrefixGroup,
    tunnels: &mut Vec<ListPosition>,
    state: &impl Fn(ListPosition) -> HopState,
) -> PrefixHops {
    let mut hops = PrefixHops::default();
    tunnels.clear();
    for route in group.routes.clone().chain(group.shared.clone()) {
        let before = tunnels.len();
        tunnels.extend(matches.tunnels(route));
        hops.add(HopState::Unknown, u32::from(tunnels.len() == before));
    }
    tunnels.sort_unstable();
    tunnels.dedup();
    for &tunnel in tunnels.iter() {
        hops.add(state(tunnel), 1);
    }
    hops
}

/// The states of the tunnels of one account, by position.
pub type HopStates = [Box<[HopState]>; TunnelType::ALL.len()];

/// Returns the state at a position, or unknown.
pub fn state_at(states: &HopStates, position: ListPosition) -> HopState {
    states[position.tunnel_type as usize].get(position.index as usize).copied().unwrap_or(HopState::Unknown)
}

#[cfg(test)]
mod tests;
