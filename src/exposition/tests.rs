use std::{collections::BTreeSet, sync::Arc};

use prometheus_client::metrics::counter::Counter;
use proptest::prelude::*;
use web_toolkit::clock::{self, Moment};

use super::*;
use crate::{
    domain::{
        dataset::{FailureReason, PollState, PollStatus},
        inventory::{
            AccountInventory, AccountName, Fleet, InventoryEntry, RejectReason, RejectedMember, RejectedMembers,
            TunnelList,
        },
        label::Label,
        token::TokenReport,
        tunnel::{
            BgpConfig, BgpState, BgpStatus, CheckDirection, CheckTarget, CheckType, FsmState, GreDetails, HealthCheck,
            IpsecDetails, Speaker, Stated, Tunnel, TunnelDetails, TunnelId, TunnelType,
        },
    },
    snapshot::Judged,
};

const STALE_AFTER: Duration = Duration::from_mins(5);

fn polled_at() -> Moment {
    Moment { wall: "2026-11-20T10:00:00.25Z".parse().unwrap(), ..clock::now() }
}

/// A tunnel with every value stated.
fn talkative() -> Tunnel {
    Tunnel {
        id: TunnelId::new("0123456789abcdef0123456789abcdef"),
        name: "fra-1".into(),
        description: "Frankfurt, ISP X".into(),
        cloudflare_endpoint: Stated::Value("203.0.113.1".parse().unwrap()),
        customer_endpoint: Stated::Value("198.51.100.7".parse().unwrap()),
        interface_address: Stated::Value("10.0.0.1/31".parse().unwrap()),
        interface_address6: Stated::Value("2001:db8::/127".parse().unwrap()),
        automatic_return_routing: Some(true),
        health_check: Some(HealthCheck {
            enabled: Some(true),
            check_type: Some(CheckType::Request),
            direction: Some(CheckDirection::Bidirectional),
            rate: None,
            target: CheckTarget { saved: None, effective: Some("10.0.0.0".into()) },
        }),
        bgp: Some(BgpConfig { customer_asn: Some(4_200_000_001), extra_prefixes: Some(2), md5: true }),
        bgp_status: Some(BgpStatus {
            state: BgpState::Establishing,
            fsm: FsmState::OpenSent,
            tcp_established: Some(true),
            updated_at: "2026-11-20T09:59:30.5Z".parse().ok(),
            cloudflare_speaker: Speaker::default(),
            customer_speaker: Speaker { ip: "10.0.0.0".parse().ok(), port: Some(179) },
        }),
        created_on: "2017-06-14T00:00:00Z".parse().ok(),
        modified_on: "2017-06-14T05:20:00Z".parse().ok(),
        details: TunnelDetails::Ipsec(IpsecDetails {
            replay_protection: Some(false),
            allow_null_cipher: Some(true),
            psk_generated_on: "2017-06-14T05:20:00Z".parse().ok(),
            custom_identity: true,
        }),
    }
}

/// A tunnel with as few values as the API allows, and a name that needs escaping.
fn silent(kind: TunnelDetails) -> Tunnel {
    Tunnel {
        customer_endpoint: Stated::Unparsable("162.159.X.X".into()),
        ..Tunnel::bare(TunnelId::new("b"), "a\"b\\c\nd", kind)
    }
}

fn polled(tunnels: impl IntoIterator<Item = (Tunnel, u64)>) -> TunnelList {
    let entries = tunnels.into_iter().map(|(tunnel, bgp_state_changes)| InventoryEntry {
        site: (&*tunnel.name == "fra-1").then(|| "frankfurt".into()),
        tunnel: Arc::new(tunnel),
        bgp_state_changes,
        steering: None,
    });
    let status = PollStatus {
        state: PollState::Succeeded,
        last_success: Some(polled_at()),
        duration: Some(Duration::from_millis(125)),
    };
    let rejected = RejectedMember { reason: RejectReason::MissingId, index: 7, id: None };
    TunnelList { status, entries: entries.collect(), rejected: RejectedMembers::from_iter([rejected]), is_off: false }
}

