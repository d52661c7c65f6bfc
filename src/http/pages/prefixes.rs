//! The page of prefixes, the most endangered first; the routes on the page of a tunnel; the notice on the front page.

use form_urlencoded::Serializer;
use maud::{Markup, html};
use web_toolkit::text::shown;

use super::{
    document::{Document, ROOT_OF_TUNNEL},
    format::{count_noun, format_count},
    words,
};
use crate::{
    domain::{
        inventory::AccountName,
        label::Label as _,
        routes::{
            Route,
            prefixes::{HopState, PrefixState},
        },
    },
    http::address::tunnel_path_of,
    snapshot::{Row, Snapshot, prefixes::PrefixRow, rows::Concern},
};

/// Maximum number of prefixes on the page, and of routes on the page of a tunnel.
const MOST: usize = 500;

/// States, the most severe first.
const BY_SEVERITY: [PrefixState; 4] = [PrefixState::Lost, PrefixState::AtRisk, PrefixState::Unknown, PrefixState::Ok];

const fn concern(state: PrefixState) -> Concern {
    match state {
        PrefixState::Lost => Concern::Broken,
        PrefixState::AtRisk => Concern::Suspect,
        PrefixState::Unknown => Concern::Unsure,
        PrefixState::Ok => Concern::Fine,
    }
}

const fn name(state: PrefixState) -> &'static str {
    match state {
        PrefixState::Lost => "Lost",
        PrefixState::AtRisk => "At risk",
        PrefixState::Unknown => "Unknown",
        PrefixState::Ok => "OK",
    }
}

/// Draws the page of all prefixes, or of those of one account or in one state.
pub(in crate::http) fn draw_prefixes(
    snapshot: &Snapshot,
    account: Option<&str>,
    state: Option<PrefixState>,
) -> Document {
    let rows: Vec<PrefixRow<'_>> = snapshot.prefixes();
    let rows: Vec<_> =
        rows.into_iter().filter(|row| account.is_none_or(|account| account == row.account.as_str())).collect();
    let worst = rows.first().map_or(Concern::Unsure, |row| concern(row.state()));
    let (title, detail) = describe(snapshot, &rows);
    let chosen: Vec<_> = rows.iter().filter(|row| state.is_none_or(|state| state == row.state())).collect();
    let body = html! {
        nav class="crumbs" aria-label="Breadcrumb" { a href="./" { "← All tunnels" } }
        section id="headline" class={ "headline " (worst) } data-live {
            h1 class=(worst) { (title) }
            p class="detail" { (detail) }
            @if !rows.is_empty() { (draw_tiles(&rows, account, state)) }
        }
        @if !chosen.is_empty() {
            section id="prefixes" class="sources" data-live aria-label="Prefixes" { (draw_table(snapshot, &chosen)) }
        }
        p class="as-json" { a href="api/v1/prefixes" { "All prefixes as JSON" } }
    };
    Document { title, concern: worst, root: "./", body }
}

