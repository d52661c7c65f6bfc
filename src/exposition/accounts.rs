//! The families that say how the polls of each account are doing, fresh or not.

use super::{
    capture::Capture,
    family::{Descriptor, Family},
    group::Group,
    labels::Labels,
    samples::Samples,
    value::Value,
};
use crate::domain::{
    dataset::{PollState, PollStatus},
    inventory::RejectReason,
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
        |capture, out| {
            each_dataset(capture, out, |status| Some(status.state == PollState::Succeeded));
        },
    ),
    Family::whole(
        Group::Exporter,
        Descriptor::gauge("poll_last_success_timestamp", "End of the last successful poll of the collection.")
            .in_seconds(),
        |capture, out| each_dataset(capture, out, |status| status.last_success.map(|moment| moment.wall)),
    ),
    Family::whole(
        Group::Exporter,
        Descriptor::gauge("poll_duration", "How long the newest poll of the collection took.").in_seconds(),
        |capture, out| each_dataset(capture, out, |status| status.duration),
    ),
    Family::whole(
        Group::Exporter,
        Descriptor::gauge("poll_interval", "Configured time from one poll to the next.").in_seconds(),
        |capture, out| out.push(&Labels::NONE, &[], capture.poll_interval),
    ),
];

fn tunnels(capture: &Capture, out: &mut Samples<'_>) {
    for (account, known) in &capture.snapshot.fleet().accounts {
        let labels = Labels::NONE.and("account", account.as_str());
        for (tunnel_type, list) in known.lists().filter(|(_, list)| capture.snapshot.is_fresh(&list.status)) {
            out.push(&labels, &[("tunnel_type", tunnel_type.as_str())], list.entries.len());
        }
    }
}

fn rejected(capture: &Capture, out: &mut Samples<'_>) {
    for (account, known) in &capture.snapshot.fleet().accounts {
        let labels = Labels::NONE.and("account", account.as_str());
        for reason in RejectReason::ALL {
            let count: u64 = known.lists().filter_map(|(_, list)| list.rejected.get(reason)).sum();
            out.push(&labels, &[("reason", reason.as_str())], count);
        }
    }
}

fn each_dataset<T: Into<Value>>(capture: &Capture, out: &mut Samples<'_>, value: impl Fn(&PollStatus) -> Option<T>) {
    for (account, dataset, status) in capture.snapshot.datasets() {
        if let Some(value) = value(status) {
            out.push(&Labels::NONE.and("account", account.as_str()), &[("collection", dataset.as_str())], value);
        }
    }
}
