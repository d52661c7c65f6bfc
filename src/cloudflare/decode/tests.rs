use jiff::Timestamp;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::{
    RejectReason::{DuplicateId, Malformed, MissingId, MissingName},
    *,
};
use crate::{
    cloudflare::fields::{KnownField, KnownField as F},
    domain::tunnel::{
        BgpConfig, BgpState, BgpStatus, CheckDirection, CheckRate, CheckTarget, CheckType, FsmState, GreDetails,
        HealthCheck, InterconnectDetails, IpsecDetails, Speaker, Stated, TunnelDetails,
    },
};

fn list(tunnels: &Value) -> Vec<u8> {
    json!({"result": {"ipsec_tunnels": tunnels}, "success": true, "errors": [], "messages": []}).to_string().into()
}

fn decode_ipsec(tunnels: &Value) -> TunnelListing {
    decode_list(&list(tunnels), 200, TunnelType::Ipsec).unwrap()
}

fn tunnel(extra: Value) -> Value {
    let mut tunnel = json!({"id": "0123456789abcdef0123456789abcdef", "name": "fra-1"});
    if let (Value::Object(tunnel), Value::Object(extra)) = (&mut tunnel, extra) {
        tunnel.extend(extra);
    }
    tunnel
}

fn one(extra: Value) -> (Tunnel, Vec<KnownField>) {
    let listing = decode_ipsec(&json!([tunnel(extra)]));
    assert_eq!(listing.rejected.total(), 0);
    (Tunnel::clone(&listing.tunnels[0]), listing.unknown.into_keys().collect())
}

fn reason(body: &[u8]) -> FailureReason {
    decode_list(body, 200, TunnelType::Ipsec).unwrap_err().reason
}

fn tunnel_with_all_fields() -> Value {
    tunnel(json!({
        "cloudflare_endpoint": "203.0.113.1",
        "customer_endpoint": "198.51.100.7",
        "interface_address": "10.0.0.1/31",
        "interface_address6": "2606:54c1:7:0:a9fe:12d2:1:200/127",
        "description": "Tunnel for ISP X",
        "allow_null_cipher": true,
        "automatic_return_routing": true,
        "replay_protection": false,
        "psk_metadata": {"last_generated_on": "2017-06-14T05:20:00Z"},
        "custom_remote_identities": {"fqdn_id": "secret.example"},
        "created_on": "2017-06-14T00:00:00Z",
        "modified_on": "2017-06-14T05:20:00Z",
        "health_check": {
            "enabled": true, "direction": "bidirectional", "rate": "low", "type": "request",
            "target": {"effective": "203.0.113.9", "saved": "203.0.113.8"},
        },
        "bgp": {"customer_asn": 4_200_000_000_u32, "extra_prefixes": ["192.0.2.0/24"], "md5_key": "hunter2"},
        "bgp_status": {
            "state": "BGP_UP", "tcp_established": true, "updated_at": "2026-11-20T10:00:00Z", "bgp_state": "Established",
            "cf_speaker_ip": "10.0.0.1", "cf_speaker_port": 179,
            "customer_speaker_ip": "10.0.0.0", "customer_speaker_port": 50000,
        },
        "remote_identities": {"hex_id": "", "fqdn_id": "", "user_id": ""},
    }))
}

/// The example of the API reference.
fn interconnect() -> Value {
    json!({
        "id": "c4a7362d577a6c3019a474fd6f485821",
        "automatic_return_routing": true,
        "bgp": {
            "as_no": 0, "cloudflare_endpoint": "192.168.1.1", "customer_asn": 65010, "customer_endpoint": "192.168.1.1",
            "extra_prefixes": ["string"], "md5_key": "md5_key",
        },
        "colo_name": "pni_ord",
        "description": "Tunnel for Interconnect to ORD",
        "gre": {"cloudflare_endpoint": "203.0.113.1"},
        "health_check": {
            "direction": "bidirectional", "enabled": true, "rate": "low", "source": "198.41.199.225", "type": "request",
            "target": {"effective": "192.0.2.1", "saved": ""},
        },
        "interface_address": "192.0.2.0/31",
        "mtu": 0,
        "name": "pni_ord",
        "version": "1.5",
        "virtual_port_reservation_id": "c4a7362d577a6c3019a474fd6f485821",
    })
}

