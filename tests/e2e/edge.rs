//! The edge view with a hostile GraphQL API: nothing is published that was not in an answer, and nothing is lost that
//! was.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::support::{
    SOON,
    api::{self, Answer, Api, Request, answer},
    eventually,
    exporter::{ACCOUNT, Exporter, TOKEN, program, run, token_file},
    free_address, http,
    samples::Samples,
    tunnels::{all_is_well, id_of},
};

/// The only minute with checks in every answer.
const COMPLETE_MINUTE: &str = "2026-10-05T09:00:00Z";

const FLAGS: &[&str] = &["--edge.enabled", "--edge.interval=500ms", "--edge.delay=0s", "--poll.stale-after=1h"];

/// An exporter with the edge view, and its API.
struct House {
    api: Api,
    exporter: Exporter,
    _folder: tempfile::TempDir,
}

impl House {
    fn new(health: Answer, traffic: Answer) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let api = Api::start(edge_api(health, traffic));
        let exporter = Exporter::serve(api.address, &token_file(&folder), FLAGS);
        Self { api, exporter, _folder: folder }
    }

    /// Waits until good answers are shown.
    fn in_order() -> Self {
        let mut house = Self::new(good_health(), good_traffic());
        house.await_page("the edge", |page| pass_ratio(page, "ipsec-1") == Some(0.9));
        house.await_page("the traffic", |page| page.all("tunnel_edge_traffic_bytes_per_second", &[]).len() == 2);
        house
    }

    fn await_page(&mut self, what: &str, check: impl Fn(&Samples) -> bool) {
        self.exporter.await_page(what, SOON, |page| check(page).then_some(()));
    }
}

/// Good lists of tunnels, and these answers to the queries.
fn edge_api(health: Answer, traffic: Answer) -> Answer {
    with_edge(all_is_well(), health, traffic)
}

/// Answers to the queries beside those of the lists.
pub(crate) fn with_edge(lists: Answer, health: Answer, traffic: Answer) -> Answer {
    Arc::new(move |request: &Request, wire: &mut api::Wire<'_>| match request.collection() {
        "settings" => data(&json!({ "settings": {
            "magicTransitTunnelHealthChecksAdaptiveGroups": { "enabled": true, "maxPageSize": 10_000 },
            "magicTransitNetworkAnalyticsAdaptiveGroups": { "enabled": true, "maxPageSize": 10_000 },
        } }))(request, wire),
        "edge_health" => health(request, wire),
        "edge_traffic" => traffic(request, wire),
        _ => lists(request, wire),
    })
}

/// A good answer with this account.
fn data(account: &Value) -> Answer {
    api::json("200 OK", json!({ "data": { "viewer": { "accounts": [account] } }, "errors": null }).to_string())
}

fn failing(status: &str, message: &str) -> Answer {
    api::json(status, json!({ "data": null, "errors": [{ "message": message }] }).to_string())
}

pub(crate) fn result(name: &str, status: &str, count: impl Into<Value>) -> Value {
    let dimensions = json!({ "tunnelName": name, "siteName": "Frankfurt", "resultStatus": status });
    json!({ "count": count.into(), "avg": { "sampleInterval": 1 }, "dimensions": dimensions })
}

fn state(name: &str, state: f64) -> Value {
    json!({ "count": 9, "avg": { "tunnelState": state }, "dimensions": { "tunnelName": name } })
}

pub(crate) fn health(results: &[Value]) -> Answer {
    let minute = |minute: &str, count: i64| json!({ "count": count, "dimensions": { "datetimeMinute": minute } });
    // Minutes in the future, of the calendar's end, without checks and without a time are no data.
    let minutes = [
        minute("2099-01-01T00:00:00Z", 9),
        minute("9999-12-31T23:59:00Z", 9),
        minute("20000-01-01T00:00:00Z", 9),
        minute("2026-10-05T09:01:00Z", -9),
        minute("soon", 9),
        minute(COMPLETE_MINUTE, 9),
    ];
    data(&json!({ "results": results, "states": [state("ipsec-1", 0.75)], "minutes": minutes }))
}

