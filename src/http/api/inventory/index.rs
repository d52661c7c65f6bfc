//! The inventory by site, and the entity tags of its parts. Built once for each published inventory and for each change
//! of the overrides.

use std::{collections::HashMap, sync::Arc, time::Duration};

use parking_lot::Mutex;
use web_toolkit::{clock::Moment, text::shown};

use super::selection::Selection;
use crate::{
    domain::{
        dataset::{PollState, PollStatus},
        edge::{EdgeWindow, matching::TunnelEdge},
        inventory::{AccountInventory, AccountName, Fleet, InventoryEntry},
        steering::Steering,
        tunnel::TunnelType,
    },
    inventory::{EdgeAge, ListAge, ReplyTimes},
    prober::settings::ProbeSettings,
};

/// Maximum number of entity tags that are kept.
const MAX_TAGS: usize = 4_096;

/// Maximum number of tunnels in a list that is not compressed: a compressor needs 0.3 MB of memory, and more time than
/// the transmission of the plain text.
const FEW: usize = 16;

/// Position of a tunnel in the inventory.
#[derive(Debug, Clone, Copy)]
struct TunnelPosition {
    account: u32,
    tunnel_type: TunnelType,
    entry: u32,
}

/// One published inventory, by site.
#[derive(Debug)]
pub(in crate::http) struct InventoryIndex {
    fleet: Arc<Fleet>,
    settings: Arc<ProbeSettings>,
    accounts: Vec<AccountName>,
    positions: Vec<TunnelPosition>,
    /// Numbers of the tunnels of each site, ascending.
    sites: HashMap<String, Vec<u32>>,
    tags: Mutex<HashMap<Arc<Selection>, Arc<str>>>,
}

impl InventoryIndex {
    pub(in crate::http) fn build(fleet: &Arc<Fleet>, settings: &Arc<ProbeSettings>) -> Self {
        let mut index = Self {
            accounts: fleet.accounts.keys().cloned().collect(),
            fleet: Arc::clone(fleet),
            settings: Arc::clone(settings),
            positions: Vec::new(),
            sites: HashMap::new(),
            tags: Mutex::default(),
        };
        for (account, known) in (0..).zip(fleet.accounts.values()) {
            for (tunnel_type, list) in known.lists() {
                let positions =
                    (0..).zip(&list.entries[..]).map(|(entry, _)| TunnelPosition { account, tunnel_type, entry });
                index.positions.extend(positions);
            }
        }
        let mut sites: HashMap<String, Vec<u32>> = HashMap::new();
        for number in (0..).take(index.positions.len()) {
            if let Some(site) = index.tunnel(number).and_then(|tunnel| tunnel.site()) {
                sites.entry(shown(site).into_owned()).or_default().push(number);
            }
        }
        Self { sites, ..index }
    }

    /// Whether this index was built from this inventory and these overrides.
    pub(in crate::http) fn is_of(&self, fleet: &Arc<Fleet>, settings: &Arc<ProbeSettings>) -> bool {
        Arc::ptr_eq(&self.fleet, fleet) && Arc::ptr_eq(&self.settings, settings)
    }

    /// Whether one of the selected accounts is polled.
    pub(in crate::http) fn knows_accounts(&self, selection: &Selection) -> bool {
        self.accounts.iter().any(|account| selection.includes_account(account))
    }

    /// Every list with its status.
    pub(super) fn lists(&self) -> impl Iterator<Item = (&AccountName, TunnelType, &PollStatus)> {
        let accounts = self.fleet.accounts.iter();
        accounts.flat_map(|(account, known)| {
            known.lists().map(move |(tunnel_type, list)| (account, tunnel_type, &list.status))
        })
    }

    /// The numbers of the selected tunnels, ascending.
    pub(super) fn select(&self, selection: &Selection) -> Vec<u32> {
        let mut numbers: Vec<u32> = if selection.sites.is_empty() {
            (0..u32::try_from(self.positions.len()).unwrap_or(u32::MAX)).collect()
        } else {
            selection.sites.iter().filter_map(|site| self.sites.get(site)).flatten().copied().collect()
        };
        numbers.sort_unstable();
        numbers.retain(|&number| self.tunnel(number).is_some_and(|tunnel| selection.includes_account(tunnel.account)));
        numbers
    }

