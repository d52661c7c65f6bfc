//! The changes of the verdicts of all tunnels in the order of their times, as one list or as lines of JSON.

use std::{cmp::Reverse, collections::BinaryHeap, io, mem, sync::Arc};

use jiff::Timestamp;
use web_toolkit::text::shown;

use super::json::{JsonObject, separate};
use crate::{
    domain::{
        inventory::TunnelKey,
        label::Label,
        tunnel::Tunnel,
        verdict_history::{VerdictEvent, VerdictHistory},
    },
    http::body::Producer,
    snapshot::{Row, Snapshot, rows::Filter},
};

/// The format of a list of events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::http) enum EventFormat {
    /// One object with a list.
    Json,
    /// One object per line.
    Lines,
}

impl Label for EventFormat {
    const ALL: &'static [Self] = &[Self::Json, Self::Lines];

    fn as_str(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Lines => "ndjson",
        }
    }
}

/// Events per piece.
const EVENTS_PER_PIECE: usize = 400;

/// A list of events, the oldest first. Takes about a hundred bytes per tunnel with events.
#[derive(Debug)]
pub(in crate::http) struct EventList {
    time: Timestamp,
    format: EventFormat,
    tunnels: Vec<ChangedTunnel>,
    /// The next event of each tunnel: its time, the index of the tunnel, and the index of the event.
    next: BinaryHeap<Reverse<(Timestamp, usize, usize)>>,
    began: bool,
    /// Whether an event has been written, so that the next one needs a comma.
    follows: bool,
}

/// What the events of one tunnel have in common.
#[derive(Debug)]
struct ChangedTunnel {
    key: TunnelKey,
    tunnel: Arc<Tunnel>,
    site: Option<Arc<str>>,
    history: VerdictHistory,
}

impl EventList {
    /// The events after `since` of the matching tunnels.
    pub(in crate::http) fn new(snapshot: &Snapshot, filter: &Filter, since: Timestamp, format: EventFormat) -> Self {
        let (mut tunnels, mut next) = (Vec::new(), BinaryHeap::new());
        for row in snapshot.matching(filter) {
            let Some(history) = snapshot.history(&row.key) else { continue };
            let Some(index) = history.first_after(since) else { continue };
            next.extend(history.event(index).map(|event| Reverse((event.at, tunnels.len(), index))));
            tunnels.push(ChangedTunnel::new(row, history));
        }
        Self { time: snapshot.now.wall, format, tunnels, next, began: false, follows: false }
    }

    fn write_head(&self, text: &mut Vec<u8>) {
        if self.format == EventFormat::Json {
            text.push(b'{');
            let mut object = JsonObject(text);
            object.add("time", self.time.to_string());
            object.begin_field("events");
            text.push(b'[');
        }
    }

    fn write_event(&mut self, text: &mut Vec<u8>, index: usize, event: usize) {
        let tunnel = &self.tunnels[index];
        let Some(current) = tunnel.history.event(event) else { return };
        if self.format == EventFormat::Json {
            separate(text, &mut self.follows);
        }
        JsonObject::write(text, |object| {
            tunnel.add_to(object);
            add_event(object, current);
        });
        if self.format == EventFormat::Lines {
            text.push(b'\n');
        }
        let following = tunnel.history.event(event + 1);
        self.next.extend(following.map(|following| Reverse((following.at, index, event + 1))));
    }
}

impl Producer for EventList {
    fn write_piece(&mut self, text: &mut Vec<u8>) -> io::Result<bool> {
        if !mem::replace(&mut self.began, true) {
            self.write_head(text);
        }
        for _ in 0..EVENTS_PER_PIECE {
            let Some(Reverse((_, index, event))) = self.next.pop() else {
                if self.format == EventFormat::Json {
                    text.extend_from_slice(b"]}\n");
                }
                return Ok(true);
            };
            self.write_event(text, index, event);
        }
        Ok(false)
    }
}

impl ChangedTunnel {
    fn new(row: Row<'_>, history: &VerdictHistory) -> Self {
        Self { tunnel: Arc::clone(row.tunnel()), site: row.site().cloned(), history: history.clone(), key: row.key }
    }

    /// The names are those of the labels of the metrics.
    fn add_to(&self, object: &mut JsonObject<'_>) {
        object.add("account", shown(self.key.account.as_str()));
        object.add("tunnel_type", self.key.tunnel_type.as_str());
        object.add("tunnel_id", shown(self.key.id.as_str()));
        object.add("tunnel_name", shown(&self.tunnel.name));
        object.add("site", self.site.as_deref().map(shown));
    }
}

/// The fields of one change of the verdict.
pub(super) fn add_event(object: &mut JsonObject<'_>, event: VerdictEvent<'_>) {
    object.add("time", event.at.to_string());
    object.add("from", event.from.as_str());
    object.add("to", event.to.as_str());
    object.add("why", event.why);
}

#[cfg(test)]
mod tests;
