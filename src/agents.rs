//! The agents that read the inventory from this hub: their names and sites, the time of the last request, and whether
//! their list is the newest one. The state file keeps them over a restart, so that Prometheus does not lose its
//! targets.

pub mod metrics;

use std::{collections::BTreeMap, fmt, sync::Arc, time::Duration};

use jiff::Timestamp;
use parking_lot::Mutex;
use web_toolkit::clock::Moment;

use crate::domain::label::label_enum;

/// Maximum number of agents. The one that has been silent for longest makes room for a new one.
pub const MAX_AGENTS: usize = 10_000;

/// Intervals without a request after which an agent is missing.
const INTERVALS: u32 = 3;

/// Time after which a missing agent is forgotten. It stays a target of Prometheus until then, because `up` of a target
/// that disappears cannot fire an alert.
const KEEP_MISSING: Duration = Duration::from_hours(24);

/// Consecutive requests with an old list after which an agent is behind. One is usual after each change.
const OLD_REQUESTS: u32 = 2;

label_enum! {
    /// Whether an agent works with the newest list.
    pub enum AgentState {
        /// It has the newest list, or has just received it.
        Current => "current",
        /// It asks, and still has an older list.
        Behind => "behind",
        /// It has not asked for three of its intervals.
        Missing => "missing",
    }
}

/// Identity of an agent. Agents of different clients are different, so that one cannot replace the entry of another.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct AgentKey {
    /// Name that the agent states.
    pub prober: Box<str>,
    /// User or name in the client certificate, if the client proved one.
    pub client: Option<Box<str>>,
}

/// Where Prometheus can scrape an agent, as the agent states it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScrapeAddress {
    pub scheme: &'static str,
    /// Host and port.
    pub authority: Box<str>,
    pub path: Box<str>,
}

impl ScrapeAddress {
    /// Parses `http://HOST:PORT/PATH` or `https://…`; `/metrics` is the default path. `None` if it is malformed.
    pub fn parse(text: &str) -> Option<Self> {
        let (scheme, rest) = ["http", "https"]
            .into_iter()
            .find_map(|scheme| Some((scheme, text.strip_prefix(scheme)?.strip_prefix("://")?)))?;
        let (authority, path) = rest.find('/').map_or((rest, "/metrics"), |start| rest.split_at(start));
        let plain = |text: &str, more: &[u8]| {
            text.len() <= 253 && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || more.contains(&byte))
        };
        let (host, port) = authority.rsplit_once(':')?;
        let fits = !host.is_empty() && plain(host, b"-._[]:") && port.parse::<u16>().is_ok_and(|port| port > 0);
        let address = Self { scheme, authority: authority.into(), path: path.into() };
        (fits && plain(path, b"/-._~")).then_some(address)
    }
}

/// The URL, which [`ScrapeAddress::parse`] accepts.
impl fmt::Display for ScrapeAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}{}", self.scheme, self.authority, self.path)
    }
}

/// What one request says about an agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AgentReport {
    pub key: AgentKey,
    pub sites: Vec<Box<str>>,
    pub version: Option<Box<str>>,
    pub vantage: Option<Box<str>>,
    /// Time between its requests.
    pub interval: Duration,
    pub scrape: Option<ScrapeAddress>,
    /// Whether it already has the newest list; `None` if there is no list yet.
    pub is_newest: Option<bool>,
}

/// An agent and its newest request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Agent {
    pub report: AgentReport,
    pub last_seen: Moment,
    /// Consecutive requests with an old list.
    old_requests: u32,
}

impl Agent {
    pub fn state(&self, now: Moment) -> AgentState {
        if now.since(self.last_seen) > self.report.interval * INTERVALS {
            AgentState::Missing
        } else if self.old_requests >= OLD_REQUESTS {
            AgentState::Behind
        } else {
            AgentState::Current
        }
    }
}

/// All agents. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct Agents(Arc<Mutex<BTreeMap<AgentKey, Agent>>>);

impl Agents {
    /// Records a request.
    pub fn record(&self, report: AgentReport, now: Moment) {
        let mut agents = self.0.lock();
        let before = agents.get(&report.key).map_or(0, |agent| agent.old_requests);
        if agents.len() >= MAX_AGENTS && !agents.contains_key(&report.key) {
            let longest = agents.iter().min_by_key(|(_, agent)| agent.last_seen.instant).map(|(key, _)| key.clone());
            if let Some(key) = longest {
                agents.remove(&key);
            }
        }
        let old_requests = match report.is_newest {
            Some(true) => 0,
            Some(false) => before.saturating_add(1),
            None => before,
        };
        agents.insert(report.key.clone(), Agent { report, last_seen: now, old_requests });
    }

    /// The agents by name. Forgets those that have been missing for a day.
    pub fn list(&self, now: Moment) -> Vec<Agent> {
        let mut agents = self.0.lock();
        agents.retain(|_, agent| now.since(agent.last_seen) <= KEEP_MISSING);
        agents.values().cloned().collect()
    }

    /// Adds agents of an earlier run. Their last requests are as old as the wall clock says, and not in the future.
    pub fn restore(&self, past: impl IntoIterator<Item = (AgentReport, Timestamp)>, now: Moment) {
        let mut agents = self.0.lock();
        for (report, seen) in past.into_iter().take(MAX_AGENTS) {
            let agent = Agent { last_seen: now.earlier(seen), report, old_requests: 0 };
            agents.entry(agent.report.key.clone()).or_insert(agent);
        }
    }

    /// The number of agents in a state.
    pub fn count(&self, state: AgentState, now: Moment) -> usize {
        self.0.lock().values().filter(|agent| agent.state(now) == state).count()
    }
}

#[cfg(test)]
mod tests;
