use hyper::Method;
use serde_json::{Value, json};

use crate::{SandboxSettings, Story, testing::TestApi};

const GET: Method = Method::GET;
const POST: Method = Method::POST;
const PUT: Method = Method::PUT;
const DELETE: Method = Method::DELETE;

fn route() -> Value {
    json!({"prefix": "10.0.0.0/8", "nexthop": "10.1.1.1", "priority": 100})
}

fn with(mut body: Value, changes: Value) -> Value {
    let Value::Object(changes) = changes else { panic!("changes must be an object") };
    body.as_object_mut().unwrap().extend(changes);
    body
}

/// One account with a tunnel `taken` and two interconnects, `old` of version 1.5 and `new` of version 2.
fn interconnects() -> TestApi {
    let story = "
accounts:
  - name: lab
    tunnels:
      - type: gre
        name: taken
        cloudflare_gre_endpoint: 198.51.100.1
        customer_gre_endpoint: 203.0.113.1
        interface_address: 10.0.0.0/31
    interconnects:
      - name: old
        version: '1.5'
        colo_name: pni_ord
        interface_address: 10.0.0.2/31
        health_check: {source: 198.41.199.225}
        bgp: {customer_asn: 65010, md5_key: not-logged}
      - {name: new, interface_address: 10.0.0.5/30, gre: {cloudflare_endpoint: 198.51.100.2}}
";
    TestApi::with_story(Story::parse("lab.yml", story).unwrap())
}

fn listed(api: &mut TestApi) -> Vec<Value> {
    let mut result = api.expect_result(&GET, "cf_interconnects", &Value::Null);
    serde_json::from_value(result["interconnects"].take()).unwrap()
}

/// Code and pointer of each error of a request that must be refused.
fn refusal(api: &mut TestApi, method: &Method, path: &str, body: &Value) -> Vec<(u64, String)> {
    let (status, response) = api.send_magic(method, path, body);
    assert_eq!((status, &response["success"]), (400, &json!(false)), "{response}");
    let errors = response["errors"].as_array().unwrap().iter();
    let read = |error: &Value| (error["code"].as_u64(), error["source"]["pointer"].as_str().map(str::to_owned));
    errors.map(read).map(|(code, pointer)| (code.unwrap(), pointer.unwrap())).collect()
}

#[test]
fn a_route_is_created_shown_changed_and_deleted() {
    let mut api = TestApi::empty();
    let body = with(route(), json!({"weight": 10, "scope": {"colo_regions": ["APAC"]}, "description": "test"}));
    let created = api.expect_result(&POST, "routes", &body);
    let id = created["id"].as_str().unwrap().to_owned();
    assert_eq!(created["created_on"], created["modified_on"]);
    assert_eq!((&created["weight"], &created["scope"]), (&json!(10), &json!({"colo_regions": ["APAC"]})));
    assert_eq!(api.list("routes"), std::slice::from_ref(&created));
    let one = format!("routes/{id}");
    assert_eq!(api.expect_result(&GET, &one, &Value::Null), json!({"route": created}));

    api.advance_clock(std::time::Duration::from_secs(1));
    let updated = api.expect_result(&PUT, &one, &with(route(), json!({"priority": 200})));
    let route = &updated["modified_route"];
    assert_eq!((&updated["modified"], &route["priority"], &route["id"]), (&json!(true), &json!(200), &json!(id)));
    assert_ne!(route["created_on"], route["modified_on"]);
    assert!(route.get("weight").is_none() && route.get("scope").is_none(), "omitted fields are reset: {route}");

    let deleted = api.expect_result(&DELETE, &one, &Value::Null);
    assert_eq!((&deleted["deleted"], &deleted["deleted_route"]["id"]), (&json!(true), &json!(id)));
    let (status, response) = api.send_magic(&GET, &one, &Value::Null);
    assert_eq!((status, &response["errors"][0]["code"]), (404, &json!(1020)));
}

