use std::time::Duration;

use hyper::Method;
use serde_json::{Value, json};

use crate::{SandboxSettings, Story, testing::TestApi};

const LAB: &str = "
period: 60s
accounts:
  - name: lab
    routes:
      - {prefix: 10.0.0.0/8, nexthop: 10.1.1.1, priority: 100, weight: 5}
      - {prefix: 10.0.0.0/8, nexthop: 10.1.1.3, priority: 100}
    interconnects:
      - {name: cni, interface_address: 10.1.2.0/31}
";

fn lab(events: &str) -> String {
    format!("{LAB}events:\n{events}")
}

/// The error of a story that must be rejected.
fn mistake(text: &str) -> String {
    Story::parse("lab.yml", text).unwrap_err().to_string()
}

#[test]
fn events_change_routes_and_interconnects_until_the_next_period() {
    let events = "
  - {at: 10s, route: 10.0.0.0/8 via 10.1.1.1, say: a wrong next hop, set: {nexthop: 10.9.9.9, weight: null}}
  - {at: 20s, interconnect: cni, say: a smaller MTU, set: {mtu: 1400}}
";
    let mut api = TestApi::with_story(Story::parse("lab.yml", &lab(events)).unwrap());
    let before = api.list("routes");
    let mut seen = Vec::new();
    for _ in 0..7 {
        let route = &api.list("routes")[0];
        let interconnects = api.expect_result(&Method::GET, "cf_interconnects", &Value::Null);
        let mtu = interconnects["interconnects"][0]["mtu"].clone();
        seen.push((route["nexthop"].clone(), route.get("weight").is_some(), mtu));
        api.advance_clock(Duration::from_secs(10));
    }
    let wrong = |mtu| (json!("10.9.9.9"), false, json!(mtu));
    let right = (json!("10.1.1.1"), true, json!(1500));
    assert_eq!(seen[..3], [right.clone(), wrong(1500), wrong(1400)]);
    assert_eq!(seen[6], right, "a new period restores the routes");
    assert_eq!(api.list("routes")[1], before[1], "other routes do not change");
}

#[test]
fn a_deleted_route_stays_deleted() {
    let event = "  - {at: 10s, route: 10.0.0.0/8 via 10.1.1.1, say: none, set: {weight: 1}}\n";
    let mut api = TestApi::with_story(Story::parse("lab.yml", &lab(event)).unwrap());
    let path = format!("/client/v4/accounts/{}/magic/routes", api.account);
    api.send(&Method::DELETE, &path, "");
    api.advance_clock(Duration::from_secs(70));
    assert!(api.list("routes").is_empty());
}

#[test]
fn mistakes_name_line_key_and_rule() {
    let line = |text: &str| format!("line {}: ", 1 + LAB[..LAB.find(text).unwrap()].lines().count() - 1);
    let wrong = mistake(&LAB.replace("priority: 100, weight: 5", "priority: high"));
    assert!(wrong.contains(&line("weight")) && wrong.contains("routes.priority: priority must be a number"), "{wrong}");
    let wrong = mistake(&LAB.replace("10.1.2.0/31", "10.1.2.0/24"));
    assert!(wrong.contains(&line("cni")) && wrong.contains("interconnects.interface_address: "), "{wrong}");
    let wrong = mistake(&format!("{LAB}      - {{name: cni, interface_address: 10.1.2.2/31}}\n"));
    assert!(wrong.contains("interconnects.name: name cannot be shared with another tunnel"), "{wrong}");

    for (event, rule) in [
        ("route: 10.0.0.0/8 via 10.1.1.5, set: {weight: 1}", "events.route: unknown route `10.0.0.0/8 via 10.1.1.5`"),
        ("interconnect: other, set: {mtu: 1400}", "events.interconnect: unknown interconnect `other`"),
        ("interconnect: cni, set: {mtu: 1}", "events.set.mtu: mtu must be at least 576"),
        ("interconnect: cni, set: {name: other}", "events.set.name: a story cannot rename a tunnel"),
        ("interconnect: cni", "events.set: is required with `route` and `interconnect`"),
        ("interconnect: cni, set: {mtu: 1400}, bgp_status: up", "events.tunnel: is required with"),
        ("route: 10.0.0.0/8 via 10.1.1.1, interconnect: cni, set: {}", "events: only one of `tunnel`, `route`"),
        ("account: other, interconnect: cni, set: {mtu: 1400}", "events.account: unknown account `other`"),
        ("token: {status: lost}", "events.token: unknown variant `lost`"),
    ] {
        let wrong = mistake(&lab(&format!("  - {{at: 1s, say: none, {event}}}\n")));
        assert!(wrong.contains(rule), "{event}: {wrong}");
    }
    let wrong = mistake(&format!("token: {{expires: soon}}\n{LAB}"));
    assert!(wrong.contains("line 1: token: `soon` in `expires` must be an RFC 3339 time or a duration"), "{wrong}");
}

