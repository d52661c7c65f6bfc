use std::{collections::BTreeSet, io::Read as _, num::NonZeroU32, sync::Arc, time::Duration};

use flate2::read::GzDecoder;
use http_body_util::BodyExt as _;
use hyper::StatusCode;
use jiff::Timestamp;
use serde_json::Value;
use web_toolkit::clock;

use super::*;
use crate::{
    domain::{
        dataset::{FailureReason, PollState},
        edge::{ColoScore, TrafficDirection, TrafficRate, TrafficRow},
        fixtures::{addressed, edge_view, gre, polled, route, routed, seen_by_edge, tunnel as bare, with_traffic},
        inventory::{AccountName, Fleet, InventoryEntry, RejectReason, RejectedMember},
        peer::customer_side,
        probe::{EchoOutcome, ProbeTarget, Thresholds, Vantage},
        routes::{
            Route, RouteScope,
            prefixes::{HopState, PrefixReport, PrefixState},
        },
        tunnel::{
            BgpConfig, BgpState, BgpStatus, CheckDirection, CheckRate, CheckTarget, CheckType, FsmState, GreDetails,
            HealthCheck, InterconnectDetails, IpsecDetails, Speaker, Tunnel, TunnelDetails, TunnelType,
        },
        verdict::{Evidence, Reported, Side, TunnelVerdict, Verdict, Verdicts},
        verdict_history::VerdictEvent,
    },
    http::body::{EncodedBody, PageThreads},
    prober::{
        board::{ProbeBoard, TargetProbe, TunnelProbes, UplinkProbe},
        histogram::Buckets,
        history::History,
        mtu::PathMtu,
        tally::Tally,
    },
    snapshot::Judged,
};

/// A tunnel with every field.
fn full() -> Tunnel {
    let speaker = Speaker { ip: Some([10, 0, 0, 1].into()), port: Some(179) };
    let now = Some(Timestamp::UNIX_EPOCH);
    Tunnel {
        description: "all of it".into(),
        cloudflare_endpoint: addressed("", "198.51.100.1", "", "").customer_endpoint,
        automatic_return_routing: Some(false),
        health_check: Some(HealthCheck {
            enabled: Some(true),
            check_type: Some(CheckType::Reply),
            direction: Some(CheckDirection::Bidirectional),
            rate: Some(CheckRate::Mid),
            target: CheckTarget { saved: None, effective: Some("10.0.0.1".into()) },
        }),
        bgp: Some(BgpConfig { customer_asn: Some(65_000), extra_prefixes: Some(2), md5: true }),
        bgp_status: Some(BgpStatus {
            state: BgpState::Up,
            fsm: FsmState::Established,
            tcp_established: Some(true),
            updated_at: now,
            cloudflare_speaker: speaker,
            customer_speaker: speaker,
        }),
        created_on: now,
        modified_on: now,
        details: TunnelDetails::Ipsec(IpsecDetails {
            replay_protection: Some(true),
            allow_null_cipher: Some(false),
            psk_generated_on: now,
            custom_identity: true,
        }),
        ..addressed("full", "192.0.2.1", "10.0.0.0/31", "2001:db8::/127")
    }
}

fn full_interconnect() -> Tunnel {
    let details =
        InterconnectDetails { data_center: Some("fra01".into()), version: Some("1.5".into()), mtu: Some(1500) };
    Tunnel { details: TunnelDetails::Interconnect(details), ..bare("cni") }
}

fn full_gre() -> Tunnel {
    Tunnel { details: TunnelDetails::Gre(GreDetails { mtu: Some(1476), ttl: Some(64) }), ..bare("gre") }
}

/// An address that answered one request ten seconds ago.
fn answering() -> TargetProbe {
    const ONE: NonZeroU32 = NonZeroU32::MIN;
    let (tally, now) = (Tally::new(Buckets::rtt()), clock::now());
    tally.sample(now.instant);
    tally.begin();
    let reply = EchoOutcome::Reply { rtt: Duration::from_millis(10) };
    tally.finish(reply, now, Thresholds { down_after: ONE, up_after: ONE });
    tally.sample(now.instant + History::STEP);
    tally.watch_mtu(Some(1_400));
    tally.set_path_mtu(PathMtu { size: Some(1_400), black_hole: Some(false) });
    TargetProbe { target: ProbeTarget::InterfaceAddress, address: [10, 0, 0, 0].into(), tally: tally.into() }
}

