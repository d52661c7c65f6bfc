//! Remembers the verdict on each tunnel, and since when it stands.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use web_toolkit::clock::Moment;

use super::verdict::{Case, judge, reported, rests_on_silence};
use crate::domain::{
    board::{ProbeBoard, TargetProbe, TunnelKey, TunnelProbes},
    inventory::Fleet,
    probe::{Silence, Vantage},
    tunnel::Tunnel,
    verdict::{Evidence, Reported, Side, TunnelVerdict, Verdict, Verdicts},
};

/// How long the first verdict on a tunnel is provisional at most, while its probes have no settled result yet.
const SETTLING: Duration = Duration::from_mins(1);

/// The verdicts so far. Told the time, and everything else.
#[derive(Debug, Default)]
pub(super) struct Tracker {
    tunnels: BTreeMap<Arc<TunnelKey>, Tracked>,
}

#[derive(Debug)]
struct Tracked {
    verdict: Arc<TunnelVerdict>,
    first_judged: Moment,
    /// Whether the first verdict may still be replaced without counting as a change: the probes had no time to settle.
    provisional: bool,
}

/// A verdict that took the place of another one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Change {
    pub(super) key: Arc<TunnelKey>,
    pub(super) tunnel: Arc<Tunnel>,
    pub(super) from: Verdict,
    pub(super) to: Verdict,
    pub(super) why: Arc<str>,
}

/// What came of one look at everything.
#[derive(Debug, Default)]
pub(super) struct Round {
    /// For the log, in the order of the inventory.
    pub(super) changes: Vec<Change>,
    /// Whether anything that is published is different now.
    pub(super) moved: bool,
}

/// What a round looks at.
#[derive(Debug, Clone, Copy)]
pub(super) struct View<'a> {
    pub(super) fleet: &'a Fleet,
    pub(super) board: &'a ProbeBoard,
    pub(super) stale_after: Duration,
    pub(super) now: Moment,
}

/// One tunnel in a round.
struct Subject<'a> {
    tunnel: &'a Arc<Tunnel>,
    probes: Option<&'a TunnelProbes>,
    fresh: bool,
    evidence: Evidence,
    verdict: Verdict,
}

impl Tracker {
    /// Judges every tunnel of the inventory, and forgets those that left it.
    pub(super) fn judge(&mut self, view: View<'_>) -> Round {
        let isolated = is_isolated(view);
        let mut round = Round::default();
        let mut before = std::mem::take(&mut self.tunnels);
        for (key, tunnel, fresh) in tunnels(view) {
            let subject = Subject::new(view, &key, tunnel, fresh, isolated);
            let (key, tracked) = if let Some((key, tracked)) = before.remove_entry(&key) {
                let tracked = tracked.follow(&key, &subject, view, &mut round);
                (key, tracked)
            } else {
                round.moved = true;
                (Arc::new(key), Tracked::new(&subject, view))
            };
            self.tunnels.insert(key, tracked);
        }
        round.moved |= !before.is_empty();
        round
    }

    /// What is published.
    pub(super) fn verdicts(&self) -> Verdicts {
        let tunnels = self.tunnels.iter().map(|(key, tracked)| (Arc::clone(key), Arc::clone(&tracked.verdict)));
        Verdicts { tunnels: tunnels.collect() }
    }
}

impl Tracked {
    fn new(subject: &Subject<'_>, view: View<'_>) -> Self {
        let verdict = TunnelVerdict {
            verdict: subject.verdict,
            evidence: subject.evidence,
            changed: view.now,
            changes: 0,
            why: subject.why(),
        };
        Self { verdict: Arc::new(verdict), first_judged: view.now, provisional: subject.is_settling() }
    }

