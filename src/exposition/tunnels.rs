//! The families that say what the API said of each tunnel.

use super::{
    capture::TunnelCapture,
    family::{Descriptor, Family},
    group::Group,
    samples::Samples,
};
use crate::domain::{
    label::Label,
    tunnel::{BgpState, BgpStatus, GreDetails, HealthCheck, IpsecDetails, Tunnel, TunnelDetails},
};

/// What the API said: nothing where it said so too long ago.
impl TunnelCapture {
    fn tunnel(&self) -> Option<&Tunnel> {
        self.reported.as_ref().map(|entry| entry.tunnel.as_ref())
    }

    fn status(&self) -> Option<&BgpStatus> {
        self.tunnel()?.bgp_status.as_ref()
    }

    fn health_check(&self) -> Option<&HealthCheck> {
        self.tunnel()?.health_check.as_ref()
    }

    fn ipsec(&self) -> Option<IpsecDetails> {
        match self.tunnel()?.details {
            TunnelDetails::Ipsec(ipsec) => Some(ipsec),
            TunnelDetails::Gre(_) => None,
        }
    }

    fn gre(&self) -> Option<GreDetails> {
        match self.tunnel()?.details {
            TunnelDetails::Gre(gre) => Some(gre),
            TunnelDetails::Ipsec(_) => None,
        }
    }

    /// Changes of the BGP state, of a tunnel that has a session.
    fn bgp_state_changes(&self) -> Option<u64> {
        let entry = self.reported.as_ref()?;
        let has_session = entry.tunnel.bgp.is_some() || entry.tunnel.bgp_status.is_some();
        has_session.then_some(entry.bgp_state_changes)
    }
}

pub(super) const FAMILIES: &[Family] = &[
    Family::of_tunnels(Group::Info, Descriptor::gauge("tunnel_info", "Addresses of the tunnel as the API gave them at the last poll. Always 1."), info),
    Family::of_tunnels(Group::Info, Descriptor::gauge("tunnel_site_info", "Site of the tunnel as the configuration of the exporter gives it; no series without one. Always 1."), site_info),
    Family::of_tunnels(Group::Bgp, Descriptor::gauge("tunnel_bgp_configured", "Whether BGP is configured for the tunnel, at the last poll."), |row, out| out.push_known(&row.labels, row.tunnel().map(|tunnel| tunnel.bgp.is_some()))),
    Family::of_tunnels(Group::Bgp, Descriptor::gauge("tunnel_bgp_up", "Whether the BGP session is up as Cloudflare reports it, at the last poll. No series without a status."), |row, out| out.push_known(&row.labels, row.status().map(|status| status.state == BgpState::Up))),
    Family::of_tunnels(Group::Bgp, Descriptor::gauge("tunnel_bgp_state", "State of the BGP session as Cloudflare reports it, at the last poll: 1 for the current state, else 0."), bgp_state),
    Family::of_tunnels(Group::Bgp, Descriptor::gauge("tunnel_bgp_tcp_established", "Whether the TCP connection of the BGP session is established, at the last poll."), |row, out| out.push_known(&row.labels, row.status().and_then(|status| status.tcp_established))),
    Family::of_tunnels(Group::Bgp, Descriptor::gauge("tunnel_bgp_status_timestamp", "When Cloudflare last refreshed the BGP status (updated_at), at the last poll. How often it does so is not documented.").in_seconds(), |row, out| out.push_known(&row.labels, row.status().and_then(|status| status.updated_at))),
    Family::of_tunnels(Group::Bgp, Descriptor::gauge("tunnel_bgp_info", "ASN, state of the BGP finite state machine (RFC 4271) and use of an MD5 key, at the last poll. Always 1."), bgp_info),
    Family::of_tunnels(Group::Bgp, Descriptor::gauge("tunnel_bgp_extra_prefixes", "Prefixes advertised to the customer beside the routes of the Magic routing table, at the last poll."), |row, out| out.push_known(&row.labels, row.tunnel().and_then(|tunnel| tunnel.bgp?.extra_prefixes))),
    Family::of_tunnels(Group::Bgp, Descriptor::counter("tunnel_bgp_state_changes", "Changes of the BGP state seen between polls; what changes and changes back between two polls is not seen."), |row, out| out.push_known(&row.labels, row.bgp_state_changes())),
    Family::of_tunnels(Group::HealthCheck, Descriptor::gauge("tunnel_health_check_enabled", "Whether Cloudflare's own health checks are enabled, at the last poll. Without them Cloudflare shows the tunnel as down."), |row, out| out.push_known(&row.labels, row.health_check().and_then(|check| check.enabled))),
    Family::of_tunnels(Group::HealthCheck, Descriptor::gauge("tunnel_health_check_info", "Configuration of Cloudflare's health checks, at the last poll; empty where the API did not state it. Always 1."), health_check_info),
    Family::of_tunnels(Group::Tunnels, Descriptor::gauge("tunnel_created_timestamp", "When the tunnel was created, at the last poll.").in_seconds(), |row, out| out.push_known(&row.labels, row.tunnel().and_then(|tunnel| tunnel.created_on))),
    Family::of_tunnels(Group::Tunnels, Descriptor::gauge("tunnel_modified_timestamp", "When the configuration of the tunnel was last modified, at the last poll.").in_seconds(), |row, out| out.push_known(&row.labels, row.tunnel().and_then(|tunnel| tunnel.modified_on))),
    Family::of_tunnels(Group::Tunnels, Descriptor::gauge("tunnel_automatic_return_routing", "Whether automatic return routing is enabled, at the last poll."), |row, out| out.push_known(&row.labels, row.tunnel().and_then(|tunnel| tunnel.automatic_return_routing))),
    Family::of_tunnels(Group::Tunnels, Descriptor::gauge("tunnel_replay_protection", "Whether IPsec replay protection is enabled, at the last poll."), |row, out| out.push_known(&row.labels, row.ipsec().and_then(|ipsec| ipsec.replay_protection))),
    Family::of_tunnels(Group::Tunnels, Descriptor::gauge("tunnel_null_cipher_allowed", "Whether the tunnel may use the null cipher, which does not encrypt, at the last poll."), |row, out| out.push_known(&row.labels, row.ipsec().and_then(|ipsec| ipsec.allow_null_cipher))),
    Family::of_tunnels(Group::Tunnels, Descriptor::gauge("tunnel_psk_generated_timestamp", "When the pre-shared key was generated, at the last poll.").in_seconds(), |row, out| out.push_known(&row.labels, row.ipsec().and_then(|ipsec| ipsec.psk_generated_on))),
    Family::of_tunnels(Group::Tunnels, Descriptor::gauge("tunnel_custom_identity", "Whether a custom IKE identity is configured, at the last poll."), |row, out| out.push_known(&row.labels, row.ipsec().map(|ipsec| ipsec.custom_identity))),
    Family::of_tunnels(Group::Tunnels, Descriptor::gauge("tunnel_mtu", "MTU of the GRE tunnel, at the last poll.").in_bytes(), |row, out| out.push_known(&row.labels, row.gre().and_then(|gre| gre.mtu))),
    Family::of_tunnels(Group::Tunnels, Descriptor::gauge("tunnel_ttl_hops", "TTL of the GRE tunnel's outer packets, at the last poll."), |row, out| out.push_known(&row.labels, row.gre().and_then(|gre| gre.ttl))),
];

