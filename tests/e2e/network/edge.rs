//! Tunnels that answer probes while Cloudflare's edge reports that its health checks fail: real packets, and a real
//! Prometheus with the shipped rules.

use std::time::Duration;

use serde_json::Value;

use super::{
    ENDPOINT, INSIDE, in_time,
    lab::{Lab, QUICK, api, await_verdict, list, tunnel, verdict},
    namespace,
};
use crate::{
    alerting::Delivering,
    edge::{health, result, with_edge},
    support::{
        api::{Answer, Api},
        eventually,
        exporter::{ACCOUNT, Exporter},
        http,
        tunnels::id_of,
    },
};

/// The shortest time span of health checks that can be configured.
const WINDOW: Duration = Duration::from_mins(1);

const FLAGS: [&str; 5] =
    ["--edge.enabled", "--edge.interval=500ms", "--edge.window=1m", "--edge.delay=0s", "--edge.traffic=false"];

/// Deadline of a verdict for which the probes have to answer for longer than the time span, and of its alert.
const LONG: Duration = Duration::from_mins(4);

/// Tunnels with static routes, and the addresses inside of them.
const TUNNELS: [(&str, &str); 4] = [("fra", INSIDE), ("ams", "10.77.0.2"), ("par", "10.77.0.4"), ("waw", "10.77.0.6")];

/// The lists of tunnels, and an edge with failing checks of the tunnels `down`.
fn answer(down: &[&str]) -> Answer {
    let listed = TUNNELS.map(|(name, inside)| tunnel(name, ENDPOINT, &format!("{inside}/31"), "", None));
    let checks = TUNNELS.map(|(name, _)| result(name, if down.contains(&name) { "timeout" } else { "ok" }, 100));
    with_edge(list(&listed), health(&checks), list(&[]))
}

/// An exporter of tunnels that all answer. Returns the time since which they do.
fn start(lab: &mut Lab, down: &[&str]) -> (Api, Exporter, f64) {
    let api = api(&[]);
    api.answer_with(answer(down));
    let inside = TUNNELS.map(|(_, inside)| inside);
    let answering = lab.all(&[&[ENDPOINT], &inside[..]].concat(), "reply");
    let exporter = lab.exporter(&api, &[&QUICK[..], &FLAGS].concat());
    (api, exporter, answering)
}

fn await_late_verdict(exporter: &mut Exporter, name: &str, expected: &str) -> f64 {
    exporter.await_page(&format!("{name} to be {expected}"), LONG, |page| {
        verdict(page, name).filter(|(verdict, _)| verdict == expected).map(|(_, at)| at)
    })
}

/// Waits until the exporter has polled this state of the edge.
fn await_edge(exporter: &mut Exporter, name: &str, state: &str) {
    exporter.await_page(&format!("the edge to report {name} as {state}"), LONG, |page| {
        page.value("tunnel_edge_state", &[("tunnel_name", name), ("state", state)]).filter(|value| *value == 1.0)
    });
}

/// The tunnels with a notification of `MagicTunnelCheckFault`, firing or resolved.
fn delivered(chain: &Delivering, firing: bool) -> Vec<(String, String)> {
    let all = chain.receiver.deliveries().into_iter().filter(|one| one.firing == firing);
    let faults = all.filter(|one| one.labels["alertname"] == "MagicTunnelCheckFault");
    faults.map(|one| (one.to, one.labels["tunnel_name"].as_str().unwrap_or_default().to_owned())).collect()
}

fn await_delivery(chain: &Delivering, firing: bool) {
    eventually("a notification of a check fault", LONG, || {
        if delivered(chain, firing).is_empty() { Err(format!("{:#?}", chain.receiver.deliveries())) } else { Ok(()) }
    });
}

stories! {
    fn a_tunnel_that_answers_probes_and_fails_the_checks_of_the_edge_has_a_check_fault(lab) {
        let (_api, mut exporter, answering) = start(lab, &["fra"]);
        let since = await_late_verdict(&mut exporter, "fra", "check_fault");
        assert!(since - answering >= WINDOW.as_secs_f64(), "the report may be older than the replies");
        assert_eq!(verdict(&exporter.samples(), "ams").expect("a verdict").0, "healthy");

        let body = http::text(exporter.address, "/api/v1/tunnels?verdict=check_fault");
        let found: Value = serde_json::from_str(&body).expect("JSON");
        let why = found["tunnels"][0]["verdict"]["why"].as_str().expect("a reason");
        for part in ["10.77.0.0 inside the tunnel answers", "health checks of Cloudflare's edge fail"] {
            assert!(why.contains(part), "{why}");
        }
        let page = http::text(exporter.address, &format!("/tunnels/{ACCOUNT}/ipsec/{}", id_of("fra")));
        assert!(page.contains("runbooks#magictunnelcheckfault"), "{page}");

        // The probes find an outage as soon as without the edge, and do not wait for it when the tunnel is back.
        let died = lab.all(&[INSIDE], "silent");
        in_time("tunnel_fault", died, await_verdict(&mut exporter, "fra", "tunnel_fault"));
        let back = lab.all(&[INSIDE], "reply");
        in_time("healthy", back, await_verdict(&mut exporter, "fra", "healthy"));
    }

    fn a_lasting_check_fault_is_notified_and_a_flap_is_not(lab) {
        let (api, mut exporter, _) = start(lab, &["fra"]);
        let Some(chain) = Delivering::start(&[exporter.address], lab.folder()) else { return };
        await_verdict(&mut exporter, "par", "healthy");

        // An interruption of `par`, which the edge reports when it is over.
        lab.all(&["10.77.0.4"], "silent");
        await_verdict(&mut exporter, "par", "tunnel_fault");
        lab.all(&["10.77.0.4"], "reply");
        api.answer_with(answer(&["fra", "par"]));
        await_edge(&mut exporter, "par", "down");
        await_verdict(&mut exporter, "par", "healthy");
        api.answer_with(answer(&["fra"]));
        await_edge(&mut exporter, "par", "healthy");

        // A short failure of the checks of `ams`.
        await_late_verdict(&mut exporter, "fra", "check_fault");
        api.answer_with(answer(&["fra", "ams"]));
        await_late_verdict(&mut exporter, "ams", "check_fault");
        let recorded = "tunnel:cloudflare_magic_tunnel_verdict:held5m{verdict='check_fault', tunnel_name='ams'} == 1";
        eventually("Prometheus to see the fault of ams", LONG, || {
            let series = chain.prometheus.query(recorded);
            if series.is_empty() { Err("no series".to_owned()) } else { Ok(()) }
        });
        api.answer_with(answer(&["fra"]));
        await_late_verdict(&mut exporter, "ams", "healthy");

        await_delivery(&chain, true);
        let counts = "count by (tunnel_name) (max_over_time(tunnel:cloudflare_magic_tunnel_verdict:held5m{\
            verdict='check_fault'}[10m]))";
        assert_eq!(chain.prometheus.query(counts).len(), 2, "fra and ams had the verdict, and par had not");
        api.answer_with(answer(&[]));
        await_delivery(&chain, false);
        assert_eq!(delivered(&chain, false), [("chat".to_owned(), "fra".to_owned())]);
        assert!(delivered(&chain, true).iter().all(|one| *one == ("chat".to_owned(), "fra".to_owned())));
    }
}
