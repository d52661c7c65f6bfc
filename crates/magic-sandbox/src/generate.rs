//! Tunnels in any number, for measuring and for rehearsals at scale.
//!
//! All addresses that anybody could ping lie in 127.0.0.0/8, so that a prober pointed at a sandbox never leaves the
//! machine.

use std::net::{IpAddr, Ipv4Addr};

use ipnet::Ipv4Net;
use serde_json::json;
use web_toolkit::clock::Moment;

use super::{
    kind::Kind,
    session::Report,
    store::Account,
    story::id,
    tunnel::{Bgp, Config, HealthCheck, Own, Tunnel},
};

/// Interface networks: two addresses each, up to 4 million tunnels.
const INTERFACES: u32 = u32::from_be_bytes([127, 64, 0, 0]);
/// Customer endpoints, one each.
const ENDPOINTS: u32 = u32::from_be_bytes([127, 192, 0, 0]);
/// What fits into the two ranges.
const MOST: usize = 1 << 22;

/// Adds `count` tunnels, the two kinds by turns; of ten, eight have BGP that is up, one that is down, and one has none.
pub(super) fn tunnels(account: &mut Account, count: usize, now: Moment) {
    for number in 0..u32::try_from(count.min(MOST)).unwrap_or(u32::MAX) {
        let config = config(number);
        if account.find_id(&config.name).is_some() {
            continue; // the story has it already
        }
        let id = id(&["generated", account.id(), &config.name]);
        let bgp = config.bgp.is_some();
        let ipsec = config.kind() == Kind::Ipsec;
        let mut tunnel = Tunnel::new(id.clone(), config, now);
        if ipsec {
            tunnel.psk_was_set(now);
        }
        account.insert(tunnel);
        if bgp {
            let state = if number % 10 == 8 { "down" } else { "up" };
            if let Ok(report) = Report::parse(&json!(state)) {
                account.follow(&id, report, now);
            }
        }
    }
}

fn config(number: u32) -> Config {
    let gre = number % 2 == 1;
    let kind = if gre { "gre" } else { "ipsec" };
    let interface = Ipv4Net::new_assert(Ipv4Addr::from(INTERFACES + 2 * number), 31);
    let bgp = (number % 10 != 9).then(|| Bgp {
        customer_asn: u64::from(4_200_000_000 + number % 90_000_000),
        extra_prefixes: Vec::new(),
        md5_key: None,
        import_filter_id: None,
        export_filter_id: None,
    });
    Config {
        // At most 15 characters: `gen-gre-4194303`.
        name: format!("gen-{kind}-{number:05}"),
        cloudflare_endpoint: IpAddr::V4(Ipv4Addr::new(198, 51, 100, 1 + u8::from(gre))),
        customer_endpoint: Some(IpAddr::V4(Ipv4Addr::from(ENDPOINTS + number))),
        interface_address: interface,
        interface_address6: None,
        description: Some(format!("generated tunnel {number}")),
        automatic_return_routing: false,
        health_check: HealthCheck {
            enabled: true,
            rate: "mid",
            kind: "request",
            direction: "bidirectional",
            saved: None,
        },
        bgp,
        own: if gre {
            Own::Gre { mtu: 1476, ttl: 64 }
        } else {
            Own::Ipsec { allow_null_cipher: false, replay_protection: true, fqdn_id: None }
        },
    }
}
