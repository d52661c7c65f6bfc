//! `docs/METRICS.md` is generated from the page of metrics.
//!
//! With `UPDATE_DOCS=1` the test writes the file. Otherwise it fails if the file is out of date.

use std::{
    collections::{BTreeMap, BTreeSet},
    env,
    fmt::Write as _,
    fs,
    path::Path,
};

use magic_tunnel_exporter::domain::{
    dataset::{Dataset, FailureReason},
    edge::{EdgeResult, HealthState, TrafficDirection},
    findings::Finding,
    inventory::RejectReason,
    label::Label,
    probe::{IpVersion, ProbeFailure, ProbeTarget, RefusalReason, SocketMode},
    routes::prefixes::HopState,
    tunnel::{BgpState, CheckDirection, CheckRate, CheckType, FsmState, TargetSource, TunnelType},
    verdict::Verdict,
};

use crate::{
    page::OPENMETRICS,
    support::{
        SOON, eventually,
        exporter::{Process, program},
        free_address, http,
        samples::Samples,
    },
};

const PREFIX: &str = "cloudflare_magic_";

/// The labels that every series of a tunnel has.
const OF_EVERY_TUNNEL: [&str; 4] = ["account", "tunnel_id", "tunnel_name", "tunnel_type"];

const HEAD: &str = "\
# Metrics

Do not edit: a test generates this file from the metrics page. To update it, run
`UPDATE_DOCS=1 cargo test --release --test e2e reference`.

All metrics with the prefix `cloudflare_magic_tunnel_` have the labels `account`, `tunnel_id`,
`tunnel_name` and `tunnel_type`; the tables list further labels. If a value is unknown, the metric
is omitted; it is never reported as 0. If a label has a fixed set of values, all its series exist
from the start, with value 0.
";

/// A chapter: its heading, its first paragraph, and name prefixes. A metric belongs to the first chapter with a
/// matching prefix.
const CHAPTERS: [(&str, &str, &[&str]); 7] = [
    (
        "Observed",
        "Only with `--probe`, except for the verdict: without probes it is based on Cloudflare's report.",
        &["tunnel_probe_", "tunnel_reachable", "tunnel_verdict"],
    ),
    (
        "Measured by Cloudflare's edge",
        "Only with `--edge.enabled`. The data is sampled and minutes old; it is omitted if the end of its time span is \
         older than `--edge.stale-after`.",
        &["tunnel_edge_", "edge_"],
    ),
    (
        "Routes and prefixes",
        "Static routes, and the state of their prefixes as it follows from the verdicts. Routes that are learned over \
         BGP are not in Cloudflare's list. Omitted if the last successful poll is older than `--poll.stale-after`, and \
         with `--routes.enabled=false`.",
        &["tunnel_routes", "routes", "prefix"],
    ),
    (
        "Reported by the API",
        "Updated at each poll; omitted if the last successful poll is older than `--poll.stale-after`.",
        &["tunnel_", "tunnels"],
    ),
    ("The prober", "Only with `--probe`.", &["probe_"]),
    ("The exporter", "The exporter itself and its polls.", &[""]),
    ("The process", "The standard process metrics of Prometheus client libraries.", &["process_"]),
];

/// Metrics without a sample in the demo, which does not watch path MTUs, and their labels.
const NOT_IN_THE_DEMO: [(&str, &str); 5] = [
    ("tunnel_probe_path_mtu_bytes", "probe_target"),
    ("tunnel_probe_expected_mtu_bytes", "probe_target"),
    ("tunnel_probe_mtu_black_hole", "probe_target"),
    ("tunnel_probe_mtu_requests_total", "probe_target"),
    ("tunnel_probe_mtu_replies_total", "probe_target"),
];

/// One metric as described by the page.
#[derive(Debug, Default)]
struct Metric {
    name: String,
    kind: String,
    help: String,
    labels: BTreeSet<String>,
}

#[test]
fn the_reference_of_the_metrics_equals_the_page() {
    let address = free_address();
    let state = tempfile::tempdir().expect("a temporary folder");
    let demo = Process::start(
        program()
            .args(["demo", "--probe.uplink=127.0.0.9", "--edge.colos=fra01", "--routes.prefix-metrics"])
            .arg(format!("--state.directory={}", state.path().display()))
            .arg(format!("--web.listen-address={address}"))
            .arg(format!("--sandbox.listen-address={}", free_address())),
    );
    let metrics = eventually("a sample of every metric", SOON, || {
        let page = http::request(address, "GET", "/metrics", &[("accept", OPENMETRICS)]).map_err(|e| e.to_string())?;
        complete(metrics(&page.text()))
    });
    drop(demo);
    let written = document(&metrics);
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/METRICS.md");
    if env::var_os("UPDATE_DOCS").is_some() {
        fs::write(&path, &written).expect("docs/METRICS.md");
    }
    let kept = fs::read_to_string(&path).unwrap_or_default();
    assert!(kept == written, "docs/METRICS.md is out of date; UPDATE_DOCS=1 writes it anew:\n{written}");
}

