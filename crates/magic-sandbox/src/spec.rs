//! The settings of one tunnel, as a client sends them, and their JSON.
//!
//! The JSON is serialized here and not with the types of the API client: a misspelt field name would otherwise be
//! misspelt on both sides and no test would notice.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr},
};

use ipnet::{Ipv4Net, Ipv6Net};
use jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};
use serde::{Serialize, Serializer, ser::SerializeMap};
use serde_json::{Map, Value, value};

/// The kind of a tunnel. It selects the collection in paths, faults and stories.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum TunnelKind {
    Ipsec,
    Gre,
}

/// The names that differ between the kinds.
#[derive(Debug)]
pub(crate) struct KindNames {
    /// `type` in a story.
    pub short: &'static str,
    /// Path segment, and key of the list in bodies.
    pub collection: &'static str,
    /// Key of a single tunnel in bodies.
    pub item: &'static str,
    /// Key of Cloudflare's outer address.
    pub cloudflare_endpoint: &'static str,
    /// Key of the customer's outer address.
    pub customer_endpoint: &'static str,
}

impl TunnelKind {
    pub(crate) const fn names(self) -> &'static KindNames {
        match self {
            Self::Ipsec => &KindNames {
                short: "ipsec",
                collection: "ipsec_tunnels",
                item: "ipsec_tunnel",
                cloudflare_endpoint: "cloudflare_endpoint",
                customer_endpoint: "customer_endpoint",
            },
            Self::Gre => &KindNames {
                short: "gre",
                collection: "gre_tunnels",
                item: "gre_tunnel",
                cloudflare_endpoint: "cloudflare_gre_endpoint",
                customer_endpoint: "customer_gre_endpoint",
            },
        }
    }

    pub(crate) fn from_collection(segment: &str) -> Option<Self> {
        [Self::Ipsec, Self::Gre].into_iter().find(|kind| kind.names().collection == segment)
    }
}

/// The format of `health_check.target`, selected by the header `x-magic-new-hc-target`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TargetForm {
    /// The saved target as a string: `"203.0.113.1"`.
    Text,
    /// `{"saved": "", "effective": "203.0.113.1"}`.
    Object,
}

/// The settings of one tunnel.
#[derive(Debug, Clone)]
pub(crate) struct TunnelSpec {
    pub name: String,
    pub cloudflare_endpoint: IpAddr,
    /// Always set for GRE.
    pub customer_endpoint: Option<IpAddr>,
    /// Cloudflare's inner address, with the prefix that both ends share.
    pub interface_address: Ipv4Net,
    pub interface_address6: Option<Ipv6Net>,
    pub description: Option<String>,
    pub automatic_return_routing: bool,
    pub health_check: HealthCheckSpec,
    pub bgp: Option<BgpSpec>,
    pub options: KindOptions,
}

/// The settings that only one kind of tunnel has.
#[derive(Debug, Clone)]
pub(crate) enum KindOptions {
    /// `fqdn_id` is the only key of `custom_remote_identities`.
    Ipsec {
        allow_null_cipher: bool,
        replay_protection: bool,
        fqdn_id: Option<String>,
    },
    Gre {
        mtu: u64,
        ttl: u64,
    },
}

#[derive(Debug, Clone, Serialize)]
pub(crate) struct HealthCheckSpec {
    pub enabled: bool,
    pub rate: &'static str,
    #[serde(rename = "type")]
    pub check_type: &'static str,
    pub direction: &'static str,
    /// `None` selects the calculated default.
    #[serde(skip)]
    pub saved_target: Option<IpAddr>,
}

/// The defaults of the API reference.
impl Default for HealthCheckSpec {
    fn default() -> Self {
        Self { enabled: true, rate: "mid", check_type: "reply", direction: "bidirectional", saved_target: None }
    }
}

#[derive(Debug, Clone, Default, Serialize)]
pub(crate) struct BgpSpec {
    pub customer_asn: u64,
    pub extra_prefixes: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "expose_key")]
    pub md5_key: Option<SecretString>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub import_filter_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub export_filter_id: Option<String>,
}

impl BgpSpec {
    /// Whether a router could keep its session when `self` changes to `other`.
    pub(crate) fn has_same_session(&self, other: &Self) -> bool {
        let key = |bgp: &Self| bgp.md5_key.as_ref().map(|key| key.expose_secret().to_owned());
        self.customer_asn == other.customer_asn && key(self) == key(other)
    }
}

#[expect(clippy::ref_option, reason = "serde requires this signature")]
fn expose_key<S: Serializer>(key: &Option<SecretString>, serializer: S) -> Result<S::Ok, S::Error> {
    key.as_ref().map(ExposeSecret::expose_secret).serialize(serializer)
}

