//! Path MTUs and classes of service, with packets that a router on the path drops because of their size or class.

use std::time::Duration;

use serde_json::{Value, json};

use super::{
    ENDPOINT, INSIDE, await_results,
    lab::{DEVICE, Lab, QUICK, allow_dgram, api, await_verdict, command, sum, tunnel, verdict},
    namespace, target,
};
use crate::support::{
    SOON,
    api::Api,
    eventually,
    exporter::{ACCOUNT, Exporter},
    http,
    samples::Samples,
    tunnels::id_of,
};

const INSIDE6: &str = "fd77:1::2";

/// A search that takes seconds. With the default timeout of a second, a busy machine does not lose usual echoes.
const FLAGS: [&str; 3] = ["--probe", "--probe.mtu", "--probe.mtu.interval=1s"];

/// Deadline of a search on a busy machine, or of the next try of the expected size.
const LONG: Duration = Duration::from_mins(3);

/// A tunnel with an address of each IP version.
fn tunnels() -> Api {
    api(&[tunnel("fra", ENDPOINT, "10.77.0.0/31", "fd77:1::2/127", Some("UP"))])
}

/// Everything answers, and packets inside the tunnel are subject to this rule.
fn set_rule(lab: &mut Lab, rule: &Value) {
    lab.rules(&json!({ INSIDE: rule, INSIDE6: rule, ENDPOINT: {} }));
}

/// The path MTU and whether it is a black hole, for both addresses inside of the tunnel.
fn paths(page: &Samples) -> [Option<(f64, f64)>; 2] {
    ["interface_address", "interface_address6"].map(|address| {
        let labels = target("fra", address);
        let size = page.value("tunnel_probe_path_mtu_bytes", &labels)?;
        Some((size, page.value("tunnel_probe_mtu_black_hole", &labels)?))
    })
}

/// Waits until both path MTUs are in this range, and returns the page.
fn await_size(exporter: &mut Exporter, least: f64, most: f64) -> Samples {
    exporter.await_page(&format!("path MTUs from {least} to {most}"), LONG, |page| {
        let found = paths(page).iter().all(|path| path.is_some_and(|(size, _)| (least..=most).contains(&size)));
        found.then(|| Samples(page.0.clone()))
    })
}

fn black_holes(page: &Samples) -> [Option<f64>; 2] {
    paths(page).map(|path| path.map(|(_, black_hole)| black_hole))
}

/// Waits until the explanation of the verdict contains `text`.
fn await_why(exporter: &Exporter, text: &str) {
    eventually(text, SOON, || {
        let body = http::text(exporter.address, &format!("/api/v1/tunnels/{ACCOUNT}/ipsec/{}", id_of("fra")));
        let tunnel: Value = serde_json::from_str(&body).expect("JSON");
        let why = tunnel["verdict"]["why"].as_str().unwrap_or_default().to_owned();
        if why.contains(text) { Ok(()) } else { Err(why) }
    });
}

