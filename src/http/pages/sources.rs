//! Where the data comes from: notices about failed polls and the prober, and a table of the polls.

use std::time::Duration;

use jiff::Timestamp;
use maud::{Markup, html};
use web_toolkit::text::shown;

use super::{
    format::{
        capitalised, count_noun, exact_time, format_count, format_duration, format_interval, format_ms, time_since,
    },
    prefixes::draw_prefix_notice,
    words,
};
use crate::{
    domain::{
        dataset::{Dataset, PollState, PollStatus},
        inventory::{AccountName, TunnelList},
        token::TokenReport,
        tunnel::TunnelType,
        verdict::Verdict,
    },
    snapshot::{
        Snapshot,
        rows::{Concern, Summary},
    },
};

/// Draws the problems that make the table incomplete or unreliable.
pub(super) fn draw_notices(snapshot: &Snapshot, summary: &Summary) -> Markup {
    html! {
        (hub_notice(snapshot))
        @for (account, tunnel_type, list) in snapshot.lists() { (poll_notice(snapshot, account, tunnel_type, list)) }
        @for (account, dataset, status) in snapshot.datasets() { (addition_notice(account, dataset, status.state)) }
        @for (account, known) in &snapshot.fleet().accounts { (token_notice(snapshot, account, known.token)) }
        @for account in snapshot.fleet().accounts.keys() { (draw_prefix_notice(snapshot, account)) }
        (isolation_notice(summary))
        (socket_notices(snapshot))
        (probing_notice(snapshot))
    }
}

fn draw_notice(concern: Concern, title: &str, text: &Markup) -> Markup {
    html! { div class={ "notice " (concern) } { strong { (title) } p { (text) } } }
}

/// On an agent: why there is no inventory, or why it is not renewed.
fn hub_notice(snapshot: &Snapshot) -> Markup {
    let Some(PollState::Failed(reason)) = snapshot.fleet().from_hub.map(|status| status.state) else {
        return html! {};
    };
    draw_notice(
        Concern::Broken,
        &format!("The inventory cannot be read from the hub ({reason})"),
        &html! { "The agent keeps probing the tunnels of the last inventory. The log of the agent names the hub and a fix." },
    )
}

fn poll_notice(snapshot: &Snapshot, account: &AccountName, tunnel_type: TunnelType, tunnels: &TunnelList) -> Markup {
    if tunnel_type.dataset().is_addition() && matches!(tunnels.status.state, PollState::Failed(_)) {
        return html! {};
    }
    let account = shown(account.as_str());
    let list = words::type_name(tunnel_type);
    let title = match tunnels.status.state {
        PollState::Failed(reason) => {
            format!("Account {account}: the list of {list} tunnels cannot be polled ({reason})")
        }
        PollState::Succeeded if snapshot.is_fresh(&tunnels.status) => return rejection_notice(&account, list, tunnels),
        PollState::Succeeded => format!("Account {account}: the list of {list} tunnels is stale"),
        PollState::Waiting => return html! {},
    };
    let remedy = match tunnels.status.state {
        PollState::Failed(_) if snapshot.fleet().from_hub.is_some() => "see the status page of the hub",
        PollState::Failed(reason) => tunnel_type.dataset().remedy(reason),
        PollState::Succeeded | PollState::Waiting => "the next poll is overdue",
    };
    let fresh = snapshot.is_fresh(&tunnels.status);
    let text = html! {
        (capitalised(remedy)) ". "
        @match tunnels.status.last_success {
            Some(then) => {
                "The last successful poll was " (time_since(snapshot.now, then)) "."
                @if !fresh { " Its values are stale, so they are ignored." }
            }
            None => "No poll has succeeded yet.",
        }
    };
    draw_notice(if fresh { Concern::Suspect } else { Concern::Broken }, &title, &text)
}

fn addition_notice(account: &AccountName, dataset: Dataset, state: PollState) -> Markup {
    let PollState::Failed(reason) = state else { return html! {} };
    if !dataset.is_edge() && !dataset.is_addition() {
        return html! {};
    }
    let title = format!("Account {}: {dataset} cannot be polled ({reason})", shown(account.as_str()));
    draw_notice(Concern::Suspect, &title, &html! { (capitalised(dataset.remedy(reason))) "." })
}

