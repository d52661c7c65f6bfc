//! A story when it is checked: who is in it, and what happens when.

use std::{fmt, time::Duration};

use serde_json::{Map, Value};

use crate::{faults::Faults, session::Report, tunnel::Config};

/// A checked story.
#[derive(Debug, Clone)]
pub struct Story {
    pub(crate) accounts: Vec<AccountPlan>,
    /// After this time everything is as it was at the start, and the story begins again. `None`: it is told once.
    pub(crate) period: Option<Duration>,
    /// In the order of time.
    pub(crate) events: Vec<Event>,
}

#[derive(Debug, Clone)]
pub(crate) struct AccountPlan {
    /// What the story calls it, and no other account.
    pub name: String,
    pub id: String,
    pub onboarded: bool,
    pub tunnels: Vec<TunnelPlan>,
}

#[derive(Debug, Clone)]
pub(crate) struct TunnelPlan {
    pub id: String,
    pub config: Config,
    /// Its body brings a pre-shared key, which is set at the start.
    pub psk: bool,
    /// What BGP reports at the start; `None` lets the session live by itself.
    pub report: Option<Report>,
}

/// Something that happens at a point of the story.
#[derive(Clone)]
pub(crate) struct Event {
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
    /// Name and id of every account, in the story's order.
    pub fn accounts(&self) -> impl Iterator<Item = (&str, &str)> {
        self.accounts.iter().map(|account| (account.name.as_str(), account.id.as_str()))
    }

    /// One account without tunnels, in which nothing happens.
    pub fn empty() -> Self {
        let id = id(&["account", "empty"]);
        Self {
            accounts: vec![AccountPlan { name: "empty".to_owned(), id, onboarded: true, tunnels: Vec::new() }],
            period: None,
            events: Vec::new(),
        }
    }
}

/// 32 hex digits that depend on the words alone (FNV-1a, 128 bits), so that a restart shows the same ids.
pub(crate) fn id(words: &[&str]) -> String {
    let mut hash: u128 = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d;
    for byte in words.join("\0").bytes() {
        hash ^= u128::from(byte);
        hash = hash.wrapping_mul(0x0000_0000_0100_0000_0000_0000_0000_013b);
    }
    format!("{hash:032x}")
}
