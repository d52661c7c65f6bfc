//! Stories: accounts, their tunnels, and events over time.
//!
//! A [`Story`] is checked when it is parsed: every body against the rules of the API, every event against the tunnel
//! that it names, in time order. [`StoryPlayer`] tells which events are due; [`super::world`] applies them. Generated
//! tunnels fill an account for measurements and rehearsals at scale.

mod entries;
mod file;
mod items;

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    time::Duration,
};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use jiff::Timestamp;
use serde_json::{Map, Value};
use web_toolkit::clock::Moment;

pub(crate) use self::items::ItemEvent;
use super::{
    catalog::{Catalog, StoredItem},
    edge::{SimulatedEdge, StoryTraffic},
    faults::Faults,
    interconnects::InterconnectSpec,
    patch::merge_patch,
    response::ApiError,
    routes::RouteSpec,
    session::{SessionReport, SessionState},
    spec::{BgpSpec, HealthCheckSpec, KindOptions, TunnelKind, TunnelSpec},
    store::stable_id,
    token::TokenSettings,
    validate::{self, ValidTunnel, ValidationContext},
};

/// A checked story.
#[derive(Debug, Clone)]
pub struct Story {
    pub(crate) accounts: Vec<StoryAccount>,
    pub(crate) analytics: AnalyticsLimits,
    pub(crate) token: TokenSettings,
    /// Time after which the initial state is restored and the story restarts. `None`: the story runs once.
    pub(crate) period: Option<Duration>,
    /// In time order.
    pub(crate) events: Vec<StoryEvent>,
}

/// Limits of the GraphQL API.
#[derive(Debug, Clone, Copy)]
pub(crate) struct AnalyticsLimits {
    /// Age at which data becomes visible.
    pub delay: Duration,
    /// Maximum number of rows of a list.
    pub page_size: u64,
}

/// The delay is a guess, because the real one is not documented. The page size is documented.
impl Default for AnalyticsLimits {
    fn default() -> Self {
        Self { delay: Duration::from_mins(1), page_size: MAX_PAGE_SIZE }
    }
}

/// The page size of the real API.
const MAX_PAGE_SIZE: u64 = 10_000;

#[derive(Debug, Clone)]
pub(crate) struct StoryAccount {
    /// Unique within the story.
    pub name: String,
    pub id: String,
    pub onboarded: bool,
    pub analytics: bool,
    pub tunnels: Vec<StoryTunnel>,
    pub routes: Catalog<RouteSpec>,
    pub interconnects: Catalog<InterconnectSpec>,
}

/// A tunnel at the start of the story.
#[derive(Debug, Clone)]
pub(crate) struct StoryTunnel {
    pub id: String,
    pub valid: ValidTunnel,
    /// The initial BGP status; `None` lets the session come up by itself.
    pub report: Option<SessionReport>,
    /// The edge's view; `None`: all checks pass, and the traffic is 0.
    pub edge: Option<SimulatedEdge>,
}

/// A change at one time of the story.
#[derive(Clone)]
pub(crate) struct StoryEvent {
    /// Time since the start of the period.
    pub at: Duration,
    /// One sentence for the log.
    pub say: String,
    /// Position of the account and id of the tunnel.
    pub tunnel: Option<(usize, String)>,
    /// Name of the tunnel, for the log.
    pub name: String,
    /// Changed fields of the tunnel's body. The BGP session is not affected.
    pub set: Option<Map<String, Value>>,
    pub report: Option<SessionReport>,
    /// Changed keys of the edge's view.
    pub edge: Option<Map<String, Value>>,
    pub item: Option<ItemEvent>,
    /// Addresses that stop replying to the probes of `demo`.
    pub mute: Vec<IpAddr>,
    /// Addresses that reply again.
    pub unmute: Vec<IpAddr>,
    /// Replaces the state of the token.
    pub token: Option<TokenSettings>,
    /// Replaces all faults in force.
    pub faults: Option<Faults>,
}

/// Without the changed fields, which may contain an MD5 key.
impl fmt::Debug for StoryEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoryEvent").field("at", &self.at).field("say", &self.say).finish_non_exhaustive()
    }
}

