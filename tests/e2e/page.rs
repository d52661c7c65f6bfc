//! The page of metrics, read by other programs, and the endpoints beside it.

use std::{
    collections::{BTreeMap, BTreeSet},
    process::Command,
};

use serde_json::Value;

use crate::prometheus::Prometheus;
use crate::sandbox::Sandbox;
use crate::support::{
    SOON, eventually,
    exporter::Exporter,
    free_address, http,
    samples::{Samples, series_of},
    tools,
};

pub(crate) const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
pub(crate) const CLASSIC: &str = "text/plain; version=0.0.4; charset=utf-8";

/// The `Accept` header of Prometheus.
const PROMETHEUS_ACCEPTS: &str = "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,\
                                  text/plain;version=0.0.4;q=0.5,*/*;q=0.1";

/// The documented metrics of a tunnel, with the labels beyond the four of every tunnel.
const OF_A_TUNNEL: [(&str, &str, &[&str]); 31] = [
    (
        "tunnel_info",
        "gauge",
        &["customer_endpoint", "cloudflare_endpoint", "interface_address", "interface_address6", "description"],
    ),
    ("tunnel_site_info", "gauge", &["site"]),
    ("tunnel_bgp_configured", "gauge", &[]),
    ("tunnel_bgp_up", "gauge", &[]),
    ("tunnel_bgp_state", "gauge", &["state"]),
    ("tunnel_bgp_tcp_established", "gauge", &[]),
    ("tunnel_bgp_status_timestamp_seconds", "gauge", &[]),
    ("tunnel_bgp_info", "gauge", &["customer_asn", "fsm_state", "md5"]),
    ("tunnel_bgp_extra_prefixes", "gauge", &[]),
    ("tunnel_bgp_state_changes_total", "counter", &[]),
    ("tunnel_health_check_enabled", "gauge", &[]),
    ("tunnel_health_check_info", "gauge", &["check_type", "direction", "rate", "target", "target_source"]),
    ("tunnel_created_timestamp_seconds", "gauge", &[]),
    ("tunnel_modified_timestamp_seconds", "gauge", &[]),
    ("tunnel_automatic_return_routing", "gauge", &[]),
    ("tunnel_replay_protection", "gauge", &[]),
    ("tunnel_null_cipher_allowed", "gauge", &[]),
    ("tunnel_mtu_bytes", "gauge", &[]),
    ("tunnel_ttl_hops", "gauge", &[]),
    ("tunnel_finding", "gauge", &["finding"]),
    ("tunnel_reachable", "gauge", &[]),
    ("tunnel_probe_up", "gauge", &["probe_target"]),
    ("tunnel_probe_requests_total", "counter", &["probe_target"]),
    ("tunnel_probe_replies_total", "counter", &["probe_target"]),
    ("tunnel_probe_failures_total", "counter", &["probe_target", "reason"]),
    ("tunnel_probe_rtt_seconds", "histogram", &["probe_target"]),
    ("tunnel_probe_last_reply_timestamp_seconds", "gauge", &["probe_target"]),
    ("tunnel_verdict", "gauge", &["verdict"]),
    ("tunnel_verdict_changed_timestamp_seconds", "gauge", &[]),
    ("tunnel_verdict_changes_total", "counter", &[]),
    ("tunnel_routes", "gauge", &[]),
];

