//! What the prober publishes: the probed addresses with their counters, its sockets and its activity.

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
    settings::ProbeSettings,
    tally::Tally,
};
use crate::domain::{
    inventory::TunnelKey,
    probe::{Binding, IpVersion, ProbeTarget, RefusalReason, SessionKey, SocketMode, Vantage},
};

/// One probed address of a tunnel.
#[derive(Debug, Clone)]
pub struct TargetProbe {
    pub target: ProbeTarget,
    pub address: IpAddr,
    /// Shared by all tunnels with this address.
    pub tally: Arc<Tally>,
}

/// The probes of one tunnel.
#[derive(Debug, Clone)]
pub struct TunnelProbes {
    pub vantage: Vantage,
    /// Sorted by [`ProbeTarget`].
    pub targets: Box<[TargetProbe]>,
    /// Addresses that show whether the underlay works. If empty, the customer endpoint shows it.
    pub uplinks: Arc<[UplinkProbe]>,
}

impl TunnelProbes {
    /// Returns the targets that show whether the tunnel carries traffic.
    pub fn inside(&self) -> impl Iterator<Item = &TargetProbe> + Clone {
        self.targets.iter().filter(|probe| self.vantage.proves_the_inside(probe.target))
    }

    /// Returns the addresses that show whether the underlay works: the uplinks, or the customer endpoint if there are
    /// none.
    pub fn outside(&self) -> impl Iterator<Item = (IpAddr, &Arc<Tally>)> + Clone {
        let endpoint = self
            .targets
            .iter()
            .filter(|probe| self.uplinks.is_empty() && probe.target == ProbeTarget::CustomerEndpoint);
        let uplinks = self.uplinks.iter().map(|uplink| (uplink.address, &uplink.tally));
        uplinks.chain(endpoint.map(|probe| (probe.address, &probe.tally)))
    }
}

/// An address outside the tunnels. It is reachable while the site has an Internet connection.
#[derive(Debug, Clone)]
pub struct UplinkProbe {
    pub address: IpAddr,
    pub tally: Arc<Tally>,
}

/// All probes. Replaced when the plan changes; the tallies are updated in place.
#[derive(Debug, Clone, Default)]
pub struct ProbeBoard {
    pub tunnels: BTreeMap<Arc<TunnelKey>, Arc<TunnelProbes>>,
    /// The uplinks of all tunnels, each once.
    pub uplinks: Arc<[UplinkProbe]>,
    /// Each session once, even if several tunnels share it.
    pub sessions: Arc<[(SessionKey, Arc<Tally>)]>,
    /// Number of addresses that cannot be probed, by reason.
    pub refused: BTreeMap<RefusalReason, u64>,
    /// The settings that the plan is based on.
    pub settings: Arc<ProbeSettings>,
    pub sockets: Arc<Sockets>,
    pub activity: Arc<Activity>,
}

/// Activity of the prober.
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
    /// Counts an echo as in flight until the guard is dropped.
    pub fn start_echo(&self) -> InFlight<'_> {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        InFlight(&self.in_flight)
    }

    /// Returns the number of echoes in flight.
    pub fn in_flight(&self) -> u64 {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// Adds the delay of a send.
    pub fn observe_lag(&self, lag: Duration) {
        self.lag.lock().unwrap_or_else(PoisonError::into_inner).observe(lag);
    }

    /// Returns the number of sends so far.
    pub fn sends(&self) -> u64 {
        self.lag.lock().unwrap_or_else(PoisonError::into_inner).count()
    }

    /// Returns the delays of the sends.
    pub fn lag(&self) -> Histogram {
        self.lag.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Guard of [`Activity::start_echo`].
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
    /// The mode in use; while the socket is closed, the configured mode.
    pub mode: SocketMode,
    pub up: bool,
}

/// The ICMP sockets. There are none for an IP version without targets.
#[derive(Debug, Default)]
pub struct Sockets {
    statuses: Mutex<BTreeMap<u64, SocketStatus>>,
    next: AtomicU64,
}

impl Sockets {
    /// Allocates an id for a socket, which is listed from its first [`set`](Self::set) on.
    pub fn register(&self) -> u64 {
        self.next.fetch_add(1, Ordering::Relaxed)
    }

    /// Adds or replaces the status of a socket.
    pub fn set(&self, id: u64, status: SocketStatus) {
        self.statuses.lock().unwrap_or_else(PoisonError::into_inner).insert(id, status);
    }

    /// Removes a socket.
    pub fn remove(&self, id: u64) {
        self.statuses.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
    }

    /// Returns every socket in the order of their ids.
    pub fn list(&self) -> Vec<SocketStatus> {
        self.statuses.lock().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_echo_is_in_flight_until_its_guard_is_dropped() {
        let activity = Activity::default();
        let first = activity.start_echo();
        let second = activity.start_echo();
        assert_eq!(activity.in_flight(), 2);
        drop(first);
        drop(second);
        assert_eq!(activity.in_flight(), 0);
    }
}
