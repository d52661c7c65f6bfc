//! What an agent does when its hub is away, slow or wrong: it goes on with the last inventory, and says so.

use std::{net::TcpListener, sync::Arc, time::Duration};

use serde_json::json;

use super::{World, agent, await_names, names, url};
use crate::support::{
    SOON,
    api::{self, Answer, Api, by_collection},
    eventually,
    exporter::Exporter,
    free_address, http,
    tunnels::{gre, gre_list, ipsec, ipsec_list, with},
};

/// A hub with answers that the test controls.
fn answer(headers: &str, body: &str) -> Answer {
    api::answer("200 OK", &format!("Content-Type: application/json\r\n{headers}"), body)
}

const AGE: &str = "Age: 1\r\nETag: \"a\"\r\n";

fn inventory(version: u64, state: &str, tunnels: &[&str]) -> String {
    let tunnels: Vec<_> = tunnels
        .iter()
        .map(|name| json!({"account": "acme", "id": name, "name": name, "type": "ipsec", "customer_endpoint": "127.0.0.9"}))
        .collect();
    let list = |name: &str| json!({"account": "acme", "collection": name, "state": state});
    let lists = [list("ipsec_tunnels"), list("gre_tunnels")];
    json!({"version": version, "collections": lists, "tunnels": tunnels}).to_string()
}

fn failures(agent: &Exporter, reason: &str) -> f64 {
    let labels = [("reason", reason)];
    agent.samples().value("inventory_failures_total", &labels).unwrap_or_default()
}

#[test]
fn whatever_a_hub_answers_the_agent_goes_on_with_the_last_inventory() {
    let good = answer(AGE, &inventory(1, "succeeded", &["fra-1", "fra-2"]));
    let hub = Api::start(Arc::clone(&good));
    let mut agent = Exporter::start(agent(&[url(hub.address)]).arg("--probe"));
    await_names(&agent, &["fra-1", "fra-2"]);
    let newer = inventory(2, "succeeded", &["other"]);
    let half = &inventory(1, "succeeded", &["other", "another"])[..200];
    let silence: Answer = Arc::new(|_, wire| wire.pause(Duration::from_secs(4)));
    let drip: Answer = Arc::new(|_, wire| {
        wire.write("HTTP/1.1 200 OK\r\nAge: 1\r\nContent-Length: 100\r\n\r\n")?;
        (0..60).try_for_each(|_| wire.write("{").and_then(|()| wire.pause(Duration::from_millis(100))))
    });
    for (what, reason, wrong) in [
        ("HTML", "not_json", api::answer("200 OK", "Content-Type: text/html\r\n", "<html>welcome</html>")),
        ("garbage", "not_json", answer(AGE, "\u{1}\u{2}%%%")),
        ("half an answer", "decode", answer(AGE, half)),
        ("a newer version", "decode", answer(AGE, &newer)),
        ("another document", "decode", answer(AGE, "{\"tunnels\": []}")),
        ("an older version with another document", "decode", answer(AGE, "{\"version\": 0, \"tunnels\": []}")),
        ("no age", "decode", answer("", &inventory(1, "succeeded", &["other"]))),
        ("an old hub", "not_found", api::answer("404 Not Found", "", "404 not found; pages: /")),
        ("a wrong password", "auth", api::answer("401 Unauthorized", "", "unauthorized")),
        ("a foreign site", "auth", api::answer("403 Forbidden", "", "{}")),
        ("a fault", "server", api::answer("500 Internal Server Error", "", "sorry")),
        ("silence", "timeout", silence),
        ("drops", "timeout", drip),
    ] {
        let before = failures(&agent, reason);
        hub.answer_with(wrong);
        eventually(what, SOON, || if failures(&agent, reason) > before { Ok(()) } else { Err(agent.process.said()) });
        agent.process.assert_running();
        assert_eq!(names(agent.address), ["fra-1", "fra-2"], "{what}");
        assert_eq!(http::get(agent.address, "/-/ready").expect("an answer").status, 200, "{what}");
        hub.answer_with(Arc::clone(&good));
    }
    hub.answer_with(answer(AGE, &inventory(1, "waiting", &[])));
    let before = hub.requests().len();
    eventually("two answers without lists", SOON, || {
        if hub.requests().len() >= before + 3 { Ok(()) } else { Err("too few requests".into()) }
    });
    assert_eq!(names(agent.address), ["fra-1", "fra-2"], "an empty list of a hub without lists");
    hub.answer_with(answer(AGE, &inventory(1, "succeeded", &["fra-1"])));
    await_names(&agent, &["fra-1"]);
    hub.answer_with(answer(AGE, &inventory(1, "succeeded", &[])));
    await_names(&agent, &[]);
    agent.process.assert_running();
}