#[test]
fn each_rule_for_routes_names_the_wrong_field() {
    let mut api = TestApi::empty();
    let all = refusal(&mut api, &POST, "routes", &json!({}));
    assert_eq!(all, [(1101, "/prefix".to_owned()), (1101, "/nexthop".into()), (1101, "/priority".into())]);
    for (changes, code, pointer) in [
        (json!({"prefix": "10.0.0.0"}), 1122, "/prefix"),
        (json!({"prefix": "10.0.0.0/33"}), 1122, "/prefix"),
        (json!({"nexthop": "router"}), 1106, "/nexthop"),
        (json!({"priority": -1}), 1123, "/priority"),
        (json!({"priority": 1.5}), 1123, "/priority"),
        (json!({"priority": "100"}), 1102, "/priority"),
        (json!({"weight": -1}), 1124, "/weight"),
        (json!({"scope": ["APAC"]}), 1102, "/scope"),
        (json!({"scope": {"colo_names": [1]}}), 1102, "/scope/colo_names"),
        (json!({"description": 1}), 1102, "/description"),
    ] {
        let errors = refusal(&mut api, &POST, "routes", &with(route(), changes.clone()));
        assert_eq!(errors, [(code, pointer.to_owned())], "{changes}");
    }
    assert!(api.list("routes").is_empty());
}

#[test]
fn routes_of_equal_prefix_and_of_both_families_are_accepted() {
    let mut api = TestApi::empty();
    for changes in [
        json!({}),
        json!({"nexthop": "10.1.1.3"}),
        json!({"nexthop": "10.1.1.5/32"}),
        json!({"prefix": "2001:db8::/32", "nexthop": "2001:db8::1"}),
        json!({"prefix": "0.0.0.0/0", "priority": 0, "weight": 0}),
    ] {
        api.expect_result(&POST, "routes", &with(route(), changes));
    }
    assert_eq!(api.list("routes").len(), 5);
    assert_eq!(api.list("routes")[2]["nexthop"], "10.1.1.5/32");
}

#[test]
fn an_update_of_many_routes_applies_to_all_or_to_none() {
    let mut api = TestApi::empty();
    let ids: Vec<_> =
        (0..2).map(|_| api.expect_result(&POST, "routes", &route())["id"].as_str().unwrap().to_owned()).collect();
    let update = |id: &str, priority: i64| with(route(), json!({"id": id, "priority": priority}));

    let both = json!({"routes": [update(&ids[1], 7), update(&ids[0], 8)]});
    let result = api.expect_result(&PUT, "routes", &both);
    assert_eq!((&result["modified"], &result["modified_routes"][0]["id"]), (&json!(true), &json!(ids[1])));
    let priorities = |api: &mut TestApi| api.list("routes").iter().map(|route| route["priority"].clone()).collect();
    let after: Vec<Value> = priorities(&mut api);
    assert_eq!(after, [8, 7]);

    let wrong = json!({"routes": [update(&ids[0], 9), update(&ids[1], -1), update(&ids[0], 1), {"id": 4}, 5]});
    let expected = [(1123, "/routes/1/priority"), (1121, "/routes/2/id"), (1102, "/routes/3/id"), (1102, "/routes/4")];
    assert_eq!(refusal(&mut api, &PUT, "routes", &wrong), expected.map(|(code, at)| (code, at.to_owned())));
    let missing = json!({"routes": [update(&ids[0], 9), update(&"0".repeat(32), 9)]});
    let (status, response) = api.send_magic(&PUT, "routes", &missing);
    assert_eq!((status, &response["errors"][0]["source"]["pointer"]), (404, &json!("/routes/1/id")));
    assert_eq!(refusal(&mut api, &PUT, "routes", &json!({})), [(1101, "/routes".to_owned())]);
    let unchanged: Vec<Value> = priorities(&mut api);
    assert_eq!(unchanged, [8, 7]);
}

#[test]
fn many_routes_are_deleted_by_id_or_all_at_once() {
    let mut api = TestApi::empty();
    let ids: Vec<_> =
        (0..3).map(|_| api.expect_result(&POST, "routes", &route())["id"].as_str().unwrap().to_owned()).collect();
    let result = api.expect_result(&DELETE, "routes", &json!({"routes": [{"id": ids[1]}]}));
    assert_eq!((&result["deleted"], result["deleted_routes"].as_array().unwrap().len()), (&json!(true), 1));
    let unknown = api.send_magic(&DELETE, "routes", &json!({"routes": [{"id": ids[1]}]}));
    assert_eq!(unknown.0, 404);
    assert_eq!(api.list("routes").len(), 2);

    let path = format!("/client/v4/accounts/{}/magic/routes", api.account);
    let (status, response) = api.send(&DELETE, &path, "");
    assert_eq!((status, response["result"]["deleted_routes"].as_array().unwrap().len()), (200, 2));
    assert!(api.list("routes").is_empty());
}