/// An account with good lists, and one with polls that have always failed.
fn fleet(ipsec: TunnelList, gre: TunnelList) -> Fleet {
    let mut good = AccountInventory::default();
    good.set_list(TunnelType::Ipsec, ipsec);
    good.set_list(TunnelType::Gre, gre);
    good.token = Some(TokenReport { active: true, expires_on: "2099-12-31T00:00:00Z".parse().ok() });
    let mut refused = AccountInventory::default();
    refused.token = Some(TokenReport { active: false, expires_on: None });
    let failed = PollStatus { state: PollState::Failed(FailureReason::Auth), ..PollStatus::default() };
    refused.set_list(TunnelType::Ipsec, TunnelList { status: failed, ..TunnelList::default() });
    let accounts = [("head office", good), ("lab", refused)];
    Fleet {
        accounts: accounts.map(|(name, snapshot)| (AccountName::new(name), Arc::new(snapshot))).into(),
        ..Fleet::default()
    }
}

fn capture(fleet: Fleet, own: Registry) -> Arc<Capture> {
    let judged = Judged { fleet: Arc::new(fleet), ..Judged::default() };
    let (_, poll_interval) = watch::channel(Duration::from_mins(1));
    let exposition = Exposition::new(own, Sources::fixed(judged, STALE_AFTER), poll_interval);
    Arc::new(exposition.capture(clock::now()))
}

fn page(fleet: Fleet, format: Format) -> String {
    let mut text = String::new();
    assert!(
        Page::new(capture(fleet, registry()), format, Groups::ALL).fill(&mut text, usize::MAX),
        "the page is complete"
    );
    // Process metrics differ in every run.
    let lines = text.split_inclusive('\n').filter(|line| !line.contains(" process_") && !line.starts_with("process_"));
    lines.collect()
}

fn usual_fleet() -> Fleet {
    let gre = TunnelDetails::Gre(GreDetails { mtu: Some(1476), ttl: Some(64) });
    fleet(polled([(talkative(), 3)]), polled([(silent(gre), 0)]))
}

fn samples(page: &str) -> Vec<&str> {
    page.lines().filter(|line| !line.starts_with('#')).collect()
}

#[test]
fn the_page_of_a_known_fleet() {
    insta::assert_snapshot!("open_metrics", page(usual_fleet(), Format::OpenMetrics));
    insta::assert_snapshot!("classic", page(usual_fleet(), Format::Classic));
}

#[test]
fn both_formats_hold_the_same_samples() {
    let [open_metrics, classic] = [Format::OpenMetrics, Format::Classic].map(|format| page(usual_fleet(), format));
    assert_eq!(samples(&open_metrics), samples(&classic));
    assert!(open_metrics.ends_with("# EOF\n") && !classic.contains("# EOF"));
}

#[test]
fn a_value_that_the_api_omits_has_no_series() {
    let silent = silent(TunnelDetails::Ipsec(IpsecDetails::default()));
    let page = page(fleet(polled([(silent, 0)]), polled([])), Format::Classic);
    // The missing endpoint is a finding.
    let families: Vec<&str> = samples(&page)
        .into_iter()
        .filter(|line| line.contains("tunnel_id"))
        .filter_map(|line| line.split('{').next()?.strip_prefix("cloudflare_magic_"))
        .collect();
    assert_eq!(families, ["tunnel_info", "tunnel_bgp_configured", "tunnel_custom_identity", "tunnel_finding"]);
}