/// The other documented metrics, with all their labels.
const OF_THE_EXPORTER: [(&str, &str, &[&str]); 30] = [
    ("agents", "gauge", &["state"]),
    ("inventory_served_total", "counter", &["code"]),
    ("log_lines_dropped_total", "counter", &[]),
    ("tunnels", "gauge", &["account", "tunnel_type"]),
    ("routes", "gauge", &["account"]),
    ("routes_unmatched", "gauge", &["account"]),
    ("prefixes_at_risk", "gauge", &["account"]),
    ("prefixes_lost", "gauge", &["account"]),
    ("api_requests_total", "counter", &["account", "collection", "code"]),
    ("api_request_failures_total", "counter", &["account", "collection", "reason"]),
    ("api_request_duration_seconds", "histogram", &["collection"]),
    ("collection_up", "gauge", &["account", "collection"]),
    ("poll_last_success_timestamp_seconds", "gauge", &["account", "collection"]),
    ("poll_duration_seconds", "gauge", &["account", "collection"]),
    ("poll_interval_seconds", "gauge", &[]),
    ("unknown_values_total", "counter", &["field"]),
    ("tunnels_rejected", "gauge", &["account", "reason"]),
    ("probe_targets", "gauge", &[]),
    ("probe_targets_refused", "gauge", &["reason"]),
    ("probe_in_flight", "gauge", &[]),
    ("probe_schedule_lag_seconds", "histogram", &[]),
    ("probe_socket_up", "gauge", &["ip_version", "mode"]),
    ("probe_socket_drops_total", "counter", &["ip_version"]),
    ("config_last_reload_successful", "gauge", &[]),
    ("config_last_reload_success_timestamp_seconds", "gauge", &[]),
    ("config_reload_failures_total", "counter", &[]),
    ("config_reloads_total", "counter", &[]),
    ("exporter_build_info", "gauge", &["version", "revision"]),
    ("tunnel_psk_generated_timestamp_seconds", "gauge", &["account", "tunnel_id", "tunnel_name", "tunnel_type"]),
    ("tunnel_custom_identity", "gauge", &["account", "tunnel_id", "tunnel_name", "tunnel_type"]),
];

pub(crate) fn scrape(exporter: &Exporter, accept: &str) -> http::Reply {
    let headers = if accept.is_empty() { vec![] } else { vec![("Accept", accept)] };
    let reply = http::request(exporter.address, "GET", "/metrics", &headers).expect("a page");
    assert_eq!(reply.status, 200);
    reply
}

/// Metrics that have no series before the first reply to an echo.
const NEEDS_ANSWERS: [&str; 3] = ["tunnel_reachable", "tunnel_probe_up", "tunnel_probe_last_reply_timestamp_seconds"];

/// A demo in which every probe has a result, or probes cannot be sent.
fn settled_demo() -> Exporter {
    let mut demo = ready_demo();
    demo.await_page("the probes to settle", SOON, |page| {
        let mute = page.value("probe_socket_up", &[("ip_version", "4")])? == 0.0;
        let settled = page.all("tunnel_probe_up", &[]).len() == page.all("tunnel_probe_requests_total", &[]).len();
        (mute || settled).then_some(())
    });
    demo
}

fn ready_demo() -> Exporter {
    let demo = Exporter::demo();
    demo.await_ready();
    demo
}

/// The page as parsed by `prometheus_client`. Panics if it rejects the page. `None` if it is not installed.
pub(crate) fn read_by_python(form: &str, page: &str) -> Option<Vec<Value>> {
    let python = tools::python("prometheus_client")?;
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/openmetrics/parse.py");
    let output = tools::run(Command::new(python).args([script, form]), page);
    assert!(output.status.success(), "{form}: {}\n{page}", String::from_utf8_lossy(&output.stderr));
    Some(serde_json::from_slice(&output.stdout).expect("JSON from parse.py"))
}

/// The name and the labels of every sample.
fn series(families: &[Value]) -> BTreeSet<String> {
    let samples = families.iter().flat_map(|family| family["samples"].as_array().expect("samples"));
    samples.map(|sample| format!("{} {}", sample[0], sample[1])).collect()
}

#[test]
fn promtool_accepts_the_page_without_warnings() {
    let Some(promtool) = tools::tool("promtool") else { return };
    let demo = ready_demo();
    let output = tools::run(Command::new(promtool).args(["check", "metrics"]), &scrape(&demo, "").text());
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert!(output.status.success() && said.is_empty(), "promtool: {said}");
}