    fn follow(mut self, key: &Arc<TunnelKey>, subject: &Subject<'_>, view: View<'_>, round: &mut Round) -> Self {
        let provisional = self.provisional;
        self.provisional = provisional && view.now.since(self.first_judged) < SETTLING && subject.is_settling();
        let old = &self.verdict;
        if old.verdict == subject.verdict && old.evidence == subject.evidence {
            return self;
        }
        round.moved = true;
        let mut new = TunnelVerdict { evidence: subject.evidence, why: subject.why(), ..(**old).clone() };
        if old.verdict != subject.verdict {
            new.verdict = subject.verdict;
            new.changed = view.now;
            if !provisional {
                new.changes += 1;
                round.changes.push(Change {
                    key: Arc::clone(key),
                    tunnel: Arc::clone(subject.tunnel),
                    from: old.verdict,
                    to: subject.verdict,
                    why: Arc::clone(&new.why),
                });
            }
        }
        self.verdict = Arc::new(new);
        self
    }
}

impl<'a> Subject<'a> {
    fn new(view: View<'a>, key: &TunnelKey, tunnel: &'a Arc<Tunnel>, fresh: bool, isolated: bool) -> Self {
        let probes = view.board.tunnels.get(key).map(AsRef::as_ref);
        let silence = view.board.silence;
        let evidence = Evidence {
            reported: reported(tunnel, fresh),
            inside: probes.map_or(Side::Unsettled, |probes| side(probes.inside(), silence)),
            outside: probes.map_or(Side::Unsettled, |probes| outside(probes, silence)),
        };
        let verdict = if isolated && rests_on_silence(evidence) { Verdict::ProberIsolated } else { judge(evidence) };
        Self { tunnel, probes, fresh, evidence, verdict }
    }

    /// Whether some probe that counts has no settled result yet.
    fn is_settling(&self) -> bool {
        let Some(probes) = self.probes else { return false };
        let mut counting = probes.inside().map(|probe| &probe.tally).chain(probes.outside().map(|(_, tally)| tally));
        counting.any(|tally| tally.standing().up.is_none())
    }

    fn why(&self) -> Arc<str> {
        let vantage = self.probes.map_or(Vantage::Site, |probes| probes.vantage);
        let inside = self.probes.map(|probes| probes.inside().map(|probe| probe.address).collect());
        let outside = self.probes.map(|probes| probes.outside().map(|(address, _)| address).collect());
        let case = Case {
            verdict: self.verdict,
            evidence: self.evidence,
            tunnel: self.tunnel,
            fresh: self.fresh,
            vantage,
            inside: inside.unwrap_or_default(),
            outside: outside.unwrap_or_default(),
            uplinks: self.probes.is_some_and(|probes| !probes.uplinks.is_empty()),
        };
        case.why().into()
    }
}

/// Every tunnel, and whether what the API said of it was confirmed lately enough.
fn tunnels(view: View<'_>) -> impl Iterator<Item = (TunnelKey, &Arc<Tunnel>, bool)> {
    view.fleet.accounts.iter().flat_map(move |(account, snapshot)| {
        snapshot.collections().flat_map(move |(_, collection)| {
            let fresh = collection.is_fresh(view.now, view.stale_after);
            collection.entries.iter().map(move |entry| (TunnelKey::of(account, &entry.tunnel), &entry.tunnel, fresh))
        })
    })
}

fn side<'a>(probes: impl Iterator<Item = &'a TargetProbe>, silence: Silence) -> Side {
    Side::of(probes.map(|probe| probe.tally.standing()), silence)
}

fn outside(probes: &TunnelProbes, silence: Silence) -> Side {
    Side::of(probes.outside().map(|(_, tally)| tally.standing()), silence)
}

/// Whether the fault is on this side: none of at least two targets that once answered does now, while Cloudflare reports some
/// session up.
fn is_isolated(view: View<'_>) -> bool {
    let mut once_answered = 0;
    for (_, tally) in view.board.sessions.iter() {
        let standing = tally.standing();
        if standing.ever_answered {
            if standing.up != Some(false) {
                return false;
            }
            once_answered += 1;
        }
    }
    once_answered >= 2 && tunnels(view).any(|(_, tunnel, fresh)| reported(tunnel, fresh) == Reported::Up)
}

#[cfg(test)]
mod tests;