impl Story {
    /// One account without tunnels and events.
    pub fn empty() -> Self {
        let id = stable_id(&["account", "empty"]);
        let (tunnels, routes, interconnects) = (Vec::new(), Catalog::default(), Catalog::default());
        let name = "empty".to_owned();
        let account = StoryAccount { name, id, onboarded: true, analytics: true, tunnels, routes, interconnects };
        let (analytics, token) = (AnalyticsLimits::default(), TokenSettings::default());
        Self { accounts: vec![account], analytics, token, period: None, events: Vec::new() }
    }

    /// Name and id of each account, in story order.
    pub fn accounts(&self) -> impl Iterator<Item = (&str, &str)> {
        self.accounts.iter().map(|account| (account.name.as_str(), account.id.as_str()))
    }
}

/// A story and the position in it. Reads no clock: the caller passes the time.
#[derive(Debug)]
pub(crate) struct StoryPlayer {
    pub(crate) story: Story,
    period_start: Moment,
    next: usize,
}

/// A step of a story.
#[derive(Debug)]
pub(crate) enum StoryStep {
    /// Restore the initial state.
    Restart,
    Event(Box<StoryEvent>),
}

impl StoryPlayer {
    pub(crate) fn new(story: Story, now: Moment) -> Self {
        Self { story, period_start: now, next: 0 }
    }

    /// Returns the next step that is due at `now`, with the time at which it was due. If several periods have passed,
    /// all but the last one are skipped, because the restart would undo them.
    pub(crate) fn next_step(&mut self, now: Moment) -> Option<(Moment, StoryStep)> {
        let elapsed = now.since(self.period_start);
        if let Some(period) = self.story.period.filter(|period| elapsed >= *period) {
            let periods = u32::try_from(elapsed.as_nanos() / period.as_nanos()).unwrap_or(u32::MAX);
            self.period_start = self.period_start.after(period.saturating_mul(periods));
            self.next = 0;
            return Some((self.period_start, StoryStep::Restart));
        }
        let event = self.story.events.get(self.next).filter(|event| event.at <= elapsed)?;
        self.next += 1;
        Some((self.period_start.after(event.at), StoryStep::Event(Box::new(event.clone()))))
    }

    /// Time of the next step; `None` if the story is over.
    pub(crate) fn due(&self) -> Option<Moment> {
        let event = self.story.events.get(self.next).map(|event| event.at);
        event.or(self.story.period).map(|at| self.period_start.after(at))
    }
}

/// Returns the first error that the API would report. Stories may use any addresses, so they are never strict.
fn validate_tunnel(account: &str, kind: TunnelKind, body: &Map<String, Value>) -> Result<ValidTunnel, ApiError> {
    let context = ValidationContext { kind, account, strict: false, form: None };
    validate::validate_body(context, body, "").map_err(|errors| {
        let unnamed = ApiError::new(0, "the tunnel is not valid");
        errors.into_iter().next().unwrap_or(unnamed)
    })
}

/// Validates the body of the tunnel after some of its fields have changed.
pub(crate) fn patch_tunnel(
    account: &str,
    spec: &TunnelSpec,
    set: &Map<String, Value>,
) -> Result<ValidTunnel, ApiError> {
    let mut body = spec.request_body();
    merge_patch(&mut body, set);
    validate_tunnel(account, spec.kind(), &body)
}

/// Applies changed keys to the edge's view of a tunnel.
pub(crate) fn patch_edge(state: &SimulatedEdge, set: &Map<String, Value>) -> Result<SimulatedEdge, String> {
    let mut body = serde_json::to_value(state).map_err(|error| error.to_string())?;
    if let Some(fields) = body.as_object_mut() {
        merge_patch(fields, set);
    }
    SimulatedEdge::parse(&body)
}

/// First interface address of the generated tunnels, two per tunnel. All their addresses are in 127.0.0.0/8, so that no
/// ping leaves the machine.
const FIRST_INTERFACE: u32 = u32::from_be_bytes([127, 64, 0, 0]);
/// First customer endpoint, one per tunnel.
const FIRST_ENDPOINT: u32 = u32::from_be_bytes([127, 192, 0, 0]);
/// First prefix of the generated routes, a /29 for two tunnels.
const FIRST_PREFIX: u32 = u32::from_be_bytes([10, 0, 0, 0]);
/// First IPv6 prefix of the generated routes, a /64 for two tunnels, in the documentation range.
const FIRST_PREFIX6: u128 = 0x2001_0db8 << 96;
/// Number of tunnels that the ranges can hold.
const MAX_GENERATED: u32 = 1 << 22;

