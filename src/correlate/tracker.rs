//! Remembers the verdict on each tunnel, and since when it holds.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use web_toolkit::clock::Moment;

use super::verdict::{Explanation, judge, reported, rests_on_silence};
use crate::{
    domain::{
        inventory::TunnelKey,
        tunnel::Tunnel,
        verdict::{Evidence, Reported, TunnelVerdict, Verdict, Verdicts},
    },
    snapshot::{Row, Snapshot},
};

/// Maximum time for which the first verdict on a tunnel is provisional while its probes have no settled result.
const SETTLING: Duration = Duration::from_mins(1);

/// The verdicts so far. Reads no clock.
#[derive(Debug, Default)]
pub(super) struct Tracker {
    tunnels: BTreeMap<Arc<TunnelKey>, Tracked>,
}

#[derive(Debug)]
struct Tracked {
    verdict: Arc<TunnelVerdict>,
    first_judged: Moment,
    /// Whether the first verdict may still be replaced without counting as a change, because the probes have not settled.
    provisional: bool,
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
    /// Judges every tunnel of the inventory and forgets those that left it.
    pub(super) fn judge(&mut self, snapshot: &Snapshot) -> Round {
        let isolated = is_isolated(snapshot);
        let mut round = Round::default();
        let mut before = std::mem::take(&mut self.tunnels);
        for row in snapshot.rows() {
            let (evidence, verdict) = judge_row(&row, isolated);
            let (key, tracked) = if let Some((key, mut tracked)) = before.remove_entry(&row.key) {
                let old = Arc::clone(&tracked.verdict);
                round.changes.extend(tracked.update(&key, &row, evidence, verdict, snapshot.now));
                round.moved |= !Arc::ptr_eq(&old, &tracked.verdict);
                (key, tracked)
            } else {
                round.moved = true;
                (Arc::new(row.key.clone()), Tracked::new(&row, evidence, verdict, snapshot.now))
            };
            self.tunnels.insert(key, tracked);
        }
        round.moved |= !before.is_empty();
        round
    }

    /// The verdicts to publish.
    pub(super) fn verdicts(&self) -> Verdicts {
        let tunnels = self.tunnels.iter().map(|(key, tracked)| (Arc::clone(key), Arc::clone(&tracked.verdict)));
        Verdicts { tunnels: tunnels.collect() }
    }
}

impl Tracked {
    fn new(row: &Row<'_>, evidence: Evidence, verdict: Verdict, now: Moment) -> Self {
        let why = explain(row, evidence, verdict);
        let verdict = TunnelVerdict { verdict, evidence, changed: now, changes: 0, why };
        Self { verdict: Arc::new(verdict), first_judged: now, provisional: is_settling(row) }
    }

    fn update(
        &mut self,
        key: &Arc<TunnelKey>,
        row: &Row<'_>,
        evidence: Evidence,
        verdict: Verdict,
        now: Moment,
    ) -> Option<VerdictChange> {
        let provisional = self.provisional;
        self.provisional = provisional && now.since(self.first_judged) < SETTLING && is_settling(row);
        let old = Arc::clone(&self.verdict);
        if old.verdict == verdict && old.evidence == evidence {
            return None;
        }
        let why = explain(row, evidence, verdict);
        let changed = old.verdict != verdict;
        let counts = changed && !provisional;
        self.verdict = Arc::new(TunnelVerdict {
            verdict,
            evidence,
            changed: if changed { now } else { old.changed },
            changes: old.changes + u64::from(counts),
            why: Arc::clone(&why),
        });
        counts.then(|| VerdictChange {
            key: Arc::clone(key),
            tunnel: Arc::clone(row.tunnel()),
            from: old.verdict,
            to: verdict,
            why,
        })
    }
}

fn judge_row(row: &Row<'_>, isolated: bool) -> (Evidence, Verdict) {
    let evidence =
        Evidence { reported: reported(row.tunnel(), row.fresh), inside: row.inside(), outside: row.outside() };
    let verdict = if isolated && rests_on_silence(evidence) { Verdict::ProberIsolated } else { judge(evidence) };
    (evidence, verdict)
}

/// Whether a probe that counts has no settled result yet.
fn is_settling(row: &Row<'_>) -> bool {
    let Some(probes) = row.probes else { return false };
    let mut counting = probes.inside().map(|probe| &probe.tally).chain(probes.outside().map(|(_, tally)| tally));
    counting.any(|tally| tally.state().up.is_none())
}

fn explain(row: &Row<'_>, evidence: Evidence, verdict: Verdict) -> Arc<str> {
    Explanation { verdict, evidence, row }.sentence().into()
}

/// Whether the fault is on this side: at least two targets once answered, none of them does now, and Cloudflare reports at least one
/// session up.
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
    once_answered >= 2 && snapshot.rows().any(|row| reported(row.tunnel(), row.fresh) == Reported::Up)
}

#[cfg(test)]
mod tests;
