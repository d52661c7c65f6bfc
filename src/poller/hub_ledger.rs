//! The inventory of an agent between two responses of a hub: what is believed, and how old it is. Reads no clock and no
//! network.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::Duration,
};

use web_toolkit::clock::Moment;

use super::tracked_list::{PollEvent, TrackedList};
use crate::{
    cloudflare::TunnelListing,
    domain::{
        dataset::{FailureReason, PollState, PollStatus},
        edge::{EdgeHealth, EdgeView, EdgeWindow, HealthState, TunnelHealth},
        inventory::{AccountName, Fleet, InventoryEntry, TunnelList},
        rules::TunnelRules,
        steering::Steering,
        tunnel::{TunnelId, TunnelType},
    },
    inventory::{EdgeAge, HubList, Inventory, ReplyTimes},
};

/// Age of reported values of unknown age, which are those of a stored inventory, because the clock may have been set in
/// between. Longer than any `poll.stale-after`.
const UNKNOWN_AGE: Duration = Duration::from_hours(48);

/// An event of one list, for the log.
pub(super) type ListEvent = (AccountName, TunnelType, PollEvent);

/// The lists of all accounts, and the state of the connection to the hub.
#[derive(Debug)]
pub(super) struct HubLedger {
    rules: Arc<TunnelRules>,
    lists: BTreeMap<(AccountName, TunnelType), LedgerList>,
    edges: BTreeMap<AccountName, EdgeView>,
    /// Why the newest request failed.
    failing: Option<FailureReason>,
    /// When the hub's lists were confirmed; `None` before the first inventory.
    confirmed: Option<Moment>,
    asked: bool,
}

#[derive(Debug)]
struct LedgerList {
    tracked: TrackedList,
    /// Sites that the hub states.
    sites: HashMap<TunnelId, Arc<str>>,
    /// Probe settings that the hub states.
    steering: HashMap<TunnelId, Arc<Steering>>,
    /// The tracked entries with what the hub states.
    entries: Arc<[InventoryEntry]>,
    /// The status of the hub's polls.
    status: PollStatus,
}

/// The moment `age` before `now`.
pub(super) fn before(now: Moment, age: Duration) -> Moment {
    Moment {
        instant: now.instant.checked_sub(age).unwrap_or(now.instant),
        wall: now.wall.checked_sub(age).unwrap_or(now.wall),
    }
}

impl HubLedger {
    /// Continues from a published fleet and applies the current rules to it.
    pub(super) fn resume(rules: Arc<TunnelRules>, fleet: &Fleet) -> Self {
        let confirmed = fleet.from_hub.and_then(|status| status.last_success);
        let (lists, edges) = (BTreeMap::new(), BTreeMap::new());
        let mut ledger = Self { rules, lists, edges, failing: None, confirmed, asked: false };
        for (account, known) in &fleet.accounts {
            ledger.edges.extend(known.edge().map(|edge| (account.clone(), EdgeView::clone(edge))));
            for (tunnel_type, list) in known.lists() {
                let list = ledger.resume_list(account, list);
                ledger.lists.insert((account.clone(), tunnel_type), list);
            }
        }
        ledger
    }

    fn resume_list(&self, account: &AccountName, list: &TunnelList) -> LedgerList {
        let sites = list.entries.iter().filter_map(|entry| Some((entry.tunnel.id.clone(), entry.site.clone()?)));
        let sites = sites.collect();
        let steering = list.entries.iter();
        let steering = steering.filter_map(|entry| Some((entry.tunnel.id.clone(), entry.steering.clone()?))).collect();
        let tracked = TrackedList::resume(account.clone(), Arc::clone(&self.rules), list.clone());
        let mut list = LedgerList { tracked, sites, steering, entries: Arc::default(), status: list.status };
        list.fill();
        list
    }

    /// The number of tunnels.
    pub(super) fn tunnels(&self) -> usize {
        self.lists.values().map(|list| list.entries.len()).sum()
    }

    /// When the inventory was confirmed.
    pub(super) fn confirmed(&self) -> Option<Moment> {
        self.confirmed
    }

    /// Adopts an inventory. The request for it began at `started`. Returns what changed, and whether everything was
    /// believed, so that the inventory may be stored.
    pub(super) fn apply(
        &mut self,
        inventory: Inventory,
        times: &ReplyTimes,
        started: Moment,
    ) -> (Vec<ListEvent>, bool) {
        let is_complete = inventory.is_complete();
        // A hub that lost its lists must not end all probes.
        let is_credible = is_complete || inventory.tunnels() > 0 || self.tunnels() == 0;
        let believed = is_credible && inventory.lists.values().all(HubList::is_known);
        let confirmed = before(started, times.age);
        let mut events = Vec::new();
        if is_complete {
            self.lists.retain(|key, _| inventory.lists.contains_key(key));
            self.edges.retain(|account, _| inventory.edges.contains_key(account));
        }
        self.apply_edges(inventory.edges, times, started);
        for ((account, tunnel_type), list) in inventory.lists {
            let at = match list.state {
                PollState::Succeeded => confirmed,
                _ => before(started, times.age_of(&account, tunnel_type).unwrap_or(UNKNOWN_AGE)),
            };
            let of_list = self.apply_list(&account, tunnel_type, list, is_credible.then_some(at));
            events.extend(of_list.into_iter().map(|event| (account.clone(), tunnel_type, event)));
        }
        (self.failing, self.confirmed, self.asked) = (None, Some(confirmed), true);
        (events, believed)
    }

