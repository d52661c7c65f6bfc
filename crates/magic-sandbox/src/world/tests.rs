use std::time::Duration;

use hyper::Method;
use serde_json::{Value, json};

use super::*;
use crate::{request::PresentedCredentials, store::is_id, testing::TestApi};

const GET: Method = Method::GET;
const POST: Method = Method::POST;
const PUT: Method = Method::PUT;
const DELETE: Method = Method::DELETE;

fn ipsec(name: &str) -> Value {
    json!({"name": name, "cloudflare_endpoint": "203.0.113.1", "customer_endpoint": "198.51.100.1", "interface_address": "10.0.0.0/31"})
}

fn gre(name: &str) -> Value {
    json!({
        "name": name,
        "cloudflare_gre_endpoint": "203.0.113.1",
        "customer_gre_endpoint": "198.51.100.1",
        "interface_address": "10.0.1.0/31",
    })
}

/// Collection, key of one tunnel, a body that creates one.
type KindRow = (&'static str, &'static str, fn(&str) -> Value);

const KINDS: [KindRow; 2] = [("ipsec_tunnels", "ipsec_tunnel", ipsec), ("gre_tunnels", "gre_tunnel", gre)];

fn id_of(tunnel: &Value) -> String {
    tunnel["id"].as_str().unwrap().to_owned()
}

/// Code and pointer of the first error of a response that must have this error status.
fn first_error((status, response): (u16, Value), expected: u16) -> (u64, Option<String>) {
    assert_eq!(
        (status, &response["success"], &response["result"]),
        (expected, &Value::Bool(false), &Value::Null),
        "{response}"
    );
    let error = &response["errors"][0];
    assert!(!error["message"].as_str().unwrap().is_empty());
    (error["code"].as_u64().unwrap(), error["source"]["pointer"].as_str().map(str::to_owned))
}

#[test]
fn a_tunnel_is_created_shown_changed_and_deleted() {
    for (collection, item, body) in KINDS {
        let mut api = TestApi::empty();
        let created = api.expect_result(&POST, collection, &body("one"));
        let id = id_of(&created);
        assert!(is_id(&id));
        assert_eq!(api.list(collection), std::slice::from_ref(&created));
        let path = format!("{collection}/{id}");
        assert_eq!(api.expect_result(&GET, &path, &Value::Null)[item], created);

        api.advance_clock(Duration::from_secs(1));
        let mut change = body("two");
        change["description"] = json!("changed");
        let updated = api.expect_result(&PUT, &path, &change);
        assert_eq!(updated["modified"], true);
        let modified = updated[format!("modified_{item}")].clone();
        assert_eq!((&modified["name"], &modified["description"]), (&json!("two"), &json!("changed")));
        assert_eq!(modified["created_on"], created["created_on"]);
        assert!(modified["modified_on"].as_str() > created["modified_on"].as_str());
        assert_eq!(api.list(collection), std::slice::from_ref(&modified));

        let deleted = api.expect_result(&DELETE, &path, &Value::Null);
        assert_eq!((&deleted["deleted"], &deleted[format!("deleted_{item}")]), (&json!(true), &modified));
        assert!(api.list(collection).is_empty());
    }
}

#[test]
fn an_update_resets_omitted_fields_to_their_defaults() {
    let mut api = TestApi::empty();
    let mut body = gre("one");
    body["mtu"] = json!(1400);
    body["description"] = json!("first");
    let created = api.expect_result(&POST, "gre_tunnels", &body);
    assert_eq!(created["mtu"], 1400);
    let updated = api.expect_result(&PUT, &format!("gre_tunnels/{}", id_of(&created)), &gre("one"));
    let updated = &updated["modified_gre_tunnel"];
    assert_eq!((&updated["mtu"], &updated["ttl"], updated.get("description")), (&json!(1476), &json!(64), None));
}

#[test]
fn the_defaults_are_those_of_the_reference() {
    let mut api = TestApi::empty();
    let created = api.expect_result(&POST, "ipsec_tunnels", &ipsec("one"));
    let target = json!({"saved": "", "effective": "10.0.0.1"});
    let check =
        json!({"enabled": true, "rate": "mid", "type": "reply", "direction": "bidirectional", "target": target});
    assert_eq!(created["health_check"], check);
    assert_eq!((&created["replay_protection"], &created["allow_null_cipher"]), (&json!(false), &json!(false)));
    for absent in ["bgp", "bgp_status", "psk_metadata", "description", "interface_address6", "custom_remote_identities"]
    {
        assert_eq!(created.get(absent), None, "{absent}");
    }
}

