//! Static routes and prefixes: which prefixes lose their tunnels, on the page of metrics, as HTML and as JSON.

use std::fs;

use serde_json::Value;

use crate::sandbox::Sandbox;
use crate::support::{SOON, exporter::Exporter, free_address, http};

/// Two tunnels at one site with six prefixes, three tunnels of equal priority for another prefix, and a typing error.
fn story() -> String {
    let tunnel = |number: u8, name: &str| {
        format!(
            "      - {{type: ipsec, name: {name}, cloudflare_endpoint: 198.51.100.1, interface_address: 10.99.0.{}/31, \
             bgp: {{customer_asn: 65010}}, bgp_status: up}}\n",
            2 * number
        )
    };
    let route = |prefix: &str, number: u8| {
        format!("      - {{prefix: {prefix}, nexthop: 10.99.0.{}, priority: 100}}\n", 2 * number + 1)
    };
    let tunnels = ["fra-1", "fra-2", "lon-1", "lon-2", "lon-3"];
    let tunnels: String = (0..).zip(tunnels).map(|(number, name)| tunnel(number, name)).collect();
    let frankfurt = (0..6).flat_map(|net| [0, 1].map(|number| route(&format!("10.{net}.0.0/16"), number)));
    let london = (2..5).map(|number| route("10.50.0.0/16", number));
    let wrong = "      - {prefix: 10.60.0.0/16, nexthop: 10.98.0.1/32, priority: 100, description: a typing error}\n";
    let routes: String = frankfurt.chain(london).collect();
    format!("accounts:\n  - name: acme\n    tunnels:\n{tunnels}    routes:\n{routes}{wrong}")
}

struct World {
    exporter: Exporter,
    sandbox: Sandbox,
    _folder: tempfile::TempDir,
}

impl World {
    fn start(flags: &[&str]) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("story.yml");
        fs::write(&path, story()).expect("a file");
        let sandbox = Sandbox::start_with(free_address(), &[&format!("--sandbox.story={}", path.display())]);
        let exporter = sandbox.watched(&folder, flags);
        Self { exporter, sandbox, _folder: folder }
    }

    /// Sets the session of a tunnel; without probes, the verdict follows it.
    fn report(&self, tunnel: &str, state: &str) {
        self.sandbox.report(tunnel, state);
    }

    /// Waits until all lists have been read and every tunnel has a verdict.
    fn judged(mut self) -> Self {
        self.exporter.await_page("all lists", SOON, |page| page.value("routes_unmatched", &[]));
        self.await_prefixes(0.0, 0.0);
        self
    }

    /// Waits for these numbers of prefixes at risk and lost.
    fn await_prefixes(&mut self, at_risk: f64, lost: f64) {
        self.exporter.await_page(&format!("{at_risk} prefixes at risk, {lost} lost"), SOON, |page| {
            let counts = [page.value("prefixes_at_risk", &[])?, page.value("prefixes_lost", &[])?];
            (counts == [at_risk, lost]).then_some(())
        });
    }

    fn prefixes(&self, query: &str) -> Vec<Value> {
        let text = http::text(self.exporter.address, &format!("/api/v1/prefixes{query}"));
        let answer: Value = serde_json::from_str(&text).expect("JSON");
        answer["prefixes"].as_array().expect("a list").clone()
    }

    fn fault(&self, faults: &str) {
        let reply = http::send(self.sandbox.address, "PUT", "/sandbox/faults", &[], faults).expect("an answer");
        assert_eq!(reply.status, 200, "{}", reply.text());
    }
}

#[test]
fn a_site_loses_one_of_two_tunnels_and_then_the_other() {
    let mut world = World::start(&[]).judged();
    let page = world.exporter.samples();
    assert_eq!(page.value("routes", &[]), Some(16.0));
    assert_eq!(page.value("routes_unmatched", &[]), Some(1.0));
    assert_eq!(page.value("tunnel_routes", &[("tunnel_name", "fra-1")]), Some(6.0));
    assert!(page.all("prefix_tunnels", &[]).is_empty(), "not without routes.prefix-metrics");

    world.report("fra-1", "BGP_DOWN");
    world.await_prefixes(6.0, 0.0);
    let first = &world.prefixes("")[0];
    assert_eq!((&first["state"], &first["working"], &first["broken"]), (&"at_risk".into(), &1.into(), &1.into()));
    let html = http::text(world.exporter.address, "/prefixes");
    assert!(html.contains("6 of 8\u{a0}prefixes at risk"), "{html}");
    assert!(html.find("10.5.0.0/16") < html.find("10.50.0.0/16"), "the most endangered first: {html}");

    world.report("fra-2", "BGP_DOWN");
    world.await_prefixes(0.0, 6.0);
    assert_eq!(world.prefixes("?state=lost").len(), 6);
    let front = http::text(world.exporter.address, "/");
    assert!(front.contains("6\u{a0}prefixes lost"), "{front}");

    world.report("fra-1", "BGP_UP");
    world.await_prefixes(6.0, 0.0);
}