fn good_health() -> Answer {
    health(&[result("gre-1", "timeout", 100), result("ipsec-1", "ok", 90), result("ipsec-1", "timeout", 10)])
}

pub(crate) fn good_traffic() -> Answer {
    let row = |side: &str, bits: u64| {
        let dimensions = json!({ format!("{side}TunnelID"): id_of("ipsec-1"), format!("{side}TunnelName"): "ipsec-1" });
        json!({ "sum": { "bits": bits, "packets": 300 }, "dimensions": dimensions })
    };
    data(&json!({ "from_site": [row("ingress", 2400)], "to_site": [row("egress", 240_000)] }))
}

fn pass_ratio(page: &Samples, tunnel: &str) -> Option<f64> {
    page.value("tunnel_edge_pass_ratio", &[("tunnel_name", tunnel)])
}

fn failures(page: &Samples, collection: &str, reason: &str) -> f64 {
    let labels = [("collection", collection), ("reason", reason)];
    page.value("api_request_failures_total", &labels).expect("every reason has a series")
}

#[test]
fn what_the_edge_measures_is_on_every_page() {
    let mut house = House::in_order();
    let page = house.exporter.samples();
    let ipsec =
        |name: &str, labels: &[(&str, &str)]| page.value(name, &[&[("tunnel_name", "ipsec-1")], labels].concat());
    assert_eq!(ipsec("tunnel_edge_state", &[("state", "healthy")]), Some(1.0));
    assert_eq!(ipsec("tunnel_edge_checks", &[("result", "timeout")]), Some(10.0));
    assert_eq!(ipsec("tunnel_edge_routing_score", &[]), Some(0.75));
    assert_eq!(ipsec("tunnel_edge_traffic_bytes_per_second", &[("direction", "to_site")]), Some(100.0));
    assert_eq!(ipsec("tunnel_edge_traffic_packets_per_second", &[("direction", "from_site")]), Some(1.0));
    assert_eq!(ipsec("tunnel_site_info", &[("site", "Frankfurt")]), Some(1.0));
    assert_eq!(page.value("tunnel_edge_state", &[("tunnel_name", "gre-1"), ("state", "down")]), Some(1.0));
    for (name, value) in [("edge_unmatched", 0.0), ("edge_tunnels_without_data", 0.0)] {
        assert_eq!(page.value(name, &[]), Some(value), "{name}");
    }
    let address = house.exporter.address;
    let tunnel: Value = serde_json::from_str(&http::text(address, "/api/v1/tunnels?search=ipsec-1")).expect("JSON");
    let tunnel = &tunnel["tunnels"][0];
    assert_eq!((&tunnel["edge"]["state"], &tunnel["edge"]["checks"]["ok"]), (&json!("healthy"), &json!(90)));
    assert_eq!(tunnel["edge"]["traffic"]["to_site_bytes_per_second"], json!(100.0));
    assert_eq!((&tunnel["verdict"]["edge"], &tunnel["site"]), (&json!("up"), &json!("Frankfurt")));
    let path = format!("/tunnels/{ACCOUNT}/ipsec/{}", id_of("ipsec-1"));
    let html = http::text(address, &path);
    assert!(html.contains("Cloudflare's edge") && html.contains("0.800\u{a0}kbit/s"), "{html}");
    house.exporter.process.assert_running();
}

