//! The tunnels of one page of the list.

use maud::{Markup, html};
use web_toolkit::text::shown;

use super::{
    evidence::{self, separated, thousands},
    graph::graph,
    time::{self, milliseconds, percent},
    words,
};
use crate::{
    domain::{health_check::HealthCheck, label::Label},
    http::{path, query::Query},
    snapshot::{Row, Snapshot, filter::Order},
};

/// Tunnels on one page.
pub(super) const ROWS: usize = 100;

/// The part of the list that the query asks for; a page beyond the last is the last.
pub(super) fn table(snapshot: &Snapshot, query: &Query) -> Markup {
    let mut rows: Vec<Row<'_>> = snapshot.matching(&query.filter).collect();
    query.order.sort(&mut rows);
    if rows.is_empty() {
        return html! { p class="empty" { "No tunnel fits this filter. " a href="./" { "Show all tunnels" } } };
    }
    let pages = rows.len().div_ceil(ROWS);
    let page = query.page.min(pages);
    let first = (page - 1) * ROWS;
    let shown = &rows[first..rows.len().min(first + ROWS)];
    html! {
        table class="tunnels" {
            caption {
                (thousands(first + 1)) "–" (thousands(first + shown.len())) " of " (evidence::count(rows.len(), "tunnel", "tunnels"))
            }
            (head(query))
            tbody { @for row in shown { (line(snapshot, row)) } }
        }
        (pager(query, page, pages))
    }
}

fn head(query: &Query) -> Markup {
    html! {
        thead { tr {
            (column(query, Order::Trouble, "Verdict", "ascending"))
            (column(query, Order::Name, "Tunnel", "ascending"))
            th scope="col" { "BGP session" }
            (column(query, Order::Since, "Since", "descending"))
            (column(query, Order::Rtt, "RTT", "descending"))
            (column(query, Order::Loss, "Loss", "descending"))
            th scope="col" { "Last 10 min" }
            th scope="col" { "Health check" }
            th scope="col" { "Reported" }
        } }
    }
}

fn column(query: &Query, order: Order, name: &str, direction: &str) -> Markup {
    let sorted = query.order == order;
    html! {
        th scope="col" aria-sort=[sorted.then_some(direction)] {
            a href=(query.with_order(order).link()) { (name) }
        }
    }
}

fn line(snapshot: &Snapshot, row: &Row<'_>) -> Markup {
    let tunnel = row.tunnel();
    let recent = row.recent();
    let now = snapshot.now;
    html! {
        tr {
            td class="verdict" { (evidence::verdict(row.verdict())) small { (words::culprit(row.verdict()).unwrap_or_default()) } }
            th class="name" scope="row" {
                a href={ "tunnels/" (path::of(row)) } { (shown(&tunnel.name)) }
                small { (about(snapshot, row)) }
            }
            td class="session" data-label="BGP" { (evidence::session(row)) }
            td class="since" data-label="Since" {
                @if let Some(verdict) = row.verdict { (time::since(now, verdict.changed)) } @else { "–" }
            }
            td class="number" data-label="RTT" { (recent.rtt().map_or_else(|| "–".into(), milliseconds)) }
            td class="number" data-label="Loss" { (recent.loss().map_or_else(|| "–".into(), percent)) }
            td class="graph" { @if let Some(target) = row.main_target() { (graph(&target.tally.history(), "spark")) } }
            td class="check" data-label="Health check" { (check(row)) }
            td class="age" data-label="Reported" { (age(snapshot, row)) }
        }
    }
}

fn about(snapshot: &Snapshot, row: &Row<'_>) -> String {
    let tunnel = row.tunnel();
    let (account, description) = (shown(row.account.as_str()), shown(&tunnel.description));
    let account = (snapshot.fleet().accounts.len() > 1).then_some(&*account);
    let site = row.entry.site.as_deref().map(shown);
    let description = (!description.is_empty()).then_some(&*description);
    let parts = [words::tunnel_type(tunnel.tunnel_type())].into_iter().chain(account).chain(site.as_deref());
    separated(parts.chain(description))
}

/// How Cloudflare's edge checks the tunnel; what is stale is left out.
fn check(row: &Row<'_>) -> Markup {
    match row.tunnel().health_check.as_ref().filter(|_| row.fresh) {
        None => html! { "–" },
        Some(HealthCheck { enabled: Some(false), .. }) => html! { span class="state suspect" { "Off" } },
        Some(check) => {
            let rate = check.rate.map(Label::as_str);
            let direction = check.direction.map(Label::as_str);
            let on = if check.enabled == Some(true) { "On" } else { "Not stated" };
            html! { span class="state" { (on) } small { (separated(rate.into_iter().chain(direction))) } }
        }
    }
}

fn age(snapshot: &Snapshot, row: &Row<'_>) -> Markup {
    let Some(then) = row.confirmed else { return html! { "never" } };
    html! {
        @if !row.fresh { span class="badge unsure" { "Stale" } " " }
        (time::since(snapshot.now, then))
    }
}

fn pager(query: &Query, page: usize, pages: usize) -> Markup {
    if pages == 1 {
        return html! {};
    }
    html! {
        nav class="pager" aria-label="Pages" {
            @if page > 1 { a rel="prev" href=(query.with_page(page - 1).link()) { "← Previous" } }
            span { "Page " (thousands(page)) " of " (thousands(pages)) }
            @if page < pages { a rel="next" href=(query.with_page(page + 1).link()) { "Next →" } }
        }
    }
}
