//! What one list operation told: the tunnels, and what could not be read.

use std::sync::Arc;

use crate::domain::{
    inventory::RejectReason,
    label::label_enum,
    tunnel::{Tunnel, TunnelId},
};

label_enum! {
    /// A field whose value can be one that this version does not know or cannot read, named by its path in the API.
    pub enum KnownField {
        AllowNullCipher => "allow_null_cipher",
        AutomaticReturnRouting => "automatic_return_routing",
        Bgp => "bgp",
        BgpCustomerAsn => "bgp.customer_asn",
        BgpExtraPrefixes => "bgp.extra_prefixes",
        BgpMd5Key => "bgp.md5_key",
        BgpStatus => "bgp_status",
        BgpStatusBgpState => "bgp_status.bgp_state",
        BgpStatusSpeaker => "bgp_status.speaker",
        BgpStatusState => "bgp_status.state",
        BgpStatusTcpEstablished => "bgp_status.tcp_established",
        BgpStatusUpdatedAt => "bgp_status.updated_at",
        CloudflareEndpoint => "cloudflare_endpoint",
        CreatedOn => "created_on",
        CustomRemoteIdentities => "custom_remote_identities",
        CustomerEndpoint => "customer_endpoint",
        Description => "description",
        HealthCheck => "health_check",
        HealthCheckDirection => "health_check.direction",
        HealthCheckEnabled => "health_check.enabled",
        HealthCheckRate => "health_check.rate",
        HealthCheckTarget => "health_check.target",
        HealthCheckType => "health_check.type",
        InterfaceAddress => "interface_address",
        InterfaceAddress6 => "interface_address6",
        ModifiedOn => "modified_on",
        Mtu => "mtu",
        PskMetadata => "psk_metadata",
        ReplayProtection => "replay_protection",
        Ttl => "ttl",
    }
}

/// A member of the list that is not taken into the inventory.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Rejected {
    pub reason: RejectReason,
    /// Its place in the list, from 0.
    pub index: usize,
    /// Its id, where it has a readable one.
    pub id: Option<TunnelId>,
}

/// What a list operation told.
#[derive(Debug, Default)]
pub struct Listing {
    /// Sorted by name, then id; ids are unique.
    pub tunnels: Vec<Arc<Tunnel>>,
    pub rejected: Vec<Rejected>,
    /// One entry for each value that could not be read.
    pub unknown: Vec<KnownField>,
}
