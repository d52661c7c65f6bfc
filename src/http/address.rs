//! Addresses: what a path leads to, the paths of single tunnels, and the queries of the front page and of the API.

use form_urlencoded::Serializer;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use web_toolkit::text::{LONGEST, shown};

use crate::{
    domain::{
        inventory::{AccountName, TunnelKey},
        label::Label,
        routes::prefixes::PrefixState,
        tunnel::{Tunnel, TunnelId, TunnelType},
        verdict::Verdict,
    },
    snapshot::{
        Row,
        rows::{Filter, Order, VerdictFilter},
    },
};

/// What a path leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Resource<'a> {
    Front,
    Runbooks,
    Prefixes,
    Tunnel(TunnelKey),
    Asset(&'a str),
    Metrics,
    Healthy,
    Ready,
    ApiTunnels,
    ApiTunnel(TunnelKey),
    ApiTargets,
    ApiSites,
    ApiEvents,
    ApiInventory,
    ApiAgents,
    ApiAgentTargets,
    Agents,
    ApiPrefixes,
    Reload,
}

/// Whether this server needs a path for itself, so that it cannot be the path of the metrics.
pub fn is_taken(path: &str) -> bool {
    let reserved = ["/-/", "/api/", "/assets/", "/tunnels/"];
    reserved.iter().any(|prefix| path.starts_with(prefix)) || Resource::find(path).is_some()
}

impl<'a> Resource<'a> {
    /// Whether a client that may read the inventory of some sites only may request it.
    pub(super) fn is_for_agents(&self) -> bool {
        matches!(self, Self::ApiInventory | Self::Healthy | Self::Ready)
    }

    /// The query parameters that it knows; all others are refused.
    pub(super) fn parameters(&self) -> &'static [&'static str] {
        match self {
            Self::Front => &["account", "site", "type", "verdict", "search", "sort", "sites", "page"],
            Self::ApiTunnels | Self::ApiTargets | Self::ApiSites => &["account", "site", "type", "verdict", "search"],
            Self::ApiEvents => &["account", "site", "type", "search", "since", "format"],
            Self::ApiInventory => &["site", "account", "all"],
            Self::Prefixes | Self::ApiPrefixes => &["account", "state"],
            Self::Metrics => &["collect[]", "exclude[]"],
            Self::Runbooks
            | Self::Tunnel(_)
            | Self::Asset(_)
            | Self::Healthy
            | Self::Ready
            | Self::ApiTunnel(_)
            | Self::ApiAgents
            | Self::ApiAgentTargets
            | Self::Agents
            | Self::Reload => &[],
        }
    }

    /// Whether it is a page for people, so that its errors are pages, too.
    pub(super) fn is_page(&self) -> bool {
        matches!(self, Self::Front | Self::Runbooks | Self::Prefixes | Self::Tunnel(_) | Self::Agents)
    }

    /// Whether it is a part of the JSON API.
    pub(super) fn is_json(&self) -> bool {
        matches!(
            self,
            Self::ApiTunnels
                | Self::ApiTunnel(_)
                | Self::ApiTargets
                | Self::ApiSites
                | Self::ApiEvents
                | Self::ApiPrefixes
                | Self::ApiInventory
                | Self::ApiAgents
                | Self::ApiAgentTargets
        )
    }

    pub(super) fn find(path: &'a str) -> Option<Self> {
        match path {
            "/" => Some(Self::Front),
            "/runbooks" => Some(Self::Runbooks),
            "/prefixes" => Some(Self::Prefixes),
            "/-/healthy" => Some(Self::Healthy),
            "/-/ready" => Some(Self::Ready),
            "/-/reload" => Some(Self::Reload),
            "/api/v1/tunnels" => Some(Self::ApiTunnels),
            "/api/v1/targets" => Some(Self::ApiTargets),
            "/api/v1/sites" => Some(Self::ApiSites),
            "/api/v1/events" => Some(Self::ApiEvents),
            "/api/v1/inventory" => Some(Self::ApiInventory),
            "/api/v1/agents" => Some(Self::ApiAgents),
            "/api/v1/agents/targets" => Some(Self::ApiAgentTargets),
            "/agents" => Some(Self::Agents),
            "/api/v1/prefixes" => Some(Self::ApiPrefixes),
            _ => {
                let key = |prefix| path.strip_prefix(prefix).and_then(parse_tunnel_path);
                let page = || key("/tunnels/").map(Self::Tunnel);
                let json = || key("/api/v1/tunnels/").map(Self::ApiTunnel);
                page().or_else(json).or_else(|| path.strip_prefix("/assets/").map(Self::Asset))
            }
        }
    }
}