/// A snapshot with every value of `full`. Its list has just failed.
fn snapshot() -> Snapshot {
    let now = clock::now();
    let mut fleet = Fleet::clone(&polled(Some(now), [full(), full_gre(), full_interconnect()]));
    let key = Arc::new(TunnelKey::new(&AccountName::new("acme"), &full()));
    let account = fleet.accounts.get_mut(&key.account).map(Arc::make_mut).unwrap();
    let mut failed = account.list(TunnelType::Ipsec).as_ref().clone();
    failed.status.state = PollState::Failed(FailureReason::Server);
    failed.entries =
        failed.entries.iter().map(|entry| InventoryEntry { site: Some("fra".into()), ..entry.clone() }).collect();
    failed.rejected.add(RejectedMember { reason: RejectReason::MissingName, index: 3, id: Some(TunnelId::new("x")) });
    account.set_list(TunnelType::Ipsec, failed);
    let evidence =
        Evidence { reported: Reported::Up, edge: Reported::Up, inside: Side::Answers, outside: Side::Silent };
    let verdict =
        TunnelVerdict { verdict: Verdict::Healthy, evidence, changed: now, changes: 0, why: "it answers".into() };
    let uplink = UplinkProbe { address: [192, 0, 2, 1].into(), tally: answering().tally };
    let probes = TunnelProbes { vantage: Vantage::Site, targets: [answering()].into(), uplinks: [uplink].into() };
    let tunnels = [(Arc::clone(&key), Arc::new(probes))].into();
    let rate = TrafficRate { bytes_per_second: 1500.0, packets_per_second: 15.0 };
    let rows = TrafficDirection::ALL.iter().map(|&direction| TrafficRow {
        id: "full".into(),
        name: full().name.into(),
        direction,
        rate,
    });
    let mut edge = with_traffic(edge_view(now, now, [(&*full().name, 1000)]), rows);
    for health in Arc::make_mut(&mut edge.health.tunnels).values_mut() {
        Arc::make_mut(health).colos = [ColoScore { colo: "fra01".into(), score: 1.0 }].into();
    }
    let event = VerdictEvent { at: now.wall, from: Verdict::BgpFault, to: Verdict::Healthy, why: Some("it answers") };
    let fleet = routed(&seen_by_edge(&fleet.into(), &edge), now, routes());
    let prefixes = fleet.accounts.iter().map(|(account, known)| {
        let report = PrefixReport::assess(Arc::clone(known.route_matches()), |_| HopState::Broken);
        (account.clone(), Arc::new(report))
    });
    let judged = Judged {
        prefixes: Arc::new(prefixes.collect()),
        fleet,
        board: ProbeBoard { tunnels, ..ProbeBoard::default() }.into(),
        verdicts: Verdicts { tunnels: [(Arc::clone(&key), verdict.into())].into() }.into(),
        histories: Arc::new([(key, VerdictHistory::new(now.wall, &[event]))].into()),
    };
    Snapshot { judged, stale_after: Duration::from_mins(5), now }
}

/// A route with every value to the tunnel `full`, and one that no tunnel has.
fn routes() -> [Route; 2] {
    let scope = RouteScope { regions: ["APAC".into()].into(), data_centers: ["den01".into()].into() };
    let whole = Route {
        id: "r".into(),
        weight: Some(64),
        description: "the laboratory".into(),
        scope: Some(scope.into()),
        ..route(
            "192.0.2.0/24",
            &customer_side(&full(), full().interface_address.value().unwrap()).unwrap().to_string(),
            100,
        )
    };
    [whole, route("198.51.100.0/24", "203.0.113.99", 100)]
}

fn prefixes(snapshot: &Snapshot, account: Option<&str>, state: Option<PrefixState>) -> Value {
    let mut list = PrefixList::new(snapshot.clone(), account, state);
    let (mut text, mut whole) = (Vec::new(), Vec::new());
    while !list.write_piece(&mut text).unwrap() {
        whole.append(&mut text);
    }
    whole.append(&mut text);
    serde_json::from_slice(&whole).unwrap()
}

#[tokio::test]
async fn the_prefixes_can_be_selected_by_account_and_state() {
    let snapshot = snapshot();
    let states = |account, state| -> Vec<Value> {
        let answer = prefixes(&snapshot, account, state);
        answer["prefixes"].as_array().unwrap().iter().map(|prefix| prefix["state"].clone()).collect()
    };
    assert_eq!(states(None, None), ["lost", "unknown"]);
    assert_eq!(states(Some("acme"), Some(PrefixState::Unknown)), ["unknown"]);
    assert_eq!(states(Some("globex"), None), [""; 0]);
    let answer = prefixes(&snapshot, None, None);
    assert_eq!(answer["accounts"][0]["lost"], 1);
    assert_eq!(answer["prefixes"][0]["routes"][0]["tunnels"][0]["name"], "full");
    assert_eq!(answer["prefixes"][1]["routes"][0]["tunnels"], Value::Array(Vec::new()));
}

