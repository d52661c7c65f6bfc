//! Both engines of the prober in the same network: their results agree, except where `batch` sees more.

use std::{
    process::{Child, Command, Stdio},
    thread,
    time::Duration,
};

use serde_json::Value;

use super::{
    await_results,
    lab::{Lab, QUICK, allow_dgram, api, sum, tunnel},
    namespace, target,
};
use crate::support::{SOON, api::Api, exporter::Exporter, samples::Samples};

/// An answer of the network, and what its echoes count as: `batch` on raw and on datagram sockets, then `client`.
type Case = (&'static str, [&'static str; 2], [&'static str; 2]);

/// The answers that both engines judge in the same way.
const AGREED: [Case; 12] = [
    ("reply", ["reply"; 2], ["reply"; 2]),
    ("double", ["reply"; 2], ["reply"; 2]),
    // The next host is the silent one.
    ("next_host", ["timeout"; 2], ["timeout"; 2]),
    ("silent", ["timeout"; 2], ["timeout"; 2]),
    ("redirect", ["reply"; 2], ["reply"; 2]),
    ("spoofed", ["timeout"; 2], ["timeout"; 2]),
    ("foreign_id", ["timeout"; 2], ["timeout"; 2]),
    ("wrong_sequence", ["timeout"; 2], ["timeout"; 2]),
    ("garbage", ["timeout"; 2], ["timeout"; 2]),
    ("truncated", ["timeout"; 2], ["timeout"; 2]),
    ("short", ["timeout"; 2], ["timeout"; 2]),
    ("long", ["timeout"; 2], ["timeout"; 2]),
];

/// ICMP errors, which `client` sees only on raw sockets.
const ERRORS: [Case; 4] = [
    ("unreachable", ["unreachable"; 2], ["unreachable", "timeout"]),
    ("prohibited", ["prohibited"; 2], ["prohibited", "timeout"]),
    ("ttl_exceeded", ["ttl_exceeded"; 2], ["ttl_exceeded", "timeout"]),
    ("too_big", ["too_big"; 2], ["too_big", "timeout"]),
];

/// Answers that `client` takes for something else, because it does not know their content.
const SEEN_BY_BATCH: [Case; 5] = [
    ("damaged", ["timeout"; 2], ["reply"; 2]),
    ("blank", ["timeout"; 2], ["reply"; 2]),
    ("replayed", ["timeout"; 2], ["reply"; 2]),
    ("error_first", ["reply"; 2], ["unreachable", "reply"]),
    ("foreign_quote", ["timeout"; 2], ["unreachable", "timeout"]),
];

fn cases() -> impl Iterator<Item = Case> {
    AGREED.into_iter().chain(ERRORS).chain(SEEN_BY_BATCH)
}

/// One tunnel per answer, with an address of each IP version.
fn tunnels(lab: &mut Lab, answers: &[&str]) -> Vec<Value> {
    let tunnel = |(n, answer): (usize, &&str)| {
        let (v4, v6) = (format!("10.77.1.{}", 2 * n), format!("fd77:1::{:x}", 2 * n));
        lab.all(&[&v4, &v6], answer);
        tunnel(answer, "", &format!("{v4}/31"), &format!("{v6}/127"), None)
    };
    answers.iter().enumerate().map(tunnel).collect()
}

fn exporter(lab: &Lab, api: &Api, engine: &str, socket: &str) -> Exporter {
    let flags = [format!("--probe.engine={engine}"), format!("--probe.socket={socket}")];
    // The default timeout of one second: a busy machine delays the responder.
    lab.exporter(api, &["--probe", &flags[0], &flags[1]])
}

/// What the echoes of a target count as; several words if they differ.
fn outcome(exporter: &mut Exporter, answer: &str, address: &str) -> String {
    let labels = target(answer, address);
    let page = await_results(exporter, &labels, 5.0);
    let failures = page.all("tunnel_probe_failures_total", &labels).into_iter().filter(|sample| sample.value > 0.0);
    let [requests, replies] =
        ["requests", "replies"].map(|what| sum(&page, &format!("tunnel_probe_{what}_total"), &labels));
    assert!(replies <= requests, "{answer}, {address}: {replies} replies to {requests} echoes");
    let mut words: Vec<_> = failures.map(|sample| sample.labels["reason"].clone()).collect();
    if replies > 0.0 {
        words.push("reply".to_owned());
    }
    words.join(" ")
}

/// Runs both engines beside each other, on the same answers.
fn compare(lab: &mut Lab, socket: &str, column: usize) {
    allow_dgram();
    let answers: Vec<_> = cases().map(|(answer, ..)| answer).collect();
    let api = api(&tunnels(lab, &answers));
    let [mut batch, mut client] = ["batch", "client"].map(|engine| exporter(lab, &api, engine, socket));
    for (answer, by_batch, by_client) in cases() {
        for address in ["interface_address", "interface_address6"] {
            let found = [&mut batch, &mut client].map(|exporter| outcome(exporter, answer, address));
            assert_eq!(found, [by_batch[column], by_client[column]], "{answer}, {address}, {socket} sockets");
        }
    }
    for exporter in [&batch, &client] {
        assert_eq!(exporter.samples().all("probe_socket_up", &[("mode", socket)]).len(), 2);
    }
}

/// Processes that use the processors until they are dropped.
struct Busy(Vec<Child>);

impl Busy {
    fn start(count: usize) -> Self {
        let child = |_| Command::new("sh").args(["-c", "while :; do :; done"]).stdin(Stdio::null()).spawn();
        Self((0..count).map(|n| child(n).expect("sh")).collect())
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        for child in &mut self.0 {
            drop(child.kill());
            drop(child.wait());
        }
    }
}

stories! {
    fn both_engines_agree_on_raw_sockets(lab) {
        compare(lab, "raw", 0);
    }

    fn both_engines_agree_on_datagram_sockets(lab) {
        compare(lab, "dgram", 1);
    }

    fn a_wrong_checksum_is_a_loss_on_every_kind_of_socket(lab) {
        allow_dgram();
        let api = api(&tunnels(lab, &["wrong_checksum", "reply"]));
        for socket in ["raw", "dgram"] {
            let mut exporter = exporter(lab, &api, "batch", socket);
            for address in ["interface_address", "interface_address6"] {
                assert_eq!(outcome(&mut exporter, "wrong_checksum", address), "timeout", "{address}, {socket} sockets");
                assert_eq!(outcome(&mut exporter, "reply", address), "reply", "{address}, {socket} sockets");
            }
            assert_eq!(sum(&exporter.samples(), "probe_socket_drops_total", &[]), 0.0, "{socket} sockets");
        }
    }

    fn a_process_that_is_stopped_on_a_busy_machine_loses_no_reply(lab) {
        allow_dgram();
        // The kernel answers for these addresses, so that no reply is really late.
        let tunnels: Vec<_> = (0..100).map(|n| tunnel(&format!("t{n}"), "", &format!("127.77.1.{}/31", 2 * n), "", None)).collect();
        let api = api(&tunnels);
        let mut exporter = lab.exporter(&api, &[&QUICK[..], &["--probe.engine=batch"]].concat());
        await_results(&mut exporter, &[], 200.0);
        let busy = Busy::start(3);
        for _ in 0..2 {
            exporter.process.signal("STOP");
            thread::sleep(Duration::from_secs(3));
            exporter.process.signal("CONT");
            let before = sum(&exporter.samples(), "tunnel_probe_replies_total", &[]);
            exporter.await_page("replies after the stop", SOON, |page| {
                (sum(page, "tunnel_probe_replies_total", &[]) >= before + 200.0).then_some(())
            });
        }
        drop(busy);
        let page: Samples = exporter.samples();
        assert_eq!(sum(&page, "tunnel_probe_failures_total", &[("reason", "timeout")]), 0.0);
    }
}