#[test]
fn an_interconnect_has_neither_a_customer_endpoint_nor_a_bgp_status() {
    let body = json!({"result": {"interconnects": [interconnect(), {"name": "no id"}]}, "success": true}).to_string();
    let listing = decode_list(body.as_bytes(), 200, TunnelType::Interconnect).unwrap();
    let tunnel = &listing.tunnels[0];
    assert_eq!((tunnel.tunnel_type(), &*tunnel.name), (TunnelType::Interconnect, "pni_ord"));
    let details = InterconnectDetails { data_center: Some("pni_ord".into()), version: Some("1.5".into()), mtu: None };
    assert_eq!(tunnel.details, TunnelDetails::Interconnect(details));
    assert_eq!(tunnel.cloudflare_endpoint.to_string(), "203.0.113.1");
    assert_eq!((&tunnel.customer_endpoint, &tunnel.bgp_status), (&Stated::Absent, &None));
    assert_eq!(tunnel.bgp.map(|bgp| (bgp.customer_asn, bgp.md5)), Some((Some(65010), true)));
    assert_eq!((listing.rejected.total(), listing.unknown.len()), (1, 0));
}

#[test]
fn every_field_of_an_ipsec_tunnel_is_read() {
    let (tunnel, unknown) = one(tunnel_with_all_fields());
    let time = |text: &str| Some(text.parse::<Timestamp>().unwrap());
    let expected = Tunnel {
        id: TunnelId::new("0123456789abcdef0123456789abcdef"),
        name: "fra-1".into(),
        description: "Tunnel for ISP X".into(),
        cloudflare_endpoint: Stated::Value("203.0.113.1".parse().unwrap()),
        customer_endpoint: Stated::Value("198.51.100.7".parse().unwrap()),
        interface_address: Stated::Value("10.0.0.1/31".parse().unwrap()),
        interface_address6: Stated::Value("2606:54c1:7:0:a9fe:12d2:1:200/127".parse().unwrap()),
        automatic_return_routing: Some(true),
        health_check: Some(HealthCheck {
            enabled: Some(true),
            check_type: Some(CheckType::Request),
            direction: Some(CheckDirection::Bidirectional),
            rate: Some(CheckRate::Low),
            target: CheckTarget { saved: Some("203.0.113.8".into()), effective: Some("203.0.113.9".into()) },
        }),
        bgp: Some(BgpConfig { customer_asn: Some(4_200_000_000), extra_prefixes: Some(1), md5: true }),
        bgp_status: Some(BgpStatus {
            state: BgpState::Up,
            fsm: FsmState::Established,
            tcp_established: Some(true),
            updated_at: time("2026-11-20T10:00:00Z"),
            cloudflare_speaker: Speaker { ip: "10.0.0.1".parse().ok(), port: Some(179) },
            customer_speaker: Speaker { ip: "10.0.0.0".parse().ok(), port: Some(50000) },
        }),
        created_on: time("2017-06-14T00:00:00Z"),
        modified_on: time("2017-06-14T05:20:00Z"),
        details: TunnelDetails::Ipsec(IpsecDetails {
            replay_protection: Some(false),
            allow_null_cipher: Some(true),
            psk_generated_on: time("2017-06-14T05:20:00Z"),
            custom_identity: true,
        }),
    };
    assert_eq!(tunnel, expected);
    assert_eq!(unknown, []);
    let shown = format!("{tunnel:?}");
    assert!(!shown.contains("hunter2") && !shown.contains("secret.example"), "decoding drops secrets");
}