    fn apply_list(
        &mut self,
        account: &AccountName,
        tunnel_type: TunnelType,
        list: HubList,
        confirmed: Option<Moment>,
    ) -> Vec<PollEvent> {
        let key = (account.clone(), tunnel_type);
        if !self.lists.contains_key(&key) {
            let new = self.resume_list(account, &TunnelList::default());
            self.lists.insert(key.clone(), new);
        }
        let Some(known) = self.lists.get_mut(&key) else { return Vec::new() };
        known.status.state = list.state;
        let Some(at) = confirmed.filter(|_| list.is_known()) else { return Vec::new() };
        let HubList { tunnels, sites, steering, rejected, .. } = list;
        let listing = TunnelListing { tunnels, rejected, ..TunnelListing::default() };
        let update = known.tracked.update(Ok(listing), at, at, Duration::ZERO);
        (known.sites, known.steering) = (sites, steering);
        known.status.last_success = Some(at);
        known.fill();
        let is_change = |event: &PollEvent| !matches!(event, PollEvent::Answering { .. });
        update.events.into_iter().filter(is_change).collect()
    }

    /// Adopts the states of the edge's health checks, and their time spans.
    fn apply_edges(
        &mut self,
        edges: BTreeMap<AccountName, HashMap<Box<str>, HealthState>>,
        times: &ReplyTimes,
        started: Moment,
    ) {
        for (account, states) in edges {
            let health = |state| Arc::new(TunnelHealth { state: Some(state), ..TunnelHealth::default() });
            let tunnels = states.into_iter().map(|(name, state)| (name.into(), health(state))).collect();
            let health = EdgeHealth { tunnels: Arc::new(tunnels), ..EdgeHealth::default() };
            self.edges.insert(account, EdgeView { stale_after: Duration::ZERO, health, traffic: None });
        }
        self.confirm_edges(times, started);
    }

    fn confirm_edges(&mut self, times: &ReplyTimes, started: Moment) {
        for EdgeAge { account, from, to, stale_after } in &times.edges {
            let Some(view) = self.edges.get_mut(account) else { continue };
            let window = EdgeWindow { from: before(started, *from), to: before(started, *to) };
            let status = PollStatus { state: PollState::Succeeded, last_success: Some(started), duration: None };
            (view.stale_after, view.health.window, view.health.status) = (*stale_after, Some(window), status);
        }
    }

    /// Adopts a stored inventory. Its tunnels are probed, and its reported values are stale until a hub confirms them.
    pub(super) fn apply_stored(&mut self, inventory: Inventory, confirmed: Moment, now: Moment) {
        self.apply(inventory, &ReplyTimes { age: UNKNOWN_AGE, ..ReplyTimes::default() }, now);
        let instant = before(now, UNKNOWN_AGE).instant;
        (self.confirmed, self.asked) = (Some(Moment { instant, ..confirmed }), false);
    }

    /// Records that the lists are unchanged.
    pub(super) fn confirm(&mut self, times: &ReplyTimes, started: Moment) {
        let confirmed = before(started, times.age);
        for ((account, tunnel_type), list) in &mut self.lists {
            let age = match list.status.state {
                PollState::Succeeded => Some(times.age),
                _ => times.age_of(account, *tunnel_type).filter(|_| list.status.last_success.is_some()),
            };
            list.status.last_success = age.map(|age| before(started, age)).or(list.status.last_success);
        }
        self.confirm_edges(times, started);
        (self.failing, self.confirmed, self.asked) = (None, Some(confirmed), true);
    }

    /// Records that no hub answered. The lists stay, and grow old.
    pub(super) fn fail(&mut self, reason: FailureReason) {
        (self.failing, self.asked) = (Some(reason), true);
    }

    pub(super) fn fleet(&self) -> Fleet {
        let state = |of_hub: PollState| match self.failing {
            Some(reason) => PollState::Failed(reason),
            None => of_hub,
        };
        let own = if self.asked { PollState::Succeeded } else { PollState::Waiting };
        let from_hub = PollStatus { state: state(own), last_success: self.confirmed, duration: None };
        let mut fleet = Fleet { from_hub: Some(from_hub), ..Fleet::default() };
        for ((account, tunnel_type), list) in &self.lists {
            let status = PollStatus { state: state(list.status.state), ..list.status };
            let tracked = list.tracked.current().clone();
            let list = TunnelList { status, entries: Arc::clone(&list.entries), ..tracked };
            let known = fleet.accounts.entry(account.clone()).or_default();
            Arc::make_mut(known).set_list(*tunnel_type, list);
        }
        for (account, view) in &self.edges {
            if let Some(known) = fleet.accounts.get_mut(account) {
                Arc::make_mut(known).set_edge(Some(view.clone()));
            }
        }
        fleet
    }
}

impl LedgerList {
    /// Adds the probe settings and the site that the hub states; a site of the local configuration wins. Unchanged
    /// entries keep their allocation.
    fn fill(&mut self) {
        let filled = |entry: &InventoryEntry| {
            let site = entry.site.clone().or_else(|| self.sites.get(&entry.tunnel.id).cloned());
            InventoryEntry { site, steering: self.steering.get(&entry.tunnel.id).cloned(), ..entry.clone() }
        };
        let entries: Arc<[InventoryEntry]> = self.tracked.current().entries.iter().map(filled).collect();
        if entries != self.entries {
            self.entries = entries;
        }
    }
}

#[cfg(test)]
mod tests;