/// Everything but the unreserved characters of RFC 3986 section 2.3.
const RESERVED: AsciiSet = NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// The part of a tunnel's path after `/tunnels/`: `{account}/{type}/{id}`, percent-encoded.
pub(super) fn tunnel_path(row: &Row<'_>) -> String {
    tunnel_path_of(row.account, row.tunnel())
}

/// The same for a tunnel without a row.
pub(super) fn tunnel_path_of(account: &AccountName, tunnel: &Tunnel) -> String {
    let account = utf8_percent_encode(account.as_str(), &RESERVED);
    format!("{account}/{}/{}", tunnel.tunnel_type(), utf8_percent_encode(tunnel.id.as_str(), &RESERVED))
}

/// The tunnel named by the path after `/tunnels/`; `None` if the path is malformed.
fn parse_tunnel_path(rest: &str) -> Option<TunnelKey> {
    let mut parts = rest.split('/');
    let (account, tunnel_type, id) = (parts.next()?, parts.next()?, parts.next()?);
    let tunnel_type = TunnelType::ALL.iter().copied().find(|known| known.as_str() == tunnel_type)?;
    let decoded = |part| percent_decode_str(part).decode_utf8().ok().filter(|text| !text.is_empty());
    if parts.next().is_some() {
        return None;
    }
    Some(TunnelKey { account: AccountName::new(&*decoded(account)?), tunnel_type, id: TunnelId::new(&*decoded(id)?) })
}

/// The value of `verdict` that selects every verdict that needs attention.
pub(super) const ATTENTION: &str = "attention";

/// The query of the front page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Query {
    pub(super) filter: Filter,
    pub(super) order: Order,
    /// Whether all sites are listed, not only the first ones.
    pub(super) all_sites: bool,
    /// The first page is 1.
    pub(super) page: usize,
}

/// Why a query is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum QueryError {
    #[error("unknown key `{key}`; {}", list(.known))]
    UnknownKey { key: String, known: &'static [&'static str] },
    #[error("`{key}` is `{value}`: {rule}")]
    InvalidValue { key: String, value: String, rule: String },
}

fn list(known: &[&str]) -> String {
    if known.is_empty() { "this path has none".to_owned() } else { format!("expected one of {}", known.join(", ")) }
}

/// Refuses a parameter that is not one of `known`, because a misspelled filter would silently match everything.
pub(super) fn refuse_unknown(query: &str, known: &'static [&'static str]) -> Result<(), QueryError> {
    let mut keys = form_urlencoded::parse(query.as_bytes()).map(|(key, _)| key);
    let unknown = keys.find(|key| !known.contains(&&**key));
    unknown.map_or(Ok(()), |key| Err(QueryError::UnknownKey { key: to_shown(&key), known }))
}

/// The only value of `sites`.
const ALL_SITES: &str = "all";

impl Default for Query {
    fn default() -> Self {
        Self { filter: Filter::default(), order: Order::Trouble, all_sites: false, page: 1 }
    }
}

impl Query {
    /// Parses the part of an address after `?`. Empty values, as forms send them, are ignored, as are unknown keys:
    /// [`refuse_unknown`] comes first.
    pub(super) fn parse(text: &str) -> Result<Self, QueryError> {
        let mut query = Self::default();
        for (key, value) in form_urlencoded::parse(text.as_bytes()).filter(|(_, value)| !value.is_empty()) {
            query.set(&key, &value).map_err(|rule| QueryError::InvalidValue {
                key: to_shown(&key),
                value: to_shown(&value),
                rule,
            })?;
        }
        Ok(query)
    }

