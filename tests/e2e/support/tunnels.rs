//! Bodies of the tunnels API, written by hand from its reference.

use serde_json::{Value, json};

use super::api::{self, Answer};

/// A member of `ipsec_tunnels` with a session that is up. Its id is derived from its name.
pub(crate) fn ipsec(name: &str) -> Value {
    json!({
        "id": id_of(name),
        "name": name,
        "description": "Frankfurt, first uplink",
        "cloudflare_endpoint": "203.0.113.1",
        "customer_endpoint": "198.51.100.7",
        "interface_address": "10.252.2.26/31",
        "interface_address6": "2606:54c1:7:0:a9fe:12d2:1:200/127",
        "allow_null_cipher": false,
        "replay_protection": true,
        "automatic_return_routing": true,
        "psk_metadata": { "last_generated_on": "2025-03-13T14:28:47.054317925Z" },
        "custom_remote_identities": { "fqdn_id": "" },
        "health_check": {
            "enabled": true, "rate": "mid", "type": "reply", "direction": "bidirectional",
            "target": { "saved": "", "effective": "10.252.2.27" }
        },
        "bgp": { "customer_asn": 4_200_000_001_u32, "extra_prefixes": ["192.0.2.0/24"], "md5_key": "" },
        "bgp_status": {
            "state": "BGP_UP", "tcp_established": true, "updated_at": "2026-10-05T09:00:00.5Z", "bgp_state": "Established",
            "cf_speaker_ip": "10.252.2.26", "cf_speaker_port": 179,
            "customer_speaker_ip": "10.252.2.27", "customer_speaker_port": 34521
        },
        "created_on": "2025-03-13T14:28:21.139535Z",
        "modified_on": "2025-03-13T14:28:26.09683+02:00"
    })
}

/// A member of `gre_tunnels` without BGP.
pub(crate) fn gre(name: &str) -> Value {
    json!({
        "id": id_of(name),
        "name": name,
        "cloudflare_gre_endpoint": "203.0.113.1",
        "customer_gre_endpoint": "198.51.100.8",
        "interface_address": "10.213.0.8/31",
        "mtu": 1476,
        "ttl": 64,
        "health_check": { "enabled": false, "target": "" },
        "created_on": "2024-01-02T03:04:05Z"
    })
}

/// The same tunnel with `field` (a JSON pointer) set to `value`.
pub(crate) fn with(mut tunnel: Value, field: &str, value: Value) -> Value {
    let (parent, name) = field.rsplit_once('/').expect("a pointer such as /bgp/md5_key");
    let object = tunnel.pointer_mut(parent).and_then(Value::as_object_mut).expect("an object that holds the field");
    object.insert(name.to_owned(), value);
    tunnel
}

pub(crate) fn id_of(name: &str) -> String {
    let digits = name.bytes().fold(0_u128, |sum, byte| sum.wrapping_mul(257).wrapping_add(u128::from(byte)));
    format!("{digits:032x}")
}

pub(crate) fn envelope(list: &str, tunnels: &[Value]) -> String {
    json!({ "result": { list: tunnels }, "success": true, "errors": [], "messages": [] }).to_string()
}

pub(crate) fn ipsec_list(tunnels: &[Value]) -> Answer {
    api::json("200 OK", envelope("ipsec_tunnels", tunnels))
}

pub(crate) fn gre_list(tunnels: &[Value]) -> Answer {
    api::json("200 OK", envelope("gre_tunnels", tunnels))
}

/// One tunnel of each kind: `ipsec-1` and `gre-1`.
pub(crate) fn all_is_well() -> Answer {
    api::by_collection(ipsec_list(&[ipsec("ipsec-1")]), gre_list(&[gre("gre-1")]))
}
