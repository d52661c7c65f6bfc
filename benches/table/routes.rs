//! Routes: their decoding, their join with the tunnels after a poll, the state of every prefix, and their part of the
//! page.

use std::{sync::Arc, time::Duration};

use magic_tunnel_exporter::{
    cloudflare::routes::decode_routes,
    correlate::prefixes::assess,
    domain::{
        inventory::{AccountInventory, AccountName, Fleet},
        routes::{Route, RouteTable},
        tunnel::TunnelType,
    },
    snapshot::Judged,
};
use serde_json::{Value, json};
use web_toolkit::clock;

use super::{
    Result, SIZES, fleet, measure, page,
    table::{Row, Table},
};

/// Routes per tunnel, and tunnels per prefix.
const ROUTES: usize = 2;

pub(crate) fn measure(table: &mut Table) -> Result<()> {
    for size in SIZES {
        let body = body(size);
        let (parsed, value) = measure::cpu(|| serde_json::from_slice::<Value>(&body));
        drop(value?);
        let (decoded, listing) = measure::cpu(|| decode_routes(&body, 200));
        let beside = Some(("`serde_json::Value` of the same bytes", millis(parsed)));
        let what = "list of routes, two per tunnel";
        table.add(Row { what, size, ours: millis(decoded), unit: "ms", beside, goal: None });
        let routes: Arc<[Route]> = listing?.routes.into();
        join_and_assess(table, size, &routes);
        add_page(table, size, &routes);
    }
    Ok(())
}

fn millis(took: Duration) -> f64 {
    took.as_secs_f64() * 1e3
}

fn table_of(routes: &Arc<[Route]>) -> RouteTable {
    let now = clock::now();
    let mut table = RouteTable { routes: Arc::clone(routes), ..RouteTable::default() };
    table.status.last_success = Some(now);
    table
}

/// What a poll with a change costs in addition: the join, and the state of every prefix.
fn join_and_assess(table: &mut Table, size: usize, routes: &Arc<[Route]>) {
    let account = AccountName::new("bench");
    let mut known = AccountInventory::default();
    known.set_list(TunnelType::Ipsec, fleet::polled(&fleet::body(size)).current().clone());
    let (joined, ()) = measure::cpu(|| {
        known.set_routes(None);
        known.set_routes(Some(table_of(routes)));
    });
    assert_eq!(known.route_matches().unmatched(), 0, "every route leads to a tunnel");
    let verdicts = Arc::new(fleet::verdicts(&account, &known));
    let fleet = Arc::new(Fleet { accounts: [(account, Arc::new(known))].into(), ..Fleet::default() });
    let judged = Judged { fleet, verdicts, ..Judged::default() };
    let (assessed, _) = measure::cpu(|| assess(&judged, true));
    // The goal is defined for 10,000 tunnels with 20,000 routes.
    let goal = Some(20.0 * size as f64 / 10_000.0);
    let beside = Some(("the join alone", millis(joined)));
    let what = "routes after a poll: join, state of all prefixes";
    table.add(Row { what, size, ours: millis(joined + assessed), unit: "ms", beside, goal });
}

/// The page with routes, per line, beside the page without them.
fn add_page(table: &mut Table, size: usize, routes: &Arc<[Route]>) {
    let [without, with] = [None, Some(table_of(routes))]
        .map(|routes| page::cost_per_line(&fleet::exposition_with(size, |known| known.set_routes(routes))));
    let beside = Some(("without routes", without));
    table.add(Row { what: "page with routes, per line", size, ours: with, unit: "ns", beside, goal: None });
}

/// The API's response body for a list of routes to the tunnels of [`fleet::body`]: each prefix has two tunnels.
fn body(tunnels: usize) -> Vec<u8> {
    let routes = (0..tunnels * ROUTES).map(|n| {
        let prefix = n / ROUTES;
        let tunnel = (prefix + n % ROUTES) % tunnels;
        json!({
            "id": format!("{n:032x}"), "prefix": format!("100.{}.{}.0/24", prefix / 256, prefix % 256),
            "nexthop": format!("10.{}.{}.{}", tunnel / 32768, tunnel / 128 % 256, tunnel % 128 * 2 + 1),
            "priority": 100, "weight": 64, "description": format!("Site {tunnel}"),
        })
    });
    let routes: Vec<Value> = routes.collect();
    json!({"result": {"routes": routes}, "success": true, "errors": [], "messages": []}).to_string().into()
}
