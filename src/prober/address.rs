//! Which addresses may be probed, and who is on the other side of a prefix.

use std::net::IpAddr;

use ipnet::IpNet;

use crate::domain::{health_check::Direction, probe::Refusal, tunnel::Tunnel};

/// Refuses what no single host can have. Loopback and documentation addresses are hosts like any other: the demo and the
/// tests use them.
pub(super) fn check(address: IpAddr, bound_to_interface: bool) -> Result<IpAddr, Refusal> {
    if address.is_unspecified() {
        return Err(Refusal::Unspecified);
    }
    if address.is_multicast() {
        return Err(Refusal::Multicast);
    }
    match address {
        IpAddr::V4(v4) if v4.is_broadcast() => Err(Refusal::Broadcast),
        // RFC 6890: "this host on this network", and what was never given out.
        IpAddr::V4(v4) if v4.octets()[0] == 0 || v4.octets()[0] >= 240 => Err(Refusal::Reserved),
        IpAddr::V6(v6) if v6.to_ipv4_mapped().is_some() => Err(Refusal::Reserved),
        // Without an interface nobody knows which link is meant (RFC 4007).
        IpAddr::V6(v6) if v6.is_unicast_link_local() && !bound_to_interface => Err(Refusal::LinkLocal),
        _ => Ok(address),
    }
}

/// The host part of a prefix, which is Cloudflare's side; refused where it is none of the prefix's hosts.
pub(super) fn host(prefix: &IpNet, bound_to_interface: bool) -> Result<IpAddr, Refusal> {
    let address = check(prefix.addr(), bound_to_interface)?;
    if let IpNet::V4(v4) = prefix
        && v4.prefix_len() <= 30
    {
        if v4.addr() == v4.network() {
            return Err(Refusal::NetworkAddress);
        }
        if v4.addr() == v4.broadcast() {
            return Err(Refusal::Broadcast);
        }
    }
    Ok(address)
}

/// The customer's side of a prefix.
///
/// Documents and users contradict each other about the sides, so what Cloudflare itself uses comes first: the speaker of the
/// BGP session, then the target of a bidirectional health check (both only where they lie inside the prefix and are not
/// Cloudflare's side), then the rule that it is the other host of a `/31`, `/30` or `/127`.
pub(super) fn peer(tunnel: &Tunnel, prefix: &IpNet, bound_to_interface: bool) -> Result<IpAddr, Refusal> {
    let told = speaker(tunnel, prefix).or_else(|| checked(tunnel, prefix));
    let peer = told.or_else(|| other_host(prefix)).ok_or(Refusal::NoPeer)?;
    check(peer, bound_to_interface)
}

fn is_peer(prefix: &IpNet, address: &IpAddr) -> bool {
    prefix.contains(address) && *address != prefix.addr()
}

fn speaker(tunnel: &Tunnel, prefix: &IpNet) -> Option<IpAddr> {
    tunnel.bgp_status.as_ref()?.customer_speaker.ip.filter(|ip| is_peer(prefix, ip))
}

fn checked(tunnel: &Tunnel, prefix: &IpNet) -> Option<IpAddr> {
    let check = tunnel.health_check.as_ref()?;
    if check.direction != Some(Direction::Bidirectional) {
        return None;
    }
    check.target.effective.as_deref().and_then(text_address).filter(|ip| is_peer(prefix, ip))
}

/// The other host of a prefix that has two; in a `/30` neither the first nor the last address is one.
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

/// An address written as `192.0.2.1` or `192.0.2.1/32`.
pub(super) fn text_address(text: &str) -> Option<IpAddr> {
    let text = text.trim();
    text.parse().ok().or_else(|| {
        text.parse::<IpNet>().ok().filter(|net| net.prefix_len() == net.max_prefix_len()).map(|net| net.addr())
    })
}

#[cfg(test)]
mod tests;
