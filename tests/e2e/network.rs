//! Probes of the built program in a network namespace with a TUN device. A responder behind the device delays, loses,
//! duplicates, forges and refuses replies. Sockets, packets and the page are real.

pub(crate) mod lab;
pub(crate) mod namespace;

use std::{collections::BTreeSet, process::Command};

use serde_json::{Value, json};

use self::lab::{
    DEVICE, Lab, QUICK, TO_VERDICT, allow_dgram, api, await_log, await_verdict, command, list, sum, tunnel, verdict,
};
use crate::{
    edge::{good_traffic, health, result, with_edge},
    support::{
        SOON,
        api::Api,
        exporter::{ACCOUNT, Exporter, Process, program},
        free_address, http,
        samples::Samples,
        tools,
    },
};

/// Defines tests that run in their own network namespaces.
macro_rules! stories {
    ($(fn $name:ident($lab:ident) $story:block)+) => {
        $(
            #[test]
            fn $name() {
                fn story($lab: &mut Lab) $story
                namespace::run(concat!(module_path!(), "::", stringify!($name)), story);
            }
        )+
    };
}

// After the macro, which it uses.
mod edge;
mod engines;
mod hub;
mod mtu;
mod paging;
mod prefixes;
mod restart;

const ENDPOINT: &str = "198.51.100.7";
const INSIDE: &str = "10.77.0.0";
const PEER: &str = "10.77.0.1";
const UPLINK: &str = "192.0.2.1";

fn fra(state: &str) -> Value {
    tunnel("fra", ENDPOINT, "10.77.0.0/31", "", Some(state))
}

/// Asserts that a verdict followed its cause within [`TO_VERDICT`].
fn in_time(what: &str, cause: f64, verdict: f64) {
    let took = verdict - cause;
    assert!(took <= TO_VERDICT.as_secs_f64(), "{what} took {took:.2} s; the limit is {TO_VERDICT:?}");
}

fn target<'a>(name: &'a str, target: &'a str) -> [(&'a str, &'a str); 2] {
    [("tunnel_name", name), ("probe_target", target)]
}

/// Waits until this many echoes of a target have succeeded or failed.
fn await_results(exporter: &mut Exporter, labels: &[(&str, &str)], count: f64) -> Samples {
    let wanted = format!("{count} results of {labels:?}");
    exporter.await_page(&wanted, SOON, |page| {
        let ended = sum(page, "tunnel_probe_replies_total", labels) + sum(page, "tunnel_probe_failures_total", labels);
        (ended >= count).then(|| Samples(page.0.clone()))
    })
}

/// Waits until a counter has grown by `more`.
fn await_more(exporter: &mut Exporter, metric: &str, labels: &[(&str, &str)], more: f64) {
    let goal = sum(&exporter.samples(), metric, labels) + more;
    exporter.await_page(&format!("{metric} of {labels:?} to reach {goal}"), SOON, |page| {
        (sum(page, metric, labels) >= goal).then_some(())
    });
}

/// The histogram of round-trip times with the buckets 20 ms and 21 ms.
#[derive(Debug, Clone, Copy, Default)]
struct RoundTrips {
    replies: f64,
    below: f64,
    within: f64,
    sum: f64,
}

impl RoundTrips {
    fn of(page: &Samples) -> Self {
        let bucket = |le: &str| sum(page, "tunnel_probe_rtt_seconds_bucket", &[("le", le)]);
        let sum = sum(page, "tunnel_probe_rtt_seconds_sum", &[]);
        Self { replies: bucket("+Inf"), below: bucket("0.02"), within: bucket("0.021"), sum }
    }

    fn since(self, earlier: Self) -> Self {
        Self {
            replies: self.replies - earlier.replies,
            below: self.below - earlier.below,
            within: self.within - earlier.within,
            sum: self.sum - earlier.sum,
        }
    }
}