#[test]
fn a_gre_tunnel_has_different_field_names() {
    let body = json!({"success": true, "result": {"gre_tunnels": [{
        "id": "a", "name": "GRE_1", "cloudflare_gre_endpoint": "203.0.113.1", "customer_gre_endpoint": "203.0.113.2",
        "customer_endpoint": "192.0.2.99", "mtu": 1476, "ttl": 64,
    }]}});
    let listing = decode_list(body.to_string().as_bytes(), 200, TunnelType::Gre).unwrap();
    let tunnel = &listing.tunnels[0];
    assert_eq!(tunnel.customer_endpoint, Stated::Value("203.0.113.2".parse().unwrap()));
    assert_eq!(tunnel.cloudflare_endpoint, Stated::Value("203.0.113.1".parse().unwrap()));
    assert_eq!(tunnel.details, TunnelDetails::Gre(GreDetails { mtu: Some(1476), ttl: Some(64) }));
}

#[test]
fn absent_null_and_empty_are_equal() {
    let absent = one(json!({}));
    let null = one(json!({
        "description": null, "customer_endpoint": null, "interface_address": null, "health_check": null, "bgp": null,
        "bgp_status": null, "created_on": null, "psk_metadata": null, "custom_remote_identities": null, "replay_protection": null,
    }));
    let empty = one(json!({
        "description": "", "customer_endpoint": "", "interface_address": "", "interface_address6": "", "created_on": "",
        "psk_metadata": {"last_generated_on": ""}, "custom_remote_identities": {"fqdn_id": ""},
    }));
    assert_eq!(absent, null);
    assert_eq!(absent, empty);
    assert_eq!(absent.0.bgp_status, None);
    assert_eq!(absent.1, []);
}

#[test]
fn the_health_check_target_is_a_string_or_an_object() {
    let target = |target: Value| one(json!({"health_check": {"target": target}})).0.health_check.unwrap().target;
    let (saved, effective) = (Some("192.0.2.1".into()), Some("192.0.2.2".into()));
    assert_eq!(target(json!("192.0.2.1")), CheckTarget { saved: saved.clone(), effective: None });
    assert_eq!(
        target(json!({"saved": "192.0.2.1", "effective": "192.0.2.2"})),
        CheckTarget { saved, effective: effective.clone() }
    );
    assert_eq!(target(json!({"saved": "", "effective": "192.0.2.2"})), CheckTarget { saved: None, effective });
    for nothing in [json!(""), json!(null), json!({}), json!({"saved": null})] {
        assert_eq!(target(nothing), CheckTarget::default());
    }
}

#[test]
fn unknown_values_are_recorded_and_not_guessed() {
    let (tunnel, unknown) = one(json!({
        "bgp_status": {"state": "BGP_SLEEPING", "bgp_state": "Dreaming", "tcp_established": "yes", "updated_at": "yesterday"},
        "health_check": {"type": "carrier pigeon", "rate": "unknown", "direction": 7},
        "bgp": {"customer_asn": 4_294_967_296_u64, "extra_prefixes": "none"},
        "interface_address": "<IPSEC_CIDR>",
    }));
    let status = tunnel.bgp_status.unwrap();
    assert_eq!((status.state, status.fsm), (BgpState::Unknown, FsmState::Other));
    assert_eq!((status.tcp_established, status.updated_at), (None, None));
    let check = tunnel.health_check.unwrap();
    assert_eq!(
        (check.check_type, check.rate, check.direction),
        (Some(CheckType::Unknown), Some(CheckRate::Unknown), None)
    );
    assert_eq!(tunnel.bgp, Some(BgpConfig { customer_asn: None, extra_prefixes: None, md5: false }));
    assert_eq!(tunnel.interface_address, Stated::Unparsable("<IPSEC_CIDR>".into()));
    let expected = [
        F::BgpCustomerAsn,
        F::BgpExtraPrefixes,
        F::BgpStatusBgpState,
        F::BgpStatusState,
        F::BgpStatusTcpEstablished,
        F::BgpStatusUpdatedAt,
        F::HealthCheckDirection,
        F::HealthCheckRate,
        F::HealthCheckType,
        F::InterfaceAddress,
    ];
    assert_eq!(unknown, expected);
}

