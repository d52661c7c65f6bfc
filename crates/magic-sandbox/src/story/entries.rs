//! The entries of a story file, as they are written, and the place of a wrong one.

use std::{collections::BTreeMap, net::IpAddr, time::Duration};

use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};
use serde_saphyr::Spanned;
use web_toolkit::yaml::{Node, YamlError};

use crate::faults::{Fault, parse_duration};

#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct StoryKeys {
    #[serde(deserialize_with = "parse_optional_duration")]
    pub period: Option<Duration>,
    /// Age at which GraphQL data becomes visible; default: 1m.
    #[serde(deserialize_with = "parse_optional_duration")]
    pub edge_delay: Option<Duration>,
    /// Maximum number of rows of a GraphQL list; default: 10,000.
    pub edge_page_size: Option<u64>,
    pub token: Option<Spanned<Value>>,
    pub accounts: Node<AccountEntry>,
    pub events: Node<EventEntry>,
}

#[derive(Deserialize)]
pub(super) struct AccountEntry {
    pub name: String,
    /// 32 hex digits; derived from the name by default.
    pub id: Option<String>,
    /// Default: `true`.
    pub onboarded: Option<bool>,
    /// Whether the token can read the account's analytics. Default: `true`.
    pub analytics: Option<bool>,
    #[serde(default)]
    pub tunnels: Node<Fields>,
    #[serde(default)]
    pub routes: Node<Fields>,
    #[serde(default)]
    pub interconnects: Node<Fields>,
}

/// The body of a tunnel, as for the API, plus `type`, `bgp_status` and `edge`; or of a route or an interconnect.
pub(super) type Fields = BTreeMap<String, Spanned<Value>>;

/// An account and its resources, each with its line.
pub(super) struct ListedAccount {
    pub line: u64,
    pub entry: AccountEntry,
    pub tunnels: Vec<(u64, Fields)>,
    pub routes: Vec<(u64, Fields)>,
    pub interconnects: Vec<(u64, Fields)>,
}

#[derive(Deserialize)]
pub(super) struct EventEntry {
    #[serde(deserialize_with = "parse_duration")]
    pub at: Duration,
    /// Interval at which the event is repeated until the period ends.
    #[serde(default, deserialize_with = "parse_optional_duration")]
    pub every: Option<Duration>,
    /// Required if tunnels of several accounts have this name.
    pub account: Option<String>,
    pub tunnel: Option<String>,
    /// Prefix and next hop: `10.0.0.0/8 via 10.1.1.1`.
    pub route: Option<String>,
    pub interconnect: Option<String>,
    pub say: String,
    pub set: Option<Map<String, Value>>,
    pub bgp_status: Option<Value>,
    pub edge: Option<Map<String, Value>>,
    /// Addresses that stop replying to pings.
    #[serde(default)]
    pub mute: Vec<IpAddr>,
    /// Addresses that reply again.
    #[serde(default)]
    pub unmute: Vec<IpAddr>,
    pub token: Option<Value>,
    pub faults: Option<Vec<Fault>>,
}

fn parse_optional_duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
    parse_duration(deserializer).map(Some)
}

pub(super) fn wrong(line: u64, what: impl Into<String>) -> YamlError {
    YamlError { line, what: what.into() }
}

/// Locates an error at the key that its pointer names, or else at the resource.
pub(super) fn wrong_field(section: &str, line: u64, fields: &Fields, pointer: &str, rule: &str) -> YamlError {
    let path = pointer.trim_start_matches('/').replace('/', ".");
    let key = path.split('.').next().unwrap_or_default();
    wrong(fields.get(key).map_or(line, |value| value.defined.line()), format!("{section}.{path}: {rule}"))
}
