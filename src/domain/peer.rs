//! The customer's side of a tunnel, which the API does not state.

use std::net::IpAddr;

use ipnet::IpNet;

use super::tunnel::{CheckDirection, Tunnel};

/// Returns the customer's side of an interface prefix: the customer's BGP speaker, otherwise the target of a
/// bidirectional health check, otherwise the other host of a `/31`, `/30` or `/127`.
///
/// The addresses that Cloudflare uses have priority, because documentation and customers disagree about the sides. They
/// are ignored if they are outside the prefix or equal to Cloudflare's side.
pub fn customer_side(tunnel: &Tunnel, prefix: &IpNet) -> Option<IpAddr> {
    customer_speaker(tunnel, prefix).or_else(|| health_check_target(tunnel, prefix)).or_else(|| other_host(prefix))
}

/// Parses an address, with or without a full prefix length: `192.0.2.1` or `192.0.2.1/32`.
pub fn parse_host(text: &str) -> Option<IpAddr> {
    let text = text.trim();
    text.parse().ok().or_else(|| {
        text.parse::<IpNet>().ok().filter(|net| net.prefix_len() == net.max_prefix_len()).map(|net| net.addr())
    })
}

fn is_peer(prefix: &IpNet, address: &IpAddr) -> bool {
    prefix.contains(address) && *address != prefix.addr()
}

fn customer_speaker(tunnel: &Tunnel, prefix: &IpNet) -> Option<IpAddr> {
    tunnel.bgp_status.as_ref()?.customer_speaker.ip.filter(|ip| is_peer(prefix, ip))
}

fn health_check_target(tunnel: &Tunnel, prefix: &IpNet) -> Option<IpAddr> {
    let check = tunnel.health_check.as_ref()?;
    if check.direction != Some(CheckDirection::Bidirectional) {
        return None;
    }
    check.target.effective.as_deref().and_then(parse_host).filter(|ip| is_peer(prefix, ip))
}

/// Returns the other host of a prefix with two hosts. The first and the last address of a `/30` are not hosts.
fn other_host(prefix: &IpNet) -> Option<IpAddr> {
    match prefix {
        IpNet::V4(v4) if v4.prefix_len() == 31 => Some(IpAddr::V4((v4.addr().to_bits() ^ 1).into())),
        IpNet::V4(v4) if v4.prefix_len() == 30 && matches!(v4.addr().to_bits() & 3, 1 | 2) => {
            Some(IpAddr::V4((v4.addr().to_bits() ^ 3).into()))
        }
        IpNet::V6(v6) if v6.prefix_len() == 127 => Some(IpAddr::V6((v6.addr().to_bits() ^ 1).into())),
        _ => None,
    }
}
