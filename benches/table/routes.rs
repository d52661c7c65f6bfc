//! Routes: their join with the tunnels after a poll, and the state of every prefix.

use std::sync::Arc;

use magic_tunnel_exporter::{
    cloudflare::routes::decode_routes,
    correlate::prefixes::assess,
    domain::{
        inventory::{AccountInventory, AccountName, Fleet, TunnelKey},
        routes::RouteTable,
        tunnel::TunnelType,
        verdict::Verdicts,
    },
    snapshot::Judged,
};
use serde_json::{Value, json};

use super::{
    Result, SIZES, fleet, measure,
    table::{Row, Table},
};

/// Routes per tunnel.
const ROUTES: usize = 2;

pub(crate) fn measure(table: &mut Table) -> Result<()> {
    for size in SIZES {
        let body = body(size);
        let (parsed, _) = measure::cpu(|| serde_json::from_slice::<Value>(&body).map(drop));
        let (decoded, listing) = measure::cpu(|| decode_routes(&body, 200));
        let routes: Arc<[_]> = listing?.routes.into();
        let table_of = |routes| RouteTable { routes, ..RouteTable::default() };
        let mut known = AccountInventory::default();
        known.set_list(TunnelType::Ipsec, fleet::polled(&fleet::body(size)).current().clone());
        let (joined, ()) = measure::cpu(|| {
            known.set_routes(None);
            known.set_routes(Some(table_of(Arc::clone(&routes))));
        });
        let account = AccountName::new("bench");
        let verdict = Arc::new(fleet::verdict());
        let verdicts =
            known.entries().map(|entry| (TunnelKey::new(&account, &entry.tunnel).into(), Arc::clone(&verdict)));
        let verdicts = Arc::new(Verdicts { tunnels: verdicts.collect() });
        let fleet = Arc::new(Fleet { accounts: [(account, Arc::new(known))].into() });
        let judged = Judged { fleet, verdicts, ..Judged::default() };
        let (assessed, _) = measure::cpu(|| assess(&judged, true));
        let ms = |took: std::time::Duration| took.as_secs_f64() * 1e3;
        let beside = Some(("`serde_json::Value` of the list", ms(parsed)));
        table.add(Row {
            what: "list of two routes per tunnel",
            size,
            ours: ms(decoded),
            unit: "ms",
            beside,
            goal: None,
        });
        // The goal is defined for 10,000 tunnels with 20,000 routes.
        let goal = Some(20.0 * size as f64 / 10_000.0);
        let what = "routes, join and state of prefixes";
        table.add(Row { what, size, ours: ms(joined + assessed), unit: "ms", beside, goal });
    }
    Ok(())
}

/// The API's response body for a list of routes to the tunnels of [`fleet::body`].
fn body(tunnels: usize) -> Vec<u8> {
    let routes = (0..tunnels * ROUTES).map(|n| {
        let tunnel = n / ROUTES;
        json!({
            "id": format!("{n:032x}"), "prefix": format!("100.{}.{}.0/24", n % 20_000 / 256, n % 256),
            "nexthop": format!("10.{}.{}.{}", tunnel / 32768, tunnel / 128 % 256, tunnel % 128 * 2 + 1),
            "priority": 100, "weight": 64, "description": format!("Site {tunnel}"),
        })
    });
    let routes: Vec<Value> = routes.collect();
    json!({"result": {"routes": routes}, "success": true, "errors": [], "messages": []}).to_string().into()
}
