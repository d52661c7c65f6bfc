//! How one list of one account is doing.

use std::borrow::Cow;

use serde::Serialize;
use web_toolkit::text::shown;

use crate::{
    domain::{
        inventory::{self, AccountName, CollectionSnapshot, PollState},
        label::Label as _,
    },
    overview::Picture,
};

#[derive(Debug, Serialize)]
pub(super) struct Collection<'a> {
    account: Cow<'a, str>,
    #[serde(rename = "collection")]
    name: &'static str,
    state: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
    stale: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_success: Option<String>,
    /// Absent before the first success: nobody knows how many there are.
    #[serde(skip_serializing_if = "Option::is_none")]
    tunnels: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rejected: Option<u64>,
}

impl<'a> Collection<'a> {
    pub(super) fn new(
        picture: &Picture,
        account: &'a AccountName,
        name: inventory::Collection,
        collection: &CollectionSnapshot,
    ) -> Self {
        let (state, reason) = match collection.state {
            PollState::Waiting => ("waiting", None),
            PollState::Succeeded => ("succeeded", None),
            PollState::Failed(reason) => ("failed", Some(reason.as_str())),
        };
        let polled = collection.last_success.is_some();
        Self {
            account: shown(account.as_str()),
            name: name.as_str(),
            state,
            reason,
            stale: !picture.is_fresh(collection),
            last_success: collection.last_success.map(|then| then.wall.to_string()),
            tunnels: polled.then_some(collection.entries.len()),
            rejected: polled.then(|| collection.rejected.values().sum()),
        }
    }
}
