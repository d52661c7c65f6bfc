//! An agent behind a hub and an exporter at the API, both on the sandbox and in one network, tell the same story.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    net::SocketAddr,
};

use serde_json::json;

use super::{
    ENDPOINT, INSIDE,
    lab::{Lab, QUICK, await_verdict},
    namespace,
};
use crate::support::{
    SOON, eventually,
    exporter::{ACCOUNT, Exporter, Process, program, token_file},
    free_address, http,
    samples::Samples,
};

/// A tunnel with BGP and one without.
fn story() -> String {
    let tunnel = |name: &str, endpoint: &str, prefix: &str| {
        json!({
            "type": "ipsec", "name": name, "cloudflare_endpoint": "203.0.113.1", "customer_endpoint": endpoint,
            "interface_address": prefix, "bgp": {"customer_asn": 65010}, "bgp_status": "up",
        })
    };
    let fixed = {
        let mut fixed = tunnel("static", "198.51.100.8", "10.78.0.0/31");
        let fields = fixed.as_object_mut().expect("an object");
        fields.remove("bgp");
        fields.remove("bgp_status");
        fixed
    };
    let account = json!({"name": "lab", "id": ACCOUNT, "tunnels": [tunnel("fra", ENDPOINT, "10.77.0.0/31"), fixed]});
    json!({"accounts": [account]}).to_string()
}

fn sandbox(lab: &Lab) -> (Process, SocketAddr) {
    let (address, file) = (free_address(), lab.folder().path().join("story.json"));
    fs::write(&file, story()).expect("a file of our own");
    let mut command = program();
    command.arg("sandbox").arg(format!("--sandbox.listen-address={address}"));
    let process = Process::start(command.arg(format!("--sandbox.story={}", file.display())));
    eventually("the sandbox", SOON, || match http::get(address, "/sandbox") {
        Ok(reply) if reply.status == 200 => Ok(()),
        other => Err(format!("{other:?}\n{}", process.said())),
    });
    (process, address)
}

/// Sets the state of the BGP session of `fra`.
fn report(sandbox: SocketAddr, state: &str) {
    let path = format!("/sandbox/accounts/{ACCOUNT}/tunnels/fra/bgp_status");
    let reply = http::send(sandbox, "PUT", &path, &[], &json!({ "state": state }).to_string()).expect("an answer");
    assert!((200..300).contains(&reply.status), "{}", reply.text());
}

/// The observed series and the verdicts. Values of counters and times belong to one prober, those of the others to the
/// network.
fn observed(page: &Samples) -> BTreeMap<String, Option<String>> {
    let own =
        ["cloudflare_magic_tunnel_reachable", "cloudflare_magic_tunnel_probe_", "cloudflare_magic_tunnel_verdict"];
    let compared = ["tunnel_reachable", "tunnel_probe_up", "tunnel_verdict", "tunnel_verdict_changes_total"]
        .map(|name| format!("cloudflare_magic_{name}"));
    let samples = page.0.iter().filter(|sample| own.iter().any(|prefix| sample.name.starts_with(prefix)));
    let series = samples.map(|sample| {
        let value = compared.contains(&sample.name).then(|| sample.value.to_string());
        (format!("{}{:?}", sample.name, sample.labels), value)
    });
    series.collect()
}

stories! {
    fn an_agent_behind_a_hub_and_an_exporter_at_the_api_tell_the_same_story(lab) {
        let (_sandbox, api) = sandbox(lab);
        let all = [ENDPOINT, INSIDE, "198.51.100.8", "10.78.0.0"];
        lab.all(&all, "reply");
        let token = token_file(lab.folder());
        let hub = Exporter::serve(api, &token, &["--web.expose=reported,edge,exporter"]);
        hub.await_ready();
        let url = format!("--inventory.url=http://{}", hub.address);
        let mut agent = Exporter::start(program().args(["serve", "--inventory.interval=1s", &url]).args(QUICK));
        let mut direct = Exporter::serve(api, &token, &QUICK);
        let mut both_show = |fra: &str, fixed: &str| {
            for exporter in [&mut agent, &mut direct] {
                await_verdict(exporter, "fra", fra);
                await_verdict(exporter, "static", fixed);
            }
            eventually("the same series", SOON, || {
                let [of_agent, of_direct] = [&agent, &direct].map(|exporter| observed(&exporter.samples()));
                assert!(of_agent.len() > 20, "{of_agent:?}");
                let differs = |series: &&String| of_agent.get(*series) != of_direct.get(*series);
                let different: BTreeSet<_> = of_agent.keys().chain(of_direct.keys()).filter(differs).collect();
                if different.is_empty() { Ok(()) } else { Err(format!("{fra}, {fixed}: {different:#?}")) }
            });
        };
        both_show("healthy", "healthy");
        report(api, "BGP_DOWN");
        both_show("bgp_fault", "healthy");
        lab.all(&[INSIDE], "silent");
        both_show("tunnel_fault", "healthy");
        report(api, "BGP_UP");
        both_show("path_mismatch", "healthy");
        report(api, "BGP_DOWN");
        both_show("tunnel_fault", "healthy");
        lab.all(&[ENDPOINT], "silent");
        both_show("unreachable", "healthy");
        lab.all(&[ENDPOINT], "reply");
        both_show("tunnel_fault", "healthy");
        lab.all(&[INSIDE], "reply");
        both_show("bgp_fault", "healthy");
        report(api, "BGP_UP");
        both_show("healthy", "healthy");
        lab.all(&["10.78.0.0"], "silent");
        both_show("healthy", "tunnel_fault");
        lab.all(&["10.78.0.0"], "reply");
        both_show("healthy", "healthy");
        let page = http::text(agent.address, "/metrics");
        assert!(!page.contains("cloudflare_magic_tunnel_info"), "{page}");
    }
}
