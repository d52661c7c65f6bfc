//! Hubs that restart, differ, have an expired certificate, or are asked by a thousand agents at once.

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    thread,
};

use serde_json::json;

use super::{SITES, World, agent, await_names, get, names, url};
use crate::{
    support::{
        SOON,
        api::by_collection,
        eventually,
        exporter::{ACCOUNT, Exporter, Process, program, token_file},
        free_address, http,
        tunnels::{gre_list, ipsec, ipsec_list, with},
    },
    web_config::authority::Authority,
};

#[test]
fn an_agent_keeps_to_one_of_two_hubs_with_different_data_and_follows_the_other_when_it_is_gone() {
    let (world, other) = (World::new(), World::new());
    let moved = with(ipsec("fra-7"), "/customer_endpoint", json!("127.0.0.7"));
    other.api.answer_with(by_collection(ipsec_list(&[moved]), gre_list(&[])));
    let (first, second) = (world.hub(&[]), other.hub(&[]));
    let mut agent = Exporter::start(agent(&[url(first.address), url(second.address)]).arg("--probe"));
    await_names(&agent, &["fra-1", "fra-2"]);
    let confirmed =
        |agent: &Exporter| agent.samples().value("inventory_requests_total", &[("code", "304")]).unwrap_or_default();
    eventually("more requests to the first hub", SOON, || {
        if confirmed(&agent) >= 3.0 { Ok(()) } else { Err(agent.process.said()) }
    });
    assert_eq!(names(agent.address), ["fra-1", "fra-2"], "the lists are not mixed");
    drop(first);
    await_names(&agent, &["fra-7"]);
    agent.await_page("only the address of the second hub to be probed", SOON, |page| {
        let probed = page.all("tunnel_probe_replies_total", &[]);
        let all_new = probed.iter().all(|sample| sample.labels["tunnel_name"] == "fra-7");
        (!probed.is_empty() && all_new).then_some(())
    });
}

#[test]
fn an_expired_certificate_of_the_hub_is_refused_and_the_last_inventory_stays() {
    let world = World::new();
    let authority = Authority::new();
    let ca = world.write("ca.pem", &authority.certificate());
    let address = free_address();
    let serve_with = |year| {
        let own = authority.signs_until(&[&address.ip().to_string()], year);
        world.write("own.key", &own.key);
        world.write("own.pem", &own.certificate);
    };
    serve_with(2100);
    let web = world.write("web.yml", "tls_server_config: {cert_file: own.pem, key_file: own.key}\n");
    let mut command = program();
    command
        .args(["serve", "--cloudflare.account-id", ACCOUNT, "--poll.interval=1s"])
        .arg(format!("--cloudflare.api-token-file={}", token_file(&world.folder).display()))
        .arg(format!("--cloudflare.api-url=http://{}/client/v4", world.api.address))
        .arg(format!("--config.file={}", world.path("hub.yml")))
        .args([format!("--web.config.file={web}"), format!("--web.listen-address={address}")]);
    let _hub = Process::start(&mut command);
    let mut command = agent(&[format!("https://{address}")]);
    let mut agent = Exporter::start(command.arg("--probe").arg(format!("--inventory.tls.ca-file={ca}")));
    await_names(&agent, &["fra-1", "fra-2"]);
    serve_with(2001);
    eventually("a refused certificate", SOON, || {
        let said = agent.process.said();
        if said.contains("cannot read the inventory") && said.contains("xpired") { Ok(()) } else { Err(said) }
    });
    assert_eq!(names(agent.address), ["fra-1", "fra-2"]);
    serve_with(2100);
    eventually("the hub to be accepted again", SOON, || {
        let said = agent.process.said();
        if said.contains("answers again after `connect`") { Ok(()) } else { Err(said) }
    });
    agent.process.assert_running();
}

#[test]
fn a_password_that_the_hub_has_changed_is_refused_until_the_agent_has_the_new_one() {
    let world = World::new();
    let accept = |password| {
        let hash = bcrypt::hash(password, 4).expect("a hash");
        world.write("web.yml", &format!("basic_auth_users: {{fra: '{hash}'}}\n"))
    };
    let web = format!("--web.config.file={}", accept("first"));
    let password = world.write("password", "first\n");
    let hub = world.hub(&[&web, "--web.open-health"]);
    let mut command = agent(&[url(hub.address)]);
    command.args(["--probe", "--inventory.basic-auth.username=fra"]);
    let mut agent = Exporter::start(command.arg(format!("--inventory.basic-auth.password-file={password}")));
    await_names(&agent, &["fra-1", "fra-2"]);
    accept("second");
    agent.await_page("a refused password", SOON, |page| {
        let refused = page.value("inventory_failures_total", &[("reason", "auth")]).unwrap_or_default();
        let requests = page.value("inventory_requests_total", &[("code", "401")]).unwrap_or_default();
        (refused >= 2.0 && requests >= 2.0).then_some(())
    });
    assert_eq!(names(agent.address), ["fra-1", "fra-2"]);
    world.write("password", "second\n");
    eventually("the hub to accept the agent again", SOON, || {
        let said = agent.process.said();
        if said.contains("answers again after `auth`") { Ok(()) } else { Err(said) }
    });
    agent.process.assert_running();
}

