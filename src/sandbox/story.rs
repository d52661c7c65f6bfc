//! What the sandbox shows, and what happens in it by itself: accounts, their tunnels, and events in time.
//!
//! A [`Story`] is checked when it is made: every body against the rules of the API, every event against the tunnels
//! it names, in the order of time. [`Player`] says what is due; [`super::world`] carries it out.

mod file;
mod player;

use std::fmt;
use std::time::Duration;

use serde_json::{Map, Value};

use super::faults::Faults;
use super::session::Report;
use super::tunnel::Config;
use super::yaml::FileError;
pub(super) use file::patched;
pub(super) use player::{Player, Turn};

/// The story of the `demo` command, and of `sandbox` where no file is given.
const DEMO: &str = include_str!("stories/demo.yml");

/// A checked story.
#[derive(Debug, Clone)]
pub struct Story {
    pub(super) accounts: Vec<AccountPlan>,
    /// After this time everything is as it was at the start, and the story begins again. `None`: it is told once.
    pub(super) period: Option<Duration>,
    /// In the order of time.
    pub(super) events: Vec<Event>,
}

#[derive(Debug, Clone)]
pub(super) struct AccountPlan {
    pub id: String,
    pub onboarded: bool,
    pub tunnels: Vec<TunnelPlan>,
}

#[derive(Debug, Clone)]
pub(super) struct TunnelPlan {
    pub id: String,
    pub config: Config,
    /// What BGP reports at the start; `None` lets the session live by itself.
    pub report: Option<Report>,
}

/// Something that happens at a point of the story.
#[derive(Clone)]
pub(super) struct Event {
    pub at: Duration,
    /// One sentence for the log.
    pub say: String,
    /// Position of the account and id of the tunnel.
    pub tunnel: Option<(usize, String)>,
    /// Name of the tunnel, for the log.
    pub name: String,
    /// Fields of the tunnel's body that change; BGP does not notice.
    pub set: Option<Map<String, Value>>,
    pub report: Option<Report>,
    /// These faults, and no others, are in force from now on.
    pub faults: Option<Faults>,
}

/// Without the changed fields, which may have an MD5 key among them.
impl fmt::Debug for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Event").field("at", &self.at).field("say", &self.say).finish_non_exhaustive()
    }
}

impl Story {
    /// The embedded story: seven tunnels that walk through every verdict in three minutes and begin again.
    pub fn demo() -> Self {
        Self::parse("demo.yml", DEMO).unwrap_or_else(|error| unreachable!("a test parses the embedded story: {error}"))
    }

    /// Reads a story file; `name` is what the file is called in errors.
    pub fn parse(name: &str, text: &str) -> Result<Self, FileError> {
        file::parse(name, text)
    }

    /// One account without tunnels, in which nothing happens.
    pub fn empty() -> Self {
        let id = id(&["account", "empty"]);
        Self {
            accounts: vec![AccountPlan { id, onboarded: true, tunnels: Vec::new() }],
            period: None,
            events: Vec::new(),
        }
    }
}

/// 32 hex digits that depend on the words alone (FNV-1a, 128 bits), so that a restart shows the same ids.
pub(super) fn id(words: &[&str]) -> String {
    let mut hash: u128 = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d;
    for byte in words.join("\0").bytes() {
        hash ^= u128::from(byte);
        hash = hash.wrapping_mul(0x0000_0000_0100_0000_0000_0000_0000_013b);
    }
    format!("{hash:032x}")
}

/// Changes `fields` as `patch` says: objects are merged, null removes, all else replaces (RFC 7396).
pub(super) fn merge(fields: &mut Map<String, Value>, patch: &Map<String, Value>) {
    for (key, value) in patch {
        match (fields.get_mut(key), value) {
            (_, Value::Null) => {
                fields.remove(key);
            }
            (Some(Value::Object(inner)), Value::Object(patch)) => merge(inner, patch),
            _ => {
                fields.insert(key.clone(), value.clone());
            }
        }
    }
}

#[cfg(test)]
mod tests;