/// Generates up to `count` tunnels of alternating kind. Of ten, eight have BGP that is up, one has BGP that is down,
/// and one has none.
pub(crate) fn generate_tunnels(account: &str, count: usize) -> impl Iterator<Item = StoryTunnel> {
    let count = u32::try_from(count).unwrap_or(u32::MAX).min(MAX_GENERATED);
    (0..count).map(move |number| {
        let spec = generate_spec(number);
        let state = if number % 10 == 8 { SessionState::Down } else { SessionState::Up };
        StoryTunnel {
            id: stable_id(&["generated", account, &spec.name]),
            report: spec.bgp.is_some().then(|| state.into()),
            edge: Some(SimulatedEdge::with_traffic(generate_traffic(number))),
            valid: ValidTunnel { psk: spec.kind() == TunnelKind::Ipsec, spec },
        }
    })
}

/// Two routes per generated tunnel, one of IPv4 and one of IPv6. Two neighboring tunnels share both prefixes.
pub(crate) fn generate_routes(
    account: &str,
    count: usize,
    now: Timestamp,
) -> impl Iterator<Item = StoredItem<RouteSpec>> {
    let count = u32::try_from(count).unwrap_or(u32::MAX).min(MAX_GENERATED);
    (0..count).flat_map(move |number| {
        let pair = number / 2;
        let v4 = Ipv4Net::new_assert(Ipv4Addr::from(FIRST_PREFIX + (pair << 3)), 29);
        let v6 = Ipv6Net::new_assert(Ipv6Addr::from(FIRST_PREFIX6 + (u128::from(pair) << 64)), 64);
        [v4.into(), v6.into()].map(|prefix: IpNet| {
            let nexthop = Ipv4Addr::from(FIRST_INTERFACE + 2 * number + 1).to_string();
            let spec = RouteSpec { prefix, nexthop, priority: 100, description: None, weight: None, scope: None };
            let id = stable_id(&["generated route", account, &prefix.to_string(), &spec.nexthop]);
            StoredItem::new(id, spec, now)
        })
    })
}

/// Between 1 and 100 Mbit/s to the site, and a fifth of it back.
fn generate_traffic(number: u32) -> StoryTraffic {
    let from_site = u64::from(number % 100 + 1) * 200_000;
    StoryTraffic { to_site: 5 * from_site, from_site }
}

fn generate_spec(number: u32) -> TunnelSpec {
    let (kind, cloudflare, options) = if number % 2 == 1 {
        (TunnelKind::Gre, 2, KindOptions::Gre { mtu: 1476, ttl: 64 })
    } else {
        let options = KindOptions::Ipsec { allow_null_cipher: false, replay_protection: true, fqdn_id: None };
        (TunnelKind::Ipsec, 1, options)
    };
    let bgp = (number % 10 != 9)
        .then(|| BgpSpec { customer_asn: u64::from(4_200_000_000 + number % 90_000_000), ..BgpSpec::default() });
    TunnelSpec {
        // At most 15 characters: `gen-gre-4194303`.
        name: format!("gen-{}-{number:05}", kind.names().short),
        cloudflare_endpoint: IpAddr::V4(Ipv4Addr::new(198, 51, 100, cloudflare)),
        customer_endpoint: Some(IpAddr::V4(Ipv4Addr::from(FIRST_ENDPOINT + number))),
        interface_address: Ipv4Net::new_assert(Ipv4Addr::from(FIRST_INTERFACE + 2 * number), 31),
        interface_address6: None,
        description: Some(format!("generated tunnel {number}")),
        automatic_return_routing: false,
        health_check: HealthCheckSpec { check_type: "request", ..HealthCheckSpec::default() },
        bgp,
        options,
    }
}

#[cfg(test)]
mod tests;
