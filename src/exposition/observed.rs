//! The families that say what was observed of each tunnel, and the verdict on it.
//!
//! They are there for every tunnel of the inventory, fresh or not: what the prober sees does not grow old with the API's last word.

use super::{
    capture::TunnelCapture,
    family::{Descriptor, Family},
    group::Group,
    samples::Closed,
};
use crate::{
    domain::{label::Label, probe::ProbeFailure},
    prober::tally::TallyReading,
};

pub(super) const FAMILIES: &[Family] = &[
    Family::of_tunnels(
        Group::Probes,
        Descriptor::gauge(
            "tunnel_reachable",
            "Whether the addresses inside the tunnel answer, debounced. No series while nothing is known, or where none ever answered.",
        ),
        |row, out| out.push_known(&row.labels, row.reachable),
    ),
    Family::of_tunnels(
        Group::Probes,
        Descriptor::gauge(
            "tunnel_probe_up",
            "Whether the address answers: down after probe.down-after failures in a row, up after probe.up-after replies.",
        ),
        |row, out| {
            each_target(row, |target, reading| {
                if let Some(up) = reading.state.up {
                    out.push(&row.labels, &[target], up);
                }
            });
        },
    ),
    Family::of_tunnels(
        Group::Probes,
        Descriptor::counter(
            "tunnel_probe_requests",
            "Echoes begun: always replies plus failures plus what is in flight. Tunnels that share an address share its counters.",
        ),
        |row, out| each_target(row, |target, reading| out.push(&row.labels, &[target], reading.requests)),
    ),
    Family::of_tunnels(
        Group::Probes,
        Descriptor::counter("tunnel_probe_replies", "Echoes that were answered."),
        |row, out| each_target(row, |target, reading| out.push(&row.labels, &[target], reading.replies)),
    ),
    Family::of_tunnels(
        Group::Probes,
        Descriptor::counter(
            "tunnel_probe_failures",
            "Echoes that were not answered, by reason; not_sent says nothing about the path.",
        ),
        |row, out| {
            each_target(row, |target, reading| {
                for &reason in ProbeFailure::ALL {
                    out.push(&row.labels, &[target, ("reason", reason.as_str())], reading.failures(reason));
                }
            });
        },
    ),
    Family::of_tunnels(
        Group::Rtt,
        Descriptor::histogram("tunnel_probe_rtt", "Round-trip times of the replies.").in_seconds(),
        |row, out| each_target(row, |target, reading| out.histogram(&row.labels, &[target], &reading.rtt)),
    ),
    Family::of_tunnels(
        Group::Probes,
        Descriptor::gauge(
            "tunnel_probe_last_reply_timestamp",
            "When the address answered last. No series before its first answer.",
        )
        .in_seconds(),
        |row, out| {
            each_target(row, |target, reading| {
                if let Some(time) = reading.last_reply {
                    out.push(&row.labels, &[target], time);
                }
            });
        },
    ),
    Family::of_tunnels(
        Group::Verdict,
        Descriptor::gauge(
            "tunnel_verdict",
            "What report and observation add up to, and whose part is at fault: 1 for the current verdict, else 0.",
        ),
        |row, out| {
            if let Some(verdict) = &row.verdict {
                out.states(&row.labels, "verdict", verdict.verdict);
            }
        },
    ),
    Family::of_tunnels(
        Group::Verdict,
        Descriptor::gauge("tunnel_verdict_changed_timestamp", "When the current verdict on the tunnel was reached.")
            .in_seconds(),
        |row, out| out.push_known(&row.labels, row.verdict.as_ref().map(|verdict| verdict.changed.wall)),
    ),
    Family::of_tunnels(
        Group::Verdict,
        Descriptor::counter(
            "tunnel_verdict_changes",
            "Changes of the verdict since the tunnel was first judged; the first verdict is none.",
        ),
        |row, out| out.push_known(&row.labels, row.verdict.as_ref().map(|verdict| verdict.changes)),
    ),
];

fn each_target(row: &TunnelCapture, mut write: impl FnMut(Closed, &TallyReading)) {
    for (target, reading) in &row.targets {
        write(("probe_target", target.as_str()), reading);
    }
}

#[cfg(test)]
mod tests;