#[test]
fn strict_parsers_of_another_project_read_the_same_series_in_both_formats() {
    let demo = settled_demo();
    // The story and the probes may add a series between the two scrapes.
    eventually("the same series in both formats", SOON, || {
        let Some(openmetrics) = read_by_python("openmetrics", &scrape(&demo, OPENMETRICS).text()) else {
            return Ok(());
        };
        let classic = read_by_python("classic", &scrape(&demo, CLASSIC).text()).expect("the same python");
        let (openmetrics, classic) = (series(&openmetrics), series(&classic));
        assert!(openmetrics.len() > 100, "only {} series", openmetrics.len());
        let lone: Vec<_> = openmetrics.symmetric_difference(&classic).collect();
        if lone.is_empty() { Ok(()) } else { Err(format!("only in one format: {lone:#?}")) }
    });
}

#[test]
fn every_documented_metric_is_on_the_page_with_its_type_and_labels() {
    const L: [&str; 4] = ["account", "tunnel_id", "tunnel_name", "tunnel_type"];
    let page = scrape(&settled_demo(), "").text();
    // Without permission to send echoes there are no replies.
    let mute = Samples::parse(&page).value("probe_socket_up", &[("ip_version", "4")]) == Some(0.0);
    let mut labels: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for sample in Samples::parse(&page).0 {
        let name = sample.name.strip_suffix("_bucket").unwrap_or(&sample.name);
        let names = sample.labels.into_keys().filter(|label| label != "le");
        labels.entry(name.to_owned()).or_default().extend(names);
    }
    let of_a_tunnel = OF_A_TUNNEL.iter().map(|&(name, kind, more)| (name, kind, [&L, more].concat()));
    let others = OF_THE_EXPORTER.iter().map(|&(name, kind, all)| (name, kind, all.to_vec()));
    let mut complaints = Vec::new();
    for (name, kind, expected) in of_a_tunnel.chain(others) {
        let name = format!("cloudflare_magic_{name}");
        let expected: BTreeSet<String> = expected.into_iter().map(str::to_owned).collect();
        match labels.get(&name) {
            None if mute && NEEDS_ANSWERS.iter().any(|needs| name.ends_with(needs)) => {}
            None => complaints.push(format!("{name} is missing")),
            Some(found) if *found != expected => {
                complaints.push(format!("{name} has labels {found:?}, not {expected:?}"));
            }
            Some(_) => {}
        }
        if !page.contains(&format!("# TYPE {name} {kind}\n")) {
            complaints.push(format!("{name} is not declared as a {kind}"));
        }
        if !page.contains(&format!("# HELP {name} ")) {
            complaints.push(format!("{name} has no HELP"));
        }
    }
    for name in
        ["process_cpu_seconds_total", "process_resident_memory_bytes", "process_start_time_seconds", "process_open_fds"]
    {
        if !labels.contains_key(name) {
            complaints.push(format!("{name} is missing"));
        }
    }
    assert!(complaints.is_empty(), "{}\n{page}", complaints.join("\n"));
}

#[test]
fn a_state_is_one_of_a_closed_list_and_each_member_has_a_series() {
    let page = ready_demo().samples();
    let mut tunnels: BTreeMap<&str, Vec<(&str, f64)>> = BTreeMap::new();
    for sample in page.all("tunnel_bgp_state", &[]) {
        tunnels.entry(&sample.labels["tunnel_id"]).or_default().push((&sample.labels["state"], sample.value));
    }
    assert!(!tunnels.is_empty());
    for (tunnel, states) in tunnels {
        let names: BTreeSet<&str> = states.iter().map(|(name, _)| *name).collect();
        assert_eq!(names, BTreeSet::from(["down", "establishing", "unknown", "up"]), "{tunnel}");
        assert_eq!(states.iter().filter(|(_, value)| *value == 1.0).count(), 1, "{tunnel}: {states:?}");
        assert_eq!(states.iter().map(|(_, value)| value).sum::<f64>(), 1.0, "{tunnel}: {states:?}");
    }
}

