//! The families that say how the prober itself is doing.

use std::collections::BTreeMap;

use super::{
    capture::Capture,
    family::{Descriptor, Family},
    group::Group,
    labels::Labels,
    samples::Samples,
};
use crate::domain::{label::Label, probe::RefusalReason};

pub(super) const FAMILIES: &[Family] = &[
    Family::whole(
        Group::Exporter,
        Descriptor::gauge("probe_targets", "Addresses that are probed; tunnels that share one count once."),
        |capture, out| out.push(&Labels::NONE, &[], capture.snapshot.board().sessions.len()),
    ),
    Family::whole(
        Group::Exporter,
        Descriptor::gauge(
            "probe_targets_refused",
            "Addresses of tunnels and uplinks that are not probed although asked for, by reason.",
        ),
        |capture, out| {
            for reason in RefusalReason::ALL {
                let count = capture.snapshot.board().refused.get(reason).copied().unwrap_or_default();
                out.push(&Labels::NONE, &[("reason", reason.as_str())], count);
            }
        },
    ),
    Family::whole(
        Group::Exporter,
        Descriptor::gauge("probe_in_flight", "Echoes that were sent and have not ended yet."),
        |capture, out| out.push(&Labels::NONE, &[], capture.snapshot.board().activity.in_flight()),
    ),
    Family::whole(
        Group::Exporter,
        Descriptor::histogram("probe_schedule_lag", "How late echoes were sent.").in_seconds(),
        |capture, out| out.histogram(&Labels::NONE, &[], &capture.snapshot.board().activity.lag()),
    ),
    Family::whole(
        Group::Exporter,
        Descriptor::gauge(
            "probe_socket_up",
            "Whether all ICMP sockets of this IP version are open. The mode is the one in use, or while they are closed, the one asked for.",
        ),
        sockets,
    ),
    Family::whole(
        Group::Exporter,
        Descriptor::gauge(
            "probe_uplink_up",
            "Whether the uplink address answers, debounced. No series while nothing is known.",
        ),
        |capture, out| {
            for uplink in capture.snapshot.board().uplinks.iter() {
                let labels = Labels::NONE.and("address", &uplink.address.to_string());
                out.push_known(&labels, uplink.tally.state().up);
            }
        },
    ),
];

fn sockets(capture: &Capture, out: &mut Samples<'_>) {
    let mut all_up = BTreeMap::new();
    for socket in capture.snapshot.board().sockets.list() {
        *all_up.entry((socket.version, socket.mode)).or_insert(true) &= socket.up;
    }
    for ((version, mode), up) in all_up {
        out.push(&Labels::NONE, &[("ip_version", version.as_str()), ("mode", mode.as_str())], up);
    }
}
