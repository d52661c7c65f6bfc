//! The families that say how the polls of each account are doing, fresh or not.

use super::{
    family::{Descriptor, Family},
    group::Group,
    labels::Labels,
    picture::Picture,
    samples::Samples,
    value::Value,
};
use crate::domain::{
    inventory::{CollectionSnapshot, PollState, RejectReason},
    label::Label,
};

pub(super) const FAMILIES: &[Family] = &[
    Family::whole(
        Group::Tunnels,
        Descriptor::gauge("tunnels", "Tunnels that the API listed at the last poll."),
        tunnels,
    ),
    Family::whole(
        Group::Exporter,
        Descriptor::gauge(
            "tunnels_rejected",
            "Members of the API's lists that were left out at the last poll, by reason.",
        ),
        rejected,
    ),
    Family::whole(
        Group::Exporter,
        Descriptor::gauge("collection_up", "Whether the newest poll of the collection succeeded."),
        |picture, out| {
            each_collection(picture, out, |collection| Some(collection.state == PollState::Succeeded));
        },
    ),
    Family::whole(
        Group::Exporter,
        Descriptor::gauge("poll_last_success_timestamp", "End of the last successful poll of the collection.")
            .in_seconds(),
        |picture, out| each_collection(picture, out, |collection| collection.last_success.map(|moment| moment.wall)),
    ),
    Family::whole(
        Group::Exporter,
        Descriptor::gauge("poll_duration", "How long the newest poll of the collection took.").in_seconds(),
        |picture, out| each_collection(picture, out, |collection| collection.duration),
    ),
    Family::whole(
        Group::Exporter,
        Descriptor::gauge("poll_interval", "Configured time from one poll to the next.").in_seconds(),
        |picture, out| out.push(&Labels::NONE, &[], picture.poll_interval),
    ),
];

fn tunnels(picture: &Picture, out: &mut Samples<'_>) {
    for (account, snapshot) in &picture.fleet.accounts {
        let labels = Labels::NONE.and("account", account.as_str());
        for (name, collection) in snapshot.collections().filter(|(_, collection)| picture.is_fresh(collection)) {
            out.push(&labels, &[("tunnel_type", name.tunnel_type().as_str())], collection.entries.len());
        }
    }
}

fn rejected(picture: &Picture, out: &mut Samples<'_>) {
    for (account, snapshot) in &picture.fleet.accounts {
        let labels = Labels::NONE.and("account", account.as_str());
        for reason in RejectReason::ALL {
            let count: u64 = snapshot.collections().filter_map(|(_, collection)| collection.rejected.get(reason)).sum();
            out.push(&labels, &[("reason", reason.as_str())], count);
        }
    }
}

fn each_collection<T: Into<Value>>(
    picture: &Picture,
    out: &mut Samples<'_>,
    value: impl Fn(&CollectionSnapshot) -> Option<T>,
) {
    for (account, snapshot) in &picture.fleet.accounts {
        let labels = Labels::NONE.and("account", account.as_str());
        for (name, collection) in snapshot.collections() {
            if let Some(value) = value(collection) {
                out.push(&labels, &[("collection", name.as_str())], value);
            }
        }
    }
}