#[test]
fn a_hub_that_restarts_still_lists_the_agents_that_it_knew() {
    let world = World::new();
    let state = format!("--state.directory={}", world.path("state"));
    let start = || world.hub(&[&state]);
    let hub = start();
    let advertise = "--inventory.advertise=http://fra.example:9847/metrics";
    let agent = Exporter::start(agent(&[url(hub.address)]).arg(advertise));
    await_names(&agent, &["fra-1", "fra-2"]);
    drop(agent);
    hub.process.signal("TERM");
    assert!(hub.process.ended(SOON).status.success());
    let hub = start();
    let agents = get(hub.address, "/api/v1/agents");
    let known = &agents["agents"][0];
    assert_eq!((&known["prober"], &known["sites"]), (&json!("fra-prober"), &json!(["fra"])), "{agents}");
    assert_eq!(get(hub.address, "/api/v1/agents/targets")[0]["targets"], json!(["fra.example:9847"]));
    eventually("the agent to be missing", SOON, || {
        let agents = get(hub.address, "/api/v1/agents");
        if agents["agents"][0]["state"] == "missing" { Ok(()) } else { Err(agents.to_string()) }
    });
}

#[test]
fn the_overrides_of_the_hub_steer_an_agent_and_its_own_flags_win() {
    let world = World::new();
    let config = format!(
        "{SITES}tunnels:\n  overrides:\n    - {{name: fra-1, targets: [], extra_address: 127.0.0.55}}\n    \
         - {{name: fra-2, probe: false}}\n"
    );
    world.write("hub.yml", &config);
    let hub = world.hub(&[]);
    let targets = |agent: &Exporter| {
        let groups = get(agent.address, "/api/v1/targets");
        let groups = groups.as_array().expect("groups").iter();
        let mut targets: Vec<_> = groups.map(|group| group["targets"][0].to_string()).collect();
        targets.sort();
        targets
    };
    let await_targets = |agent: &Exporter, expected: &[&str]| {
        eventually("the targets", SOON, || {
            let targets = targets(agent);
            if targets == expected { Ok(()) } else { Err(format!("{targets:?}")) }
        });
    };
    let steered = Exporter::start(agent(&[url(hub.address)]).arg("--probe"));
    await_targets(&steered, &["\"127.0.0.55\""]);
    let own = Exporter::start(agent(&[url(hub.address)]).args(["--probe", "--probe.targets=customer_endpoint"]));
    await_targets(&own, &["\"127.0.0.1\"", "\"127.0.0.55\""]);
    world.write("hub.yml", SITES);
    hub.process.signal("HUP");
    await_targets(&own, &["\"127.0.0.1\"", "\"198.51.100.8\""]);
}

#[test]
fn each_family_of_a_tunnel_has_one_source_in_a_fleet() {
    let world = World::new();
    let hub = world.hub(&["--web.expose=reported,edge,exporter"]);
    let mut agent = Exporter::start(agent(&[url(hub.address)]).arg("--probe"));
    await_names(&agent, &["fra-1", "fra-2"]);
    agent.await_page("a reply", SOON, |page| {
        page.all("tunnel_probe_replies_total", &[]).iter().any(|sample| sample.value > 0.0).then_some(())
    });
    let families = |address| {
        let page = http::text(address, "/metrics");
        let names = page.lines().filter_map(|line| line.strip_prefix("# TYPE cloudflare_magic_"));
        names.map(|line| line.split(' ').next().unwrap_or_default().to_owned()).collect::<Vec<_>>()
    };
    let (of_hub, of_agent) = (families(hub.address), families(agent.address));
    let shared: Vec<_> = of_hub.iter().filter(|name| name.starts_with("tunnel_") && of_agent.contains(name)).collect();
    assert_eq!(shared, [""; 0]);
    for (families, name, expected) in [
        (&of_hub, "tunnel_info", true),
        (&of_hub, "tunnel_verdict", false),
        (&of_agent, "tunnel_info", false),
        (&of_agent, "tunnel_verdict", true),
        (&of_agent, "prober_info", true),
        (&of_hub, "inventory_served_total", true),
    ] {
        assert_eq!(families.iter().any(|family| family == name), expected, "{name} in {families:?}");
    }
}

#[test]
fn a_thousand_agents_that_reconnect_at_once_are_all_answered_and_no_scrape_fails() {
    const AGENTS: usize = 1_000;
    let world = World::new();
    let hub = world.hub(&[]);
    let (answered, address) = (AtomicUsize::new(0), hub.address);
    thread::scope(|scope| {
        for number in 0..AGENTS {
            let answered = &answered;
            let ask = move || {
                let prober = format!("prober-{number}");
                let headers = [("Mte-Prober", &*prober), ("Mte-Interval", "3600")];
                // All of them have one address here. If a peer holds more connections than its share, some are closed,
                // and the agent asks again.
                eventually(&format!("an answer for agent {number}"), SOON, || {
                    match http::request(address, "GET", "/api/v1/inventory?site=fra", &headers) {
                        Ok(reply) if reply.status == 200 => Ok(()),
                        Ok(reply) => panic!("{}", reply.text()),
                        Err(error) => Err(error.to_string()),
                    }
                });
                answered.fetch_add(1, Ordering::Relaxed);
            };
            thread::Builder::new().stack_size(256 << 10).spawn_scoped(scope, ask).expect("a thread");
        }
        while answered.load(Ordering::Relaxed) < AGENTS / 2 {
            assert_eq!(http::get(address, "/metrics").expect("a scrape").status, 200);
        }
    });
    // An agent that asked again because its response was lost is `behind`.
    let page = http::text(address, "/metrics");
    let states = page.lines().filter(|line| line.starts_with("cloudflare_magic_agents{"));
    let agents: f64 = states.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum();
    assert_eq!(agents, 1000.0, "{page}");
}