#[test]
fn queries_are_fixed_texts_with_variables_and_carry_the_token() {
    let house = House::in_order();
    let queries: Vec<Request> =
        house.api.requests().into_iter().filter(|request| request.line.starts_with("POST ")).collect();
    for request in &queries {
        assert_eq!(request.line, "POST /client/v4/graphql HTTP/1.1");
        assert_eq!(request.header("authorization"), Some(&*format!("Bearer {TOKEN}")));
        assert_eq!(request.header("content-type"), Some("application/json"));
        let body: Value = serde_json::from_str(&request.body).expect("JSON");
        assert!(!body["query"].as_str().expect("a text").contains(ACCOUNT));
        assert_eq!(body["variables"]["account"], json!(ACCOUNT));
    }
    let settings = queries.iter().filter(|request| request.collection() == "settings").count();
    let traffic = queries.iter().filter(|request| request.collection() == "edge_traffic").count();
    assert_eq!(settings, 1, "asked at the start and then once a day");
    assert!(traffic <= 2, "a bucket of traffic is asked for once");
}

#[test]
fn without_the_flag_nothing_is_asked_and_nothing_is_shown() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let api = Api::start(edge_api(good_health(), good_traffic()));
    let exporter = Exporter::serve(api.address, &token_file(&folder), &[]);
    exporter.await_ready();
    let page = exporter.samples();
    assert!(!page.0.iter().any(|sample| sample.name.contains("_edge_")));
    assert!(!page.0.iter().any(|sample| sample.labels.values().any(|value| value.starts_with("edge_h"))));
    assert!(api.requests().iter().all(|request| request.line.starts_with("GET ")));
}

#[test]
fn single_data_centers_have_scores_if_they_are_configured() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let row = |colo: &str, state: f64| {
        let dimensions = json!({ "tunnelName": "ipsec-1", "edgeColoName": colo });
        json!({ "count": 9, "avg": { "tunnelState": state }, "dimensions": dimensions })
    };
    let good = edge_api(good_health(), good_traffic());
    let colos = data(&json!({ "colos": [row("ams01", 0.5), row("fra01", 1.0), row("lhr01", 0.0)] }));
    let with = |colos: Answer| -> Answer {
        let good = Arc::clone(&good);
        Arc::new(move |request: &Request, wire: &mut api::Wire<'_>| match request.collection() {
            "edge_colos" => colos(request, wire),
            _ => good(request, wire),
        })
    };
    let api = Api::start(with(colos));
    let flags = [FLAGS, &["--edge.colos=fra01,ams01"]].concat();
    let mut exporter = Exporter::serve(api.address, &token_file(&folder), &flags);
    let score = |page: &Samples, colo| page.value("tunnel_edge_colo_score", &[("colo", colo)]);
    exporter.await_page("the scores", SOON, |page| score(page, "fra01").map(drop));
    let page = exporter.samples();
    assert_eq!(["ams01", "fra01", "lhr01"].map(|colo| score(&page, colo)), [Some(0.5), Some(1.0), None]);
    let asked = api.requests().into_iter().find(|request| request.collection() == "edge_colos").expect("a request");
    let asked: Value = serde_json::from_str(&asked.body).expect("JSON");
    assert_eq!(asked["variables"]["colos"], json!(["fra01", "ams01"]));
    let tunnel: Value =
        serde_json::from_str(&http::text(exporter.address, "/api/v1/tunnels?search=ipsec-1")).expect("JSON");
    assert_eq!(tunnel["tunnels"][0]["edge"]["colo_scores"], json!({ "ams01": 0.5, "fra01": 1.0 }));

    api.answer_with(with(failing("400 Bad Request", "unknown field \"edgeColoName\"")));
    exporter.await_page("no scores", SOON, |page| score(page, "fra01").is_none().then_some(()));
    let page = exporter.samples();
    assert_eq!(pass_ratio(&page, "ipsec-1"), Some(0.9), "the health checks do not depend on the scores");
    assert_eq!(page.value("collection_up", &[("collection", "edge_health")]), Some(1.0));
}