stories! {
    fn large_packets_that_are_lost_silently_are_a_black_hole_until_they_pass_again(lab) {
        let api = tunnels();
        set_rule(lab, &json!({}));
        let mut exporter = lab.exporter(&api, &FLAGS);
        assert_eq!(black_holes(&await_size(&mut exporter, 1400.0, 1400.0)), [Some(0.0); 2]);
        await_verdict(&mut exporter, "fra", "healthy");
        await_why(&exporter, "nothing to do");

        set_rule(lab, &json!({ "mtu": 1300 }));
        let page = await_size(&mut exporter, 1293.0, 1300.0);
        assert_eq!(black_holes(&page), [Some(1.0); 2]);
        for address in ["interface_address", "interface_address6"] {
            let labels = target("fra", address);
            assert_eq!(page.value("tunnel_probe_expected_mtu_bytes", &labels), Some(1400.0));
            let [requests, replies] =
                ["requests", "replies"].map(|what| sum(&page, &format!("tunnel_probe_mtu_{what}_total"), &labels));
            assert!(replies < requests && replies >= 5.0, "{address}: {replies} replies to {requests} packets");
            assert_eq!(sum(&page, "tunnel_probe_failures_total", &labels), 0.0, "{address}: not a part of the loss");
        }
        assert_eq!(page.all("tunnel_probe_mtu_requests_total", &[]).len(), 2, "not to the customer endpoint");
        await_why(&exporter, "bytes are lost without an ICMP error (expected: 1400)");
        assert_eq!(verdict(&exporter.samples(), "fra").expect("a verdict").0, "healthy");
        let shown = http::text(exporter.address, &format!("/tunnels/{ACCOUNT}/ipsec/{}", id_of("fra")));
        assert!(shown.contains("larger packets are lost without an ICMP error"), "{shown}");

        set_rule(lab, &json!({}));
        assert_eq!(black_holes(&await_size(&mut exporter, 1400.0, 1400.0)), [Some(0.0); 2]);
        await_why(&exporter, "nothing to do");
    }

    fn an_honest_router_leads_to_its_mtu_on_every_kind_of_socket(lab) {
        allow_dgram();
        let api = tunnels();
        set_rule(lab, &json!({ "mtu": 1322, "next_mtu": 1322 }));
        for socket in ["raw", "dgram"] {
            let mut exporter = lab.exporter(&api, &[&FLAGS[..], &[&format!("--probe.socket={socket}")]].concat());
            let page = await_size(&mut exporter, 1322.0, 1322.0);
            assert_eq!(black_holes(&page), [Some(0.0); 2], "{socket} sockets");
            // The errors do not disturb usual echoes, which share neither the socket nor its path MTU.
            assert_eq!(sum(&page, "tunnel_probe_failures_total", &target("fra", "interface_address")), 0.0, "{socket}");
        }
    }

    fn a_router_that_lies_is_not_believed(lab) {
        let api = tunnels();
        for lie in [0, 1281, 65_000] {
            set_rule(lab, &json!({ "mtu": 1350, "next_mtu": lie }));
            let mut exporter = lab.exporter(&api, &FLAGS);
            let page = await_size(&mut exporter, 1343.0, 1350.0);
            assert_eq!(black_holes(&page), [Some(0.0); 2], "{lie}: something said that the packets are too big");
        }
    }

    fn random_loss_is_not_searched(lab) {
        let api = tunnels();
        set_rule(lab, &json!({ "loss": 0.3 }));
        // The loss does not count as an outage.
        let mut exporter = lab.exporter(&api, &[&FLAGS[1..], &QUICK, &["--probe.down-after=100"]].concat());
        await_size(&mut exporter, 1400.0, 1400.0);
        let inside = target("fra", "interface_address");
        let goal = sum(&exporter.samples(), "tunnel_probe_mtu_requests_total", &inside) + 60.0;
        exporter.await_page("thirty more rounds", LONG, |page| {
            let lowered = paths(page).iter().flatten().any(|path| *path != (1400.0, 0.0));
            assert!(!lowered, "{:?}", paths(page));
            (sum(page, "tunnel_probe_mtu_requests_total", &inside) >= goal).then_some(())
        });
    }

    fn the_mtu_of_the_interface_is_an_answer_and_no_error(lab) {
        allow_dgram();
        let api = tunnels();
        set_rule(lab, &json!({}));
        command(&format!("ip link set {DEVICE} mtu 1310"));
        for socket in ["raw", "dgram"] {
            let mut exporter = lab.exporter(&api, &[&FLAGS[..], &[&format!("--probe.socket={socket}")]].concat());
            let page = await_size(&mut exporter, 1303.0, 1310.0);
            assert_eq!(black_holes(&page), [Some(0.0); 2], "{socket} sockets");
            assert_eq!(sum(&page, "tunnel_probe_failures_total", &target("fra", "interface_address")), 0.0, "{socket}");
        }
    }

    fn nothing_is_tried_at_an_address_that_is_down_or_from_another_site(lab) {
        let api = tunnels();
        lab.rules(&json!({ ENDPOINT: {}, "10.77.0.1": {}, "fd77:1::3": {} }));
        let mut silent = lab.exporter(&api, &FLAGS);
        let mut remote = lab.exporter(&api, &[&FLAGS[..], &["--probe.vantage=remote"]].concat());
        for exporter in [&mut silent, &mut remote] {
            await_results(exporter, &target("fra", "interface_address"), 5.0);
        }
        let requests = |exporter: &Exporter| sum(&exporter.samples(), "tunnel_probe_mtu_requests_total", &[]);
        assert_eq!((requests(&silent), requests(&remote)), (0.0, 0.0));
        assert!(remote.samples().all("tunnel_probe_mtu_requests_total", &[]).is_empty());
        set_rule(lab, &json!({}));
        await_size(&mut silent, 1400.0, 1400.0);
    }

    fn every_ping_has_the_configured_class_of_service(lab) {
        allow_dgram();
        let api = tunnels();
        set_rule(lab, &json!({ "dscp": 46 }));
        for (engine, socket) in [("batch", "raw"), ("batch", "dgram"), ("client", "raw"), ("client", "dgram")] {
            let flags = [format!("--probe.engine={engine}"), format!("--probe.socket={socket}")];
            let flags = [&QUICK[..], &["--probe.dscp=46", &flags[0], &flags[1]]].concat();
            let mut exporter = lab.exporter(&api, &flags);
            for address in ["interface_address", "interface_address6"] {
                exporter.await_page(&format!("replies to {engine} by {socket}"), LONG, |page| {
                    page.value("tunnel_probe_up", &target("fra", address)).filter(|up| *up == 1.0)
                });
            }
        }
        let mut unmarked = lab.exporter(&api, &QUICK);
        let page = await_results(&mut unmarked, &target("fra", "interface_address"), 10.0);
        assert_eq!(sum(&page, "tunnel_probe_replies_total", &target("fra", "interface_address")), 0.0);
        let mut marked = lab.exporter(&api, &[&FLAGS[..], &["--probe.dscp=46"]].concat());
        await_size(&mut marked, 1400.0, 1400.0);
    }
}