#[test]
fn two_scrapes_can_be_compared_line_by_line() {
    let (one, other) = (ready_demo(), ready_demo());
    for accept in [OPENMETRICS, CLASSIC] {
        // A series, for example of a status code, may appear between the two scrapes.
        eventually("the same series in the same order", SOON, || {
            let [first, second] = [&one, &other].map(|demo| series_of(&scrape(demo, accept).text()));
            if first == second { Ok(()) } else { Err(format!("{first}\n---\n{second}")) }
        });
    }
}

#[test]
fn the_format_follows_the_accept_header() {
    let demo = ready_demo();
    let table = [
        ("", CLASSIC),
        ("*/*", CLASSIC),
        ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", CLASSIC),
        (CLASSIC, CLASSIC),
        (OPENMETRICS, OPENMETRICS),
        (PROMETHEUS_ACCEPTS, OPENMETRICS),
        ("application/openmetrics-text;version=1.0.0;q=0,text/plain;version=0.0.4", CLASSIC),
        ("application/openmetrics-text;version=1.0.0;q=0.2,text/plain;version=0.0.4;q=0.9", CLASSIC),
        ("gibberish;;;q=,", CLASSIC),
    ];
    for (accept, expected) in table {
        let reply = scrape(&demo, accept);
        assert_eq!(media_type(&reply), media_type_of(expected), "Accept: {accept:?}");
        assert!(reply.header("vary").to_lowercase().contains("accept"), "Accept: {accept:?}: no Vary");
        let ends = reply.text().ends_with("# EOF\n");
        assert_eq!(ends, expected == OPENMETRICS, "Accept: {accept:?}: only an OpenMetrics page ends with `# EOF`");
    }
}

/// The content type with its version only, without blanks.
fn media_type(reply: &http::Reply) -> String {
    media_type_of(&reply.header("content-type"))
}

fn media_type_of(text: &str) -> String {
    let mut parts = text.split(';').map(str::trim);
    let kind = parts.next().unwrap_or_default();
    let version = parts.find(|part| part.starts_with("version=")).unwrap_or_default();
    format!("{kind};{version}")
}

#[test]
fn the_page_is_compressed_on_request() {
    let demo = ready_demo();
    let asking =
        |encoding| http::request(demo.address, "GET", "/metrics", &[("Accept-Encoding", encoding)]).expect("a page");
    // A probe may add a series between the two scrapes.
    eventually("the same series, compressed and plain", SOON, || {
        let (plain, zipped) = (scrape(&demo, ""), asking("gzip, deflate"));
        assert_eq!(plain.header("content-encoding"), "");
        assert_eq!(zipped.header("content-encoding"), "gzip");
        assert!(zipped.header("vary").to_lowercase().contains("accept-encoding"), "Vary: {}", zipped.header("vary"));
        assert!(zipped.body.len() < plain.body.len() / 3, "{} of {} bytes", zipped.body.len(), plain.body.len());
        let [zipped, plain] = [zipped, plain].map(|reply| series_of(&reply.text()));
        if zipped == plain { Ok(()) } else { Err(format!("{zipped}\n---\n{plain}")) }
    });
    assert_eq!(asking("gzip;q=0, identity").header("content-encoding"), "");
}

#[test]
fn a_chunked_page_is_read_completely_by_every_parser() {
    const TUNNELS: usize = 1_000;
    let folder = tempfile::tempdir().expect("a temporary folder");
    let sandbox = Sandbox::start_with(free_address(), &["--sandbox.tunnels=1000"]);
    let mut exporter = sandbox.watched(&folder, &[]);
    exporter.await_page("all tunnels", SOON, |page| (page.all("tunnel_info", &[]).len() >= TUNNELS).then_some(()));
    for (accept, coding) in [(OPENMETRICS, "gzip"), (OPENMETRICS, "identity"), (CLASSIC, "gzip"), (CLASSIC, "identity")]
    {
        let headers = [("Accept", accept), ("Accept-Encoding", coding)];
        let reply = http::request(exporter.address, "GET", "/metrics", &headers).expect("a page");
        assert_eq!(reply.header("transfer-encoding"), "chunked", "{accept} {coding}");
        let page = Samples::parse(&reply.text());
        assert!(page.all("tunnel_info", &[]).len() >= TUNNELS, "{accept} {coding}");
    }
    if let Some(families) = read_by_python("openmetrics", &scrape(&exporter, OPENMETRICS).text()) {
        assert!(series(&families).len() > 10 * TUNNELS);
    }
    let Some(prometheus) = Prometheus::scraping(exporter.address) else { return };
    prometheus.await_query(
        "count(cloudflare_magic_tunnel_info)",
        SOON,
        |found| matches!(found, [(_, count)] if *count >= TUNNELS as f64),
    );
}

