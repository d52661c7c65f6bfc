use std::{sync::Arc, time::Duration};

use proptest::prelude::*;

use super::*;
use crate::{
    domain::{
        edge::{EdgeChecks, EdgeResult},
        fixtures::{self, tunnel},
        inventory::{AccountName, InventoryEntry, TunnelKey},
        label::Label,
        probe::{ProbeTarget, Silence},
        tunnel::HealthCheck,
    },
    prober::{
        board::{TargetProbe, TunnelProbes, UplinkProbe},
        histogram::Buckets,
        mtu::PathMtu,
        tally::Tally,
    },
};

/// All cells of the table: inside, outside, and the verdicts for the session down, for the session up with the edge
/// silent, up and down, and without a session for the edge up, down and silent.
const TABLE: &str = "
answers answers  bgp_fault     healthy       healthy       check_fault   healthy       check_fault   healthy
answers silent   bgp_fault     healthy       healthy       check_fault   healthy       check_fault   healthy
answers -        bgp_fault     healthy       healthy       check_fault   healthy       check_fault   healthy
silent  answers  tunnel_fault  path_mismatch path_mismatch path_mismatch path_mismatch tunnel_fault  tunnel_fault
silent  silent   unreachable   path_mismatch path_mismatch path_mismatch path_mismatch unreachable   unreachable
silent  -        unreachable   path_mismatch path_mismatch path_mismatch path_mismatch unreachable   unreachable
-       answers  reported_down healthy       healthy       healthy       healthy       reported_down unknown
-       silent   unreachable   path_mismatch path_mismatch path_mismatch path_mismatch unreachable   unreachable
-       -        reported_down healthy       healthy       healthy       healthy       reported_down unknown
";

/// The columns of the table: the session and the edge. A session that is down leaves the edge no say.
const COLUMNS: [(Reported, &[Reported]); 7] = [
    (Reported::Down, Reported::ALL),
    (Reported::Up, &[Reported::None]),
    (Reported::Up, &[Reported::Up]),
    (Reported::Up, &[Reported::Down]),
    (Reported::None, &[Reported::Up]),
    (Reported::None, &[Reported::Down]),
    (Reported::None, &[Reported::None]),
];

fn every_evidence() -> impl Iterator<Item = Evidence> {
    let reports = Reported::ALL.iter().flat_map(|&reported| Reported::ALL.iter().map(move |&edge| (reported, edge)));
    reports.flat_map(|(reported, edge)| {
        let sides = Side::ALL.iter().flat_map(|&inside| Side::ALL.iter().map(move |&outside| (inside, outside)));
        sides.map(move |(inside, outside)| Evidence { reported, edge, inside, outside })
    })
}

#[test]
fn every_cell_of_the_table() {
    let mut cells = 0;
    for row in TABLE.lines().filter(|line| !line.is_empty()) {
        let words: Vec<_> = row.split_whitespace().collect();
        let side = |word| *Side::ALL.iter().find(|side| side.as_str() == word).unwrap();
        let (inside, outside) = (side(words[0]), side(words[1]));
        for ((reported, edges), expected) in COLUMNS.iter().zip(&words[2..]) {
            for &edge in *edges {
                let evidence = Evidence { reported: *reported, edge, inside, outside };
                assert_eq!(look_up(evidence).as_str(), *expected, "{evidence:?}");
                cells += 1;
            }
        }
    }
    assert_eq!(cells, every_evidence().count());
}

#[test]
fn a_verdict_rests_on_silence_when_it_would_change_without_it() {
    let deaf = |side| if side == Side::Silent { Side::Unsettled } else { side };
    for evidence in every_evidence() {
        let without = Evidence { inside: deaf(evidence.inside), outside: deaf(evidence.outside), ..evidence };
        assert_eq!(rests_on_silence(evidence), look_up(without) != look_up(evidence), "{evidence:?}");
    }
}

/// Seconds of a rehearsal as an instant.
fn at(seconds: u64) -> Instant {
    static START: std::sync::LazyLock<Instant> = std::sync::LazyLock::new(|| web_toolkit::clock::now().instant);
    *START + Duration::from_secs(seconds)
}

fn stands(side: Side, since: u64) -> Standing {
    Standing { side, since: (side != Side::Unsettled).then(|| at(since)) }
}