fn info(row: &TunnelCapture, out: &mut Samples<'_>) {
    let Some(tunnel) = row.tunnel() else { return };
    let labels = row
        .labels
        .clone()
        .and("customer_endpoint", &tunnel.customer_endpoint.to_string())
        .and("cloudflare_endpoint", &tunnel.cloudflare_endpoint.to_string())
        .and("interface_address", &tunnel.interface_address.to_string())
        .and("interface_address6", &tunnel.interface_address6.to_string())
        .and("description", &tunnel.description);
    out.push(&labels, &[], true);
}

/// Not the API's word, so it does not grow old.
fn site_info(row: &TunnelCapture, out: &mut Samples<'_>) {
    if let Some(site) = &row.site {
        out.push(&row.labels.clone().and("site", site), &[], true);
    }
}

fn bgp_state(row: &TunnelCapture, out: &mut Samples<'_>) {
    if let Some(status) = row.status() {
        out.states(&row.labels, "state", status.state);
    }
}

fn bgp_info(row: &TunnelCapture, out: &mut Samples<'_>) {
    let Some(Tunnel { bgp, bgp_status, .. }) = row.tunnel() else { return };
    if bgp.is_none() && bgp_status.is_none() {
        return;
    }
    let asn = bgp.and_then(|bgp| bgp.customer_asn).map(|asn| asn.to_string()).unwrap_or_default();
    let fsm = bgp_status.as_ref().map_or("none", |status| status.fsm.as_str());
    let md5 = if bgp.is_some_and(|bgp| bgp.md5) { "true" } else { "false" };
    let labels = row.labels.clone().and("customer_asn", &asn);
    out.push(&labels, &[("fsm_state", fsm), ("md5", md5)], true);
}

fn health_check_info(row: &TunnelCapture, out: &mut Samples<'_>) {
    let Some(check) = row.health_check() else { return };
    let labels = row
        .labels
        .clone()
        .and("check_type", check.check_type.map_or("", Label::as_str))
        .and("direction", check.direction.map_or("", Label::as_str))
        .and("rate", check.rate.map_or("", Label::as_str))
        .and("target", check.target.address().unwrap_or_default())
        .and("target_source", check.target.source().as_str());
    out.push(&labels, &[], true);
}
