//! Families of what the probes observe for each tunnel, and of the verdict. They do not depend on the age of the reported values.

use super::{
    capture::TunnelCapture,
    family::{Family, Group, counter, gauge, histogram},
    text::LabelPair,
};
use crate::{
    domain::{label::Label, probe::ProbeFailure},
    prober::tally::TallyReading,
};

pub(super) const FAMILIES: &[Family] = &[
    gauge(
        "tunnel_reachable",
        "Whether the addresses inside the tunnel answer, debounced. \
         No series until a result is settled, or if no address has ever answered.",
    )
    .value(Group::Probes, |tunnel| tunnel.reachable.map(Into::into)),
    gauge(
        "tunnel_probe_up",
        "Whether the address answers: down after probe.down-after failures in a row, up after probe.up-after replies.",
    )
    .per_tunnel(Group::Probes, |tunnel, out| {
        each_target(tunnel, |target, reading| out.push_known(&tunnel.labels, &[target], reading.state.up));
    }),
    counter(
        "tunnel_probe_requests",
        "Echo requests: always the sum of replies, failures and requests in flight. \
         Tunnels that share an address share its counters.",
    )
    .per_tunnel(Group::Probes, |tunnel, out| {
        each_target(tunnel, |target, reading| out.push(&tunnel.labels, &[target], reading.requests));
    }),
    counter("tunnel_probe_replies", "Echo requests that were answered.").per_tunnel(Group::Probes, |tunnel, out| {
        each_target(tunnel, |target, reading| out.push(&tunnel.labels, &[target], reading.replies));
    }),
    counter(
        "tunnel_probe_failures",
        "Echo requests that were not answered, by reason; not_sent says nothing about the path.",
    )
    .per_tunnel(Group::Probes, |tunnel, out| {
        each_target(tunnel, |target, reading| {
            for &reason in ProbeFailure::ALL {
                out.push(&tunnel.labels, &[target, ("reason", reason.as_str())], reading.failures(reason));
            }
        });
    }),
    histogram("tunnel_probe_rtt", "Round-trip times of the replies.")
        .in_seconds()
        .per_tunnel(Group::Rtt, |tunnel, out| {
            each_target(tunnel, |target, reading| out.histogram(&tunnel.labels, &[target], &reading.rtt))
        }),
    gauge("tunnel_probe_last_reply_timestamp", "When the address last answered. No series before the first reply.")
        .in_seconds()
        .per_tunnel(Group::Probes, |tunnel, out| {
            each_target(tunnel, |target, reading| out.push_known(&tunnel.labels, &[target], reading.last_reply));
        }),
    gauge(
        "tunnel_verdict",
        "Verdict from what is reported and observed: which layer is at fault. 1 for the current verdict, else 0.",
    )
    .per_tunnel(Group::Verdict, |tunnel, out| {
        if let Some(verdict) = &tunnel.verdict {
            out.states(&tunnel.labels, "verdict", verdict.verdict);
        }
    }),
    gauge("tunnel_verdict_changed_timestamp", "When the current verdict on the tunnel was reached.")
        .in_seconds()
        .value(Group::Verdict, |tunnel| Some(tunnel.verdict.as_ref()?.changed.wall.into())),
    counter(
        "tunnel_verdict_changes",
        "Changes of the verdict since the tunnel was first judged. The first verdict does not count.",
    )
    .value(Group::Verdict, |tunnel| Some(tunnel.verdict.as_ref()?.changes.into())),
];

fn each_target(tunnel: &TunnelCapture, mut write: impl FnMut(LabelPair, &TallyReading)) {
    for (target, reading) in &tunnel.targets {
        write(("probe_target", target.as_str()), reading);
    }
}

#[cfg(test)]
mod tests;