#[test]
fn validate_only_checks_routes_and_changes_nothing() {
    let mut api = TestApi::empty();
    api.expect_result(&POST, "routes?validate_only=true", &route());
    assert!(api.list("routes").is_empty());
    let id = api.expect_result(&POST, "routes", &route())["id"].as_str().unwrap().to_owned();
    let before = api.list("routes");
    let changed = with(route(), json!({"priority": 1}));
    let dry = api.expect_result(&PUT, &format!("routes/{id}?validate_only=true"), &changed);
    assert_eq!((&dry["modified"], &dry["modified_route"]["priority"]), (&json!(false), &json!(1)));
    let dry = api.expect_result(&DELETE, &format!("routes/{id}?validate_only=true"), &Value::Null);
    assert_eq!(dry["deleted"], json!(false));
    assert_eq!(api.list("routes"), before);
}

#[test]
fn an_update_of_an_interconnect_keeps_omitted_fields() {
    let mut api = interconnects();
    let before = listed(&mut api);
    let (old, new) = (&before[0], &before[1]);
    assert_eq!((&old["version"], &old["colo_name"], &old["name"]), (&json!("1.5"), &json!("pni_ord"), &json!("old")));
    assert_eq!(old["health_check"]["source"], "198.41.199.225");
    assert_eq!(old["health_check"]["target"], json!({"saved": "", "effective": "10.0.0.3"}));
    assert_eq!((&new["gre"]["cloudflare_endpoint"], &new["mtu"]), (&json!("198.51.100.2"), &json!(1500)));
    assert!(old.get("bgp_status").is_none(), "the API has no BGP status of interconnects");

    let path = format!("cf_interconnects/{}", old["id"].as_str().unwrap());
    let changes = json!({"mtu": 9000, "version": "2", "colo_name": "elsewhere"});
    let updated = api.expect_result(&PUT, &path, &changes);
    let shown = api.expect_result(&GET, &path, &Value::Null)["interconnect"].take();
    assert_eq!((&updated["modified"], &updated["modified_interconnect"]), (&json!(true), &shown));
    let expected = with(old.clone(), json!({"mtu": 9000, "modified_on": shown["modified_on"]}));
    assert_eq!(shown, expected, "version and colo_name cannot change");

    api.form = crate::spec::TargetForm::Text;
    let one_way = json!({"health_check": {"direction": "unidirectional", "target": "192.0.2.1"}, "bgp": null});
    let updated = api.expect_result(&PUT, &path, &one_way)["modified_interconnect"].take();
    assert_eq!(updated["health_check"]["target"], "192.0.2.1");
    assert!(updated["health_check"].get("source").is_none() && updated.get("bgp").is_none(), "{updated}");
    // The saved target stays valid in the other form.
    api.form = crate::spec::TargetForm::Object;
    api.expect_result(&PUT, &path, &json!({"description": "changed"}));
}

#[test]
fn each_rule_for_interconnects_names_the_wrong_field() {
    let mut api = interconnects();
    let ids: Vec<_> = listed(&mut api).iter().map(|item| item["id"].as_str().unwrap().to_owned()).collect();
    let bidirectional = |source: &str| json!({"health_check": {"source": source}});
    for (number, changes, code, pointer) in [
        (0, json!({"interface_address": "10.0.0.5/30"}), 1107, "/interface_address"),
        (1, json!({"interface_address": "10.0.0.0/24"}), 1107, "/interface_address"),
        (0, json!({"gre": {"cloudflare_endpoint": "198.51.100.1"}}), 1125, "/gre"),
        (1, json!({"gre": {"cloudflare_endpoint": "router"}}), 1106, "/gre/cloudflare_endpoint"),
        (0, json!({"health_check": {}}), 1126, "/health_check/source"),
        (0, bidirectional("203.0.113.1"), 1126, "/health_check/source"),
        (1, bidirectional("198.41.199.225"), 1126, "/health_check/source"),
        (1, json!({"mtu": 575}), 1112, "/mtu"),
        (1, json!({"name": ""}), 1101, "/name"),
        (1, json!({"name": "old"}), 1103, "/name"),
        (1, json!({"name": "taken"}), 1103, "/name"),
        (1, json!({"bgp": {}}), 1101, "/bgp/customer_asn"),
        (1, json!({"health_check": {"target": "192.0.2.1"}}), 1118, "/health_check/target"),
    ] {
        let path = format!("cf_interconnects/{}", ids[number]);
        assert_eq!(refusal(&mut api, &PUT, &path, &changes), [(code, pointer.to_owned())], "{changes}");
    }
    for source in ["10.1.1.1", "169.254.240.1", "198.41.199.254"] {
        api.expect_result(&PUT, &format!("cf_interconnects/{}", ids[0]), &bidirectional(source));
    }
}