    fn set(&mut self, key: &str, value: &str) -> Result<(), String> {
        match key {
            "account" => self.filter.account = Some(value.to_owned()),
            "site" => self.filter.site = Some(value.to_owned()),
            "type" => self.filter.tunnel_type = Some(parse_label::<TunnelType>(value, &[])?),
            "verdict" if value == ATTENTION => self.filter.verdict = Some(VerdictFilter::Attention),
            "verdict" => self.filter.verdict = Some(VerdictFilter::Only(parse_label::<Verdict>(value, &[ATTENTION])?)),
            "search" if value.chars().count() > LONGEST => {
                return Err(format!("must not be longer than {LONGEST} characters"));
            }
            "search" => {
                let words = value.split_whitespace().map(shown).filter(|word| !word.is_empty());
                self.filter.search = words.collect::<Vec<_>>().join(" ");
            }
            "sort" => self.order = parse_label(value, &[])?,
            "sites" if value == ALL_SITES => self.all_sites = true,
            "sites" => return Err(format!("must be {ALL_SITES}")),
            "page" => {
                let page = value.parse().ok().filter(|page| *page > 0);
                self.page = page.ok_or("must be an integer of at least 1")?;
            }
            _ => {}
        }
        Ok(())
    }

    /// The address of the front page with this query, relative to the front page.
    pub(super) fn link(&self) -> String {
        let mut text = Serializer::new(String::from("?"));
        let Filter { account, site, tunnel_type, verdict, search } = &self.filter;
        if let Some(account) = account {
            text.append_pair("account", account);
        }
        if let Some(site) = site {
            text.append_pair("site", site);
        }
        if let Some(tunnel_type) = tunnel_type {
            text.append_pair("type", tunnel_type.as_str());
        }
        if let Some(verdict) = verdict {
            text.append_pair("verdict", verdict_value(*verdict));
        }
        if !search.is_empty() {
            text.append_pair("search", search);
        }
        if self.order != Order::Trouble {
            text.append_pair("sort", self.order.as_str());
        }
        if self.all_sites {
            text.append_pair("sites", ALL_SITES);
        }
        if self.page > 1 {
            text.append_pair("page", &self.page.to_string());
        }
        let text = text.finish();
        if text == "?" { "./".to_owned() } else { text.replacen("?&", "?", 1) }
    }

    pub(super) fn with_order(&self, order: Order) -> Self {
        Self { order, page: 1, ..self.clone() }
    }

    /// The query with the list of all sites.
    pub(super) fn with_all_sites(&self) -> Self {
        Self { all_sites: true, ..self.clone() }
    }

    /// The query for the tunnels of one site.
    pub(super) fn of_site(account: Option<&str>, site: &str) -> Self {
        let filter = Filter { account: account.map(str::to_owned), site: Some(site.to_owned()), ..Filter::default() };
        Self { filter, ..Self::default() }
    }

    pub(super) fn with_page(&self, page: usize) -> Self {
        Self { page, ..self.clone() }
    }
}

/// Parses a query of the API, which has no order and no pages.
pub(super) fn parse_filter(text: &str) -> Result<Filter, QueryError> {
    Query::parse(text).map(|query| query.filter)
}

/// Parses the query of the list of prefixes: an account and a state. Empty values are ignored.
pub(super) fn parse_prefix_query(text: &str) -> Result<(Option<String>, Option<PrefixState>), QueryError> {
    let (mut account, mut state) = (None, None);
    for (key, value) in form_urlencoded::parse(text.as_bytes()) {
        match &*key {
            "account" | "state" if value.is_empty() => {}
            "account" => account = Some(value.into_owned()),
            "state" => {
                let parsed = parse_label(&value, &[]);
                state = Some(parsed.map_err(|rule| QueryError::InvalidValue {
                    key: key.to_string(),
                    value: to_shown(&value),
                    rule,
                })?);
            }
            _ => {}
        }
    }
    Ok((account, state))
}

/// The value of `verdict` in a query.
pub(super) fn verdict_value(wanted: VerdictFilter) -> &'static str {
    match wanted {
        VerdictFilter::Attention => ATTENTION,
        VerdictFilter::Only(verdict) => verdict.as_str(),
    }
}

pub(super) fn parse_label<T: Label>(value: &str, more: &[&str]) -> Result<T, String> {
    let known = T::ALL.iter().copied().find(|member| member.as_str() == value);
    known.ok_or_else(|| {
        let names: Vec<&str> = T::ALL.iter().map(|member| member.as_str()).chain(more.iter().copied()).collect();
        format!("must be one of {}", names.join(", "))
    })
}

