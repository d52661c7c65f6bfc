//! The state file as JSON. The types mirror the file.
//!
//! A section that is missing is empty, and sections, keys and values that are unknown are ignored. The version changes
//! only if an older program would misread the file.

use std::{
    io::{self, Write},
    sync::Arc,
    time::Duration,
};

use jiff::Timestamp;
use serde::{Deserialize, Serialize, Serializer};

use super::{
    archive::{Archive, Entry},
    history::{HistoryRecord, StoredHistory},
    text::{labelled, time},
};
use crate::{
    agents::{AgentKey, AgentReport, ScrapeAddress},
    domain::{
        inventory::{AccountName, TunnelKey},
        label::Label,
        past::{PastInventory, PastVerdict},
        probe::ProbePath,
        tunnel::TunnelId,
    },
};

/// Identifies the file as one of this program.
const FORMAT: &str = "magic-tunnel-exporter state";

const VERSION: u64 = 1;

/// Why a file cannot be used. Quotes nothing from the file, which may be any file.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum FormatError {
    #[error("it is not valid JSON of this format: line {line}, column {column}")]
    Corrupt { line: usize, column: usize },
    #[error("another program wrote it")]
    Foreign,
    #[error("it has version {0}, which is newer than {VERSION}")]
    Newer(u64),
}

impl From<serde_json::Error> for FormatError {
    fn from(error: serde_json::Error) -> Self {
        Self::Corrupt { line: error.line(), column: error.column() }
    }
}

#[derive(Deserialize)]
struct StateHead {
    format: Option<String>,
    version: Option<u64>,
}

#[derive(Deserialize)]
struct StateFile {
    saved: String,
    #[serde(default)]
    targets: Vec<TargetRecord>,
    #[serde(default)]
    verdicts: Vec<VerdictRecord>,
    #[serde(default)]
    inventory: Option<InventoryRecord>,
    #[serde(default)]
    histories: Vec<StoredHistory>,
    #[serde(default)]
    agents: Vec<AgentRecord>,
}

/// The same file while it is written.
#[derive(Serialize)]
struct NewStateFile<T, V, H, A> {
    format: &'static str,
    version: u64,
    saved: String,
    targets: T,
    verdicts: V,
    histories: H,
    #[serde(skip_serializing_if = "Option::is_none")]
    inventory: Option<InventoryRecord>,
    agents: A,
}

/// A list that is serialized member by member, without a copy of the whole.
struct Each<F>(F);

impl<F: Fn() -> I, I: Iterator<Item: Serialize>> Serialize for Each<F> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq((self.0)())
    }
}

/// A target that has ever replied.
#[derive(Serialize, Deserialize)]
struct TargetRecord {
    address: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    source: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    interface: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    last_reply: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    absent_since: Option<String>,
}

#[derive(Serialize, Deserialize)]
struct VerdictRecord {
    account: String,
    tunnel_type: String,
    tunnel_id: String,
    verdict: String,
    since: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    absent_since: Option<String>,
}

/// The response of a hub to an agent.
#[derive(Serialize, Deserialize)]
struct InventoryRecord {
    query: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    tag: Option<String>,
    confirmed: String,
    body: String,
}

/// An agent of a hub.
#[derive(Serialize, Deserialize)]
struct AgentRecord {
    prober: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    client: Option<String>,
    #[serde(default)]
    sites: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    version: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    vantage: Option<String>,
    interval_seconds: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    scrape: Option<String>,
    last_seen: String,
}

/// Writes the content of the file for an archive.
///
/// # Errors
/// `out` returns an error.
pub(super) fn encode(archive: &Archive, out: impl Write) -> io::Result<()> {
    let document = NewStateFile {
        format: FORMAT,
        version: VERSION,
        saved: archive.saved.unwrap_or_default().to_string(),
        targets: Each(|| archive.replies.iter().map(TargetRecord::from)),
        verdicts: Each(|| archive.verdicts.iter().map(VerdictRecord::from)),
        histories: Each(|| archive.histories.iter().map(|(key, entry)| HistoryRecord::new(key, entry))),
        inventory: archive.inventory.as_deref().map(InventoryRecord::from),
        agents: Each(|| archive.agents.iter().map(AgentRecord::from)),
    };
    Ok(serde_json::to_writer(out, &document)?)
}

