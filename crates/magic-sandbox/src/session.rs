//! A simulated BGP session, as the API reports it.
//!
//! A new session is establishing and comes up after [`ESTABLISHING`], unless a [`SessionReport`] sets its status. Reads
//! no clock: the caller passes the time.

use std::{net::Ipv4Addr, time::Duration};

use ipnet::Ipv4Net;
use jiff::Timestamp;
use serde::{Deserialize, Deserializer, Serialize, de};
use serde_json::Value;
use web_toolkit::clock::Moment;

use super::spec::{ApiTime, peer_address};

/// Time that a new session takes to come up.
const ESTABLISHING: Duration = Duration::from_secs(3);
/// Interval at which an unchanged status gets a new `updated_at`. The real interval is not documented.
const REFRESH: Duration = Duration::from_secs(30);

/// `bgp_status.state`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(crate) enum SessionState {
    Up,
    Establishing,
    Down,
}

impl SessionState {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Up => "BGP_UP",
            Self::Establishing => "BGP_ESTABLISHING",
            Self::Down => "BGP_DOWN",
        }
    }

    /// The state of the state machine (RFC 4271 section 8.2.2) that is shown unless a report sets one.
    const fn default_fsm_state(self) -> &'static str {
        match self {
            Self::Up => "Established",
            Self::Establishing => "Connect",
            Self::Down => "Idle",
        }
    }
}

/// Accepts `BGP_UP` or `up`, in any case.
impl TryFrom<String> for SessionState {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let lower = text.to_ascii_lowercase();
        match lower.strip_prefix("bgp_").unwrap_or(&lower) {
            "up" => Ok(Self::Up),
            "establishing" => Ok(Self::Establishing),
            "down" => Ok(Self::Down),
            _ => Err(format!("`state` must be BGP_UP, BGP_ESTABLISHING or BGP_DOWN, not `{text}`")),
        }
    }
}

/// A BGP status that the API is to report.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SessionReport {
    state: SessionState,
    tcp_established: Option<bool>,
    bgp_state: Option<String>,
    /// If set, `updated_at` no longer advances.
    #[serde(default, deserialize_with = "parse_time")]
    updated_at: Option<Timestamp>,
}

impl From<SessionState> for SessionReport {
    fn from(state: SessionState) -> Self {
        Self { state, tcp_established: None, bgp_state: None, updated_at: None }
    }
}

impl SessionReport {
    /// Parses a bare state (`"up"`), or an object with `state` and optionally `tcp_established`, `bgp_state` and
    /// `updated_at`. The error is one line.
    pub(crate) fn parse(value: &Value) -> Result<Self, String> {
        match value {
            Value::String(state) => SessionState::try_from(state.clone()).map(Self::from),
            Value::Object(_) => Self::deserialize(value).map_err(|error| error.to_string()),
            _ => Err("must be a state or an object with `state`".to_owned()),
        }
    }
}

fn parse_time<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Timestamp>, D::Error> {
    let Some(text) = Option::<String>::deserialize(deserializer)? else { return Ok(None) };
    let time = text.parse().map_err(|_| format!("`updated_at` must be an RFC 3339 time, not `{text}`"));
    time.map(Some).map_err(de::Error::custom)
}

/// The session of a tunnel that has `bgp`.
#[derive(Debug, Clone)]
pub(crate) struct BgpSession {
    report: SessionReport,
    updated: Timestamp,
    /// Time of the last refresh; `None` once a report has set `updated_at`.
    refreshed: Option<Moment>,
    /// Time at which the session comes up by itself; `None` after the first report.
    up_at: Option<Moment>,
    /// TCP connections so far. Each has its own port on the customer's side.
    connections: u16,
}

impl BgpSession {
    pub(crate) fn start(now: Moment) -> Self {
        Self {
            report: SessionState::Establishing.into(),
            updated: now.wall,
            refreshed: Some(now),
            up_at: Some(now.after(ESTABLISHING)),
            connections: 0,
        }
    }

    /// Shows `report` from now on.
    pub(crate) fn set_report(&mut self, report: SessionReport, now: Moment) {
        if report.state == SessionState::Up && self.report.state != SessionState::Up {
            self.connections = self.connections.wrapping_add(1);
        }
        self.up_at = None;
        self.updated = report.updated_at.unwrap_or(now.wall);
        self.refreshed = report.updated_at.is_none().then_some(now);
        self.report = report;
    }

    /// Brings the session up to `now`. Returns whether the JSON has changed.
    pub(crate) fn advance(&mut self, now: Moment) -> bool {
        if self.up_at.is_some_and(|at| at.instant <= now.instant) {
            self.set_report(SessionState::Up.into(), now);
            return true;
        }
        let due = self.refreshed.is_some_and(|at| now.since(at) >= REFRESH);
        if due {
            self.updated = now.wall;
            self.refreshed = Some(now);
        }
        due
    }

    pub(crate) fn state(&self) -> SessionState {
        self.report.state
    }

    /// `bgp_status` of a tunnel with this interface address. Cloudflare's speaker has the address in
    /// `interface_address`, the customer's the other one.
    pub(crate) fn status(&self, interface: Ipv4Net) -> impl Serialize {
        let state = self.report.state;
        let tcp_established = self.report.tcp_established.unwrap_or(state == SessionState::Up);
        BgpStatusJson {
            state: state.as_str(),
            tcp_established,
            updated_at: ApiTime(self.updated),
            bgp_state: self.report.bgp_state.as_deref().unwrap_or(state.default_fsm_state()),
            cf_speaker_ip: interface.addr(),
            customer_speaker_ip: peer_address(interface),
            cf_speaker_port: tcp_established.then_some(179),
            customer_speaker_port: tcp_established.then_some(49152 + self.connections % 16384),
        }
    }
}

#[derive(Serialize)]
struct BgpStatusJson<'a> {
    state: &'static str,
    tcp_established: bool,
    updated_at: ApiTime,
    bgp_state: &'a str,
    cf_speaker_ip: Ipv4Addr,
    #[serde(skip_serializing_if = "Option::is_none")]
    customer_speaker_ip: Option<Ipv4Addr>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cf_speaker_port: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    customer_speaker_port: Option<u16>,
}
