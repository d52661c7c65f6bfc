//! One tunnel as the API describes it.

use std::{fmt, net::IpAddr};

use ipnet::IpNet;
use jiff::Timestamp;

use super::{
    bgp::{BgpConfig, BgpStatus},
    dataset::Dataset,
    health_check::HealthCheck,
    label::label_enum,
};

label_enum! {
    /// Encapsulation of a tunnel.
    pub enum TunnelType {
        Gre => "gre",
        Ipsec => "ipsec",
    }
}

impl TunnelType {
    /// The dataset that lists the tunnels of this type.
    pub const fn dataset(self) -> Dataset {
        match self {
            Self::Gre => Dataset::GreTunnels,
            Self::Ipsec => Dataset::IpsecTunnels,
        }
    }
}

/// `id`: at most 32 characters, usually hexadecimal digits. Unique within a collection.
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

/// An address that the API may leave out, or state in a form that is no address.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Stated<T> {
    #[default]
    Absent,
    /// The text as the API gave it: shown, never probed.
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

/// Shows nothing for what is absent.
impl<T: fmt::Display> fmt::Display for Stated<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Absent => Ok(()),
            Self::Unparsable(text) => f.write_str(text),
            Self::Value(value) => value.fmt(f),
        }
    }
}

/// A tunnel of either type. What the API did not state is absent, never a default.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tunnel {
    pub id: TunnelId,
    /// Unique among an account's tunnels by Cloudflare's rule; not relied upon.
    pub name: Box<str>,
    pub description: Box<str>,
    /// Cloudflare's end of the encapsulation (anycast; tunnels may share it).
    pub cloudflare_endpoint: Stated<IpAddr>,
    /// The customer's end of the encapsulation.
    pub customer_endpoint: Stated<IpAddr>,
    /// Prefix inside the tunnel; its host part is Cloudflare's side.
    pub interface_address: Stated<IpNet>,
    pub interface_address6: Stated<IpNet>,
    pub automatic_return_routing: Option<bool>,
    pub health_check: Option<HealthCheck>,
    pub bgp: Option<BgpConfig>,
    pub bgp_status: Option<BgpStatus>,
    pub created_on: Option<Timestamp>,
    pub modified_on: Option<Timestamp>,
    pub kind: Kind,
}

impl Tunnel {
    /// A tunnel of which nothing is stated but what every tunnel has.
    pub fn bare(id: TunnelId, name: impl Into<Box<str>>, kind: Kind) -> Self {
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
            kind,
        }
    }

    pub const fn tunnel_type(&self) -> TunnelType {
        match self.kind {
            Kind::Ipsec(_) => TunnelType::Ipsec,
            Kind::Gre(_) => TunnelType::Gre,
        }
    }
}

/// What only one of the two types has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    Ipsec(Ipsec),
    Gre(Gre),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Ipsec {
    pub replay_protection: Option<bool>,
    pub allow_null_cipher: Option<bool>,
    /// `psk_metadata.last_generated_on`.
    pub psk_generated_on: Option<Timestamp>,
    /// Whether `custom_remote_identities.fqdn_id` is set; the identity itself is not kept.
    pub custom_identity: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Gre {
    /// Bytes.
    pub mtu: Option<u32>,
    /// Hops.
    pub ttl: Option<u32>,
}
