//! What was asked of the API, for tests and for people who wonder what their client does. Never a credential.

use std::collections::VecDeque;

use jiff::Timestamp;
use serde_json::{Value, json};

/// Older calls are forgotten, the total is not.
const KEPT: usize = 1000;

/// One request to the API and what it got.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub at: Timestamp,
    pub method: String,
    pub path: String,
    pub query: String,
    /// `token`, `key`, `none` or `malformed`.
    pub credentials: &'static str,
    /// Whether `x-magic-new-hc-target` asked for the object form.
    pub object_targets: bool,
    pub status: u16,
    pub fault: Option<&'static str>,
}

#[derive(Debug, Default)]
pub(super) struct Calls {
    total: u64,
    last: VecDeque<Entry>,
}

impl Calls {
    pub(super) fn record(&mut self, entry: Entry) {
        if self.last.len() == KEPT {
            self.last.pop_front();
        }
        self.last.push_back(entry);
        self.total += 1;
    }

    pub(super) fn json(&self) -> Value {
        let calls = self.last.iter().map(|entry| {
            json!({
                "at": super::tunnel::time(entry.at),
                "method": entry.method,
                "path": entry.path,
                "query": entry.query,
                "credentials": entry.credentials,
                "object_targets": entry.object_targets,
                "status": entry.status,
                "fault": entry.fault,
            })
        });
        json!({"total": self.total, "calls": calls.collect::<Value>()})
    }
}
