//! A network namespace with a TUN device and a responder behind it, an API, and an exporter that uses both.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    time::Duration,
};

use serde_json::{Value, json};

use crate::support::{
    SOON,
    api::{self, Api},
    eventually,
    exporter::{Exporter, token_file},
    samples::Samples,
    tunnels,
};

pub(super) const DEVICE: &str = "tun0";

/// Flags of a prober that reaches verdicts quickly.
pub(super) const QUICK: [&str; 3] = ["--probe", "--probe.interval=200ms", "--probe.timeout=200ms"];

/// The longest time to a verdict: `down-after` times the interval of [`QUICK`], plus one second.
pub(super) const TO_VERDICT: Duration = Duration::from_millis(3 * 200 + 1000);

pub(crate) struct Lab {
    responder: Option<Responder>,
    folder: tempfile::TempDir,
}

struct Responder {
    child: Child,
    orders: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Responder {
    fn start() -> Self {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/e2e/network/responder.py");
        let mut child = Command::new("python3")
            .args([script, DEVICE])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("python3");
        let orders = child.stdin.take().expect("a piped stdin");
        let answers = BufReader::new(child.stdout.take().expect("a piped stdout"));
        let mut responder = Self { child, orders, answers };
        assert_eq!(responder.line(), "ready");
        responder
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.answers.read_line(&mut line).expect("a line of the responder");
        line.trim().to_owned()
    }
}

impl Drop for Responder {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Runs a program, for example `ip`. Panics if it fails.
pub(super) fn command(line: &str) {
    let mut words = line.split_whitespace();
    let status = Command::new(words.next().expect("a program")).args(words).status();
    assert!(status.as_ref().is_ok_and(std::process::ExitStatus::success), "{line}: {status:?}");
}

/// Lets every user of the namespace open datagram sockets for ICMP.
pub(super) fn allow_dgram() {
    std::fs::write("/proc/sys/net/ipv4/ping_group_range", "0 2147483647").expect("a sysctl of the namespace");
}

impl Lab {
    pub(crate) fn set_up() -> Self {
        command("ip link set lo up");
        let mut lab = Self { responder: None, folder: tempfile::tempdir().expect("a temporary folder") };
        lab.plug_in();
        lab
    }

    /// Brings up the device and starts a responder without rules.
    pub(super) fn plug_in(&mut self) {
        self.responder = Some(Responder::start());
        for line in [
            "ip addr add 192.0.2.10/24 dev tun0",
            "ip -6 addr add fd77::10/64 dev tun0 nodad",
            "ip link set tun0 up",
            "ip route add default dev tun0",
            "ip -6 route add default dev tun0",
        ] {
            command(line);
        }
    }

    /// Removes the device together with its routes.
    pub(super) fn pull_out(&mut self) {
        self.responder = None;
    }

    /// Sets how these addresses answer. Returns the time since which the rules apply, in Unix seconds.
    pub(crate) fn rules(&mut self, rules: &Value) -> f64 {
        let responder = self.responder.as_mut().expect("a responder");
        writeln!(responder.orders, "{rules}").expect("an order");
        let line = responder.line();
        line.strip_prefix("ok ").and_then(|time| time.parse().ok()).unwrap_or_else(|| panic!("responder: {line}"))
    }

    /// Sets the same answer for all of these addresses.
    pub(super) fn all(&mut self, addresses: &[&str], answer: &str) -> f64 {
        let rules = addresses.iter().map(|address| ((*address).to_owned(), json!({ "answer": answer })));
        self.rules(&Value::Object(rules.collect()))
    }

    /// The folder of files that the test needs.
    pub(crate) fn folder(&self) -> &tempfile::TempDir {
        &self.folder
    }

    /// Starts an exporter with these flags and waits until it is ready.
    pub(super) fn exporter(&self, api: &Api, flags: &[&str]) -> Exporter {
        let exporter = Exporter::serve(api.address, &token_file(&self.folder), flags);
        exporter.await_ready();
        exporter
    }
}

/// An API that lists these tunnels.
pub(super) fn api(tunnels: &[Value]) -> Api {
    Api::start(list(tunnels))
}

/// The answer to both collections: these tunnels as IPsec, and an empty list of GRE tunnels.
pub(super) fn list(tunnels: &[Value]) -> api::Answer {
    api::by_collection(tunnels::ipsec_list(tunnels), tunnels::gre_list(&[]))
}

/// A tunnel with these addresses and a session in `state` (`UP`, `DOWN`), or without a session.
pub(super) fn tunnel(name: &str, endpoint: &str, prefix: &str, prefix6: &str, state: Option<&str>) -> Value {
    let mut tunnel = tunnels::ipsec(name);
    tunnel["customer_endpoint"] = json!(endpoint);
    tunnel["interface_address"] = json!(prefix);
    tunnel["interface_address6"] = json!(prefix6);
    tunnel["health_check"] = Value::Null;
    if let Some(state) = state {
        tunnel["bgp_status"] = json!({
            "state": format!("BGP_{state}"), "tcp_established": true, "updated_at": "2026-10-05T09:00:00Z"
        });
    } else {
        tunnel["bgp"] = Value::Null;
        tunnel["bgp_status"] = Value::Null;
    }
    tunnel
}

/// The verdict of a tunnel, and the time of its last change in Unix seconds.
pub(super) fn verdict(page: &Samples, name: &str) -> Option<(String, f64)> {
    let labels = [("tunnel_name", name)];
    let current = page.all("tunnel_verdict", &labels).into_iter().find(|sample| sample.value == 1.0)?;
    Some((current.labels["verdict"].clone(), page.value("tunnel_verdict_changed_timestamp_seconds", &labels)?))
}

/// Waits for a verdict. Returns the time of the change in Unix seconds.
pub(super) fn await_verdict(exporter: &mut Exporter, name: &str, expected: &str) -> f64 {
    exporter.await_page(&format!("{name} to be {expected}"), SOON, |page| {
        verdict(page, name).filter(|(verdict, _)| verdict == expected).map(|(_, at)| at)
    })
}

/// The sum of a per-target metric over all tunnels, or over those with `labels`.
pub(super) fn sum(page: &Samples, metric: &str, labels: &[(&str, &str)]) -> f64 {
    page.all(metric, labels).iter().map(|sample| sample.value).sum()
}

/// Waits until the log contains `text`.
pub(super) fn await_log(exporter: &Exporter, text: &str) {
    eventually(text, SOON, || {
        let said = exporter.process.said();
        if said.contains(text) { Ok(()) } else { Err(said) }
    });
}
