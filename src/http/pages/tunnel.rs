//! The page of one tunnel: what is the matter, what that rests on, and every field.

use std::sync::Arc;

use maud::{Markup, html};
use web_toolkit::text::shown;

use super::{evidence, facts, probes, shell::Document, time, words};
use crate::{
    domain::{
        inventory::TunnelKey,
        label::Label as _,
        verdict::{Reported, TunnelVerdict},
    },
    http::path,
    snapshot::{Row, Snapshot, concern::Concern},
};

/// From the page of a tunnel to the front page.
const ROOT: &str = "../../../";

/// Draws the page; `None` if the inventory does not contain the tunnel.
pub(in crate::http) fn tunnel(snapshot: &Snapshot, key: &TunnelKey) -> Option<Document> {
    let row = snapshot.row(key)?;
    let concern = Concern::of(row.verdict());
    let name = shown(&row.tunnel().name);
    let body = html! {
        nav class="crumbs" aria-label="Way back" { a href=(ROOT) { "← All tunnels" } }
        div id="tunnel" data-live {
            section class={ "headline " (concern) } {
                p class="about" { (about(&row)) }
                h1 { (name) " " (evidence::verdict(row.verdict())) }
                (why(snapshot, &row))
            }
            @if !row.fresh { (stale(snapshot, &row)) }
            @if let Some(verdict) = row.verdict { (rests_on(verdict)) }
            (probes::probes(snapshot, &row))
            div class="cards" { (facts::all(snapshot.now, &row)) }
            p class="as-json" { a href={ (ROOT) "api/v1/tunnels/" (path::of(&row)) } { "This tunnel as JSON" } }
        }
    };
    let title = format!("{name}: {}", words::verdict(row.verdict()));
    Some(Document { title, concern, root: ROOT, body })
}

fn about(row: &Row<'_>) -> String {
    let tunnel = row.tunnel();
    let description = shown(&tunnel.description);
    let parts = [words::tunnel_type(tunnel.tunnel_type()), &shown(row.account.as_str())].map(str::to_owned);
    let description = (!description.is_empty()).then(|| description.into_owned());
    let site = row.entry.site.as_deref().map(|site| shown(site).into_owned());
    let parts: Vec<String> = parts.into_iter().chain(site).chain(description).collect();
    evidence::separated(parts.iter().map(String::as_str))
}

fn why(snapshot: &Snapshot, row: &Row<'_>) -> Markup {
    let Some(TunnelVerdict { verdict, why, changed, changes, .. }) = row.verdict.map(Arc::as_ref) else {
        return html! { p class="detail" { "It has not been judged yet." } };
    };
    html! {
        p class="detail" { (why) "." }
        p { (words::meaning(*verdict)) }
        p class="since" {
            "Since " (time::since(snapshot.now, *changed)) ", "
            (evidence::count(usize::try_from(*changes).unwrap_or(usize::MAX), "change", "changes")) " of the verdict so far."
            @if let Some(heading) = words::runbook(*verdict) {
                " What to do: runbook " a href={ (ROOT) "runbooks#" (heading.to_lowercase()) } { (heading) } "."
            }
        }
    }
}

fn stale(snapshot: &Snapshot, row: &Row<'_>) -> Markup {
    html! {
        div class="notice suspect" {
            strong { "What Cloudflare said of this tunnel is stale" }
            p {
                @match row.confirmed {
                    Some(then) => { "It was confirmed last " (time::since(snapshot.now, then)) "." }
                    None => "It was never confirmed.",
                }
                " The session is not shown, and the configuration below may have changed since."
            }
        }
    }
}

/// The three views that are never merged into one.
fn rests_on(verdict: &TunnelVerdict) -> Markup {
    let evidence = verdict.evidence;
    let (reported, concern) = match evidence.reported {
        Reported::Up => ("Session up", Concern::Fine),
        Reported::Down => ("Session down", Concern::Broken),
        Reported::None => ("Nothing", Concern::Unsure),
    };
    let views = [
        ("Cloudflare reports", (reported, concern), "its side of the BGP session"),
        ("Inside the tunnel", words::side(evidence.inside), "does it carry traffic?"),
        ("Outside the tunnel", words::side(evidence.outside), "is the underlay there?"),
    ];
    html! {
        ul class="views" aria-label="What the verdict rests on" {
            @for (name, (word, concern), question) in views {
                li class=(concern.as_str()) { span { (name) } b { (word) } small { (question) } }
            }
        }
    }
}
