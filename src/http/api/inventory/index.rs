//! The inventory by site, and the entity tags of its parts. Built once for each published inventory.

use std::{collections::HashMap, sync::Arc, time::Duration};

use parking_lot::Mutex;
use web_toolkit::{clock::Moment, text::shown};

use super::selection::Selection;
use crate::domain::{
    dataset::{PollState, PollStatus},
    inventory::{AccountName, Fleet, InventoryEntry},
    tunnel::TunnelType,
};

/// Maximum number of entity tags that are kept.
const MAX_TAGS: usize = 4_096;

/// Position of a tunnel in the inventory.
#[derive(Debug, Clone, Copy)]
struct Position {
    account: u32,
    tunnel_type: TunnelType,
    entry: u32,
}

/// One published inventory, by site.
#[derive(Debug)]
pub(in crate::http) struct InventoryIndex {
    fleet: Arc<Fleet>,
    accounts: Vec<AccountName>,
    positions: Vec<Position>,
    /// Numbers of the tunnels of each site, ascending.
    sites: HashMap<String, Vec<u32>>,
    tags: Mutex<HashMap<Arc<Selection>, Arc<str>>>,
}

impl InventoryIndex {
    pub(in crate::http) fn build(fleet: &Arc<Fleet>) -> Self {
        let mut index = Self {
            accounts: fleet.accounts.keys().cloned().collect(),
            fleet: Arc::clone(fleet),
            positions: Vec::new(),
            sites: HashMap::new(),
            tags: Mutex::default(),
        };
        for (account, known) in (0..).zip(fleet.accounts.values()) {
            for (tunnel_type, list) in known.lists() {
                for (entry, known) in (0..).zip(list.entries.iter()) {
                    let number = u32::try_from(index.positions.len()).unwrap_or(u32::MAX);
                    index.positions.push(Position { account, tunnel_type, entry });
                    if let Some(site) = &known.site {
                        index.sites.entry(shown(site).into_owned()).or_default().push(number);
                    }
                }
            }
        }
        index
    }

    /// Whether this index was built from this inventory.
    pub(in crate::http) fn is_of(&self, fleet: &Arc<Fleet>) -> bool {
        Arc::ptr_eq(&self.fleet, fleet)
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
        numbers.retain(|&number| self.tunnel(number).is_some_and(|(account, _)| selection.includes_account(account)));
        numbers
    }

    pub(super) fn tunnel(&self, number: u32) -> Option<(&AccountName, &InventoryEntry)> {
        let position = self.positions.get(number as usize)?;
        let account = self.accounts.get(position.account as usize)?;
        let list = self.fleet.accounts.get(account)?.list(position.tunnel_type);
        Some((account, list.entries.get(position.entry as usize)?))
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

    /// Time since Cloudflare confirmed the oldest of the selected lists. Lists that fail are older, and say so
    /// themselves; they count only if there is no other. `None` if no list was ever read.
    pub(in crate::http) fn age(&self, selection: &Selection, now: Moment) -> Option<Duration> {
        let lists = || self.lists().filter(|(account, ..)| selection.includes_account(account));
        let ages = |succeeded: bool| {
            let chosen = lists().filter(move |(.., status)| !succeeded || status.state == PollState::Succeeded);
            chosen.filter_map(|(.., status)| status.last_success).map(|then| now.since(then)).max()
        };
        ages(true).or_else(|| ages(false))
    }
}
