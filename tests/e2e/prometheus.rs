//! A real Prometheus scrapes the exporter, and its data is queried.

use std::{fmt::Write as _, net::SocketAddr, path::Path, process::Command, time::Duration};

use serde_json::Value;

use crate::sandbox::Sandbox;
use crate::support::{
    SOON, eventually,
    exporter::{Exporter, Process},
    free_address, http, tools,
};

/// Deadline of the next event in the demo's story.
const STORY: Duration = Duration::from_mins(4);

/// A running Prometheus. Its data is deleted when it is dropped.
pub(crate) struct Prometheus {
    process: Process,
    pub(crate) address: SocketAddr,
    _folder: tempfile::TempDir,
}

impl Prometheus {
    /// Scrapes `target` every second. `None` if Prometheus is not installed.
    pub(crate) fn scraping(target: SocketAddr) -> Option<Self> {
        Self::configured(&format!(
            "global: {{ scrape_interval: 1s, scrape_timeout: 1s }}\n\
             scrape_configs: [{{ job_name: magic, static_configs: [{{ targets: ['{target}'] }}] }}]\n"
        ))
    }

    /// Starts with this configuration, in which `ITSELF` is its own address. `None` if Prometheus is not installed.
    pub(crate) fn configured(config: &str) -> Option<Self> {
        Self::with_flags(config, &["--storage.tsdb.path=DATA"])
    }

    /// The same with flags, in which `DATA` is a folder of its own.
    pub(crate) fn with_flags(config: &str, flags: &[&str]) -> Option<Self> {
        let binary = tools::tool("prometheus")?;
        let folder = tempfile::tempdir().expect("a temporary folder");
        let file = folder.path().join("prometheus.yml");
        let address = free_address();
        std::fs::write(&file, config.replace("ITSELF", &address.to_string())).expect("a file in a temporary folder");
        let data = folder.path().join("data").display().to_string();
        let process = Process::start(
            Command::new(binary)
                .arg(format!("--config.file={}", file.display()))
                .args(flags.iter().map(|flag| flag.replace("DATA", &data)))
                .arg(format!("--web.listen-address={address}"))
                .arg("--log.level=warn"),
        );
        Some(Self::ready(process, address, folder))
    }

    fn ready(process: Process, address: SocketAddr, folder: tempfile::TempDir) -> Self {
        let prometheus = Self { process, address, _folder: folder };
        eventually("Prometheus to be ready", Duration::from_mins(1), || match http::get(address, "/-/ready") {
            Ok(reply) if reply.status == 200 => Ok(()),
            other => Err(format!("{other:?}; its output:\n{}", prometheus.process.said())),
        });
        prometheus
    }

    /// The instant vector of a query: the labels and the value of each member.
    pub(crate) fn query(&self, query: &str) -> Vec<(Value, f64)> {
        let path = format!("/api/v1/query?query={}", percent_encoded(query));
        let reply: Value = serde_json::from_str(&http::text(self.address, &path)).expect("JSON from Prometheus");
        let members = reply["data"]["result"].as_array().unwrap_or_else(|| panic!("{query}: {reply}"));
        let value = |member: &Value| member["value"][1].as_str().and_then(|text| text.parse().ok()).expect("a value");
        members.iter().map(|member| (member["metric"].clone(), value(member))).collect()
    }

    /// Waits until `check` accepts the vector of a query.
    pub(crate) fn await_query(&self, query: &str, within: Duration, check: impl Fn(&[(Value, f64)]) -> bool) {
        eventually(query, within, || {
            let found = self.query(query);
            if check(&found) { Ok(()) } else { Err(format!("{found:?}")) }
        });
    }
}

pub(crate) fn percent_encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(3 * text.len());
    for byte in text.bytes() {
        write!(encoded, "%{byte:02X}").expect("writing to a string");
    }
    encoded
}

