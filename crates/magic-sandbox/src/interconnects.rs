//! The settings of an interconnect, and the rules for them.
//!
//! The API creates and deletes interconnects elsewhere, so that here they come from the story.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr},
};

use ipnet::{Ipv4Net, Ipv6Net};
use serde::{Serialize, ser::SerializeMap};
use serde_json::{Map, Value};

use super::{
    catalog::{ItemNames, Settings, SettingsContext},
    response::BodyRule,
    spec::{BgpSpec, HealthCheckJson, HealthCheckSpec, TargetForm, peer_address, serialize_some},
    validate::{self, FieldReader},
};

/// The fields that the API sets when it creates the interconnect. An update cannot change them.
const FIXED: [&str; 3] = ["version", "colo_name", "virtual_port_reservation_id"];

/// An interconnect.
#[derive(Debug, Clone)]
pub(crate) struct InterconnectSpec {
    pub name: String,
    /// `1`, `1.5` or `2`.
    version: &'static str,
    colo_name: Option<String>,
    /// Cloudflare's inner address, with the prefix that both ends share.
    interface_address: Ipv4Net,
    interface_address6: Option<Ipv6Net>,
    mtu: u64,
    description: Option<String>,
    automatic_return_routing: bool,
    /// Cloudflare's end of the GRE tunnel, except in version 1.5.
    gre_endpoint: Option<IpAddr>,
    health_check: HealthCheckSpec,
    /// Source of bidirectional health checks, in version 1.5 only.
    source: Option<Ipv4Addr>,
    bgp: Option<BgpSpec>,
    virtual_port_reservation_id: Option<String>,
}

impl Settings for InterconnectSpec {
    /// The code is the sandbox's own.
    const NAMES: ItemNames =
        ItemNames { list: "interconnects", item: "interconnect", not_found: (1150, "Interconnect not found") };

    fn read(context: SettingsContext, body: &FieldReader<'_>) -> Option<Self> {
        let text = |key: &str| body.text(key).map(str::to_owned);
        let name = body.require("name").text("name").map(str::to_owned);
        let version = body.choice("version", &["1", "1.5", "2"]).unwrap_or("2");
        let interface_address = read_interface_address(context.strict, version, body);
        let check = body.nested("health_check");
        let health_check = validate::read_health_check(context.form, check.as_ref());
        let source = read_source(version, health_check.direction, check.as_ref(), body);
        let spec = Self {
            version,
            colo_name: text("colo_name"),
            interface_address6: validate::read_interface_address6(body),
            mtu: body.number("mtu", 576..=65535, BodyRule::Mtu, "mtu must be at least 576").unwrap_or(1500),
            description: text("description"),
            automatic_return_routing: body.flag("automatic_return_routing").unwrap_or(false),
            gre_endpoint: read_gre_endpoint(version, body),
            health_check,
            source,
            bgp: body.nested("bgp").and_then(|bgp| validate::read_bgp(&bgp)),
            virtual_port_reservation_id: text("virtual_port_reservation_id"),
            name: name?,
            interface_address: interface_address?,
        };
        Some(spec)
    }

    fn serialize_fields<M: SerializeMap>(&self, form: TargetForm, map: &mut M) -> Result<(), M::Error> {
        map.serialize_entry("name", &self.name)?;
        map.serialize_entry("version", self.version)?;
        serialize_some(map, "colo_name", self.colo_name.as_ref())?;
        map.serialize_entry("interface_address", &format_args!("{}", self.interface_address))?;
        serialize_some(map, "interface_address6", self.interface_address6.map(|net| net.to_string()))?;
        map.serialize_entry("mtu", &self.mtu)?;
        serialize_some(map, "description", self.description.as_ref())?;
        map.serialize_entry("automatic_return_routing", &self.automatic_return_routing)?;
        let gre = self.gre_endpoint.map(|endpoint| BTreeMap::from([("cloudflare_endpoint", endpoint)]));
        serialize_some(map, "gre", gre)?;
        let check = HealthCheckJson::new(&self.health_check, self.effective_target(), form);
        map.serialize_entry("health_check", &CheckWithSource { check, source: self.source })?;
        serialize_some(map, "bgp", self.bgp.as_ref())?;
        serialize_some(map, "virtual_port_reservation_id", self.virtual_port_reservation_id.as_ref())
    }