#[test]
fn a_scrape_may_choose_groups_of_metrics() {
    let demo = ready_demo();
    let page = Samples::parse(&http::text(demo.address, "/metrics?collect[]=bgp&collect%5B%5D=health_check"));
    assert!(!page.all("tunnel_bgp_up", &[]).is_empty() && !page.all("tunnel_health_check_enabled", &[]).is_empty());
    assert!(page.0.iter().all(|sample| sample.name.contains("_bgp_") || sample.name.contains("_health_check_")));
    let page = Samples::parse(&http::text(demo.address, "/metrics?exclude[]=rtt&exclude[]=exporter"));
    assert!(!page.all("tunnel_info", &[]).is_empty());
    assert!(page.0.iter().all(|sample| !sample.name.contains("_rtt_") && !sample.name.starts_with("process_")));
    let page = Samples::parse(&http::text(demo.address, "/metrics?exclude[]=rtt_buckets"));
    assert!(!page.all("tunnel_probe_rtt_seconds_sum", &[]).is_empty(), "sums and counts are kept");
    assert!(page.0.iter().all(|sample| !sample.name.contains("_rtt_seconds_bucket")));
    for query in ["collect[]=unknown", "exclude[]=unknown", "collect[]=bgp&exclude[]=rtt"] {
        let reply = http::get(demo.address, &format!("/metrics?{query}")).expect("an answer");
        assert_eq!(reply.status, 400, "{query}");
        assert!(reply.text().contains("collect[]") || reply.text().contains("health_check"), "{}", reply.text());
    }
}

#[test]
fn head_returns_only_the_headers() {
    let demo = ready_demo();
    for path in ["/metrics", "/", "/-/healthy", "/-/ready"] {
        let reply = http::request(demo.address, "HEAD", path, &[]).expect("headers");
        assert_eq!((reply.status, reply.body.len()), (200, 0), "HEAD {path}");
        assert!(!reply.header("content-type").is_empty(), "HEAD {path}");
    }
}

#[test]
fn wrong_paths_and_methods_get_an_explanation() {
    let demo = ready_demo();
    for path in ["/nowhere", "/metrics/", "/metrics/../x", "/-/", "/%00"] {
        let reply = http::get(demo.address, path).expect("an answer");
        assert_eq!(reply.status, 404, "{path}");
        assert!(reply.text().contains("/metrics"), "{path}: it says where the metrics are: {}", reply.text());
    }
    for (method, path) in [("POST", "/metrics"), ("PUT", "/"), ("DELETE", "/-/healthy"), ("PATCH", "/-/ready")] {
        let reply = http::request(demo.address, method, path, &[]).expect("an answer");
        assert_eq!(reply.status, 405, "{method} {path}");
        assert!(reply.header("allow").contains("GET"), "{method} {path}: Allow: {}", reply.header("allow"));
        assert!(reply.text().contains(' '), "{method} {path} gets a sentence: {}", reply.text());
    }
}

#[test]
fn the_landing_page_links_to_the_metrics() {
    let demo = ready_demo();
    let reply = http::get(demo.address, "/").expect("an answer");
    assert_eq!(reply.status, 200);
    assert!(reply.header("content-type").starts_with("text/html"), "{}", reply.header("content-type"));
    assert!(reply.text().contains("/metrics"), "{}", reply.text());
}
