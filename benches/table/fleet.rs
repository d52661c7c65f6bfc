//! Test data for any number of tunnels: the API's list, the fleet decoded from it, and a board with probe results for
//! all of them.

use std::{net::Ipv4Addr, num::NonZeroU32, sync::Arc, time::Duration};

use magic_tunnel_exporter::{
    cloudflare::decode::decode_list,
    correlate::prefixes::assess,
    domain::{
        inventory::{AccountInventory, AccountName, Fleet, TunnelKey, TunnelList},
        probe::{EchoOutcome, ProbeTarget, Thresholds, Vantage},
        tunnel::TunnelType,
        verdict::{Evidence, Reported, Side, TunnelVerdict, Verdict, Verdicts},
    },
    exposition::{Exposition, registry},
    poller::tracked_list::TrackedList,
    prober::{
        board::{ProbeBoard, TargetProbe, TunnelProbes},
        histogram::Buckets,
        tally::Tally,
    },
    snapshot::{Judged, Sources},
};
use serde_json::{Value, json};
use tokio::sync::watch;
use web_toolkit::clock;

/// The API's response body for a list, with every field set.
pub(crate) fn body(tunnels: usize) -> Vec<u8> {
    let tunnels: Vec<Value> = (0..tunnels).map(tunnel).collect();
    json!({"result": {"ipsec_tunnels": tunnels}, "success": true, "errors": [], "messages": []}).to_string().into()
}

pub(crate) fn id(n: usize) -> String {
    format!("{:032x}", n.wrapping_mul(0x9e37_79b9_7f4a_7c15))
}

pub(crate) fn name(n: usize) -> String {
    format!("site-{n:05}-ipsec")
}

fn tunnel(n: usize) -> Value {
    json!({
        "id": id(n), "name": name(n),
        "description": format!("Site {n}, uplink of ISP X"),
        "cloudflare_endpoint": "203.0.113.1", "customer_endpoint": format!("198.51.{}.{}", n / 250, n % 250),
        "interface_address": format!("10.{}.{}.{}/31", n / 32768, n / 128 % 256, n % 128 * 2),
        "interface_address6": format!("2001:db8::{n:x}/127"),
        "allow_null_cipher": false, "replay_protection": true, "automatic_return_routing": false,
        "psk_metadata": {"last_generated_on": "2025-06-14T05:20:00.123456Z"},
        "created_on": "2025-03-13T12:00:26.09683Z", "modified_on": "2025-03-13T12:00:47.054317925Z",
        "health_check": {"enabled": true, "direction": "bidirectional", "rate": "mid", "type": "request",
            "target": {"effective": "10.0.0.1", "saved": ""}},
        "bgp": {"customer_asn": 65000 + n, "extra_prefixes": [], "md5_key": ""},
        "bgp_status": {"state": "BGP_UP", "tcp_established": true, "updated_at": "2026-11-20T10:00:00Z",
            "bgp_state": "Established", "cf_speaker_ip": "10.0.0.0", "cf_speaker_port": 179,
            "customer_speaker_ip": "10.0.0.1", "customer_speaker_port": 50000},
    })
}

/// The state of a poller that has absorbed the list.
pub(crate) fn polled(body: &[u8]) -> TrackedList {
    let mut list = TrackedList::resume(AccountName::new("bench"), Arc::default(), TunnelList::default());
    let now = clock::now();
    list.update(decode_list(body, 200, TunnelType::Ipsec), now, now, Duration::ZERO);
    list
}

/// An exposition of `tunnels` tunnels, each with three probed addresses and a verdict.
pub(crate) fn exposition(tunnels: usize) -> Exposition {
    exposition_with(tunnels, |_| {})
}

/// The same with what `add` adds to the tunnels.
pub(crate) fn exposition_with(tunnels: usize, add: impl FnOnce(&mut AccountInventory)) -> Exposition {
    let account = AccountName::new("c4a7362d577a6c3019a474fd6f485821");
    let mut known = AccountInventory::default();
    known.set_list(TunnelType::Ipsec, polled(&body(tunnels)).current().clone());
    add(&mut known);
    let verdicts = Arc::new(verdicts(&account, &known));
    let fleet = Fleet { accounts: [(account, Arc::new(known))].into(), ..Fleet::default() };
    let board = ProbeBoard {
        tunnels: verdicts.tunnels.keys().enumerate().map(|(n, key)| (Arc::clone(key), Arc::new(probes(n)))).collect(),
        ..ProbeBoard::default()
    };
    let mut judged = Judged { fleet: Arc::new(fleet), board: Arc::new(board), verdicts, ..Judged::default() };
    judged.prefixes = Arc::new(assess(&judged, true));
    let (_, poll_interval) = watch::channel(Duration::from_mins(1));
    Exposition::new(registry(), Sources::fixed(judged, Duration::from_hours(1)), poll_interval)
}

fn probes(n: usize) -> TunnelProbes {
    const TARGETS: [ProbeTarget; 3] =
        [ProbeTarget::CustomerEndpoint, ProbeTarget::InterfaceAddress, ProbeTarget::InterfaceAddress6];
    let targets = TARGETS.map(|target| TargetProbe {
        target,
        address: Ipv4Addr::LOCALHOST.into(),
        tally: Arc::new(tally(n * TARGETS.len() + target as usize)),
    });
    TunnelProbes { vantage: Vantage::Site, targets: targets.into(), uplinks: [].into() }
}

/// The tally of 100 pings to one address, with round-trip times that differ between addresses.
fn tally(n: usize) -> Tally {
    const THREE: NonZeroU32 = NonZeroU32::new(3).expect("it is not zero");
    let tally = Tally::new(Buckets::rtt());
    for echo in 0..100 {
        tally.begin();
        let rtt = Duration::from_nanos((n as u64 * 7_919 + echo * 104_729) % 80_000_000 + 1);
        let thresholds = Thresholds { down_after: THREE, up_after: THREE };
        tally.finish(EchoOutcome::Reply { rtt }, clock::now(), thresholds);
    }
    tally
}

/// A verdict on every tunnel.
pub(crate) fn verdicts(account: &AccountName, known: &AccountInventory) -> Verdicts {
    let keys = known.entries().map(|entry| Arc::new(TunnelKey::new(account, &entry.tunnel)));
    Verdicts { tunnels: keys.map(|key| (key, Arc::new(verdict()))).collect() }
}

fn verdict() -> TunnelVerdict {
    TunnelVerdict {
        verdict: Verdict::Healthy,
        evidence: Evidence {
            reported: Reported::Up,
            edge: Reported::None,
            inside: Side::Answers,
            outside: Side::Answers,
        },
        changed: clock::now(),
        changes: 2,
        why: "".into(),
    }
}