#[test]
fn an_agent_probes_over_a_restart_of_the_hub_and_over_its_own_while_the_hub_is_away() {
    let world = World::new();
    let hub_address = free_address();
    let state = format!("--state.directory={}", world.path("state"));
    let api = format!("--cloudflare.api-url=http://{}/client/v4", world.api.address);
    let token = crate::support::exporter::token_file(&world.folder);
    let hub = || {
        let mut command = crate::support::exporter::program();
        command.args(["serve", "--poll.interval=1s", "--cloudflare.account-id", crate::support::exporter::ACCOUNT]);
        command.arg(format!("--config.file={}", world.path("hub.yml"))).arg(&api);
        command.arg(format!("--cloudflare.api-token-file={}", token.display()));
        command.arg(format!("--web.listen-address={hub_address}"));
        crate::support::exporter::Process::start(&mut command)
    };
    let running = hub();
    let start = || Exporter::start(agent(&[url(hub_address)]).args(["--probe", &state]));
    let mut agent = start();
    await_names(&agent, &["fra-1", "fra-2"]);
    drop(running);
    eventually("the agent to notice", SOON, || {
        if failures(&agent, "connect") > 0.0 { Ok(()) } else { Err(agent.process.said()) }
    });
    let probed = |agent: &Exporter| {
        let labels = [("tunnel_name", "fra-1"), ("probe_target", "customer_endpoint")];
        agent.samples().value("tunnel_probe_requests_total", &labels).unwrap_or_default()
    };
    let before = probed(&agent);
    eventually("more probes", SOON, || if probed(&agent) > before { Ok(()) } else { Err(agent.process.said()) });
    agent.process.signal("TERM");
    assert!(agent.process.ended(SOON).status.success());
    agent = start();
    await_names(&agent, &["fra-1", "fra-2"]);
    assert_eq!(agent.samples().value("inventory_from_cache", &[]), Some(1.0));
    assert_eq!(http::get(agent.address, "/-/ready").expect("an answer").status, 200);
    let tunnels = http::text(agent.address, "/api/v1/tunnels");
    assert!(tunnels.contains("\"stale\":true") && !tunnels.contains("\"stale\":false"), "{tunnels}");
    eventually("probes of the stored inventory", SOON, || {
        if probed(&agent) > 0.0 { Ok(()) } else { Err(agent.process.said()) }
    });
    let _running = hub();
    agent.await_page("the hub to confirm the inventory", SOON, |page| {
        (page.value("inventory_from_cache", &[]) == Some(0.0)).then_some(())
    });
    eventually("fresh reports", SOON, || {
        let tunnels = http::text(agent.address, "/api/v1/tunnels");
        if tunnels.contains("\"stale\":true") { Err(tunnels) } else { Ok(()) }
    });
}

#[test]
fn without_any_inventory_an_agent_is_not_ready_and_waits() {
    let hub = free_address();
    let listener = TcpListener::bind(hub).expect("a free address");
    drop(listener);
    let mut agent = Exporter::start(&mut agent(&[url(hub)]));
    eventually(
        "a failure",
        SOON,
        || if failures(&agent, "connect") > 0.0 { Ok(()) } else { Err(agent.process.said()) },
    );
    assert_eq!(http::get(agent.address, "/-/ready").expect("an answer").status, 503);
    assert_eq!(http::get(agent.address, "/").expect("an answer").status, 200);
    let _hub = Api::start_on(hub, answer(AGE, &inventory(1, "succeeded", &["fra-1"])));
    await_names(&agent, &["fra-1"]);
    agent.await_ready();
    agent.process.assert_running();
}

#[test]
fn the_next_hub_is_asked_at_once_and_kept() {
    let dead = free_address();
    let [second, third] = [(); 2].map(|()| Api::start(answer(AGE, &inventory(1, "succeeded", &["fra-1"]))));
    let agent = Exporter::start(&mut agent(&[url(dead), url(second.address), url(third.address)]));
    await_names(&agent, &["fra-1"]);
    eventually("more requests to the second hub", SOON, || {
        if second.requests().len() >= 4 { Ok(()) } else { Err(agent.process.said()) }
    });
    assert_eq!(third.requests().len(), 0);
    assert_eq!(failures(&agent, "connect"), 1.0, "the dead hub is not asked again");
    second.answer_with(api::answer("500 Internal Server Error", "", "sorry"));
    eventually("the third hub", SOON, || if third.requests().is_empty() { Err(agent.process.said()) } else { Ok(()) });
    let request = third.requests()[0].clone();
    assert_eq!(request.header("if-none-match"), Some("\"a\""));
    assert_eq!((request.header("mte-prober"), request.header("connection")), (Some("fra-prober"), Some("close")));
}

#[test]
fn a_tunnel_that_is_renamed_readdressed_or_moved_follows_within_a_poll() {
    let world = World::new();
    let hub = world.hub(&[]);
    let agent = Exporter::start(agent(&[url(hub.address)]).arg("--probe"));
    await_names(&agent, &["fra-1", "fra-2"]);
    let renamed = with(ipsec("fra-1"), "/name", json!("fra-9"));
    let renamed = with(renamed, "/customer_endpoint", json!("127.0.0.77"));
    let moved = with(gre("fra-2"), "/name", json!("ber-2"));
    world.api.answer_with(by_collection(ipsec_list(&[renamed, ipsec("lon-1")]), gre_list(&[moved])));
    await_names(&agent, &["fra-9"]);
    eventually("only the new address to be probed", SOON, || {
        let tunnels = http::text(agent.address, "/api/v1/tunnels");
        if tunnels.contains("\"address\":\"127.0.0.77\"") { Ok(()) } else { Err(tunnels) }
    });
    let page = http::text(agent.address, "/metrics");
    assert!(!page.contains("fra-2") && !page.contains("127.0.0.3"), "{page}");
}