fn rejection_notice(account: &str, list: &str, tunnels: &TunnelList) -> Markup {
    let (number, first) = (tunnels.rejected.total(), tunnels.rejected.first());
    if number == 0 {
        return html! {};
    }
    let entries = count_noun(number, "entry", "entries");
    let are = if number == 1 { "is" } else { "are" };
    let title = format!("Account {account}: {entries} of the list of {list} tunnels {are} ignored");
    let first: Vec<String> = first.iter().map(ToString::to_string).collect();
    let which = if number > first.len() as u64 { "The first are " } else { "They are " };
    draw_notice(
        Concern::Suspect,
        &title,
        &html! { "They cannot be decoded: " (tunnels.rejected) ". " (which) (first.join(", ")) "." },
    )
}

/// Warns about a token that is not active, or that expires soon.
fn token_notice(snapshot: &Snapshot, account: &AccountName, token: Option<TokenReport>) -> Markup {
    let Some(token) = token else { return html! {} };
    let (account, now) = (shown(account.as_str()), snapshot.now.wall);
    if !token.is_active(now) {
        let title = format!("Account {account}: the API token is not active");
        return draw_notice(Concern::Broken, &title, &html! { "Create a new token, or enable or extend this one." });
    }
    let Some(left) = token.expires_soon(now) else { return html! {} };
    let title = format!("Account {account}: the API token expires in {}", format_duration(left));
    draw_notice(
        Concern::Suspect,
        &title,
        &html! { "Create a new token before that. The exporter uses it without a restart." },
    )
}

fn isolation_notice(summary: &Summary) -> Markup {
    if summary.with(Verdict::ProberIsolated) == 0 {
        return html! {};
    }
    draw_notice(
        Concern::Suspect,
        "The prober is isolated",
        &html! { (words::verdict_meaning(Verdict::ProberIsolated)) },
    )
}

fn socket_notices(snapshot: &Snapshot) -> Markup {
    let closed: Vec<_> = snapshot.board().sockets.list().into_iter().filter(|socket| !socket.up).collect();
    html! {
        @for socket in closed {
            @let title = format!("The ICMPv{} socket ({}) is closed", socket.version, socket.mode);
            (draw_notice(Concern::Suspect, &title, &html! {
                "The reason is in the log. Usually a permission is missing. One of these is sufficient: "
                code { "sysctl net.ipv4.ping_group_range=\"0 2147483647\"" } ", "
                code { "AmbientCapabilities=CAP_NET_RAW" } " in the systemd unit, or "
                code { "setcap cap_net_raw+ep" } " on the binary. The exporter retries automatically."
            }))
        }
    }
}

fn probing_notice(snapshot: &Snapshot) -> Markup {
    if snapshot.board().settings.enabled {
        return html! {};
    }
    draw_notice(
        Concern::Unsure,
        "Probing is switched off",
        &html! {
            "The verdicts only reflect the BGP status from Cloudflare, which is minutes late; tunnels without BGP have "
            "no status. Start with " code { "--probe" } " to detect within seconds which tunnels carry traffic."
        },
    )
}

/// Draws the state of the polls and of the prober.
pub(super) fn draw_sources(snapshot: &Snapshot) -> Markup {
    html! {
        section id="sources" class="sources" data-live aria-labelledby="sources-title" {
            h2 id="sources-title" { "Data sources" }
            table {
                thead { tr {
                    th scope="col" { "Account" } th scope="col" { "List" } th scope="col" { "Poll" }
                    th scope="col" { "Entries" } th scope="col" { "Last success" } th scope="col" { "Duration" }
                } }
                tbody {
                    @for (account, tunnel_type, list) in snapshot.lists() {
                        (draw_dataset(snapshot, account, words::type_name(tunnel_type), &list.status, list.entries.len()))
                    }
                    @for (account, known) in &snapshot.fleet().accounts {
                        @if let Some(token) = known.token { (draw_token(snapshot, account, token)) }
                        @if let Some(table) = known.routes() {
                            (draw_dataset(snapshot, account, "Routes", &table.status, table.routes.len()))
                        }
                        @if let Some(edge) = known.edge() {
                            (draw_dataset(snapshot, account, "Edge health", &edge.health.status, edge.health.tunnels.len()))
                            @if let Some(traffic) = &edge.traffic {
                                (draw_dataset(snapshot, account, "Edge traffic", &traffic.status, traffic.tunnels()))
                            }
                        }
                    }
                }
            }
            p { (describe_prober(snapshot)) }
            @if !snapshot.board().refused.is_empty() { p { (list_refusals(snapshot)) } }
        }
    }
}

