//! The fields of one tunnel.

use std::{borrow::Cow, collections::BTreeMap, fmt::Display};

use jiff::Timestamp;
use web_toolkit::text::shown;

use super::json::JsonObject;
use crate::{
    domain::{
        edge::{EdgeResult, TrafficDirection},
        findings::Finding,
        label::Label,
        probe::ProbeFailure,
        tunnel::{
            BgpConfig, BgpStatus, GreDetails, HealthCheck, InterconnectDetails, IpsecDetails, Stated, Tunnel,
            TunnelDetails,
        },
        verdict::{Reported, Side, TunnelVerdict},
    },
    prober::{
        board::{TargetProbe, TunnelProbes, UplinkProbe},
        history::Span,
        mtu::MtuReading,
    },
    snapshot::Row,
};

pub(super) fn add_tunnel(object: &mut JsonObject<'_>, row: &Row<'_>, now: Timestamp) {
    let tunnel = row.tunnel();
    object.add("account", shown(row.account.as_str()));
    object.add("id", shown(tunnel.id.as_str()));
    object.add("name", shown(&tunnel.name));
    object.add("description", shown(&tunnel.description));
    object.add("site", row.site().map(|site| shown(site)));
    object.add("type", tunnel.tunnel_type().as_str());
    object.add("stale", !row.fresh);
    object.add("confirmed", row.confirmed.map(|then| then.wall.to_string()));
    if let Some(verdict) = row.verdict {
        object.add_object("verdict", |object| add_verdict(object, verdict));
    }
    add_configuration(object, tunnel);
    object.add_list("findings", row.findings(now).present(), add_finding);
    if let Some(status) = row.status() {
        object.add_object("bgp_status", |object| add_bgp_status(object, status));
    }
    object.add("bgp_state_changes", row.entry.bgp_state_changes);
    if row.edge_health().is_some() || row.edge_traffic().is_some() {
        object.add_object("edge", |object| add_edge(object, row));
    }
    object.add("routes", row.routes.map(|routes| routes.count()));
    if let Some(probes) = row.probes {
        object.add_object("probes", |object| add_probes(object, probes));
    }
}

fn add_finding(object: &mut JsonObject<'_>, finding: Finding) {
    object.add("finding", finding.as_str());
    object.add("severity", finding.text().severity.as_str());
}

/// What Cloudflare's edge measures.
fn add_edge(object: &mut JsonObject<'_>, row: &Row<'_>) {
    if let Some((health, window)) = row.edge_health() {
        object.add("state", health.state.map(Label::as_str));
        object.add("pass_ratio", health.checks.and_then(|checks| checks.pass_ratio()));
        object.add("routing_score", health.routing_score);
        if let Some(checks) = health.checks {
            let counts: BTreeMap<_, _> =
                EdgeResult::ALL.iter().map(|&result| (result.as_str(), checks.count(result))).collect();
            object.add("checks", counts);
        }
        if !health.colos.is_empty() {
            let scores: BTreeMap<_, _> = health.colos.iter().map(|known| (&*known.colo, known.score)).collect();
            object.add("colo_scores", scores);
        }
        object.add("window_start", window.from.wall.to_string());
        object.add("window_end", window.to.wall.to_string());
    }
    if let Some((traffic, window)) = row.edge_traffic() {
        object.add_object("traffic", |object| {
            for &direction in TrafficDirection::ALL {
                let rate = traffic.rate(direction);
                object.add(&format!("{direction}_bytes_per_second"), rate.map(|rate| rate.bytes_per_second));
                object.add(&format!("{direction}_packets_per_second"), rate.map(|rate| rate.packets_per_second));
            }
            object.add("window_end", window.to.wall.to_string());
        });
    }
}

pub(super) fn add_configuration(object: &mut JsonObject<'_>, tunnel: &Tunnel) {
    object.add("customer_endpoint", stated_text(&tunnel.customer_endpoint));
    object.add("cloudflare_endpoint", stated_text(&tunnel.cloudflare_endpoint));
    object.add("interface_address", stated_text(&tunnel.interface_address));
    object.add("interface_address6", stated_text(&tunnel.interface_address6));
    object.add("automatic_return_routing", tunnel.automatic_return_routing);
    if let Some(bgp) = tunnel.bgp {
        object.add_object("bgp", |object| add_bgp(object, bgp));
    }
    if let Some(check) = &tunnel.health_check {
        object.add_object("health_check", |object| add_health_check(object, check));
    }
    match &tunnel.details {
        TunnelDetails::Ipsec(ipsec) => object.add_object("ipsec", |object| add_ipsec(object, *ipsec)),
        TunnelDetails::Gre(gre) => object.add_object("gre", |object| add_gre(object, *gre)),
        TunnelDetails::Interconnect(interconnect) => {
            object.add_object("interconnect", |object| add_interconnect(object, interconnect));
        }
    }
    object.add("created", time_text(tunnel.created_on));
    object.add("modified", time_text(tunnel.modified_on));
}

