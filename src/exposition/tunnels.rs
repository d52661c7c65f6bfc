//! Families of each tunnel: the values that the API reports, what the probes observe, and the verdict.

use super::{
    capture::TunnelCapture,
    family::{Family, Group, counter, gauge, histogram, summary},
    text::{LabelPair, Samples},
};
use crate::{
    domain::{
        label::Label,
        probe::ProbeFailure,
        tunnel::{BgpState, BgpStatus, GreDetails, HealthCheck, IpsecDetails, Tunnel, TunnelDetails},
    },
    prober::{mtu::MtuReading, tally::TallyReading},
};

impl TunnelCapture {
    /// The tunnel as reported; `None` if stale.
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
            TunnelDetails::Gre(_) | TunnelDetails::Interconnect(_) => None,
        }
    }

    fn gre(&self) -> Option<GreDetails> {
        match self.tunnel()?.details {
            TunnelDetails::Gre(gre) => Some(gre),
            TunnelDetails::Ipsec(_) | TunnelDetails::Interconnect(_) => None,
        }
    }

    /// MTU in bytes of a GRE tunnel or an interconnect.
    fn mtu(&self) -> Option<u32> {
        match &self.tunnel()?.details {
            TunnelDetails::Gre(gre) => gre.mtu,
            TunnelDetails::Interconnect(interconnect) => interconnect.mtu,
            TunnelDetails::Ipsec(_) => None,
        }
    }

    /// Changes of the BGP state; `None` if the tunnel has no BGP session.
    fn bgp_state_changes(&self) -> Option<u64> {
        let entry = self.reported.as_ref()?;
        let has_session = entry.tunnel.bgp.is_some() || entry.tunnel.bgp_status.is_some();
        has_session.then_some(entry.bgp_state_changes)
    }
}

/// What the API reports. A stale value has no series.
pub(super) const REPORTED: &[Family] = &[
    gauge("tunnel_info", "Addresses of the tunnel at the last poll. Always 1.").per_tunnel(Group::Info, info),
    gauge(
        "tunnel_site_info",
        "Site of the tunnel, from an override, a site rule of the configuration or the data of the edge. No series without a \
         site. Always 1.",
    )
    .per_tunnel(Group::Info, site_info),
    gauge("tunnel_bgp_configured", "Whether BGP is configured for the tunnel, at the last poll.")
        .value(Group::Bgp, |tunnel| Some(tunnel.tunnel()?.bgp.is_some().into())),
    gauge(
        "tunnel_bgp_up",
        "Whether Cloudflare reports the BGP session up, at the last poll. No series without a status.",
    )
    .value(Group::Bgp, |tunnel| Some((tunnel.status()?.state == BgpState::Up).into())),
    gauge(
        "tunnel_bgp_state",
        "State of the BGP session as Cloudflare reports it, at the last poll: 1 for the current state, else 0.",
    )
    .per_tunnel(Group::Bgp, bgp_state),
    gauge(
        "tunnel_bgp_tcp_established",
        "Whether the TCP connection of the BGP session is established, at the last poll.",
    )
    .value(Group::Bgp, |tunnel| Some(tunnel.status()?.tcp_established?.into())),
    gauge(
        "tunnel_bgp_status_timestamp",
        "When Cloudflare last refreshed the BGP status (updated_at), at the last poll. \
         How often Cloudflare refreshes it is not documented.",
    )
    .in_seconds()
    .value(Group::Bgp, |tunnel| Some(tunnel.status()?.updated_at?.into())),
    gauge(
        "tunnel_bgp_info",
        "ASN, state of the BGP finite state machine (RFC 4271) and use of an MD5 key, at the last poll. Always 1.",
    )
    .per_tunnel(Group::Bgp, bgp_info),
    gauge(
        "tunnel_bgp_extra_prefixes",
        "Prefixes advertised to the customer in addition to the routes of the Magic routing table, at the last poll.",
    )
    .value(Group::Bgp, |tunnel| Some(tunnel.tunnel()?.bgp?.extra_prefixes?.into())),
    counter(
        "tunnel_bgp_state_changes",
        "Changes of the BGP state between polls. A change that is reverted before the next poll is not counted.",
    )
    .value(Group::Bgp, |tunnel| tunnel.bgp_state_changes().map(Into::into)),
    gauge(
        "tunnel_health_check_enabled",
        "Whether Cloudflare's own health checks are enabled, at the last poll. \
         If they are disabled, Cloudflare shows the tunnel as down.",
    )
    .value(Group::HealthCheck, |tunnel| Some(tunnel.health_check()?.enabled?.into())),
    gauge(
        "tunnel_health_check_info",
        "Configuration of Cloudflare's health checks, at the last poll. \
         A label is empty if the API omits the value. Always 1.",
    )
    .per_tunnel(Group::HealthCheck, health_check_info),
    gauge("tunnel_created_timestamp", "When the tunnel was created, at the last poll.")
        .in_seconds()
        .value(Group::Tunnels, |tunnel| Some(tunnel.tunnel()?.created_on?.into())),
    gauge("tunnel_modified_timestamp", "When the configuration of the tunnel was last modified, at the last poll.")
        .in_seconds()
        .value(Group::Tunnels, |tunnel| Some(tunnel.tunnel()?.modified_on?.into())),
    gauge("tunnel_automatic_return_routing", "Whether automatic return routing is enabled, at the last poll.")
        .value(Group::Tunnels, |tunnel| Some(tunnel.tunnel()?.automatic_return_routing?.into())),
    gauge("tunnel_replay_protection", "Whether IPsec replay protection is enabled, at the last poll.")
        .value(Group::Tunnels, |tunnel| Some(tunnel.ipsec()?.replay_protection?.into())),
    gauge(
        "tunnel_null_cipher_allowed",
        "Whether the tunnel may use the null cipher, which does not encrypt, at the last poll.",
    )
    .value(Group::Tunnels, |tunnel| Some(tunnel.ipsec()?.allow_null_cipher?.into())),
    gauge("tunnel_psk_generated_timestamp", "When the pre-shared key was generated, at the last poll.")
        .in_seconds()
        .value(Group::Tunnels, |tunnel| Some(tunnel.ipsec()?.psk_generated_on?.into())),
    gauge("tunnel_custom_identity", "Whether a custom IKE identity is configured, at the last poll.")
        .value(Group::Tunnels, |tunnel| Some(tunnel.ipsec()?.custom_identity.into())),
    gauge("tunnel_mtu", "MTU of the GRE tunnel or interconnect, at the last poll.")
        .in_bytes()
        .value(Group::Tunnels, |tunnel| tunnel.mtu().map(Into::into)),
    gauge("tunnel_ttl_hops", "TTL of the outer packets of the GRE tunnel, at the last poll.")
        .value(Group::Tunnels, |tunnel| Some(tunnel.gre()?.ttl?.into())),
];

