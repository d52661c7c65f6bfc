//! The tunnels of every account as last polled. Only the poller writes here.

use std::{collections::BTreeMap, fmt, sync::Arc};

use super::{
    dataset::{Dataset, PollStatus},
    label::{Label, label_enum},
    tunnel::{Tunnel, TunnelId, TunnelType},
};

/// Name of an account in labels and on pages: its alias, or its id if it has none.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AccountName(Arc<str>);

impl AccountName {
    pub fn new(text: impl Into<Arc<str>>) -> Self {
        Self(text.into())
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for AccountName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Identifies a tunnel for as long as it exists. Its name and addresses can change.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TunnelKey {
    pub account: AccountName,
    pub tunnel_type: TunnelType,
    pub id: TunnelId,
}

impl TunnelKey {
    pub fn new(account: &AccountName, tunnel: &Tunnel) -> Self {
        Self { account: account.clone(), tunnel_type: tunnel.tunnel_type(), id: tunnel.id.clone() }
    }
}

label_enum! {
    /// Why one member of a list is not taken into the inventory.
    pub enum RejectReason {
        /// No `id`, or an empty one.
        MissingId => "missing_id",
        /// No `name`, or an empty one.
        MissingName => "missing_name",
        /// An earlier member of the list has the same `id`.
        DuplicateId => "duplicate_id",
        /// Not an object, or one that contradicts itself.
        Malformed => "malformed",
    }
}

/// A tunnel, and what was seen of it between polls.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    pub tunnel: Arc<Tunnel>,
    /// Changes of the BGP state seen between polls since the tunnel appeared.
    pub bgp_state_changes: u64,
    /// The site it belongs to, as the configuration says.
    pub site: Option<Arc<str>>,
}

/// The tunnels of one type in one account.
#[derive(Debug, Clone, Default)]
pub struct TunnelList {
    pub status: PollStatus,
    /// The last good list, sorted by name and id. Kept while polls fail.
    pub entries: Arc<[Entry]>,
    /// Number of members of the last good list that were rejected, by [`RejectReason`].
    pub rejected: BTreeMap<RejectReason, u64>,
}

/// Everything known about one account.
#[derive(Debug, Clone, Default)]
pub struct Account {
    lists: [Arc<TunnelList>; TunnelType::ALL.len()],
}

impl Account {
    pub fn list(&self, tunnel_type: TunnelType) -> &Arc<TunnelList> {
        &self.lists[tunnel_type as usize]
    }

    pub fn set_list(&mut self, tunnel_type: TunnelType, list: TunnelList) {
        self.lists[tunnel_type as usize] = Arc::new(list);
    }

    /// The lists in the order of [`TunnelType::ALL`].
    pub fn lists(&self) -> impl Iterator<Item = (TunnelType, &TunnelList)> {
        TunnelType::ALL.iter().map(|&tunnel_type| (tunnel_type, self.list(tunnel_type).as_ref()))
    }

    /// The status of every dataset of the account.
    pub fn datasets(&self) -> impl Iterator<Item = (Dataset, &PollStatus)> {
        self.lists().map(|(tunnel_type, list)| (tunnel_type.dataset(), &list.status))
    }

    /// All tunnels, fresh or not.
    pub fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.lists.iter().flat_map(|list| list.entries.iter())
    }
}

/// Every configured account. One `watch` carries it from the pollers to all readers.
#[derive(Debug, Clone, Default)]
pub struct Fleet {
    pub accounts: BTreeMap<AccountName, Arc<Account>>,
}

impl Fleet {
    /// A fleet in which nothing has been polled yet.
    pub fn waiting(accounts: impl IntoIterator<Item = AccountName>) -> Self {
        Self { accounts: accounts.into_iter().map(|name| (name, Arc::default())).collect() }
    }

    /// Whether every dataset of every account [is settled](PollStatus::is_settled).
    pub fn is_ready(&self) -> bool {
        self.accounts.values().all(|account| account.datasets().all(|(_, status)| status.is_settled()))
    }
}