#[test]
fn an_edge_report_that_contradicts_a_newer_observation_does_not_count() {
    use {Reported as R, Side as S};
    const BEGAN: u64 = 100;
    for (inside, outside, state, counts) in [
        ((S::Answers, 100), (S::Unsettled, 0), R::Down, true),
        ((S::Answers, 101), (S::Unsettled, 0), R::Down, false),
        ((S::Answers, 101), (S::Answers, 1), R::Down, false),
        ((S::Answers, 101), (S::Unsettled, 0), R::Up, true),
        ((S::Silent, 100), (S::Answers, 101), R::Up, true),
        ((S::Silent, 101), (S::Answers, 1), R::Up, false),
        ((S::Silent, 101), (S::Answers, 101), R::Down, true),
        ((S::Unsettled, 0), (S::Answers, 101), R::Down, false),
        ((S::Unsettled, 0), (S::Answers, 100), R::Down, true),
        ((S::Unsettled, 0), (S::Silent, 101), R::Up, false),
        ((S::Unsettled, 0), (S::Unsettled, 0), R::Up, true),
        ((S::Unsettled, 0), (S::Unsettled, 0), R::Down, true),
    ] {
        let (inside, outside) = (stands(inside.0, inside.1), stands(outside.0, outside.1));
        let report = EdgeReport { state, began: at(BEGAN) };
        let (evidence, _) = judge(Reports { session: R::None, edge: Some(report) }, inside, outside);
        assert_eq!(evidence.edge, if counts { state } else { R::None }, "{inside:?} {outside:?} {state}");
    }
}

proptest! {
    #[test]
    fn old_data_never_overrides_a_newer_observation(
        (inside, outside, session) in (0_usize..3, 0_usize..3, 0_usize..3),
        state in prop_oneof![Just(Reported::Up), Just(Reported::Down)],
        (began, inside_since, outside_since) in (0_u64..1000, 0_u64..1000, 0_u64..1000),
    ) {
        let inside = stands(Side::ALL[inside], inside_since);
        let outside = stands(Side::ALL[outside], outside_since);
        let decisive = if inside.side == Side::Unsettled { outside } else { inside };
        let session = Reported::ALL[session];
        let edge = EdgeReport { state, began: at(began) };
        let (_, with_edge) = judge(Reports { session, edge: Some(edge) }, inside, outside);
        let (_, alone) = judge(Reports { session, edge: None }, inside, outside);
        if decisive.since.is_some_and(|since| since > edge.began) && with_edge != alone {
            // Only a report that agrees with the observation can add to it.
            let agrees = matches!((decisive.side, state), (Side::Answers, Reported::Up) | (Side::Silent, Reported::Down));
            prop_assert!(agrees, "{inside:?} {outside:?} {state} {with_edge} {alone}");
        }
    }

    /// At the moment at which the probes inside the tunnel are down. The window of a report always ends before.
    #[test]
    fn a_static_tunnel_that_dies_is_found_at_once_whatever_the_edge_reports(
        (window, delay) in (60_u64..3600, 0_u64..1800),
        state in prop_oneof![Just(None), Just(Some(Reported::Up)), Just(Some(Reported::Down))],
        outside in prop_oneof![Just(Side::Answers), Just(Side::Silent), Just(Side::Unsettled)],
    ) {
        let died = 10_000;
        let edge = state.map(|state| EdgeReport { state, began: at(died - delay - window) });
        let (_, verdict) = judge(Reports { session: Reported::None, edge }, stands(Side::Silent, died), stands(outside, 0));
        let expected = if outside == Side::Answers { Verdict::TunnelFault } else { Verdict::Unreachable };
        prop_assert_eq!(verdict, expected);
    }

    /// The edge checks once a second and sees an outage at once. The prober sees it after three seconds, and its end
    /// after two.
    #[test]
    fn a_flap_that_is_shorter_than_the_window_is_never_a_check_fault(
        (window, delay) in (60_u64..900, 0_u64..600),
        flap in 0_u64..100,
        after in 0_u64..2000,
        session in prop_oneof![Just(Reported::Up), Just(Reported::None)],
    ) {
        let (down, up) = (2000, 2000 + window * flap / 100);
        let now = down + after;
        let (from, to) = (now - delay - window, now - delay);
        let failed = up.min(to).saturating_sub(down.max(from));
        let checks = EdgeChecks::default().plus(EdgeResult::Ok, window - failed).unwrap();
        let state = match checks.plus(EdgeResult::Timeout, failed).unwrap().state(20).unwrap() {
            HealthState::Healthy => Reported::Up,
            HealthState::Degraded => Reported::None,
            HealthState::Down => Reported::Down,
        };
        let inside = match now {
            now if up - down < 3 || now < down + 3 => stands(Side::Answers, 0),
            now if now < up + 2 => stands(Side::Silent, down + 3),
            _ => stands(Side::Answers, up + 2),
        };
        let edge = Some(EdgeReport { state, began: at(from) });
        let (_, verdict) = judge(Reports { session, edge }, inside, stands(Side::Answers, 0));
        prop_assert_ne!(verdict, Verdict::CheckFault);
    }
}

