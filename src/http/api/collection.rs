//! How one list of one account is doing.

use std::borrow::Cow;

use serde::Serialize;
use web_toolkit::text::shown;

use crate::{
    domain::{
        dataset::PollState,
        inventory::{AccountName, TunnelList},
        label::Label as _,
        tunnel::TunnelType,
    },
    snapshot::Snapshot,
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
        snapshot: &Snapshot,
        account: &'a AccountName,
        tunnel_type: TunnelType,
        list: &TunnelList,
    ) -> Self {
        let (state, reason) = match list.status.state {
            PollState::Waiting => ("waiting", None),
            PollState::Succeeded => ("succeeded", None),
            PollState::Failed(reason) => ("failed", Some(reason.as_str())),
        };
        let polled = list.status.last_success.is_some();
        Self {
            account: shown(account.as_str()),
            name: tunnel_type.dataset().as_str(),
            state,
            reason,
            stale: !snapshot.is_fresh(&list.status),
            last_success: list.status.last_success.map(|then| then.wall.to_string()),
            tunnels: polled.then_some(list.entries.len()),
            rejected: polled.then(|| list.rejected.values().sum()),
        }
    }
}
