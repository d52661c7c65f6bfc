//! What was observed of one tunnel, address by address.

use std::net::IpAddr;

use maud::{Markup, html};

use super::{
    evidence::{self, thousands},
    graph::graph,
    time::{self, milliseconds, percent},
    words,
};
use crate::{
    domain::{
        label::Label as _,
        probe::{ProbeFailure, Vantage},
    },
    prober::tally::{Reading, Tally},
    snapshot::{Row, Snapshot},
};

pub(super) fn probes(snapshot: &Snapshot, row: &Row<'_>) -> Markup {
    html! {
        section class="probes" aria-labelledby="probes-title" {
            h2 id="probes-title" { "Observed from here" }
            @match row.probes {
                Some(probes) if !probes.targets.is_empty() => {
                    p class="note" { (vantage(probes.vantage)) }
                    @for target in &probes.targets { (one(snapshot, words::target(target.target), target.address, &target.tally)) }
                    @for uplink in probes.uplinks.iter() { (one(snapshot, "Uplink", uplink.address, &uplink.tally)) }
                }
                Some(_) => p { "None of its addresses can be probed." },
                None if snapshot.board().settings.enabled => p { "Probing is switched off for this tunnel." },
                None => p { "Probing is switched off. Start with " code { "--probe" } " to learn what carries traffic." },
            }
        }
    }
}

const fn vantage(vantage: Vantage) -> &'static str {
    match vantage {
        Vantage::Site => {
            "The prober stands behind the router of the tunnel (vantage site): what answers at an interface address answers through this very tunnel."
        }
        Vantage::Remote => {
            "The prober stands elsewhere (vantage remote): what answers at an interface peer answers through this very tunnel."
        }
    }
}

fn one(snapshot: &Snapshot, name: &str, address: IpAddr, tally: &Tally) -> Markup {
    let reading = tally.read();
    let history = tally.history();
    let recent = history.total();
    let number = |number: u64| thousands(usize::try_from(number).unwrap_or(usize::MAX));
    html! {
        article class="target" {
            header {
                h3 { (name) " " code { (address) } }
                (evidence::standing(reading.standing, snapshot.board().settings.silence))
            }
            (graph(&history, "wide-graph"))
            dl class="figures" {
                div { dt { "RTT, 10 min" } dd { (recent.rtt().map_or_else(|| "–".into(), milliseconds)) } }
                div { dt { "Loss, 10 min" } dd { (recent.loss().map_or_else(|| "–".into(), percent)) } }
                div { dt { "Requests" } dd { (number(reading.requests)) } }
                div { dt { "Replies" } dd { (number(reading.replies)) } }
                div { dt { "In flight" } dd { (number(reading.in_flight)) } }
                div { dt { "Last reply" } dd {
                    @match reading.last_reply { Some(then) => (time::at(snapshot.now, then)), None => "never" }
                } }
                div class="wide" { dt { "Failures" } dd { (failures(&reading)) } }
            }
        }
    }
}

fn failures(reading: &Reading) -> String {
    let counts =
        ProbeFailure::ALL.iter().map(|&reason| (reason, reading.failures(reason))).filter(|(_, count)| *count > 0);
    let counts: Vec<String> = counts.map(|(reason, count)| format!("{reason} {count}")).collect();
    if counts.is_empty() { "none".into() } else { counts.join(", ") }
}
