//! The members of an inventory as JSON. Every field may be missing, and values that are unknown become `unknown`.

use std::{net::IpAddr, str::FromStr};

use jiff::Timestamp;
use serde::Deserialize;

use crate::domain::{
    dataset::{FailureReason, PollState},
    edge::HealthState,
    label::Label,
    steering::Steering,
    tunnel::{
        BgpConfig, BgpState, BgpStatus, CheckDirection, CheckRate, CheckTarget, CheckType, FsmState, GreDetails,
        HealthCheck, InterconnectDetails, IpsecDetails, Speaker, Stated, Tunnel, TunnelDetails, TunnelId, TunnelType,
    },
};

#[derive(Deserialize)]
pub(super) struct WireCollection {
    pub(super) account: String,
    pub(super) collection: String,
    state: String,
    reason: Option<String>,
    pub(super) last_success: Option<String>,
}

impl WireCollection {
    /// A failure for a reason that only a newer hub knows is a failure of the server.
    pub(super) fn state(&self) -> PollState {
        match self.state.as_str() {
            "succeeded" => PollState::Succeeded,
            "failed" => {
                let reason = self.reason.as_deref().and_then(labelled);
                PollState::Failed(reason.unwrap_or(FailureReason::Server))
            }
            _ => PollState::Waiting,
        }
    }
}

#[derive(Deserialize)]
pub(super) struct WireTunnel {
    pub(super) account: String,
    id: String,
    name: String,
    #[serde(default)]
    description: String,
    pub(super) site: Option<String>,
    r#type: String,
    customer_endpoint: Option<String>,
    cloudflare_endpoint: Option<String>,
    interface_address: Option<String>,
    interface_address6: Option<String>,
    automatic_return_routing: Option<bool>,
    bgp: Option<WireBgp>,
    bgp_status: Option<WireBgpStatus>,
    health_check: Option<WireHealthCheck>,
    health_check_target: Option<WireCheckTarget>,
    ipsec: Option<WireIpsec>,
    gre: Option<WireGre>,
    interconnect: Option<WireInterconnect>,
    created: Option<String>,
    modified: Option<String>,
    edge: Option<WireEdge>,
    probe: Option<WireProbe>,
}

#[derive(Deserialize)]
struct WireEdge {
    state: Option<String>,
}

#[derive(Deserialize)]
struct WireProbe {
    enabled: Option<bool>,
    vantage: Option<String>,
    targets: Option<Vec<String>>,
    extra_address: Option<Vec<String>>,
    uplink: Option<Vec<String>>,
}

#[derive(Deserialize)]
struct WireBgp {
    customer_asn: Option<u32>,
    extra_prefixes: Option<usize>,
    #[serde(default)]
    md5: bool,
}

#[derive(Deserialize)]
struct WireBgpStatus {
    #[serde(default)]
    state: String,
    #[serde(default)]
    fsm_state: String,
    tcp_established: Option<bool>,
    updated: Option<String>,
    cloudflare_speaker: Option<IpAddr>,
    customer_speaker: Option<IpAddr>,
    cloudflare_port: Option<u16>,
    customer_port: Option<u16>,
}

#[derive(Deserialize)]
struct WireHealthCheck {
    enabled: Option<bool>,
    r#type: Option<String>,
    direction: Option<String>,
    rate: Option<String>,
}

#[derive(Deserialize)]
struct WireCheckTarget {
    saved: Option<Box<str>>,
    effective: Option<Box<str>>,
}

#[derive(Deserialize)]
struct WireIpsec {
    replay_protection: Option<bool>,
    allow_null_cipher: Option<bool>,
    psk_generated: Option<String>,
    #[serde(default)]
    custom_identity: bool,
}

#[derive(Deserialize)]
struct WireInterconnect {
    data_center: Option<String>,
    version: Option<String>,
    mtu_bytes: Option<u32>,
}

impl WireInterconnect {
    fn into_details(self) -> InterconnectDetails {
        let Self { data_center, version, mtu_bytes } = self;
        InterconnectDetails {
            data_center: data_center.map(Into::into),
            version: version.map(Into::into),
            mtu: mtu_bytes,
        }
    }
}

#[derive(Deserialize)]
struct WireGre {
    mtu_bytes: Option<u32>,
    ttl_hops: Option<u32>,
}