#[test]
fn a_prefix_with_three_tunnels_of_equal_priority_is_at_risk_with_one_left() {
    let mut world = World::start(&["--routes.prefix-metrics"]).judged();
    world.report("lon-1", "BGP_DOWN");
    let prefix = [("prefix", "10.50.0.0/16"), ("state", "broken")];
    world.exporter.await_page("one broken tunnel", SOON, |page| {
        page.value("prefix_tunnels", &prefix).filter(|broken| (*broken - 1.0).abs() < 0.1)
    });
    let page = world.exporter.samples();
    assert_eq!(page.value("prefixes_at_risk", &[]), Some(0.0), "two are left");
    world.report("lon-3", "BGP_DOWN");
    world.await_prefixes(1.0, 0.0);
    let state =
        |state| world.exporter.samples().value("prefix_tunnels", &[("prefix", "10.50.0.0/16"), ("state", state)]);
    assert_eq!([state("working"), state("broken"), state("unknown")], [Some(1.0), Some(2.0), Some(0.0)]);
}

#[test]
fn a_route_with_a_wrong_next_hop_is_shown_as_such() {
    let world = World::start(&[]).judged();
    let unknown = world.prefixes("?state=unknown");
    assert_eq!(unknown.len(), 1, "{unknown:?}");
    assert_eq!(
        (&unknown[0]["prefix"], &unknown[0]["routes"][0]["next_hop"]),
        (&"10.60.0.0/16".into(), &"10.98.0.1".into())
    );
    let html = http::text(world.exporter.address, "/prefixes?state=unknown");
    assert!(html.contains("no tunnel has the next hop 10.98.0.1"), "{html}");
    let refused = http::get(world.exporter.address, "/api/v1/prefixes?state=gone").expect("an answer");
    assert_eq!(refused.status, 400);
}

#[test]
fn the_routes_fail_alone_and_are_kept() {
    let mut world = World::start(&[]).judged();
    for fault in
        ["\"forbidden\"", "\"truncated\"", "\"wrong_types\"", "{\"status\": {\"code\": 503}}", "\"missing_list\""]
    {
        world.fault(&format!(r#"{{"faults": [{{"collection": "routes", "fault": {fault}}}]}}"#));
        world.exporter.await_page(fault, SOON, |page| {
            page.value("collection_up", &[("collection", "routes")]).filter(|up| *up < 0.5)
        });
        let page = world.exporter.samples();
        assert_eq!(page.value("collection_up", &[("collection", "ipsec_tunnels")]), Some(1.0), "{fault}");
        assert_eq!(page.value("routes", &[]), Some(16.0), "{fault}: the last good list stays");
        assert_eq!(http::get(world.exporter.address, "/-/ready").expect("an answer").status, 200);
        let front = http::text(world.exporter.address, "/");
        assert!(front.contains("routes cannot be polled"), "{fault}: {front}");
        world.fault(r#"{"faults": []}"#);
        world.exporter.process.signal("HUP");
        world.exporter.await_page("the routes again", SOON, |page| {
            page.value("collection_up", &[("collection", "routes")]).filter(|up| *up > 0.5)
        });
    }
}

#[test]
fn routes_that_are_switched_off_are_not_asked_for() {
    let world = World::start(&["--routes.enabled=false"]);
    world.exporter.await_ready();
    let page = world.exporter.samples();
    assert!(page.all("collection_up", &[("collection", "routes")]).is_empty());
    assert!(page.all("routes", &[]).is_empty() && page.all("tunnel_routes", &[]).is_empty());
    let html = http::text(world.exporter.address, "/prefixes");
    assert!(html.contains("The routes are not polled"), "{html}");
}