    /// Whether the selected list is long enough to be compressed. Equal lists have equal answers on every hub.
    pub(in crate::http) fn is_long(&self, selection: &Selection) -> bool {
        let most = if selection.sites.is_empty() {
            self.positions.len()
        } else {
            selection.sites.iter().filter_map(|site| self.sites.get(site)).map(Vec::len).sum()
        };
        most > FEW && (selection.accounts.is_empty() || self.select(selection).len() > FEW)
    }

    pub(super) fn tunnel(&self, number: u32) -> Option<IndexedTunnel<'_>> {
        let position = self.positions.get(number as usize)?;
        let account = self.accounts.get(position.account as usize)?;
        let known = self.fleet.accounts.get(account)?;
        let entry = known.list(position.tunnel_type).entries.get(position.entry as usize)?;
        let edge = known.matches().get(position.tunnel_type, position.entry as usize);
        Some(IndexedTunnel { account, entry, edge })
    }

    /// What the overrides state for the agents that probe a tunnel.
    pub(super) fn steering(&self, tunnel: &IndexedTunnel<'_>) -> Steering {
        self.settings.steering(tunnel.account, &tunnel.entry.tunnel)
    }

    /// The entity tag if it was needed before.
    pub(in crate::http) fn known_tag(&self, selection: &Selection) -> Option<Arc<str>> {
        self.tags.lock().get(selection).cloned()
    }

    pub(super) fn keep_tag(&self, selection: Arc<Selection>, tag: Arc<str>) {
        let mut tags = self.tags.lock();
        if tags.len() >= MAX_TAGS {
            tags.clear();
        }
        tags.insert(selection, tag);
    }

    /// The ages of what is selected. `None` if no list was ever read.
    pub(in crate::http) fn times(&self, selection: &Selection, now: Moment) -> Option<ReplyTimes> {
        let lists = || self.lists().filter(|(account, ..)| selection.includes_account(account));
        let list_age = |(account, tunnel_type, status): (&AccountName, TunnelType, &PollStatus)| {
            let age = now.since(status.last_success?);
            Some(ListAge { account: account.clone(), tunnel_type, age })
        };
        let accounts = self.fleet.accounts.iter().filter(|(account, _)| selection.includes_account(account));
        let edge_age = |(account, known): (&AccountName, &Arc<AccountInventory>)| {
            let view = known.edge()?;
            let EdgeWindow { from, to } = view.health.window?;
            let account = account.clone();
            Some(EdgeAge { account, from: now.since(from), to: now.since(to), stale_after: view.stale_after })
        };
        Some(ReplyTimes {
            age: self.age(selection, now)?,
            lists: lists().filter(|(.., status)| status.state != PollState::Succeeded).filter_map(list_age).collect(),
            edges: accounts.filter_map(edge_age).collect(),
        })
    }

    /// Time since Cloudflare confirmed the oldest of the selected lists that succeeded; of all of them if none did.
    fn age(&self, selection: &Selection, now: Moment) -> Option<Duration> {
        let lists = || self.lists().filter(|(account, ..)| selection.includes_account(account));
        let ages = |succeeded: bool| {
            let chosen = lists().filter(move |(.., status)| !succeeded || status.state == PollState::Succeeded);
            chosen.filter_map(|(.., status)| status.last_success).map(|then| now.since(then)).max()
        };
        ages(true).or_else(|| ages(false))
    }
}

/// A tunnel of the index, and what the edge measures for it.
#[derive(Debug, Clone, Copy)]
pub(super) struct IndexedTunnel<'a> {
    pub(super) account: &'a AccountName,
    pub(super) entry: &'a InventoryEntry,
    /// `None` if the edge is not polled.
    pub(super) edge: Option<&'a TunnelEdge>,
}

impl<'a> IndexedTunnel<'a> {
    /// The site of the configuration, or else the one that Cloudflare assigns.
    pub(super) fn site(&self) -> Option<&'a Arc<str>> {
        self.entry.site.as_ref().or_else(|| self.edge?.site.as_ref())
    }
}