#[test]
fn states_are_compared_without_case() {
    let state = |state: &str| one(json!({"bgp_status": {"state": state}})).0.bgp_status.unwrap().state;
    let table = [
        ("BGP_UP", BgpState::Up),
        ("bgp_up", BgpState::Up),
        ("BGP_DOWN", BgpState::Down),
        ("Bgp_Establishing", BgpState::Establishing),
        ("UP", BgpState::Unknown),
        (" BGP_UP", BgpState::Unknown),
        ("BGP_UPDATING", BgpState::Unknown),
    ];
    for (text, expected) in table {
        assert_eq!(state(text), expected, "{text}");
    }
}

#[test]
fn the_fsm_state_is_one_of_rfc_4271() {
    let fsm =
        |state: &str| one(json!({"bgp_status": {"state": "BGP_DOWN", "bgp_state": state}})).0.bgp_status.unwrap().fsm;
    let table = [
        ("Idle", FsmState::Idle),
        ("CONNECT", FsmState::Connect),
        ("active", FsmState::Active),
        ("OpenSent", FsmState::OpenSent),
        ("Open Sent", FsmState::OpenSent),
        ("open_confirm", FsmState::OpenConfirm),
        ("Established", FsmState::Established),
        ("bgp_state", FsmState::Other),
        ("none", FsmState::Other),
        ("", FsmState::None),
        ("é\u{0}", FsmState::Other),
    ];
    for (text, expected) in table {
        assert_eq!(fsm(text), expected, "{text:?}");
    }
}

#[test]
fn timestamps_may_have_any_fraction_and_offset_and_zero_means_absent() {
    let created = |text: &str| one(json!({"created_on": text})).0.created_on.map(|time| time.to_string());
    let table = [
        ("2025-03-13T12:00:26Z", Some("2025-03-13T12:00:26Z")),
        ("2025-03-13T12:00:26.09683Z", Some("2025-03-13T12:00:26.09683Z")),
        ("2025-03-13T12:00:21.139535Z", Some("2025-03-13T12:00:21.139535Z")),
        ("2025-03-13T12:00:47.054317925Z", Some("2025-03-13T12:00:47.054317925Z")),
        ("2025-03-13T12:00:00+05:30", Some("2025-03-13T06:30:00Z")),
        ("2025-03-13T12:00:00-11:00", Some("2025-03-13T23:00:00Z")),
        ("0001-01-01T00:00:00Z", None),
        ("2025-03-13T12:00:00", None),
        ("2025-02-30T12:00:00Z", None),
    ];
    for (text, expected) in table {
        assert_eq!(created(text).as_deref(), expected, "{text}");
    }
}

#[test]
fn prefixes_of_every_length_are_kept_as_stated() {
    for text in ["10.49.0.11/31", "10.252.2.29/30", "10.0.0.1/32", "1.1.1.1/30", "2606:54c1:7:0:a9fe:12d2:1:200/127"] {
        let (tunnel, unknown) = one(json!({"interface_address": text}));
        assert_eq!(tunnel.interface_address.to_string(), text);
        assert_eq!(unknown, []);
    }
    assert_eq!(one(json!({"interface_address": "10.0.0.1"})).0.interface_address.to_string(), "10.0.0.1/32");
}

