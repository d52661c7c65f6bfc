//! The whole path from a fault to its notification: sandbox, exporter, a real Prometheus with the shipped rules, a real
//! Alertmanager with the shipped routes, and a webhook receiver. Only times and addresses in the shipped files are
//! replaced.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    process::Command,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use serde_json::{Value, json};

use crate::alerts::{FLEET, shipped};
use crate::prometheus::Prometheus;
use crate::sandbox::Sandbox;
use crate::support::{
    SOON, eventually,
    exporter::{Exporter, Process},
    free_address, http,
    tools::tool,
};

/// Deadline of events that pass through all programs, including the `for` of a rule.
const DELIVERED: Duration = Duration::from_mins(3);

/// Enough tunnels for the alerts of the whole account.
const TUNNELS: [&str; 5] = ["alfa", "bravo", "charlie", "delta", "echo"];

/// The times in the shipped files, and shorter ones. The order of the times is kept, with gaps that are longer than the
/// delays of a busy machine.
const SHORTER: [(&str, &str); 11] = [
    ("interval: 15s", "interval: 1s"),
    ("offset 30s", "offset 1s"),
    ("_seconds < 30\n", "_seconds < 1\n"),
    ("for: 1m", "for: 6s"),
    ("for: 2m", "for: 8s"),
    ("for: 3m", "for: 10s"),
    ("for: 5m", "for: 20s"),
    ("for: 15m", "for: 30s"),
    ("group_wait: 30s", "group_wait: 6s"),
    ("group_interval: 5m", "group_interval: 1s"),
    ("127.0.0.1:9095", "RECEIVER"),
];

/// One alert in a notification.
#[derive(Debug, Clone)]
pub(crate) struct Delivery {
    /// Number of the notification that contains it, from 0.
    pub(crate) notification: usize,
    /// `pager`, `chat`, `record` or `heartbeat`.
    pub(crate) to: String,
    pub(crate) firing: bool,
    pub(crate) labels: Value,
    pub(crate) annotations: Value,
}

/// Collects the notifications of Alertmanager until it is dropped.
pub(crate) struct Receiver {
    address: SocketAddr,
    deliveries: Arc<Mutex<Vec<Delivery>>>,
    stop: Arc<AtomicBool>,
}

impl Receiver {
    fn start() -> Self {
        let address = free_address();
        let listener = TcpListener::bind(address).expect("a free address");
        let receiver = Self { address, deliveries: Arc::default(), stop: Arc::default() };
        let (deliveries, stop) = (Arc::clone(&receiver.deliveries), Arc::clone(&receiver.stop));
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if stop.load(Ordering::Relaxed) {
                    return;
                }
                let deliveries = Arc::clone(&deliveries);
                // Alertmanager repeats a notification if the connection breaks.
                thread::spawn(move || take(&stream).map(|taken| add(&mut deliveries.lock().expect("the list"), taken)));
            }
        });
        receiver
    }

    pub(crate) fn deliveries(&self) -> Vec<Delivery> {
        self.deliveries.lock().expect("the list").clone()
    }

    /// The firing alerts that were sent to the pager.
    pub(crate) fn paged(&self) -> Vec<Delivery> {
        self.deliveries().into_iter().filter(|one| one.firing && one.to == "pager").collect()
    }

    /// Waits until an alert of a tunnel, or of the account (`""`), is delivered as firing or as resolved.
    pub(crate) fn await_delivery(&self, alert: &str, tunnel: &str, firing: bool) -> Delivery {
        let what = format!("{alert} of {tunnel}, firing: {firing}");
        eventually(&what, DELIVERED, || {
            let all = self.deliveries();
            let found = all.iter().rev().find(|one| one.is(alert, tunnel) && one.firing == firing);
            found.cloned().ok_or_else(|| format!("{all:#?}"))
        })
    }
}

impl Delivery {
    pub(crate) fn is(&self, alert: &str, tunnel: &str) -> bool {
        self.labels["alertname"] == alert && self.labels["tunnel_name"].as_str().unwrap_or_default() == tunnel
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        // Wakes the thread that accepts.
        drop(TcpStream::connect(self.address));
    }
}

