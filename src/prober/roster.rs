//! Who is being probed, and what was counted of each: turns one plan into the next without touching what stays.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

use super::{
    plan::{Plan, TunnelPlan},
    settings::Settings,
};
use crate::{
    domain::{inventory::Fleet, probe::SessionKey},
    prober::{
        board::{Activity, ProbeBoard, Sockets, TargetProbe, TunnelProbes, UplinkProbe},
        histogram::Buckets,
        tally::Tally,
    },
};

/// The sessions in force. A tally lives as long as some tunnel or uplink has its address.
///
/// When an address of a tunnel changes, that target continues with the tally of the new address: a fresh one, or the one of
/// the tunnel that has this address already. Nothing else notices.
#[derive(Debug)]
pub(super) struct Roster {
    tallies: HashMap<SessionKey, Arc<Tally>>,
    plan: Plan,
    buckets: Buckets,
    board: Arc<ProbeBoard>,
}

/// What has to happen for the newest plan to be in force.
#[derive(Debug, Default)]
pub(super) struct Change {
    pub(super) start: Vec<(SessionKey, Arc<Tally>)>,
    pub(super) stop: Vec<SessionKey>,
    /// The new board, where anything on it changed.
    pub(super) board: Option<Arc<ProbeBoard>>,
}

impl Roster {
    pub(super) fn new(settings: Arc<Settings>, sockets: Arc<Sockets>, activity: Arc<Activity>) -> Self {
        let board = ProbeBoard { settings, sockets, activity, ..ProbeBoard::default() };
        Self { tallies: HashMap::new(), plan: Plan::default(), buckets: Buckets::rtt(), board: Arc::new(board) }
    }

    pub(super) fn board(&self) -> &Arc<ProbeBoard> {
        &self.board
    }

    /// Takes a new inventory or new settings. Costs milliseconds at 10,000 tunnels: not for the thread that sends.
    pub(super) fn adopt(&mut self, fleet: &Fleet, settings: &Arc<Settings>) -> Change {
        self.rebucket(&settings.buckets);
        let plan = Plan::in_force(fleet, settings);
        if plan == self.plan && *settings == self.board.settings {
            return Change::default();
        }
        let wanted = plan.sessions();
        let stop: Vec<_> = self.tallies.keys().filter(|key| !wanted.contains(key)).cloned().collect();
        for key in &stop {
            self.tallies.remove(key);
        }
        let start = self.start(&wanted);
        self.plan = plan;
        self.board = Arc::new(self.draw_board(settings));
        Change { start, stop, board: Some(Arc::clone(&self.board)) }
    }

    fn start(&mut self, wanted: &BTreeSet<&SessionKey>) -> Vec<(SessionKey, Arc<Tally>)> {
        let mut start = Vec::new();
        for &key in wanted {
            if !self.tallies.contains_key(key) {
                let tally = Arc::new(Tally::new(self.buckets.clone()));
                self.tallies.insert(key.clone(), Arc::clone(&tally));
                start.push((key.clone(), tally));
            }
        }
        start
    }

    fn rebucket(&mut self, buckets: &Buckets) {
        if self.buckets != *buckets {
            self.buckets = buckets.clone();
            for tally in self.tallies.values() {
                tally.set_buckets(buckets.clone());
            }
        }
    }

    fn draw_board(&self, settings: &Arc<Settings>) -> ProbeBoard {
        let tunnels = self.plan.tunnels.iter().map(|(key, plan)| (Arc::clone(key), Arc::new(self.tunnel(plan))));
        let mut sessions: Vec<_> = self.tallies.iter().map(|(key, tally)| (key.clone(), Arc::clone(tally))).collect();
        sessions.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
        ProbeBoard {
            tunnels: tunnels.collect(),
            uplinks: self.uplinks(&self.plan.uplinks),
            sessions: sessions.into(),
            refused: self.plan.refused.clone(),
            settings: Arc::clone(settings),
            sockets: Arc::clone(&self.board.sockets),
            activity: Arc::clone(&self.board.activity),
        }
    }

    fn tunnel(&self, plan: &TunnelPlan) -> TunnelProbes {
        let targets = plan.targets.iter().filter_map(|(target, key)| {
            Some(TargetProbe { target: *target, address: key.address, tally: Arc::clone(self.tallies.get(key)?) })
        });
        TunnelProbes { vantage: plan.vantage, targets: targets.collect(), uplinks: self.uplinks(&*plan.uplinks) }
    }

    fn uplinks<'a>(&self, keys: impl IntoIterator<Item = &'a SessionKey>) -> Arc<[UplinkProbe]> {
        let uplink =
            |key: &SessionKey| Some(UplinkProbe { address: key.address, tally: Arc::clone(self.tallies.get(key)?) });
        keys.into_iter().filter_map(uplink).collect()
    }
}

#[cfg(test)]
mod tests;