#[test]
fn a_bad_answer_is_counted_and_the_last_good_one_stays() {
    let partial = json!({
        "data": { "viewer": { "accounts": [{ "results": null, "states": [], "minutes": [] }] } },
        "errors": [{ "message": "unknown field \"siteName\"", "path": ["viewer", "accounts", 0, "results"] }],
    });
    let none = json!({ "data": { "viewer": { "accounts": [] } } });
    let whole = json!({ "data": { "viewer": { "accounts": [{ "results": [] }] } } }).to_string();
    for (bad, reason) in [
        (answer("200 OK", "Content-Type: text/html\r\n", "<html>"), "not_json"),
        (api::json("200 OK", &whole[..40]), "decode"),
        (api::json("200 OK", r#"{"data":null}"#), "decode"),
        (api::json("200 OK", partial.to_string()), "query"),
        (api::json("200 OK", none.to_string()), "auth"),
        (failing("200 OK", "rate limiter budget depleted, try again after 5 minutes"), "rate_limited"),
        (failing("400 Bad Request", "unknown field \"siteName\""), "query"),
        (failing("403 Forbidden", "account does not have access to the path"), "not_entitled"),
        (failing("503 Service Unavailable", "too many queries in progress"), "server"),
        (answer("404 Not Found", "", ""), "not_found"),
    ] {
        let mut house = House::in_order();
        house.api.answer_with(edge_api(bad, good_traffic()));
        house.await_page(reason, |page| failures(page, "edge_health", reason) >= 1.0);
        house.await_page("collection_up at 0", |page| {
            page.value("collection_up", &[("collection", "edge_health")]) == Some(0.0)
        });
        let page = house.exporter.samples();
        assert_eq!(pass_ratio(&page, "ipsec-1"), Some(0.9), "after {reason}");
        for collection in ["ipsec_tunnels", "gre_tunnels", "edge_traffic"] {
            assert_eq!(page.value("collection_up", &[("collection", collection)]), Some(1.0), "{collection}, {reason}");
        }
        assert!(!house.exporter.process.said().contains("siteName"), "the log quotes no answer");
        house.exporter.process.assert_running();
    }
}

#[test]
fn only_what_an_answer_states_is_shown() {
    let mut house = House::in_order();
    let huge = 9_007_199_254_740_993_u64;
    house.api.answer_with(edge_api(
        health(&[
            result("gre-1", "ok", -5),
            result("gre-1", "timeout", 500),
            result("ipsec-1", "ok", huge),
            result("ipsec-1", "ok", huge),
            result("ipsec-1", "lost", 7),
            result("cni-1", "ok", 100),
            result("ipsec-1-renamed", "ok", 100),
            json!(null),
            json!({ "count": 5 }),
        ]),
        good_traffic(),
    ));
    house.await_page("the odd rows", |page| page.value("edge_unmatched", &[]) == Some(2.0));
    let page = house.exporter.samples();
    assert_eq!(pass_ratio(&page, "gre-1"), None, "one of its numbers is not known");
    let minute: jiff::Timestamp = COMPLETE_MINUTE.parse().expect("a time");
    let newest = page.value("edge_newest_data_timestamp_seconds", &[]);
    assert_eq!(newest, Some(minute.as_second() as f64), "a date in the future is not shown");
    let count = |result| page.value("tunnel_edge_checks", &[("tunnel_name", "ipsec-1"), ("result", result)]);
    assert_eq!((count("ok"), count("other")), (Some(huge as f64), Some(7.0)), "a row twice is one row");
    let unknown = |field| page.value("unknown_values_total", &[("field", field)]).expect("a series");
    assert!(unknown("result_status") >= 1.0 && unknown("edge_row") >= 3.0);
    house.exporter.process.assert_running();
}

#[test]
fn a_body_without_end_does_not_fill_the_memory() {
    let mut house = House::in_order();
    let endless: Answer = Arc::new(|_: &Request, wire: &mut api::Wire<'_>| {
        wire.write("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n{\"data\":{\"viewer\":{\"accounts\":[{\"results\":[")?;
        let rows = format!("{},", result("ipsec-1", "ok", 1)).repeat(1000);
        loop {
            wire.write(&rows)?;
        }
    });
    house.api.answer_with(edge_api(endless, good_traffic()));
    // A busy machine reaches the timeout before the limit.
    house.await_page("a body that is too large", |page| {
        failures(page, "edge_health", "too_large") + failures(page, "edge_health", "timeout") >= 1.0
    });
    let memory = house.exporter.samples();
    let memory = memory.0.iter().find(|sample| sample.name == "process_resident_memory_bytes").expect("memory").value;
    assert!(memory < 200e6, "{memory} bytes");
    assert_eq!(pass_ratio(&house.exporter.samples(), "ipsec-1"), Some(0.9));
}

#[test]
fn check_names_the_permission_and_measures_the_delay() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let token = token_file(&folder);
    let check = |answer: Answer| {
        let api = Api::start(answer);
        let ended = run(program()
            .args(["check", "--edge.enabled", "--cloudflare.account-id", ACCOUNT])
            .arg(format!("--cloudflare.api-url=http://{}/client/v4", api.address))
            .arg(format!("--cloudflare.api-token-file={}", token.display()))
            .arg(format!("--web.listen-address={}", free_address())));
        ended.stdout
    };
    let said = check(edge_api(good_health(), good_traffic()));
    for line in ["can read the analytics", "edge_health can be read: 2 tunnels", "`edge.delay` 2m is too short"] {
        assert!(said.contains(line), "{line}:\n{said}");
    }
    let denied = failing("403 Forbidden", "not authorized for that account");
    let lists = all_is_well();
    let said =
        check(Arc::new(
            move |request: &Request, wire: &mut api::Wire<'_>| {
                if request.line.starts_with("POST ") { denied(request, wire) } else { lists(request, wire) }
            },
        ));
    assert!(said.contains("cannot read the analytics") && said.contains("`Account Analytics Read`"), "{said}");
}

