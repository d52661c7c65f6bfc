//! `/api/v1/agents`: the agents that read the inventory, as a list and as targets of Prometheus.

use web_toolkit::{clock::Moment, text::shown};

use crate::{
    agents::{Agent, ScrapeAddress},
    domain::label::Label as _,
    http::{
        api::json::{JsonObject, object_line, separate},
        body::WholeText,
    },
};

pub(in crate::http) fn agents_json(agents: &[Agent], now: Moment) -> WholeText {
    object_line(|object| {
        object.add("time", now.wall.to_string());
        object.add_list("agents", agents, |object, agent| add_agent(object, agent, now));
    })
}

fn add_agent(object: &mut JsonObject<'_>, agent: &Agent, now: Moment) {
    let report = &agent.report;
    object.add("prober", shown(&report.key.prober));
    object.add("client", report.key.client.as_deref().map(shown));
    object.add("sites", report.sites.iter().map(|site| shown(site)).collect::<Vec<_>>());
    object.add("version", report.version.as_deref().map(shown));
    object.add("vantage", report.vantage.as_deref().map(shown));
    object.add("state", agent.state(now).as_str());
    object.add("last_seen", agent.last_seen.wall.to_string());
    object.add("scrape", report.scrape.as_ref().map(ToString::to_string));
}

/// The agents that state a scrape address, for the HTTP service discovery of Prometheus:
/// <https://prometheus.io/docs/prometheus/latest/http_sd/>.
pub(in crate::http) fn agent_targets_json(agents: &[Agent]) -> WholeText {
    let (mut text, mut follows) = (b"[".to_vec(), false);
    for agent in agents {
        let Some(scrape) = &agent.report.scrape else { continue };
        separate(&mut text, &mut follows);
        JsonObject::write(&mut text, |object| add_target(object, agent, scrape));
    }
    text.extend_from_slice(b"]\n");
    WholeText(text)
}

fn add_target(object: &mut JsonObject<'_>, agent: &Agent, scrape: &ScrapeAddress) {
    let report = &agent.report;
    let sites: Vec<_> = report.sites.iter().map(|site| shown(site)).collect();
    object.add("targets", [&scrape.authority]);
    object.add_object("labels", |labels| {
        labels.add("__scheme__", scrape.scheme);
        labels.add("__metrics_path__", &scrape.path);
        labels.add("__meta_cloudflare_magic_prober", shown(&report.key.prober));
        labels.add("__meta_cloudflare_magic_client", report.key.client.as_deref().map(shown));
        labels.add("__meta_cloudflare_magic_site", sites.join(","));
        labels.add("__meta_cloudflare_magic_vantage", report.vantage.as_deref().map(shown));
    });
}
