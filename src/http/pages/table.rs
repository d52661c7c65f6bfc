//! The table of tunnels, one page at a time.

use std::ops::Range;

use maud::{Markup, html};
use web_toolkit::text::shown;

use super::{
    format::{count_noun, format_count, format_ms, format_percent, join_with_dots, time_since},
    graph::draw_spark,
    sites::describe_group,
    words,
};
use crate::{
    domain::{label::Label, tunnel::HealthCheck},
    http::address::{Query, tunnel_path},
    snapshot::{Row, Snapshot, rows::Order},
};

/// Tunnels per page.
const ROWS: usize = 100;

/// Draws the page that the query asks for, or the last one if there are fewer pages.
pub(super) fn draw_table(snapshot: &Snapshot, query: &Query) -> Markup {
    let mut rows: Vec<Row<'_>> = snapshot.matching(&query.filter).collect();
    query.order.sort(&mut rows);
    if rows.is_empty() {
        return html! { p class="empty" { "No tunnel matches this filter. " a href="./" { "Show all tunnels" } } };
    }
    let pages = rows.len().div_ceil(ROWS);
    let page = query.page.min(pages);
    let first = (page - 1) * ROWS;
    let page_rows = first..rows.len().min(first + ROWS);
    html! {
        table class="tunnels" {
            caption {
                (format_count(first + 1)) "–" (format_count(page_rows.end)) " of "
                (count_noun(rows.len(), "tunnel", "tunnels"))
            }
            (draw_head(query))
            (draw_bodies(snapshot, query, &rows, page_rows.clone()))
        }
        (draw_pager(query, page, pages))
    }
}

/// One part of the table for each site if it is sorted by site, otherwise one part.
fn draw_bodies(snapshot: &Snapshot, query: &Query, rows: &[Row<'_>], page: Range<usize>) -> Markup {
    let draw_rows = |rows: &[Row<'_>]| html! { @for row in rows { (draw_row(snapshot, row)) } };
    if query.order != Order::Site {
        return html! { tbody { (draw_rows(&rows[page])) } };
    }
    html! {
        @for (site, on_page) in groups_on_page(rows, Row::site, &page) {
            tbody {
                tr class="group" { th colspan="9" scope="rowgroup" { (describe_group(site)) } }
                (draw_rows(on_page))
            }
        }
    }
}

/// The groups of neighbours with the same key, each whole and with its part on the page.
fn groups_on_page<'r, T, K: PartialEq>(
    rows: &'r [T],
    key: impl Fn(&T) -> K,
    page: &Range<usize>,
) -> Vec<(&'r [T], &'r [T])> {
    let mut end = 0;
    let groups = rows.chunk_by(|one, next| key(one) == key(next)).map(|group| {
        let start = end;
        end += group.len();
        (group, rows.get(page.start.max(start)..page.end.min(end)).unwrap_or_default())
    });
    groups.filter(|(_, on_page)| !on_page.is_empty()).collect()
}

fn draw_head(query: &Query) -> Markup {
    html! {
        thead { tr {
            (draw_column_head(query, Order::Trouble, "Verdict", "ascending"))
            (draw_column_head(query, Order::Name, "Tunnel", "ascending"))
            th scope="col" { "BGP session" }
            (draw_column_head(query, Order::Since, "Since", "descending"))
            (draw_column_head(query, Order::Rtt, "RTT", "descending"))
            (draw_column_head(query, Order::Loss, "Loss", "descending"))
            th scope="col" { "Last 10 min" }
            th scope="col" { "Health check" }
            th scope="col" { "Reported" }
        } }
    }
}

fn draw_column_head(query: &Query, order: Order, name: &str, direction: &str) -> Markup {
    let sorted = query.order == order;
    html! {
        th scope="col" aria-sort=[sorted.then_some(direction)] {
            a href=(query.with_order(order).link()) { (name) }
        }
    }
}

fn draw_row(snapshot: &Snapshot, row: &Row<'_>) -> Markup {
    let tunnel = row.tunnel();
    let recent = row.recent();
    let now = snapshot.now;
    html! {
        tr {
            td class="verdict" {
                (words::verdict_badge(row.verdict()))
                small { (words::failed_layer(row.verdict()).unwrap_or_default()) }
            }
            th class="name" scope="row" {
                a href={ "tunnels/" (tunnel_path(row)) } { (shown(&tunnel.name)) }
                small { (words::describe_tunnel(row, snapshot.fleet().accounts.len() > 1)) }
            }
            td class="session" data-label="BGP" { (words::session_state(row)) }
            td class="since" data-label="Since" {
                @if let Some(verdict) = row.verdict {
                    a href={ "tunnels/" (tunnel_path(row)) "#history" } { (time_since(now, verdict.changed)) }
                } @else { "–" }
            }
            td class="number" data-label="RTT" { (recent.rtt().map_or_else(|| "–".into(), format_ms)) }
            td class="number" data-label="Loss" { (recent.loss().map_or_else(|| "–".into(), format_percent)) }
            td class="graph" data-label="Last 10 min" {
                @if let Some(target) = row.main_target() { (draw_spark(&target.tally.history())) }
            }
            td class="check" data-label="Health check" { (draw_check(row)) }
            td class="age" data-label="Reported" { (draw_age(snapshot, row)) }
        }
    }
}

/// Cloudflare's health check of the tunnel, unless the report is stale.
fn draw_check(row: &Row<'_>) -> Markup {
    match row.tunnel().health_check.as_ref().filter(|_| row.fresh) {
        None => html! { "–" },
        Some(HealthCheck { enabled: Some(false), .. }) => html! { span class="state suspect" { "Off" } },
        Some(check) => {
            let rate = check.rate.map(Label::as_str);
            let direction = check.direction.map(Label::as_str);
            let on = if check.enabled == Some(true) { "On" } else { "Not stated" };
            html! { span class="state" { (on) } small { (join_with_dots(rate.into_iter().chain(direction))) } }
        }
    }
}

fn draw_age(snapshot: &Snapshot, row: &Row<'_>) -> Markup {
    let Some(then) = row.confirmed else { return html! { "never" } };
    html! {
        @if !row.fresh { span class="badge unsure" { "Stale" } " " }
        (time_since(snapshot.now, then))
    }
}

fn draw_pager(query: &Query, page: usize, pages: usize) -> Markup {
    if pages == 1 {
        return html! {};
    }
    html! {
        nav class="pager" aria-label="Pages" {
            @if page > 1 { a rel="prev" href=(query.with_page(page - 1).link()) { "← Previous" } }
            span { "Page " (format_count(page)) " of " (format_count(pages)) }
            @if page < pages { a rel="next" href=(query.with_page(page + 1).link()) { "Next →" } }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_that_continues_on_the_next_page_is_counted_as_a_whole() {
        let rows = ["ams", "ams", "fra", "fra", "fra", "lon"];
        let groups = |page| {
            let groups = groups_on_page(&rows, |site| *site, &page).into_iter();
            groups.map(|(group, on_page)| (group[0], group.len(), on_page.len())).collect::<Vec<_>>()
        };
        assert_eq!(groups(0..3), [("ams", 2, 2), ("fra", 3, 1)]);
        assert_eq!(groups(3..6), [("fra", 3, 2), ("lon", 1, 1)]);
        assert_eq!(groups(0..0), []);
    }
}
