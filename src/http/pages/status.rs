//! Where what is shown comes from: the polls, and the prober.

use maud::{Markup, html};
use web_toolkit::text::shown;

use super::{
    evidence::{badge, count},
    scene::Scene,
    time, words,
};
use crate::{
    domain::inventory::{AccountName, Collection, CollectionSnapshot, PollState},
    overview::concern::Concern,
};

pub(super) fn status(scene: &Scene) -> Markup {
    html! {
        section id="sources" class="sources" data-live aria-labelledby="sources-title" {
            h2 id="sources-title" { "Where this comes from" }
            table {
                thead { tr {
                    th scope="col" { "Account" } th scope="col" { "List" } th scope="col" { "Poll" }
                    th scope="col" { "Tunnels" } th scope="col" { "Last good" } th scope="col" { "Took" }
                } }
                tbody {
                    @for (account, name, collection) in scene.picture.collections() {
                        (line(scene, account, name, collection))
                    }
                }
            }
            p { (prober(scene)) }
            @if !scene.picture.board.refused.is_empty() { p { (refused(scene)) } }
        }
    }
}

fn line(scene: &Scene, account: &AccountName, name: Collection, collection: &CollectionSnapshot) -> Markup {
    html! {
        tr {
            th scope="row" { (shown(account.as_str())) }
            td { (words::list(name)) }
            td {
                @match collection.state {
                    PollState::Waiting => (badge(Concern::Unsure, "Not polled yet")),
                    PollState::Succeeded => (badge(Concern::Fine, "Succeeded")),
                    PollState::Failed(reason) => { (badge(Concern::Broken, "Failed")) " " (reason) }
                }
            }
            td { @if collection.last_success.is_some() { (collection.entries.len()) } @else { "–" } }
            td {
                @if let Some(then) = collection.last_success { (time::since(scene.picture.now, then)) } @else { "never" }
            }
            td { (collection.duration.map_or_else(|| "–".into(), time::milliseconds)) }
        }
    }
}

fn prober(scene: &Scene) -> String {
    if !scene.probing.enabled {
        return "Nothing is probed from here.".into();
    }
    let board = &scene.picture.board;
    let open = board.sockets.list().into_iter().filter(|socket| socket.up);
    let sockets: Vec<String> = open.map(|socket| format!("ICMPv{} ({})", socket.version, socket.mode)).collect();
    let every = humantime::format_duration(scene.probing.pace.timing.interval());
    let targets = count(board.sessions.len(), "address is", "addresses are");
    let over = if sockets.is_empty() { "no open socket".into() } else { sockets.join(" and ") };
    format!("{targets} probed from here every {every}, over {over}.")
}

/// Addresses that are not probed although asked for.
fn refused(scene: &Scene) -> String {
    let reasons: Vec<String> =
        scene.picture.board.refused.iter().map(|(reason, count)| format!("{reason} ({count})")).collect();
    format!("Addresses that cannot be probed: {}.", reasons.join(", "))
}