#[test]
fn the_effective_target_follows_the_documented_rule() {
    let mut api = TestApi::empty();
    for (direction, interface, saved, effective) in [
        ("bidirectional", "10.0.0.0/31", "", "10.0.0.1"),
        ("bidirectional", "10.0.0.1/31", "", "10.0.0.0"),
        ("bidirectional", "10.0.0.1/30", "", "10.0.0.2"),
        ("bidirectional", "10.0.0.2/30", "", "10.0.0.1"),
        ("bidirectional", "10.0.0.0/31", "203.0.113.9", "10.0.0.1"),
        ("unidirectional", "10.0.0.0/31", "", "198.51.100.1"),
        ("unidirectional", "10.0.0.0/31", "203.0.113.9", "203.0.113.9"),
    ] {
        let mut body = ipsec("any");
        body["interface_address"] = json!(interface);
        body["health_check"] = json!({"direction": direction, "target": {"saved": saved}});
        let shown = api.expect_result(&POST, "ipsec_tunnels?validate_only=true", &body);
        let expected = json!({"saved": saved, "effective": effective});
        assert_eq!(shown["health_check"]["target"], expected, "{direction} {interface} {saved}");
    }
    let mut body = ipsec("no endpoint");
    body["customer_endpoint"] = Value::Null;
    body["health_check"] = json!({"direction": "unidirectional"});
    let shown = api.expect_result(&POST, "ipsec_tunnels?validate_only=true", &body);
    assert_eq!(shown["health_check"]["target"], json!({"saved": "", "effective": ""}));
}

#[test]
fn an_update_of_many_applies_to_all_tunnels_or_to_none() {
    for (collection, item, body) in KINDS {
        let mut api = TestApi::empty();
        let ids: Vec<_> = ["a", "b", "c"].map(|name| id_of(&api.expect_result(&POST, collection, &body(name)))).into();
        let with_id = |id: &str, name: &str| {
            let mut body = body(name);
            body["id"] = json!(id);
            body
        };
        let names = |api: &mut TestApi| -> Vec<String> {
            api.list(collection).iter().map(|tunnel| tunnel["name"].as_str().unwrap().to_owned()).collect()
        };
        let pointer = |position: usize, field: &str| Some(format!("/{collection}/{position}{field}"));

        let swap = json!({collection: [with_id(&ids[0], "b"), with_id(&ids[1], "a")]});
        let done = api.expect_result(&PUT, collection, &swap);
        assert_eq!(
            (&done["modified"], &done[format!("modified_{collection}")][0]["name"]),
            (&json!(true), &json!("b"))
        );
        assert_eq!(names(&mut api), ["b", "a", "c"]);

        let mut attempt = |list: Value| first_error(api.send_magic(&PUT, collection, &json!({collection: list})), 400);
        let clash = attempt(json!([with_id(&ids[0], "new"), with_id(&ids[1], "c")]));
        assert_eq!(clash, (1103, pointer(1, "/name")));
        let same = attempt(json!([with_id(&ids[0], "new"), with_id(&ids[1], "new")]));
        assert_eq!(same, (1103, pointer(1, "/name")));
        let twice = attempt(json!([with_id(&ids[0], "new"), with_id(&ids[0], "other")]));
        assert_eq!(twice, (1121, pointer(1, "/id")));
        let mut wrong = with_id(&ids[1], "d");
        wrong["interface_address"] = json!("x");
        assert_eq!(attempt(json!([with_id(&ids[0], "new"), wrong])), (1107, pointer(1, "/interface_address")));
        assert_eq!(attempt(json!([body("no id")])), (1101, pointer(0, "/id")));
        assert_eq!(attempt(json!([7])), (1102, pointer(0, "")));
        assert_eq!(attempt(json!(7)), (1102, Some(format!("/{collection}"))));
        assert_eq!(attempt(Value::Null), (1101, Some(format!("/{collection}"))));
        let unknown = json!({collection: [with_id(&ids[0], "new"), with_id(&"f".repeat(32), "x")]});
        let code = if item == "gre_tunnel" { 1029 } else { 1032 };
        assert_eq!(first_error(api.send_magic(&PUT, collection, &unknown), 404), (code, pointer(1, "/id")));
        assert_eq!(names(&mut api), ["b", "a", "c"], "a rejected update must change nothing");
    }
}

