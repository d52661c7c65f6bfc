//! A poll of the edge: from the bytes of its answers to a joined view, its memory, its part of the page, and as a
//! process.

use std::{sync::Arc, thread, time::Duration};

use magic_tunnel_exporter::{
    cloudflare::graphql::{health::HealthPages, traffic::TrafficListing},
    domain::{
        dataset::{PollState, PollStatus},
        edge::{EdgeHealth, EdgeTraffic, EdgeView, EdgeWindow},
        inventory::AccountInventory,
        tunnel::TunnelType,
    },
};
use serde_json::{Value, json};
use web_toolkit::clock;

use super::{
    Result, SIZES, fleet, measure, page,
    program::Sandbox,
    table::{Row, Table},
};

/// Maximum number of rows of a list.
const LIMIT: u64 = 10_000;

/// [`LIMIT`] as a length.
const ROWS: usize = 10_000;

const WINDOW: Duration = Duration::from_mins(5);

/// The goals are defined for this number of tunnels, and times are scaled to the size.
const TUNNELS: usize = 10_000;

pub(crate) fn measure(table: &mut Table) -> Result<()> {
    for size in SIZES {
        let answers = Answers::of(size);
        decode(table, size, &answers);
        keep(table, size, &answers);
        add_page(table, size, &answers);
    }
    process(table)
}

fn row(what: &'static str, size: usize, ours: f64, unit: &'static str, goal: Option<f64>) -> Row {
    Row { what, size, ours, unit, beside: None, goal }
}

/// The bodies of one poll of health checks, and of one of traffic.
struct Answers {
    health: Vec<Vec<u8>>,
    traffic: Vec<u8>,
}

impl Answers {
    fn of(tunnels: usize) -> Self {
        let mut answers = Self { health: Vec::new(), traffic: traffic_body(tunnels) };
        let mut pages = HealthPages::default();
        let mut after = 0;
        while pages.is_unfinished() {
            let page = health_body(after, tunnels);
            pages = pages.read(LIMIT, &page).expect("a good answer");
            // Two rows of each tunnel; the last one of a full page is asked for again.
            after += ROWS / 2 - 1;
            answers.health.push(page);
        }
        answers
    }

    fn bytes(&self) -> impl Iterator<Item = &[u8]> {
        self.health.iter().chain([&self.traffic]).map(Vec::as_slice)
    }

    fn view(&self) -> EdgeView {
        let pages = self
            .health
            .iter()
            .fold(HealthPages::default(), |pages, body| pages.read(LIMIT, body).expect("a good answer"));
        let now = clock::now();
        let listing = pages.finish(20, now.wall);
        let window = Some(EdgeWindow { from: now.earlier(now.wall - WINDOW), to: now });
        let status = PollStatus { state: PollState::Succeeded, last_success: Some(now), duration: None };
        let traffic = TrafficListing::read(LIMIT, WINDOW, &self.traffic).expect("a good answer");
        EdgeView {
            stale_after: Duration::from_hours(1),
            health: EdgeHealth {
                status,
                window,
                newest: listing.newest,
                truncated: listing.truncated,
                tunnels: Arc::new(listing.tunnels),
                sites: Arc::new(listing.sites),
            },
            traffic: Some(EdgeTraffic { status, window, truncated: false, rows: traffic.rows.into() }),
        }
    }
}

fn health_body(after: usize, tunnels: usize) -> Vec<u8> {
    let rest = || after..tunnels;
    let result = |n: usize, status: &str, count: u64| {
        let dimensions = json!({ "tunnelName": fleet::name(n), "siteName": "", "resultStatus": status });
        json!({ "count": count, "avg": { "sampleInterval": 1 }, "dimensions": dimensions })
    };
    let results = rest().flat_map(|n| [result(n, "ok", 40_000), result(n, "timeout", 1_250)]);
    let states = rest().map(
        |n| json!({ "count": 41_250, "avg": { "tunnelState": 0.97 }, "dimensions": { "tunnelName": fleet::name(n) } }),
    );
    let minutes = (0..30).map(|minute| {
        json!({ "count": 8_250, "dimensions": { "datetimeMinute": format!("2026-11-20T10:{minute:02}:00Z") } })
    });
    let [results, states]: [Vec<Value>; 2] = [results.take(ROWS).collect(), states.take(ROWS).collect()];
    let account = json!({ "results": results, "states": states, "minutes": minutes.collect::<Vec<_>>() });
    json!({ "data": { "viewer": { "accounts": [account] } }, "errors": null }).to_string().into()
}

