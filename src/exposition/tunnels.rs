//! The families that say what the API said of each tunnel.

use std::{fmt, ops::Range};

use prometheus_client::encoding::DescriptorEncoder;

use super::{
    family::{Descriptor, RowLabels, Samples, Value},
    view::View,
};
use crate::domain::{
    bgp::{BgpState, BgpStatus},
    health_check::HealthCheck,
    inventory::Entry,
    label::Label,
    tunnel::{Gre, Ipsec, Kind, Stated, Tunnel},
};

/// Writes the families of all tunnels whose list is fresh.
pub(super) fn encode(view: &View<'_>, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
    let mut labels = String::new();
    let spans = render_labels(view, &mut labels);
    let rows: Vec<Row<'_>> = spans
        .into_iter()
        .map(|(span, entry)| {
            let labels = RowLabels::new(&labels[span], entry.tunnel.tunnel_type().as_str());
            Row { labels, entry }
        })
        .collect();
    for (descriptor, write) in &FAMILIES {
        let mut samples = descriptor.open(encoder)?;
        rows.iter().try_for_each(|row| write(row, &mut samples))?;
    }
    Ok(())
}

/// The labels of every tunnel shown, one after the other in `buffer`, and where they stand.
fn render_labels<'a>(view: &View<'a>, buffer: &mut String) -> Vec<(Range<usize>, &'a Entry)> {
    let mut spans = Vec::new();
    for (account, snapshot) in &view.fleet.accounts {
        let fresh = snapshot.collections().filter(|(_, collection)| view.is_fresh(collection));
        for entry in fresh.flat_map(|(_, collection)| collection.entries.iter()) {
            spans.push((RowLabels::render(buffer, account, &entry.tunnel), entry));
        }
    }
    spans
}

/// A tunnel with the labels that all its series share.
struct Row<'a> {
    labels: RowLabels<'a>,
    entry: &'a Entry,
}

impl Row<'_> {
    fn tunnel(&self) -> &Tunnel {
        &self.entry.tunnel
    }

    fn health_check(&self) -> Option<&HealthCheck> {
        self.tunnel().health_check.as_ref()
    }

    fn ipsec(&self) -> Option<Ipsec> {
        match self.tunnel().kind {
            Kind::Ipsec(ipsec) => Some(ipsec),
            Kind::Gre(_) => None,
        }
    }

    fn gre(&self) -> Option<Gre> {
        match self.tunnel().kind {
            Kind::Gre(gre) => Some(gre),
            Kind::Ipsec(_) => None,
        }
    }

    /// Writes something of the BGP status, where there is one.
    fn status(&self, write: impl FnOnce(&BgpStatus) -> fmt::Result) -> fmt::Result {
        self.tunnel().bgp_status.as_ref().map_or(Ok(()), write)
    }

    /// Writes a sample, where there is a value.
    fn value(&self, out: &mut Samples<'_>, value: Option<impl Into<Value>>) -> fmt::Result {
        value.map_or(Ok(()), |value| out.push(&self.labels, &[], value))
    }
}

/// Writes what one tunnel has of a family: nothing where the API said nothing.
type WriteRow = fn(&Row<'_>, &mut Samples<'_>) -> fmt::Result;