/// The headline, and what it leaves out.
fn describe(snapshot: &Snapshot, rows: &[PrefixRow<'_>]) -> (String, &'static str) {
    const LIMITS: &str = "Only static routes are known: the API does not list those that are learned over BGP.";
    let polled = snapshot.fleet().accounts.values().any(|known| known.routes().is_some());
    if rows.is_empty() {
        let title = if polled { "There are no prefixes" } else { "The routes are not polled" };
        return (title.into(), LIMITS);
    }
    let count = |state| rows.iter().filter(|row| row.state() == state).count();
    let (lost, at_risk) = (count(PrefixState::Lost), count(PrefixState::AtRisk));
    let all = count_noun(rows.len(), "prefix", "prefixes");
    let title = match (lost, at_risk) {
        (0, 0) => format!("No prefix of {all} is lost or at risk"),
        (0, _) => format!("{} of {all} at risk", format_count(at_risk)),
        (_, 0) => format!("{} of {all} lost", format_count(lost)),
        _ => format!("{} of {all} lost, {} at risk", format_count(lost), format_count(at_risk)),
    };
    (title, LIMITS)
}

/// One link per state that occurs.
fn draw_tiles(rows: &[PrefixRow<'_>], account: Option<&str>, chosen: Option<PrefixState>) -> Markup {
    let tile = |text: &str, class: &str, number: usize, state: Option<PrefixState>| {
        html! {
            li {
                @let current = (state == chosen).then_some("true");
                a class={ "tile " (class) } href=(link(account, state)) aria-current=[current] {
                    b { (format_count(number)) } span { (text) }
                }
            }
        }
    };
    let count = |state| rows.iter().filter(|row| row.state() == state).count();
    html! {
        ul class="tiles" aria-label="Prefixes by state" {
            (tile("All", "all", rows.len(), None))
            @for (state, number) in BY_SEVERITY.map(|state| (state, count(state))) {
                @if number > 0 { (tile(name(state), concern(state).as_str(), number, Some(state))) }
            }
        }
    }
}

fn link(account: Option<&str>, state: Option<PrefixState>) -> String {
    let mut query = Serializer::new(String::new());
    query.extend_pairs(account.map(|account| ("account", account)));
    query.extend_pairs(state.map(|state| ("state", state.as_str())));
    let query = query.finish();
    if query.is_empty() { "prefixes".to_owned() } else { format!("prefixes?{query}") }
}

fn draw_table(snapshot: &Snapshot, rows: &[&PrefixRow<'_>]) -> Markup {
    let several = snapshot.fleet().accounts.len() > 1;
    html! {
        table {
            thead { tr {
                th scope="col" { "Prefix" } th scope="col" { "State" } th scope="col" { "Tunnels" }
                th scope="col" { "Routes, the first priority first" }
            } }
            tbody {
                @for row in rows.iter().take(MOST) {
                    tr {
                        th scope="row" {
                            (row.prefix)
                            @if let Some(scope) = row.scope { " " small { "only " (shown(&scope.to_string())) } }
                            @if several { " " small { (shown(row.account.as_str())) } }
                        }
                        td data-label="State" { (words::badge(concern(row.state()), name(row.state()))) }
                        td data-label="Tunnels" { (count_tunnels(row)) }
                        td data-label="Routes" { (draw_routes(snapshot, row)) }
                    }
                }
            }
        }
        @if rows.len() > MOST {
            p class="more" { (format_count(rows.len() - MOST)) " more, none of which is worse." }
        }
    }
}

/// `1 working, 1 broken`.
fn count_tunnels(row: &PrefixRow<'_>) -> String {
    let counts = HopState::ALL.iter().map(|&state| (state, row.hops.count(state))).filter(|(_, count)| *count > 0);
    counts.map(|(state, count)| format!("{} {state}", format_count(count))).collect::<Vec<_>>().join(", ")
}

fn draw_routes(snapshot: &Snapshot, row: &PrefixRow<'_>) -> Markup {
    html! {
        ul {
            @for (position, route) in row.routes().take(MOST) {
                li {
                    @let tunnels: Vec<_> = snapshot.tunnels_of_route(row, position).collect();
                    @for entry in &tunnels {
                        @let path = tunnel_path_of(row.account, &entry.tunnel);
                        a href={ "tunnels/" (path) } { (shown(&entry.tunnel.name)) }
                        " " (words::verdict_badge(snapshot.verdict_of(row.account, &entry.tunnel))) " "
                    }
                    @if tunnels.is_empty() { "no tunnel has the next hop " (shown(&route.next_hop.to_string())) " " }
                    small { (describe_route(route)) }
                }
            }
        }
    }
}

fn describe_route(route: &Route) -> String {
    let priority = route.priority.map(|priority| format!("priority {priority}"));
    let weight = route.weight.map(|weight| format!("weight {weight}"));
    let description = Some(shown(&route.description).into_owned()).filter(|text| !text.is_empty());
    let parts: Vec<String> = [priority, weight, description].into_iter().flatten().collect();
    parts.join(" · ")
}

/// Draws the routes to a tunnel; nothing if they are not polled or stale.
pub(super) fn draw_tunnel_routes(row: &Row<'_>) -> Markup {
    let Some(routes) = row.routes else { return html! {} };
    let count = usize::try_from(routes.count()).unwrap_or(usize::MAX);
    html! {
        section id="routes" class="probes" aria-labelledby="routes-title" {
            h2 id="routes-title" { "Static routes" }
            @if count == 0 {
                p { "No static route leads to this tunnel. Routes that are learned over BGP are not known." }
            }
            ul {
                @for route in routes.iter().take(MOST) {
                    li {
                        code { (route.prefix) } " "
                        small {
                            (describe_route(route))
                            @if let Some(scope) = &route.scope { " · only " (shown(&scope.to_string())) }
                        }
                    }
                }
            }
            @if count > MOST { p class="more" { (format_count(count - MOST)) " more" } }
            p class="more" {
                a href={ (ROOT_OF_TUNNEL) (link(Some(row.account.as_str()), None)) } { "All prefixes of the account" }
            }
        }
    }
}

/// Draws a notice if prefixes of an account are lost or at risk.
pub(super) fn draw_prefix_notice(snapshot: &Snapshot, account: &AccountName) -> Markup {
    let Some(report) = snapshot.prefix_report(account) else { return html! {} };
    let states = [(PrefixState::Lost, "lost"), (PrefixState::AtRisk, "at risk")];
    html! {
        @for (state, word) in states {
            @let count = report.count(state);
            @if count > 0 {
                div class={ "notice " (concern(state)) } {
                    @let prefixes = count_noun(count, "prefix", "prefixes");
                    strong { "Account " (shown(account.as_str())) ": " (prefixes) " " (word) }
                    p { a href=(link(Some(account.as_str()), Some(state))) { "Show them with their tunnels" } }
                }
            }
        }
    }
}