fn traffic_body(tunnels: usize) -> Vec<u8> {
    let rows = |side: &str| -> Vec<Value> {
        let rows = (0..tunnels.min(ROWS - 1)).map(|n| {
            let dimensions =
                json!({ format!("{side}TunnelID"): fleet::id(n), format!("{side}TunnelName"): fleet::name(n) });
            json!({ "sum": { "bits": 24_000_000_000_u64, "packets": 3_000_000 }, "dimensions": dimensions })
        });
        rows.collect()
    };
    let account = json!({ "from_site": rows("ingress"), "to_site": rows("egress") });
    json!({ "data": { "viewer": { "accounts": [account] } }, "errors": null }).to_string().into()
}

fn inventory(size: usize) -> AccountInventory {
    let mut known = AccountInventory::default();
    known.set_list(TunnelType::Ipsec, fleet::polled(&fleet::body(size)).current().clone());
    known
}

fn decode(table: &mut Table, size: usize, answers: &Answers) {
    let mut known = inventory(size);
    let (parsed, ()) = measure::cpu(|| answers.bytes().for_each(|body| drop(serde_json::from_slice::<Value>(body))));
    let (took, ()) = measure::cpu(|| known.set_edge(Some(answers.view())));
    let beside = Some(("`serde_json::Value` of the same bytes", parsed.as_secs_f64() * 1e3));
    let goal = Some(150.0 * size as f64 / TUNNELS as f64);
    let what = "edge poll, decode and join";
    table.add(Row { what, size, ours: took.as_secs_f64() * 1e3, unit: "ms", beside, goal });
    table.add(row("edge poll, requests for health checks", size, answers.health.len() as f64, "", Some(3.0)));
}

fn keep(table: &mut Table, size: usize, answers: &Answers) {
    let mut known = inventory(size);
    let (kept, ()) = measure::kept(|| known.set_edge(Some(answers.view())));
    let (peak, ()) = measure::peak(|| known.set_edge(Some(answers.view())));
    let beside = Some(("the bodies", answers.bytes().map(<[u8]>::len).sum::<usize>() as f64 / 1e6));
    let goal = (size == TUNNELS).then_some(10.0);
    table.add(Row { what: "edge view, memory", size, ours: kept as f64 / 1e6, unit: "MB", beside, goal });
    let beside = Some(("the view", kept as f64 / 1e6));
    table.add(Row {
        what: "edge poll, memory on top of the view",
        size,
        ours: peak as f64 / 1e6,
        unit: "MB",
        beside,
        goal,
    });
}

/// The page with the edge, per line, beside the page without it.
fn add_page(table: &mut Table, size: usize, answers: &Answers) {
    let [without, with] = [None, Some(answers.view())]
        .map(|view| page::cost_per_line(&fleet::exposition_with(size, |known| known.set_edge(view))));
    let beside = Some(("without the edge view", without));
    table.add(Row { what: "page with the edge view, per line", size, ours: with, unit: "ns", beside, goal: None });
}

/// A running exporter that polls the edge of a sandbox, beside one that does not.
fn process(table: &mut Table) -> Result<()> {
    const WATCHED: Duration = Duration::from_secs(30);
    const POLLS: f64 = 15.0;
    const FLAGS: &[&str] = &["--edge.enabled", "--edge.interval=2s"];
    let sandbox = Sandbox::start(TUNNELS)?;
    let [without, with] = [&[][..], FLAGS].map(|flags| -> Result<_> {
        let exporter = sandbox.exporter_with(flags)?;
        exporter.await_ready()?;
        thread::sleep(Duration::from_secs(10));
        let cpu = exporter.process.cpu()?;
        thread::sleep(WATCHED);
        Ok((exporter.process.cpu()?.saturating_sub(cpu), exporter.process.resident()?))
    });
    let ((idle, resting), (busy, resident)) = (without?, with?);
    let took = busy.saturating_sub(idle).as_secs_f64() * 1e3 / POLLS;
    table.add(row("edge poll over HTTP, CPU of the process", TUNNELS, took, "ms", Some(150.0)));
    let beside = Some(("without the edge view", resting));
    let goal = Some(resting + 10.0);
    table.add(Row {
        what: "resident memory with the edge view",
        size: TUNNELS,
        ours: resident,
        unit: "MB",
        beside,
        goal,
    });
    Ok(())
}