stories! {
    fn every_verdict_at_a_site_follows_from_packets_and_report(lab) {
        let api = api(&[fra("UP")]);
        lab.all(&[ENDPOINT, INSIDE, UPLINK], "reply");
        let uplink = format!("--probe.uplink={UPLINK}");
        let mut exporter = lab.exporter(&api, &[&QUICK[..], &[&uplink]].concat());
        exporter.await_page("the inside to answer", SOON, |page| {
            page.value("tunnel_reachable", &[]).filter(|up| *up == 1.0)
        });
        await_verdict(&mut exporter, "fra", "healthy");

        api.answer_with(list(&[fra("DOWN")]));
        await_verdict(&mut exporter, "fra", "bgp_fault");
        api.answer_with(list(&[fra("UP")]));
        await_verdict(&mut exporter, "fra", "healthy");

        let died = lab.all(&[INSIDE], "silent");
        in_time("path_mismatch", died, await_verdict(&mut exporter, "fra", "path_mismatch"));
        api.answer_with(list(&[fra("DOWN")]));
        await_verdict(&mut exporter, "fra", "tunnel_fault");

        let cut = lab.all(&[UPLINK], "silent");
        in_time("unreachable", cut, await_verdict(&mut exporter, "fra", "unreachable"));
        // All addresses that ever answered are silent. If a session is up nevertheless, the prober itself is cut off.
        lab.all(&[ENDPOINT], "silent");
        exporter.await_page("the endpoint to be down", SOON, |page| {
            page.value("tunnel_probe_up", &target("fra", "customer_endpoint")).filter(|up| *up == 0.0)
        });
        api.answer_with(list(&[fra("UP")]));
        await_verdict(&mut exporter, "fra", "prober_isolated");

        let back = lab.all(&[INSIDE, UPLINK, ENDPOINT], "reply");
        in_time("healthy", back, await_verdict(&mut exporter, "fra", "healthy"));
        assert!(sum(&exporter.samples(), "tunnel_verdict_changes_total", &[]) >= 7.0);
        assert!(exporter.process.said().contains("tunnel fra is tunnel_fault, was path_mismatch: 10.77.0.0 inside the tunnel does not answer"));
    }

    fn a_static_tunnel_that_dies_is_found_in_time_with_and_without_the_edge(lab) {
        let tunnels = list(&[tunnel("fra", ENDPOINT, "10.77.0.0/31", "", None)]);
        let api = Api::start(with_edge(tunnels, health(&[result("fra", "ok", 1000)]), good_traffic()));
        lab.all(&[INSIDE, ENDPOINT], "reply");
        let edge_flags: &[&str] = &["--edge.enabled", "--edge.interval=500ms"];
        let mut exporters = [&[][..], edge_flags].map(|flags| lab.exporter(&api, &[&QUICK[..], flags].concat()));
        for exporter in &mut exporters {
            exporter.await_page("the inside to answer", SOON, |page| {
                page.value("tunnel_reachable", &[]).filter(|up| *up == 1.0)
            });
            await_verdict(exporter, "fra", "healthy");
        }
        exporters[1].await_page("the edge to report it up", SOON, |page| {
            page.value("tunnel_edge_state", &[("state", "healthy")]).filter(|up| *up == 1.0)
        });
        let died = lab.all(&[INSIDE], "silent");
        for exporter in &mut exporters {
            in_time("tunnel_fault", died, await_verdict(exporter, "fra", "tunnel_fault"));
        }
    }

    fn a_remote_prober_uses_only_the_customers_side_of_a_tunnel(lab) {
        let api = api(&[fra("UP")]);
        lab.all(&[ENDPOINT, INSIDE, PEER], "reply");
        let mut exporter = lab.exporter(&api, &[&QUICK[..], &["--probe.vantage=remote"]].concat());
        exporter.await_page("the peer to answer", SOON, |page| {
            page.value("tunnel_probe_up", &target("fra", "interface_peer")).filter(|up| *up == 1.0)
        });
        // Cloudflare's side is answered by the nearest data centre, so that it says nothing about the tunnel.
        let died = lab.all(&[PEER], "silent");
        in_time("path_mismatch", died, await_verdict(&mut exporter, "fra", "path_mismatch"));
        api.answer_with(list(&[fra("DOWN")]));
        await_verdict(&mut exporter, "fra", "tunnel_fault");
        let dark = lab.all(&[ENDPOINT], "silent");
        in_time("unreachable", dark, await_verdict(&mut exporter, "fra", "unreachable"));
    }

    fn silence_from_the_start_means_nothing_unless_configured(lab) {
        let api = api(&[fra("DOWN")]);
        let mut careful = lab.exporter(&api, &QUICK);
        let mut strict = lab.exporter(&api, &[&QUICK[..], &["--probe.silence=always"]].concat());
        await_verdict(&mut strict, "fra", "unreachable");
        await_results(&mut careful, &target("fra", "interface_address"), 5.0);
        let page = careful.samples();
        assert_eq!(verdict(&page, "fra").expect("a verdict").0, "reported_down");
        assert_eq!(page.value("tunnel_reachable", &[]), None);
        assert_eq!(page.value("tunnel_probe_last_reply_timestamp_seconds", &target("fra", "interface_address")), None);
    }

    fn every_refusal_on_the_path_is_counted_by_reason_and_a_redirect_is_a_reply(lab) {
        let table = [
            ("reply", "reply"), ("silent", "timeout"), ("unreachable", "unreachable"), ("prohibited", "prohibited"),
            ("ttl_exceeded", "ttl_exceeded"), ("too_big", "too_big"), ("redirect", "reply"), ("spoofed", "timeout"),
            ("foreign_id", "timeout"), ("wrong_sequence", "timeout"), ("garbage", "timeout"), ("truncated", "timeout"),
            ("short", "timeout"), ("long", "timeout"),
        ];
        let mut tunnels = Vec::new();
        for (n, (answer, _)) in table.iter().enumerate() {
            let (v4, v6) = (format!("10.77.1.{}", 2 * n), format!("fd77:1::{:x}", 2 * n));
            lab.all(&[&v4, &v6], answer);
            tunnels.push(tunnel(answer, "", &format!("{v4}/31"), &format!("{v6}/127"), None));
        }
        let api = api(&tunnels);
        let mut exporter = lab.exporter(&api, &[&QUICK[..], &["--probe.socket=raw"]].concat());
        for (answer, expected) in table {
            for address in ["interface_address", "interface_address6"] {
                let labels = target(answer, address);
                let page = await_results(&mut exporter, &labels, 8.0);
                let replies = sum(&page, "tunnel_probe_replies_total", &labels);
                let failures = page.all("tunnel_probe_failures_total", &labels);
                let failed: Vec<_> = failures.iter().filter(|s| s.value > 0.0).map(|s| s.labels["reason"].as_str()).collect();
                if expected == "reply" {
                    assert!(replies >= 8.0 && failed.is_empty(), "{answer} {address}: {failed:?}");
                } else {
                    assert_eq!((replies, &failed[..]), (0.0, &[expected][..]), "{answer} {address}");
                }
                let up = page.value("tunnel_probe_up", &labels).expect("a settled state");
                assert_eq!(up == 1.0, expected == "reply", "{answer} {address}");
            }
        }
        let page = exporter.samples();
        for ip_version in ["4", "6"] {
            assert_eq!(page.value("probe_socket_up", &[("ip_version", ip_version), ("mode", "raw")]), Some(1.0));
        }
    }

    fn a_probed_host_cannot_answer_for_another_one(lab) {
        // The host answers its own echoes. For each, it also sends replies in the name of two hosts that are down, with
        // the identifier of its echo and the sequence numbers around that of its echo.
        lab.rules(&json!({ "10.77.0.0": { "forge": ["10.77.0.2"] }, "fd77:1::": { "forge": ["fd77:1::2"] } }));
        let api = api(&[
            tunnel("forger", "", "10.77.0.0/31", "fd77:1::/127", None),
            tunnel("dead", "", "10.77.0.2/31", "fd77:1::2/127", None),
        ]);
        let mut exporter = lab.exporter(&api, &[&QUICK[..], &["--probe.socket=raw"]].concat());
        for address in ["interface_address", "interface_address6"] {
            await_more(&mut exporter, "tunnel_probe_replies_total", &target("forger", address), 25.0);
            let page = await_results(&mut exporter, &target("dead", address), 25.0);
            let forged = sum(&page, "tunnel_probe_replies_total", &target("dead", address));
            assert_eq!(forged, 0.0, "{address}: forged replies were believed");
        }
    }

    fn doubled_late_and_reordered_replies_are_counted_once(lab) {
        lab.rules(&json!({
            "10.77.0.0": { "copies": 3 },
            // Later than the timeout by more than a busy machine is late, so that the reply meets the next echo or
            // none.
            "10.77.0.2": { "answer": "late", "delay": 0.35 },
            "10.77.0.4": { "delay": 0.05, "jitter": 0.05, "copies": 2 },
        }));
        let tunnels = [("double", "10.77.0.0/31"), ("late", "10.77.0.2/31"), ("jitter", "10.77.0.4/31")];
        let api = api(&tunnels.map(|(name, prefix)| tunnel(name, "", prefix, "", None)));
        let mut exporter = lab.exporter(&api, &QUICK);
        for (name, replies_expected) in [("double", true), ("late", false), ("jitter", true)] {
            let labels = target(name, "interface_address");
            let page = await_results(&mut exporter, &labels, 20.0);
            let [requests, replies, failures] = ["requests", "replies", "failures"]
                .map(|what| sum(&page, &format!("tunnel_probe_{what}_total"), &labels));
            assert!(requests - replies - failures <= 1.0 && replies + failures <= requests, "{name}");
            if replies_expected { assert_eq!(failures, 0.0, "{name}") } else { assert_eq!(replies, 0.0, "{name}") }
        }
    }

    fn a_loss_of_thirty_percent_is_measured_as_thirty_percent(lab) {
        let hosts: Vec<String> = (0..100).map(|n| format!("10.77.2.{}", 2 * n)).collect();
        let rules = hosts.iter().map(|host| (host.clone(), json!({ "loss": 0.3, "delay": 0.005 })));
        lab.rules(&Value::Object(rules.collect()));
        let tunnels: Vec<_> = hosts.iter().map(|host| tunnel(host, "", &format!("{host}/31"), "", None)).collect();
        let api = api(&tunnels);
        // A busy machine delays the responder.
        let mut exporter = lab.exporter(&api, &["--probe", "--probe.interval=500ms", "--probe.timeout=500ms"]);
        let page = await_results(&mut exporter, &[], 3_000.0);
        let [replies, failures] = ["replies", "failures"].map(|what| sum(&page, &format!("tunnel_probe_{what}_total"), &[]));
        let loss = failures / (replies + failures);
        assert!((0.27..=0.33).contains(&loss), "{loss:.3} of {} echoes", replies + failures);
        assert_eq!(sum(&page, "tunnel_probe_failures_total", &[("reason", "timeout")]), failures);
    }

    fn a_round_trip_of_twenty_milliseconds_is_measured_as_ping_measures_it(lab) {
        lab.rules(&json!({ "10.77.0.0": { "delay": 0.02 } }));
        let api = api(&[fra("UP")]);
        let flags = ["--probe.targets=interface_address", "--probe.rtt-buckets=20ms,21ms,1s"];
        let mut exporter = lab.exporter(&api, &[&QUICK[..], &flags].concat());
        let mut before = RoundTrips::default();
        // Other processes delay some replies in some windows. A bias of the exporter would show in all of them.
        let good = (1..=8).any(|round| {
            let page = await_results(&mut exporter, &[], f64::from(round) * 40.0);
            let now = RoundTrips::of(&page);
            assert_eq!(now.below, 0.0, "no reply is faster than the delay of the network");
            let window = now.since(std::mem::replace(&mut before, now));
            let mean = window.sum / window.replies;
            // On a busy machine the responder is late, and the mean of ping is above 21 ms as well.
            let as_ping = ping_mean(INSIDE).is_none_or(|oracle| oracle > 0.021 || (mean - oracle).abs() < 0.001);
            let good = window.within >= window.replies * 0.1 && as_ping;
            println!("{window:?}, mean {mean:.5} s: {good}");
            good
        });
        assert!(good, "in no window was a tenth of the replies below 21 ms and the mean that of ping");
    }

    fn fping_and_the_exporter_agree_on_the_hosts_that_answer(lab) {
        let Some(fping) = tools::tool("fping") else { return };
        let hosts: Vec<String> = (0..20).map(|n| format!("10.77.3.{}", 2 * n)).collect();
        let answers = ["reply", "silent", "unreachable", "reply", "prohibited"];
        for (n, host) in hosts.iter().enumerate() {
            lab.all(&[host], answers[n % answers.len()]);
        }
        let tunnels: Vec<_> = hosts.iter().map(|host| tunnel(host, "", &format!("{host}/31"), "", None)).collect();
        let api = api(&tunnels);
        let mut exporter = lab.exporter(&api, &QUICK);
        let page = exporter.await_page("every host to have a state", SOON, |page| {
            (page.all("tunnel_probe_up", &[]).len() == hosts.len()).then(|| Samples(page.0.clone()))
        });
        let ours = page.all("tunnel_probe_up", &[]).into_iter().filter(|sample| sample.value == 1.0);
        let ours: BTreeSet<_> = ours.map(|sample| sample.labels["tunnel_name"].clone()).collect();
        let output = tools::run(Command::new(fping).args(["-a", "-r", "0", "-t", "500"]), &hosts.join("\n"));
        let theirs: BTreeSet<_> = String::from_utf8_lossy(&output.stdout).lines().map(|line| line.trim().to_owned()).collect();
        assert_eq!(ours, theirs);
        assert_eq!(ours.len(), 8);
    }

    fn flapping_within_the_debounce_time_does_not_change_the_state(lab) {
        lab.all(&[INSIDE, ENDPOINT], "reply");
        let api = api(&[fra("UP")]);
        let mut exporter = lab.exporter(&api, &[&QUICK[..], &["--probe.down-after=10"]].concat());
        exporter.await_page("the inside to answer", SOON, |page| page.value("tunnel_reachable", &[]).filter(|up| *up == 1.0));
        let inside = target("fra", "interface_address");
        for _ in 0..4 {
            lab.all(&[INSIDE], "silent");
            await_more(&mut exporter, "tunnel_probe_failures_total", &inside, 2.0);
            lab.all(&[INSIDE], "reply");
            await_more(&mut exporter, "tunnel_probe_replies_total", &inside, 3.0);
        }
        let page = exporter.samples();
        assert_eq!(page.value("tunnel_verdict_changes_total", &[]), Some(0.0));
        assert!(sum(&page, "tunnel_probe_failures_total", &[("reason", "timeout")]) >= 8.0, "the losses are counted");
    }

    fn datagram_sockets_are_used_if_the_kernel_allows_them(lab) {
        allow_dgram();
        lab.all(&[INSIDE, "fd77:1::2"], "reply");
        lab.all(&[ENDPOINT], "unreachable");
        let api = api(&[tunnel("fra", ENDPOINT, "10.77.0.0/31", "fd77:1::2/127", Some("UP"))]);
        let mut exporter = lab.exporter(&api, &QUICK);
        for (address, up) in [("interface_address", 1.0), ("interface_address6", 1.0), ("customer_endpoint", 0.0)] {
            exporter.await_page(address, SOON, |page| {
                page.value("tunnel_probe_up", &target("fra", address)).filter(|value| *value == up)
            });
        }
        let page = exporter.samples();
        assert_eq!(page.all("probe_socket_up", &[("mode", "dgram")]).len(), 2);
        // The kernel delivers ICMP errors to such a socket, too.
        let endpoint = target("fra", "customer_endpoint");
        assert!(sum(&page, "tunnel_probe_failures_total", &[endpoint[0], endpoint[1], ("reason", "unreachable")]) >= 3.0);
    }

    fn without_permission_the_exporter_runs_suggests_a_fix_and_recovers(lab) {
        lab.all(&[INSIDE, ENDPOINT], "reply");
        let api = api(&[fra("UP")]);
        let mut exporter = unprivileged(&api);
        exporter.await_page("echoes that were not sent", SOON, |page| {
            (sum(page, "tunnel_probe_failures_total", &[("reason", "not_sent")]) >= 6.0).then_some(())
        });
        let page = exporter.samples();
        assert_eq!(page.value("probe_socket_up", &[("ip_version", "4")]), Some(0.0));
        assert_eq!((page.all("tunnel_probe_up", &[]).len(), page.value("tunnel_reachable", &[])), (0, None));
        assert_eq!(verdict(&page, "fra").expect("a verdict").0, "healthy", "the verdict follows Cloudflare's report");
        for remedy in ["ping_group_range", "AmbientCapabilities=CAP_NET_RAW", "setcap cap_net_raw+ep"] {
            await_log(&exporter, remedy);
        }
        assert_eq!(exporter.process.said().matches("cannot open an ICMPv4 socket").count(), 1, "logged once");
        allow_dgram();
        exporter.await_page("the socket to open by itself", SOON, |page| {
            page.value("probe_socket_up", &[("ip_version", "4"), ("mode", "dgram")]).filter(|up| *up == 1.0)?;
            page.value("tunnel_reachable", &[]).filter(|up| *up == 1.0)
        });
    }

    fn an_interface_that_goes_and_comes_back_is_probed_again(lab) {
        lab.all(&[INSIDE, ENDPOINT], "reply");
        let api = api(&[fra("UP")]);
        let interface = format!("--probe.interface={DEVICE}");
        let mut exporter = lab.exporter(&api, &[&QUICK[..], &[&interface]].concat());
        let reachable = |expected: f64| move |page: &Samples| page.value("tunnel_reachable", &[]).filter(|up| *up == expected);
        exporter.await_page("the inside to answer", SOON, reachable(1.0));
        lab.pull_out();
        exporter.await_page("the inside to be down", SOON, reachable(0.0));
        assert!(sum(&exporter.samples(), "tunnel_probe_failures_total", &[("reason", "unreachable")]) >= 3.0);
        lab.plug_in();
        lab.all(&[INSIDE, ENDPOINT], "reply");
        exporter.await_page("the inside to answer again", SOON, reachable(1.0));
    }

    fn a_refusal_of_the_kernel_is_counted_by_its_meaning(lab) {
        command("ip route add unreachable 10.77.0.0/32");
        command("ip route add prohibit 10.77.0.2/32");
        command("ip route add blackhole 10.77.0.4/32");
        lab.all(&[ENDPOINT], "reply");
        let tunnels = [("unreachable", "10.77.0.0/31"), ("prohibited", "10.77.0.2/31"), ("not_sent", "10.77.0.4/31")];
        let api = api(&tunnels.map(|(name, prefix)| tunnel(name, ENDPOINT, prefix, "", None)));
        let mut exporter = lab.exporter(&api, &QUICK);
        for (reason, _) in tunnels {
            let labels = target(reason, "interface_address");
            let page = await_results(&mut exporter, &labels, 10.0);
            let all = sum(&page, "tunnel_probe_failures_total", &labels);
            let of_reason = sum(&page, "tunnel_probe_failures_total", &[labels[0], labels[1], ("reason", reason)]);
            assert_eq!(all, of_reason, "{reason}");
        }
        // The errors do not affect another target on the same socket.
        let page = exporter.samples();
        assert_eq!(sum(&page, "tunnel_probe_failures_total", &target("not_sent", "customer_endpoint")), 0.0);
    }

    fn addresses_that_a_host_cannot_have_are_refused_with_a_reason(lab) {
        let api = api(&[
            tunnel("a", "0.0.0.0", "10.77.0.3/30", "", None),
            tunnel("b", "224.0.0.5", "10.77.0.0/31", "ff02::1/127", None),
            tunnel("c", "255.255.255.255", "garbage", "::/127", None),
        ]);
        lab.all(&[INSIDE], "reply");
        let mut exporter = lab.exporter(&api, &QUICK);
        exporter.await_page("the one good address to answer", SOON, |page| {
            page.value("tunnel_probe_up", &target("b", "interface_address")).filter(|up| *up == 1.0)
        });
        let page = exporter.samples();
        assert_eq!(page.value("probe_targets", &[]), Some(1.0));
        for (reason, count) in [("unspecified", 2.0), ("multicast", 2.0), ("broadcast", 2.0), ("unparsable", 1.0)] {
            assert_eq!(page.value("probe_targets_refused", &[("reason", reason)]), Some(count), "{reason}");
        }
    }
}