#[test]
fn a_bad_tunnel_is_rejected_alone() {
    let listing = decode_ipsec(&json!([
        {"id": "good", "name": "first"},
        {"name": "no id"}, {"id": "", "name": "empty id"}, {"id": null, "name": "null id"}, {"id": 7, "name": "numeric id"},
        {"id": "x\ny", "name": "line break in id"}, {"id": "x".repeat(65), "name": "long id"},
        {"id": "nameless"}, {"id": "unnamed", "name": ""}, {"id": "misnamed", "name": ["list"]},
        5, null, "text", ["id", "name"],
        {"id": "good", "name": "second of one id"},
        {"id": "also-good", "name": "first"},
    ]));
    let kept: Vec<&str> = listing.tunnels.iter().map(|tunnel| tunnel.id.as_str()).collect();
    assert_eq!(kept, ["also-good", "good"], "names may repeat, ids may not");
    let reasons: Vec<(usize, RejectReason)> = listing.rejected.first().iter().map(|r| (r.index, r.reason)).collect();
    let expected = [
        (1, MissingId),
        (2, MissingId),
        (3, MissingId),
        (4, Malformed),
        (5, Malformed),
        (6, Malformed),
        (7, MissingName),
        (8, MissingName),
        (9, Malformed),
        (10, Malformed),
        (11, Malformed),
        (12, Malformed),
        (13, Malformed),
        (14, DuplicateId),
    ];
    assert_eq!(reasons, expected);
}

#[test]
fn an_object_that_names_a_field_twice_is_rejected_alone() {
    let body = br#"{"success":true,"result":{"ipsec_tunnels":[
        {"id":"a","id":"b","name":"twice"}, {"id":"c","name":"once"}]}}"#;
    let listing = decode_list(body, 200, TunnelType::Ipsec).unwrap();
    assert_eq!(listing.tunnels.len(), 1);
    assert_eq!(listing.rejected.first()[0].reason, RejectReason::Malformed);
}

#[test]
fn a_missing_or_null_list_is_an_empty_list() {
    for body in [
        r#"{"success":true,"result":{"ipsec_tunnels":[]}}"#,
        r#"{"success":true,"result":{"ipsec_tunnels":null}}"#,
        r#"{"success":true,"result":{}}"#,
        r#"{"success":true,"result":null}"#,
        r#"{"success":true,"errors":[{"code":1000,"message":"noise"}],"result":{"gre_tunnels":[{}]}}"#,
    ] {
        assert!(decode_list(body.as_bytes(), 200, TunnelType::Ipsec).unwrap().tunnels.is_empty(), "{body}");
    }
}

