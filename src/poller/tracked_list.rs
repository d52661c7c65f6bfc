//! One tunnel list between polls: what each poll changes, what is logged, and when to poll again. Reads no clock and no
//! network.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
    time::Duration,
};

use tracing::{info, warn};
use web_toolkit::{clock::Moment, text::shown};

use crate::{
    cloudflare::{ApiFailure, TunnelListing, error::retry_delay, fields::KnownField},
    domain::{
        dataset::{FailureReason, PollState},
        inventory::{AccountName, InventoryEntry, RejectedMember, RejectedMembers, TunnelList},
        label::Label as _,
        rules::TunnelRules,
        tunnel::{BgpState, Tunnel, TunnelId, TunnelType},
    },
};

/// Maximum number of names in one log line.
const MAX_LOGGED_NAMES: usize = 5;

/// Maximum number of rejected members with a log line of their own after one poll.
const MAX_LOGGED_MEMBERS: usize = 5;

/// A change that is logged once, when it happens.
#[derive(Debug, PartialEq, Eq)]
pub enum PollEvent {
    /// The first successful poll, or the first one after failures.
    Answering {
        tunnels: usize,
        /// Tunnels that the configuration excludes.
        excluded: usize,
        after: Option<FailureReason>,
    },
    /// Polls fail, or fail for a different reason.
    Failing(ApiFailure),
    BgpChanged {
        tunnel: Arc<Tunnel>,
        from: BgpState,
        to: BgpState,
    },
    Appeared(Vec<Arc<Tunnel>>),
    Removed(Vec<Arc<Tunnel>>),
    /// A member of the list is rejected for the first time.
    Rejected(RejectedMember),
    /// More members are rejected than have lines of their own.
    RejectedInTotal(RejectedMembers),
    /// A field has an unknown or invalid value for the first time.
    UnknownValues(KnownField),
}

impl PollEvent {
    pub(super) fn log(&self, account: &AccountName, tunnel_type: TunnelType) {
        let (account, collection) = (account.as_str(), tunnel_type.dataset().as_str());
        match self {
            Self::Answering { tunnels, excluded, after } => {
                let again = after.map_or(String::new(), |reason| format!("polls succeed again after `{reason}`: "));
                let more = if *excluded > 0 { format!(", {excluded} more are excluded") } else { String::new() };
                let noun = if tunnel_type == TunnelType::Interconnect { "interconnect" } else { "tunnel" };
                let plural = if *tunnels == 1 { "" } else { "s" };
                info!(account, collection, tunnels, "{again}the API lists {tunnels} {noun}{plural}{more}");
            }
            Self::Failing(failure) => {
                let remedy = tunnel_type.dataset().remedy(failure.reason);
                warn!(account, collection, reason = %failure.reason, "poll failed: {failure}; {remedy}");
            }
            Self::BgpChanged { tunnel, from, to } => {
                let (tunnel_type, tunnel_id) = (tunnel_type.as_str(), tunnel.id.as_str());
                let tunnel_name = shown(&tunnel.name);
                let (from, to) = (from.as_str(), to.as_str());
                let change = format!("BGP state of {tunnel_name} changed from {from} to {to}");
                info!(account, tunnel_type, tunnel_id, %tunnel_name, from, to, "{change}");
            }
            Self::Appeared(tunnels) => info!(account, collection, "new tunnels: {}", list_names(tunnels)),
            Self::Removed(tunnels) => info!(account, collection, "removed tunnels: {}", list_names(tunnels)),
            Self::Rejected(RejectedMember { reason, index, id }) => {
                let tunnel_id = id.as_ref().map(TunnelId::as_str);
                let tunnel_type = tunnel_type.as_str();
                warn!(account, tunnel_type, tunnel_id, %reason, "member {index} of the list is rejected: {reason}");
            }
            Self::RejectedInTotal(rejected) => {
                let total = rejected.total();
                warn!(account, collection, rejected = total, "{total} members of the list are rejected: {rejected}");
            }
            Self::UnknownValues(field) => {
                let advice = "see the metric `cloudflare_magic_unknown_values_total`";
                warn!(account, collection, %field, "unknown or invalid values of `{field}`; {advice}");
            }
        }
    }
}

fn list_names(tunnels: &[Arc<Tunnel>]) -> String {
    let names = tunnels.iter().take(MAX_LOGGED_NAMES).map(|tunnel| format!("`{}`", shown(&tunnel.name)));
    let names = names.collect::<Vec<_>>().join(", ");
    match tunnels.len().saturating_sub(MAX_LOGGED_NAMES) {
        0 => names,
        more => format!("{names} and {more} more"),
    }
}

/// The consequences of one poll.
#[derive(Debug)]
pub struct PollUpdate {
    pub events: Vec<PollEvent>,
    /// Time until the next poll.
    pub wait: Duration,
    /// Whether all other requests have to wait for the same time.
    pub rate_limited: bool,
}

/// One tunnel list and its state between polls.
#[derive(Debug)]
pub struct TrackedList {
    account: AccountName,
    rules: Arc<TunnelRules>,
    list: TunnelList,
    /// The last BGP state of each tunnel, kept while the API omits the status.
    bgp_states: HashMap<TunnelId, BgpState>,
    /// Consecutive failures.
    failures: u32,
    unknown: BTreeSet<KnownField>,
}

impl TrackedList {
    /// Continues from `list`, which is the default value if it was never polled.
    pub fn resume(account: AccountName, rules: Arc<TunnelRules>, mut list: TunnelList) -> Self {
        list.entries = rules.apply(&account, &list.entries);
        let bgp_states = list.entries.iter().filter_map(|entry| {
            let status = entry.tunnel.bgp_status.as_ref()?;
            Some((entry.tunnel.id.clone(), status.state))
        });
        let bgp_states = bgp_states.collect();
        Self { account, rules, list, bgp_states, failures: 0, unknown: BTreeSet::new() }
    }

