//! What the prober publishes: which addresses are probed, and their state.

use std::{
    collections::BTreeMap,
    net::IpAddr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use super::{
    histogram::{Buckets, Histogram},
    settings::Settings,
    tally::Tally,
};
use crate::domain::{
    inventory::TunnelKey,
    probe::{Binding, IpVersion, ProbeTarget, Refusal, SessionKey, SocketMode, Vantage},
};

/// One probed address of a tunnel.
#[derive(Debug, Clone)]
pub struct TargetProbe {
    pub target: ProbeTarget,
    pub address: IpAddr,
    /// Shared with every other tunnel that has this address.
    pub tally: Arc<Tally>,
}

/// What is probed of one tunnel, sorted by [`ProbeTarget`].
#[derive(Debug, Clone)]
pub struct TunnelProbes {
    pub vantage: Vantage,
    pub targets: Box<[TargetProbe]>,
    /// What proves whether the underlay is there; empty where the customer endpoint has to.
    pub uplinks: Arc<[UplinkProbe]>,
}

impl TunnelProbes {
    /// The targets that prove whether the tunnel carries traffic.
    pub fn inside(&self) -> impl Iterator<Item = &TargetProbe> + Clone {
        self.targets.iter().filter(|probe| self.vantage.proves_the_inside(probe.target))
    }

    /// What proves whether the underlay is there: the uplinks, or where there are none, the customer endpoint.
    pub fn outside(&self) -> impl Iterator<Item = (IpAddr, &Arc<Tally>)> + Clone {
        let endpoint = self
            .targets
            .iter()
            .filter(|probe| self.uplinks.is_empty() && probe.target == ProbeTarget::CustomerEndpoint);
        let uplinks = self.uplinks.iter().map(|uplink| (uplink.address, &uplink.tally));
        uplinks.chain(endpoint.map(|probe| (probe.address, &probe.tally)))
    }
}

/// An address outside every tunnel that answers while this site's way to the Internet works.
#[derive(Debug, Clone)]
pub struct UplinkProbe {
    pub address: IpAddr,
    pub tally: Arc<Tally>,
}

/// Everything that is probed. Replaced as a whole when the plan changes; the tallies in it move on their own.
#[derive(Debug, Clone, Default)]
pub struct ProbeBoard {
    pub tunnels: BTreeMap<Arc<TunnelKey>, Arc<TunnelProbes>>,
    /// The uplinks of all tunnels, each once.
    pub uplinks: Arc<[UplinkProbe]>,
    /// Each session once, however many tunnels share it.
    pub sessions: Arc<[(SessionKey, Arc<Tally>)]>,
    /// Addresses that could have been probed but for a reason.
    pub refused: BTreeMap<Refusal, u64>,
    /// The settings that the plan was made from.
    pub settings: Arc<Settings>,
    pub sockets: Arc<Sockets>,
    pub activity: Arc<Activity>,
}

/// What the prober does right now.
#[derive(Debug)]
pub struct Activity {
    in_flight: AtomicU64,
    lag: Mutex<Histogram>,
}

impl Default for Activity {
    fn default() -> Self {
        Self { in_flight: AtomicU64::new(0), lag: Mutex::new(Histogram::new(Buckets::lag())) }
    }
}

impl Activity {
    /// An echo is in flight until the guard is dropped.
    pub fn echo(&self) -> InFlight<'_> {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        InFlight(&self.in_flight)
    }

    /// Echoes sent and not ended yet.
    pub fn in_flight(&self) -> u64 {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// A send was this late.
    pub fn observe_lag(&self, lag: Duration) {
        self.lag.lock().unwrap_or_else(PoisonError::into_inner).observe(lag);
    }

    /// Turns that sessions have taken so far.
    pub fn turns(&self) -> u64 {
        self.lag.lock().unwrap_or_else(PoisonError::into_inner).count()
    }

    /// How late sends were.
    pub fn lag(&self) -> Histogram {
        self.lag.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// See [`Activity::echo`].
#[derive(Debug)]
pub struct InFlight<'a>(&'a AtomicU64);

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// One ICMP socket, open or not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SocketStatus {
    pub version: IpVersion,
    pub binding: Arc<Binding>,
    /// The mode in use; while the socket is closed, the mode that was asked for.
    pub mode: SocketMode,
    pub up: bool,
}

/// The ICMP sockets that the targets need. A version of which there is no target has none.
#[derive(Debug, Default)]
pub struct Sockets {
    statuses: Mutex<BTreeMap<u64, SocketStatus>>,
    next: AtomicU64,
}

impl Sockets {
    /// Names a new socket. It shows up with its first [`set`](Self::set).
    pub fn register(&self) -> u64 {
        self.next.fetch_add(1, Ordering::Relaxed)
    }

    pub fn set(&self, id: u64, status: SocketStatus) {
        self.statuses.lock().unwrap_or_else(PoisonError::into_inner).insert(id, status);
    }

    pub fn remove(&self, id: u64) {
        self.statuses.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
    }

    /// Every socket in the order in which they were needed.
    pub fn list(&self) -> Vec<SocketStatus> {
        self.statuses.lock().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_in_flight_is_counted_while_its_guard_lives() {
        let activity = Activity::default();
        let first = activity.echo();
        let second = activity.echo();
        assert_eq!(activity.in_flight(), 2);
        drop(first);
        drop(second);
        assert_eq!(activity.in_flight(), 0);
    }
}