fn add_verdict(object: &mut JsonObject<'_>, verdict: &TunnelVerdict) {
    let settled = |side: Side| (side != Side::Unsettled).then(|| side.as_str());
    object.add("verdict", verdict.verdict.as_str());
    object.add("why", &*verdict.why);
    object.add("reported", verdict.evidence.reported.as_str());
    let edge = verdict.evidence.edge;
    object.add("edge", (edge != Reported::None).then(|| edge.as_str()));
    object.add("inside", settled(verdict.evidence.inside));
    object.add("outside", settled(verdict.evidence.outside));
    object.add("changed", verdict.changed.wall.to_string());
    object.add("changes", verdict.changes);
}

fn add_interconnect(object: &mut JsonObject<'_>, interconnect: &InterconnectDetails) {
    object.add("data_center", interconnect.data_center.as_ref().map(|name| shown(name)));
    object.add("version", interconnect.version.as_ref().map(|version| shown(version)));
    object.add("mtu_bytes", interconnect.mtu);
}

fn add_bgp(object: &mut JsonObject<'_>, bgp: BgpConfig) {
    object.add("customer_asn", bgp.customer_asn);
    object.add("extra_prefixes", bgp.extra_prefixes);
    object.add("md5", bgp.md5);
}

pub(super) fn add_bgp_status(object: &mut JsonObject<'_>, status: &BgpStatus) {
    object.add("state", status.state.as_str());
    object.add("fsm_state", status.fsm.as_str());
    object.add("tcp_established", status.tcp_established);
    object.add("updated", time_text(status.updated_at));
    object.add("cloudflare_speaker", status.cloudflare_speaker.ip);
    object.add("customer_speaker", status.customer_speaker.ip);
}

fn add_health_check(object: &mut JsonObject<'_>, check: &HealthCheck) {
    object.add("enabled", check.enabled);
    object.add("type", check.check_type.map(Label::as_str));
    object.add("direction", check.direction.map(Label::as_str));
    object.add("rate", check.rate.map(Label::as_str));
    object.add("target", check.target.address().map(shown));
    object.add("target_source", check.target.source().as_str());
}

fn add_ipsec(object: &mut JsonObject<'_>, ipsec: IpsecDetails) {
    object.add("replay_protection", ipsec.replay_protection);
    object.add("allow_null_cipher", ipsec.allow_null_cipher);
    object.add("psk_generated", time_text(ipsec.psk_generated_on));
    object.add("custom_identity", ipsec.custom_identity);
}

fn add_gre(object: &mut JsonObject<'_>, gre: GreDetails) {
    object.add("mtu_bytes", gre.mtu);
    object.add("ttl_hops", gre.ttl);
}

fn add_probes(object: &mut JsonObject<'_>, probes: &TunnelProbes) {
    object.add("vantage", probes.vantage.as_str());
    object.add_list("targets", probes.targets.iter(), add_target);
    object.add_list("uplinks", probes.uplinks.iter(), add_uplink);
}

fn add_target(object: &mut JsonObject<'_>, probe: &TargetProbe) {
    let reading = probe.tally.read();
    let failures: BTreeMap<_, _> =
        ProbeFailure::ALL.iter().map(|&reason| (reason.as_str(), reading.failures(reason))).collect();
    object.add("target", probe.target.as_str());
    object.add("address", probe.address);
    object.add("up", reading.state.up);
    object.add("ever_answered", reading.state.ever_answered);
    object.add("requests", reading.requests);
    object.add("replies", reading.replies);
    object.add("failures", failures);
    object.add("in_flight", reading.in_flight);
    object.add("last_reply", time_text(reading.last_reply));
    object.add_object("recent", |object| add_recent(object, probe.tally.history().total()));
    if let Some(mtu) = probe.mtu() {
        object.add_object("mtu", |object| add_mtu(object, mtu));
    }
}

fn add_mtu(object: &mut JsonObject<'_>, mtu: MtuReading) {
    object.add("expected_bytes", mtu.expected);
    object.add("path_bytes", mtu.path.size);
    object.add("black_hole", mtu.path.black_hole);
    object.add("requests", mtu.requests);
    object.add("replies", mtu.replies);
}

/// The last ten minutes.
fn add_recent(object: &mut JsonObject<'_>, recent: Span) {
    object.add("replies", recent.replies);
    object.add("lost", recent.lost);
    object.add("loss_ratio", recent.loss());
    object.add("rtt_seconds", recent.rtt().map(|rtt| rtt.as_secs_f64()));
}

/// An address that shows the state of the underlay instead of the customer endpoint.
fn add_uplink(object: &mut JsonObject<'_>, uplink: &UplinkProbe) {
    let standing = uplink.tally.state();
    object.add("address", uplink.address);
    object.add("up", standing.up);
    object.add("ever_answered", standing.ever_answered);
}

fn time_text(time: Option<Timestamp>) -> Option<String> {
    time.map(|time| time.to_string())
}

/// The value, or the text of the API if it cannot be parsed; `None` if the API omits it.
fn stated_text<T: Display>(stated: &Stated<T>) -> Option<String> {
    let text = stated.to_string();
    let text = shown(&text);
    (!text.is_empty()).then(|| Cow::into_owned(text))
}