impl TunnelSpec {
    pub(crate) const fn kind(&self) -> TunnelKind {
        match self.options {
            KindOptions::Ipsec { .. } => TunnelKind::Ipsec,
            KindOptions::Gre { .. } => TunnelKind::Gre,
        }
    }

    pub(crate) fn fqdn_id(&self) -> Option<&str> {
        match &self.options {
            KindOptions::Ipsec { fqdn_id, .. } => fqdn_id.as_deref(),
            KindOptions::Gre { .. } => None,
        }
    }

    /// The address that the health check pings. For bidirectional checks it is the customer's inner address, whatever
    /// was saved; otherwise the saved target, or else the customer's endpoint.
    fn effective_target(&self) -> Option<IpAddr> {
        match self.health_check.direction {
            "bidirectional" => peer_address(self.interface_address).map(IpAddr::V4),
            _ => self.health_check.saved_target.or(self.customer_endpoint),
        }
    }

    /// The request body that would create this tunnel, with the target in object form.
    pub(crate) fn request_body(&self) -> Map<String, Value> {
        let body = value::Serializer.serialize_map(None).and_then(|mut map| {
            self.serialize_fields(TargetForm::Object, &mut map)?;
            map.end()
        });
        match body {
            Ok(Value::Object(body)) => body,
            _ => Map::new(),
        }
    }

    /// Adds the fields of a body to `map`.
    pub(crate) fn serialize_fields<M: SerializeMap>(&self, form: TargetForm, map: &mut M) -> Result<(), M::Error> {
        let (spec, names) = (self, self.kind().names());
        map.serialize_entry("name", &spec.name)?;
        map.serialize_entry(names.cloudflare_endpoint, &spec.cloudflare_endpoint)?;
        serialize_some(map, names.customer_endpoint, spec.customer_endpoint)?;
        map.serialize_entry("interface_address", &format_args!("{}", spec.interface_address))?;
        serialize_some(map, "interface_address6", spec.interface_address6.map(|net| net.to_string()))?;
        serialize_some(map, "description", spec.description.as_ref())?;
        map.serialize_entry("automatic_return_routing", &spec.automatic_return_routing)?;
        map.serialize_entry("health_check", &HealthCheckJson::new(&spec.health_check, spec.effective_target(), form))?;
        serialize_some(map, "bgp", spec.bgp.as_ref())?;
        match &spec.options {
            KindOptions::Ipsec { allow_null_cipher, replay_protection, fqdn_id } => {
                map.serialize_entry("allow_null_cipher", allow_null_cipher)?;
                map.serialize_entry("replay_protection", replay_protection)?;
                let identities = fqdn_id.as_ref().map(|fqdn_id| BTreeMap::from([("fqdn_id", fqdn_id)]));
                serialize_some(map, "custom_remote_identities", identities)
            }
            KindOptions::Gre { mtu, ttl } => {
                map.serialize_entry("mtu", mtu)?;
                map.serialize_entry("ttl", ttl)
            }
        }
    }
}

/// Adds an entry unless the value is missing, as the API does.
pub(crate) fn serialize_some<M: SerializeMap>(
    map: &mut M,
    key: &str,
    value: Option<impl Serialize>,
) -> Result<(), M::Error> {
    value.map_or(Ok(()), |value| map.serialize_entry(key, &value))
}

#[derive(Serialize)]
pub(crate) struct HealthCheckJson<'a> {
    #[serde(flatten)]
    check: &'a HealthCheckSpec,
    target: TargetJson,
}

#[derive(Serialize)]
#[serde(untagged)]
enum TargetJson {
    Text(String),
    Object { effective: String, saved: String },
}

impl<'a> HealthCheckJson<'a> {
    pub(crate) fn new(check: &'a HealthCheckSpec, effective: Option<IpAddr>, form: TargetForm) -> Self {
        let text = |target: Option<IpAddr>| target.map(|ip| ip.to_string()).unwrap_or_default();
        let saved = text(check.saved_target);
        let target = match form {
            TargetForm::Text => TargetJson::Text(saved),
            TargetForm::Object => TargetJson::Object { effective: text(effective), saved },
        };
        Self { check, target }
    }
}

/// Serializes a time in RFC 3339 with microseconds, the precision of recorded bodies.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ApiTime(pub Timestamp);

impl Serialize for ApiTime {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{:.6}", self.0))
    }
}

/// The other usable address of a /31 (RFC 3021) or /30.
pub(crate) fn peer_address(interface: Ipv4Net) -> Option<Ipv4Addr> {
    let own = u32::from(interface.addr());
    let network = u32::from(interface.network());
    match interface.prefix_len() {
        31 => Some(Ipv4Addr::from(own ^ 1)),
        30 => [network + 1, network + 2].into_iter().find(|other| *other != own).map(Ipv4Addr::from),
        _ => None,
    }
}
