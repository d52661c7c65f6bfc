//! The prefixes of the static routes with their state, the most endangered first.

use std::io;

use web_toolkit::text::shown;

use super::json::{JsonObject, separate};
use crate::{
    domain::{
        inventory::InventoryEntry,
        label::Label as _,
        routes::{
            Route, RouteScope,
            prefixes::{HopState, PrefixState},
        },
    },
    http::body::Producer,
    snapshot::{Snapshot, prefixes::PrefixRow},
};

/// Prefixes per piece.
const PIECE: usize = 500;

/// The list of prefixes, which can have tens of megabytes.
#[derive(Debug)]
pub(in crate::http) struct PrefixList {
    snapshot: Snapshot,
    /// Accounts and positions of the prefixes that are still to be written, the last one first.
    rest: Vec<(u32, u32)>,
    began: bool,
    follows: bool,
}

impl PrefixList {
    /// All prefixes, or those of one account or in one state.
    pub(in crate::http) fn new(snapshot: Snapshot, account: Option<&str>, state: Option<PrefixState>) -> Self {
        let mut found = Vec::new();
        for (number, name) in (0..).zip(snapshot.fleet().accounts.keys()) {
            if account.is_none_or(|account| account == name.as_str()) {
                let rows = (0..).zip(snapshot.prefixes_of(name)).map(|(position, row)| (row.state(), number, position));
                found.extend(rows.filter(|(own, ..)| state.is_none_or(|wanted| wanted == *own)));
            }
        }
        found.sort_by_key(|(state, number, position)| (*state, std::cmp::Reverse((*number, *position))));
        let rest = found.into_iter().map(|(_, number, position)| (number, position)).collect();
        Self { snapshot, rest, began: false, follows: false }
    }

    fn write_head(&self, text: &mut Vec<u8>) {
        text.push(b'{');
        let mut object = JsonObject(text);
        object.add("time", self.snapshot.now.wall.to_string());
        object.add_list("accounts", self.snapshot.fleet().accounts.keys(), |object, account| {
            object.add("account", shown(account.as_str()));
            object.add("routes", self.snapshot.routes(account).map(|(table, _)| table.routes.len()));
            object.add("unmatched", self.snapshot.unmatched_routes(account));
            let report = self.snapshot.prefix_report(account);
            object.add("at_risk", report.map(|report| report.count(PrefixState::AtRisk)));
            object.add("lost", report.map(|report| report.count(PrefixState::Lost)));
        });
        object.begin_field("prefixes");
        text.push(b'[');
    }
}

impl Producer for PrefixList {
    fn write_piece(&mut self, text: &mut Vec<u8>) -> io::Result<bool> {
        if !std::mem::replace(&mut self.began, true) {
            self.write_head(text);
        }
        let piece = self.rest.split_off(self.rest.len().saturating_sub(PIECE));
        let accounts: Vec<_> = self.snapshot.fleet().accounts.keys().collect();
        for &(number, position) in piece.iter().rev() {
            let account = accounts.get(number as usize);
            let Some(row) = account.and_then(|account| self.snapshot.prefix_at(account, position as usize)) else {
                continue;
            };
            separate(text, &mut self.follows);
            JsonObject::write(text, |object| add_prefix(object, &self.snapshot, &row));
        }
        if self.rest.is_empty() {
            text.extend_from_slice(b"]}\n");
        }
        Ok(self.rest.is_empty())
    }
}

fn add_prefix(object: &mut JsonObject<'_>, snapshot: &Snapshot, row: &PrefixRow<'_>) {
    object.add("account", shown(row.account.as_str()));
    object.add("prefix", row.prefix.to_string());
    if let Some(scope) = row.scope {
        object.add_object("scope", |object| add_scope(object, scope));
    }
    object.add("state", row.state().as_str());
    for &state in HopState::ALL {
        object.add(state.as_str(), row.hops.count(state));
    }
    object.add_list("routes", row.routes(), |object, (position, route)| {
        add_route(object, route);
        object.add_list("tunnels", snapshot.tunnels_of_route(row, position), |object, entry| {
            add_tunnel(object, snapshot, row, entry);
        });
    });
}

fn add_tunnel(object: &mut JsonObject<'_>, snapshot: &Snapshot, row: &PrefixRow<'_>, entry: &InventoryEntry) {
    object.add("type", entry.tunnel.tunnel_type().as_str());
    object.add("id", shown(entry.tunnel.id.as_str()));
    object.add("name", shown(&entry.tunnel.name));
    object.add("verdict", snapshot.verdict_of(row.account, &entry.tunnel).as_str());
}

/// The fields of a route.
fn add_route(object: &mut JsonObject<'_>, route: &Route) {
    object.add("id", (!route.id.is_empty()).then(|| shown(&route.id)));
    let next_hop = route.next_hop.to_string();
    object.add("next_hop", (!next_hop.is_empty()).then(|| shown(&next_hop)));
    object.add("priority", route.priority);
    object.add("weight", route.weight);
    object.add("description", (!route.description.is_empty()).then(|| shown(&route.description)));
}

fn add_scope(object: &mut JsonObject<'_>, scope: &RouteScope) {
    let names = |names: &[Box<str>]| names.iter().map(|name| shown(name).into_owned()).collect::<Vec<_>>();
    object.add("regions", names(&scope.regions));
    object.add("data_centers", names(&scope.data_centers));
}