#[test]
fn every_invalid_body_has_a_reason() {
    use FailureReason::{Auth, Decode, NotEntitled, NotJson, RateLimited, Server};
    let table: [(&[u8], FailureReason); 17] = [
        (b"", NotJson),
        (b"  \n", NotJson),
        (b"<html>bad gateway</html>", NotJson),
        (b"error code: 502", NotJson),
        (br#"{"success":true,"result":{"ipsec_tunnels":[{"id":"a""#, Decode),
        (b"[1, 2]", Decode),
        (b"[true, [], {}]", Decode),
        (b"{}", Decode),
        (br#"{"success":"true"}"#, Decode),
        (br#"{"success":true,"result":[]}"#, Decode),
        (br#"{"success":true,"result":{"ipsec_tunnels":{}}}"#, Decode),
        (b"{\"success\":true,\"result\":{\"ipsec_tunnels\":[{\"id\":\"\xff\"}]}}", Decode),
        (br#"{"success":true,"result":{}} trailing"#, Decode),
        (br#"{"success":false,"errors":[]}"#, Server),
        (br#"{"success":false,"errors":[{"code":10000,"message":"Authentication error"}]}"#, Auth),
        (br#"{"success":false,"errors":[{"code":"1012"}]}"#, NotEntitled),
        (br#"{"success":false,"errors":[{"code":971}],"messages":[],"result":null}"#, RateLimited),
    ];
    for (body, expected) in table {
        assert_eq!(reason(body), expected, "{}", String::from_utf8_lossy(body));
    }
}

#[test]
fn deep_nesting_is_rejected() {
    let deep = format!("{}{}", r#"{"success":true,"result":"#, "[".repeat(100_000));
    assert_eq!(reason(deep.as_bytes()), FailureReason::Decode);
}

#[test]
fn a_failure_contains_no_part_of_the_body() {
    let body = br#"{"success":true,"result":{"ipsec_tunnels":[{"bgp":{"md5_key":"hunter2"}, "mtu": "hunter2" "#;
    let failure = decode_list(body, 200, TunnelType::Ipsec).unwrap_err();
    assert!(!format!("{failure} {failure:?}").contains("hunter2"));
}

/// Any JSON, with many of the field names of the API.
fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,12}".prop_map(Value::from),
        prop_oneof![Just("BGP_UP"), Just("10.0.0.1/31"), Just("2026-01-01T00:00:00Z")].prop_map(Value::from),
    ];
    let key = prop_oneof![
        prop_oneof![
            Just("id"),
            Just("name"),
            Just("bgp"),
            Just("bgp_status"),
            Just("state"),
            Just("health_check"),
            Just("target"),
            Just("mtu"),
            Just("interface_address"),
            Just("created_on"),
            Just("psk_metadata"),
            Just("customer_asn"),
            Just("md5_key"),
        ]
        .prop_map(str::to_owned),
        ".{0,6}",
    ];
    leaf.prop_recursive(4, 48, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::hash_map(key.clone(), inner, 0..8)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

/// A decoder that remembers one tunnel from the last good list.
fn remembering() -> ListDecoder<TunnelMembers> {
    let tunnel = decode_ipsec(&json!([tunnel(json!({}))])).tunnels.remove(0);
    let known = [InventoryEntry { tunnel, bgp_state_changes: 0, site: None, steering: None }];
    ListDecoder::tunnels(TunnelType::Ipsec, Arc::new(known))
}

fn after_a_list(body: &str, status: u16) -> Result<TunnelListing, ApiFailure> {
    let mut decoder = remembering();
    decoder.push(body.as_bytes()).map_err(ApiFailure::new)?;
    decoder.finish(status)
}

#[test]
fn a_missing_or_null_list_is_a_failure_after_a_list_with_tunnels() {
    for result in ["null", "{}", r#"{"ipsec_tunnels":null}"#, r#"{"gre_tunnels":[]}"#] {
        let failure = after_a_list(&format!(r#"{{"success":true,"result":{result}}}"#), 200).unwrap_err();
        assert_eq!((failure.reason, failure.status), (FailureReason::Decode, Some(200)), "{result}");
    }
    assert_eq!(after_a_list(r#"{"success":true}"#, 200).unwrap_err().reason, FailureReason::Decode);
    let empty = r#"{"success":true,"result":{"ipsec_tunnels":[]}}"#;
    assert!(after_a_list(empty, 200).unwrap().tunnels.is_empty(), "an explicit empty list is believed");
}

#[test]
fn only_status_200_is_believed_after_a_list_with_tunnels() {
    let body = String::from_utf8(list(&json!([tunnel(json!({}))]))).unwrap();
    for status in [201, 202, 206] {
        assert_eq!(after_a_list(&body, status).unwrap_err().reason, FailureReason::Decode, "{status}");
        assert_eq!(decode_list(body.as_bytes(), status, TunnelType::Ipsec).unwrap().tunnels.len(), 1, "{status}");
    }
    assert_eq!(after_a_list("", 204).unwrap_err().reason, FailureReason::Decode);
}

#[test]
fn a_list_with_fewer_members_than_its_total_count_is_a_failure() {
    let body = |total: &str| {
        format!(
            r#"{{"success":true,"result_info":{{"count":2,"total_count":{total}}},"result":{{"ipsec_tunnels":[
            {{"id":"a","name":"first"}}, {{"name":"rejected"}}]}}}}"#
        )
    };
    for (total, is_whole) in [("0", true), ("2", true), ("3", false), ("\"3\"", false), ("null", true), ("[]", true)] {
        let listing = decode_list(body(total).as_bytes(), 200, TunnelType::Ipsec);
        assert_eq!(
            listing.map_err(|failure| failure.reason).err(),
            (!is_whole).then_some(FailureReason::Decode),
            "{total}"
        );
    }
}

#[test]
fn a_tunnel_that_did_not_change_shares_the_memory_of_the_last_list() {
    let mut decoder = remembering();
    let known = Arc::clone(&decoder.members.known[0].tunnel);
    decoder.push(&list(&json!([tunnel(json!({})), {"id": "b", "name": "fra-1"}]))).unwrap();
    let listing = decoder.finish(200).unwrap();
    assert!(Arc::ptr_eq(&listing.tunnels[0], &known));
    assert_eq!(listing.tunnels[1].id.as_str(), "b");
    let mut decoder = remembering();
    decoder.push(&list(&json!([tunnel(json!({"mtu": 1400, "description": "new"}))]))).unwrap();
    assert_eq!(&*decoder.finish(200).unwrap().tunnels[0].description, "new");
}

/// Repeats `member` in a list until the decoder refuses it.
fn refusal_of(member: impl Fn(usize) -> String) -> (FailureReason, usize) {
    let mut decoder = ListDecoder::tunnels(TunnelType::Ipsec, Arc::default());
    decoder.push(br#"{"success":true,"result":{"ipsec_tunnels":["#).unwrap();
    for index in 0..=MAX_MEMBERS {
        if let Err(reason) = decoder.push((member(index) + ",").as_bytes()) {
            return (reason, index);
        }
    }
    panic!("{MAX_MEMBERS} members and one more are accepted")
}

#[test]
fn the_members_their_memory_and_the_body_have_limits() {
    assert_eq!(refusal_of(|_| "0".to_owned()), (FailureReason::TooLarge, MAX_MEMBERS));
    assert_eq!(refusal_of(|_| "1".repeat(1 << 20)), (FailureReason::TooLarge, 127), "the size of the body");
    let long = "x".repeat(100_000);
    let (reason, count) =
        refusal_of(|index| format!(r#"{{"id":"{index}","name":"{long}","interface_address":"{long}"}}"#));
    assert_eq!(reason, FailureReason::TooLarge);
    let memory = count * 200_000;
    assert!(memory <= MAX_TUNNEL_MEMORY && memory > MAX_TUNNEL_MEMORY - (1 << 20), "{count} members with 200 kB");
}

#[test]
fn the_limits_are_exact() {
    let start = br#"{"success":true,"result":{"ipsec_tunnels":["#;
    for (size, expected) in [(MAX_LIST_SIZE, Ok(())), (MAX_LIST_SIZE + 1, Err(FailureReason::TooLarge))] {
        let mut decoder = ListDecoder::tunnels(TunnelType::Ipsec, Arc::default());
        decoder.size = size - start.len();
        assert_eq!(decoder.push(start), expected, "{size} bytes");
    }
    // Three tunnels, each with an id and a name of one byte.
    let left = MAX_TUNNEL_MEMORY - 3 * (TUNNEL_MEMORY + 2);
    for (text_bytes, expected) in [(left, Ok(())), (left + 1, Err(FailureReason::TooLarge))] {
        let mut decoder = ListDecoder::tunnels(TunnelType::Ipsec, Arc::default());
        decoder.members.reader.text_bytes = text_bytes;
        decoder.push(start).unwrap();
        let results = ["a", "b", "c"].map(|id| decoder.push(format!(r#"{{"id":"{id}","name":"n"}},"#).as_bytes()));
        assert_eq!(results, [Ok(()), Ok(()), expected], "{text_bytes} bytes of texts before");
    }
}

#[test]
fn the_error_codes_are_part_of_the_failure() {
    let body = br#"{"success":false,"errors":[{"code":1012},{"code":10000}]}"#;
    assert_eq!(decode_list(body, 200, TunnelType::Ipsec).unwrap_err().codes, [1012, 10000]);
}

#[test]
fn an_id_is_kept_once_and_fields_that_cannot_be_read_are_counted() {
    let listing = decode_ipsec(&json!([
        {"id": "a", "name": "first", "mtu": "x", "interface_address": "?"},
        {"id": "b", "name": "second", "interface_address": "?"},
        {"id": "a", "name": "third", "interface_address": "?"},
    ]));
    assert_eq!(listing.tunnels.iter().map(|tunnel| &*tunnel.name).collect::<Vec<_>>(), ["first", "second"]);
    assert_eq!(listing.rejected.total(), 1);
    assert_eq!(listing.unknown.get(&F::InterfaceAddress), Some(&3));
}

#[test]
fn an_mtu_or_a_ttl_of_zero_is_not_set() {
    let body = br#"{"success":true,"result":{"gre_tunnels":[{"id":"a","name":"gre","mtu":0,"ttl":0}]}}"#;
    let listing = decode_list(body, 200, TunnelType::Gre).unwrap();
    assert_eq!(listing.tunnels[0].details, TunnelDetails::Gre(GreDetails { mtu: None, ttl: None }));
    assert!(listing.unknown.is_empty());
}

#[test]
fn a_hundred_thousand_tunnels_with_all_fields_are_within_the_limits() {
    let list = list(&json!([tunnel_with_all_fields()]));
    let mut decoder = ListDecoder::tunnels(TunnelType::Ipsec, Arc::default());
    decoder.push(&list).unwrap();
    let memory = TUNNEL_MEMORY + decoder.members.reader.text_bytes;
    assert!(list.len() * 100_000 < MAX_LIST_SIZE, "{} bytes", list.len());
    assert!(memory * 100_000 < MAX_TUNNEL_MEMORY, "{memory} bytes, {TUNNEL_MEMORY} without texts");
}

proptest! {
    #[test]
    fn a_body_is_decoded_in_the_same_way_in_pieces(
        members in prop::collection::vec(any_json(), 0..6),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..6),
    ) {
        let body = serde_json::to_vec_pretty(&serde_json::from_slice::<Value>(&list(&Value::from(members))).unwrap()).unwrap();
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(body.len())).collect();
        cuts.extend([0, body.len()]);
        cuts.sort_unstable();
        let mut decoder = ListDecoder::tunnels(TunnelType::Ipsec, Arc::default());
        for ends in cuts.windows(2) {
            decoder.push(&body[ends[0]..ends[1]]).unwrap();
        }
        let (in_pieces, whole) = (decoder.finish(200).unwrap(), decode_list(&body, 200, TunnelType::Ipsec).unwrap());
        prop_assert_eq!(in_pieces.tunnels, whole.tunnels);
        prop_assert_eq!(in_pieces.rejected, whole.rejected);
    }

    #[test]
    fn any_member_of_the_list_is_either_kept_or_rejected(members in prop::collection::vec(any_json(), 0..6)) {
        let listing = decode_ipsec(&Value::from(members.clone()));
        prop_assert_eq!(listing.tunnels.len() as u64 + listing.rejected.total(), members.len() as u64);
    }

    #[test]
    fn any_bytes_are_decoded_without_panic(body in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = decode_list(&body, 200, TunnelType::Gre);
    }

    #[test]
    fn any_cut_of_a_good_body_is_a_failure_and_not_a_shorter_list(cut in 1_usize..200) {
        let whole = list(&json!([tunnel(json!({"description": "x".repeat(100)})), {"id": "b", "name": "second"}]));
        prop_assert!(decode_list(&whole[..whole.len() - cut.min(whole.len())], 200, TunnelType::Ipsec).is_err());
    }
}
