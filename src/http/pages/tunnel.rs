//! The page of one tunnel: verdict, evidence, probe results and every field.

use std::{net::IpAddr, sync::Arc};

use maud::{Markup, html};
use web_toolkit::text::shown;

use super::{
    document::{Document, ROOT_OF_TUNNEL},
    fields::draw_fields,
    findings::draw_findings,
    format::{count_noun, format_bytes, format_count, format_ms, format_percent, time_at, time_since},
    graph::draw_wide_graph,
    history::draw_history,
    prefixes::draw_tunnel_routes,
    words,
};
use crate::{
    domain::{
        inventory::TunnelKey,
        label::Label as _,
        probe::{ProbeFailure, Vantage},
        verdict::{Reported, TunnelVerdict},
    },
    http::{address::tunnel_path, silence::AlertmanagerUrl},
    prober::{
        mtu::{MtuReading, PathMtu},
        tally::{Tally, TallyReading},
    },
    snapshot::{Row, Snapshot, rows::Concern},
};

/// Draws the page; `None` if the inventory does not contain the tunnel.
pub(in crate::http) fn draw_tunnel(
    snapshot: &Snapshot,
    key: &TunnelKey,
    alertmanager: Option<&AlertmanagerUrl>,
) -> Option<Document> {
    let row = snapshot.row(key)?;
    let concern = Concern::of(row.verdict());
    let name = shown(&row.tunnel().name);
    let body = html! {
        nav class="crumbs" aria-label="Breadcrumb" { a href=(ROOT_OF_TUNNEL) { "← All tunnels" } }
        div id="tunnel" data-live {
            section class={ "headline " (concern) } {
                p class="about" { (words::describe_tunnel(&row, true)) }
                h1 { (name) " " (words::verdict_badge(row.verdict())) }
                (draw_reason(snapshot, &row))
                @if let Some(url) = alertmanager { (draw_silences(url, &row)) }
            }
            (draw_sections(&row))
            @if !row.fresh { (stale_notice(snapshot, &row)) }
            @if let Some(verdict) = row.verdict { (draw_views(&row, verdict)) }
            (draw_probes(snapshot, &row))
            (draw_history(snapshot, &row))
            (draw_findings(snapshot.now.wall, &row))
            (draw_tunnel_routes(&row))
            div id="fields" class="cards" { (draw_fields(snapshot.now, &row)) }
            p class="as-json" {
                a href={ (ROOT_OF_TUNNEL) "api/v1/tunnels/" (tunnel_path(&row)) } { "This tunnel as JSON" }
            }
        }
    };
    let title = format!("{name}: {}", words::verdict_name(row.verdict()));
    Some(Document { title, concern, root: ROOT_OF_TUNNEL, body })
}

fn draw_reason(snapshot: &Snapshot, row: &Row<'_>) -> Markup {
    let Some(TunnelVerdict { verdict, why, changed, changes, .. }) = row.verdict.map(Arc::as_ref) else {
        return html! { p class="detail" { "There is no verdict yet." } };
    };
    html! {
        p class="detail" { (why) "." }
        p { (words::verdict_meaning(*verdict)) }
        p class="since" {
            "Since " (time_since(snapshot.now, *changed)) ", "
            (count_noun(*changes, "change", "changes"))
            " of the verdict since the start."
            @if let Some(heading) = words::runbook_heading(*verdict) {
                " Runbook: " a href={ (ROOT_OF_TUNNEL) "runbooks#" (heading.to_lowercase()) } { (heading) } "."
            }
        }
    }
}

/// Links to the parts of the page.
fn draw_sections(row: &Row<'_>) -> Markup {
    html! {
        nav class="sections" aria-label="On this page" {
            a href="#probes-title" { "Probe results" }
            @if row.verdict.is_some() { a href="#history" { "Changes of the verdict" } }
            @if row.routes.is_some() { a href="#routes" { "Static routes" } }
            a href="#fields" { "Configuration" }
        }
    }
}

/// Links to the form for a silence of the tunnel, and of its site.
fn draw_silences(url: &AlertmanagerUrl, row: &Row<'_>) -> Markup {
    let account = ("account", row.account.as_str());
    let of_tunnel = url.new_silence(&[account, ("tunnel_name", &row.tunnel().name)]);
    let of_site = row.site().map(|site| url.new_silence(&[account, ("site", site)]));
    html! {
        p class="silences" {
            "Before maintenance: " a href=(of_tunnel) rel="noreferrer" { "silence this tunnel" }
            @if let Some(link) = of_site { " or " a href=(link) rel="noreferrer" { "silence its site" } }
            "."
        }
    }
}

fn stale_notice(snapshot: &Snapshot, row: &Row<'_>) -> Markup {
    html! {
        div class="notice suspect" {
            strong { "The report of Cloudflare is stale" }
            p {
                @match row.confirmed {
                    Some(then) => { "The last successful poll was " (time_since(snapshot.now, then)) "." }
                    None => "No poll has succeeded yet.",
                }
                " The BGP session is not shown, and the configuration below may be outdated."
            }
        }
    }
}

