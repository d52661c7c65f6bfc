//! One tunnel as JSON.

use std::{borrow::Cow, collections::BTreeMap, fmt::Display};

use jiff::Timestamp;
use serde::Serialize;
use web_toolkit::text::shown;

use crate::{
    domain::{
        bgp::{self, BgpStatus},
        health_check,
        label::Label,
        probe::ProbeFailure,
        tunnel::{self, Kind, Stated},
        verdict::{Side, TunnelVerdict},
    },
    prober::board::{TargetProbe, TunnelProbes, UplinkProbe},
    snapshot::Row,
};

#[derive(Debug, Serialize)]
pub(super) struct Tunnel<'a> {
    account: Cow<'a, str>,
    id: Cow<'a, str>,
    name: Cow<'a, str>,
    description: Cow<'a, str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    site: Option<Cow<'a, str>>,
    r#type: &'static str,
    /// Whether what the API said is too old to count.
    stale: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    confirmed: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    verdict: Option<Verdict<'a>>,
    #[serde(skip_serializing_if = "String::is_empty")]
    customer_endpoint: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    cloudflare_endpoint: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    interface_address: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    interface_address6: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    automatic_return_routing: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    bgp: Option<Bgp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    bgp_status: Option<Status>,
    bgp_state_changes: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    health_check: Option<HealthCheck<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ipsec: Option<Ipsec>,
    #[serde(skip_serializing_if = "Option::is_none")]
    gre: Option<Gre>,
    #[serde(skip_serializing_if = "Option::is_none")]
    created: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    modified: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    probes: Option<Probes>,
}

#[derive(Debug, Serialize)]
struct Verdict<'a> {
    #[serde(rename = "verdict")]
    word: &'static str,
    why: &'a str,
    reported: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    inside: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    outside: Option<&'static str>,
    changed: String,
    changes: u64,
}

#[derive(Debug, Serialize)]
struct Bgp {
    #[serde(skip_serializing_if = "Option::is_none")]
    customer_asn: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    extra_prefixes: Option<usize>,
    md5: bool,
}

#[derive(Debug, Serialize)]
struct Status {
    state: &'static str,
    fsm_state: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    tcp_established: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    updated: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cloudflare_speaker: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    customer_speaker: Option<String>,
}

#[derive(Debug, Serialize)]
struct HealthCheck<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    enabled: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    r#type: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    direction: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rate: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    target: Option<Cow<'a, str>>,
    target_source: &'static str,
}

#[derive(Debug, Serialize)]
struct Ipsec {
    #[serde(skip_serializing_if = "Option::is_none")]
    replay_protection: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    allow_null_cipher: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    psk_generated: Option<String>,
    custom_identity: bool,
}

#[derive(Debug, Serialize)]
struct Gre {
    #[serde(skip_serializing_if = "Option::is_none")]
    mtu_bytes: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ttl_hops: Option<u32>,
}

#[derive(Debug, Serialize)]
struct Probes {
    vantage: &'static str,
    targets: Vec<Target>,
    uplinks: Vec<Uplink>,
}

/// What proves the underlay in the place of the customer endpoint.
#[derive(Debug, Serialize)]
struct Uplink {
    address: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    up: Option<bool>,
    ever_answered: bool,
}

#[derive(Debug, Serialize)]
struct Target {
    #[serde(rename = "target")]
    name: &'static str,
    address: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    up: Option<bool>,
    ever_answered: bool,
    requests: u64,
    replies: u64,
    failures: BTreeMap<&'static str, u64>,
    in_flight: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_reply: Option<String>,
    recent: Recent,
}

/// The last ten minutes.
#[derive(Debug, Serialize)]
struct Recent {
    replies: u32,
    lost: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    loss_ratio: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rtt_seconds: Option<f64>,
}

impl<'a> Tunnel<'a> {
    pub(super) fn new(row: &Row<'a>) -> Self {
        let tunnel = row.tunnel();
        let (ipsec, gre) = match tunnel.kind {
            Kind::Ipsec(ipsec) => (Some(Ipsec::from(ipsec)), None),
            Kind::Gre(tunnel::Gre { mtu, ttl }) => (None, Some(Gre { mtu_bytes: mtu, ttl_hops: ttl })),
        };
        Self {
            account: shown(row.account.as_str()),
            id: shown(tunnel.id.as_str()),
            name: shown(&tunnel.name),
            description: shown(&tunnel.description),
            site: row.entry.site.as_deref().map(shown),
            r#type: tunnel.tunnel_type().as_str(),
            stale: !row.fresh,
            confirmed: row.confirmed.map(|then| then.wall.to_string()),
            verdict: row.verdict.map(|verdict| Verdict::from(&**verdict)),
            customer_endpoint: stated(&tunnel.customer_endpoint),
            cloudflare_endpoint: stated(&tunnel.cloudflare_endpoint),
            interface_address: stated(&tunnel.interface_address),
            interface_address6: stated(&tunnel.interface_address6),
            automatic_return_routing: tunnel.automatic_return_routing,
            bgp: tunnel.bgp.map(Bgp::from),
            bgp_status: row.status().map(Status::from),
            bgp_state_changes: row.entry.bgp_state_changes,
            health_check: tunnel.health_check.as_ref().map(HealthCheck::from),
            ipsec,
            gre,
            created: time(tunnel.created_on),
            modified: time(tunnel.modified_on),
            probes: row.probes.map(Probes::from),
        }
    }
}

