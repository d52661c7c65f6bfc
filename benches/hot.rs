//! The two hot functions at ten thousand tunnels: bytes of the API to a snapshot, and a snapshot to a page.
//!
//! Each figure is CPU time of this process, the median of several runs, and stands beside a peer or a floor that was measured in the
//! same run, so that a noisy machine moves both. Nothing here fails on an absolute time.

#![expect(clippy::print_stdout, reason = "a benchmark prints its table")]

use std::{io::Write as _, sync::Arc, time::Duration};

use flate2::{Compression, write::GzEncoder};
use magic_tunnel_exporter::{
    clock,
    cloudflare::decode::decode,
    domain::inventory::{AccountName, AccountSnapshot, Collection, CollectionSnapshot, Fleet},
    exposition::{Exposition, Format, Sources, registry},
    poller::watch::Watch,
};
use prometheus_client::{
    encoding::text::encode,
    metrics::{family::Family, gauge::Gauge},
    registry::Registry,
};
use serde_json::{Value, json};
use tokio::sync::watch;

const TUNNELS: usize = 10_000;
const RUNS: usize = 9;

fn main() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime for the clock");
    let _guard = runtime.enter();
    println!("{TUNNELS} tunnels, CPU time, median of {RUNS} runs\n");
    println!("{:<44} {:>12} {:>12}   beside", "", "total", "per unit");
    let fleet = body_to_snapshot();
    page(fleet);
}

/// CPU time that one call of `work` takes, and what the last call returned.
fn measure<T>(mut work: impl FnMut() -> T) -> (Duration, T) {
    let mut times = Vec::with_capacity(RUNS);
    let mut last = None;
    for _ in 0..RUNS {
        let before = cpu();
        last = Some(std::hint::black_box(work()));
        times.push(cpu().saturating_sub(before));
    }
    times.sort_unstable();
    (times[RUNS / 2], last.expect("at least one run"))
}

fn cpu() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::try_from(time).unwrap_or_default()
}

fn row(what: &str, took: Duration, units: usize, unit: &str, beside: &str) {
    let per_unit = took.as_nanos() as f64 / units as f64;
    println!("{what:<44} {:>9.1} ms {per_unit:>6.0} ns/{unit}   {beside}", took.as_secs_f64() * 1e3);
}

fn ratio(ours: Duration, theirs: Duration) -> f64 {
    ours.as_secs_f64() / theirs.as_secs_f64()
}

/// A list as the API sends it, every field filled.
fn body() -> Vec<u8> {
    let tunnels: Vec<Value> = (0..TUNNELS)
        .map(|n| {
            json!({
                "id": format!("{n:032x}"), "name": format!("site-{n:05}-ipsec"), "description": format!("Site {n}, uplink of ISP X"),
                "cloudflare_endpoint": "203.0.113.1", "customer_endpoint": format!("198.51.{}.{}", n / 250, n % 250),
                "interface_address": format!("10.{}.{}.{}/31", n / 32768, n / 128 % 256, n % 128 * 2),
                "interface_address6": format!("2001:db8::{n:x}/127"),
                "allow_null_cipher": false, "replay_protection": true, "automatic_return_routing": false,
                "psk_metadata": {"last_generated_on": "2025-06-14T05:20:00.123456Z"},
                "created_on": "2025-03-13T12:00:26.09683Z", "modified_on": "2025-03-13T12:00:47.054317925Z",
                "health_check": {"enabled": true, "direction": "bidirectional", "rate": "mid", "type": "request",
                    "target": {"effective": "10.0.0.1", "saved": ""}},
                "bgp": {"customer_asn": 65000 + n, "extra_prefixes": [], "md5_key": ""},
                "bgp_status": {"state": "BGP_UP", "tcp_established": true, "updated_at": "2026-11-20T10:00:00Z",
                    "bgp_state": "Established", "cf_speaker_ip": "10.0.0.0", "cf_speaker_port": 179,
                    "customer_speaker_ip": "10.0.0.1", "customer_speaker_port": 50000},
            })
        })
        .collect();
    json!({"result": {"ipsec_tunnels": tunnels}, "success": true, "errors": [], "messages": []}).to_string().into()
}

