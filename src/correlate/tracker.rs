//! Remembers the verdict on each tunnel, and since when it holds.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use web_toolkit::clock::Moment;

use super::verdict::{Explanation, judge, reports, rests_on_silence};
use crate::{
    domain::{
        inventory::TunnelKey,
        past::PastVerdicts,
        tunnel::Tunnel,
        verdict::{Evidence, Reported, TunnelVerdict, Verdict, Verdicts},
        verdict_history::{VerdictEvent, VerdictHistories, VerdictHistory},
    },
    prober::mtu::LowMtu,
    snapshot::{Row, Snapshot},
};

/// Maximum time for which the first verdict on a tunnel is provisional while its probes have no settled result.
const SETTLING: Duration = Duration::from_mins(1);

/// Explanation of a verdict of an earlier run.
const HELD: &str = "this is the verdict from before the restart; the probes have not settled yet";

/// The verdicts so far. Reads no clock.
#[derive(Debug, Default)]
pub(super) struct Tracker {
    tunnels: BTreeMap<Arc<TunnelKey>, Tracked>,
    past: PastVerdicts,
}

#[derive(Debug)]
struct Tracked {
    verdict: Arc<TunnelVerdict>,
    first_judged: Moment,
    phase: Phase,
    history: VerdictHistory,
    /// The explanation mentions it.
    low_mtu: Option<LowMtu>,
}

/// How far the probes of a tunnel have settled since it was first judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// The verdict of an earlier run is published, because a verdict without settled probes can be wrong.
    Held(Verdict),
    /// The first verdict may still be replaced without counting as a change.
    Provisional,
    Settled,
}

/// What the tracker needs from a snapshot to judge one tunnel.
#[derive(Debug)]
struct Outlook<'a> {
    snapshot: &'a Snapshot,
    isolated: bool,
    /// Whether a target that once answered has no settled state.
    any_settling: bool,
}

/// The judgement on one tunnel at one moment.
#[derive(Debug, Clone, Copy)]
struct Judgement {
    evidence: Evidence,
    verdict: Verdict,
}

/// A verdict that replaced another one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct VerdictChange {
    pub(super) key: Arc<TunnelKey>,
    pub(super) tunnel: Arc<Tunnel>,
    pub(super) from: Verdict,
    pub(super) to: Verdict,
    pub(super) why: Arc<str>,
}

/// Result of judging all tunnels once.
#[derive(Debug, Default)]
pub(super) struct Round {
    /// For the log, in the order of the inventory.
    pub(super) changes: Vec<VerdictChange>,
    /// Whether the published verdicts differ from those before.
    pub(super) moved: bool,
}

impl Tracker {
    pub(super) fn new(past: PastVerdicts) -> Self {
        Self { tunnels: BTreeMap::new(), past }
    }

    /// Judges every tunnel of the inventory and forgets those that left it.
    pub(super) fn judge(&mut self, snapshot: &Snapshot) -> Round {
        let outlook = Outlook::new(snapshot);
        let mut round = Round::default();
        let mut before = std::mem::take(&mut self.tunnels);
        for row in snapshot.rows() {
            let (key, mut tracked) = before.remove_entry(&row.key).unwrap_or_else(|| {
                round.moved = true;
                (Arc::new(row.key.clone()), self.start(&row, &outlook))
            });
            let old = Arc::clone(&tracked.verdict);
            round.changes.extend(tracked.update(&key, &row, &outlook));
            round.moved |= !Arc::ptr_eq(&old, &tracked.verdict);
            self.tunnels.insert(key, tracked);
        }
        round.moved |= !before.is_empty();
        round
    }

    /// Starts with the verdict of an earlier run, if there is one.
    fn start(&mut self, row: &Row<'_>, outlook: &Outlook<'_>) -> Tracked {
        let now = outlook.snapshot.now;
        let Judgement { evidence, verdict } = outlook.judge(row);
        let history = self.past.take_history(&row.key);
        let tracked = |verdict, changed, phase, why| Tracked {
            verdict: Arc::new(TunnelVerdict { verdict, evidence, changed, changes: 0, why }),
            first_judged: now,
            phase,
            history,
            low_mtu: row.low_mtu(),
        };
        match self.past.take(&row.key, now) {
            Some(past) => tracked(past.verdict, now.earlier(past.since), Phase::Held(past.verdict), HELD.into()),
            None => tracked(verdict, now, Phase::Provisional, explain(row, evidence, verdict)),
        }
    }

    /// The verdicts to publish.
    pub(super) fn verdicts(&self) -> Verdicts {
        let tunnels = self.tunnels.iter().map(|(key, tracked)| (Arc::clone(key), Arc::clone(&tracked.verdict)));
        Verdicts { tunnels: tunnels.collect() }
    }

    /// The changes to publish.
    pub(super) fn histories(&self) -> VerdictHistories {
        let changed = self.tunnels.iter().filter(|(_, tracked)| !tracked.history.is_empty());
        changed.map(|(key, tracked)| (Arc::clone(key), tracked.history.clone())).collect()
    }
}