impl<'a> From<&'a TunnelVerdict> for Verdict<'a> {
    fn from(verdict: &'a TunnelVerdict) -> Self {
        let settled = |side: Side| (side != Side::Unsettled).then(|| side.as_str());
        Self {
            word: verdict.verdict.as_str(),
            why: &verdict.why,
            reported: verdict.evidence.reported.as_str(),
            inside: settled(verdict.evidence.inside),
            outside: settled(verdict.evidence.outside),
            changed: verdict.changed.wall.to_string(),
            changes: verdict.changes,
        }
    }
}

impl From<bgp::BgpConfig> for Bgp {
    fn from(bgp: bgp::BgpConfig) -> Self {
        Self { customer_asn: bgp.customer_asn, extra_prefixes: bgp.extra_prefixes, md5: bgp.md5 }
    }
}

impl From<&BgpStatus> for Status {
    fn from(status: &BgpStatus) -> Self {
        Self {
            state: status.state.as_str(),
            fsm_state: status.fsm.as_str(),
            tcp_established: status.tcp_established,
            updated: time(status.updated_at),
            cloudflare_speaker: status.cloudflare_speaker.ip.map(|ip| ip.to_string()),
            customer_speaker: status.customer_speaker.ip.map(|ip| ip.to_string()),
        }
    }
}

impl<'a> From<&'a health_check::HealthCheck> for HealthCheck<'a> {
    fn from(check: &'a health_check::HealthCheck) -> Self {
        Self {
            enabled: check.enabled,
            r#type: check.check_type.map(Label::as_str),
            direction: check.direction.map(Label::as_str),
            rate: check.rate.map(Label::as_str),
            target: check.target.address().map(shown),
            target_source: check.target.source().as_str(),
        }
    }
}

impl From<tunnel::Ipsec> for Ipsec {
    fn from(ipsec: tunnel::Ipsec) -> Self {
        Self {
            replay_protection: ipsec.replay_protection,
            allow_null_cipher: ipsec.allow_null_cipher,
            psk_generated: time(ipsec.psk_generated_on),
            custom_identity: ipsec.custom_identity,
        }
    }
}

impl From<&TunnelProbes> for Probes {
    fn from(probes: &TunnelProbes) -> Self {
        Self {
            vantage: probes.vantage.as_str(),
            targets: probes.targets.iter().map(Target::from).collect(),
            uplinks: probes.uplinks.iter().map(Uplink::from).collect(),
        }
    }
}

impl From<&UplinkProbe> for Uplink {
    fn from(uplink: &UplinkProbe) -> Self {
        let standing = uplink.tally.standing();
        Self { address: uplink.address.to_string(), up: standing.up, ever_answered: standing.ever_answered }
    }
}

impl From<&TargetProbe> for Target {
    fn from(probe: &TargetProbe) -> Self {
        let reading = probe.tally.read();
        let recent = probe.tally.history().total();
        Self {
            name: probe.target.as_str(),
            address: probe.address.to_string(),
            up: reading.standing.up,
            ever_answered: reading.standing.ever_answered,
            requests: reading.requests,
            replies: reading.replies,
            failures: ProbeFailure::ALL.iter().map(|&reason| (reason.as_str(), reading.failures(reason))).collect(),
            in_flight: reading.in_flight,
            last_reply: time(reading.last_reply),
            recent: Recent {
                replies: recent.replies,
                lost: recent.lost,
                loss_ratio: recent.loss(),
                rtt_seconds: recent.rtt().map(|rtt| rtt.as_secs_f64()),
            },
        }
    }
}

fn time(time: Option<Timestamp>) -> Option<String> {
    time.map(|time| time.to_string())
}

/// The text as the API gave it where it is no address; empty where it gave none.
fn stated<T: Display>(stated: &Stated<T>) -> String {
    shown(&stated.to_string()).into_owned()
}
