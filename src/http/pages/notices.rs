//! What stands between the reader and the truth: polls that fail, a prober that cannot probe.

use maud::{Markup, html};
use web_toolkit::text::shown;

use super::{time, words};
use crate::{
    domain::{
        dataset::PollState,
        inventory::{AccountName, TunnelList},
        tunnel::TunnelType,
        verdict::Verdict,
    },
    snapshot::{
        Snapshot,
        concern::{Concern, Summary},
    },
};

/// Everything that has to be said before the table is believed.
pub(super) fn notices(snapshot: &Snapshot, summary: &Summary) -> Markup {
    html! {
        @for (account, tunnel_type, list) in snapshot.lists() { (polls(snapshot, account, tunnel_type, list)) }
        (isolated(summary))
        (sockets(snapshot))
        (switched_off(snapshot))
    }
}

fn notice(concern: Concern, title: &str, text: &Markup) -> Markup {
    html! { div class={ "notice " (concern) } { strong { (title) } p { (text) } } }
}

fn polls(snapshot: &Snapshot, account: &AccountName, tunnel_type: TunnelType, tunnels: &TunnelList) -> Markup {
    let account = shown(account.as_str());
    let list = words::tunnel_type(tunnel_type);
    let title = match tunnels.status.state {
        PollState::Failed(reason) => format!("Account {account}: the list of {list} tunnels cannot be read ({reason})"),
        PollState::Succeeded if snapshot.is_fresh(&tunnels.status) => return rejected(&account, list, tunnels),
        PollState::Succeeded => format!("Account {account}: the list of {list} tunnels is stale"),
        PollState::Waiting => return html! {},
    };
    let remedy = match tunnels.status.state {
        PollState::Failed(reason) => reason.remedy(),
        PollState::Succeeded | PollState::Waiting => "the next poll is overdue",
    };
    let fresh = snapshot.is_fresh(&tunnels.status);
    let text = html! {
        (capitalised(remedy)) ". "
        @match tunnels.status.last_success {
            Some(then) => {
                "The last good list is of " (time::since(snapshot.now, then)) "."
                @if !fresh { " That is too old: what Cloudflare reported then does not count any more." }
            }
            None => "There has been no good list yet.",
        }
    };
    notice(if fresh { Concern::Suspect } else { Concern::Broken }, &title, &text)
}

fn rejected(account: &str, list: &str, tunnels: &TunnelList) -> Markup {
    let number: u64 = tunnels.rejected.values().sum();
    if number == 0 {
        return html! {};
    }
    let title = format!("Account {account}: {number} members of the list of {list} tunnels are left out");
    let reasons: Vec<String> = tunnels.rejected.iter().map(|(reason, count)| format!("{reason} ({count})")).collect();
    notice(Concern::Suspect, &title, &html! { "They cannot be read: " (reasons.join(", ")) ". The log names them." })
}

fn isolated(summary: &Summary) -> Markup {
    if summary.with(Verdict::ProberIsolated) == 0 {
        return html! {};
    }
    notice(Concern::Suspect, "The prober is isolated", &html! { (words::meaning(Verdict::ProberIsolated)) })
}

fn sockets(snapshot: &Snapshot) -> Markup {
    let closed: Vec<_> = snapshot.board().sockets.list().into_iter().filter(|socket| !socket.up).collect();
    html! {
        @for socket in closed {
            (notice(Concern::Suspect, &format!("Nothing can be sent over ICMPv{} ({})", socket.version, socket.mode), &html! {
                "The socket is closed, and the log says why. Mostly a permission is missing; one of three is enough: "
                code { "sysctl net.ipv4.ping_group_range=\"0 2147483647\"" } ", "
                code { "AmbientCapabilities=CAP_NET_RAW" } " in the unit of systemd, or "
                code { "setcap cap_net_raw+ep" } " on the file. It is tried again by itself."
            }))
        }
    }
}

fn switched_off(snapshot: &Snapshot) -> Markup {
    if snapshot.board().settings.enabled {
        return html! {};
    }
    notice(
        Concern::Unsure,
        "Probing is switched off",
        &html! {
            "Each verdict is what Cloudflare reports of the BGP session, minutes late, and says nothing of tunnels without one. Start with "
            code { "--probe" } " to learn within seconds what carries traffic."
        },
    )
}

fn capitalised(sentence: &str) -> String {
    let mut chars = sentence.chars();
    chars.next().map(|first| first.to_uppercase().chain(chars).collect()).unwrap_or_default()
}