impl WireTunnel {
    /// `None` if only a newer program knows the type.
    pub(super) fn tunnel_type(&self) -> Option<TunnelType> {
        labelled(&self.r#type)
    }

    /// What the hub states about the probes; targets and addresses that only a newer program knows are ignored.
    pub(super) fn steering(&self) -> Option<Steering> {
        let probe = self.probe.as_ref()?;
        let addresses = |texts: &Option<Vec<String>>| {
            texts.as_ref().map(|texts| texts.iter().filter_map(|text| text.parse().ok()).collect::<Vec<IpAddr>>())
        };
        Some(Steering {
            enabled: probe.enabled,
            vantage: probe.vantage.as_deref().and_then(labelled),
            targets: probe.targets.as_ref().map(|names| names.iter().filter_map(|name| labelled(name)).collect()),
            extra: addresses(&probe.extra_address).map(|addresses| addresses.into_iter().collect()),
            uplinks: addresses(&probe.uplink),
        })
    }

    /// The state in the edge's health checks.
    pub(super) fn edge_state(&self) -> Option<HealthState> {
        self.edge.as_ref()?.state.as_deref().and_then(labelled)
    }

    pub(super) fn into_tunnel(self, tunnel_type: TunnelType) -> Tunnel {
        let target =
            self.health_check_target.map(|target| CheckTarget { saved: target.saved, effective: target.effective });
        Tunnel {
            id: TunnelId::new(self.id),
            name: self.name.into(),
            description: self.description.into(),
            cloudflare_endpoint: stated(self.cloudflare_endpoint),
            customer_endpoint: stated(self.customer_endpoint),
            interface_address: stated(self.interface_address),
            interface_address6: stated(self.interface_address6),
            automatic_return_routing: self.automatic_return_routing,
            health_check: self.health_check.map(|check| check.into_check(target.unwrap_or_default())),
            bgp: self.bgp.map(|WireBgp { customer_asn, extra_prefixes, md5 }| BgpConfig {
                customer_asn,
                extra_prefixes,
                md5,
            }),
            bgp_status: self.bgp_status.map(WireBgpStatus::into_status),
            created_on: time(self.created.as_deref()),
            modified_on: time(self.modified.as_deref()),
            details: match tunnel_type {
                TunnelType::Ipsec => TunnelDetails::Ipsec(self.ipsec.map(WireIpsec::into_details).unwrap_or_default()),
                TunnelType::Gre => TunnelDetails::Gre(
                    self.gre.map(|gre| GreDetails { mtu: gre.mtu_bytes, ttl: gre.ttl_hops }).unwrap_or_default(),
                ),
                TunnelType::Interconnect => TunnelDetails::Interconnect(
                    self.interconnect.map(WireInterconnect::into_details).unwrap_or_default(),
                ),
            },
        }
    }
}

impl WireHealthCheck {
    fn into_check(self, target: CheckTarget) -> HealthCheck {
        fn known<T: Label>(text: Option<String>, unknown: T) -> Option<T> {
            text.map(|text| labelled(&text).unwrap_or(unknown))
        }
        HealthCheck {
            enabled: self.enabled,
            check_type: known(self.r#type, CheckType::Unknown),
            direction: known(self.direction, CheckDirection::Unknown),
            rate: known(self.rate, CheckRate::Unknown),
            target,
        }
    }
}

impl WireBgpStatus {
    fn into_status(self) -> BgpStatus {
        BgpStatus {
            state: labelled(&self.state).unwrap_or(BgpState::Unknown),
            fsm: labelled(&self.fsm_state).unwrap_or(FsmState::Other),
            tcp_established: self.tcp_established,
            updated_at: time(self.updated.as_deref()),
            cloudflare_speaker: Speaker { ip: self.cloudflare_speaker, port: self.cloudflare_port },
            customer_speaker: Speaker { ip: self.customer_speaker, port: self.customer_port },
        }
    }
}

impl WireIpsec {
    fn into_details(self) -> IpsecDetails {
        IpsecDetails {
            replay_protection: self.replay_protection,
            allow_null_cipher: self.allow_null_cipher,
            psk_generated_on: time(self.psk_generated.as_deref()),
            custom_identity: self.custom_identity,
        }
    }
}

/// The label with this value.
fn labelled<T: Label>(text: &str) -> Option<T> {
    T::ALL.iter().copied().find(|label| label.as_str() == text)
}

fn stated<T: FromStr>(text: Option<String>) -> Stated<T> {
    match text {
        None => Stated::Absent,
        Some(text) => text.parse().map_or_else(|_| Stated::Unparsable(text.into()), Stated::Value),
    }
}

fn time(text: Option<&str>) -> Option<Timestamp> {
    text?.parse().ok()
}
