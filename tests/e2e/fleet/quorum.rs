//! The agents of a fleet vote: real agents, a real Prometheus with the shipped rules, and a real Alertmanager with the
//! shipped routes.

use std::{fs, net::SocketAddr, time::Duration};

use serde_json::json;

use super::{World, url};
use crate::{
    alerting::Delivering,
    alerts::{FLEET, repository, text},
    prometheus::Prometheus,
    support::{
        api::{Answer, by_collection},
        exporter::{Exporter, program},
        tunnels::{gre, gre_list, ipsec_list, with},
    },
};

/// Deadline of votes: they pass through the hub, the agents and two scrapes.
const VOTED: Duration = Duration::from_mins(2);

const QUORUM: &str = "tunnel:cloudflare_magic_tunnel_verdict:quorum";

/// Tunnels without BGP at one site. The addresses inside `silent` ones do not answer.
fn lists(silent: &[&str]) -> Answer {
    let tunnel = |(name, number): (&str, u8)| {
        let inside = if silent.contains(&name) { "203.0.113".to_owned() } else { "127.0.41".to_owned() };
        let tunnel = with(gre(name), "/customer_gre_endpoint", json!(format!("127.0.40.{number}")));
        with(tunnel, "/interface_address", json!(format!("{inside}.{}/31", 2 * number)))
    };
    by_collection(ipsec_list(&[]), gre_list(&[("fra-1", 1), ("fra-2", 2), ("fra-3", 3)].map(tunnel)))
}

/// An agent with the name `prober` that pings on loopback only.
fn prober(hub: &Exporter, prober: &str, more: &[&str]) -> Exporter {
    let mut command = program();
    command.args(["serve", "--inventory.interval=1s", "--inventory.timeout=5s", "--inventory.site=fra"]);
    command.args([format!("--inventory.url={}", url(hub.address)), format!("--inventory.prober={prober}")]);
    command.args(["--probe", "--probe.interval=200ms", "--probe.timeout=200ms"]);
    Exporter::start(command.args(["--probe.interface=lo", "--probe.silence=always"]).args(more))
}

fn job(name: &str, role: &str, targets: &[SocketAddr]) -> String {
    let targets = targets.iter().map(|target| format!("'{target}'")).collect::<Vec<_>>().join(", ");
    format!("  - {{ job_name: {name}, static_configs: [{{ targets: [{targets}], labels: {{ role: {role} }} }}] }}\n")
}

/// Waits until this many agents vote for a verdict, and have a majority.
fn await_quorum(prometheus: &Prometheus, tunnel: &str, verdict: &str, votes: f64) {
    let query = format!("{QUORUM}{{tunnel_name='{tunnel}',verdict='{verdict}'}}");
    prometheus.await_query(&query, VOTED, |found| matches!(found, [(_, n)] if *n == votes));
}

#[test]
fn a_fault_that_three_agents_see_pages_once_and_that_of_one_agent_does_not_page() {
    let world = World::new();
    world.api.answer_with(lists(&[]));
    let hub = world.hub(&[]);
    // The third agent probes fra-2 through an address that does not answer.
    let lost = "tunnels: {overrides: [{name: fra-2, targets: [customer_endpoint], extra_address: [203.0.113.9]}]}\n";
    let lost = format!("--config.file={}", world.write("third.yml", lost));
    let agents = [prober(&hub, "fra-a", &[]), prober(&hub, "fra-b", &[]), prober(&hub, "fra-c", &[&lost])];
    let addresses = agents.each_ref().map(|agent| agent.address);
    let jobs = job("magic-tunnels", "hub", &[hub.address]) + &job("magic-tunnel-agents", "agent", &addresses);
    let Some(chain) = Delivering::scraping(&jobs, &world.folder) else { return };
    await_quorum(&chain.prometheus, "fra-1", "healthy", 3.0);
    await_quorum(&chain.prometheus, "fra-2", "healthy", 2.0);
    let warning = chain.receiver.await_delivery("MagicTunnelProbersDisagree", "fra-2", true);
    assert_eq!((warning.to.as_str(), warning.labels["site"].as_str()), ("chat", Some("fra")));
    chain.await_inhibited("MagicTunnelDown", "fra-2");

    world.api.answer_with(lists(&["fra-1"]));

    await_quorum(&chain.prometheus, "fra-1", "tunnel_fault", 3.0);
    let page = chain.receiver.await_delivery("MagicTunnelFaultQuorum", "fra-1", true);
    assert_eq!((page.to.as_str(), page.labels["site"].as_str()), ("pager", Some("fra")));
    chain.await_inhibited("MagicTunnelDown", "fra-1");
    chain.await_inhibited("MagicTunnelFault", "fra-1");

    // A later fault pages after the alerts of the first one would have.
    world.api.answer_with(lists(&["fra-1", "fra-3"]));
    chain.receiver.await_delivery("MagicTunnelFaultQuorum", "fra-3", true);
    let paged = chain.receiver.paged();
    let once = |name: &str| {
        let of = paged.iter().filter(|one| one.is("MagicTunnelFaultQuorum", name));
        of.map(|one| one.notification).collect::<Vec<_>>().len() == 1
    };
    assert!(paged.len() == 2 && once("fra-1") && once("fra-3"), "one fault must page once: {paged:#?}");
}

#[test]
fn a_site_sends_its_metrics_to_the_center_with_prometheus_in_agent_mode() {
    let world = World::new();
    world.api.answer_with(lists(&[]));
    let hub = world.hub(&[]);
    let agent = prober(&hub, "fra-a", &[]);
    for file in ["magic-tunnel-exporter.rules.yml", FLEET] {
        let quick = text(&repository("alerts").join(file)).replace("interval: 15s", "interval: 1s");
        fs::write(world.folder.path().join(file), quick).expect("a file of our own");
    }
    let center = format!(
        "global: {{ scrape_interval: 1s, scrape_timeout: 1s, evaluation_interval: 1s }}\n\
         rule_files: ['{}/*.rules.yml']\nscrape_configs:\n{}",
        world.folder.path().display(),
        job("magic-tunnels", "hub", &[hub.address]),
    );
    let flags = ["--storage.tsdb.path=DATA", "--web.enable-remote-write-receiver"];
    let Some(center) = Prometheus::with_flags(&center, &flags) else { return };
    let site = text(&repository("deploy/fleet/prometheus-agent.yml"))
        .replace("scrape_interval: 15s", "scrape_interval: 1s")
        .replace("localhost:9847", &agent.address.to_string())
        .replace("https://prometheus.example", &url(center.address));
    let _site = Prometheus::with_flags(&site, &["--enable-feature=agent", "--storage.agent.path=DATA"]);

    await_quorum(&center, "fra-1", "healthy", 1.0);
    let up = "up{role='agent',job='magic-tunnel-agents',instance='fra-1.example:9847'}";
    center.await_query(up, VOTED, |found| matches!(found, [(_, up)] if *up == 1.0));

    world.api.answer_with(lists(&["fra-1"]));
    await_quorum(&center, "fra-1", "tunnel_fault", 1.0);

    // The agent stops: its site still says so.
    drop(agent);
    center.await_query(up, VOTED, |found| matches!(found, [(_, up)] if *up == 0.0));
}
