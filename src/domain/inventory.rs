//! The tunnels of every account as last polled. Only the poller changes them.

use std::{collections::BTreeMap, fmt, sync::Arc};

use super::{
    dataset::{Dataset, PollStatus},
    edge::{EdgeView, matching::EdgeMatches},
    findings::SharedPrefixes,
    label::{Label, label_enum},
    routes::{RouteTable, matching::RouteMatches},
    steering::Steering,
    token::TokenReport,
    tunnel::{Tunnel, TunnelId, TunnelLists, TunnelType},
};

/// Name of an account in labels and on pages: its alias, or its id if it has no alias.
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

/// Identity of a tunnel. It never changes, unlike the name and the addresses of the tunnel.
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
    /// Why a member of an API list is not added to the inventory.
    pub enum RejectReason {
        /// `id` is absent or empty.
        MissingId => "missing_id",
        /// `name` is absent or empty.
        MissingName => "missing_name",
        /// An earlier member of the list has the same `id`.
        DuplicateId => "duplicate_id",
        /// The member is not an object, names a field twice, or `id` or `name` is not a valid string.
        Malformed => "malformed",
    }
}

/// A member of a list that is not added to the inventory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RejectedMember {
    pub reason: RejectReason,
    /// Position in the list, from 0.
    pub index: usize,
    /// The id, if it is valid.
    pub id: Option<TunnelId>,
}

/// Names the position, the reason and the id.
impl fmt::Display for RejectedMember {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "member {}: {}", self.index, self.reason)?;
        match &self.id {
            Some(id) => write!(f, " (id {id})"),
            None => Ok(()),
        }
    }
}

/// The rejected members of one list. All of them are counted, and the first ones are kept.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RejectedMembers {
    counts: BTreeMap<RejectReason, u64>,
    first: Vec<RejectedMember>,
}

impl RejectedMembers {
    /// Maximum number of members that are kept.
    pub const KEPT: usize = 20;

    pub fn add(&mut self, member: RejectedMember) {
        *self.counts.entry(member.reason).or_default() += 1;
        if self.first.len() < Self::KEPT {
            self.first.push(member);
        }
    }

    /// Returns the number of all rejected members.
    pub fn total(&self) -> u64 {
        self.counts.values().sum()
    }

    pub fn count(&self, reason: RejectReason) -> u64 {
        self.counts.get(&reason).copied().unwrap_or_default()
    }

    /// Returns the number of members by reason, without zeros.
    pub fn counts(&self) -> &BTreeMap<RejectReason, u64> {
        &self.counts
    }

    /// Returns the first [`KEPT`](Self::KEPT) members, in the order of the list.
    pub fn first(&self) -> &[RejectedMember] {
        &self.first
    }
}

/// Lists the reasons, each with its number of members.
impl fmt::Display for RejectedMembers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, (reason, count)) in self.counts.iter().enumerate() {
            let comma = if position == 0 { "" } else { ", " };
            write!(f, "{comma}{reason} ({count})")?;
        }
        Ok(())
    }
}

impl FromIterator<RejectedMember> for RejectedMembers {
    fn from_iter<I: IntoIterator<Item = RejectedMember>>(members: I) -> Self {
        let mut rejected = Self::default();
        members.into_iter().for_each(|member| rejected.add(member));
        rejected
    }
}

/// A tunnel, and what the exporter adds to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InventoryEntry {
    pub tunnel: Arc<Tunnel>,
    /// Number of BGP state changes between polls since the tunnel appeared.
    pub bgp_state_changes: u64,
    /// Site of the tunnel, from the configuration.
    pub site: Option<Arc<str>>,
    /// What the hub of an agent states about the probes.
    pub steering: Option<Arc<Steering>>,
}

/// The tunnels of one type in one account.
#[derive(Debug, Clone, Default)]
pub struct TunnelList {
    pub status: PollStatus,
    /// The last valid list, sorted by name and id. Kept while polls fail.
    pub entries: Arc<[InventoryEntry]>,
    /// The rejected members of the last valid list.
    pub rejected: RejectedMembers,
    /// Whether the list is not polled.
    pub is_off: bool,
}

/// The tunnels of one account, their routes, and what the edge measures for them.
#[derive(Debug, Clone, Default)]
pub struct AccountInventory {
    lists: [Arc<TunnelList>; TunnelType::ALL.len()],
    /// `None` if the edge is not polled.
    edge: Option<Arc<EdgeView>>,
    /// Follows the lists and the edge.
    matches: Arc<EdgeMatches>,
    /// Follows the lists.
    shared_prefixes: Arc<SharedPrefixes>,
    /// `None` if the routes are not polled.
    routes: Option<Arc<RouteTable>>,
    /// Follows the lists and the routes.
    route_matches: Arc<RouteMatches>,
    /// `None` until the token has been verified, and for API keys.
    pub token: Option<TokenReport>,
}

impl AccountInventory {
    pub fn list(&self, tunnel_type: TunnelType) -> &Arc<TunnelList> {
        &self.lists[tunnel_type as usize]
    }