#[test]
fn an_event_for_one_of_two_equal_routes_is_ambiguous() {
    let second = "      - {prefix: 10.0.0.0/8, nexthop: 10.1.1.1, priority: 200}\n    interconnects:";
    let event = "  - {at: 10s, route: 10.0.0.0/8 via 10.1.1.1, say: none, set: {weight: 1}}\n";
    let wrong = mistake(&lab(event).replace("    interconnects:", second));
    assert!(wrong.contains("events.route: `10.0.0.0/8 via 10.1.1.1` matches several of them"), "{wrong}");
}

/// The addresses of the customer's side of all tunnels and interconnects, for interface addresses of even /31.
fn peers(api: &mut TestApi) -> Vec<String> {
    let mut all = api.list("ipsec_tunnels");
    all.extend(api.list("gre_tunnels"));
    let mut result = api.expect_result(&Method::GET, "cf_interconnects", &Value::Null);
    all.extend(serde_json::from_value::<Vec<Value>>(result["interconnects"].take()).unwrap());
    let peer = |tunnel: &Value| {
        let net: ipnet::Ipv4Net = tunnel["interface_address"].as_str().unwrap().parse().unwrap();
        crate::spec::peer_address(net).unwrap().to_string()
    };
    all.iter().map(peer).collect()
}

#[test]
fn the_demo_has_one_unmatched_route_at_any_time() {
    let mut demo = TestApi::new(SandboxSettings::default());
    for second in 0..200 {
        let peers = peers(&mut demo);
        let routes = demo.list("routes");
        let unmatched = routes.iter().filter(|route| !peers.iter().any(|peer| route["nexthop"] == *peer));
        let prefixes: Vec<_> = unmatched.map(|route| &route["prefix"]).collect();
        assert_eq!(prefixes, ["10.90.0.0/16"], "second {second}");
        demo.advance_clock(Duration::from_secs(1));
    }
    assert!(demo.list("routes").iter().any(|route| route["prefix"] == "2001:db8:60::/48"));
}

#[test]
fn two_generated_tunnels_share_two_prefixes() {
    let settings = SandboxSettings { tunnels: 4, story: Story::empty(), ..SandboxSettings::default() };
    let mut api = TestApi::new(settings);
    let peers = peers(&mut api);
    let routes = api.list("routes");
    assert_eq!(routes.len(), 8);
    assert!(routes.iter().all(|route| peers.iter().any(|peer| route["nexthop"] == *peer)), "{routes:?}");
    let prefixes: Vec<_> = routes.iter().map(|route| route["prefix"].as_str().unwrap()).collect();
    assert_eq!(prefixes[..4], ["10.0.0.0/29", "2001:db8::/64", "10.0.0.0/29", "2001:db8::/64"]);
    assert_eq!(prefixes[4..6], ["10.0.0.8/29", "2001:db8:0:1::/64"]);
}