const ROUND_TRIP_TIMES: &str = "Round-trip times of the replies.";

/// What the probes observe, and the verdict. Does not depend on the age of the reported values.
pub(super) const OBSERVED: &[Family] = &[
    gauge(
        "tunnel_reachable",
        "Whether the addresses inside the tunnel answer, debounced. \
         No series until a result is settled, or if no address has ever answered.",
    )
    .value(Group::Probes, |tunnel| tunnel.reachable.map(Into::into)),
    gauge(
        "tunnel_probe_up",
        "Whether the address answers: down after probe.down-after failures in a row, up after probe.up-after replies.",
    )
    .per_tunnel(Group::Probes, |tunnel, out| {
        each_target(tunnel, |target, reading| out.push_known(&tunnel.labels, &[target], reading.state.up));
    }),
    counter(
        "tunnel_probe_requests",
        "Echo requests: always the sum of replies, failures and requests in flight. \
         Tunnels that share an address share its counters.",
    )
    .per_tunnel(Group::Probes, |tunnel, out| {
        each_target(tunnel, |target, reading| out.push(&tunnel.labels, &[target], reading.requests));
    }),
    counter("tunnel_probe_replies", "Echo requests that were answered.").per_tunnel(Group::Probes, |tunnel, out| {
        each_target(tunnel, |target, reading| out.push(&tunnel.labels, &[target], reading.replies));
    }),
    counter(
        "tunnel_probe_failures",
        "Echo requests that were not answered, by reason; not_sent says nothing about the path.",
    )
    .per_tunnel(Group::Probes, |tunnel, out| {
        each_target(tunnel, |target, reading| {
            for &reason in ProbeFailure::ALL {
                out.push(&tunnel.labels, &[target, ("reason", reason.as_str())], reading.failures(reason));
            }
        });
    }),
    histogram("tunnel_probe_rtt", ROUND_TRIP_TIMES).in_seconds().per_tunnel(Group::RttBuckets, |tunnel, out| {
        each_target(tunnel, |target, reading| out.histogram(&tunnel.labels, &[target], &reading.rtt));
    }),
    // Instead of the histogram, for a scrape without the buckets.
    summary("tunnel_probe_rtt", ROUND_TRIP_TIMES).in_seconds().per_tunnel(Group::Rtt, |tunnel, out| {
        each_target(tunnel, |target, reading| out.sum_and_count(&tunnel.labels, &[target], &reading.rtt));
    }),
    gauge("tunnel_probe_last_reply_timestamp", "When the address last answered. No series before the first reply.")
        .in_seconds()
        .per_tunnel(Group::Probes, |tunnel, out| {
            each_target(tunnel, |target, reading| out.push_known(&tunnel.labels, &[target], reading.last_reply));
        }),
    gauge(
        "tunnel_probe_path_mtu",
        "Largest IP packet with DF that the address has answered, at most the expected size. Only with probe.mtu. \
         It measures mainly the path from the site to Cloudflare, because Cloudflare may fragment its replies. \
         No series until a packet is answered or a search ends.",
    )
    .in_bytes()
    .per_tunnel(Group::Probes, |tunnel, out| {
        each_mtu(tunnel, |target, mtu| out.push_known(&tunnel.labels, &[target], mtu.path.size.map(u32::from)));
    }),
    gauge(
        "tunnel_probe_expected_mtu",
        "Size that tunnel_probe_path_mtu_bytes should have: configured, or from the type of the tunnel and its MTU.",
    )
    .in_bytes()
    .per_tunnel(Group::Probes, |tunnel, out| {
        each_mtu(tunnel, |target, mtu| out.push(&tunnel.labels, &[target], u32::from(mtu.expected)));
    }),
    gauge(
        "tunnel_probe_mtu_black_hole",
        "Whether packets above tunnel_probe_path_mtu_bytes are lost without an ICMP error while small ones are answered. \
         Mainly from the site to Cloudflare. Filters of large pings have the same effect.",
    )
    .per_tunnel(Group::Probes, |tunnel, out| {
        each_mtu(tunnel, |target, mtu| out.push_known(&tunnel.labels, &[target], mtu.path.black_hole));
    }),
    counter(
        "tunnel_probe_mtu_requests",
        "Packets that were sent to measure the path MTU. They count in no other metric.",
    )
    .per_tunnel(Group::Probes, |tunnel, out| {
        each_mtu(tunnel, |target, mtu| out.push(&tunnel.labels, &[target], mtu.requests));
    }),
    counter("tunnel_probe_mtu_replies", "Packets that were answered, of those that measure the path MTU.").per_tunnel(
        Group::Probes,
        |tunnel, out| {
            each_mtu(tunnel, |target, mtu| out.push(&tunnel.labels, &[target], mtu.replies));
        },
    ),
    gauge(
        "tunnel_verdict",
        "Verdict from what is reported and observed: which layer is at fault. 1 for the current verdict, else 0.",
    )
    .per_tunnel(Group::Verdict, |tunnel, out| {
        if let Some(verdict) = &tunnel.verdict {
            out.states(&tunnel.labels, "verdict", verdict.verdict);
        }
    }),
    gauge("tunnel_verdict_changed_timestamp", "When the current verdict on the tunnel was reached.")
        .in_seconds()
        .value(Group::Verdict, |tunnel| Some(tunnel.verdict.as_ref()?.changed.wall.into())),
    counter(
        "tunnel_verdict_changes",
        "Changes of the verdict since the tunnel was first judged. The first verdict does not count.",
    )
    .value(Group::Verdict, |tunnel| Some(tunnel.verdict.as_ref()?.changes.into())),
];