#[test]
fn validate_only_checks_everything_and_changes_nothing() {
    for (collection, item, body) in KINDS {
        let mut api = TestApi::empty();
        let one = api.expect_result(&POST, collection, &body("one"));
        let path = format!("{collection}/{}?validate_only=true", id_of(&one));
        let all = format!("{collection}?validate_only=true");
        let mut many = body("two");
        many["id"] = one["id"].clone();

        assert_eq!(api.expect_result(&POST, &all, &body("two"))["name"], "two");
        assert_eq!(api.expect_result(&PUT, &path, &body("two"))["modified"], false);
        assert_eq!(api.expect_result(&PUT, &path, &body("two"))[format!("modified_{item}")]["name"], "two");
        assert_eq!(api.expect_result(&PUT, &all, &json!({collection: [many]}))["modified"], false);
        assert_eq!(api.expect_result(&DELETE, &path, &Value::Null)["deleted"], false);
        assert_eq!(first_error(api.send_magic(&POST, &all, &body("one")), 400).0, 1103);
        assert_eq!(first_error(api.send_magic(&PUT, &path, &json!({})), 400).0, 1101);
        assert_eq!(api.list(collection), [one]);
    }
    let mut api = TestApi::empty();
    let one = api.expect_result(&POST, "ipsec_tunnels", &ipsec("one"));
    let path = format!("ipsec_tunnels/{}/psk_generate?validate_only=true", id_of(&one));
    assert_eq!(api.expect_result(&POST, &path, &Value::Null).get("psk"), None);
    assert_eq!(api.list("ipsec_tunnels"), [one]);
}

#[test]
fn a_generated_key_is_shown_once() {
    let mut api = TestApi::empty();
    let one = api.expect_result(&POST, "ipsec_tunnels", &ipsec("one"));
    assert_eq!(one.get("psk_metadata"), None);
    let path = format!("ipsec_tunnels/{}", id_of(&one));
    let made = api.expect_result(&POST, &format!("{path}/psk_generate"), &Value::Null);
    let psk = made["psk"].as_str().unwrap().to_owned();
    assert_eq!((psk.len(), &made["ipsec_tunnel_id"]), (32, &one["id"]));
    let again = api.expect_result(&POST, &format!("{path}/psk_generate"), &Value::Null);
    assert_ne!(again["psk"], made["psk"]);

    let mut given = ipsec("two");
    given["psk"] = json!("O3bwKSjnaoCxDoUxjcq4Rk8ZKkezQUiy");
    let two = api.expect_result(&POST, "ipsec_tunnels", &given);
    assert!(two["psk_metadata"]["last_generated_on"].is_string());
    for (path, field) in
        [(path.as_str(), "/ipsec_tunnel/psk_metadata"), ("ipsec_tunnels", "/ipsec_tunnels/0/psk_metadata")]
    {
        let shown = api.expect_result(&GET, path, &Value::Null);
        assert!(shown.pointer(field).unwrap()["last_generated_on"].is_string());
        assert!(!shown.to_string().contains(&psk) && !shown.to_string().contains("\"psk\""));
    }
    let world = format!("{:?} {}", api.world, api.world.calls.json());
    assert!(!world.contains(&psk) && !world.contains("O3bwKSjnaoCx"), "a key is stored somewhere");
}

#[test]
fn no_secret_is_in_any_debug_output() {
    let mut api =
        TestApi::new(SandboxSettings { token: Some("token".to_owned().into()), ..SandboxSettings::default() });
    let mut body = ipsec("secretive");
    body["bgp"] = json!({"customer_asn": 1, "md5_key": "swordfish"});
    assert_eq!(api.expect_result(&POST, "ipsec_tunnels", &body)["bgp"]["md5_key"], "swordfish");
    api.list("ipsec_tunnels");
    let debug = format!("{:?}", api.world);
    assert!(debug.contains("secretive") && debug.contains("accepted: Some(SecretBox<str>([REDACTED]))"));
    assert!(!debug.contains("swordfish"));
}

