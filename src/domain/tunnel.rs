//! One tunnel as the API describes it: addresses, health check configuration and BGP session.
//!
//! A field that the API omits is `None` or [`Stated::Absent`], never a default value.

use std::{fmt, net::IpAddr};

use ipnet::IpNet;
use jiff::Timestamp;

use super::{
    dataset::Dataset,
    label::{Label, label_enum},
};

label_enum! {
    /// Encapsulation of a tunnel, or an interconnect.
    pub enum TunnelType {
        Gre => "gre",
        Ipsec => "ipsec",
        /// A private link to a data center of Cloudflare (CNI).
        Interconnect => "interconnect",
    }
}

impl TunnelType {
    /// Returns the dataset that lists the tunnels of this type.
    pub const fn dataset(self) -> Dataset {
        match self {
            Self::Gre => Dataset::GreTunnels,
            Self::Ipsec => Dataset::IpsecTunnels,
            Self::Interconnect => Dataset::Interconnects,
        }
    }
}

/// Identifier of a tunnel (`id`), unique within its list. Documented as at most 32 characters.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TunnelId(Box<str>);

impl TunnelId {
    pub fn new(text: impl Into<Box<str>>) -> Self {
        Self(text.into())
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for TunnelId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// An address field that the API may omit or fill with invalid text.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Stated<T> {
    #[default]
    Absent,
    /// The text from the API. It is displayed but never probed.
    Unparsable(Box<str>),
    Value(T),
}

impl<T> Stated<T> {
    pub fn value(&self) -> Option<&T> {
        match self {
            Self::Value(value) => Some(value),
            Self::Absent | Self::Unparsable(_) => None,
        }
    }
}

/// Displays an absent field as an empty string.
impl<T: fmt::Display> fmt::Display for Stated<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Absent => Ok(()),
            Self::Unparsable(text) => f.write_str(text),
            Self::Value(value) => value.fmt(f),
        }
    }
}

/// The tunnels of one account by type, in the order of [`TunnelType::ALL`].
pub type TunnelLists<'a> = [Vec<&'a Tunnel>; TunnelType::ALL.len()];

/// A GRE or IPsec tunnel, or an interconnect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tunnel {
    pub id: TunnelId,
    /// Name. Cloudflare keeps names unique within an account; the exporter does not rely on it.
    pub name: Box<str>,
    pub description: Box<str>,
    /// Cloudflare's end of the encapsulation: an anycast address that tunnels may share.
    pub cloudflare_endpoint: Stated<IpAddr>,
    /// The customer's end of the encapsulation.
    pub customer_endpoint: Stated<IpAddr>,
    /// Prefix inside the tunnel. Its host part is Cloudflare's side.
    pub interface_address: Stated<IpNet>,
    pub interface_address6: Stated<IpNet>,
    pub automatic_return_routing: Option<bool>,
    pub health_check: Option<HealthCheck>,
    pub bgp: Option<BgpConfig>,
    pub bgp_status: Option<BgpStatus>,
    pub created_on: Option<Timestamp>,
    pub modified_on: Option<Timestamp>,
    pub details: TunnelDetails,
}

impl Tunnel {
    /// Creates a tunnel without optional fields.
    pub fn bare(id: TunnelId, name: impl Into<Box<str>>, details: TunnelDetails) -> Self {
        Self {
            id,
            name: name.into(),
            description: Box::default(),
            cloudflare_endpoint: Stated::Absent,
            customer_endpoint: Stated::Absent,
            interface_address: Stated::Absent,
            interface_address6: Stated::Absent,
            automatic_return_routing: None,
            health_check: None,
            bgp: None,
            bgp_status: None,
            created_on: None,
            modified_on: None,
            details,
        }
    }

    pub const fn tunnel_type(&self) -> TunnelType {
        match self.details {
            TunnelDetails::Interconnect(_) => TunnelType::Interconnect,
            TunnelDetails::Ipsec(_) => TunnelType::Ipsec,
            TunnelDetails::Gre(_) => TunnelType::Gre,
        }
    }
}

/// The fields that only one type of tunnel has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TunnelDetails {
    Ipsec(IpsecDetails),
    Gre(GreDetails),
    Interconnect(InterconnectDetails),
}