/// The mean round-trip time measured by ping(8), in seconds. `None` if it is not installed.
fn ping_mean(address: &str) -> Option<f64> {
    let ping = tools::tool("ping")?;
    let output = tools::run(Command::new(ping).args(["-q", "-c", "30", "-i", "0.05", address]), "");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    // rtt min/avg/max/mdev = 20.1/20.3/21.0/0.1 ms
    let numbers = text.split_once("= ").unwrap_or_else(|| panic!("ping: {text}")).1;
    let mean = numbers.split('/').nth(1).and_then(|mean| mean.parse::<f64>().ok());
    Some(mean.unwrap_or_else(|| panic!("ping: {text}")) / 1000.0)
}

/// An exporter that runs as a user without privileges.
fn unprivileged(api: &crate::support::api::Api) -> Exporter {
    let folder = std::env::temp_dir().join(format!("mte-unprivileged-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder");
    let copy = folder.join("exporter");
    std::fs::copy(program().get_program(), &copy).expect("a copy that every user may run");
    let address = free_address();
    let process = Process::start(
        Command::new("setpriv")
            .args(["--reuid=65534", "--regid=65534", "--clear-groups", "--inh-caps=-all", "--bounding-set=-all", "--"])
            .arg(&copy)
            .args(["serve", "--cloudflare.account-id", ACCOUNT, "--poll.interval=1s"])
            .args(QUICK)
            .arg(format!("--cloudflare.api-url=http://{}/client/v4", api.address))
            .arg(format!("--web.listen-address={address}"))
            .env_clear()
            .env("CLOUDFLARE_API_TOKEN", "e2e"),
    );
    let exporter = Exporter { process, address };
    crate::support::eventually("the exporter to serve", SOON, || match http::get(address, "/-/ready") {
        Ok(reply) if reply.status == 200 => Ok(()),
        other => Err(format!("{other:?}")),
    });
    // A running program does not need its file any more.
    drop(std::fs::remove_dir_all(folder));
    exporter
}