pub(super) fn to_shown(text: &str) -> String {
    shown(text).into_owned()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::domain::{fixtures::tunnel, inventory::InventoryEntry, probe::Silence};

    #[test]
    fn malformed_paths_of_tunnels_are_refused() {
        for rest in ["", "a", "a/gre", "a/gre/", "a/gre/1/2", "a/vpn/1", "/gre/1", "a/gre/%ff"] {
            assert_eq!(parse_tunnel_path(rest), None, "{rest}");
        }
    }

    #[test]
    fn a_form_is_parsed_and_its_empty_fields_are_ignored() {
        let query =
            Query::parse("search=+fra+%C3%BC&account=&site=fra&type=gre&verdict=bgp_fault&sort=rtt&page=3").unwrap();
        let filter = Filter {
            account: None,
            site: Some("fra".into()),
            tunnel_type: Some(TunnelType::Gre),
            verdict: Some(VerdictFilter::Only(Verdict::BgpFault)),
            search: "fra ü".into(),
        };
        assert_eq!(query, Query { filter, order: Order::Rtt, all_sites: false, page: 3 });
        assert_eq!(Query::parse("verdict=&page=&sort="), Ok(Query::default()));
    }

    #[test]
    fn an_invalid_value_is_refused_with_its_rule() {
        for (text, sentence) in [
            ("type=vpn", "`type` is `vpn`: must be one of gre, ipsec, interconnect"),
            ("page=0", "`page` is `0`: must be an integer of at least 1"),
            ("page=-1", "`page` is `-1`: must be an integer of at least 1"),
            ("sort=size", "`sort` is `size`: must be one of trouble, name, account, site, since, rtt, loss"),
            ("sites=some", "`sites` is `some`: must be all"),
            (
                "verdict=bad%0A",
                "`verdict` is `bad`: must be one of healthy, bgp_fault, tunnel_fault, unreachable, path_mismatch, \
                 reported_down, unknown, prober_isolated, check_fault, attention",
            ),
        ] {
            assert_eq!(Query::parse(text).unwrap_err().to_string(), sentence);
        }
        assert!(Query::parse(&format!("search={}", "x".repeat(129))).is_err());
        assert_eq!(Query::parse("search=f%E2%80%8Br%C2%ADa%09%20ams").unwrap().filter.search, "fra ams");
    }

    #[test]
    fn an_unknown_parameter_is_refused_with_the_known_ones() {
        for (query, known, sentence) in [
            ("", &[][..], None),
            ("site=fra&verdict=", &["site", "verdict"], None),
            ("site=fra&verdit=x", &["site", "verdict"], Some("unknown key `verdit`; expected one of site, verdict")),
            ("a%0Ab", &[], Some("unknown key `ab`; this path has none")),
        ] {
            let refused = refuse_unknown(query, known).err().map(|error| error.to_string());
            assert_eq!(refused.as_deref(), sentence, "{query}");
        }
    }

    proptest! {
        #[test]
        fn an_address_leads_to_its_tunnel(account in ".{1,20}", id in ".{1,20}") {
            let entry = InventoryEntry { tunnel: tunnel(&id).into(), bgp_state_changes: 0, site: None, steering: None };
            let account = AccountName::new(account);
            let key = TunnelKey::new(&account, &entry.tunnel);
            let row = Row {
                key: key.clone(), account: &account, entry: &entry, fresh: true,
                confirmed: None, verdict: None, probes: None, silence: Silence::AfterAnswer,
                edge: None, shared_prefixes: None, routes: None,
            };
            prop_assert!(tunnel_path(&row).is_ascii());
            prop_assert_eq!(parse_tunnel_path(&tunnel_path(&row)), Some(key));
        }

        #[test]
        fn a_link_leads_to_its_query(account in "[^\u{0}]{1,12}", search in "[a-z<\"&=+%]{0,12}", page in 1_usize..99) {
            let mut query = Query { page, order: Order::Loss, all_sites: true, ..Query::default() };
            query.filter.site = Some(account.clone());
            query.filter.account = Some(account);
            query.filter.search = search;
            query.filter.verdict = Some(VerdictFilter::Attention);
            prop_assert_eq!(Query::parse(&query.link()[1..]), Ok(query));
        }

        #[test]
        fn any_query_is_answered(text in ".{0,60}") {
            let _ = Query::parse(&text);
        }
    }
}