    pub fn set_list(&mut self, tunnel_type: TunnelType, list: TunnelList) {
        let same_entries = Arc::ptr_eq(&self.list(tunnel_type).entries, &list.entries);
        self.lists[tunnel_type as usize] = Arc::new(list);
        if !same_entries {
            let tunnels = self.entries().map(|entry| &*entry.tunnel);
            self.shared_prefixes = Arc::new(SharedPrefixes::among(tunnels));
            self.match_edge();
            self.match_routes();
        }
    }

    /// What the edge measures; `None` if it is not polled.
    pub fn edge(&self) -> Option<&Arc<EdgeView>> {
        self.edge.as_ref()
    }

    /// The data of the edge beside the tunnels.
    pub fn matches(&self) -> &EdgeMatches {
        &self.matches
    }

    /// The interface prefixes that several tunnels have.
    pub fn shared_prefixes(&self) -> &SharedPrefixes {
        &self.shared_prefixes
    }

    /// Replaces what the edge measures.
    pub fn set_edge(&mut self, edge: Option<EdgeView>) {
        self.edge = edge.map(Arc::new);
        self.match_edge();
    }

    fn match_edge(&mut self) {
        let edge = self.edge.as_ref().map(|edge| EdgeMatches::join(edge, &self.tunnels()));
        self.matches = Arc::new(edge.unwrap_or_default());
    }

    /// The static routes; `None` if they are not polled.
    pub fn routes(&self) -> Option<&Arc<RouteTable>> {
        self.routes.as_ref()
    }

    /// The routes beside the tunnels. Its address changes with the routes and the tunnels only.
    pub fn route_matches(&self) -> &Arc<RouteMatches> {
        &self.route_matches
    }

    /// Replaces the static routes.
    pub fn set_routes(&mut self, table: Option<RouteTable>) {
        let routes = |table: Option<&RouteTable>| table.map(|table| Arc::clone(&table.routes)).unwrap_or_default();
        let (before, after) = (routes(self.routes.as_deref()), routes(table.as_ref()));
        self.routes = table.map(Arc::new);
        if !Arc::ptr_eq(&before, &after) {
            self.match_routes();
        }
    }

    fn match_routes(&mut self) {
        let matches = self.routes.as_ref().map(|table| RouteMatches::join(Arc::clone(&table.routes), &self.tunnels()));
        self.route_matches = Arc::new(matches.unwrap_or_default());
    }

    fn tunnels(&self) -> TunnelLists<'_> {
        self.lists.each_ref().map(|list| list.entries.iter().map(|entry| &*entry.tunnel).collect())
    }

    /// Returns the lists that are polled, in the order of [`TunnelType::ALL`].
    pub fn lists(&self) -> impl Iterator<Item = (TunnelType, &TunnelList)> {
        let lists = TunnelType::ALL.iter().map(|&tunnel_type| (tunnel_type, self.list(tunnel_type).as_ref()));
        lists.filter(|(_, list)| !list.is_off)
    }

    /// Returns the status of every dataset of the account that is polled.
    pub fn datasets(&self) -> impl Iterator<Item = (Dataset, &PollStatus)> {
        let health = self.edge.iter().map(|edge| (Dataset::EdgeHealth, &edge.health.status));
        let traffic = self.edge.iter().filter_map(|edge| Some((Dataset::EdgeTraffic, &edge.traffic.as_ref()?.status)));
        let routes = self.routes.iter().map(|table| (Dataset::Routes, &table.status));
        let lists = self.lists().map(|(tunnel_type, list)| (tunnel_type.dataset(), &list.status));
        lists.chain(routes).chain(health).chain(traffic)
    }

    /// Returns all tunnels, stale ones included.
    pub fn entries(&self) -> impl Iterator<Item = &InventoryEntry> {
        self.lists.iter().flat_map(|list| list.entries.iter())
    }
}

/// The inventories of all configured accounts. The pollers publish it on a `watch` channel.
#[derive(Debug, Clone, Default)]
pub struct Fleet {
    pub accounts: BTreeMap<AccountName, Arc<AccountInventory>>,
    /// The state of the inventory that a hub sends; `None` if the accounts are polled by this program.
    pub from_hub: Option<PollStatus>,
}

impl Fleet {
    /// Creates a fleet of accounts that have not been polled yet.
    pub fn unpolled(accounts: impl IntoIterator<Item = AccountName>) -> Self {
        Self { accounts: accounts.into_iter().map(|name| (name, Arc::default())).collect(), from_hub: None }
    }

    /// Creates the fleet of an agent that has no inventory yet.
    pub fn awaiting_hub() -> Self {
        Self { accounts: BTreeMap::new(), from_hub: Some(PollStatus::default()) }
    }

    /// Returns whether every list of GRE and IPsec tunnels of every account [is settled](PollStatus::is_settled), and
    /// on an agent, whether there is an inventory. The other datasets are additions that may fail.
    pub fn is_ready(&self) -> bool {
        let lists = self.accounts.values().flat_map(|account| account.lists());
        let mut lists = lists.filter(|(tunnel_type, _)| !tunnel_type.dataset().is_addition());
        self.from_hub.is_none_or(|status| status.last_success.is_some())
            && lists.all(|(_, list)| list.status.is_settled())
    }
}
