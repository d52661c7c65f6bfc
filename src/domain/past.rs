//! Observations of an earlier run of the program, so that a restart does not lose them.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use jiff::Timestamp;
use web_toolkit::clock::Moment;

use super::{
    inventory::TunnelKey,
    probe::ProbePath,
    verdict::Verdict,
    verdict_history::{VerdictHistories, VerdictHistory},
};

/// Every target that has ever replied, with the time of its last reply if it is known.
pub type PastReplies = BTreeMap<ProbePath, Option<Timestamp>>;

/// The verdict on a tunnel at the end of the earlier run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PastVerdict {
    pub verdict: Verdict,
    pub since: Timestamp,
}

/// The verdicts of the earlier run.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PastVerdicts {
    /// When they were stored.
    pub saved: Timestamp,
    pub tunnels: BTreeMap<TunnelKey, PastVerdict>,
    pub histories: VerdictHistories,
}

impl PastVerdicts {
    /// Verdicts that were stored earlier than this are not used. A longer pause can hide another outage, so that the
    /// time since which the verdict holds would be wrong.
    pub const MAX_AGE: Duration = Duration::from_hours(24);

    /// Removes and returns the verdict on a tunnel; `None` if there is none or it is too old at `now`.
    ///
    /// A stored time after `now` means that the clock was set back. Such a verdict counts as new.
    pub fn take(&mut self, key: &TunnelKey, now: Moment) -> Option<PastVerdict> {
        let past = self.tunnels.remove(key)?;
        (now.since(now.earlier(self.saved)) <= Self::MAX_AGE).then_some(past)
    }

    /// Removes and returns the changes of the verdict on a tunnel, however old they are.
    pub fn take_history(&mut self, key: &TunnelKey) -> VerdictHistory {
        self.histories.remove(key).unwrap_or_default()
    }
}

/// The inventory that a hub sent to an agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PastInventory {
    /// The query of the request: an inventory of other sites is of no use.
    pub query: Box<str>,
    /// Entity tag of the response.
    pub tag: Option<Box<str>>,
    pub body: Arc<str>,
    /// When Cloudflare confirmed it.
    pub confirmed: Timestamp,
}

#[cfg(test)]
mod tests {
    use web_toolkit::clock;

    use super::*;
    use crate::domain::{fixtures::tunnel, inventory::AccountName};

    #[test]
    fn a_verdict_is_used_once_and_for_a_day() {
        let now = clock::now();
        let key = TunnelKey::new(&AccountName::new("acme"), &tunnel("fra"));
        let past = PastVerdict { verdict: Verdict::TunnelFault, since: now.wall };
        let stored = PastVerdicts { saved: now.wall, tunnels: [(key.clone(), past)].into(), ..Default::default() };
        for (after, used) in [(0, true), (24 * 3600, true), (24 * 3600 + 1, false)] {
            let mut verdicts = stored.clone();
            let later = now.after(Duration::from_secs(after));
            assert_eq!(verdicts.take(&key, later), used.then_some(past), "{after} s later");
            assert_eq!(verdicts.take(&key, later), None);
        }
    }

    #[test]
    fn a_verdict_is_used_after_the_clock_was_set_back() {
        let now = clock::now();
        let key = TunnelKey::new(&AccountName::new("acme"), &tunnel("fra"));
        let past = PastVerdict { verdict: Verdict::TunnelFault, since: now.wall };
        let saved = now.after(Duration::from_hours(1000)).wall;
        let mut verdicts = PastVerdicts { saved, tunnels: [(key.clone(), past)].into(), ..Default::default() };
        assert_eq!(verdicts.take(&key, now), Some(past));
    }
}
