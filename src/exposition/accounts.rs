//! The families that say how the polls of each account are doing.

use std::{fmt, time::Duration};

use prometheus_client::encoding::DescriptorEncoder;

use super::{
    family::{Descriptor, RowLabels},
    view::View,
};
use crate::domain::{
    inventory::{CollectionSnapshot, PollState, RejectReason},
    label::Label,
};

const NUMBER: Descriptor = Descriptor::gauge("tunnels", "Tunnels that the API listed at the last poll.");
const REJECTED: Descriptor =
    Descriptor::gauge("tunnels_rejected", "Members of the API's lists that were left out at the last poll, by reason.");
const UP: Descriptor = Descriptor::gauge("collection_up", "Whether the newest poll of the collection succeeded.");
const LAST_SUCCESS: Descriptor =
    Descriptor::seconds("poll_last_success_timestamp", "End of the last successful poll of the collection.");
const DURATION: Descriptor = Descriptor::seconds("poll_duration", "How long the newest poll of the collection took.");
const INTERVAL: Descriptor = Descriptor::seconds("poll_interval", "Configured time from one poll to the next.");

/// Writes what is known of each account and collection, whether fresh or not.
pub(super) fn encode(view: &View<'_>, interval: Duration, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
    tunnels(view, encoder)?;
    rejected(view, encoder)?;
    each_collection(&UP, view, encoder, |collection| Some(u64::from(collection.state == PollState::Succeeded)))?;
    each_collection(&LAST_SUCCESS, view, encoder, |collection| collection.last_success.map(|moment| moment.wall))?;
    each_collection(&DURATION, view, encoder, |collection| collection.duration)?;
    INTERVAL.open(encoder)?.push(&RowLabels::NONE, &[], interval)
}

fn tunnels(view: &View<'_>, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
    let mut samples = NUMBER.open(encoder)?;
    for (account, snapshot) in &view.fleet.accounts {
        for (name, collection) in snapshot.collections().filter(|(_, collection)| view.is_fresh(collection)) {
            let labels = [("account", account.as_str()), ("tunnel_type", name.tunnel_type().as_str())];
            samples.push(&RowLabels::NONE, &labels, collection.entries.len())?;
        }
    }
    Ok(())
}

fn rejected(view: &View<'_>, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
    let mut samples = REJECTED.open(encoder)?;
    for (account, snapshot) in &view.fleet.accounts {
        for reason in RejectReason::ALL {
            let count: u64 = snapshot.collections().filter_map(|(_, collection)| collection.rejected.get(reason)).sum();
            samples.push(&RowLabels::NONE, &[("account", account.as_str()), ("reason", reason.as_str())], count)?;
        }
    }
    Ok(())
}

fn each_collection<T: Into<super::family::Value>>(
    descriptor: &Descriptor,
    view: &View<'_>,
    encoder: &mut DescriptorEncoder<'_>,
    value: impl Fn(&CollectionSnapshot) -> Option<T>,
) -> fmt::Result {
    let mut samples = descriptor.open(encoder)?;
    for (account, snapshot) in &view.fleet.accounts {
        for (name, collection) in snapshot.collections() {
            if let Some(value) = value(collection) {
                let labels = [("account", account.as_str()), ("collection", name.as_str())];
                samples.push(&RowLabels::NONE, &labels, value)?;
            }
        }
    }
    Ok(())
}