    /// No field of an update is required, so that omitted fields keep their values. Null resets a field.
    fn updated_body(&self, form: TargetForm, fields: &Map<String, Value>) -> Map<String, Value> {
        let mut body = self.request_body(form);
        let fields = fields.iter().filter(|(key, _)| !FIXED.contains(&key.as_str()));
        body.extend(fields.map(|(key, value)| (key.clone(), value.clone())));
        body
    }

    fn unique_name(&self) -> Option<&str> {
        Some(&self.name)
    }

    fn label(&self) -> String {
        self.name.clone()
    }
}

impl InterconnectSpec {
    /// The customer's inner address for bidirectional checks. For the others, the default is not documented.
    fn effective_target(&self) -> Option<IpAddr> {
        match self.health_check.direction {
            "bidirectional" => peer_address(self.interface_address).map(IpAddr::V4),
            _ => self.health_check.saved_target,
        }
    }
}

#[derive(Serialize)]
struct CheckWithSource<'a> {
    #[serde(flatten)]
    check: HealthCheckJson<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    source: Option<Ipv4Addr>,
}

/// "A /30 or /31 prefix may be used. Version 1.5 interconnects require a /31 prefix".
fn read_interface_address(strict: bool, version: &str, body: &FieldReader<'_>) -> Option<Ipv4Net> {
    let net = validate::read_interface_address(strict, body)?;
    if version == "1.5" && net.prefix_len() != 31 {
        let rule = "interface_address of a version 1.5 interconnect must be an IPv4 prefix of length 31";
        body.reject("interface_address", BodyRule::InterfacePrefix, rule);
    }
    Some(net)
}

/// "Not configurable for version 1.5 interconnects; supplying it returns an error".
fn read_gre_endpoint(version: &str, body: &FieldReader<'_>) -> Option<IpAddr> {
    let gre = body.nested("gre")?;
    if version == "1.5" {
        body.reject("gre", BodyRule::NotConfigurable, "gre is not configurable for version 1.5 interconnects");
    }
    gre.address("cloudflare_endpoint")
}

/// "Supported only for version 1.5 interconnects. It is required when direction is bidirectional and must be omitted
/// when direction is unidirectional".
fn read_source(
    version: &str,
    direction: &str,
    check: Option<&FieldReader<'_>>,
    body: &FieldReader<'_>,
) -> Option<Ipv4Addr> {
    const KEY: &str = "source";
    let source = check.and_then(|check| check.parsed::<Ipv4Addr>(KEY, BodyRule::Address, "must be an IPv4 address"));
    let is_present = check.is_some_and(|check| check.value(KEY).is_some());
    let needed = version == "1.5" && direction == "bidirectional";
    let rule = match (needed, is_present) {
        (true, false) => "source is required for bidirectional health checks of version 1.5 interconnects",
        (false, true) => "source is supported only for bidirectional health checks of version 1.5 interconnects",
        _ if source.is_some_and(|source| !is_health_check_source(source)) => {
            "source must be in a range of RFC 1918, in 169.254.240.0/20 or in 198.41.199.224/27"
        }
        _ => return source,
    };
    body.reject("health_check/source", BodyRule::HealthCheckSource, rule);
    None
}

fn is_health_check_source(source: Ipv4Addr) -> bool {
    let ranges = [([169, 254, 240, 0], 20), ([198, 41, 199, 224], 27)];
    let is_in = |(base, length)| Ipv4Net::new_assert(Ipv4Addr::from(base), length).contains(&source);
    source.is_private() || ranges.into_iter().any(is_in)
}
