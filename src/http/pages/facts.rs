//! Every field of one tunnel, as the API gave it. What it did not state is said to be so.

use std::fmt::Display;

use jiff::Timestamp;
use maud::{Markup, html};
use web_toolkit::{clock::Moment, text::shown};

use super::{time, words};
use crate::{
    domain::{
        bgp::Speaker,
        label::Label as _,
        tunnel::{Gre, Ipsec, Kind, Stated},
    },
    snapshot::Row,
};

/// A name and what stands there.
type Fact = (&'static str, Markup);

/// One card for each group of fields.
pub(super) fn all(now: Moment, row: &Row<'_>) -> Markup {
    html! {
        (card("Tunnel", &tunnel(now, row)))
        (card("BGP session", &session(now, row)))
        (card("BGP configuration", &bgp(row)))
        (card("Cloudflare's health check", &health_check(row)))
    }
}

fn card(title: &str, facts: &[Fact]) -> Markup {
    html! {
        section class="card" {
            h2 { (title) }
            dl { @for (name, value) in facts { div { dt { (name) } dd { (value) } } } }
        }
    }
}

fn tunnel(now: Moment, row: &Row<'_>) -> Vec<Fact> {
    let tunnel = row.tunnel();
    let mut facts = vec![
        ("Name", text(&tunnel.name)),
        ("Description", text(&tunnel.description)),
        ("Site", text(row.entry.site.as_deref().unwrap_or_default())),
        ("Account", text(row.account.as_str())),
        ("Id", html! { code { (shown(tunnel.id.as_str())) } }),
        ("Type", html! { (words::tunnel_type(tunnel.tunnel_type())) }),
        ("Customer endpoint", address(&tunnel.customer_endpoint)),
        ("Cloudflare endpoint", address(&tunnel.cloudflare_endpoint)),
        ("Interface address", address(&tunnel.interface_address)),
        ("Interface address, IPv6", address(&tunnel.interface_address6)),
        ("Automatic return routing", switch(tunnel.automatic_return_routing)),
    ];
    facts.extend(kind(now, &tunnel.kind));
    facts.push(("Created", moment(now, tunnel.created_on)));
    facts.push(("Modified", moment(now, tunnel.modified_on)));
    facts
}

fn kind(now: Moment, kind: &Kind) -> Vec<Fact> {
    match *kind {
        Kind::Ipsec(Ipsec { replay_protection, allow_null_cipher, psk_generated_on, custom_identity }) => vec![
            ("Replay protection", switch(replay_protection)),
            ("Null cipher allowed", switch(allow_null_cipher)),
            ("Pre-shared key generated", moment(now, psk_generated_on)),
            ("Custom identity", switch(Some(custom_identity))),
        ],
        Kind::Gre(Gre { mtu, ttl }) => {
            vec![
                ("MTU", value(mtu.map(|mtu| format!("{mtu} bytes")))),
                ("TTL", value(ttl.map(|ttl| format!("{ttl} hops")))),
            ]
        }
    }
}

fn session(now: Moment, row: &Row<'_>) -> Vec<Fact> {
    let Some(status) = row.status() else {
        let why = if row.fresh { "Cloudflare reports none" } else { "not known: the report is stale" };
        return vec![("State", html! { (why) })];
    };
    vec![
        ("State", html! { (words::session(status.state)) }),
        ("FSM state", html! { (status.fsm) }),
        ("TCP established", switch(status.tcp_established)),
        ("Cloudflare's speaker", speaker(status.cloudflare_speaker)),
        ("Customer's speaker", speaker(status.customer_speaker)),
        ("Status updated", moment(now, status.updated_at)),
        ("Changes seen", html! { (row.entry.bgp_state_changes) }),
    ]
}

fn bgp(row: &Row<'_>) -> Vec<Fact> {
    let Some(bgp) = row.tunnel().bgp else { return vec![("BGP", html! { "not configured" })] };
    vec![
        ("Customer's ASN", value(bgp.customer_asn)),
        ("Extra prefixes", value(bgp.extra_prefixes)),
        ("MD5 key", html! { @if bgp.md5 { "set" } @else { "none" } }),
    ]
}

fn health_check(row: &Row<'_>) -> Vec<Fact> {
    let Some(check) = &row.tunnel().health_check else { return vec![("Health check", html! { "not stated" })] };
    vec![
        ("Enabled", switch(check.enabled)),
        ("Rate", value(check.rate)),
        ("Direction", value(check.direction)),
        ("Type", value(check.check_type)),
        ("Target", check.target.address().map_or_else(nothing, text)),
        ("Target comes from", html! { (check.target.source().as_str()) }),
    ]
}

fn nothing() -> Markup {
    html! { span class="nothing" { "not stated" } }
}

fn text(text: &str) -> Markup {
    if text.is_empty() {
        nothing()
    } else {
        html! { (shown(text)) }
    }
}

fn value(value: Option<impl Display>) -> Markup {
    value.map_or_else(nothing, |value| html! { (value.to_string()) })
}

fn switch(value: Option<bool>) -> Markup {
    value.map_or_else(nothing, |on| html! { @if on { "yes" } @else { "no" } })
}

fn moment(now: Moment, time: Option<Timestamp>) -> Markup {
    time.map_or_else(nothing, |then| html! { (time::at(now, then)) br; small { (time::exact(then)) } })
}

fn address<T: Display>(stated: &Stated<T>) -> Markup {
    match stated {
        Stated::Absent => nothing(),
        Stated::Value(value) => html! { code { (value) } },
        Stated::Unparsable(text) => html! { code { (shown(text)) } " is no address" },
    }
}

fn speaker(speaker: Speaker) -> Markup {
    let Some(ip) = speaker.ip else { return nothing() };
    html! { code { (ip) } @if let Some(port) = speaker.port { " port " (port) } }
}
