//! The content of the state file, and how it follows the published verdicts.
//!
//! An entry of a tunnel or address that is not in the inventory is kept for a week, because a list that cannot be read,
//! a mistake in a pattern or a switched-off prober must not erase what is known.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use jiff::Timestamp;
use web_toolkit::clock::Moment;

use crate::{
    agents::AgentReport,
    domain::{
        inventory::TunnelKey,
        past::{PastInventory, PastReplies, PastVerdict, PastVerdicts},
        probe::ProbePath,
        verdict_history::VerdictHistory,
    },
    snapshot::Judged,
};

/// Time after which an absent entry is dropped. Only the time in which the exporter runs and writes counts.
const KEEP_ABSENT: Duration = Duration::from_hours(7 * 24);

/// A stored value of one tunnel or target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Entry<T> {
    pub(super) value: T,
    /// Since when it has been absent from the inventory; `None` while it is present.
    pub(super) absent_since: Option<Timestamp>,
}

/// Replies and verdicts of earlier runs and of this one.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Archive {
    /// When the file was written; `None` without a file.
    pub(super) saved: Option<Timestamp>,
    /// Every target that has ever replied, with the time of its last reply.
    pub(super) replies: BTreeMap<ProbePath, Entry<Option<Timestamp>>>,
    pub(super) verdicts: BTreeMap<TunnelKey, Entry<PastVerdict>>,
    /// The last changes of the verdicts.
    pub(super) histories: BTreeMap<Arc<TunnelKey>, Entry<VerdictHistory>>,
    /// On an agent, the newest inventory of a hub.
    pub(super) inventory: Option<Arc<PastInventory>>,
    /// On a hub, its agents, each with the time of its last request.
    pub(super) agents: Vec<(AgentReport, Timestamp)>,
}

impl Archive {
    /// The targets that have ever replied. A reply after `now` has no time, because the clock was set back.
    pub fn past_replies(&self, now: Moment) -> PastReplies {
        let known = |time: &Timestamp| *time <= now.wall;
        self.replies.iter().map(|(path, entry)| (path.clone(), entry.value.filter(known))).collect()
    }

    /// The verdicts that may still hold, and all changes. Verdicts on tunnels that have been absent for too long at
    /// `now` are left out.
    pub fn past_verdicts(&self, now: Moment) -> PastVerdicts {
        let is_recent = |since: Timestamp| now.since(now.earlier(since)) <= PastVerdicts::MAX_AGE;
        let recent = self.verdicts.iter().filter(|(_, entry)| entry.absent_since.is_none_or(is_recent));
        let tunnels = recent.map(|(key, entry)| (key.clone(), entry.value)).collect();
        let histories = self.histories.iter().map(|(key, entry)| (Arc::clone(key), entry.value.clone()));
        PastVerdicts { saved: self.saved.unwrap_or_default(), tunnels, histories: histories.collect() }
    }

    /// The inventory that a hub sent to the earlier run.
    pub fn past_inventory(&self) -> Option<Arc<PastInventory>> {
        self.inventory.clone()
    }

    /// The agents of the earlier run, each with the time of its last request.
    pub fn past_agents(&self) -> Vec<(AgentReport, Timestamp)> {
        self.agents.clone()
    }

    /// Whether a tunnel has another verdict or other changes than those that are stored, or none is stored.
    pub(super) fn differs_from(&self, judged: &Judged) -> bool {
        let stored = |key| self.verdicts.get(key).map(|entry| entry.value.verdict);
        let history = |key| self.histories.get(key).map(|entry| &entry.value);
        judged.verdicts.tunnels.iter().any(|(key, current)| stored(&**key) != Some(current.verdict))
            || judged.histories.iter().any(|(key, current)| history(key) != Some(current))
    }

    /// Adopts the current verdicts, changes and replies, and drops entries that have been absent for too long.
    pub(super) fn update(&mut self, judged: &Judged, now: Timestamp) {
        mark_absent(&mut self.replies, now);
        mark_absent(&mut self.verdicts, now);
        mark_absent(&mut self.histories, now);
        for (key, tally) in judged.board.sessions.iter() {
            if tally.state().ever_answered {
                self.replies.insert(key.path(), Entry { value: tally.last_reply(), absent_since: None });
            }
        }
        for (key, current) in &judged.verdicts.tunnels {
            let value = PastVerdict { verdict: current.verdict, since: current.changed.wall };
            self.verdicts.insert(TunnelKey::clone(key), Entry { value, absent_since: None });
        }
        for (key, current) in judged.histories.iter() {
            self.histories.insert(Arc::clone(key), Entry { value: current.clone(), absent_since: None });
        }
        self.saved = Some(now);
    }

    /// The number of tunnels and of targets.
    pub(super) fn counts(&self) -> (usize, usize) {
        (self.verdicts.len(), self.replies.len())
    }
}

fn mark_absent<K: Ord, T>(entries: &mut BTreeMap<K, Entry<T>>, now: Timestamp) {
    entries.retain(|_, entry| {
        let since = *entry.absent_since.get_or_insert(now);
        Duration::try_from(now.duration_since(since)).is_ok_and(|absent| absent <= KEEP_ABSENT) || since > now
    });
}