fn draw_dataset(snapshot: &Snapshot, account: &AccountName, name: &str, status: &PollStatus, tunnels: usize) -> Markup {
    html! {
        tr {
            th scope="row" { (shown(account.as_str())) }
            td data-label="List" { (name) }
            td data-label="Poll" {
                @match status.state {
                    PollState::Waiting => (words::badge(Concern::Unsure, "Not polled yet")),
                    PollState::Succeeded => (words::badge(Concern::Fine, "Succeeded")),
                    PollState::Failed(reason) => { (words::badge(Concern::Broken, "Failed")) " " (reason) }
                }
            }
            td data-label="Entries" { @if status.last_success.is_some() { (format_count(tunnels)) } @else { "–" } }
            td data-label="Last success" {
                @if let Some(then) = status.last_success { (time_since(snapshot.now, then)) } @else { "never" }
            }
            td data-label="Duration" { (status.duration.map_or_else(|| "–".into(), format_ms)) }
        }
    }
}

/// The state and the expiry of the token of an account.
fn draw_token(snapshot: &Snapshot, account: &AccountName, token: TokenReport) -> Markup {
    let now = snapshot.now.wall;
    let (concern, word) = match (token.is_active(now), token.expires_soon(now)) {
        (false, _) => (Concern::Broken, "Not active"),
        (true, Some(_)) => (Concern::Suspect, "Expires soon"),
        (true, None) => (Concern::Fine, "Active"),
    };
    html! {
        tr {
            th scope="row" { (shown(account.as_str())) }
            td data-label="List" { "API token" }
            td data-label="State" { (words::badge(concern, word)) }
            td data-label="Expiry" colspan="3" { (describe_expiry(token, now)) }
        }
    }
}

fn describe_expiry(token: TokenReport, now: Timestamp) -> String {
    let Some(end) = token.expires_on else {
        return if token.active { "Does not expire".to_owned() } else { "–".to_owned() };
    };
    match Duration::try_from(end.duration_since(now)) {
        Ok(left) => format!("Expires in {}, at {}", format_duration(left), exact_time(end)),
        Err(_) => format!("Expired at {}", exact_time(end)),
    }
}

fn describe_prober(snapshot: &Snapshot) -> String {
    if !snapshot.board().settings.enabled {
        return "Probing is switched off.".into();
    }
    let board = snapshot.board();
    let open = board.sockets.list().into_iter().filter(|socket| socket.up);
    let sockets: Vec<String> = open.map(|socket| format!("ICMPv{} ({})", socket.version, socket.mode)).collect();
    let every = format_interval(snapshot.board().settings.session.timing.interval());
    let targets = count_noun(board.sessions.len(), "address is", "addresses are");
    let over = if sockets.is_empty() { "no open socket".into() } else { sockets.join(" and ") };
    format!("{targets} probed every {every} over {over}.")
}

/// Addresses that are configured but cannot be probed.
fn list_refusals(snapshot: &Snapshot) -> String {
    let reasons: Vec<String> =
        snapshot.board().refused.iter().map(|(reason, count)| format!("{reason} ({})", format_count(*count))).collect();
    format!("Addresses that cannot be probed: {}.", reasons.join(", "))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use web_toolkit::clock;

    use super::*;
    use crate::{
        domain::{fixtures::fleet, inventory::Fleet},
        snapshot::{Judged, Sources},
    };

    fn drawn(token: Option<TokenReport>) -> String {
        let mut fleet = Fleet::clone(&fleet([]));
        for account in fleet.accounts.values_mut() {
            Arc::make_mut(account).token = token;
        }
        let judged = Judged { fleet: fleet.into(), ..Judged::default() };
        let snapshot = Sources::fixed(judged, Duration::from_mins(5)).snapshot(clock::now());
        draw_sources(&snapshot).into_string().replace('\u{a0}', " ")
    }

    #[test]
    fn the_token_of_an_account_is_shown_with_its_expiry() {
        let now = clock::now().wall;
        let at = |hours: i64| now.checked_add(jiff::SignedDuration::from_hours(hours)).ok();
        for (active, expires_on, word, expiry) in [
            (true, None, "fine\">Active", "Does not expire"),
            (true, at(30 * 24 + 1), "fine\">Active", "Expires in 30 d, at "),
            (true, at(10 * 24 + 1), "suspect\">Expires soon", "Expires in 10 d, at "),
            (true, at(-1), "broken\">Not active", "Expired at "),
            (false, None, "broken\">Not active", "–"),
        ] {
            let page = drawn(Some(TokenReport { active, expires_on }));
            assert!(page.contains(word) && page.contains(expiry), "{active} {expires_on:?}: {page}");
        }
        assert!(!drawn(None).contains("API token"), "an API key is not verified");
    }
}