/// An interconnect has no customer endpoint and no BGP status.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct InterconnectDetails {
    /// Name of the data center (`colo_name`).
    pub data_center: Option<Box<str>>,
    /// `1`, `1.5` or `2`.
    pub version: Option<Box<str>>,
    /// MTU in bytes.
    pub mtu: Option<u32>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct IpsecDetails {
    pub replay_protection: Option<bool>,
    pub allow_null_cipher: Option<bool>,
    /// `psk_metadata.last_generated_on`.
    pub psk_generated_on: Option<Timestamp>,
    /// Whether `custom_remote_identities.fqdn_id` is set. The identity itself is dropped.
    pub custom_identity: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct GreDetails {
    /// MTU in bytes.
    pub mtu: Option<u32>,
    /// TTL of the outer packets in hops.
    pub ttl: Option<u32>,
}

label_enum! {
    /// ICMP message that Cloudflare sends (`health_check.type`).
    pub enum CheckType {
        Request => "request",
        Reply => "reply",
        Unknown => "unknown",
    }
}

label_enum! {
    /// Whether the reply of a health check returns through the tunnel (`health_check.direction`).
    pub enum CheckDirection {
        Unidirectional => "unidirectional",
        Bidirectional => "bidirectional",
        Unknown => "unknown",
    }
}

label_enum! {
    /// Frequency of the health checks (`health_check.rate`).
    pub enum CheckRate {
        Low => "low",
        Mid => "mid",
        High => "high",
        Unknown => "unknown",
    }
}

label_enum! {
    /// Origin of the address that Cloudflare checks.
    pub enum TargetSource {
        /// Configured by the customer (`target.saved`, or `target` as a string).
        Saved => "saved",
        /// Calculated by Cloudflare (`target.effective` without `target.saved`).
        Default => "default",
        /// The API states no address.
        None => "none",
    }
}

/// The address that Cloudflare checks, as text, because the API accepts more than addresses.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CheckTarget {
    pub saved: Option<Box<str>>,
    pub effective: Option<Box<str>>,
}

impl CheckTarget {
    /// Returns the address in use: the effective one if the API states it, otherwise the saved one.
    pub fn address(&self) -> Option<&str> {
        self.effective.as_deref().or(self.saved.as_deref())
    }

    pub fn source(&self) -> TargetSource {
        match (&self.saved, &self.effective) {
            (Some(_), _) => TargetSource::Saved,
            (None, Some(_)) => TargetSource::Default,
            (None, None) => TargetSource::None,
        }
    }
}

/// Configuration of Cloudflare's health checks (`health_check`). The tunnels API does not return their results.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct HealthCheck {
    pub enabled: Option<bool>,
    pub check_type: Option<CheckType>,
    pub direction: Option<CheckDirection>,
    pub rate: Option<CheckRate>,
    pub target: CheckTarget,
}

label_enum! {
    /// State of a BGP session (`bgp_status.state`).
    pub enum BgpState {
        /// `BGP_UP`: routes are exchanged.
        Up => "up",
        /// `BGP_ESTABLISHING`: Cloudflare is connecting, the customer's device has not accepted yet.
        Establishing => "establishing",
        /// `BGP_DOWN`.
        Down => "down",
        /// Any other value.
        Unknown => "unknown",
    }
}

label_enum! {
    /// State of the BGP finite state machine (RFC 4271 section 8.2.2), from the free text `bgp_status.bgp_state`.
    pub enum FsmState {
        Idle => "idle",
        Connect => "connect",
        Active => "active",
        OpenSent => "opensent",
        OpenConfirm => "openconfirm",
        Established => "established",
        /// Any other text.
        Other => "other",
        /// The field is absent or empty.
        None => "none",
    }
}

/// Configuration of a BGP session (`bgp`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BgpConfig {
    /// `customer_asn`: two or four bytes (RFC 6793).
    pub customer_asn: Option<u32>,
    /// Number of `extra_prefixes`; `None` if the list is absent.
    pub extra_prefixes: Option<usize>,
    /// Whether `md5_key` is set. The key itself is dropped.
    pub md5: bool,
}

/// Status of a BGP session (`bgp_status`). The API omits it for tunnels without BGP.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BgpStatus {
    pub state: BgpState,
    pub fsm: FsmState,
    pub tcp_established: Option<bool>,
    /// `updated_at`: when Cloudflare last updated this status.
    pub updated_at: Option<Timestamp>,
    pub cloudflare_speaker: Speaker,
    pub customer_speaker: Speaker,
}

/// One end of the TCP connection of a BGP session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Speaker {
    pub ip: Option<IpAddr>,
    /// TCP port. Never a label, because it changes with each connection.
    pub port: Option<u16>,
}