/// Appends the alerts of one notification.
fn add(deliveries: &mut Vec<Delivery>, taken: Vec<Delivery>) {
    let notification = deliveries.last().map_or(0, |last| last.notification + 1);
    deliveries.extend(taken.into_iter().map(|one| Delivery { notification, ..one }));
}

/// Reads one notification and confirms it. `None` if the connection breaks.
fn take(mut stream: &TcpStream) -> Option<Vec<Delivery>> {
    let mut reader = BufReader::new(stream);
    let (mut line, mut to, mut length) = (String::new(), String::new(), 0);
    while reader.read_line(&mut line).ok()? > 0 && line != "\r\n" {
        if let Some(path) = line.strip_prefix("POST /") {
            path.split(' ').next()?.clone_into(&mut to);
        } else if let Some((_, value)) =
            line.split_once(':').filter(|(name, _)| name.eq_ignore_ascii_case("content-length"))
        {
            length = value.trim().parse().ok()?;
        }
        line.clear();
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    let body: Value = serde_json::from_slice(&body).expect("a notification in JSON");
    let alerts = body["alerts"].as_array().expect("alerts in a notification").iter().map(|alert| Delivery {
        notification: 0,
        to: to.clone(),
        firing: alert["status"] == "firing",
        labels: alert["labels"].clone(),
        annotations: alert["annotations"].clone(),
    });
    let alerts = alerts.collect();
    stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n").ok()?;
    Some(alerts)
}

/// What delivers the alerts of an exporter: Prometheus with the shipped rules, Alertmanager with the shipped routes,
/// and the receiver.
pub(crate) struct Delivering {
    pub(crate) prometheus: Prometheus,
    alertmanager: SocketAddr,
    process: Process,
    pub(crate) receiver: Receiver,
}

impl Delivering {
    /// Scrapes these exporters every second. `None` where Prometheus or Alertmanager is not installed.
    pub(crate) fn start(targets: &[SocketAddr], folder: &tempfile::TempDir) -> Option<Self> {
        let targets = targets.iter().map(|target| format!("'{target}'")).collect::<Vec<_>>().join(", ");
        let job = format!("  - {{ job_name: magic-tunnels, static_configs: [{{ targets: [{targets}] }}] }}\n");
        Self::scraping(&job, folder)
    }

    /// The same with these jobs: the text below `scrape_configs`.
    pub(crate) fn scraping(jobs: &str, folder: &tempfile::TempDir) -> Option<Self> {
        let (_, binary) = (tool("prometheus")?, tool("prometheus-alertmanager")?);
        let receiver = Receiver::start();
        let alertmanager = free_address();
        let write = |file: &str, text: String| std::fs::write(folder.path().join(file), text).expect("a file");
        for file in ["magic-tunnel-exporter.rules.yml", "magic-tunnel-exporter.alerts.yml", FLEET] {
            write(file, shorter(file));
        }
        write(
            "alertmanager.yml",
            shorter("alertmanager.example.yml").replace("RECEIVER", &receiver.address.to_string()),
        );
        let process = Process::start(
            Command::new(binary)
                .arg(format!("--config.file={}", folder.path().join("alertmanager.yml").display()))
                .arg(format!("--storage.path={}", folder.path().join("alertmanager").display()))
                .arg(format!("--web.listen-address={alertmanager}"))
                .args(["--cluster.listen-address=", "--log.level=warn"]),
        );
        eventually("Alertmanager to be ready", Duration::from_mins(1), || match http::get(alertmanager, "/-/ready") {
            Ok(reply) if reply.status == 200 => Ok(()),
            other => Err(format!("{other:?}; its output:\n{}", process.said())),
        });
        let config = format!(
            "global: {{ scrape_interval: 1s, scrape_timeout: 1s, evaluation_interval: 1s }}\n\
             rule_files: ['{rules}/*.rules.yml', '{rules}/*.alerts.yml']\n\
             alerting: {{ alertmanagers: [{{ static_configs: [{{ targets: ['{alertmanager}'] }}] }}] }}\n\
             scrape_configs:\n{jobs}",
            rules = folder.path().display(),
        );
        let prometheus = Prometheus::configured(&config)?;
        Some(Self { prometheus, alertmanager, process, receiver })
    }

    /// Waits until Alertmanager suppresses an alert of a tunnel, or of the account (`""`), because of another alert.
    pub(crate) fn await_inhibited(&self, alert: &str, tunnel: &str) {
        await_inhibited(self.alertmanager, alert, tunnel);
    }
}

/// The whole chain. The fields are dropped in their order: Prometheus first, the API last.
struct Chain {
    prometheus: Prometheus,
    alertmanager: SocketAddr,
    _alertmanager: Process,
    receiver: Receiver,
    exporter: Exporter,
    api: Fleet,
    _folder: tempfile::TempDir,
}

impl Chain {
    /// `None` where Prometheus or Alertmanager is not installed.
    fn start(more: &[&str]) -> Option<Self> {
        tool("prometheus-alertmanager")?;
        let folder = tempfile::tempdir().expect("a temporary folder");
        let api = Fleet::start();
        // The interconnect of the story cannot be deleted.
        let exporter = api.sandbox.watched(&folder, &[more, &["--interconnects.enabled=false"]].concat());
        let Delivering { prometheus, alertmanager, process, receiver } =
            Delivering::start(&[exporter.address], &folder)?;
        Some(Self { prometheus, alertmanager, _alertmanager: process, receiver, exporter, api, _folder: folder })
    }

    /// Waits until Prometheus has scraped this verdict for all tunnels.
    fn await_verdicts(&self, verdict: &str) {
        let query = format!("count(cloudflare_magic_tunnel_verdict{{verdict='{verdict}'}} == 1)");
        self.prometheus.await_query(&query, DELIVERED, |found| matches!(found, [(_, n)] if *n >= 5.0));
    }

    /// Waits until an alert of a tunnel is in a state, or was in the last five minutes.
    fn await_alert(&self, alert: &str, tunnel: &str, state: &str) {
        let alerts = format!("ALERTS{{alertname='{alert}',tunnel_name='{tunnel}',alertstate='{state}'}}");
        self.prometheus.await_query(&format!("max_over_time({alerts}[5m])"), DELIVERED, |found| found.len() == 1);
    }

    fn await_inhibited(&self, alert: &str, tunnel: &str) {
        await_inhibited(self.alertmanager, alert, tunnel);
    }
}

/// Waits until Alertmanager suppresses an alert of a tunnel, or of the account (`""`), because of another alert.
fn await_inhibited(alertmanager: SocketAddr, alert: &str, tunnel: &str) {
    eventually("an alert to be inhibited", DELIVERED, || {
        let alerts: Value = serde_json::from_str(&http::text(alertmanager, "/api/v2/alerts")).expect("JSON");
        let found = alerts.as_array().expect("a list").iter().any(|one| {
            one["labels"]["alertname"] == alert
                && one["labels"]["tunnel_name"].as_str().unwrap_or_default() == tunnel
                && one["status"]["state"] == "suppressed"
                && one["status"]["inhibitedBy"].as_array().is_some_and(|by| !by.is_empty())
        });
        if found { Ok(()) } else { Err(format!("{alerts:#}")) }
    });
}

/// A shipped file with shorter times.
fn shorter(file: &str) -> String {
    SHORTER.iter().fold(shipped(file), |text, (long, short)| text.replace(long, short))
}

#[test]
fn every_paging_alert_waits_for_a_shorter_time_in_these_tests() {
    let rules = shorter("magic-tunnel-exporter.alerts.yml");
    for alert in ["BgpDown", "Down", "Fault", "Unreachable", "PathMismatch", "AllDown", "LastStanding", "SiteDown"] {
        let (_, rule) = rules.split_once(&format!("alert: MagicTunnel{alert}\n")).expect("the alert");
        let (_, wait) = rule.split_once(" for: ").expect("a time to wait");
        let wait = wait.split('\n').next().expect("a line");
        assert_eq!(wait, "20s", "{alert}");
    }
}

/// Tunnels in the sandbox that do not change by themselves. They replace the tunnels of its story.
struct Fleet {
    sandbox: Sandbox,
    ids: Vec<String>,
}

impl Fleet {
    fn start() -> Self {
        let sandbox = Sandbox::start();
        let mut fleet = Self { sandbox, ids: Vec::new() };
        for collection in ["ipsec_tunnels", "gre_tunnels"] {
            let listed = fleet.call("GET", collection, "");
            for tunnel in listed[collection].as_array().expect("a list of tunnels") {
                fleet.call("DELETE", &format!("{collection}/{}", tunnel["id"].as_str().expect("an id")), "");
            }
        }
        for number in 0..TUNNELS.len() {
            let created = fleet.call("POST", "ipsec_tunnels", &body(number, &inside(number)));
            fleet.ids.push(created["id"].as_str().expect("an id").to_owned());
        }
        fleet
    }

    /// The result of an API operation on the tunnels of the account.
    fn call(&self, method: &str, path: &str, body: &str) -> Value {
        let path = format!("/client/v4/accounts/{}/magic/{path}", self.sandbox.account);
        let headers = [("Authorization", "Bearer any"), ("Content-Type", "application/json")];
        let reply = http::send(self.sandbox.address, method, &path, &headers, body).expect("an answer");
        assert_eq!(reply.status, 200, "{method} {path}: {}", reply.text());
        serde_json::from_str::<Value>(&reply.text()).expect("an envelope")["result"].take()
    }

    /// Sets all sessions between two polls, so that the exporter sees one event.
    fn report_all(&self, state: &str) {
        let faults =
            |method, body| http::send(self.sandbox.address, method, "/sandbox/faults", &[], body).expect("an answer");
        assert_eq!(faults("PUT", r#"{"faults": [{"fault": {"status": {"code": 503}}}]}"#).status, 200);
        for tunnel in TUNNELS {
            self.sandbox.report(tunnel, state);
        }
        assert_eq!(faults("DELETE", "").status, 200);
    }

    /// Moves the inside of a tunnel to another address.
    fn move_inside(&self, name: &str, address: &str) {
        let number = TUNNELS.iter().position(|tunnel| *tunnel == name).expect("one of ours");
        self.call("PUT", &format!("ipsec_tunnels/{}", self.ids[number]), &body(number, address));
    }
}

/// An interface address that answers.
fn inside(number: usize) -> String {
    format!("127.0.30.{}/31", 2 * number)
}

fn body(number: usize, interface_address: &str) -> String {
    let tunnel = json!({
        "name": TUNNELS[number],
        "cloudflare_endpoint": "198.51.100.1",
        "customer_endpoint": format!("127.0.31.{}", 1 + number),
        "interface_address": interface_address,
        "bgp": { "customer_asn": 65000 + number },
    });
    tunnel.to_string()
}

#[test]
fn a_session_that_goes_down_pages_with_the_right_text_and_is_resolved() {
    let Some(chain) = Chain::start(&[]) else { return };
    chain.await_verdicts("healthy");

    chain.api.sandbox.report("alfa", "BGP_DOWN");

    chain.await_alert("MagicTunnelBgpDown", "alfa", "pending");
    chain.await_alert("MagicTunnelBgpDown", "alfa", "firing");
    let page = chain.receiver.await_delivery("MagicTunnelBgpDown", "alfa", true);
    assert_eq!(page.to, "pager");
    assert_eq!(
        (page.labels["severity"].as_str(), page.labels["tunnel_id"].as_str(), page.labels["tunnel_type"].as_str()),
        (Some("critical"), Some(chain.api.ids[0].as_str()), Some("ipsec"))
    );
    let account = &chain.api.sandbox.account;
    let text = format!(
        "Cloudflare has reported the BGP session of tunnel alfa of account {account} as not up for five minutes, so BGP routes no traffic \
         into it. First check on the router that the neighbour is configured and reachable on TCP port 179, then ASN and MD5 key."
    );
    assert_eq!(page.annotations["description"], text);
    assert_eq!(page.annotations["summary"], "The BGP session of a Magic tunnel is not up.");
    let exporter = chain.exporter.address;
    assert_eq!(page.annotations["runbook_url"], format!("http://{exporter}/runbooks#magictunnelbgpdown"));
    let status_page = format!("http://{exporter}/tunnels/{account}/ipsec/{}", chain.api.ids[0]);
    assert_eq!(page.annotations["dashboard_url"], status_page);

    chain.api.sandbox.report("alfa", "BGP_UP");

    let resolved = chain.receiver.await_delivery("MagicTunnelBgpDown", "alfa", false);
    assert_eq!((resolved.to, resolved.labels), (page.to, page.labels));
    let others = chain.receiver.deliveries();
    let expected = |one: &Delivery| one.is("MagicTunnelBgpDown", "alfa") || one.to == "heartbeat";
    let others: Vec<_> = others.iter().filter(|one| !expected(one)).collect();
    assert!(others.is_empty(), "one fault must page once: {others:#?}");
}

#[test]
fn a_silent_tunnel_raises_an_early_warning_then_one_page_and_its_session_none() {
    let probing = ["--probe", "--probe.interface=lo", "--probe.silence=always"];
    let Some(mut chain) = Chain::start(&probing) else { return };
    chain.exporter.await_page("every address inside a tunnel to answer", SOON, |page| {
        (page.all("tunnel_reachable", &[]).iter().filter(|sample| sample.value == 1.0).count() == TUNNELS.len())
            .then_some(())
    });
    chain.await_verdicts("healthy");

    // The tunnel is silent, and Cloudflare reports the session as up.
    chain.api.move_inside("bravo", "203.0.113.20/31");
    let early = chain.receiver.await_delivery("MagicTunnelEarlyWarning", "bravo", true);
    assert_eq!(early.to, "chat", "an early warning does not page");
    assert_eq!(chain.receiver.await_delivery("MagicTunnelPathMismatch", "bravo", true).to, "chat");
    chain.await_inhibited("MagicTunnelEarlyWarning", "bravo");

    // Cloudflare reports the session as down.
    chain.api.sandbox.report("bravo", "BGP_DOWN");
    let page = chain.receiver.await_delivery("MagicTunnelDown", "bravo", true);
    assert_eq!(page.to, "pager");
    let description = page.annotations["description"].as_str().expect("a description");
    assert!(description.starts_with("Tunnel bravo of account "), "{description}");
    chain.await_alert("MagicTunnelBgpDown", "bravo", "firing");
    chain.await_inhibited("MagicTunnelBgpDown", "bravo");
    chain.await_inhibited("MagicTunnelFault", "bravo");

    // The session of another tunnel pages. The first session went down earlier, so that its page would have arrived
    // before.
    chain.api.sandbox.report("charlie", "BGP_DOWN");
    chain.receiver.await_delivery("MagicTunnelBgpDown", "charlie", true);
    let paged = chain.receiver.paged();
    for one in &paged {
        let expected = one.is("MagicTunnelDown", "bravo") || one.is("MagicTunnelBgpDown", "charlie");
        assert!(expected, "one fault must page once: {paged:#?}");
    }

    // The tunnel recovers together with its session.
    chain.api.move_inside("bravo", &inside(1));
    chain.api.sandbox.report("bravo", "BGP_UP");
    chain.receiver.await_delivery("MagicTunnelDown", "bravo", false);
}

#[test]
fn a_router_that_dies_with_all_its_tunnels_pages_once_for_the_account() {
    let Some(chain) = Chain::start(&[]) else { return };
    chain.await_verdicts("healthy");

    chain.api.report_all("BGP_DOWN");

    let page = chain.receiver.await_delivery("MagicTunnelAllDown", "", true);
    assert_eq!(
        (page.to.as_str(), page.labels["account"].as_str()),
        ("pager", Some(chain.api.sandbox.account.as_str()))
    );
    let description = page.annotations["description"].as_str().expect("a description");
    let broken = TUNNELS.map(|tunnel| format!("{tunnel} (reported_down)")).join(", ");
    assert!(description.contains(&format!(" is known to work: {broken}. ")), "{description}");
    for tunnel in TUNNELS {
        chain.await_inhibited("MagicTunnelBgpDown", tunnel);
    }

    // One tunnel recovers: the others are still one fault.
    chain.api.sandbox.report("alfa", "BGP_UP");
    chain.receiver.await_delivery("MagicTunnelAllDown", "", false);
    let page = chain.receiver.await_delivery("MagicTunnelLastStanding", "", true);
    // Prometheus sends a changed annotation once a minute, so that the names in it may be a minute old.
    assert_eq!(
        (page.to.as_str(), page.labels["account"].as_str()),
        ("pager", Some(chain.api.sandbox.account.as_str()))
    );
    for one in chain.receiver.paged() {
        let account = one.is("MagicTunnelAllDown", "") || one.is("MagicTunnelLastStanding", "");
        assert!(account, "one fault must page once: {one:#?}");
    }
}
