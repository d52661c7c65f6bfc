//! The families that say what was observed of each tunnel, and the verdict on it.
//!
//! They are there for every tunnel of the inventory, fresh or not: what the prober sees does not grow old with the API's last word.

use std::{fmt, ops::Range, sync::Arc};

use prometheus_client::encoding::DescriptorEncoder;

use super::family::{Descriptor, RowLabels, Samples};
use crate::domain::{
    board::{ProbeBoard, TunnelKey, TunnelProbes},
    inventory::Fleet,
    label::Label,
    probe::ProbeFailure,
    tally::Reading,
    tunnel::TunnelType,
    verdict::{Side, TunnelVerdict, Verdicts},
};

const REACHABLE: Descriptor = Descriptor::gauge(
    "tunnel_reachable",
    "Whether the addresses inside the tunnel answer, debounced. No series while nothing is known, or where none ever answered.",
);
const UP: Descriptor = Descriptor::gauge(
    "tunnel_probe_up",
    "Whether the address answers: down after probe.down-after failures in a row, up after probe.up-after replies.",
);
const REQUESTS: Descriptor = Descriptor::counter(
    "tunnel_probe_requests",
    "Echoes begun: always replies plus failures plus what is in flight. Tunnels that share an address share its counters.",
);
const REPLIES: Descriptor = Descriptor::counter("tunnel_probe_replies", "Echoes that were answered.");
const FAILURES: Descriptor = Descriptor::counter(
    "tunnel_probe_failures",
    "Echoes that were not answered, by reason; not_sent says nothing about the path.",
);
const RTT: Descriptor = Descriptor::seconds_histogram("tunnel_probe_rtt", "Round-trip times of the replies.");
const LAST_REPLY: Descriptor = Descriptor::seconds(
    "tunnel_probe_last_reply_timestamp",
    "When the address answered last. No series before its first answer.",
);
const VERDICT: Descriptor = Descriptor::gauge(
    "tunnel_verdict",
    "What report and observation add up to, and whose part is at fault: 1 for the current verdict, else 0.",
);
const CHANGED: Descriptor =
    Descriptor::seconds("tunnel_verdict_changed_timestamp", "When the current verdict on the tunnel was reached.");
const CHANGES: Descriptor = Descriptor::counter(
    "tunnel_verdict_changes",
    "Changes of the verdict since the tunnel was first judged; the first verdict is none.",
);

/// Writes what is known of each tunnel.
pub(super) fn encode(
    fleet: &Fleet,
    board: &ProbeBoard,
    verdicts: &Verdicts,
    encoder: &mut DescriptorEncoder<'_>,
) -> fmt::Result {
    let mut labels = String::new();
    let subjects = subjects(fleet, board, verdicts, &mut labels);
    let rows: Vec<Row<'_>> = subjects.into_iter().map(|subject| Row::new(subject, &labels, board)).collect();
    let mut samples = REACHABLE.open(encoder)?;
    for row in &rows {
        if let Some(reachable) = row.reachable {
            samples.push(&row.labels, &[], reachable)?;
        }
    }
    probes(&rows, encoder)?;
    verdict(&rows, encoder)
}

/// A tunnel, and where its labels stand.
struct Subject<'a> {
    span: Range<usize>,
    tunnel_type: TunnelType,
    probes: Option<&'a TunnelProbes>,
    verdict: Option<&'a TunnelVerdict>,
}

fn subjects<'a>(
    fleet: &'a Fleet,
    board: &'a ProbeBoard,
    verdicts: &'a Verdicts,
    labels: &mut String,
) -> Vec<Subject<'a>> {
    let mut subjects = Vec::new();
    for (account, snapshot) in &fleet.accounts {
        for entry in snapshot.entries() {
            let key = TunnelKey::of(account, &entry.tunnel);
            subjects.push(Subject {
                span: RowLabels::render(labels, account, &entry.tunnel),
                tunnel_type: key.tunnel_type,
                probes: board.tunnels.get(&key).map(Arc::as_ref),
                verdict: verdicts.tunnels.get(&key).map(Arc::as_ref),
            });
        }
    }
    subjects
}

/// A tunnel with its labels and one reading of each of its targets.
struct Row<'a> {
    labels: RowLabels<'a>,
    reachable: Option<bool>,
    targets: Vec<(&'static str, Reading)>,
    verdict: Option<&'a TunnelVerdict>,
}

impl<'a> Row<'a> {
    fn new(subject: Subject<'a>, labels: &'a str, board: &ProbeBoard) -> Self {
        let probes = subject.probes.map_or(&[][..], |probes| &probes.targets);
        let inside = subject.probes.map(|probes| probes.inside().map(|probe| probe.tally.standing()));
        let inside = inside.map_or(Side::Unsettled, |standings| Side::of(standings, board.silence));
        Self {
            labels: RowLabels::new(&labels[subject.span], subject.tunnel_type.as_str()),
            reachable: match inside {
                Side::Answers => Some(true),
                Side::Silent => Some(false),
                Side::Unsettled => None,
            },
            targets: probes.iter().map(|probe| (probe.target.as_str(), probe.tally.read())).collect(),
            verdict: subject.verdict,
        }
    }
}

fn probes(rows: &[Row<'_>], encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
    each_target(&UP, rows, encoder, |out, row, more, reading| {
        reading.standing.up.map_or(Ok(()), |up| out.push(row, more, up))
    })?;
    each_target(&REQUESTS, rows, encoder, |out, row, more, reading| out.push(row, more, reading.requests))?;
    each_target(&REPLIES, rows, encoder, |out, row, more, reading| out.push(row, more, reading.replies))?;
    each_target(&FAILURES, rows, encoder, |out, row, more, reading| {
        ProbeFailure::ALL
            .iter()
            .try_for_each(|&reason| out.push(row, &[more[0], ("reason", reason.as_str())], reading.failures(reason)))
    })?;
    each_target(&RTT, rows, encoder, |out, row, more, reading| out.histogram(row, more, &reading.rtt))?;
    each_target(&LAST_REPLY, rows, encoder, |out, row, more, reading| {
        reading.last_reply.map_or(Ok(()), |time| out.push(row, more, time))
    })
}

fn each_target(
    descriptor: &Descriptor,
    rows: &[Row<'_>],
    encoder: &mut DescriptorEncoder<'_>,
    write: impl Fn(&mut Samples<'_>, &RowLabels<'_>, &[(&str, &str); 1], &Reading) -> fmt::Result,
) -> fmt::Result {
    let mut samples = descriptor.open(encoder)?;
    for row in rows {
        for (target, reading) in &row.targets {
            write(&mut samples, &row.labels, &[("probe_target", target)], reading)?;
        }
    }
    Ok(())
}

fn verdict(rows: &[Row<'_>], encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
    each_verdict(&VERDICT, rows, encoder, |out, row, verdict| out.states(row, "verdict", verdict.verdict))?;
    each_verdict(&CHANGED, rows, encoder, |out, row, verdict| out.push(row, &[], verdict.changed.wall))?;
    each_verdict(&CHANGES, rows, encoder, |out, row, verdict| out.push(row, &[], verdict.changes))
}

fn each_verdict(
    descriptor: &Descriptor,
    rows: &[Row<'_>],
    encoder: &mut DescriptorEncoder<'_>,
    write: impl Fn(&mut Samples<'_>, &RowLabels<'_>, &TunnelVerdict) -> fmt::Result,
) -> fmt::Result {
    let mut samples = descriptor.open(encoder)?;
    for row in rows {
        if let Some(verdict) = row.verdict {
            write(&mut samples, &row.labels, verdict)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
