//! The answer to the one question: is something broken, and what?

use maud::{Markup, html};

use super::{
    evidence::{count, thousands},
    words,
};
use crate::{
    domain::{dataset::PollState, verdict::Verdict},
    snapshot::{
        Snapshot,
        concern::{BY_URGENCY, Concern, Summary},
    },
};

/// The headline, and how grave it is.
#[derive(Debug)]
pub(super) struct Headline {
    pub(super) concern: Concern,
    pub(super) text: String,
    pub(super) detail: String,
}

impl Headline {
    pub(super) fn new(snapshot: &Snapshot, summary: &Summary) -> Self {
        if summary.tunnels == 0 { Self::without_tunnels(snapshot) } else { Self::with_tunnels(summary) }
    }

    fn without_tunnels(snapshot: &Snapshot) -> Self {
        let states: Vec<PollState> = snapshot.datasets().map(|(.., status)| status.state).collect();
        let (text, detail) = if states.iter().any(|state| matches!(state, PollState::Failed(_))) {
            (
                "The tunnels are not known",
                "Cloudflare was asked for them and gave no list; below is why, and what to do about it.",
            )
        } else if states.contains(&PollState::Waiting) {
            ("Waiting for the first answer", "Cloudflare has been asked for the tunnels. This takes some seconds.")
        } else {
            (
                "There are no tunnels",
                "Cloudflare lists none. New ones appear here by themselves after the next poll; if some are missing, check the account id.",
            )
        };
        Self { concern: Concern::Unsure, text: text.into(), detail: detail.into() }
    }

    fn with_tunnels(summary: &Summary) -> Self {
        let Summary { tunnels, .. } = *summary;
        let attention = summary.needing_attention();
        let unsure = summary.of_concern(Concern::Unsure);
        let all = count(tunnels, "tunnel", "tunnels");
        if attention > 0 {
            let concern = if summary.of_concern(Concern::Broken) > 0 { Concern::Broken } else { Concern::Suspect };
            let verb = if attention == 1 { "needs" } else { "need" };
            let text = format!("{} of {all} {verb} attention", thousands(attention));
            return Self { concern, text, detail: culprits(summary) };
        }
        if summary.with(Verdict::ProberIsolated) > 0 {
            let text = "This prober reaches nothing".into();
            return Self { concern: Concern::Suspect, text, detail: words::meaning(Verdict::ProberIsolated).into() };
        }
        if unsure == tunnels {
            let detail = "Cloudflare reports no session, and no address has answered yet.".into();
            return Self { concern: Concern::Unsure, text: format!("Nothing is known of {all}"), detail };
        }
        if unsure > 0 {
            let detail = format!("Of {} nothing is known.", count(unsure, "tunnel", "tunnels"));
            let text = format!("{} of {all} are healthy", thousands(tunnels - unsure));
            return Self { concern: Concern::Fine, text, detail };
        }
        let text = if tunnels == 1 { "The one tunnel is healthy".into() } else { format!("All {all} are healthy") };
        Self { concern: Concern::Fine, text, detail: "Nothing to do.".into() }
    }

    pub(super) fn markup(&self) -> Markup {
        html! {
            h1 class=(self.concern) { (self.text) }
            p class="detail" { (self.detail) }
        }
    }
}

/// What is broken: one phrase for each verdict that asks for attention.
fn culprits(summary: &Summary) -> String {
    let phrases: Vec<String> = BY_URGENCY
        .into_iter()
        .filter(|&verdict| Concern::of(verdict).needs_attention() && summary.with(verdict) > 0)
        .filter_map(|verdict| Some(format!("{} ({})", words::culprit(verdict)?, thousands(summary.with(verdict)))))
        .collect();
    format!("At fault: {}.", phrases.join("; "))
}