/// The views that the verdict is derived from. That of the edge is shown only if the edge is polled.
fn draw_views(row: &Row<'_>, verdict: &TunnelVerdict) -> Markup {
    let evidence = verdict.evidence;
    let (reported, concern) = match evidence.reported {
        Reported::Up => ("Session up", Concern::Fine),
        Reported::Down => ("Session down", Concern::Broken),
        Reported::None => ("Nothing", Concern::Unsure),
    };
    let edge = row.edge.is_some().then(|| ("Cloudflare's edge", words::edge_state(row), "its own health checks"));
    let views = [
        ("Cloudflare reports", (reported, concern), "its side of the BGP session"),
        ("Inside the tunnel", words::side_name(evidence.inside), "does it carry traffic?"),
        ("Outside the tunnel", words::side_name(evidence.outside), "does the underlay work?"),
    ];
    let views = views.into_iter().chain(edge);
    html! {
        ul class="views" aria-label="Evidence for the verdict" {
            @for (name, (word, concern), question) in views {
                li class=(concern.as_str()) { span { (name) } b { (word) } small { (question) } }
            }
        }
    }
}

/// Draws the probe results of every address.
fn draw_probes(snapshot: &Snapshot, row: &Row<'_>) -> Markup {
    html! {
        section class="probes" aria-labelledby="probes-title" {
            h2 id="probes-title" { "Probe results" }
            @match row.probes {
                Some(probes) if !probes.targets.is_empty() => {
                    p class="note" { (describe_vantage(probes.vantage)) }
                    @for target in &probes.targets {
                        @let name = words::target_name(target.target);
                        (draw_target(snapshot, name, target.address, &target.tally, target.mtu()))
                    }
                    @for uplink in probes.uplinks.iter() {
                        (draw_target(snapshot, "Uplink", uplink.address, &uplink.tally, None))
                    }
                }
                Some(_) => p { "None of the addresses of this tunnel can be probed." },
                None if snapshot.board().settings.enabled => p { "Probing is switched off for this tunnel." },
                None => p {
                    "Probing is switched off. Start with " code { "--probe" } " to detect whether it carries traffic."
                },
            }
        }
    }
}

const fn describe_vantage(vantage: Vantage) -> &'static str {
    match vantage {
        Vantage::Site => {
            "The prober is behind the router of the tunnel (vantage site): replies of an interface address come \
             through this tunnel."
        }
        Vantage::Remote => {
            "The prober is elsewhere (vantage remote): replies of an interface peer come through this tunnel."
        }
    }
}

fn draw_target(snapshot: &Snapshot, name: &str, address: IpAddr, tally: &Tally, mtu: Option<MtuReading>) -> Markup {
    let reading = tally.read();
    let history = tally.history();
    let recent = history.total();
    html! {
        article class="target" {
            header {
                h3 { (name) " " code { (address) } }
                (words::standing_badge(reading.state, snapshot.board().settings.silence))
            }
            (draw_wide_graph(&history))
            dl class="figures" {
                div { dt { "RTT, 10 min" } dd { (recent.rtt().map_or_else(|| "–".into(), format_ms)) } }
                div { dt { "Loss, 10 min" } dd { (recent.loss().map_or_else(|| "–".into(), format_percent)) } }
                div { dt { "Requests" } dd { (format_count(reading.requests)) } }
                div { dt { "Replies" } dd { (format_count(reading.replies)) } }
                div { dt { "In flight" } dd { (format_count(reading.in_flight)) } }
                div { dt { "Last reply" } dd {
                    @match reading.last_reply { Some(then) => (time_at(snapshot.now, then)), None => "never" }
                } }
                @if let Some(mtu) = mtu { div class="wide" { dt { "Path MTU" } dd { (describe_mtu(mtu)) } } }
                div class="wide" { dt { "Failures" } dd { (list_failures(&reading)) } }
            }
        }
    }
}

/// Sizes of IP packets, mainly from the site to Cloudflare.
fn describe_mtu(MtuReading { expected, path, .. }: MtuReading) -> String {
    let wanted = format_bytes(expected);
    match path {
        PathMtu { size: None, .. } => format!("not measured yet; {wanted} expected"),
        PathMtu { size: Some(size), .. } if size >= expected => format!("{}, as expected", format_bytes(size)),
        PathMtu { size: Some(size), black_hole: Some(true) } => {
            format!("{} of {wanted}; larger packets are lost without an ICMP error", format_count(size))
        }
        PathMtu { size: Some(size), .. } => format!("{} of {wanted}", format_count(size)),
    }
}

fn list_failures(reading: &TallyReading) -> String {
    let counts =
        ProbeFailure::ALL.iter().map(|&reason| (reason, reading.failures(reason))).filter(|(_, count)| *count > 0);
    let counts: Vec<String> = counts.map(|(reason, count)| format!("{reason} {}", format_count(count))).collect();
    if counts.is_empty() { "none".into() } else { counts.join(", ") }
}
