//! Small pieces that several pages show: badges, the state of a session, a standing.

use maud::{Markup, html};

use super::words;
use crate::{
    domain::{
        bgp::FsmState,
        label::Label as _,
        probe::{Silence, Standing},
        verdict::Verdict,
    },
    snapshot::{Row, concern::Concern},
};

/// A word on a coloured ground.
pub(super) fn badge(concern: Concern, word: &str) -> Markup {
    html! { span class={ "badge " (concern) } { (word) } }
}

pub(super) fn verdict(verdict: Verdict) -> Markup {
    badge(Concern::of(verdict), words::verdict(verdict))
}

/// The session as Cloudflare reports it; what is too old is not told.
pub(super) fn session(row: &Row<'_>) -> Markup {
    let Some(status) = row.status() else { return without_session(row) };
    let (state, concern) = (words::session(status.state), words::concern_of_session(status.state));
    let fsm = (status.fsm != FsmState::None).then(|| status.fsm.as_str());
    let tcp = status.tcp_established.map(|up| if up { "TCP up" } else { "no TCP" });
    html! {
        span class={ "state " (concern) } { (state) }
        small { (separated(fsm.into_iter().chain(tcp))) }
    }
}

fn without_session(row: &Row<'_>) -> Markup {
    let (word, detail) = match (row.fresh, &row.tunnel().bgp_status, &row.tunnel().bgp) {
        (false, ..) => ("Not known", "the report is stale"),
        (true, None, Some(_)) => ("Not reported", "BGP is configured"),
        (true, ..) => ("None", "no BGP configured"),
    };
    html! { span class="state unsure" { (word) } small { (detail) } }
}

/// Whether an address answers.
pub(super) fn standing(standing: Standing, silence: Silence) -> Markup {
    match (standing.up, standing.ever_answered) {
        (Some(true), _) => badge(Concern::Fine, "Answers"),
        (Some(false), true) => badge(Concern::Broken, "Silent"),
        (Some(false), false) if silence == Silence::Always => badge(Concern::Broken, "Never answered"),
        (Some(false), false) => badge(Concern::Unsure, "Never answered"),
        (None, _) => badge(Concern::Unsure, "Not settled"),
    }
}

/// Joined by middle dots.
pub(super) fn separated<'a>(parts: impl IntoIterator<Item = &'a str>) -> String {
    parts.into_iter().collect::<Vec<_>>().join(" · ")
}

/// `1 tunnel`, `7 tunnels`.
pub(super) fn count(number: usize, one: &str, many: &str) -> String {
    format!("{}\u{a0}{}", thousands(number), if number == 1 { one } else { many })
}

/// `10,000`.
pub(super) fn thousands(number: usize) -> String {
    let digits = number.to_string();
    let groups: Vec<&str> =
        digits.as_bytes().rchunks(3).rev().map(|group| std::str::from_utf8(group).unwrap_or_default()).collect();
    groups.join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_numbers_are_grouped() {
        for (number, text) in [(0, "0"), (999, "999"), (1_000, "1,000"), (10_000, "10,000"), (1_234_567, "1,234,567")] {
            assert_eq!(thousands(number), text);
        }
    }
}
