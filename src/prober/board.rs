//! What the prober publishes: the probed addresses with their counters, its sockets and its activity.

use std::{
    collections::BTreeMap,
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use parking_lot::Mutex;
use tokio::{
    sync::watch,
    time::{MissedTickBehavior, interval},
};
use tokio_util::sync::CancellationToken;
use web_toolkit::clock;

use super::{
    histogram::{Buckets, Histogram},
    history::History,
    mtu::{LowMtu, MtuReading},
    settings::ProbeSettings,
    tally::Tally,
};
use crate::domain::{
    inventory::TunnelKey,
    label::Label,
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

impl TargetProbe {
    /// Returns what is known about the path MTU, if it is watched. Targets of other kinds may share the session.
    pub fn mtu(&self) -> Option<MtuReading> {
        let is_watched = Vantage::Site.through_the_tunnel().contains(&self.target);
        self.tally.mtu().filter(|_| is_watched)
    }

    /// Returns the path MTU if it is below the expected size.
    pub fn low_mtu(&self) -> Option<LowMtu> {
        self.mtu()?.low(self.address)
    }
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
        self.begin_echo();
        InFlight(self)
    }

    /// Counts an echo as in flight until [`end_echo`](Self::end_echo).
    pub fn begin_echo(&self) {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
    }

    /// Ends an echo of [`begin_echo`](Self::begin_echo).
    pub fn end_echo(&self) {
        self.in_flight.fetch_sub(1, Ordering::Relaxed);
    }

    /// Returns the number of echoes in flight.
    pub fn in_flight(&self) -> u64 {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// Adds the delay of a send.
    pub fn observe_lag(&self, lag: Duration) {
        self.lag.lock().observe(lag);
    }

    /// Returns the number of sends so far.
    pub fn sends(&self) -> u64 {
        self.lag.lock().count()
    }

    /// Returns the delays of the sends.
    pub fn lag(&self) -> Histogram {
        self.lag.lock().clone()
    }
}

/// Guard of [`Activity::start_echo`].
#[derive(Debug)]
pub struct InFlight<'a>(&'a Activity);

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.end_echo();
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
    drops: [AtomicU64; IpVersion::ALL.len()],
}

impl Sockets {
    /// Allocates an id for a socket, which is listed from its first [`set`](Self::set) on.
    pub fn register(&self) -> u64 {
        self.next.fetch_add(1, Ordering::Relaxed)
    }

    /// Adds or replaces the status of a socket.
    pub fn set(&self, id: u64, status: SocketStatus) {
        self.statuses.lock().insert(id, status);
    }

    /// Removes a socket.
    pub fn remove(&self, id: u64) {
        self.statuses.lock().remove(&id);
    }

    /// Counts packets that the kernel dropped because a receive buffer was full.
    pub fn count_drops(&self, version: IpVersion, drops: u64) {
        self.drops[version as usize].fetch_add(drops, Ordering::Relaxed);
    }

    /// Returns the number of dropped packets so far.
    pub fn drops(&self, version: IpVersion) -> u64 {
        self.drops[version as usize].load(Ordering::Relaxed)
    }

    /// Returns every socket in the order of their ids.
    pub fn list(&self) -> Vec<SocketStatus> {
        self.statuses.lock().values().cloned().collect()
    }
}

/// Samples the counters of every probed address once per [`History::STEP`] until `stop` is cancelled.
///
/// Runs outside the prober's thread. Each sample locks a tally for some nanoseconds.
pub async fn sample_targets(board: watch::Receiver<Arc<ProbeBoard>>, stop: CancellationToken) {
    let mut ticks = interval(History::STEP);
    // A late sample leaves a gap; two samples in quick succession would distort the steps.
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        // Cancel safety: dropping a tick loses nothing.
        tokio::select! {
            () = stop.cancelled() => return,
            _ = ticks.tick() => {}
        }
        let board = Arc::clone(&board.borrow());
        let now = clock::now().instant;
        for (_, tally) in board.sessions.iter() {
            tally.sample(now);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use tokio::{task::JoinSet, time::sleep};

    use super::*;
    use crate::domain::probe::{EchoOutcome, Thresholds};

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

    fn board(tally: &Arc<Tally>) -> Arc<ProbeBoard> {
        let binding = Arc::new(Binding { mode: SocketMode::Auto, source: None, interface: None, dscp: 0 });
        let key = SessionKey { address: [127, 0, 0, 1].into(), binding };
        Arc::new(ProbeBoard { sessions: [(key, Arc::clone(tally))].into(), ..ProbeBoard::default() })
    }

    #[tokio::test(start_paused = true)]
    async fn each_probed_address_is_sampled_once_per_step() {
        const ONE: NonZeroU32 = NonZeroU32::MIN;
        let tally = Arc::new(Tally::new(Buckets::rtt()));
        let (_open, boards) = watch::channel(board(&tally));
        let stop = CancellationToken::new();
        let mut tasks = JoinSet::new();
        tasks.spawn(sample_targets(boards, stop.clone()));
        for _ in 0..35 {
            sleep(Duration::from_secs(1)).await;
            tally.begin();
            let reply = EchoOutcome::Reply { rtt: Duration::from_millis(3) };
            tally.finish(reply, clock::now(), Thresholds { down_after: ONE, up_after: ONE });
        }
        let replies: Vec<u32> =
            tally.history().steps().map(|span| span.replies).skip_while(|&replies| replies == 0).collect();
        // The echo at the end of a step may be counted before or after the sample.
        assert_eq!(replies.len(), 3, "{replies:?}");
        assert!((29..=30).contains(&replies.iter().sum::<u32>()), "{replies:?}");
        stop.cancel();
        while tasks.join_next().await.is_some() {}
    }
}