    pub fn current(&self) -> &TunnelList {
        &self.list
    }

    /// Applies the result of a poll that ran from `started` to `ended`.
    pub fn update(
        &mut self,
        result: Result<TunnelListing, ApiFailure>,
        started: Moment,
        ended: Moment,
        interval: Duration,
    ) -> PollUpdate {
        self.list.status.duration = Some(ended.since(started));
        match result {
            Ok(listing) => {
                let events = self.apply_listing(listing, ended);
                PollUpdate { events, wait: interval.saturating_sub(ended.since(started)), rate_limited: false }
            }
            Err(failure) => self.apply_failure(failure, interval),
        }
    }

    fn apply_failure(&mut self, failure: ApiFailure, interval: Duration) -> PollUpdate {
        self.failures = self.failures.saturating_add(1);
        let wait = retry_delay(&failure, self.failures, interval);
        let rate_limited = failure.reason == FailureReason::RateLimited;
        let known = self.list.status.state == PollState::Failed(failure.reason);
        self.list.status.state = PollState::Failed(failure.reason);
        let events = if known { Vec::new() } else { vec![PollEvent::Failing(failure)] };
        PollUpdate { events, wait, rate_limited }
    }

    fn apply_listing(&mut self, mut listing: TunnelListing, now: Moment) -> Vec<PollEvent> {
        let mut events = Vec::new();
        let listed = listing.tunnels.len();
        listing.tunnels.retain(|tunnel| self.rules.includes(tunnel));
        let excluded = listed - listing.tunnels.len();
        let after = match self.list.status.state {
            PollState::Failed(reason) => Some(reason),
            PollState::Waiting | PollState::Succeeded => None,
        };
        if self.list.status.state != PollState::Succeeded {
            events.push(PollEvent::Answering { tunnels: listing.tunnels.len(), excluded, after });
        }
        self.note_unreadable(&listing, &mut events);
        self.list.rejected = listing.rejected;
        self.replace_entries(listing.tunnels, &mut events);
        self.list.status.state = PollState::Succeeded;
        self.list.status.last_success = Some(now);
        self.failures = 0;
        events
    }

    /// Adds an event for the first rejected members and for each field with unknown values, if they are new.
    fn note_unreadable(&mut self, listing: &TunnelListing, events: &mut Vec<PollEvent>) {
        let (before, now) = (&self.list.rejected, &listing.rejected);
        let first = now.first().iter().take(MAX_LOGGED_MEMBERS);
        events.extend(first.filter(|member| !before.first().contains(member)).cloned().map(PollEvent::Rejected));
        if now.total() > before.total() && now.total() > MAX_LOGGED_MEMBERS as u64 {
            events.push(PollEvent::RejectedInTotal(now.clone()));
        }
        for &field in listing.unknown.keys() {
            if self.unknown.insert(field) {
                events.push(PollEvent::UnknownValues(field));
            }
        }
    }

    /// Replaces the entries. Unchanged tunnels keep their allocation, and all tunnels that remain keep their counters.
    fn replace_entries(&mut self, tunnels: Vec<Arc<Tunnel>>, events: &mut Vec<PollEvent>) {
        let first = self.list.status.last_success.is_none();
        let old = Arc::clone(&self.list.entries);
        let mut gone: HashMap<&TunnelId, &InventoryEntry> = old.iter().map(|entry| (&entry.tunnel.id, entry)).collect();
        let mut appeared = Vec::new();
        let mut entries = Vec::with_capacity(tunnels.len());
        for tunnel in tunnels {
            let before = gone.remove(&tunnel.id);
            if before.is_none() && !first {
                appeared.push(Arc::clone(&tunnel));
            }
            entries.push(self.update_entry(tunnel, before, events));
        }
        let removed: Vec<Arc<Tunnel>> = gone.values().map(|entry| Arc::clone(&entry.tunnel)).collect();
        for tunnel in &removed {
            self.bgp_states.remove(&tunnel.id);
        }
        push_unless_empty(events, appeared, PollEvent::Appeared);
        push_unless_empty(events, removed, PollEvent::Removed);
        if entries[..] != old[..] {
            self.list.entries = entries.into();
        }
    }

    /// Creates the new entry of one tunnel and compares its BGP state with the last known one.
    fn update_entry(
        &mut self,
        tunnel: Arc<Tunnel>,
        before: Option<&InventoryEntry>,
        events: &mut Vec<PollEvent>,
    ) -> InventoryEntry {
        let mut bgp_state_changes = before.map_or(0, |entry| entry.bgp_state_changes);
        if let Some(to) = tunnel.bgp_status.as_ref().map(|status| status.state) {
            let from = self.bgp_states.insert(tunnel.id.clone(), to);
            if let Some(from) = from.filter(|&from| from != to) {
                bgp_state_changes += 1;
                events.push(PollEvent::BgpChanged { tunnel: Arc::clone(&tunnel), from, to });
            }
        }
        match before.filter(|entry| entry.tunnel == tunnel) {
            // The site depends only on the tunnel and on rules that do not change.
            Some(unchanged) => InventoryEntry { bgp_state_changes, ..unchanged.clone() },
            None => InventoryEntry {
                site: self.rules.site(&self.account, &tunnel),
                tunnel,
                bgp_state_changes,
                steering: None,
            },
        }
    }
}

fn push_unless_empty(events: &mut Vec<PollEvent>, tunnels: Vec<Arc<Tunnel>>, event: fn(Vec<Arc<Tunnel>>) -> PollEvent) {
    if !tunnels.is_empty() {
        events.push(event(tunnels));
    }
}

#[cfg(test)]
mod tests;