#[tokio::test]
async fn thousands_of_prefixes_make_one_list_with_each_prefix_once() {
    let now = clock::now();
    let many = (0..1_200).map(|number| route(&format!("10.{}.{}.0/24", number / 256, number % 256), "10.0.0.1", 100));
    let fleet = routed(&polled(Some(now), [bare("a")]), now, many);
    let reports = fleet.accounts.iter().map(|(account, known)| {
        let report = PrefixReport::assess(Arc::clone(known.route_matches()), |_| HopState::Unknown);
        (account.clone(), Arc::new(report))
    });
    let judged = Judged { prefixes: Arc::new(reports.collect()), fleet, ..Judged::default() };
    let answer = prefixes(&Snapshot { judged, ..snapshot() }, None, None);
    let found: BTreeSet<&str> =
        answer["prefixes"].as_array().unwrap().iter().map(|prefix| prefix["prefix"].as_str().unwrap()).collect();
    assert_eq!((found.len(), answer["prefixes"].as_array().unwrap().len()), (1_200, 1_200));
}

/// A whole list.
fn list_bytes(snapshot: &Snapshot, filter: &Filter, kind: ListKind) -> Vec<u8> {
    let mut list = JsonList::new(snapshot.clone(), filter.clone(), kind);
    let (mut bytes, mut is_last) = (Vec::new(), false);
    while !is_last {
        let mut piece = Vec::new();
        is_last = list.write_piece(&mut piece).unwrap();
        bytes.extend(piece);
    }
    bytes
}

fn read(snapshot: &Snapshot, filter: &Filter, kind: ListKind) -> Value {
    serde_json::from_slice(&list_bytes(snapshot, filter, kind)).unwrap()
}

fn all(snapshot: &Snapshot) -> Value {
    read(snapshot, &Filter::default(), ListKind::Tunnels)
}

#[tokio::test]
async fn many_pieces_make_one_list_with_each_tunnel_once() {
    let expected: Vec<String> = (0..3_000).map(|n| format!("t{n:04}")).collect();
    let tunnels = expected.iter().map(|id| addressed(id, "192.0.2.1", "", ""));
    let judged = Judged { fleet: polled(Some(clock::now()), tunnels), ..snapshot().judged };
    let snapshot = Snapshot { judged, ..snapshot() };
    let ids = |answer: &Value| -> Vec<String> {
        answer["tunnels"].as_array().unwrap().iter().map(|tunnel| tunnel["id"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(ids(&all(&snapshot)), expected);
    let some = Filter { search: "t29".into(), ..Filter::default() };
    assert_eq!(ids(&read(&snapshot, &some, ListKind::Tunnels)), expected[2_900..]);
    let mut unzipped = String::new();
    let list = JsonList::new(snapshot.clone(), Filter::default(), ListKind::Tunnels);
    let threads = Arc::new(PageThreads::new().unwrap());
    let (_, body) = EncodedBody::open(&threads, true, || (StatusCode::OK, list)).await.unwrap();
    let zipped = body.collect().await.unwrap().to_bytes();
    GzDecoder::new(&*zipped).read_to_string(&mut unzipped).unwrap();
    assert_eq!(ids(&serde_json::from_str(&unzipped).unwrap()), expected);
    let targets = read(&snapshot, &Filter::default(), ListKind::Targets);
    assert_eq!(targets.as_array().unwrap().len(), 3_000);
}

/// Every path of an answer, for example `bgp.md5`, `targets[].up`.
fn paths(value: &Value, above: &str, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                let path = if above.is_empty() { name.clone() } else { format!("{above}.{name}") };
                // One value per reason, verdict, result or data center.
                if !["failures", "verdicts", "checks", "colo_scores"].contains(&&**name) {
                    paths(value, &path, found);
                }
                found.insert(path);
            }
        }
        Value::Array(members) => members.iter().for_each(|member| paths(member, &format!("{above}[]"), found)),
        _ => {}
    }
}

/// The first column of the tables of fields in docs/API.md.
fn documented() -> BTreeSet<String> {
    let text = include_str!("../../../docs/API.md");
    let (mut fields, mut in_fields) = (BTreeSet::new(), false);
    for line in text.lines() {
        in_fields = line.starts_with('|') && (in_fields || line.starts_with("| field |"));
        if let Some(field) = line.strip_prefix("| `").filter(|_| in_fields) {
            fields.insert(field.split('`').next().unwrap().to_owned());
        }
    }
    fields
}

