//! Families of what Cloudflare's edge measures. No series without data in the time span, or if the data is older than
//! `--edge.stale-after`.

use std::sync::Arc;

use web_toolkit::clock::Moment;

use super::{
    capture::{Capture, TunnelCapture},
    family::{Family, Group, gauge},
    text::{Labels, SampleValue, Samples},
};
use crate::domain::{
    dataset::Dataset,
    edge::{ColoScore, EdgeResult, EdgeView, EdgeWindow, TrafficDirection, TrafficRate, TunnelHealth},
    inventory::AccountInventory,
    label::Label,
};

impl TunnelCapture {
    fn health(&self) -> Option<&TunnelHealth> {
        self.edge.as_deref()?.health.as_deref()
    }
}

pub(super) const FAMILIES: &[Family] = &[
    gauge(
        "tunnel_edge_state",
        "State of the tunnel by the share of Cloudflare's health checks that passed in the time span: healthy above \
         80 %, down below 40 %. 1 for the current state, else 0. No series with fewer than edge.min-checks checks.",
    )
    .per_tunnel(Group::Edge, |tunnel, out| {
        if let Some(state) = tunnel.health().and_then(|health| health.state) {
            out.states(&tunnel.labels, "state", state);
        }
    }),
    gauge(
        "tunnel_edge_pass_ratio",
        "Share of Cloudflare's health checks that passed in the time span, from 0 to 1. The data is sampled and minutes \
         old.",
    )
    .value(Group::Edge, |tunnel| Some(tunnel.health()?.checks?.pass_ratio()?.into())),
    gauge(
        "tunnel_edge_checks",
        "Estimated number of Cloudflare's health checks in the time span, by result. Not a counter: each poll has a \
         time span of its own.",
    )
    .per_tunnel(Group::Edge, |tunnel, out| {
        if let Some(checks) = tunnel.health().and_then(|health| health.checks) {
            for &result in EdgeResult::ALL {
                out.push(&tunnel.labels, &[("result", result.as_str())], checks.count(result));
            }
        }
    }),
    gauge(
        "tunnel_edge_routing_score",
        "Average state of the tunnel in all data centers, by which Cloudflare steers traffic, from 0 (down) to 1 \
         (healthy). It can differ from the pass ratio.",
    )
    .value(Group::Edge, |tunnel| Some(tunnel.health()?.routing_score?.into())),
    gauge(
        "tunnel_edge_colo_score",
        "Average state of the tunnel in one data center of edge.colos, from 0 (down) to 1 (healthy). No series if the \
         data center has no data about the tunnel.",
    )
    .per_tunnel(Group::Edge, |tunnel, out| {
        let Some(health) = tunnel.health() else { return };
        for ColoScore { colo, score } in &*health.colos {
            out.push(&tunnel.labels.clone().and("colo", colo), &[], *score);
        }
    }),
    gauge(
        "tunnel_edge_traffic_bytes_per_second",
        "Traffic through the tunnel as Cloudflare measures it, in the newest complete five minutes. Cloudflare revises \
         the value for up to half a day.",
    )
    .per_tunnel(Group::Edge, |tunnel, out| each_direction(tunnel, out, |rate| rate.bytes_per_second)),
    gauge(
        "tunnel_edge_traffic_packets_per_second",
        "Packets through the tunnel as Cloudflare measures them, in the newest complete five minutes. Cloudflare revises \
         the value for up to half a day.",
    )
    .per_tunnel(Group::Edge, |tunnel, out| each_direction(tunnel, out, |rate| rate.packets_per_second)),
    gauge("edge_window_end_timestamp", "End of the time span that the data of the edge is about.")
        .in_seconds()
        .whole(Group::Edge, |capture, out| {
            each_dataset(capture, out, |dataset| dataset.window.map(|window| window.to.wall));
        }),
    gauge(
        "edge_newest_data_timestamp",
        "The newest minute for which the edge has complete data, at the last poll. Its age is the least useful \
         edge.delay.",
    )
    .in_seconds()
    .whole(Group::Edge, |capture, out| each_view(capture, out, |_, view, _| view.health.newest)),
    gauge("edge_truncated", "Whether the edge has data that was not read, because there are too many rows.").whole(
        Group::Edge,
        |capture, out| each_dataset(capture, out, |dataset| dataset.window.map(|_| dataset.truncated)),
    ),
    gauge(
        "edge_unmatched",
        "Names in the data of the edge that belong to no tunnel of the inventory, or to several, such as interconnects \
         and excluded tunnels.",
    )
    .whole(Group::Edge, |capture, out| {
        each_view(capture, out, |known, view, now| view.health_window(now).map(|_| known.matches().unmatched));
    }),
    gauge("edge_tunnels_without_data", "Tunnels with enabled health checks for which the edge has no data.").whole(
        Group::Edge,
        |capture, out| {
            each_view(capture, out, |known, view, now| view.health_window(now).map(|_| known.matches().without_data));
        },
    ),
];

fn each_direction(tunnel: &TunnelCapture, out: &mut Samples<'_>, value: fn(TrafficRate) -> f64) {
    let Some(traffic) = tunnel.edge.as_deref().and_then(|edge| edge.traffic) else { return };
    for &direction in TrafficDirection::ALL {
        let rate = traffic.rate(direction).map(value);
        out.push_known(&tunnel.labels, &[("direction", direction.as_str())], rate);
    }
}

/// One sample per account that the edge is polled for.
fn each_view<T: Into<SampleValue>>(
    capture: &Capture,
    out: &mut Samples<'_>,
    value: impl Fn(&AccountInventory, &EdgeView, Moment) -> Option<T>,
) {
    for (account, known) in &capture.snapshot.fleet().accounts {
        let labels = Labels::NONE.and("account", account.as_str());
        out.push_known(&labels, &[], known.edge().and_then(|view| value(known, view, capture.snapshot.now)));
    }
}

/// What both datasets have in common.
struct PolledDataset {
    window: Option<EdgeWindow>,
    truncated: bool,
}

/// One sample per account and dataset.
fn each_dataset<T: Into<SampleValue>>(
    capture: &Capture,
    out: &mut Samples<'_>,
    value: impl Fn(PolledDataset) -> Option<T>,
) {
    for (account, known) in &capture.snapshot.fleet().accounts {
        let labels = Labels::NONE.and("account", account.as_str());
        let view = known.edge().map(Arc::as_ref);
        let health = view.map(|view| PolledDataset { window: view.health.window, truncated: view.health.truncated });
        let traffic = view.and_then(|view| view.traffic.as_ref());
        let traffic = traffic.map(|traffic| PolledDataset { window: traffic.window, truncated: traffic.truncated });
        for (dataset, polled) in [(Dataset::EdgeHealth, health), (Dataset::EdgeTraffic, traffic)] {
            out.push_known(&labels, &[("dataset", dataset.as_str())], polled.and_then(&value));
        }
    }
}

#[cfg(test)]
mod tests;