#[test]
fn the_demo_shows_what_the_edge_of_its_sandbox_measures() {
    let demo = Exporter::demo();
    demo.await_ready();
    eventually("every tunnel of the demo in the edge's data", SOON, || {
        let page = demo.samples();
        // The sandbox has no health checks of interconnects.
        let listed = page.all("tunnel_info", &[]).into_iter();
        let tunnels = listed.filter(|one| one.labels["tunnel_type"] != "interconnect").count();
        let seen = page.all("tunnel_edge_pass_ratio", &[]).len();
        if tunnels > 0 && tunnels == seen { Ok(()) } else { Err(format!("{seen} of {tunnels}")) }
    });
    let page = demo.samples();
    for collection in ["edge_health", "edge_traffic"] {
        assert_eq!(page.value("collection_up", &[("collection", collection)]), Some(1.0), "{collection}");
    }
    let prg = [("tunnel_name", "prg-gre-1"), ("state", "down")];
    assert_eq!(page.value("tunnel_edge_state", &prg), Some(1.0));
    assert_eq!(page.value("edge_unmatched", &[]), Some(0.0));
}

#[test]
fn the_demo_shows_a_tunnel_that_works_although_cloudflares_checks_of_it_fail() {
    let demo = Exporter::demo();
    demo.await_ready();
    let fault = [("tunnel_name", "prg-gre-1"), ("verdict", "check_fault")];
    // The probes must have answered since before the begin of the reported minute.
    eventually("the check fault", 8 * SOON, || {
        let page = demo.samples();
        if page.value("tunnel_verdict", &fault) == Some(1.0) { Ok(()) } else { Err("no check fault".to_owned()) }
    });
    let html = http::text(demo.address, "/?search=prg-gre-1");
    assert!(html.contains("prg-gre-1") && html.contains("Check fault"), "{html}");
    let tunnel: Value =
        serde_json::from_str(&http::text(demo.address, "/api/v1/tunnels?search=prg-gre-1")).expect("JSON");
    let verdict = &tunnel["tunnels"][0]["verdict"];
    assert_eq!(
        (&verdict["verdict"], &verdict["edge"], &verdict["inside"]),
        (&json!("check_fault"), &json!("down"), &json!("answers"))
    );
}
