//! From the body of the list of routes to static routes.
//!
//! A route without a valid prefix is rejected. A next hop that cannot be parsed is kept as text, because the prefix
//! still depends on it. Other fields that cannot be read count as absent.

use std::{collections::HashSet, mem, net::IpAddr, sync::Arc};

use serde::Deserialize;

use super::{
    decode::{ListDecoder, ListOperation, Members, limit_members, parse_member},
    error::ApiFailure,
    fields::{KnownField, TunnelReader, UnknownValues, parse_ip, parse_net},
    wire::{Field, Integer, List, Object, Text},
};
use crate::domain::{
    dataset::FailureReason,
    routes::{Route, RouteScope},
};

/// Memory of one route in bytes without its texts.
const ROUTE_MEMORY: usize = mem::size_of::<Route>();

/// Memory of one name of a scope in bytes without its text.
const NAME_MEMORY: usize = 48;

/// Maximum number of regions or data centers of a scope. Cloudflare has fewer than 400 data centers.
const MAX_NAMES: usize = 1_000;

/// The content of the list of routes.
#[derive(Debug, Default)]
pub struct RouteListing {
    /// Sorted.
    pub routes: Vec<Route>,
    /// Members without a valid prefix.
    pub rejected: usize,
    /// Values that cannot be read.
    pub unknown: UnknownValues,
}

/// Decodes the complete body of a list operation with a success status.
///
/// # Errors
/// As for lists of tunnels.
pub fn decode_routes(body: &[u8], status: u16) -> Result<RouteListing, ApiFailure> {
    let mut decoder = ListDecoder::routes(false);
    decoder.push(body).map_err(ApiFailure::new)?;
    decoder.finish(status)
}

impl ListDecoder<RouteMembers> {
    /// `had_routes`: whether the last good list had routes.
    pub(super) fn routes(had_routes: bool) -> Self {
        Self::new(ListOperation::Routes, had_routes, RouteMembers::default())
    }
}

/// Static route.
#[derive(Deserialize)]
struct WireRoute<'a> {
    #[serde(default, borrow)]
    id: Field<Text<'a>>,
    #[serde(default, borrow)]
    prefix: Field<Text<'a>>,
    #[serde(default, borrow)]
    nexthop: Field<Text<'a>>,
    #[serde(default)]
    priority: Field<Integer>,
    #[serde(default)]
    weight: Field<Integer>,
    #[serde(default, borrow)]
    scope: Field<Object<WireScope<'a>>>,
    #[serde(default, borrow)]
    description: Field<Text<'a>>,
}

#[derive(Deserialize)]
struct WireScope<'a> {
    #[serde(default, borrow)]
    colo_names: Field<List<Field<Text<'a>>>>,
    #[serde(default, borrow)]
    colo_regions: Field<List<Field<Text<'a>>>>,
}

/// The routes decoded so far.
#[derive(Debug, Default)]
pub(super) struct RouteMembers {
    count: usize,
    routes: Vec<Route>,
    /// Each scope once, shared by its routes.
    scopes: HashSet<Arc<RouteScope>>,
    rejected: usize,
    reader: TunnelReader,
}

impl Members for RouteMembers {
    type Listing = RouteListing;

    fn add(&mut self, json: Option<&[u8]>) -> Result<(), FailureReason> {
        self.count += 1;
        let wire = json.map(parse_member).transpose()?.flatten();
        if wire.is_none() {
            self.reader.record(KnownField::Route);
        }
        match wire.and_then(|wire| self.read(wire)) {
            Some(route) => self.routes.push(route),
            None => self.rejected += 1,
        }
        limit_members(self.count, self.routes.len() * ROUTE_MEMORY + self.reader.text_bytes)
    }

    fn count(&self) -> usize {
        self.count
    }

    /// A list of which no member is a route is a failure, so that the last good one is kept.
    fn into_listing(mut self) -> Result<RouteListing, FailureReason> {
        if self.routes.is_empty() && self.rejected > 0 {
            return Err(FailureReason::Decode);
        }
        self.routes.sort_unstable_by(|a, b| a.sort_key().cmp(&b.sort_key()));
        Ok(RouteListing { routes: self.routes, rejected: self.rejected, unknown: self.reader.unknown })
    }
}

impl RouteMembers {
    fn read(&mut self, wire: WireRoute<'_>) -> Option<Route> {
        use KnownField as F;
        let reader = &mut self.reader;
        let Some(prefix) = reader.text(F::RoutePrefix, wire.prefix).as_deref().and_then(parse_net) else {
            reader.record(F::RoutePrefix);
            return None;
        };
        let scope = reader.object(F::RouteScope, wire.scope);
        let next_hop = reader.stated(F::RouteNexthop, wire.nexthop, parse_next_hop);
        let priority = reader.integer(F::RoutePriority, wire.priority);
        let weight = reader.integer(F::RouteWeight, wire.weight);
        let description = reader.kept_text(F::Description, wire.description).unwrap_or_default();
        let id = reader.kept_text(F::Route, wire.id).unwrap_or_default();
        let scope = scope.and_then(|scope| self.scope(scope));
        Some(Route { prefix: prefix.trunc(), scope, priority, next_hop, weight, description, id })
    }

    /// A scope without names counts as absent.
    fn scope(&mut self, wire: WireScope<'_>) -> Option<Arc<RouteScope>> {
        let scope = RouteScope { regions: self.names(wire.colo_regions), data_centers: self.names(wire.colo_names) };
        if scope.regions.is_empty() && scope.data_centers.is_empty() {
            return None;
        }
        let known = self.scopes.get(&scope).cloned();
        Some(known.unwrap_or_else(|| {
            let scope = Arc::new(scope);
            self.scopes.insert(Arc::clone(&scope));
            scope
        }))
    }

    fn names(&mut self, wire: Field<List<Field<Text<'_>>>>) -> Box<[Box<str>]> {
        let names = self.reader.value(KnownField::RouteScope, wire).map(|list| list.0).unwrap_or_default();
        let names = names.into_iter().take(MAX_NAMES);
        let mut names: Vec<Box<str>> =
            names.filter_map(|name| self.reader.kept_text(KnownField::RouteScope, name)).collect();
        self.reader.text_bytes += names.len() * NAME_MEMORY;
        names.sort_unstable();
        names.dedup();
        names.into()
    }
}

/// Parses an address, with or without a prefix length.
fn parse_next_hop(text: &str) -> Option<IpAddr> {
    parse_ip(text).or_else(|| parse_net(text).map(|net| net.addr()))
}

#[cfg(test)]
mod tests;