#[test]
fn a_stale_list_is_omitted_and_its_polls_are_not() {
    let mut old = polled([(talkative(), 3)]);
    let long_ago = clock::now().instant.checked_sub(STALE_AFTER + Duration::from_secs(1)).unwrap();
    old.status.last_success = Some(Moment { instant: long_ago, ..polled_at() });
    old.status.state = PollState::Failed(FailureReason::Timeout);
    let page = page(fleet(old, polled([])), Format::Classic);
    assert!(
        page.lines().filter(|line| line.contains("fra-1")).all(|line| line.contains("site_info"))
            && !page.contains(r#"tunnels{account="head office",tunnel_type="ipsec"}"#)
    );
    assert!(page.contains(r#"tunnels{account="head office",tunnel_type="gre"} 0"#));
    assert!(page.contains(r#"collection_up{account="head office",collection="ipsec_tunnels"} 0"#));
    assert!(page.contains(r#"poll_last_success_timestamp_seconds{account="head office",collection="ipsec_tunnels"}"#));
}

#[test]
fn every_state_of_a_session_is_one_of_four_series_and_one_of_them_is_1() {
    for (state, name) in [
        (BgpState::Up, "up"),
        (BgpState::Establishing, "establishing"),
        (BgpState::Down, "down"),
        (BgpState::Unknown, "unknown"),
    ] {
        let mut tunnel = talkative();
        tunnel.bgp_status = tunnel.bgp_status.map(|status| BgpStatus { state, ..status });
        let page = page(fleet(polled([(tunnel, 0)]), polled([])), Format::Classic);
        let states: Vec<&str> = samples(&page).into_iter().filter(|line| line.contains("_tunnel_bgp_state{")).collect();
        assert_eq!(states.len(), 4);
        let current: Vec<&&str> = states.iter().filter(|line| line.ends_with(" 1")).collect();
        assert!(matches!(current[..], [line] if line.contains(&format!("state=\"{name}\""))), "{states:?}");
        let up = if state == BgpState::Up { "} 1" } else { "} 0" };
        assert!(samples(&page).iter().any(|line| line.contains("tunnel_bgp_up{") && line.ends_with(up)));
    }
}

#[test]
fn a_label_value_is_shortened_and_filtered() {
    let mut tunnel = talkative();
    tunnel.description = format!("\u{1b}[31m{}", "é".repeat(500)).into();
    let page = page(fleet(polled([(tunnel, 0)]), polled([])), Format::Classic);
    let info = samples(&page).into_iter().find(|line| line.contains("tunnel_info{")).unwrap();
    assert!(info.ends_with(&format!("description=\"[31m{}\"}} 1", "é".repeat(124))), "{info}");
}

/// Names of the families of a page.
fn families(groups: Groups) -> BTreeSet<String> {
    let mut text = String::new();
    Page::new(capture(usual_fleet(), registry()), Format::OpenMetrics, groups).fill(&mut text, usize::MAX);
    assert!(text.ends_with("# EOF\n"));
    text.lines().filter_map(|line| Some(line.strip_prefix("# TYPE ")?.split(' ').next()?.to_owned())).collect()
}

#[test]
fn every_family_is_in_one_group() {
    let mut seen = BTreeSet::new();
    // The buckets are a part of the family in `rtt`.
    for &group in Group::ALL.iter().filter(|group| **group != Group::RttBuckets) {
        let only = families(Groups::only(&[group]));
        assert!(!only.is_empty(), "{group} is empty");
        assert!(only.is_disjoint(&families(Groups::without(&[group]))), "{group}");
        for family in only {
            assert!(seen.insert(family.clone()), "{family} is in two groups");
        }
    }
    assert_eq!(seen, families(Groups::ALL));
}

#[test]
fn a_page_without_the_buckets_has_the_sums_and_counts_of_round_trip_times() {
    let text = |groups| {
        let mut text = String::new();
        Page::new(capture(usual_fleet(), registry()), Format::OpenMetrics, groups).fill(&mut text, usize::MAX);
        text
    };
    let (whole, without) = (text(Groups::ALL), text(Groups::without(&[Group::RttBuckets])));
    let kept: Vec<&str> = whole.lines().filter(|line| !line.contains("_probe_rtt_seconds_bucket")).collect();
    let expected = kept.join("\n").replace("_probe_rtt_seconds histogram", "_probe_rtt_seconds summary");
    assert_eq!(without.trim_end(), expected);
    assert!(without.contains("# TYPE cloudflare_magic_tunnel_probe_rtt_seconds summary"));
    assert!(!text(Groups::without(&[Group::Rtt])).contains("_probe_rtt_"));
    assert_eq!(text(Groups::only(&[Group::Rtt])), text(Groups::only(&[Group::RttBuckets])));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    #[test]
    fn a_page_is_the_same_in_pieces_of_any_size(enough in 1_usize..20_000, classic in any::<bool>()) {
        let format = if classic { Format::Classic } else { Format::OpenMetrics };
        let mut own = registry();
        own.register("polls", "Polls", Counter::<u64>::default());
        let capture = capture(usual_fleet(), own);
        let page = || Page::new(Arc::clone(&capture), format, Groups::ALL);
        let (mut whole, mut in_pieces, mut piece) = (String::new(), String::new(), String::new());
        page().fill(&mut whole, usize::MAX);
        let mut pieces = page();
        let mut is_end = false;
        while !is_end {
            piece.clear();
            is_end = pieces.fill(&mut piece, enough);
            prop_assert!(is_end || (piece.len() >= enough && piece.ends_with('\n')));
            in_pieces.push_str(&piece);
        }
        prop_assert_eq!(in_pieces, whole);
    }
}