#[test]
fn prometheus_sees_the_tunnel_that_is_down_and_the_changes_of_the_flapping_one() {
    let demo = Exporter::demo();
    let Some(prometheus) = Prometheus::scraping(demo.address) else { return };
    prometheus.await_query("up{job=\"magic\"}", SOON, |found| matches!(found, [(_, up)] if *up == 1.0));
    // A tunnel that is down from the start. Two series of one tunnel match without on() or group_left.
    prometheus.await_query(
        "cloudflare_magic_tunnel_bgp_up == 0 and cloudflare_magic_tunnel_bgp_configured == 1",
        SOON,
        |found| found.iter().any(|(labels, _)| labels["tunnel_name"] == "mad-gre-1"),
    );
    // Two changes of the flapping tunnel are counted.
    prometheus.await_query("cloudflare_magic_tunnel_bgp_state_changes_total >= 2", STORY, |found| {
        found.iter().any(|(labels, _)| labels["tunnel_name"] == "lon-ipsec-1")
    });
    let flapping = "increase(cloudflare_magic_tunnel_bgp_state_changes_total{tunnel_name='lon-ipsec-1'}[5m]) > 0";
    prometheus.await_query(flapping, STORY, |found| found.len() == 1);
    // No scrape failed in the meantime.
    prometheus.await_query("min_over_time(up[1m])", SOON, |found| matches!(found, [(_, up)] if *up == 1.0));
}

/// Number of lists of an account: two of tunnels, the interconnects and the routes.
const LISTS: usize = 4;

#[test]
fn prometheus_sees_data_go_stale_when_the_api_goes_away() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let sandbox = Sandbox::start();
    let api = sandbox.address;
    let mut exporter = sandbox.watched(&folder, &["--poll.stale-after=5s"]);
    exporter.await_ready();
    let Some(prometheus) = Prometheus::scraping(exporter.address) else { return };
    prometheus.await_query("cloudflare_magic_collection_up == 1", SOON, |found| found.len() == LISTS);
    prometheus.await_query("count(cloudflare_magic_tunnel_info)", SOON, |found| matches!(found, [(_, n)] if *n >= 1.0));

    drop(sandbox);

    prometheus.await_query("cloudflare_magic_collection_up == 0", SOON, |found| found.len() == LISTS);
    prometheus.await_query("cloudflare_magic_tunnel_info", SOON, <[_]>::is_empty);
    prometheus.await_query("cloudflare_magic_tunnel_bgp_up", SOON, <[_]>::is_empty);
    prometheus.await_query("cloudflare_magic_tunnels", SOON, <[_]>::is_empty);
    prometheus.await_query("up{job=\"magic\"}", SOON, |found| matches!(found, [(_, up)] if *up == 1.0));
    prometheus.await_query("cloudflare_magic_api_request_failures_total{reason=\"connect\"} > 0", SOON, |found| {
        found.len() == LISTS
    });
    let age = "time() - cloudflare_magic_poll_last_success_timestamp_seconds > 5";
    prometheus.await_query(age, SOON, |found| found.len() == LISTS);

    // The exporter recovers without a restart.
    let _sandbox = Sandbox::start_on(api);
    prometheus.await_query("cloudflare_magic_collection_up == 1", Duration::from_mins(3), |found| found.len() == LISTS);
    prometheus.await_query("count(cloudflare_magic_tunnel_info)", SOON, |found| matches!(found, [(_, n)] if *n >= 1.0));
    exporter.process.assert_running();
}

#[test]
fn every_example_scrapes_every_15_seconds() {
    let text = |path: &str| {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
        std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    };
    let readme = text("README.md");
    let (_, job) = readme.split_once("- job_name: magic-tunnels\n").expect("the example of README.md");
    let (job, _) = job.split_once("```").expect("the end of the example");
    assert!(job.contains("scrape_interval: 15s"), "the default of Prometheus delays the early warning:\n{job}");
    assert!(text("deploy/compose/prometheus.yml").contains("scrape_interval: 15s"));
    assert!(text("deploy/kubernetes/servicemonitor.yml").contains("interval: 15s"));
}
