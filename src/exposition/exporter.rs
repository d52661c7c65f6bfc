//! Families of the exporter itself: the polls of each account, the prober and the process. They do not depend on the
//! age of the reported values.

use std::collections::BTreeMap;

use super::{
    capture::Capture,
    family::{Family, Group, counter, gauge, histogram},
    text::{Labels, SampleValue, Samples},
};
use crate::{
    domain::{
        dataset::{PollState, PollStatus},
        inventory::RejectReason,
        label::Label,
        probe::{IpVersion, RefusalReason},
        token::TokenReport,
    },
    telemetry,
};

pub(super) const FAMILIES: &[Family] = &[
    gauge("tunnels", "Tunnels that the API listed at the last poll.").whole(Group::Tunnels, tunnels),
    gauge("tunnels_rejected", "Members of the API's lists that were rejected at the last poll, by reason.")
        .whole(Group::Exporter, rejected),
    gauge("collection_up", "Whether the newest poll of the collection succeeded.").whole(
        Group::Exporter,
        |capture, out| {
            each_dataset(capture, out, |status| Some(status.state == PollState::Succeeded));
        },
    ),
    gauge("poll_last_success_timestamp", "End of the last successful poll of the collection.").in_seconds().whole(
        Group::Exporter,
        |capture, out| {
            each_dataset(capture, out, |status| status.last_success.map(|moment| moment.wall));
        },
    ),
    gauge("poll_duration", "Duration of the newest poll of the collection.")
        .in_seconds()
        .whole(Group::Exporter, |capture, out| each_dataset(capture, out, |status| status.duration)),
    gauge(
        "api_token_active",
        "Whether the API token was active at the last verification and has not expired. \
         It is verified once a day. No series for API keys, or until the first verification succeeds.",
    )
    .whole(Group::Exporter, |capture, out| {
        each_token(capture, out, |report| Some(report.is_active(capture.snapshot.now.wall)));
    }),
    gauge("api_token_expires_timestamp", "Expiry of the API token. No series for tokens that do not expire.")
        .in_seconds()
        .whole(Group::Exporter, |capture, out| each_token(capture, out, |report| report.expires_on)),
    gauge("poll_interval", "Configured time from one poll to the next.")
        .in_seconds()
        .whole(Group::Exporter, |capture, out| out.push(&Labels::NONE, &[], capture.poll_interval)),
    gauge("probe_targets", "Addresses that are probed. An address that several tunnels share counts once.").whole(
        Group::Exporter,
        |capture, out| {
            out.push(&Labels::NONE, &[], capture.snapshot.board().sessions.len());
        },
    ),
    gauge("probe_targets_refused", "Configured addresses of tunnels and uplinks that are not probed, by reason.")
        .whole(Group::Exporter, refused),
    gauge("probe_in_flight", "Echo requests that were sent and have no result yet.").whole(
        Group::Exporter,
        |capture, out| {
            out.push(&Labels::NONE, &[], capture.snapshot.board().activity.in_flight());
        },
    ),
    histogram("probe_schedule_lag", "Delay of echo requests behind their schedule.").in_seconds().whole(
        Group::Exporter,
        |capture, out| {
            out.histogram(&Labels::NONE, &[], &capture.snapshot.board().activity.lag());
        },
    ),
    gauge(
        "probe_socket_up",
        "Whether all ICMP sockets of this IP version are open. \
         The mode is the one in use; while the sockets are closed it is the configured one.",
    )
    .whole(Group::Exporter, sockets),
    counter(
        "probe_socket_drops",
        "Received packets that the kernel dropped because the receive buffer of an ICMP socket was full. \
         The echo requests that they may belong to count as `not_sent`. The engine `client` does not notice drops.",
    )
    .whole(Group::Exporter, socket_drops),
    gauge("probe_uplink_up", "Whether the uplink address answers, debounced. No series until a result is settled.")
        .whole(Group::Exporter, uplinks),
    counter("log_lines_dropped", "Log lines that were not written, because standard error is closed or was not read.")
        .whole(Group::Exporter, |_, out| out.push(&Labels::NONE, &[], telemetry::dropped_lines())),
    counter("process_cpu", "User and system CPU time spent.")
        .in_seconds()
        .without_prefix()
        .whole(Group::Exporter, |capture, out| out.push_known(&Labels::NONE, &[], capture.process.cpu_seconds)),
    gauge("process_resident_memory", "Resident memory size.")
        .in_bytes()
        .without_prefix()
        .whole(Group::Exporter, |capture, out| out.push_known(&Labels::NONE, &[], capture.process.resident_bytes)),
    gauge("process_virtual_memory", "Virtual memory size.")
        .in_bytes()
        .without_prefix()
        .whole(Group::Exporter, |capture, out| out.push_known(&Labels::NONE, &[], capture.process.virtual_bytes)),
    gauge("process_open_fds", "Number of open file descriptors.")
        .without_prefix()
        .whole(Group::Exporter, |capture, out| out.push_known(&Labels::NONE, &[], capture.process.open_fds)),
    gauge("process_max_fds", "Maximum number of open file descriptors.")
        .without_prefix()
        .whole(Group::Exporter, |capture, out| out.push_known(&Labels::NONE, &[], capture.process.max_fds)),
    gauge("process_threads", "Number of OS threads.")
        .without_prefix()
        .whole(Group::Exporter, |capture, out| out.push_known(&Labels::NONE, &[], capture.process.threads)),
    gauge("process_start_time", "Start time of the process since the Unix epoch.")
        .in_seconds()
        .without_prefix()
        .whole(Group::Exporter, |capture, out| out.push_known(&Labels::NONE, &[], capture.process.start_seconds)),
];

