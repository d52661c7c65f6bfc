//! `demo`: the exporter with a built-in sandbox, without an account.

use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
    time::Duration,
};

use crate::support::{
    SOON, eventually,
    exporter::{Exporter, Process, program},
    free_address, http, now,
    samples::Samples,
};

#[test]
fn the_demo_answers_within_five_seconds_and_prints_its_addresses() {
    let address = free_address();
    let started = now();
    let demo = Process::start(
        program()
            .arg("demo")
            .arg(format!("--web.listen-address={address}"))
            .arg(format!("--sandbox.listen-address={}", free_address())),
    );
    while http::get(address, "/metrics").map_or(true, |reply| reply.status != 200) {
        assert!(now() - started < Duration::from_secs(5), "no page after 5 s; its output:\n{}", demo.said());
        std::thread::sleep(Duration::from_millis(20));
    }
    let links = eventually("the addresses", SOON, || {
        let printed = demo.printed();
        let links = printed.split_whitespace().filter_map(|word| word.strip_prefix("http://").map(str::to_owned));
        Some(links.collect::<Vec<_>>()).filter(|_| printed.contains("Ctrl-C")).ok_or(printed)
    });
    assert!(links.iter().any(|link| link.ends_with("/metrics")), "the address of the metrics is printed: {links:?}");
    for link in links {
        let (host, path) = link.split_once('/').unwrap_or((&link, ""));
        let answered = TcpStream::connect(host).is_ok();
        assert!(answered, "http://{host}/{path} is printed, but does not answer:\n{}", demo.said());
    }
}

#[test]
fn the_demo_has_tunnels_of_all_kinds() {
    let mut demo = Exporter::demo();
    demo.await_page(
        "at least six tunnels of both types, one down, one without BGP, one without health checks",
        SOON,
        |page| {
            let tunnels = page.all("tunnel_bgp_configured", &[]);
            let any = |name: &str, value: f64| page.all(name, &[]).iter().any(|sample| sample.value == value);
            let both_types = ["ipsec", "gre"].iter().all(|t| tunnels.iter().any(|s| s.labels["tunnel_type"] == *t));
            let told = tunnels.len() >= 6
                && both_types
                && any("tunnel_bgp_up", 0.0)
                && any("tunnel_bgp_up", 1.0)
                && any("tunnel_bgp_configured", 0.0)
                && any("tunnel_health_check_enabled", 0.0);
            told.then_some(())
        },
    );
}

#[test]
fn counters_and_history_show_an_outage_and_its_recovery() {
    let mut demo = Exporter::demo();
    let labels = [("tunnel_name", "fra-ipsec-1"), ("probe_target", "interface_address")];
    let count = |page: &Samples, metric: &str| page.all(metric, &labels).iter().map(|sample| sample.value).sum::<f64>();
    // The circuit is cut 15 s after the start, and repaired after 95 s.
    let story = Duration::from_mins(3);
    demo.await_page("losses after replies", story, |page| {
        let lost = count(page, "tunnel_probe_failures_total");
        (lost >= 3.0 && count(page, "tunnel_probe_replies_total") > 0.0).then_some(())
    });
    demo.await_page("the address to be down", story, |page| {
        page.value("tunnel_probe_up", &labels).filter(|up| *up == 0.0)
    });
    let before = count(&demo.samples(), "tunnel_probe_replies_total");
    demo.await_page("replies after the repair", story, |page| {
        (count(page, "tunnel_probe_replies_total") > before && page.value("tunnel_probe_up", &labels) == Some(1.0))
            .then_some(())
    });
    let page = demo.samples();
    assert!(count(&page, "tunnel_probe_failures_total") >= 3.0, "the counters were not reset");
}

#[test]
fn the_demo_ends_within_two_seconds_after_ctrl_c() {
    // Several times, because the order in which the tasks end varies.
    for signal in ["INT", "TERM", "INT", "TERM", "INT", "TERM"] {
        let demo = Exporter::demo();
        demo.await_ready();
        // One client keeps its connection open between scrapes, another one is in the middle of a request.
        let mut idle = TcpStream::connect(demo.address).expect("a connection");
        idle.write_all(b"GET /-/healthy HTTP/1.1\r\nHost: demo\r\n\r\n").expect("a request");
        let _ = idle.read(&mut [0; 1024]).expect("an answer");
        let mut slow = TcpStream::connect(demo.address).expect("a connection");
        slow.write_all(b"GET /metrics HTTP/1.1\r\nHost:").expect("half a request");

        let asked = now();
        demo.process.signal(signal);
        let ended = demo.process.ended(SOON);
        let took = now() - asked;
        assert!(took < Duration::from_secs(2), "SIG{signal}: it took {took:?}; its output:\n{}", ended.stderr);
        assert_eq!(ended.status.code(), Some(0), "SIG{signal}: its output:\n{}", ended.stderr);
    }
}