impl Tracked {
    fn update(&mut self, key: &Arc<TunnelKey>, row: &Row<'_>, outlook: &Outlook<'_>) -> Option<VerdictChange> {
        let now = outlook.snapshot.now;
        let Judgement { evidence, mut verdict } = outlook.judge(row);
        let before = self.phase;
        self.phase = outlook.next_phase(before, row, now.since(self.first_judged));
        let mut why = None;
        if let Phase::Held(past) = self.phase {
            (verdict, why) = (past, Some(HELD.into()));
        }
        let old = Arc::clone(&self.verdict);
        let released = matches!(before, Phase::Held(_)) && self.phase == Phase::Settled;
        let low_mtu = row.low_mtu();
        let resized = std::mem::replace(&mut self.low_mtu, low_mtu) != low_mtu;
        if old.verdict == verdict && old.evidence == evidence && !released && !resized {
            return None;
        }
        let why: Arc<str> = why.unwrap_or_else(|| explain(row, evidence, verdict));
        let changed = old.verdict != verdict;
        let counts = changed && before != Phase::Provisional;
        self.verdict = Arc::new(TunnelVerdict {
            verdict,
            evidence,
            changed: if changed { now } else { old.changed },
            changes: old.changes + u64::from(counts),
            why: Arc::clone(&why),
        });
        counts.then(|| {
            let event = VerdictEvent { at: now.wall, from: old.verdict, to: verdict, why: Some(&why) };
            self.history = self.history.with(event, old.changed.wall);
            VerdictChange {
                key: Arc::clone(key),
                tunnel: Arc::clone(row.tunnel()),
                from: old.verdict,
                to: verdict,
                why,
            }
        })
    }
}

impl<'a> Outlook<'a> {
    fn new(snapshot: &'a Snapshot) -> Self {
        let mut states = snapshot.board().sessions.iter().map(|(_, tally)| tally.state());
        let any_settling = states.any(|state| state.ever_answered && state.up.is_none());
        Self { snapshot, isolated: is_isolated(snapshot), any_settling }
    }

    fn judge(&self, row: &Row<'_>) -> Judgement {
        let (evidence, verdict) = judge(reports(row), row.inside(), row.outside());
        let isolated = self.isolated && rests_on_silence(evidence);
        Judgement { evidence, verdict: if isolated { Verdict::ProberIsolated } else { verdict } }
    }

    /// `elapsed` is the time since the tunnel was first judged.
    fn next_phase(&self, phase: Phase, row: &Row<'_>, elapsed: Duration) -> Phase {
        let may_stay = match phase {
            // Whether the prober is isolated depends on all targets.
            Phase::Held(Verdict::ProberIsolated) if self.any_settling => elapsed < self.hold_limit(),
            Phase::Held(_) => elapsed < self.hold_limit() && self.is_settling(row),
            Phase::Provisional => elapsed < SETTLING && self.is_settling(row),
            Phase::Settled => true,
        };
        if may_stay { phase } else { Phase::Settled }
    }

    /// A target without a permitted socket never settles, so that a verdict must not be held for longer.
    fn hold_limit(&self) -> Duration {
        self.snapshot.board().settings.session.time_to_settle()
    }

    /// Whether a probe that counts has no settled result yet, or the probes of the tunnel are not planned yet.
    fn is_settling(&self, row: &Row<'_>) -> bool {
        let Some(probes) = row.probes else {
            let settings = &self.snapshot.board().settings;
            return settings.enabled
                && settings.for_tunnel(row.account, row.tunnel(), row.entry.steering.as_deref()).enabled;
        };
        let mut counting = probes.inside().map(|probe| &probe.tally).chain(probes.outside().map(|(_, tally)| tally));
        counting.any(|tally| tally.state().up.is_none())
    }
}

fn explain(row: &Row<'_>, evidence: Evidence, verdict: Verdict) -> Arc<str> {
    Explanation { verdict, evidence, row }.sentence().into()
}

/// Whether the fault is on this side: at least two targets once answered, none of them does now, and Cloudflare reports
/// at least one session or tunnel up.
fn is_isolated(snapshot: &Snapshot) -> bool {
    let mut once_answered = 0;
    for (_, tally) in snapshot.board().sessions.iter() {
        let standing = tally.state();
        if standing.ever_answered {
            if standing.up != Some(false) {
                return false;
            }
            once_answered += 1;
        }
    }
    once_answered >= 2 && snapshot.rows().any(|row| is_reported_up(&row))
}

/// Whether Cloudflare reports the session up, or the tunnel without a contradiction to a newer observation.
fn is_reported_up(row: &Row<'_>) -> bool {
    let (evidence, _) = judge(reports(row), row.inside(), row.outside());
    evidence.reported == Reported::Up || (evidence.reported == Reported::None && evidence.edge == Reported::Up)
}

#[cfg(test)]
mod tests;