fn tunnels(capture: &Capture, out: &mut Samples<'_>) {
    for (account, tunnel_type, list) in capture.snapshot.lists() {
        if capture.snapshot.is_fresh(&list.status) {
            let labels = Labels::NONE.and("account", account.as_str());
            out.push(&labels, &[("tunnel_type", tunnel_type.as_str())], list.entries.len());
        }
    }
}

fn rejected(capture: &Capture, out: &mut Samples<'_>) {
    for (account, known) in &capture.snapshot.fleet().accounts {
        let labels = Labels::NONE.and("account", account.as_str());
        for reason in RejectReason::ALL {
            let count: u64 = known.lists().map(|(_, list)| list.rejected.count(*reason)).sum();
            out.push(&labels, &[("reason", reason.as_str())], count);
        }
    }
}

fn each_dataset<T: Into<SampleValue>>(
    capture: &Capture,
    out: &mut Samples<'_>,
    value: impl Fn(&PollStatus) -> Option<T>,
) {
    for (account, dataset, status) in capture.snapshot.datasets() {
        let labels = Labels::NONE.and("account", account.as_str());
        out.push_known(&labels, &[("collection", dataset.as_str())], value(status));
    }
}

fn each_token<T: Into<SampleValue>>(
    capture: &Capture,
    out: &mut Samples<'_>,
    value: impl Fn(&TokenReport) -> Option<T>,
) {
    for (account, known) in &capture.snapshot.fleet().accounts {
        let labels = Labels::NONE.and("account", account.as_str());
        out.push_known(&labels, &[], known.token.as_ref().and_then(&value));
    }
}

fn refused(capture: &Capture, out: &mut Samples<'_>) {
    for reason in RefusalReason::ALL {
        let count = capture.snapshot.board().refused.get(reason).copied().unwrap_or_default();
        out.push(&Labels::NONE, &[("reason", reason.as_str())], count);
    }
}

fn sockets(capture: &Capture, out: &mut Samples<'_>) {
    let mut all_up = BTreeMap::new();
    for socket in capture.snapshot.board().sockets.list() {
        *all_up.entry((socket.version, socket.mode)).or_insert(true) &= socket.up;
    }
    for ((version, mode), up) in all_up {
        out.push(&Labels::NONE, &[("ip_version", version.as_str()), ("mode", mode.as_str())], up);
    }
}

fn socket_drops(capture: &Capture, out: &mut Samples<'_>) {
    for version in IpVersion::ALL {
        let drops = capture.snapshot.board().sockets.drops(*version);
        out.push(&Labels::NONE, &[("ip_version", version.as_str())], drops);
    }
}

fn uplinks(capture: &Capture, out: &mut Samples<'_>) {
    for uplink in capture.snapshot.board().uplinks.iter() {
        let labels = Labels::NONE.and("address", &uplink.address.to_string());
        out.push_known(&labels, &[], uplink.tally.state().up);
    }
}