const FAMILIES: [(Descriptor, WriteRow); 20] = [
    (
        Descriptor::gauge("tunnel_info", "Addresses of the tunnel as the API gave them at the last poll. Always 1."),
        info,
    ),
    (
        Descriptor::gauge("tunnel_bgp_configured", "Whether BGP is configured for the tunnel, at the last poll."),
        |row, out| out.push(&row.labels, &[], row.tunnel().bgp.is_some()),
    ),
    (
        Descriptor::gauge(
            "tunnel_bgp_up",
            "Whether the BGP session is up as Cloudflare reports it, at the last poll. No series without a status.",
        ),
        |row, out| row.status(|status| out.push(&row.labels, &[], status.state == BgpState::Up)),
    ),
    (
        Descriptor::gauge(
            "tunnel_bgp_state",
            "State of the BGP session as Cloudflare reports it, at the last poll: 1 for the current state, else 0.",
        ),
        |row, out| row.status(|status| out.states(&row.labels, "state", status.state)),
    ),
    (
        Descriptor::gauge(
            "tunnel_bgp_tcp_established",
            "Whether the TCP connection of the BGP session is established, at the last poll.",
        ),
        |row, out| row.status(|status| row.value(out, status.tcp_established)),
    ),
    (
        Descriptor::seconds(
            "tunnel_bgp_status_timestamp",
            "When Cloudflare last refreshed the BGP status (updated_at), at the last poll. How often it does so is not documented.",
        ),
        |row, out| row.status(|status| row.value(out, status.updated_at)),
    ),
    (
        Descriptor::gauge(
            "tunnel_bgp_info",
            "ASN, state of the BGP finite state machine (RFC 4271) and use of an MD5 key, at the last poll. Always 1.",
        ),
        bgp_info,
    ),
    (
        Descriptor::gauge(
            "tunnel_bgp_extra_prefixes",
            "Prefixes advertised to the customer beside the routes of the Magic routing table, at the last poll.",
        ),
        |row, out| row.value(out, row.tunnel().bgp.and_then(|bgp| bgp.extra_prefixes)),
    ),
    (
        Descriptor::counter(
            "tunnel_bgp_state_changes",
            "Changes of the BGP state seen between polls; what changes and changes back between two polls is not seen.",
        ),
        |row, out| {
            let has_session = row.tunnel().bgp.is_some() || row.tunnel().bgp_status.is_some();
            row.value(out, has_session.then_some(row.entry.bgp_state_changes))
        },
    ),
    (
        Descriptor::gauge(
            "tunnel_health_check_enabled",
            "Whether Cloudflare's own health checks are enabled, at the last poll. Without them Cloudflare shows the tunnel as down.",
        ),
        |row, out| row.value(out, row.health_check().and_then(|check| check.enabled)),
    ),
    (
        Descriptor::gauge(
            "tunnel_health_check_info",
            "Configuration of Cloudflare's health checks, at the last poll; empty where the API did not state it. Always 1.",
        ),
        health_check_info,
    ),
    (Descriptor::seconds("tunnel_created_timestamp", "When the tunnel was created, at the last poll."), |row, out| {
        row.value(out, row.tunnel().created_on)
    }),
    (
        Descriptor::seconds(
            "tunnel_modified_timestamp",
            "When the configuration of the tunnel was last modified, at the last poll.",
        ),
        |row, out| row.value(out, row.tunnel().modified_on),
    ),
    (
        Descriptor::gauge(
            "tunnel_automatic_return_routing",
            "Whether automatic return routing is enabled, at the last poll.",
        ),
        |row, out| row.value(out, row.tunnel().automatic_return_routing),
    ),
    (
        Descriptor::gauge("tunnel_replay_protection", "Whether IPsec replay protection is enabled, at the last poll."),
        |row, out| row.value(out, row.ipsec().and_then(|ipsec| ipsec.replay_protection)),
    ),
    (
        Descriptor::gauge(
            "tunnel_null_cipher_allowed",
            "Whether the tunnel may use the null cipher, which does not encrypt, at the last poll.",
        ),
        |row, out| row.value(out, row.ipsec().and_then(|ipsec| ipsec.allow_null_cipher)),
    ),
    (
        Descriptor::seconds(
            "tunnel_psk_generated_timestamp",
            "When the pre-shared key was generated, at the last poll.",
        ),
        |row, out| row.value(out, row.ipsec().and_then(|ipsec| ipsec.psk_generated_on)),
    ),
    (
        Descriptor::gauge("tunnel_custom_identity", "Whether a custom IKE identity is configured, at the last poll."),
        |row, out| row.value(out, row.ipsec().map(|ipsec| ipsec.custom_identity)),
    ),
    (Descriptor::bytes("tunnel_mtu", "MTU of the GRE tunnel, at the last poll."), |row, out| {
        row.value(out, row.gre().and_then(|gre| gre.mtu))
    }),
    (Descriptor::gauge("tunnel_ttl_hops", "TTL of the GRE tunnel's outer packets, at the last poll."), |row, out| {
        row.value(out, row.gre().and_then(|gre| gre.ttl))
    }),
];

fn info(row: &Row<'_>, out: &mut Samples<'_>) -> fmt::Result {
    let tunnel = row.tunnel();
    let [customer, cloudflare] = [&tunnel.customer_endpoint, &tunnel.cloudflare_endpoint].map(Stated::to_string);
    let [inside, inside6] = [&tunnel.interface_address, &tunnel.interface_address6].map(Stated::to_string);
    let more = [
        ("customer_endpoint", &*customer),
        ("cloudflare_endpoint", &cloudflare),
        ("interface_address", &inside),
        ("interface_address6", &inside6),
        ("description", &tunnel.description),
    ];
    out.push(&row.labels, &more, true)
}

fn bgp_info(row: &Row<'_>, out: &mut Samples<'_>) -> fmt::Result {
    let Tunnel { bgp, bgp_status, .. } = row.tunnel();
    if bgp.is_none() && bgp_status.is_none() {
        return Ok(());
    }
    let asn = bgp.and_then(|bgp| bgp.customer_asn).map(|asn| asn.to_string()).unwrap_or_default();
    let fsm = bgp_status.as_ref().map_or("none", |status| status.fsm.as_str());
    let md5 = if bgp.is_some_and(|bgp| bgp.md5) { "true" } else { "false" };
    out.push(&row.labels, &[("customer_asn", &asn), ("fsm_state", fsm), ("md5", md5)], true)
}

fn health_check_info(row: &Row<'_>, out: &mut Samples<'_>) -> fmt::Result {
    let Some(check) = row.health_check() else { return Ok(()) };
    let more = [
        ("check_type", check.check_type.map_or("", Label::as_str)),
        ("direction", check.direction.map_or("", Label::as_str)),
        ("rate", check.rate.map_or("", Label::as_str)),
        ("target", check.target.address().unwrap_or_default()),
        ("target_source", check.target.source().as_str()),
    ];
    out.push(&row.labels, &more, true)
}