#[test]
fn names_are_unique_over_both_kinds_and_custom_fqdns_per_endpoint() {
    let mut api = TestApi::empty();
    let one = api.expect_result(&POST, "ipsec_tunnels", &ipsec("one"));
    let taken = (1103, Some("/name".to_owned()));
    assert_eq!(first_error(api.send_magic(&POST, "ipsec_tunnels", &ipsec("one")), 400), taken);
    assert_eq!(first_error(api.send_magic(&POST, "gre_tunnels", &gre("one")), 400), taken);
    let two = api.expect_result(&POST, "gre_tunnels", &gre("two"));
    let path = format!("gre_tunnels/{}", id_of(&two));
    assert_eq!(first_error(api.send_magic(&PUT, &path, &gre("one")), 400), taken);
    api.expect_result(&PUT, &path, &gre("two"));
    api.expect_result(&DELETE, &format!("ipsec_tunnels/{}", id_of(&one)), &Value::Null);
    api.expect_result(&PUT, &path, &gre("one"));

    let fqdn = format!("site.{}.custom.ipsec.cloudflare.com", api.account);
    let with_fqdn = |name: &str, endpoint: &str| {
        let mut body = ipsec(name);
        body["cloudflare_endpoint"] = json!(endpoint);
        body["custom_remote_identities"] = json!({"fqdn_id": fqdn});
        body
    };
    let first = api.expect_result(&POST, "ipsec_tunnels", &with_fqdn("a", "203.0.113.1"));
    assert_eq!(first["custom_remote_identities"]["fqdn_id"], fqdn);
    let clash = (1116, Some("/custom_remote_identities/fqdn_id".to_owned()));
    assert_eq!(first_error(api.send_magic(&POST, "ipsec_tunnels", &with_fqdn("b", "203.0.113.1")), 400), clash);
    let second = api.expect_result(&POST, "ipsec_tunnels", &with_fqdn("b", "203.0.113.2"));
    let path = format!("ipsec_tunnels/{}", id_of(&second));
    assert_eq!(first_error(api.send_magic(&PUT, &path, &with_fqdn("b", "203.0.113.1")), 400), clash);
    api.expect_result(&PUT, &path, &with_fqdn("b", "203.0.113.2"));
}

#[test]
fn bgp_starts_establishing_and_comes_up_after_a_moment() {
    let mut api = TestApi::empty();
    let mut body = ipsec("one");
    body["bgp"] = json!({"customer_asn": 65000, "extra_prefixes": ["10.1.0.0/16"]});
    let status = api.expect_result(&POST, "ipsec_tunnels", &body)["bgp_status"].clone();
    assert_eq!(
        (&status["state"], &status["tcp_established"], &status["bgp_state"]),
        (&json!("BGP_ESTABLISHING"), &json!(false), &json!("Connect"))
    );
    assert_eq!((&status["cf_speaker_ip"], &status["customer_speaker_ip"]), (&json!("10.0.0.0"), &json!("10.0.0.1")));
    assert_eq!(status.get("customer_speaker_port"), None);
    api.advance_clock(Duration::from_secs(4));
    let up = api.list("ipsec_tunnels")[0]["bgp_status"].clone();
    assert_eq!(
        (&up["state"], &up["tcp_established"], &up["bgp_state"], &up["cf_speaker_port"]),
        (&json!("BGP_UP"), &json!(true), &json!("Established"), &json!(179))
    );
    assert!(up["updated_at"].as_str() > status["updated_at"].as_str());
    api.advance_clock(Duration::from_secs(31));
    let later = api.list("ipsec_tunnels")[0]["bgp_status"].clone();
    assert_eq!(later["state"], "BGP_UP");
    assert!(later["updated_at"].as_str() > up["updated_at"].as_str(), "the status is refreshed without a change");
}

