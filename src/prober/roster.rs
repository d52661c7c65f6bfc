//! The current sessions and their tallies. Applies a new plan without affecting sessions that remain.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

use super::{
    board::{Activity, ProbeBoard, Sockets, TargetProbe, TunnelProbes, UplinkProbe},
    histogram::Buckets,
    mtu::MtuLimits,
    plan::{PlannedTunnel, ProbePlan},
    settings::ProbeSettings,
    tally::Tally,
};
use crate::domain::{inventory::Fleet, past::PastReplies, probe::SessionKey};

/// The current sessions. A tally exists as long as a tunnel or an uplink has its address.
///
/// If an address of a tunnel changes, that target gets the tally of the new address: a new one, or the existing one if
/// another tunnel has the same address.
#[derive(Debug)]
pub(super) struct Roster {
    tallies: HashMap<SessionKey, Arc<Tally>>,
    plan: ProbePlan,
    buckets: Buckets,
    board: Arc<ProbeBoard>,
    /// From an earlier run. Each is used by the first session to its address.
    past: PastReplies,
}

/// A path MTU to watch, with the tally of the session.
pub(super) type NewMtuWatch = (SessionKey, MtuLimits, Arc<Tally>);

/// The steps that apply a new plan.
#[derive(Debug, Default)]
pub(super) struct PlanChange {
    pub(super) start: Vec<(SessionKey, Arc<Tally>)>,
    pub(super) stop: Vec<SessionKey>,
    /// Path MTUs to watch from now on. Those that are watched already with other limits are in `stop_mtu`, too.
    pub(super) start_mtu: Vec<NewMtuWatch>,
    pub(super) stop_mtu: Vec<SessionKey>,
    /// The new board; `None` if nothing changed.
    pub(super) board: Option<Arc<ProbeBoard>>,
}

impl Roster {
    pub(super) fn new(
        settings: Arc<ProbeSettings>,
        sockets: Arc<Sockets>,
        activity: Arc<Activity>,
        past: PastReplies,
    ) -> Self {
        let board = Arc::new(ProbeBoard { settings, sockets, activity, ..ProbeBoard::default() });
        Self { tallies: HashMap::new(), plan: ProbePlan::default(), buckets: Buckets::rtt(), board, past }
    }

    pub(super) fn board(&self) -> &Arc<ProbeBoard> {
        &self.board
    }

    /// Plans the probes for an inventory and settings. Takes milliseconds for 10,000 tunnels, so it must not run on the
    /// thread that sends.
    pub(super) fn update(&mut self, fleet: &Fleet, settings: &Arc<ProbeSettings>) -> PlanChange {
        self.set_buckets(&settings.buckets);
        let plan = ProbePlan::build_if_enabled(fleet, settings);
        if plan == self.plan && *settings == self.board.settings {
            return PlanChange::default();
        }
        let wanted = plan.sessions();
        let stop: Vec<_> = self.tallies.keys().filter(|key| !wanted.contains(key)).cloned().collect();
        for key in &stop {
            self.tallies.remove(key);
        }
        let start = self.add_tallies(&wanted);
        let (start_mtu, stop_mtu) = self.change_mtus(&plan);
        self.plan = plan;
        self.board = Arc::new(self.build_board(settings));
        PlanChange { start, stop, start_mtu, stop_mtu, board: Some(Arc::clone(&self.board)) }
    }

    /// Returns the path MTUs to watch from now on, and those that are no longer watched.
    fn change_mtus(&self, plan: &ProbePlan) -> (Vec<NewMtuWatch>, Vec<SessionKey>) {
        let differs = |key: &SessionKey, other: &ProbePlan, limits| other.mtu.get(key) != Some(limits);
        let ended = self.plan.mtu.iter().filter(|(key, limits)| differs(key, plan, limits));
        let stop: Vec<_> = ended.map(|(key, _)| key.clone()).collect();
        for tally in stop.iter().filter_map(|key| self.tallies.get(key)) {
            tally.watch_mtu(None);
        }
        let new = plan.mtu.iter().filter(|(key, limits)| differs(key, &self.plan, limits));
        let start = new.filter_map(|(key, limits)| {
            let tally = self.tallies.get(key)?;
            tally.watch_mtu(Some(limits.expected()));
            Some((key.clone(), *limits, Arc::clone(tally)))
        });
        (start.collect(), stop)
    }

    fn add_tallies(&mut self, wanted: &BTreeSet<&SessionKey>) -> Vec<(SessionKey, Arc<Tally>)> {
        let mut start = Vec::new();
        for &key in wanted {
            if !self.tallies.contains_key(key) {
                let tally = Arc::new(self.new_tally(key));
                self.tallies.insert(key.clone(), Arc::clone(&tally));
                start.push((key.clone(), tally));
            }
        }
        start
    }

    fn new_tally(&mut self, key: &SessionKey) -> Tally {
        let tally = Tally::new(self.buckets.clone());
        match self.past.remove(&key.path()) {
            Some(last_reply) => tally.with_past_reply(last_reply),
            None => tally,
        }
    }

    fn set_buckets(&mut self, buckets: &Buckets) {
        if self.buckets != *buckets {
            self.buckets = buckets.clone();
            for tally in self.tallies.values() {
                tally.set_buckets(buckets.clone());
            }
        }
    }

    fn build_board(&self, settings: &Arc<ProbeSettings>) -> ProbeBoard {
        let tunnels = self.plan.tunnels.iter().map(|(key, plan)| (Arc::clone(key), Arc::new(self.tunnel_probes(plan))));
        let mut sessions: Vec<_> = self.tallies.iter().map(|(key, tally)| (key.clone(), Arc::clone(tally))).collect();
        sessions.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
        ProbeBoard {
            tunnels: tunnels.collect(),
            uplinks: self.uplink_probes(&self.plan.uplinks),
            sessions: sessions.into(),
            refused: self.plan.refused.clone(),
            settings: Arc::clone(settings),
            sockets: Arc::clone(&self.board.sockets),
            activity: Arc::clone(&self.board.activity),
        }
    }

    fn tunnel_probes(&self, plan: &PlannedTunnel) -> TunnelProbes {
        let targets = plan.targets.iter().filter_map(|(target, key)| {
            Some(TargetProbe { target: *target, address: key.address, tally: Arc::clone(self.tallies.get(key)?) })
        });
        TunnelProbes { vantage: plan.vantage, targets: targets.collect(), uplinks: self.uplink_probes(&*plan.uplinks) }
    }

    fn uplink_probes<'a>(&self, keys: impl IntoIterator<Item = &'a SessionKey>) -> Arc<[UplinkProbe]> {
        let uplink =
            |key: &SessionKey| Some(UplinkProbe { address: key.address, tally: Arc::clone(self.tallies.get(key)?) });
        keys.into_iter().filter_map(uplink).collect()
    }
}

#[cfg(test)]
mod tests;
