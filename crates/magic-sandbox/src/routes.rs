//! The settings of a static route, and the rules for them.

use std::net::IpAddr;

use ipnet::IpNet;
use serde::{Serialize, ser::SerializeMap};

use super::{
    catalog::{ItemNames, Settings, SettingsContext},
    response::BodyRule,
    spec::{TargetForm, serialize_some},
    validate::FieldReader,
};

/// Priorities and weights are 32-bit integers in the reference. It names no other limit.
const MAX_NUMBER: u64 = i32::MAX as u64;

/// A static route.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RouteSpec {
    pub prefix: IpNet,
    /// An address, with or without a prefix length; kept as the client sent it.
    pub nexthop: String,
    pub priority: u64,
    pub description: Option<String>,
    pub weight: Option<u64>,
    pub scope: Option<ScopeSpec>,
}

/// The data centers that use the route. Absent: all.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct ScopeSpec {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    colo_names: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    colo_regions: Vec<String>,
}

impl Settings for RouteSpec {
    const NAMES: ItemNames = ItemNames { list: "routes", item: "route", not_found: (1020, "Route not found") };

    fn read(_: SettingsContext, body: &FieldReader<'_>) -> Option<Self> {
        let prefix_rule = "must be an IP prefix in CIDR notation";
        let prefix = body.require("prefix").parsed::<IpNet>("prefix", BodyRule::RoutePrefix, prefix_rule);
        let nexthop = read_nexthop(body);
        if body.value("priority").is_none() {
            body.reject("priority", BodyRule::Required, "priority is required");
        }
        let priority = read_number("priority", BodyRule::RoutePriority, body);
        let description = body.text("description").map(str::to_owned);
        let weight = read_number("weight", BodyRule::RouteWeight, body);
        let scope = body.nested("scope").map(|scope| ScopeSpec {
            colo_names: scope.texts("colo_names"),
            colo_regions: scope.texts("colo_regions"),
        });
        Some(Self { prefix: prefix?, nexthop: nexthop?, priority: priority?, description, weight, scope })
    }

    /// As in recorded bodies, `weight` and `scope` are omitted unless a client has set them.
    fn serialize_fields<M: SerializeMap>(&self, _: TargetForm, map: &mut M) -> Result<(), M::Error> {
        map.serialize_entry("prefix", &format_args!("{}", self.prefix))?;
        map.serialize_entry("nexthop", &self.nexthop)?;
        map.serialize_entry("priority", &self.priority)?;
        serialize_some(map, "description", self.description.as_ref())?;
        serialize_some(map, "weight", self.weight)?;
        serialize_some(map, "scope", self.scope.as_ref())
    }

    fn label(&self) -> String {
        format!("{} via {}", self.prefix, self.nexthop)
    }
}

fn read_nexthop(body: &FieldReader<'_>) -> Option<String> {
    const KEY: &str = "nexthop";
    let nexthop = body.require(KEY).text(KEY).filter(|text| !text.is_empty())?;
    if nexthop.parse::<IpAddr>().is_err() && nexthop.parse::<IpNet>().is_err() {
        body.reject(KEY, BodyRule::Address, "nexthop must be an IP address");
    }
    Some(nexthop.to_owned())
}

fn read_number(key: &str, rule: BodyRule, body: &FieldReader<'_>) -> Option<u64> {
    let message = format!("{key} must be a whole number from 0 to {MAX_NUMBER}");
    body.number(key, 0..=MAX_NUMBER, rule, &message)
}
