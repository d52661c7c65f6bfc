//! What is known of one collection, and what a new answer changes. Told the time, knows no network.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use web_toolkit::clock::Moment;

use crate::{
    cloudflare::{
        ApiFailure, Listing,
        listing::{KnownField, Rejected},
        retry,
    },
    domain::{
        bgp::BgpState,
        dataset::{FailureReason, PollState},
        inventory::{AccountName, Entry, TunnelList},
        rules::TunnelRules,
        tunnel::{Tunnel, TunnelId},
    },
};

/// Something that is worth a line in the log, once.
#[derive(Debug, PartialEq, Eq)]
pub enum PollEvent {
    /// The first list, or the first after failures.
    Answering {
        tunnels: usize,
        /// Listed beside them, and left out by the configuration.
        left_out: usize,
        after: Option<FailureReason>,
    },
    /// Polls fail, or fail for another reason than before.
    Failing(ApiFailure),
    BgpChanged {
        tunnel: Arc<Tunnel>,
        from: BgpState,
        to: BgpState,
    },
    Appeared(Vec<Arc<Tunnel>>),
    Removed(Vec<Arc<Tunnel>>),
    Rejected(Rejected),
    /// A field held values that cannot be read, for the first time.
    UnknownValues(KnownField),
}

/// What follows from an answer.
#[derive(Debug)]
pub struct PollResult {
    pub events: Vec<PollEvent>,
    /// Until the next poll.
    pub wait: Duration,
    /// Whether every other request has to wait as long.
    pub rate_limited: bool,
}

/// One collection between polls.
#[derive(Debug)]
pub struct TrackedList {
    account: AccountName,
    rules: Arc<TunnelRules>,
    list: TunnelList,
    /// The last state that the API stated for each tunnel, also where it says nothing now.
    stated: HashMap<TunnelId, BgpState>,
    /// Failures in a row.
    failures: u32,
    rejected: HashSet<Rejected>,
    unknown: BTreeSet<KnownField>,
}

impl TrackedList {
    /// Goes on from what is known already. A collection that was never polled has the default snapshot.
    pub fn resume(account: AccountName, rules: Arc<TunnelRules>, mut list: TunnelList) -> Self {
        list.entries = rules.applied(&account, &list.entries);
        let stated = list.entries.iter().filter_map(|entry| {
            let status = entry.tunnel.bgp_status.as_ref()?;
            Some((entry.tunnel.id.clone(), status.state))
        });
        let stated = stated.collect();
        Self { account, rules, list, stated, failures: 0, rejected: HashSet::new(), unknown: BTreeSet::new() }
    }

    pub fn current(&self) -> &TunnelList {
        &self.list
    }

    /// Takes in the result of a poll that ran from `started` to `ended`.
    pub fn absorb(
        &mut self,
        result: Result<Listing, ApiFailure>,
        started: Moment,
        ended: Moment,
        interval: Duration,
    ) -> PollResult {
        self.list.status.duration = Some(ended.since(started));
        match result {
            Ok(listing) => {
                let events = self.succeed(listing, ended);
                PollResult { events, wait: interval.saturating_sub(ended.since(started)), rate_limited: false }
            }
            Err(failure) => self.fail(failure, interval),
        }
    }

    fn fail(&mut self, failure: ApiFailure, interval: Duration) -> PollResult {
        self.failures = self.failures.saturating_add(1);
        let wait = retry::wait_after(&failure, self.failures, interval);
        let rate_limited = failure.reason == FailureReason::RateLimited;
        let known = self.list.status.state == PollState::Failed(failure.reason);
        self.list.status.state = PollState::Failed(failure.reason);
        let events = if known { Vec::new() } else { vec![PollEvent::Failing(failure)] };
        PollResult { events, wait, rate_limited }
    }

