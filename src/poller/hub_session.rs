//! What an agent asks its hubs, and what it makes of the replies. Reads no clock and no network.

use std::{sync::Arc, time::Duration};

use web_toolkit::clock::Moment;

use super::hub_ledger::{HubLedger, ListEvent};
use crate::{
    domain::{dataset::FailureReason, inventory::Fleet, rules::TunnelRules},
    inventory::{Inventory, ReplyTimes},
};

/// Smallest part of the interval after which the second request follows.
const LEAST_PHASE: f64 = 0.1;

/// A usable response.
#[derive(Debug)]
pub enum Update {
    Unchanged(ReplyTimes),
    Changed { inventory: Inventory, times: ReplyTimes, body: String, tag: Option<String> },
}

/// What an update changed.
#[derive(Debug, Default)]
pub struct Adopted {
    pub(super) events: Vec<ListEvent>,
    /// Tunnels before and after.
    pub(super) tunnels: (usize, usize),
    /// Whether it is the first inventory of a hub since the start.
    pub(super) is_first: bool,
    /// The response, if it can be stored.
    pub body: Option<String>,
}

/// The inventory of an agent, and which hub is asked next. Hubs are tried in order, and the one that answers is asked
/// first the next time.
#[derive(Debug)]
pub struct HubSession {
    ledger: HubLedger,
    tag: Option<String>,
    from_cache: bool,
    /// Number of hubs.
    hubs: usize,
    /// Number of the hub that is asked first.
    preferred: usize,
    /// Hubs that failed since the last success or wait.
    failed: usize,
}

impl HubSession {
    /// Continues from a published fleet.
    pub fn resume(rules: Arc<TunnelRules>, fleet: &Fleet, hubs: usize) -> Self {
        let ledger = HubLedger::resume(rules, fleet);
        Self { ledger, tag: None, from_cache: false, hubs: hubs.max(1), preferred: 0, failed: 0 }
    }

    /// Adopts the stored inventory of an earlier run. Its reported values are stale until a hub confirms them.
    pub fn restore(&mut self, inventory: Inventory, tag: Option<String>, confirmed: Moment, now: Moment) {
        self.ledger.apply_stored(inventory, confirmed, now);
        (self.tag, self.from_cache) = (tag, true);
    }

    /// Number of the hub to ask.
    pub fn target(&self) -> usize {
        (self.preferred + self.failed) % self.hubs
    }

    /// The entity tag of the inventory.
    pub fn tag(&self) -> Option<&str> {
        self.tag.as_deref()
    }

    /// Whether the inventory comes from an earlier run, and no hub has confirmed it.
    pub fn is_from_cache(&self) -> bool {
        self.from_cache
    }

    /// The number of tunnels.
    pub fn tunnels(&self) -> usize {
        self.ledger.tunnels()
    }

    /// When the inventory was confirmed; `None` before the first one.
    pub fn confirmed(&self) -> Option<Moment> {
        self.ledger.confirmed()
    }

    pub fn fleet(&self) -> Fleet {
        self.ledger.fleet()
    }

    /// Adopts the response of the target to a request that began at `started`.
    pub fn succeed(&mut self, update: Update, started: Moment) -> Adopted {
        self.preferred = self.target();
        self.failed = 0;
        let is_first = self.ledger.confirmed().is_none() || self.from_cache;
        self.from_cache = false;
        let before = self.ledger.tunnels();
        let mut adopted = Adopted { is_first, ..Adopted::default() };
        match update {
            Update::Unchanged(times) => self.ledger.confirm(&times, started),
            Update::Changed { inventory, times, body, tag } => {
                let (events, believed) = self.ledger.apply(inventory, &times, started);
                (adopted.events, adopted.body, self.tag) = (events, believed.then_some(body), tag);
            }
        }
        adopted.tunnels = (before, self.ledger.tunnels());
        adopted
    }

    /// Records a failure of the target. Returns whether the next hub is to be asked at once. After the last one, the
    /// lists stay and grow old.
    pub fn fail(&mut self, reason: FailureReason) -> bool {
        self.failed += 1;
        if self.failed < self.hubs {
            return true;
        }
        self.failed = 0;
        self.ledger.fail(reason);
        false
    }
}

/// Time from the first request of an agent to the second: a part of the interval that depends on the name of the agent,
/// so that agents that start together do not ask together.
pub fn phase(prober: &str, interval: Duration) -> Duration {
    // FNV-1a and the last step of SplitMix64, because the phase must not depend on the version of the compiler.
    let hash = prober
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    let hash = (hash ^ (hash >> 31)).wrapping_mul(0x94d0_49bb_1331_11eb);
    let part = f64::from((hash >> 32) as u32) / f64::from(u32::MAX);
    interval.mul_f64(LEAST_PHASE + (1.0 - LEAST_PHASE) * part)
}

#[cfg(test)]
mod tests {
    use web_toolkit::clock;

    use super::*;

    fn session(hubs: usize) -> HubSession {
        HubSession::resume(Arc::default(), &Fleet::awaiting_hub(), hubs)
    }

    fn unchanged() -> Update {
        Update::Unchanged(ReplyTimes::default())
    }

    #[test]
    fn each_hub_is_asked_once_and_the_one_that_answers_is_kept() {
        let mut session = session(3);
        assert_eq!(session.target(), 0);
        assert!(session.fail(FailureReason::Connect));
        assert!(session.fail(FailureReason::Timeout));
        assert_eq!(session.target(), 2);
        assert!(!session.fail(FailureReason::Server), "all of them failed");
        assert_eq!(session.target(), 0);
        assert!(session.fail(FailureReason::Connect));
        session.succeed(unchanged(), clock::now());
        assert_eq!(session.target(), 1);
        assert!(session.fail(FailureReason::Connect));
        assert_eq!(session.target(), 2, "the others follow in order");
    }

    #[test]
    fn only_the_first_inventory_of_a_hub_is_announced() {
        let (mut session, now) = (session(1), clock::now());
        session.restore(Inventory::default(), Some("\"a\"".to_owned()), now, now);
        assert!(session.is_from_cache() && session.tag() == Some("\"a\""));
        assert!(session.succeed(unchanged(), now).is_first);
        assert!(!session.is_from_cache() && !session.succeed(unchanged(), now).is_first);
    }

    #[test]
    fn the_phases_of_many_agents_fill_the_interval() {
        let interval = Duration::from_secs(30);
        let mut tenths = [0; 10];
        for number in 0..1_000 {
            let phase = phase(&format!("site-{number}"), interval);
            assert!(phase >= interval / 10 && phase <= interval);
            tenths[(phase.as_millis() / 3_001) as usize] += 1;
        }
        assert!(tenths[0] == 0 && tenths[1..].iter().all(|&agents| (60..180).contains(&agents)), "{tenths:?}");
        assert_eq!(phase("fra", interval), phase("fra", interval));
    }
}
