//! The life of one BGP session, as the API would report it.
//!
//! A session starts establishing, comes up after a moment, and from then on follows what it is told. Pure: the caller
//! brings the time.

use std::time::Duration;

use ipnet::Ipv4Net;
use jiff::Timestamp;
use serde_json::{Map, Value};
use web_toolkit::clock::Moment;

use super::{
    object::Object,
    tunnel::{self, peer},
};

/// How long a new session takes to come up.
const ESTABLISHING: Duration = Duration::from_secs(3);
/// How often Cloudflare is taken to refresh a status that did not change. No source says the real interval.
const REFRESH: Duration = Duration::from_secs(30);

/// `bgp_status.state`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    Up,
    Establishing,
    Down,
}

impl State {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Up => "BGP_UP",
            Self::Establishing => "BGP_ESTABLISHING",
            Self::Down => "BGP_DOWN",
        }
    }

    /// `BGP_UP` or, shorter, `up`; in any case of letters.
    fn parse(text: &str) -> Option<Self> {
        let lower = text.to_ascii_lowercase();
        match lower.strip_prefix("bgp_").unwrap_or(&lower) {
            "up" => Some(Self::Up),
            "establishing" => Some(Self::Establishing),
            "down" => Some(Self::Down),
            _ => None,
        }
    }

    /// The state machine's state (RFC 4271 section 8.2.2) that goes with it, unless told otherwise.
    const fn usual_fsm(self) -> &'static str {
        match self {
            Self::Up => "Established",
            Self::Establishing => "Connect",
            Self::Down => "Idle",
        }
    }
}

/// What somebody wants the API to report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Report {
    pub state: State,
    tcp_established: Option<bool>,
    bgp_state: Option<String>,
    updated_at: Option<Timestamp>,
}

impl Report {
    /// A bare state (`"up"`), or an object with `state` and, as wished, `tcp_established`, `bgp_state` and
    /// `updated_at`; a stated `updated_at` stands still from then on. The error is a sentence.
    pub(super) fn parse(value: &Value) -> Result<Self, String> {
        if let Value::String(state) = value {
            return Ok(Self { state: parse_state(state)?, tcp_established: None, bgp_state: None, updated_at: None });
        }
        let fields = value.as_object().ok_or("must be a state or an object with `state`")?;
        known_keys(fields)?;
        let state = fields.get("state").and_then(Value::as_str).ok_or("`state` is required and must be a string")?;
        let updated_at = text(fields, "updated_at")?
            .map(|at| at.parse().map_err(|_| format!("`updated_at` must be an RFC 3339 time, not `{at}`")))
            .transpose()?;
        Ok(Self {
            state: parse_state(state)?,
            tcp_established: flag(fields, "tcp_established")?,
            bgp_state: text(fields, "bgp_state")?.map(str::to_owned),
            updated_at,
        })
    }
}

fn parse_state(text: &str) -> Result<State, String> {
    State::parse(text).ok_or_else(|| format!("`state` must be BGP_UP, BGP_ESTABLISHING or BGP_DOWN, not `{text}`"))
}

fn known_keys(fields: &Map<String, Value>) -> Result<(), String> {
    let known = ["state", "tcp_established", "bgp_state", "updated_at"];
    match fields.keys().find(|key| !known.contains(&key.as_str())) {
        Some(key) => Err(format!("`{key}` is no key of a BGP status: use {}", known.join(", "))),
        None => Ok(()),
    }
}

fn text<'a>(fields: &'a Map<String, Value>, key: &str) -> Result<Option<&'a str>, String> {
    match fields.get(key) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(format!("`{key}` must be a string")),
    }
}

fn flag(fields: &Map<String, Value>, key: &str) -> Result<Option<bool>, String> {
    match fields.get(key) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Bool(flag)) => Ok(Some(*flag)),
        Some(_) => Err(format!("`{key}` must be true or false")),
    }
}

/// The session of a tunnel that has `bgp`.
#[derive(Debug, Clone)]
pub(super) struct Session {
    report: Report,
    updated: Timestamp,
    /// When the status was last refreshed; `None` once somebody has stated `updated_at`.
    refreshed: Option<Moment>,
    /// When it comes up by itself; `None` once somebody has said what to report.
    up_at: Option<Moment>,
    /// TCP connections so far; each has another port on the customer's side.
    connections: u16,
}

impl Session {
    pub(super) fn start(now: Moment) -> Self {
        let report = Report { state: State::Establishing, tcp_established: None, bgp_state: None, updated_at: None };
        let up_at = Some(now.after(ESTABLISHING));
        Self { report, updated: now.wall, refreshed: Some(now), up_at, connections: 0 }
    }

    /// From now on the API reports this.
    pub(super) fn follow(&mut self, report: Report, now: Moment) {
        if report.state == State::Up && self.report.state != State::Up {
            self.connections = self.connections.wrapping_add(1);
        }
        self.up_at = None;
        self.updated = report.updated_at.unwrap_or(now.wall);
        self.refreshed = report.updated_at.is_none().then_some(now);
        self.report = report;
    }

    /// Whether something that the API shows has changed.
    pub(super) fn advance(&mut self, now: Moment) -> bool {
        if self.up_at.is_some_and(|at| at.instant <= now.instant) {
            let report = Report { state: State::Up, tcp_established: None, bgp_state: None, updated_at: None };
            self.follow(report, now);
            return true;
        }
        let due = self.refreshed.is_some_and(|at| now.since(at) >= REFRESH);
        if due {
            self.updated = now.wall;
            self.refreshed = Some(now);
        }
        due
    }

    pub(super) fn state(&self) -> State {
        self.report.state
    }

    /// `bgp_status`. Cloudflare speaks from the address in `interface_address`, the customer from the other one.
    pub(super) fn json(&self, interface: Ipv4Net) -> String {
        let state = self.report.state;
        let tcp = self.report.tcp_established.unwrap_or(state == State::Up);
        let mut status = Object::new();
        status.plain("state", state.as_str());
        status.raw("tcp_established", tcp);
        status.plain("updated_at", tunnel::time(self.updated));
        status.text("bgp_state", self.report.bgp_state.as_deref().unwrap_or(state.usual_fsm()));
        status.plain("cf_speaker_ip", interface.addr());
        if let Some(peer) = peer(interface) {
            status.plain("customer_speaker_ip", peer);
        }
        if tcp {
            status.raw("cf_speaker_port", 179);
            status.raw("customer_speaker_port", 49152 + u32::from(self.connections) % 16384);
        }
        status.end()
    }
}
