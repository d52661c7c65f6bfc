use std::sync::Arc;

use super::*;
use crate::{
    domain::{
        fixtures::{self, tunnel},
        inventory::{AccountName, InventoryEntry, TunnelKey},
        label::Label,
        probe::{ProbeTarget, Silence},
    },
    prober::{
        board::{TargetProbe, TunnelProbes, UplinkProbe},
        histogram::Buckets,
        tally::Tally,
    },
};

/// All cells of the table: inside, outside, and the verdicts for reports up, down and none.
const TABLE: &str = "
answers answers  healthy       bgp_fault     healthy
answers silent   healthy       bgp_fault     healthy
answers -        healthy       bgp_fault     healthy
silent  answers  path_mismatch tunnel_fault  tunnel_fault
silent  silent   path_mismatch unreachable   unreachable
silent  -        path_mismatch unreachable   unreachable
-       answers  healthy       reported_down unknown
-       silent   path_mismatch unreachable   unreachable
-       -        healthy       reported_down unknown
";

fn every_evidence() -> impl Iterator<Item = Evidence> {
    Side::ALL.iter().flat_map(|&inside| {
        Side::ALL
            .iter()
            .flat_map(move |&outside| Reported::ALL.iter().map(move |&reported| Evidence { reported, inside, outside }))
    })
}

#[test]
fn every_cell_of_the_table() {
    let mut cells = 0;
    for row in TABLE.lines().filter(|line| !line.is_empty()) {
        let words: Vec<_> = row.split_whitespace().collect();
        for (reported, expected) in Reported::ALL.iter().zip(&words[2..]) {
            let evidence = every_evidence()
                .find(|e| e.inside.as_str() == words[0] && e.outside.as_str() == words[1] && e.reported == *reported)
                .unwrap();
            assert_eq!(judge(evidence).as_str(), *expected, "{evidence:?}");
            cells += 1;
        }
    }
    assert_eq!(cells, every_evidence().count());
}

#[test]
fn a_verdict_rests_on_silence_when_it_would_change_without_it() {
    let deaf = |side| if side == Side::Silent { Side::Unsettled } else { side };
    for evidence in every_evidence() {
        let without = Evidence { inside: deaf(evidence.inside), outside: deaf(evidence.outside), ..evidence };
        assert_eq!(rests_on_silence(evidence), judge(without) != judge(evidence), "{evidence:?}");
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
        assert_eq!(reported(&reporting(state), true), expected, "{state:?}");
        assert_eq!(reported(&reporting(state), false), Reported::None, "{state:?}, stale");
    }
}

fn why(inside: Side, outside: Side, state: Option<BgpState>, uplinks: bool) -> String {
    let entry = InventoryEntry { tunnel: Arc::new(reporting(state)), bgp_state_changes: 0, site: None };
    let account = AccountName::new("acme");
    let tally = Arc::new(Tally::new(Buckets::rtt()));
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
    };
    let evidence = Evidence { reported: reported(&entry.tunnel, true), inside, outside };
    Explanation { verdict: judge(evidence), evidence, row: &row }.sentence()
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
fn every_evidence_has_a_sentence() {
    for evidence in every_evidence() {
        let state = match evidence.reported {
            Reported::Up => Some(BgpState::Up),
            Reported::Down => Some(BgpState::Down),
            Reported::None => None,
        };
        let text = why(evidence.inside, evidence.outside, state, true);
        assert!(text.contains("Cloudflare") && text.contains("; "), "{text}");
    }
}
