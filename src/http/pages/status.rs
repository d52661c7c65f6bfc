//! Where what is shown comes from: the polls, and the prober.

use maud::{Markup, html};
use web_toolkit::text::shown;

use super::{
    evidence::{badge, count},
    time, words,
};
use crate::{
    domain::{
        dataset::PollState,
        inventory::{AccountName, TunnelList},
        tunnel::TunnelType,
    },
    snapshot::{Snapshot, concern::Concern},
};

pub(super) fn status(snapshot: &Snapshot) -> Markup {
    html! {
        section id="sources" class="sources" data-live aria-labelledby="sources-title" {
            h2 id="sources-title" { "Where this comes from" }
            table {
                thead { tr {
                    th scope="col" { "Account" } th scope="col" { "List" } th scope="col" { "Poll" }
                    th scope="col" { "Tunnels" } th scope="col" { "Last good" } th scope="col" { "Took" }
                } }
                tbody {
                    @for (account, tunnel_type, list) in snapshot.lists() { (line(snapshot, account, tunnel_type, list)) }
                }
            }
            p { (prober(snapshot)) }
            @if !snapshot.board().refused.is_empty() { p { (refused(snapshot)) } }
        }
    }
}

fn line(snapshot: &Snapshot, account: &AccountName, tunnel_type: TunnelType, list: &TunnelList) -> Markup {
    html! {
        tr {
            th scope="row" { (shown(account.as_str())) }
            td { (words::tunnel_type(tunnel_type)) }
            td {
                @match list.status.state {
                    PollState::Waiting => (badge(Concern::Unsure, "Not polled yet")),
                    PollState::Succeeded => (badge(Concern::Fine, "Succeeded")),
                    PollState::Failed(reason) => { (badge(Concern::Broken, "Failed")) " " (reason) }
                }
            }
            td { @if list.status.last_success.is_some() { (list.entries.len()) } @else { "–" } }
            td {
                @if let Some(then) = list.status.last_success { (time::since(snapshot.now, then)) } @else { "never" }
            }
            td { (list.status.duration.map_or_else(|| "–".into(), time::milliseconds)) }
        }
    }
}

fn prober(snapshot: &Snapshot) -> String {
    if !snapshot.board().settings.enabled {
        return "Nothing is probed from here.".into();
    }
    let board = snapshot.board();
    let open = board.sockets.list().into_iter().filter(|socket| socket.up);
    let sockets: Vec<String> = open.map(|socket| format!("ICMPv{} ({})", socket.version, socket.mode)).collect();
    let every = humantime::format_duration(snapshot.board().settings.pace.timing.interval());
    let targets = count(board.sessions.len(), "address is", "addresses are");
    let over = if sockets.is_empty() { "no open socket".into() } else { sockets.join(" and ") };
    format!("{targets} probed from here every {every}, over {over}.")
}

/// Addresses that are not probed although asked for.
fn refused(snapshot: &Snapshot) -> String {
    let reasons: Vec<String> =
        snapshot.board().refused.iter().map(|(reason, count)| format!("{reason} ({count})")).collect();
    format!("Addresses that cannot be probed: {}.", reasons.join(", "))
}
