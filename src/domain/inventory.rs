//! The tunnels of every account as last seen, and how their collections are doing. Written by the poller alone.

use std::{collections::BTreeMap, fmt, sync::Arc, time::Duration};

use web_toolkit::clock::Moment;

use super::{
    label::{Label, label_enum},
    tunnel::{Tunnel, TunnelType},
};

/// How an account is called on the page: its alias, or its id where it has none.
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

label_enum! {
    /// A list of the API that is polled, and fails, on its own.
    pub enum Collection {
        GreTunnels => "gre_tunnels",
        IpsecTunnels => "ipsec_tunnels",
    }
}

impl Collection {
    pub const fn tunnel_type(self) -> TunnelType {
        match self {
            Self::GreTunnels => TunnelType::Gre,
            Self::IpsecTunnels => TunnelType::Ipsec,
        }
    }
}

label_enum! {
    /// Why a request to the API gave nothing usable.
    pub enum FailureReason {
        /// 401, 403, or a code that says so: the token is wrong or lacks the permission.
        Auth => "auth",
        /// The account has no such product (codes 1012, 1025).
        NotEntitled => "not_entitled",
        /// 404, or codes 7000, 7003: no such account or path.
        NotFound => "not_found",
        /// 429, or codes 971, 10100, 10429.
        RateLimited => "rate_limited",
        /// 5xx, a redirect, or `success: false` without a code that says more.
        Server => "server",
        /// The body is not JSON at all.
        NotJson => "not_json",
        /// The body is JSON, but truncated or of another shape.
        Decode => "decode",
        /// No complete answer in time.
        Timeout => "timeout",
        /// No connection: DNS, TCP, TLS, or the connection broke.
        Connect => "connect",
        /// The body is larger than the cap.
        TooLarge => "too_large",
    }
}

impl FailureReason {
    /// Whether trying again soon is pointless: somebody has to change a setting first.
    pub const fn is_lasting(self) -> bool {
        matches!(self, Self::Auth | Self::NotEntitled | Self::NotFound)
    }

    /// What the operator can do about it.
    pub const fn remedy(self) -> &'static str {
        match self {
            Self::Auth => {
                "check the token: it needs `Magic WAN Read` or `Magic Transit Read` on this account, and must not be expired"
            }
            Self::NotEntitled => "the account has no Magic WAN or Magic Transit: check the account id",
            Self::NotFound => "check the account id and `--cloudflare.api-url`",
            Self::RateLimited => {
                "the budget of 1,200 requests in 5 minutes is shared with the dashboard and other tools: poll less often, or use a token of its own"
            }
            Self::Server => "a fault at Cloudflare: it is retried",
            Self::NotJson => {
                "something between here and the API answers in its place: check proxies and `--cloudflare.api-url`"
            }
            Self::Decode => "the answer is damaged or of an unknown form: it is retried",
            Self::Timeout => "the API is slow or unreachable: check the network, or raise `--poll.timeout`",
            Self::Connect => "check DNS, proxies, certificates and the route to the API",
            Self::TooLarge => "the answer is larger than 64 MiB: it is not read",
        }
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

/// How the newest poll of a collection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PollState {
    /// Not polled yet.
    Waiting,
    Succeeded,
    Failed(FailureReason),
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

/// One collection of one account.
#[derive(Debug, Clone)]
pub struct CollectionSnapshot {
    pub state: PollState,
    /// The last good list, sorted by name and id; kept while polls fail.
    pub entries: Arc<[Entry]>,
    /// End of the last successful poll.
    pub last_success: Option<Moment>,
    /// How long the newest poll took.
    pub duration: Option<Duration>,
    /// Members of the last good list that were left out, by [`RejectReason`].
    pub rejected: BTreeMap<RejectReason, u64>,
}

impl Default for CollectionSnapshot {
    fn default() -> Self {
        Self {
            state: PollState::Waiting,
            entries: Arc::new([]),
            last_success: None,
            duration: None,
            rejected: BTreeMap::new(),
        }
    }
}

impl CollectionSnapshot {
    /// Whether what the list says may still be shown: it was confirmed within `stale_after`.
    pub fn is_fresh(&self, now: Moment, stale_after: Duration) -> bool {
        self.last_success.is_some_and(|then| now.since(then) <= stale_after)
    }

    /// Polled once, or refused for a reason that waiting does not mend.
    pub fn is_settled(&self) -> bool {
        self.last_success.is_some() || matches!(self.state, PollState::Failed(reason) if reason.is_lasting())
    }
}

/// Everything known of one account.
#[derive(Debug, Clone, Default)]
pub struct AccountSnapshot {
    collections: [Arc<CollectionSnapshot>; Collection::ALL.len()],
}

impl AccountSnapshot {
    pub fn collection(&self, collection: Collection) -> &Arc<CollectionSnapshot> {
        &self.collections[collection as usize]
    }

    pub fn set_collection(&mut self, collection: Collection, snapshot: CollectionSnapshot) {
        self.collections[collection as usize] = Arc::new(snapshot);
    }

    /// The collections in the page's order.
    pub fn collections(&self) -> impl Iterator<Item = (Collection, &CollectionSnapshot)> {
        Collection::ALL.iter().map(|&c| (c, self.collection(c).as_ref()))
    }

    /// All tunnels, fresh or not.
    pub fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.collections.iter().flat_map(|c| c.entries.iter())
    }
}

/// Every configured account. One `watch` carries it from the pollers to all readers.
#[derive(Debug, Clone, Default)]
pub struct Fleet {
    pub accounts: BTreeMap<AccountName, Arc<AccountSnapshot>>,
}

impl Fleet {
    /// A fleet in which nothing has been polled yet.
    pub fn waiting(accounts: impl IntoIterator<Item = AccountName>) -> Self {
        Self { accounts: accounts.into_iter().map(|name| (name, Arc::default())).collect() }
    }

    /// Whether every collection of every account [is settled](CollectionSnapshot::is_settled).
    pub fn is_ready(&self) -> bool {
        self.accounts.values().all(|account| account.collections().all(|(_, c)| c.is_settled()))
    }
}