    fn succeed(&mut self, mut listing: Listing, now: Moment) -> Vec<PollEvent> {
        let mut events = Vec::new();
        let listed = listing.tunnels.len();
        listing.tunnels.retain(|tunnel| self.rules.admit(tunnel));
        let left_out = listed - listing.tunnels.len();
        let after = match self.list.status.state {
            PollState::Failed(reason) => Some(reason),
            PollState::Waiting | PollState::Succeeded => None,
        };
        if self.list.status.state != PollState::Succeeded {
            events.push(PollEvent::Answering { tunnels: listing.tunnels.len(), left_out, after });
        }
        self.note_oddities(&listing, &mut events);
        self.list.rejected = count_by_reason(&listing.rejected);
        self.replace_entries(listing.tunnels, &mut events);
        self.list.status.state = PollState::Succeeded;
        self.list.status.last_success = Some(now);
        self.failures = 0;
        events
    }

    /// Each rejected member and each field with unknown values is told once, not at every poll.
    fn note_oddities(&mut self, listing: &Listing, events: &mut Vec<PollEvent>) {
        let rejected: HashSet<Rejected> = listing.rejected.iter().cloned().collect();
        events.extend(listing.rejected.iter().filter(|r| !self.rejected.contains(r)).cloned().map(PollEvent::Rejected));
        self.rejected = rejected;
        for &field in &listing.unknown {
            if self.unknown.insert(field) {
                events.push(PollEvent::UnknownValues(field));
            }
        }
    }

    /// Puts the new list in the place of the old one; tunnels that did not change keep their allocation and their counters.
    fn replace_entries(&mut self, tunnels: Vec<Arc<Tunnel>>, events: &mut Vec<PollEvent>) {
        let first = self.list.status.last_success.is_none();
        let old = Arc::clone(&self.list.entries);
        let mut gone: HashMap<&TunnelId, &Entry> = old.iter().map(|entry| (&entry.tunnel.id, entry)).collect();
        let mut appeared = Vec::new();
        let mut entries = Vec::with_capacity(tunnels.len());
        for tunnel in tunnels {
            let before = gone.remove(&tunnel.id);
            if before.is_none() && !first {
                appeared.push(Arc::clone(&tunnel));
            }
            entries.push(self.follow(tunnel, before, events));
        }
        let removed: Vec<Arc<Tunnel>> = gone.values().map(|entry| Arc::clone(&entry.tunnel)).collect();
        for tunnel in &removed {
            self.stated.remove(&tunnel.id);
        }
        push_unless_empty(events, appeared, PollEvent::Appeared);
        push_unless_empty(events, removed, PollEvent::Removed);
        if entries[..] != old[..] {
            self.list.entries = entries.into();
        }
    }

    /// The new entry of one tunnel, its BGP state compared with the last one stated.
    fn follow(&mut self, tunnel: Arc<Tunnel>, before: Option<&Entry>, events: &mut Vec<PollEvent>) -> Entry {
        let mut bgp_state_changes = before.map_or(0, |entry| entry.bgp_state_changes);
        if let Some(to) = tunnel.bgp_status.as_ref().map(|status| status.state) {
            let from = self.stated.insert(tunnel.id.clone(), to);
            if let Some(from) = from.filter(|&from| from != to) {
                bgp_state_changes += 1;
                events.push(PollEvent::BgpChanged { tunnel: Arc::clone(&tunnel), from, to });
            }
        }
        let site = self.rules.site(&self.account, &tunnel);
        match before {
            Some(entry) if entry.tunnel == tunnel => {
                Entry { tunnel: Arc::clone(&entry.tunnel), bgp_state_changes, site }
            }
            _ => Entry { tunnel, bgp_state_changes, site },
        }
    }
}

fn count_by_reason(rejected: &[Rejected]) -> BTreeMap<crate::domain::inventory::RejectReason, u64> {
    let mut counts = BTreeMap::new();
    for one in rejected {
        *counts.entry(one.reason).or_default() += 1;
    }
    counts
}

fn push_unless_empty(events: &mut Vec<PollEvent>, tunnels: Vec<Arc<Tunnel>>, event: fn(Vec<Arc<Tunnel>>) -> PollEvent) {
    if !tunnels.is_empty() {
        events.push(event(tunnels));
    }
}

#[cfg(test)]
mod tests;
