//! The section of the state file with the last changes of the verdicts.

use jiff::Timestamp;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::{
    archive::Entry,
    text::{labelled, time},
};
use crate::domain::{
    inventory::{AccountName, TunnelKey},
    label::Label,
    tunnel::TunnelId,
    verdict::Verdict,
    verdict_history::{VerdictEvent, VerdictHistory},
};

/// The history of one tunnel.
#[derive(Serialize, Deserialize)]
pub(super) struct HistoryRecord {
    account: String,
    tunnel_type: String,
    tunnel_id: String,
    began: String,
    /// Explanations that the events refer to.
    reasons: Vec<String>,
    events: Vec<EventRecord>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    absent_since: Option<String>,
}

/// Milliseconds since 1970, the verdicts before and after, and the index of the explanation.
#[derive(Serialize, Deserialize)]
struct EventRecord(i64, VerdictLabel, VerdictLabel, Option<usize>);

/// `None` if the verdict is unknown, for example after a downgrade.
struct VerdictLabel(Option<Verdict>);

impl Serialize for VerdictLabel {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.map(Label::as_str).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for VerdictLabel {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(VerdictVisitor)
    }
}

/// Reads the text in place, because a file can contain a million.
struct VerdictVisitor;

impl de::Visitor<'_> for VerdictVisitor {
    type Value = VerdictLabel;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a verdict")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<VerdictLabel, E> {
        Ok(VerdictLabel(labelled(text)))
    }
}

/// One history as it is read. Converted at once, because the text of all of them takes several times the memory.
#[derive(Deserialize)]
#[serde(from = "HistoryRecord")]
pub(super) struct StoredHistory(pub(super) Option<(TunnelKey, Entry<VerdictHistory>)>);

impl From<HistoryRecord> for StoredHistory {
    fn from(record: HistoryRecord) -> Self {
        Self(record.read())
    }
}

impl HistoryRecord {
    pub(super) fn new(key: &TunnelKey, entry: &Entry<VerdictHistory>) -> Self {
        let (mut reasons, mut events) = (Vec::<String>::new(), Vec::new());
        for event in entry.value.events() {
            let index = event.why.map(|why| {
                reasons.iter().position(|known| known == why).unwrap_or_else(|| {
                    reasons.push(why.to_owned());
                    reasons.len() - 1
                })
            });
            let [from, to] = [event.from, event.to].map(|verdict| VerdictLabel(Some(verdict)));
            events.push(EventRecord(event.at.as_millisecond(), from, to, index));
        }
        Self {
            account: key.account.as_str().to_owned(),
            tunnel_type: key.tunnel_type.as_str().to_owned(),
            tunnel_id: key.id.as_str().to_owned(),
            began: entry.value.began().unwrap_or_default().to_string(),
            reasons,
            events,
            absent_since: entry.absent_since.map(|time| time.to_string()),
        }
    }

    /// `None` if the type or the time is unknown. Events that are not valid are left out.
    fn read(self) -> Option<(TunnelKey, Entry<VerdictHistory>)> {
        let events: Vec<_> = self.events.iter().filter_map(|event| event.read(&self.reasons)).collect();
        let value = VerdictHistory::new(self.began.parse().ok()?, &events);
        let key = TunnelKey {
            account: AccountName::new(self.account),
            tunnel_type: labelled(&self.tunnel_type)?,
            id: TunnelId::new(self.tunnel_id),
        };
        Some((key, Entry { value, absent_since: time(self.absent_since) }))
    }
}

impl EventRecord {
    fn read<'a>(&self, reasons: &'a [String]) -> Option<VerdictEvent<'a>> {
        let Self(millis, VerdictLabel(from), VerdictLabel(to), why) = self;
        let why = why.and_then(|index| reasons.get(index)).map(String::as_str);
        Some(VerdictEvent { at: Timestamp::from_millisecond(*millis).ok()?, from: (*from)?, to: (*to)?, why })
    }
}
