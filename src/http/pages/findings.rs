//! The findings on the configuration of one tunnel.

use jiff::Timestamp;
use maud::{Markup, html};

use super::{format::capitalised, words};
use crate::{
    domain::{
        findings::{Finding, Severity},
        label::Label as _,
    },
    snapshot::{Row, rows::Concern},
};

/// Draws the findings with their remedies; nothing if there are none.
pub(super) fn draw_findings(now: Timestamp, row: &Row<'_>) -> Markup {
    let findings: Vec<Finding> = row.findings(now).present().collect();
    if findings.is_empty() {
        return html! {};
    }
    html! {
        section id="findings" class="card findings" aria-labelledby="findings-title" {
            h2 id="findings-title" { "Findings in the configuration" }
            ul { @for finding in findings { li { (draw_finding(finding)) } } }
        }
    }
}

fn draw_finding(finding: Finding) -> Markup {
    let text = finding.text();
    let concern = match text.severity {
        Severity::Warning => Concern::Suspect,
        Severity::Info => Concern::Unsure,
    };
    html! {
        p { (words::badge(concern, text.severity.as_str())) " " (capitalised(text.sentence)) "." }
        small { (with_code(&capitalised(text.remedy))) " (" code { (finding) } ")." }
    }
}

/// Draws the parts between backticks as code.
fn with_code(text: &str) -> Markup {
    html! {
        @for (position, part) in text.split('`').enumerate() {
            @if position % 2 == 1 { code { (part) } } @else { (part) }
        }
    }
}

#[cfg(test)]
mod tests {
    use web_toolkit::clock;

    use super::*;
    use crate::{
        domain::{
            fixtures::{addressed, fleet},
            inventory::AccountName,
            tunnel::Tunnel,
        },
        snapshot::{Judged, Sources},
    };

    fn drawn(tunnel: Tunnel) -> String {
        let judged = Judged { fleet: fleet([tunnel]), ..Judged::default() };
        let snapshot = Sources::fixed(judged, std::time::Duration::ZERO).snapshot(clock::now());
        assert!(snapshot.fleet().accounts.contains_key(&AccountName::new("acme")));
        snapshot.rows().map(|row| draw_findings(snapshot.now.wall, &row).into_string()).collect()
    }

    #[test]
    fn a_finding_is_drawn_with_its_remedy() {
        let page = drawn(addressed("fra", "", "", ""));
        assert!(page.contains("The tunnel has no customer endpoint"), "{page}");
        assert!(page.contains("Set <code>customer_endpoint</code>, or probe"), "{page}");
        assert_eq!(drawn(addressed("fra", "192.0.2.1", "", "")), "", "no finding, no section");
    }
}