fn body_to_snapshot() -> Fleet {
    let body = body();
    let now = clock::now();
    let (floor, _) = measure(|| serde_json::from_slice::<Value>(&body).map(drop));
    let (first, mut watch) = measure(|| {
        let mut watch = Watch::resume(AccountName::new("acme"), Arc::default(), CollectionSnapshot::default());
        watch.absorb(decode(&body, 200, Collection::IpsecTunnels), now, now, Duration::ZERO);
        watch
    });
    let (again, ()) = measure(|| {
        watch.absorb(decode(&body, 200, Collection::IpsecTunnels), now, now, Duration::ZERO);
    });
    let size =
        format!("{:.1} MB; {:.2} of serde_json::Value of the same bytes", body.len() as f64 / 1e6, ratio(first, floor));
    row("body to snapshot, first list", first, TUNNELS, "tunnel", &size);
    let beside = format!("{:.2} of serde_json::Value of the same bytes", ratio(again, floor));
    row("body to snapshot, nothing changed", again, TUNNELS, "tunnel", &beside);
    let mut account = AccountSnapshot::default();
    account.set_collection(Collection::IpsecTunnels, watch.snapshot().clone());
    Fleet { accounts: [(AccountName::new("c4a7362d577a6c3019a474fd6f485821"), Arc::new(account))].into() }
}

fn page(fleet: Fleet) {
    let sender = watch::Sender::new(Arc::new(fleet));
    let sources = Sources {
        fleet: sender.subscribe(),
        board: watch::Sender::new(Arc::default()).subscribe(),
        verdicts: watch::Sender::new(Arc::default()).subscribe(),
        stale_after: watch::Sender::new(Duration::from_hours(1)).subscribe(),
        poll_interval: watch::Sender::new(Duration::from_mins(1)).subscribe(),
    };
    let exposition = Exposition::new(registry(), sources);
    let (open_metrics, text) = measure(|| exposition.render(Format::OpenMetrics));
    let (classic, _) = measure(|| exposition.render(Format::Classic));
    let (gzip, compressed) = measure(|| {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(text.as_bytes()).and_then(|()| encoder.finish()).expect("a vector takes everything")
    });
    let lines = text.lines().filter(|line| !line.starts_with('#')).count();
    let (family, peer) = family_of_the_same_series(&text);
    assert_eq!(peer, lines, "the peer prints as many samples");
    let beside = |ours| {
        format!(
            "{:.2} of prometheus-client `Family` ({:.0} ns)",
            ratio(ours, family),
            family.as_nanos() as f64 / lines as f64
        )
    };
    println!(
        "\n{lines} samples, {:.1} MB, {:.1} MB compressed",
        text.len() as f64 / 1e6,
        compressed.len() as f64 / 1e6
    );
    row("page, OpenMetrics", open_metrics, lines, "line", &beside(open_metrics));
    row("page, classic", classic, lines, "line", &beside(classic));
    row("gzip of the page, on top", gzip, lines, "line", &format!("{:.2} of the page", ratio(gzip, open_metrics)));
}

/// The samples of `page` again as families of gauges, each series with its own labels, as an exporter without snapshots keeps them.
fn family_of_the_same_series(page: &str) -> (Duration, usize) {
    type Labels = Vec<(String, String)>;
    let mut registry = Registry::default();
    let mut families: std::collections::BTreeMap<&str, Family<Labels, Gauge>> = std::collections::BTreeMap::new();
    for line in page.lines().filter(|line| !line.starts_with('#')) {
        let (name, rest) = line.split_once(['{', ' ']).expect("a sample has a value");
        let labels = rest.rsplit_once("\"} ").map_or("", |(labels, _)| labels);
        let labels: Labels = labels
            .split("\",")
            .filter_map(|pair| pair.split_once("=\""))
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        families.entry(name).or_default().get_or_create(&labels).set(1);
    }
    for (name, family) in families {
        registry.register(name, "The same series", family);
    }
    let (took, text) = measure(|| {
        let mut text = String::new();
        encode(&mut text, &registry).map(|()| text).expect("a string takes everything")
    });
    (took, text.lines().filter(|line| !line.starts_with('#')).count())
}
