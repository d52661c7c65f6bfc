use std::{num::NonZeroU32, sync::Arc, time::Duration};

use web_toolkit::clock::{self, Moment};

use super::*;
use crate::{
    domain::{
        fixtures::{addressed, fleet},
        inventory::{AccountName, Fleet, TunnelKey},
        probe::{EchoOutcome, ProbeTarget, Thresholds, Vantage},
        verdict::{Evidence, Reported, Side, TunnelVerdict, Verdict, Verdicts},
    },
    exposition::{capture::Capture, exporter, family::Groups, page::Page, process, text::Format},
    prober::{
        board::{ProbeBoard, TargetProbe, TunnelProbes, UplinkProbe},
        histogram::Buckets,
        mtu::PathMtu,
        tally::Tally,
    },
    snapshot::{Judged, Snapshot},
};

struct Seen {
    fleet: Arc<Fleet>,
    board: ProbeBoard,
    verdicts: Verdicts,
}

/// The observed values and those of the exporter, without prefix.
fn render(seen: Seen) -> String {
    let judged = Judged {
        fleet: seen.fleet,
        board: Arc::new(seen.board),
        verdicts: Arc::new(seen.verdicts),
        ..Judged::default()
    };
    let snapshot = Snapshot { judged, stale_after: Duration::ZERO, now: at() };
    let capture = Capture::new(snapshot, process::ProcessStats::default(), String::new(), Duration::ZERO);
    let mut text = String::new();
    Page::with_families(&[OBSERVED, exporter::FAMILIES], Arc::new(capture), Format::OpenMetrics, Groups::ALL)
        .fill(&mut text, usize::MAX);
    text.replace("cloudflare_magic_", "")
}

fn at() -> Moment {
    Moment { wall: "2026-11-20T10:00:00.5Z".parse().unwrap(), ..clock::now() }
}

fn tally(outcomes: &[EchoOutcome]) -> Arc<Tally> {
    let tally = Tally::new(Buckets::new([Duration::from_millis(1), Duration::from_millis(20)]).unwrap());
    let thresholds = Thresholds { down_after: NonZeroU32::new(2).unwrap(), up_after: NonZeroU32::new(2).unwrap() };
    for &outcome in outcomes {
        tally.begin();
        tally.finish(outcome, at(), thresholds);
    }
    Arc::new(tally)
}

const fn reply(millis: u64) -> EchoOutcome {
    EchoOutcome::Reply { rtt: Duration::from_millis(millis) }
}

const LOST: EchoOutcome = EchoOutcome::Failed(ProbeFailure::Timeout);
const REFUSED: EchoOutcome = EchoOutcome::Failed(ProbeFailure::Prohibited);

fn seen() -> Seen {
    let fleet = fleet([addressed("fra", "203.0.113.1", "10.0.0.0/31", ""), addressed("new", "", "", "")]);
    let account = AccountName::new("acme");
    let keys: Vec<_> =
        fleet.accounts[&account].entries().map(|entry| Arc::new(TunnelKey::new(&account, &entry.tunnel))).collect();
    let probe = |target, address: &str, tally| TargetProbe { target, address: address.parse().unwrap(), tally };
    let endpoint = tally(&[LOST, REFUSED]);
    endpoint.begin();
    let targets = [
        probe(ProbeTarget::CustomerEndpoint, "203.0.113.1", endpoint),
        probe(ProbeTarget::InterfaceAddress, "10.0.0.0", tally(&[reply(1), reply(15), LOST, reply(300)])),
    ];
    let board = ProbeBoard {
        tunnels: [(
            Arc::clone(&keys[0]),
            Arc::new(TunnelProbes { vantage: Vantage::Site, targets: targets.into(), uplinks: Arc::default() }),
        )]
        .into(),
        uplinks: [UplinkProbe { address: "192.0.2.1".parse().unwrap(), tally: tally(&[reply(1), reply(1)]) }].into(),
        ..ProbeBoard::default()
    };
    let verdict = TunnelVerdict {
        verdict: Verdict::BgpFault,
        evidence: Evidence {
            reported: Reported::Down,
            edge: Reported::None,
            inside: Side::Answers,
            outside: Side::Unsettled,
        },
        changed: at(),
        changes: 3,
        why: "".into(),
    };
    let verdicts = Verdicts { tunnels: [(Arc::clone(&keys[0]), Arc::new(verdict))].into() };
    Seen { fleet, board, verdicts }
}

#[test]
fn the_page_of_observed_values() {
    insta::assert_snapshot!("observed", render(seen()));
}

#[test]
fn the_path_mtu_of_the_inside_is_on_the_page() {
    let seen = seen();
    for probe in &seen.board.tunnels.values().next().unwrap().targets {
        probe.tally.watch_mtu(Some(1_400));
        probe.tally.count_mtu_requests(2);
        probe.tally.count_mtu_reply();
    }
    let lines = |text: &str| -> Vec<String> {
        let lines = text.lines().filter(|line| line.contains("mtu") && !line.starts_with('#'));
        lines
            .map(|line| {
                line.replace("account=\"acme\",tunnel_id=\"fra\",tunnel_name=\"fra\",tunnel_type=\"ipsec\",", "")
            })
            .collect()
    };
    let inside = "{probe_target=\"interface_address\"}";
    let tally = Arc::clone(&seen.board.tunnels.values().next().unwrap().targets[1].tally);
    let counters =
        [format!("tunnel_probe_mtu_requests_total{inside} 2"), format!("tunnel_probe_mtu_replies_total{inside} 1")];
    let expected = format!("tunnel_probe_expected_mtu_bytes{inside} 1400");
    let again = Seen { fleet: Arc::clone(&seen.fleet), board: seen.board.clone(), verdicts: seen.verdicts.clone() };
    assert_eq!(lines(&render(seen)), [std::slice::from_ref(&expected), &counters[..]].concat());
    tally.set_path_mtu(PathMtu { size: Some(1_296), black_hole: Some(true) });
    let known = [
        format!("tunnel_probe_path_mtu_bytes{inside} 1296"),
        expected,
        format!("tunnel_probe_mtu_black_hole{inside} 1"),
    ];
    assert_eq!(lines(&render(again)), [&known[..], &counters[..]].concat());
}

#[test]
fn a_tunnel_without_probes_has_only_its_verdict() {
    let text = render(seen());
    assert!(!text.contains("tunnel_name=\"new\""));
}

#[test]
fn unproven_silence_leaves_the_tunnel_without_a_state() {
    let mut seen = seen();
    let probes = TunnelProbes {
        vantage: Vantage::Site,
        targets: [TargetProbe {
            target: ProbeTarget::InterfaceAddress,
            address: "10.0.0.0".parse().unwrap(),
            tally: tally(&[LOST, LOST]),
        }]
        .into(),
        uplinks: Arc::default(),
    };
    for old in seen.board.tunnels.values_mut() {
        *old = Arc::new(probes.clone());
    }
    let text = render(seen);
    assert!(!text.contains("\ntunnel_reachable{"), "{text}");
    assert!(text.contains("probe_target=\"interface_address\"} 0\n"), "{text}");
}
