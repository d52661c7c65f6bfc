//! The agents that read the inventory from this hub, as a page.

use maud::{Markup, html};
use web_toolkit::{clock::Moment, text::shown};

use super::{
    document::Document,
    format::{count_noun, format_count, time_since},
    words::badge,
};
use crate::{
    agents::{Agent, AgentState},
    snapshot::rows::Concern,
};

/// Maximum number of agents on the page. The JSON lists all of them.
const MOST: usize = 1_000;

/// Draws the agents, those that need attention first.
pub(in crate::http) fn draw_agents(mut agents: Vec<Agent>, now: Moment) -> Document {
    agents.sort_by_key(|agent| std::cmp::Reverse(agent.state(now)));
    let worst = agents.first().map_or(Concern::Fine, |agent| concern(agent.state(now)));
    let body = html! {
        nav class="crumbs" aria-label="Breadcrumb" { a href="./" { "← All tunnels" } }
        section id="headline" class={ "headline " (worst) } data-live {
            h1 { (count_noun(agents.len(), "agent", "agents")) }
            p class="detail" { (explain(&agents)) }
        }
        section class="sources" aria-label="Agents" data-live id="agents" {
            @if !agents.is_empty() { (draw_table(&agents, now)) }
            @if agents.len() > MOST {
                p class="more" {
                    (format_count(agents.len() - MOST)) " more. " a href="api/v1/agents" { "Show all as JSON" }
                }
            }
        }
    };
    Document { title: "Agents".to_owned(), concern: worst, root: "./", body }
}

fn explain(agents: &[Agent]) -> &'static str {
    if agents.is_empty() {
        "No agent has read the inventory of this exporter since it started."
    } else {
        "These agents read the inventory of this exporter and probe its tunnels from their sites."
    }
}

fn draw_table(agents: &[Agent], now: Moment) -> Markup {
    html! {
        table {
            thead { tr {
                th scope="col" { "Agent" } th scope="col" { "State" } th scope="col" { "Sites" }
                th scope="col" { "Vantage point" } th scope="col" { "Version" } th scope="col" { "Last seen" }
            } }
            tbody { @for agent in agents.iter().take(MOST) { (draw_agent(agent, now)) } }
        }
    }
}

fn draw_agent(agent: &Agent, now: Moment) -> Markup {
    let report = &agent.report;
    let state = agent.state(now);
    let sites: Vec<_> = report.sites.iter().map(|site| shown(site)).collect();
    let known = |text: &Option<Box<str>>| text.as_deref().map_or_else(|| "–".into(), |text| shown(text).into_owned());
    html! {
        tr {
            th scope="row" { (shown(&report.key.prober)) }
            td data-label="State" { (badge(concern(state), word(state))) }
            td data-label="Sites" { @if sites.is_empty() { "all" } @else { (sites.join(", ")) } }
            td data-label="Vantage point" { (known(&report.vantage)) }
            td data-label="Version" { (known(&report.version)) }
            td data-label="Last seen" { (time_since(now, agent.last_seen)) }
        }
    }
}

const fn concern(state: AgentState) -> Concern {
    match state {
        AgentState::Current => Concern::Fine,
        AgentState::Behind => Concern::Suspect,
        AgentState::Missing => Concern::Broken,
    }
}

fn word(state: AgentState) -> &'static str {
    match state {
        AgentState::Current => "Current",
        AgentState::Behind => "Behind",
        AgentState::Missing => "Missing",
    }
}