/// The metrics in the order of the page, with the labels of all their samples.
fn metrics(page: &str) -> Vec<Metric> {
    let mut metrics: Vec<Metric> = Vec::new();
    for line in page.lines() {
        let Some((word, rest)) = line.strip_prefix("# ").and_then(|line| line.split_once(' ')) else { continue };
        let Some((name, text)) = rest.split_once(' ') else { continue };
        if metrics.last().is_none_or(|metric| metric.name != name) {
            metrics.push(Metric { name: name.to_owned(), ..Metric::default() });
        }
        let metric = metrics.last_mut().expect("one was pushed");
        match word {
            "HELP" => text.clone_into(&mut metric.help),
            "TYPE" => text.clone_into(&mut metric.kind),
            _ => {}
        }
    }
    let mut labels: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (name, label) in NOT_IN_THE_DEMO {
        labels
            .entry(format!("{PREFIX}{name}"))
            .or_default()
            .extend([&OF_EVERY_TUNNEL[..], &[label]].concat().into_iter().map(str::to_owned));
    }
    for sample in Samples::parse(page).0 {
        labels.entry(sample.name).or_default().extend(sample.labels.into_keys().filter(|label| label != "le"));
    }
    for metric in &mut metrics {
        if metric.kind == "counter" {
            metric.name.push_str("_total");
        }
        let series = if metric.kind == "histogram" { format!("{}_count", metric.name) } else { metric.name.clone() };
        metric.labels = labels.remove(&series).unwrap_or_else(|| ["?".to_owned()].into());
    }
    metrics
}

/// The metrics. Returns an error if a metric has no sample yet that shows its labels.
fn complete(metrics: Vec<Metric>) -> Result<Vec<Metric>, String> {
    let missing: Vec<&str> =
        metrics.iter().filter(|metric| metric.labels.contains("?")).map(|metric| metric.name.as_str()).collect();
    if missing.is_empty() && !metrics.is_empty() { Ok(metrics) } else { Err(format!("none of {missing:?}")) }
}

fn document(metrics: &[Metric]) -> String {
    let mut text = HEAD.to_owned();
    let mut left: Vec<&Metric> = metrics.iter().collect();
    for (heading, introduction, beginnings) in CHAPTERS {
        let belongs = |metric: &&Metric| {
            let name = metric.name.strip_prefix(PREFIX);
            let name = name.or_else(|| beginnings.contains(&"process_").then_some(metric.name.as_str()));
            name.is_some_and(|name| beginnings.iter().any(|beginning| name.starts_with(beginning)))
        };
        let (here, others): (Vec<_>, Vec<_>) = left.into_iter().partition(belongs);
        left = others;
        let _ = write!(
            text,
            "\n## {heading}\n\n{introduction}\n\n| metric | type | labels | meaning |\n|---|---|---|---|\n"
        );
        for metric in here {
            let _ = writeln!(text, "{}", row(metric));
        }
    }
    assert!(left.is_empty(), "in no chapter: {left:?}");
    text.push_str("\n## Values of labels\n\n| label | in | values |\n|---|---|---|\n");
    for (label, of, values) in closed_lists() {
        let _ = writeln!(text, "| `{label}` | {of} | {} |", listed(values));
    }
    text
}

fn row(metric: &Metric) -> String {
    let of_a_tunnel = OF_EVERY_TUNNEL.iter().all(|label| metric.labels.contains(*label));
    let is_named_so = metric.name.starts_with("cloudflare_magic_tunnel_");
    assert_eq!(of_a_tunnel, is_named_so, "{} and its labels {:?}", metric.name, metric.labels);
    let beyond = metric.labels.iter().map(String::as_str);
    let labels = listed(beyond.filter(|label| !(of_a_tunnel && OF_EVERY_TUNNEL.contains(label))));
    format!("| `{}` | {} | {labels} | {} |", metric.name, metric.kind, metric.help.replace('|', "\\|"))
}

fn listed<'a>(words: impl IntoIterator<Item = &'a str>) -> String {
    words.into_iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", ")
}

/// The labels with a closed list of values, their metrics, and the values.
fn closed_lists() -> Vec<(&'static str, &'static str, Vec<&'static str>)> {
    fn all<T: Label>() -> Vec<&'static str> {
        T::ALL.iter().map(|value| value.as_str()).collect()
    }
    vec![
        ("tunnel_type", "every series of a tunnel", all::<TunnelType>()),
        ("verdict", "`tunnel_verdict`", all::<Verdict>()),
        ("finding", "`tunnel_finding`", all::<Finding>()),
        ("state", "`tunnel_bgp_state`", all::<BgpState>()),
        ("fsm_state", "`tunnel_bgp_info`", all::<FsmState>()),
        ("check_type", "`tunnel_health_check_info`", all::<CheckType>()),
        ("direction", "`tunnel_health_check_info`", all::<CheckDirection>()),
        ("rate", "`tunnel_health_check_info`", all::<CheckRate>()),
        ("target_source", "`tunnel_health_check_info`", all::<TargetSource>()),
        ("probe_target", "`tunnel_probe_*`", all::<ProbeTarget>()),
        ("reason", "`tunnel_probe_failures_total`", all::<ProbeFailure>()),
        ("collection", "`api_*`, `collection_up`, `poll_*`", all::<Dataset>()),
        ("reason", "`api_request_failures_total`", all::<FailureReason>()),
        ("reason", "`tunnels_rejected`", all::<RejectReason>()),
        ("reason", "`probe_targets_refused`", all::<RefusalReason>()),
        ("ip_version", "`probe_socket_*`", all::<IpVersion>()),
        ("mode", "`probe_socket_up`", all::<SocketMode>()),
        ("state", "`tunnel_edge_state`", all::<HealthState>()),
        ("result", "`tunnel_edge_checks`", all::<EdgeResult>()),
        ("direction", "`tunnel_edge_traffic_*`", all::<TrafficDirection>()),
        ("state", "`prefix_tunnels`", all::<HopState>()),
        ("dataset", "`edge_*`", vec![Dataset::EdgeHealth.as_str(), Dataset::EdgeTraffic.as_str()]),
    ]
}
