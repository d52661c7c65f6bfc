//! The families that say how the prober itself is doing.

use std::{collections::BTreeMap, fmt};

use prometheus_client::encoding::DescriptorEncoder;

use super::family::{Descriptor, RowLabels};
use crate::domain::{board::ProbeBoard, label::Label, probe::Refusal};

const TARGETS: Descriptor =
    Descriptor::gauge("probe_targets", "Addresses that are probed; tunnels that share one count once.");
const REFUSED: Descriptor = Descriptor::gauge(
    "probe_targets_refused",
    "Addresses of tunnels and uplinks that are not probed although asked for, by reason.",
);
const IN_FLIGHT: Descriptor = Descriptor::gauge("probe_in_flight", "Echoes that were sent and have not ended yet.");
const LAG: Descriptor = Descriptor::seconds_histogram("probe_schedule_lag", "How late echoes were sent.");
const SOCKET_UP: Descriptor = Descriptor::gauge(
    "probe_socket_up",
    "Whether all ICMP sockets of this IP version are open. The mode is the one in use, or while they are closed, the one asked for.",
);
const UPLINK_UP: Descriptor = Descriptor::gauge(
    "probe_uplink_up",
    "Whether the uplink address answers, debounced. No series while nothing is known.",
);

/// Writes what is known of the prober.
pub(super) fn encode(board: &ProbeBoard, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
    TARGETS.open(encoder)?.push(&RowLabels::NONE, &[], board.sessions.len())?;
    let mut samples = REFUSED.open(encoder)?;
    for reason in Refusal::ALL {
        let count = board.refused.get(reason).copied().unwrap_or_default();
        samples.push(&RowLabels::NONE, &[("reason", reason.as_str())], count)?;
    }
    IN_FLIGHT.open(encoder)?.push(&RowLabels::NONE, &[], board.activity.in_flight())?;
    LAG.open(encoder)?.histogram(&RowLabels::NONE, &[], &board.activity.lag())?;
    sockets(board, encoder)?;
    let mut samples = UPLINK_UP.open(encoder)?;
    for uplink in board.uplinks.iter() {
        if let Some(up) = uplink.tally.standing().up {
            samples.push(&RowLabels::NONE, &[("address", &uplink.address.to_string())], up)?;
        }
    }
    Ok(())
}

fn sockets(board: &ProbeBoard, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
    let mut all_up = BTreeMap::new();
    for socket in board.sockets.list() {
        *all_up.entry((socket.version, socket.mode)).or_insert(true) &= socket.up;
    }
    let mut samples = SOCKET_UP.open(encoder)?;
    for ((version, mode), up) in all_up {
        samples.push(&RowLabels::NONE, &[("ip_version", version.as_str()), ("mode", mode.as_str())], up)?;
    }
    Ok(())
}
