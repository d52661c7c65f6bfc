//! What the poller says in the log: each thing once, when it changes.

use std::sync::Arc;

use tracing::{info, warn};
use web_toolkit::text::shown;

use super::tracked_list::PollEvent;
use crate::domain::{dataset::Dataset, inventory::AccountName, tunnel::Tunnel};

/// More names than this are not spelled out in one line.
const MOST_NAMES: usize = 5;

pub(super) fn log(account: &AccountName, dataset: Dataset, event: &PollEvent) {
    let (account, collection) = (account.as_str(), dataset.to_string());
    match event {
        PollEvent::Answering { tunnels, left_out, after } => {
            let again = after.map_or(String::new(), |reason| format!("polls succeed again after `{reason}`: "));
            let more = match left_out {
                0 => String::new(),
                more => format!(", and {more} more that the configuration leaves out"),
            };
            info!(account, collection, tunnels, "{again}the API lists {tunnels} tunnels{more}");
        }
        PollEvent::Failing(failure) => {
            warn!(account, collection, reason = %failure.reason, "poll failed: {failure}; {}", failure.remedy());
        }
        PollEvent::BgpChanged { tunnel, from, to } => {
            let name = shown(&tunnel.name);
            let (from, to) = (from.to_string(), to.to_string());
            info!(account, tunnel = %name, tunnel_id = %tunnel.id, from, to, "BGP session of `{name}` went from {from} to {to}");
        }
        PollEvent::Appeared(tunnels) => info!(account, collection, "new tunnels: {}", names(tunnels)),
        PollEvent::Removed(tunnels) => info!(account, collection, "removed tunnels: {}", names(tunnels)),
        PollEvent::Rejected(rejected) => {
            let id = rejected.id.as_ref().map_or("none", |id| id.as_str());
            warn!(account, collection, reason = %rejected.reason, tunnel_id = id, "member {} of the list is left out: {}", rejected.index, rejected.reason);
        }
        PollEvent::UnknownValues(field) => {
            warn!(account, collection, %field, "the API gives values of `{field}` that this version does not know; see `unknown_values_total`");
        }
    }
}

fn names(tunnels: &[Arc<Tunnel>]) -> String {
    let named: Vec<String> =
        tunnels.iter().take(MOST_NAMES).map(|tunnel| format!("`{}`", shown(&tunnel.name))).collect();
    match tunnels.len().saturating_sub(MOST_NAMES) {
        0 => named.join(", "),
        more => format!("{} and {more} more", named.join(", ")),
    }
}