fn reporting(state: Option<BgpState>) -> Tunnel {
    match state {
        Some(state) => fixtures::reporting(tunnel("t1"), state),
        None => tunnel("t1"),
    }
}

#[test]
fn only_a_fresh_and_known_state_is_a_report() {
    for (state, expected) in [
        (None, Reported::None),
        (Some(BgpState::Up), Reported::Up),
        (Some(BgpState::Down), Reported::Down),
        (Some(BgpState::Establishing), Reported::Down),
        (Some(BgpState::Unknown), Reported::None),
    ] {
        assert_eq!(session(&reporting(state), true), expected, "{state:?}");
        assert_eq!(session(&reporting(state), false), Reported::None, "{state:?}, stale");
    }
}

fn why(inside: Side, outside: Side, state: Option<BgpState>, uplinks: bool) -> String {
    sentence((inside, outside), reporting(state), uplinks, Reported::None)
}

fn sentence(sides: (Side, Side), tunnel: Tunnel, uplinks: bool, edge: Reported) -> String {
    sentence_with(sides, tunnel, uplinks, edge, None)
}

fn sentence_with(
    (inside, outside): (Side, Side),
    tunnel: Tunnel,
    uplinks: bool,
    edge: Reported,
    path: Option<PathMtu>,
) -> String {
    let entry = InventoryEntry { tunnel: Arc::new(tunnel), bgp_state_changes: 0, site: None, steering: None };
    let account = AccountName::new("acme");
    let tally = Arc::new(Tally::new(Buckets::rtt()));
    if let Some(path) = path {
        tally.watch_mtu(Some(1_400));
        tally.set_path_mtu(path);
    }
    let target =
        |target, address: &str| TargetProbe { target, address: address.parse().unwrap(), tally: Arc::clone(&tally) };
    let uplink = UplinkProbe { address: "203.0.113.1".parse().unwrap(), tally: Arc::clone(&tally) };
    let probes = TunnelProbes {
        vantage: Vantage::Site,
        targets: [
            target(ProbeTarget::CustomerEndpoint, "203.0.113.1"),
            target(ProbeTarget::InterfaceAddress, "10.0.0.0"),
            target(ProbeTarget::InterfaceAddress6, "fd00::2"),
        ]
        .into(),
        uplinks: if uplinks { [uplink].into() } else { Arc::default() },
    };
    let row = Row {
        key: TunnelKey::new(&account, &entry.tunnel),
        account: &account,
        entry: &entry,
        fresh: true,
        confirmed: None,
        verdict: None,
        probes: Some(&probes),
        silence: Silence::AfterAnswer,
        edge: None,
        shared_prefixes: None,
        routes: None,
    };
    let evidence = Evidence { reported: session(&entry.tunnel, true), edge, inside, outside };
    Explanation { verdict: look_up(evidence), evidence, row: &row }.sentence()
}