#[test]
fn interconnects_swap_their_names_in_one_update() {
    let mut api = interconnects();
    let ids: Vec<_> = listed(&mut api).iter().map(|item| item["id"].clone()).collect();
    let swap = json!({"interconnects": [{"id": ids[0], "name": "new"}, {"id": ids[1], "name": "old"}]});
    let result = api.expect_result(&PUT, "cf_interconnects", &swap);
    assert_eq!(result["modified_interconnects"][0]["name"], "new");
    let names: Vec<_> = listed(&mut api).iter().map(|item| item["name"].clone()).collect();
    assert_eq!(names, ["new", "old"]);
    // A tunnel cannot have the name of an interconnect.
    let body = json!({
        "name": "old",
        "cloudflare_gre_endpoint": "198.51.100.1",
        "customer_gre_endpoint": "203.0.113.1",
        "interface_address": "10.0.0.0/31",
    });
    assert_eq!(refusal(&mut api, &POST, "gre_tunnels", &body), [(1103, "/name".to_owned())]);
}

#[test]
fn interconnects_are_neither_created_nor_deleted() {
    let mut api = interconnects();
    let id = listed(&mut api)[0]["id"].as_str().unwrap().to_owned();
    for (method, path) in [(&POST, "cf_interconnects".to_owned()), (&DELETE, format!("cf_interconnects/{id}"))] {
        let (status, response) = api.send_magic(method, &path, &json!({}));
        assert_eq!((status, &response["errors"][0]["code"]), (405, &json!(7001)));
    }
    let (status, response) = api.send_magic(&GET, &format!("cf_interconnects/{}", "0".repeat(32)), &Value::Null);
    assert_eq!((status, &response["errors"][0]["code"]), (404, &json!(1150)));
    let (status, response) = api.send_magic(&GET, "cf_interconnects/none", &Value::Null);
    assert_eq!((status, &response["errors"][0]["code"]), (404, &json!(7003)));
}

#[test]
fn the_key_of_an_interconnect_is_in_no_debug_output() {
    let api = interconnects();
    assert!(!format!("{:?}", api.world).contains("not-logged"));
}

#[test]
fn faults_are_limited_to_one_collection() {
    let mut api = TestApi::new(SandboxSettings::default());
    for collection in ["routes", "cf_interconnects", "token"] {
        let faults = json!({"faults": [{"collection": collection, "fault": {"status": {"code": 503}}}]});
        api.send(&PUT, "/sandbox/faults", &faults.to_string());
        let mut hit = Vec::new();
        for path in ["routes", "cf_interconnects", "gre_tunnels", "ipsec_tunnels"] {
            let path = format!("/client/v4/accounts/{}/magic/{path}", api.account);
            hit.push((path.rsplit('/').next().unwrap().to_owned(), status(&mut api, &path)));
        }
        hit.push(("token".to_owned(), status(&mut api, "/client/v4/user/tokens/verify")));
        let failed: Vec<_> = hit.iter().filter(|(_, status)| *status == 503).map(|(name, _)| name.as_str()).collect();
        assert_eq!(failed, [collection]);
        assert!(hit.iter().all(|(name, status)| name == collection || *status == 200), "{hit:?}");
    }
}

fn status(api: &mut TestApi, path: &str) -> u16 {
    let request = api.request(&GET, path, "");
    api.respond(&request).status.as_u16()
}

#[test]
fn damaged_bodies_of_the_new_collections_keep_their_form() {
    let mut api = TestApi::new(SandboxSettings::default());
    let mut under = |fault: &str, path: &str| {
        let faults = json!({"faults": [{"fault": fault}]});
        api.send(&PUT, "/sandbox/faults", &faults.to_string());
        let account = api.account.clone();
        api.send(&GET, &path.replace("ACCOUNT", &account), "").1["result"].take()
    };
    let (routes, token) = ("/client/v4/accounts/ACCOUNT/magic/routes", "/client/v4/user/tokens/verify");
    assert!(under("wrong_types", routes)["routes"][0]["prefix"].is_number());
    assert_eq!(under("unknown_value", routes)["routes"][0]["scope"]["colo_regions"][0], "ATLANTIS");
    assert!(under("missing_list", routes).get("routes").is_none());
    let interconnects = "/client/v4/accounts/ACCOUNT/magic/cf_interconnects";
    assert!(under("wrong_types", interconnects)["interconnects"][0]["name"].is_number());
    assert!(under("wrong_types", token)["status"].is_array());
    assert_eq!(under("unknown_value", token)["status"], "suspended");
}