#[test]
fn a_session_restarts_only_when_its_parameters_change() {
    let mut api = TestApi::empty();
    let mut body = gre("one");
    body["bgp"] = json!({"customer_asn": 65000});
    let path = format!("gre_tunnels/{}", id_of(&api.expect_result(&POST, "gre_tunnels", &body)));
    let mut update = |change: fn(&mut Value)| {
        api.advance_clock(Duration::from_secs(10));
        change(&mut body);
        let done = api.expect_result(&PUT, &path, &body);
        done["modified_gre_tunnel"]["bgp_status"]["state"].clone()
    };
    assert_eq!(update(|body| body["description"] = json!("new")), "BGP_UP");
    assert_eq!(update(|body| body["bgp"]["customer_asn"] = json!(65001)), "BGP_ESTABLISHING");
    assert_eq!(update(|body| body["bgp"]["md5_key"] = json!("key")), "BGP_ESTABLISHING");
    assert_eq!(update(|body| body["interface_address"] = json!("10.0.9.0/31")), "BGP_ESTABLISHING");
    assert_eq!(update(|_| ()), "BGP_UP");
    assert_eq!(update(|body| body["bgp"] = Value::Null), Value::Null);
}

#[test]
fn the_bgp_status_can_be_set() {
    let mut api = TestApi::empty();
    let mut body = gre("one");
    body["bgp"] = json!({"customer_asn": 65000});
    let id = id_of(&api.expect_result(&POST, "gre_tunnels", &body));
    api.expect_result(&POST, "gre_tunnels", &gre("static"));
    let account = api.account.clone();
    let path = |tunnel: &str| format!("/sandbox/accounts/{account}/tunnels/{tunnel}/bgp_status");
    let mut put = |tunnel: &str, body: &str| api.send(&PUT, &path(tunnel), body);

    assert_eq!(put(&id, r#"{"state":"BGP_DOWN"}"#).1["bgp_status"]["state"], "BGP_DOWN");
    assert_eq!(put("one", r#"{"state":"bgp_establishing","tcp_established":true,"bgp_state":"OpenSent"}"#).0, 200);
    let at = "2026-01-02T03:04:05.5Z";
    assert_eq!(put("one", &format!(r#"{{"state":"up","updated_at":"{at}"}}"#)).0, 200);
    assert_eq!(first_error(put("one", r#"{"state":"sideways"}"#), 400).0, 1100);
    assert_eq!(first_error(put("one", r#"{"state":"up","port":1}"#), 400).0, 1100);
    assert_eq!(first_error(put("one", r#"{"state":"up","updated_at":"now"}"#), 400).0, 1100);
    assert_eq!(first_error(put("one", r#"{"tcp_established":true}"#), 400).0, 1100);
    assert_eq!(first_error(put("one", "up"), 400).0, 6007);
    assert_eq!(first_error(put("static", r#"{"state":"up"}"#), 400).0, 1100);
    assert_eq!(first_error(put("missing", r#"{"state":"up"}"#), 404).0, 1100);

    api.advance_clock(Duration::from_mins(2));
    let status = &api.list("gre_tunnels")[0]["bgp_status"];
    assert_eq!(
        (&status["state"], &status["updated_at"]),
        (&json!("BGP_UP"), &json!("2026-01-02T03:04:05.500000Z")),
        "a reported time does not advance"
    );
}

#[test]
fn a_percent_encoded_name_finds_its_tunnel() {
    let mut api = TestApi::empty();
    for (name, encoded) in [("a b", "a%20b"), ("é", "%C3%A9"), ("50%", "50%"), ("a/b", "a%2Fb")] {
        let mut body = ipsec(name);
        body["bgp"] = json!({"customer_asn": 65000});
        let id = id_of(&api.expect_result(&POST, "ipsec_tunnels", &body));
        let path = format!("/sandbox/accounts/{}/tunnels/{encoded}/bgp_status", api.account);
        let (status, shown) = api.send(&PUT, &path, r#"{"state":"BGP_DOWN"}"#);
        assert_eq!((status, &shown["id"]), (200, &json!(id)), "{encoded}: {shown}");
    }
}

#[test]
fn unknown_paths_and_ids_get_the_errors_of_the_real_api() {
    let mut api = TestApi::empty();
    let account = api.account.clone();
    let unknown = "f".repeat(32);
    let here = |path: &str| format!("/client/v4/accounts/{account}/magic/{path}");
    for (method, path, status, code) in [
        (&GET, here(&format!("ipsec_tunnels/{unknown}")), 404, 1032),
        (&PUT, here(&format!("ipsec_tunnels/{unknown}")), 404, 1032),
        (&DELETE, here(&format!("ipsec_tunnels/{unknown}")), 404, 1032),
        (&POST, here(&format!("ipsec_tunnels/{unknown}/psk_generate")), 404, 1032),
        (&GET, here(&format!("gre_tunnels/{unknown}")), 404, 1029),
        (&GET, here("gre_tunnels/not-an-id"), 404, 7003),
        (&GET, here("carrier_pigeons"), 404, 7003),
        (&GET, here("gre_tunnels/"), 404, 7003),
        (&POST, here(&format!("gre_tunnels/{unknown}/psk_generate")), 404, 7003),
        (&GET, "/client/v4/accounts/123/magic/gre_tunnels".to_owned(), 404, 7003),
        (&GET, format!("/client/v4/accounts/{unknown}/magic/gre_tunnels"), 403, 9109),
        (&GET, "/client/v4/zones".to_owned(), 404, 7003),
        (&GET, "/".to_owned(), 404, 7003),
        (&GET, "/sandbox/nothing".to_owned(), 404, 7003),
        (&DELETE, here("gre_tunnels"), 405, 7001),
        (&POST, here(&format!("gre_tunnels/{unknown}")), 405, 7001),
        (&GET, here(&format!("ipsec_tunnels/{unknown}/psk_generate")), 405, 7001),
        (&POST, "/client/v4/user/tokens/verify".to_owned(), 405, 7001),
        (&POST, "/sandbox/faults".to_owned(), 405, 7001),
        (&POST, "/sandbox/calls".to_owned(), 405, 7001),
        (&GET, "/sandbox/accounts/a/tunnels/b/bgp_status".to_owned(), 405, 7001),
    ] {
        assert_eq!(first_error(api.send(method, &path, "{}"), status).0, code, "{method} {path}");
    }
}

#[test]
fn bodies_that_are_not_an_object_are_rejected() {
    for (collection, _, body) in KINDS {
        let mut api = TestApi::empty();
        let id = id_of(&api.expect_result(&POST, collection, &body("one")));
        for (method, path) in
            [(&POST, collection.to_owned()), (&PUT, collection.to_owned()), (&PUT, format!("{collection}/{id}"))]
        {
            let path = format!("/client/v4/accounts/{}/magic/{path}", api.account);
            for (text, code) in
                [("", 6007), ("{", 6007), ("name=one", 6007), ("[]", 1102), ("null", 1102), ("\"a\"", 1102)]
            {
                assert_eq!(first_error(api.send(method, &path, text), 400).0, code, "{method} {path} {text:?}");
            }
        }
    }
}

#[test]
fn every_path_of_the_api_requires_credentials() {
    let mut api = TestApi::empty();
    let account = api.account.clone();
    for path in ["magic/gre_tunnels", "magic/ipsec_tunnels", "magic/nothing", "tokens/verify"] {
        let mut request = api.request(&GET, &format!("/client/v4/accounts/{account}/{path}"), "");
        request.credentials = PresentedCredentials::None;
        let response = api.respond(&request);
        assert_eq!(response.status, 401, "{path}");
        assert!(String::from_utf8(response.body).unwrap().contains("10000"));
    }
    assert_eq!(api.send(&GET, "/client/v4/user/tokens/verify", "").1["result"]["status"], "active");
    assert_eq!(api.send(&GET, &format!("/client/v4/accounts/{account}/tokens/verify"), "").0, 200);
}

#[test]
fn an_account_without_magic_wan_gets_error_1012() {
    let story = "accounts:\n  - {name: bare, onboarded: false}\n";
    let mut api = TestApi::with_story(Story::parse("bare.yml", story).unwrap());
    assert_eq!(first_error(api.send_magic(&GET, "gre_tunnels", &Value::Null), 403).0, 1012);
}

#[test]
fn calls_are_counted_and_listed_without_credentials() {
    let mut api = TestApi::empty();
    api.list("gre_tunnels");
    api.send_magic(&GET, "nothing?validate_only=true", &Value::Null);
    api.send(&PUT, "/sandbox/faults", r#"{"faults":[{"count":1,"fault":{"status":{"code":503}}}]}"#);
    let request = api.request(&GET, &format!("/client/v4/accounts/{}/magic/gre_tunnels", api.account.clone()), "");
    api.respond(&request);
    let (_, calls) = api.send(&GET, "/sandbox/calls", "");
    assert_eq!(calls["total"], 3, "control requests are not counted: {calls}");
    let statuses: Vec<_> =
        calls["calls"].as_array().unwrap().iter().map(|request| request["status"].as_u64().unwrap()).collect();
    assert_eq!(statuses, [200, 404, 503]);
    assert_eq!((&calls["calls"][2]["fault"], &calls["calls"][0]["credentials"]), (&json!("status"), &json!("token")));
    assert_eq!(calls["calls"][1]["query"], "validate_only=true");
    assert_eq!(api.send(&DELETE, "/sandbox/calls", "").1["total"], 0);
}

#[test]
fn faults_are_set_shown_and_cleared() {
    let mut api = TestApi::empty();
    let put = r#"{"faults":[{"collection":"gre_tunnels","count":3,"fault":"forbidden"}]}"#;
    assert_eq!(api.send(&PUT, "/sandbox/faults", put).1["faults"][0]["fault"], "forbidden");
    assert_eq!(first_error(api.send_magic(&GET, "gre_tunnels", &Value::Null), 403).0, 10000);
    assert!(api.list("ipsec_tunnels").is_empty(), "the other collection is not affected");
    assert_eq!(api.send(&GET, "/sandbox/faults", "").1["faults"][0]["count"], 2);
    assert_eq!(first_error(api.send(&PUT, "/sandbox/faults", "{}"), 400).0, 1100);
    assert_eq!(
        api.send(&GET, "/sandbox/faults", "").1["faults"][0]["count"],
        2,
        "a rejected change must change nothing"
    );
    api.send(&DELETE, "/sandbox/faults", "");
    assert!(api.list("gre_tunnels").is_empty());
}

#[test]
fn a_fault_that_replaces_the_response_skips_the_operation() {
    let mut api = TestApi::empty();
    let put = r#"{"faults":[{"method":"POST","count":1,"fault":{"status":{"code":503}}}]}"#;
    api.send(&PUT, "/sandbox/faults", put);
    let request = api.request(
        &POST,
        &format!("/client/v4/accounts/{}/magic/gre_tunnels", api.account.clone()),
        &gre("one").to_string(),
    );
    assert_eq!(api.respond(&request).status, 503);
    assert!(api.list("gre_tunnels").is_empty());
    assert_eq!(api.respond(&request).status, 200);
    assert_eq!(api.list("gre_tunnels").len(), 1);
}

#[test]
fn the_envelope_has_the_key_order_of_a_recorded_body() {
    let mut api = TestApi::empty();
    let request = api.request(&GET, &format!("/client/v4/accounts/{}/magic/gre_tunnels", api.account.clone()), "");
    let body = String::from_utf8(api.respond(&request).body).unwrap();
    assert_eq!(body, r#"{"result":{"gre_tunnels":[]},"success":true,"errors":[],"messages":[]}"#);
}

#[test]
fn generated_tunnels_are_valid_and_use_loopback_addresses() {
    let mut api = TestApi::new(SandboxSettings { story: Story::empty(), tunnels: 1000, ..SandboxSettings::default() });
    for (collection, _, _) in KINDS {
        let list = api.list(collection);
        assert_eq!(list.len(), 500);
        for tunnel in &list {
            let path = format!("{collection}/{}?validate_only=true", id_of(tunnel));
            api.expect_result(&PUT, &path, tunnel);
            for address in ["interface_address", "customer_endpoint", "customer_gre_endpoint"] {
                let address = tunnel.get(address).and_then(Value::as_str);
                assert!(
                    address.is_none_or(|address| address.starts_with("127.")),
                    "pings must not leave the machine: {tunnel}"
                );
            }
        }
    }
}

#[test]
fn the_overview_names_accounts_and_tunnels() {
    let mut api = TestApi::new(SandboxSettings::default());
    let (status, overview) = api.send(&GET, "/sandbox", "");
    assert_eq!((status, &overview["accounts"][0]["id"]), (200, &json!(api.account)));
    let tunnels = overview["accounts"][0]["tunnels"].as_array().unwrap();
    let mad = tunnels.iter().find(|tunnel| tunnel["name"] == "mad-gre-1").unwrap();
    assert_eq!((&mad["type"], &mad["bgp_state"]), (&json!("gre"), &json!("BGP_DOWN")));
}