#[test]
fn the_sentence_names_observation_report_and_advice() {
    use Side::{Answers, Silent, Unsettled};
    for (text, expected) in [
        (
            why(Answers, Answers, Some(BgpState::Down), false),
            "10.0.0.0 (and 1 more) inside the tunnel answers, Cloudflare reports the BGP session down; \
             check ASN, MD5 key, TCP port 179 and policy",
        ),
        (
            why(Silent, Answers, Some(BgpState::Down), true),
            "10.0.0.0 (and 1 more) inside the tunnel does not answer while the uplink 203.0.113.1 does, \
             Cloudflare reports the BGP session down; check IKE, pre-shared key, GRE and MTU",
        ),
        (
            why(Silent, Silent, None, false),
            "neither 10.0.0.0 (and 1 more) inside the tunnel nor the customer endpoint 203.0.113.1 answers, \
             Cloudflare reports no BGP session; check circuit, router and power of the site",
        ),
        (
            why(Silent, Silent, None, true),
            "neither 10.0.0.0 (and 1 more) inside the tunnel nor the uplink 203.0.113.1 answers, \
             Cloudflare reports no BGP session; check the circuit of this site",
        ),
        (
            why(Silent, Unsettled, Some(BgpState::Up), false),
            "10.0.0.0 (and 1 more) inside the tunnel does not answer, Cloudflare reports the BGP session up; \
             an outage younger than the BGP hold timer, a stale status, newly filtered ICMP or an asymmetric path",
        ),
        (
            why(Unsettled, Unsettled, Some(BgpState::Establishing), false),
            "no probe has a settled result, Cloudflare reports the BGP session establishing; \
             probe an address inside the tunnel to learn more",
        ),
    ] {
        assert_eq!(text, expected);
    }
}

#[test]
fn the_sentence_names_the_source_of_each_report() {
    use Side::{Answers, Silent, Unsettled};
    let check = HealthCheck { check_type: Some(CheckType::Reply), ..HealthCheck::default() };
    let replying = Tunnel { health_check: Some(check), ..reporting(Some(BgpState::Up)) };
    for (text, expected) in [
        (
            sentence((Answers, Unsettled), replying, false, Reported::Down),
            "10.0.0.0 (and 1 more) inside the tunnel answers, Cloudflare reports the BGP session up, and health checks \
             of Cloudflare's edge fail; Cloudflare routes around this tunnel; set the type of the health check to \
             request, because stateful firewalls drop echo replies, or check its direction, its target and filters of \
             ICMP",
        ),
        (
            sentence((Silent, Answers), reporting(None), false, Reported::Up),
            "10.0.0.0 (and 1 more) inside the tunnel does not answer while the customer endpoint 203.0.113.1 does, \
             Cloudflare reports no BGP session, and health checks of Cloudflare's edge pass; newly filtered ICMP or an \
             asymmetric path",
        ),
    ] {
        assert_eq!(text, expected);
    }
}

#[test]
fn every_evidence_has_a_sentence() {
    for evidence in every_evidence() {
        let state = match evidence.reported {
            Reported::Up => Some(BgpState::Up),
            Reported::Down => Some(BgpState::Down),
            Reported::None => None,
        };
        let text = sentence((evidence.inside, evidence.outside), reporting(state), true, evidence.edge);
        assert!(text.contains("Cloudflare") && text.contains("; "), "{text}");
    }
}

#[test]
fn the_sentence_mentions_a_path_mtu_that_can_be_a_part_of_the_fault() {
    use Side::{Answers, Silent};
    let text = |sides, state, size, black_hole| {
        let path = PathMtu { size: Some(size), black_hole: Some(black_hole) };
        sentence_with(sides, reporting(state), false, Reported::None, Some(path))
    };
    for (text, expected) in [
        (
            text((Answers, Answers), Some(BgpState::Up), 1_296, true),
            "10.0.0.0 (and 1 more) inside the tunnel answers, packets of more than 1296 bytes are lost without an ICMP \
             error (expected: 1400), Cloudflare reports the BGP session up; large packets do not pass, clamp the TCP MSS \
             to 1256 or raise the MTU of the path",
        ),
        (
            text((Answers, Answers), Some(BgpState::Down), 1_296, false),
            "10.0.0.0 (and 1 more) inside the tunnel answers, packets of more than 1296 bytes are lost (expected: 1400), \
             Cloudflare reports the BGP session down; check ASN, MD5 key, TCP port 179 and policy, clamp the TCP MSS to \
             1256 or raise the MTU of the path",
        ),
    ] {
        assert_eq!(text, expected);
    }
    assert!(text((Silent, Answers), Some(BgpState::Down), 1_296, true).contains("more than 1296 bytes"));
    for quiet in [
        text((Answers, Answers), Some(BgpState::Up), 1_400, false),
        text((Silent, Silent), Some(BgpState::Down), 1_296, true),
        text((Silent, Answers), Some(BgpState::Up), 1_296, true),
    ] {
        assert!(!quiet.contains("bytes"), "{quiet}");
    }
}
