//! Every field of one tunnel as the API states it. Omitted fields are shown as `not stated`.

use std::fmt::Display;

use jiff::Timestamp;
use maud::{Markup, html};
use web_toolkit::{clock::Moment, text::shown};

use super::{
    document::ROOT_OF_TUNNEL,
    format::{exact_time, time_at},
    words,
};
use crate::{
    domain::{
        label::Label as _,
        tunnel::{GreDetails, IpsecDetails, Speaker, Stated, TunnelDetails},
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
    match *kind {
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
                ("MTU", optional(mtu.map(|mtu| format!("{mtu} bytes")))),
                ("TTL", optional(ttl.map(|ttl| format!("{ttl} hops")))),
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
        ("Changes since the start", html! { (row.entry.bgp_state_changes) }),
    ]
}

fn bgp_fields(row: &Row<'_>) -> Vec<NamedField> {
    let Some(bgp) = row.tunnel().bgp else { return vec![("BGP", html! { "not configured" })] };
    vec![
        ("Customer's ASN", optional(bgp.customer_asn)),
        ("Extra prefixes", optional(bgp.extra_prefixes)),
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
    time.map_or_else(not_stated, |then| html! { (time_at(now, then)) br; small { (exact_time(then)) } })
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