/// # Errors
/// The content is not a state file of this version.
pub(super) fn decode(bytes: &[u8]) -> Result<Archive, FormatError> {
    let head: StateHead = serde_json::from_slice(bytes)?;
    match (head.format.as_deref(), head.version) {
        (Some(FORMAT), Some(VERSION)) => {}
        (Some(FORMAT), Some(version)) if version > VERSION => return Err(FormatError::Newer(version)),
        _ => return Err(FormatError::Foreign),
    }
    let document: StateFile = serde_json::from_slice(bytes)?;
    let histories = document.histories.into_iter().filter_map(|StoredHistory(history)| history);
    Ok(Archive {
        saved: document.saved.parse().ok(),
        replies: document.targets.into_iter().filter_map(TargetRecord::read).collect(),
        verdicts: document.verdicts.into_iter().filter_map(VerdictRecord::read).collect(),
        histories: histories.map(|(key, entry)| (Arc::new(key), entry)).collect(),
        inventory: document.inventory.and_then(InventoryRecord::read).map(Arc::new),
        agents: document.agents.into_iter().filter_map(AgentRecord::read).collect(),
    })
}

impl From<(&ProbePath, &Entry<Option<Timestamp>>)> for TargetRecord {
    fn from((path, entry): (&ProbePath, &Entry<Option<Timestamp>>)) -> Self {
        Self {
            address: path.address.to_string(),
            source: path.source.map(|source| source.to_string()),
            interface: path.interface.as_deref().map(str::to_owned),
            last_reply: entry.value.map(|time| time.to_string()),
            absent_since: entry.absent_since.map(|time| time.to_string()),
        }
    }
}

impl TargetRecord {
    /// `None` if the address or the source is not an address.
    fn read(self) -> Option<(ProbePath, Entry<Option<Timestamp>>)> {
        let source = match self.source {
            Some(source) => Some(source.parse().ok()?),
            None => None,
        };
        let interface = self.interface.map(Into::into);
        let path = ProbePath { address: self.address.parse().ok()?, source, interface };
        Some((path, Entry { value: time(self.last_reply), absent_since: time(self.absent_since) }))
    }
}

impl From<(&TunnelKey, &Entry<PastVerdict>)> for VerdictRecord {
    fn from((key, entry): (&TunnelKey, &Entry<PastVerdict>)) -> Self {
        Self {
            account: key.account.as_str().to_owned(),
            tunnel_type: key.tunnel_type.as_str().to_owned(),
            tunnel_id: key.id.as_str().to_owned(),
            verdict: entry.value.verdict.as_str().to_owned(),
            since: entry.value.since.to_string(),
            absent_since: entry.absent_since.map(|time| time.to_string()),
        }
    }
}

impl VerdictRecord {
    /// `None` if the type, the verdict or the time is unknown, for example after a downgrade.
    fn read(self) -> Option<(TunnelKey, Entry<PastVerdict>)> {
        let key = TunnelKey {
            account: AccountName::new(self.account),
            tunnel_type: labelled(&self.tunnel_type)?,
            id: TunnelId::new(self.tunnel_id),
        };
        let value = PastVerdict { verdict: labelled(&self.verdict)?, since: self.since.parse().ok()? };
        Some((key, Entry { value, absent_since: time(self.absent_since) }))
    }
}

impl From<&PastInventory> for InventoryRecord {
    fn from(inventory: &PastInventory) -> Self {
        Self {
            query: inventory.query.to_string(),
            tag: inventory.tag.as_deref().map(str::to_owned),
            confirmed: inventory.confirmed.to_string(),
            body: inventory.body.to_string(),
        }
    }
}

impl InventoryRecord {
    /// `None` if the time is invalid.
    fn read(self) -> Option<PastInventory> {
        Some(PastInventory {
            query: self.query.into(),
            tag: self.tag.map(Into::into),
            body: self.body.into(),
            confirmed: self.confirmed.parse().ok()?,
        })
    }
}

impl From<&(AgentReport, Timestamp)> for AgentRecord {
    fn from((report, last_seen): &(AgentReport, Timestamp)) -> Self {
        let text = |text: &Option<Box<str>>| text.as_deref().map(str::to_owned);
        Self {
            prober: report.key.prober.to_string(),
            client: text(&report.key.client),
            sites: report.sites.iter().map(ToString::to_string).collect(),
            version: text(&report.version),
            vantage: text(&report.vantage),
            interval_seconds: u32::try_from(report.interval.as_secs()).unwrap_or(u32::MAX),
            scrape: report.scrape.as_ref().map(ToString::to_string),
            last_seen: last_seen.to_string(),
        }
    }
}

impl AgentRecord {
    /// `None` if the time is invalid.
    fn read(self) -> Option<(AgentReport, Timestamp)> {
        let report = AgentReport {
            key: AgentKey { prober: self.prober.into(), client: self.client.map(Into::into) },
            sites: self.sites.into_iter().map(Into::into).collect(),
            version: self.version.map(Into::into),
            vantage: self.vantage.map(Into::into),
            interval: Duration::from_secs(self.interval_seconds.into()),
            scrape: self.scrape.as_deref().and_then(ScrapeAddress::parse),
            is_newest: None,
        };
        Some((report, self.last_seen.parse().ok()?))
    }
}
