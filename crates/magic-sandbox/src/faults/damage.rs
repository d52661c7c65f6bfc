//! Bodies that a client can decode only in part: wrong types and unknown values.

use serde_json::{Value, json};

/// Changes the types of the fields of each row.
pub(super) fn set_wrong_types(body: &mut Value) {
    visit_rows(body, damage_types);
}

/// Sets values that the API reference does not list.
pub(super) fn set_unknown_values(body: &mut Value) {
    visit_rows(body, damage_values);
}

/// Calls `change` for each resource, the token and each row of a GraphQL list, anywhere in the body.
fn visit_rows(value: &mut Value, change: fn(&mut Value)) {
    if ["id", "name", "dimensions"].iter().any(|key| value.get(key).is_some()) {
        return change(value);
    }
    match value {
        Value::Array(list) => list.iter_mut().for_each(|element| visit_rows(element, change)),
        Value::Object(fields) => fields.values_mut().for_each(|field| visit_rows(field, change)),
        _ => {}
    }
}

fn damage_types(row: &mut Value) {
    if let Some(dimensions) = row.get_mut("dimensions") {
        *dimensions =
            json!({"tunnelName": 42, "ingressTunnelName": [], "egressTunnelName": {}, "datetimeMinute": true});
        row["count"] = json!("many");
        row["sum"] = json!(7);
        return;
    }
    if row.get("prefix").is_some() {
        *row = json!({"id": row["id"], "prefix": 42, "nexthop": ["10.0.0.1"], "priority": "high", "scope": "all"});
        return;
    }
    if row.get("status").is_some() {
        *row = json!({"id": 42, "status": ["active"], "expires_on": 1_800_000_000});
        return;
    }
    let tunnel = row;
    tunnel["name"] = json!(42);
    tunnel["interface_address"] = json!(["10.0.0.0/31"]);
    tunnel["bgp"] = json!("yes");
    tunnel["health_check"] = json!(7);
}

fn damage_values(row: &mut Value) {
    if let Some(dimensions) = row.get_mut("dimensions") {
        if dimensions.get("resultStatus").is_some() {
            dimensions["resultStatus"] = json!("unreachable");
        }
        return;
    }
    if row.get("prefix").is_some() {
        row["scope"] = json!({"colo_regions": ["ATLANTIS"]});
        return;
    }
    if row.get("status").is_some() {
        row["status"] = json!("suspended");
        return;
    }
    let tunnel = row;
    tunnel["health_check"]["rate"] = json!("ludicrous");
    tunnel["health_check"]["type"] = json!("handshake");
    tunnel["health_check"]["direction"] = json!("sideways");
    if let Some(status) = tunnel.get_mut("bgp_status") {
        status["state"] = json!("BGP_DAMPENED");
        status["bgp_state"] = json!("Dampened");
    }
}