fn each_target(tunnel: &TunnelCapture, mut write: impl FnMut(LabelPair, &TallyReading)) {
    for (target, reading) in &tunnel.targets {
        write(("probe_target", target.as_str()), reading);
    }
}

fn each_mtu(tunnel: &TunnelCapture, mut write: impl FnMut(LabelPair, &MtuReading)) {
    for (target, mtu) in &tunnel.mtus {
        write(("probe_target", target.as_str()), mtu);
    }
}

fn info(tunnel: &TunnelCapture, out: &mut Samples<'_>) {
    let Some(reported) = tunnel.tunnel() else { return };
    let labels = tunnel
        .labels
        .clone()
        .and("customer_endpoint", &reported.customer_endpoint.to_string())
        .and("cloudflare_endpoint", &reported.cloudflare_endpoint.to_string())
        .and("interface_address", &reported.interface_address.to_string())
        .and("interface_address6", &reported.interface_address6.to_string())
        .and("description", &reported.description);
    out.push(&labels, &[], true);
}

/// Does not become stale: it comes from the configuration, or is kept from the data of the edge.
fn site_info(tunnel: &TunnelCapture, out: &mut Samples<'_>) {
    if let Some(site) = &tunnel.site {
        out.push(&tunnel.labels.clone().and("site", site), &[], true);
    }
}

fn bgp_state(tunnel: &TunnelCapture, out: &mut Samples<'_>) {
    if let Some(status) = tunnel.status() {
        out.states(&tunnel.labels, "state", status.state);
    }
}

fn bgp_info(tunnel: &TunnelCapture, out: &mut Samples<'_>) {
    let Some(Tunnel { bgp, bgp_status, .. }) = tunnel.tunnel() else { return };
    if bgp.is_none() && bgp_status.is_none() {
        return;
    }
    let asn = bgp.and_then(|bgp| bgp.customer_asn).map(|asn| asn.to_string()).unwrap_or_default();
    let fsm = bgp_status.as_ref().map_or("none", |status| status.fsm.as_str());
    let md5 = if bgp.is_some_and(|bgp| bgp.md5) { "true" } else { "false" };
    let labels = tunnel.labels.clone().and("customer_asn", &asn);
    out.push(&labels, &[("fsm_state", fsm), ("md5", md5)], true);
}

fn health_check_info(tunnel: &TunnelCapture, out: &mut Samples<'_>) {
    let Some(check) = tunnel.health_check() else { return };
    let labels = tunnel
        .labels
        .clone()
        .and("check_type", check.check_type.map_or("", Label::as_str))
        .and("direction", check.direction.map_or("", Label::as_str))
        .and("rate", check.rate.map_or("", Label::as_str))
        .and("target", check.target.address().unwrap_or_default())
        .and("target_source", check.target.source().as_str());
    out.push(&labels, &[], true);
}

#[cfg(test)]
mod tests;
