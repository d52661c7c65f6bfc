//! Every field of one tunnel as the API states it. Omitted fields are shown as `not stated`.

use std::fmt::Display;

use jiff::Timestamp;
use maud::{Markup, html};
use web_toolkit::{clock::Moment, text::shown};

use super::{
    document::ROOT_OF_TUNNEL,
    format::{self, count_noun, format_bit_rate, format_bytes, format_count, format_percent, format_score},
    words,
};
use crate::{
    domain::{
        edge::{EdgeResult, TrafficDirection},
        label::Label as _,
        tunnel::{GreDetails, InterconnectDetails, IpsecDetails, Speaker, Stated, TunnelDetails},
    },
    http::address::Query,
    snapshot::Row,
};

/// A name and its value.
type NamedField = (&'static str, Markup);

/// Draws one card per group of fields.
pub(super) fn draw_fields(now: Moment, row: &Row<'_>) -> Markup {
    html! {
        (draw_card("Tunnel", &tunnel_fields(now, row)))
        (draw_card("BGP session", &session_fields(now, row)))
        (draw_card("BGP configuration", &bgp_fields(row)))
        (draw_card("Cloudflare's health check", &health_check_fields(row)))
        @if row.edge.is_some() { (draw_card("Cloudflare's edge", &edge_fields(now, row))) }
    }
}

fn draw_card(title: &str, fields: &[NamedField]) -> Markup {
    html! {
        section class="card" {
            h2 { (title) }
            dl { @for (name, value) in fields { div { dt { (name) } dd { (value) } } } }
        }
    }
}

fn tunnel_fields(now: Moment, row: &Row<'_>) -> Vec<NamedField> {
    let tunnel = row.tunnel();
    let mut fields = vec![
        ("Name", text(&tunnel.name)),
        ("Description", text(&tunnel.description)),
        ("Site", row.site().map_or_else(not_stated, |site| site_link(site))),
        ("Account", text(row.account.as_str())),
        ("Id", html! { code { (shown(tunnel.id.as_str())) } }),
        ("Type", html! { (words::type_name(tunnel.tunnel_type())) }),
        ("Customer endpoint", stated_address(&tunnel.customer_endpoint)),
        ("Cloudflare endpoint", stated_address(&tunnel.cloudflare_endpoint)),
        ("Interface address", stated_address(&tunnel.interface_address)),
        ("Interface address, IPv6", stated_address(&tunnel.interface_address6)),
        ("Automatic return routing", yes_or_no(tunnel.automatic_return_routing)),
    ];
    fields.extend(kind_fields(now, &tunnel.details));
    fields.push(("Created", time_and_age(now, tunnel.created_on)));
    fields.push(("Modified", time_and_age(now, tunnel.modified_on)));
    fields
}

fn kind_fields(now: Moment, kind: &TunnelDetails) -> Vec<NamedField> {
    match kind.clone() {
        TunnelDetails::Ipsec(IpsecDetails {
            replay_protection,
            allow_null_cipher,
            psk_generated_on,
            custom_identity,
        }) => vec![
            ("Replay protection", yes_or_no(replay_protection)),
            ("Null cipher allowed", yes_or_no(allow_null_cipher)),
            ("Pre-shared key generated", time_and_age(now, psk_generated_on)),
            ("Custom identity", yes_or_no(Some(custom_identity))),
        ],
        TunnelDetails::Gre(GreDetails { mtu, ttl }) => {
            vec![
                ("MTU", optional(mtu.map(format_bytes))),
                ("TTL", optional(ttl.map(|ttl| count_noun(ttl, "hop", "hops")))),
            ]
        }
        TunnelDetails::Interconnect(InterconnectDetails { data_center, version, mtu }) => {
            vec![
                ("Data center", optional(data_center.map(|name| shown(&name).into_owned()))),
                ("Version", optional(version.map(|version| shown(&version).into_owned()))),
                ("MTU", optional(mtu.map(format_bytes))),
            ]
        }
    }
}

fn session_fields(now: Moment, row: &Row<'_>) -> Vec<NamedField> {
    let Some(status) = row.status() else {
        let why = if row.fresh { "not reported" } else { "unknown: the report is stale" };
        return vec![("State", html! { (why) })];
    };
    vec![
        ("State", html! { (words::session_name(status.state)) }),
        ("FSM state", html! { (status.fsm) }),
        ("TCP established", yes_or_no(status.tcp_established)),
        ("Cloudflare's speaker", speaker_address(status.cloudflare_speaker)),
        ("Customer's speaker", speaker_address(status.customer_speaker)),
        ("Status updated", time_and_age(now, status.updated_at)),
        ("Changes since the start", html! { (format_count(row.entry.bgp_state_changes)) }),
    ]
}

fn bgp_fields(row: &Row<'_>) -> Vec<NamedField> {
    let Some(bgp) = row.tunnel().bgp else { return vec![("BGP", html! { "not configured" })] };
    vec![
        ("Customer's ASN", optional(bgp.customer_asn)),
        ("Extra prefixes", optional(bgp.extra_prefixes.map(format_count))),
        ("MD5 key", html! { @if bgp.md5 { "set" } @else { "none" } }),
    ]
}

fn health_check_fields(row: &Row<'_>) -> Vec<NamedField> {
    let Some(check) = &row.tunnel().health_check else { return vec![("Health check", html! { "not stated" })] };
    vec![
        ("Enabled", yes_or_no(check.enabled)),
        ("Rate", optional(check.rate)),
        ("Direction", optional(check.direction)),
        ("Type", optional(check.check_type)),
        ("Target", check.target.address().map_or_else(not_stated, text)),
        ("Target comes from", html! { (check.target.source().as_str()) }),
    ]
}

/// What the edge measures. The times are those of the end of the time span.
fn edge_fields(now: Moment, row: &Row<'_>) -> Vec<NamedField> {
    let mut fields = vec![("State", html! { (words::edge_state(row).0) })];
    if let Some((health, window)) = row.edge_health() {
        let count = |result| health.checks.map(|checks| format_count(checks.count(result)));
        fields.extend([
            ("Checks passed", optional(health.checks.and_then(|checks| checks.pass_ratio()).map(format_percent))),
            ("Results ok", optional(count(EdgeResult::Ok))),
            ("Results timeout", optional(count(EdgeResult::Timeout))),
            ("Other results", optional(count(EdgeResult::Other))),
            ("Routing score", optional(health.routing_score.map(format_score))),
        ]);
        if !health.colos.is_empty() {
            let scores = health.colos.iter().map(|known| format!("{} {}", known.colo, format_score(known.score)));
            fields.push(("Routing score in", text(&scores.collect::<Vec<_>>().join(", "))));
        }
        fields.push(("Measured until", time_and_age(now, Some(window.to.wall))));
    }
    let Some((traffic, window)) = row.edge_traffic() else { return fields };
    let rate = |direction| optional(traffic.rate(direction).map(|rate| format_bit_rate(8.0 * rate.bytes_per_second)));
    fields.push(("Traffic to the site", rate(TrafficDirection::ToSite)));
    fields.push(("Traffic from the site", rate(TrafficDirection::FromSite)));
    fields.push(("Traffic until", time_and_age(now, Some(window.to.wall))));
    fields
}

fn not_stated() -> Markup {
    html! { span class="nothing" { "not stated" } }
}

fn text(text: &str) -> Markup {
    if text.is_empty() {
        not_stated()
    } else {
        html! { (shown(text)) }
    }
}

/// A link to all tunnels of the site.
fn site_link(site: &str) -> Markup {
    html! { a href={ (ROOT_OF_TUNNEL) (Query::of_site(None, site).link()) } { (shown(site)) } }
}

fn optional(value: Option<impl Display>) -> Markup {
    value.map_or_else(not_stated, |value| html! { (value.to_string()) })
}

fn yes_or_no(value: Option<bool>) -> Markup {
    value.map_or_else(not_stated, |on| html! { @if on { "yes" } @else { "no" } })
}

fn time_and_age(now: Moment, time: Option<Timestamp>) -> Markup {
    time.map_or_else(not_stated, |then| format::time_and_age(now, then))
}

fn stated_address<T: Display>(stated: &Stated<T>) -> Markup {
    match stated {
        Stated::Absent => not_stated(),
        Stated::Value(value) => html! { code { (value) } },
        Stated::Unparsable(text) => html! { code { (shown(text)) } " (not an address)" },
    }
}

fn speaker_address(speaker: Speaker) -> Markup {
    let Some(ip) = speaker.ip else { return not_stated() };
    html! { code { (ip) } @if let Some(port) = speaker.port { " port " (port) } }
}