#[tokio::test]
async fn every_field_is_documented_and_every_documented_field_appears() {
    let answer = all(&snapshot());
    let mut found = BTreeSet::new();
    for part in ["time", "collections", "tunnels"] {
        found.insert(part.to_owned());
    }
    paths(&answer["collections"], "collections", &mut found);
    answer["tunnels"].as_array().unwrap().iter().for_each(|tunnel| paths(tunnel, "", &mut found));
    paths(&all_sites(&snapshot()), "", &mut found);
    let key = snapshot().judged.histories.keys().next().cloned().unwrap();
    let WholeText(single) = tunnel_json(&snapshot(), &key).unwrap();
    paths(&serde_json::from_slice::<Value>(&single).unwrap(), "", &mut found);
    let mut events = Vec::new();
    EventList::new(&snapshot(), &Filter::default(), Timestamp::MIN, EventFormat::Json)
        .write_piece(&mut events)
        .unwrap();
    paths(&serde_json::from_slice::<Value>(&events).unwrap(), "", &mut found);
    paths(&prefixes(&snapshot(), None, None), "", &mut found);
    let documented = documented();
    let lone: Vec<_> = found.symmetric_difference(&documented).collect();
    assert!(lone.is_empty(), "only in the answer or only in docs/API.md: {lone:#?}");
}

fn all_sites(snapshot: &Snapshot) -> Value {
    let WholeText(text) = sites_json(snapshot, &Filter::default());
    serde_json::from_slice(&text).unwrap()
}

#[tokio::test]
async fn the_sites_have_counts_and_tunnels_without_a_site_come_last() {
    let snapshot = snapshot();
    let counts = |healthy, unknown| {
        let mut counts: BTreeMap<_, _> = Verdict::ALL.iter().map(|verdict| (verdict.as_str(), 0)).collect();
        counts.extend([("healthy", healthy), ("unknown", unknown)]);
        counts
    };
    let expected = serde_json::json!([
        {"account": "acme", "site": "fra", "tunnels": 1, "working": 1, "broken": 0, "stale": 0,
         "verdicts": counts(1, 0)},
        {"account": "acme", "tunnels": 2, "working": 0, "broken": 0, "stale": 0, "verdicts": counts(0, 2)},
    ]);
    assert_eq!(all_sites(&snapshot)["sites"], expected);
}

#[tokio::test]
async fn a_stale_session_is_omitted_and_the_tunnel_is_marked_as_stale() {
    let mut snapshot = snapshot();
    let fresh = all(&snapshot);
    snapshot.now = snapshot.now.after(Duration::from_mins(6));
    let stale = all(&snapshot);
    for (answer, expected) in [(&fresh, false), (&stale, true)] {
        let full = answer["tunnels"].as_array().unwrap().iter().find(|tunnel| tunnel["id"] == "full").unwrap();
        assert_eq!(full["stale"], expected);
        assert_eq!(full.get("bgp_status").is_none(), expected);
        assert_eq!(full["customer_endpoint"], "192.0.2.1");
        assert!(answer["collections"].as_array().unwrap().iter().all(|list| list["stale"] == expected));
    }
}

#[tokio::test]
async fn unknown_values_are_omitted() {
    let now = clock::now();
    let judged = Judged { fleet: polled(Some(now), [bare("a"), gre(bare("b"))]), ..snapshot().judged };
    let snapshot = Snapshot { judged, ..snapshot() };
    for tunnel in all(&snapshot)["tunnels"].as_array().unwrap() {
        let mut found = BTreeSet::new();
        paths(tunnel, "", &mut found);
        let common = ["account", "bgp_state_changes", "confirmed", "description", "id", "name", "stale", "type"];
        // The missing customer endpoint is one.
        let findings = ["findings", "findings[].finding", "findings[].severity"];
        let own: &[&str] = if tunnel["type"] == "gre" { &["gre"] } else { &["ipsec", "ipsec.custom_identity"] };
        let expected: BTreeSet<String> =
            common.iter().chain(&findings).chain(own).map(|&field| field.to_owned()).collect();
        assert_eq!(found, expected);
    }
}

#[tokio::test]
async fn the_targets_are_those_of_the_plan_even_if_nothing_is_probed() {
    assert!(!snapshot().board().settings.enabled);
    let groups = read(&snapshot(), &Filter::default(), ListKind::Targets);
    let groups: Vec<(&str, &str)> = groups
        .as_array()
        .unwrap()
        .iter()
        .map(|group| {
            let labels = group["labels"].as_object().unwrap();
            assert!(labels.keys().all(|name| name.starts_with("__meta_cloudflare_magic_")), "{labels:?}");
            assert_eq!(labels["__meta_cloudflare_magic_tunnel_name"], "full");
            assert_eq!(labels["__meta_cloudflare_magic_site"], "fra");
            let target = labels["__meta_cloudflare_magic_probe_target"].as_str().unwrap();
            (group["targets"][0].as_str().unwrap(), target)
        })
        .collect();
    let expected =
        [("192.0.2.1", "customer_endpoint"), ("10.0.0.0", "interface_address"), ("2001:db8::", "interface_address6")];
    assert_eq!(groups, expected);
    let none = Filter { search: "none".into(), ..Filter::default() };
    assert_eq!(read(&snapshot(), &none, ListKind::Targets), serde_json::json!([]));
}
