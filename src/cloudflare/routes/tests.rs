use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::domain::tunnel::Stated;

fn body(routes: &Value) -> Vec<u8> {
    json!({"result": {"routes": routes}, "success": true, "errors": [], "messages": []}).to_string().into()
}

fn decode(routes: &Value) -> RouteListing {
    decode_routes(&body(routes), 200).unwrap()
}

#[test]
fn the_example_of_the_api_reference_is_read() {
    let listing = decode(&json!([{
        "id": "023e105f4ecef8ad9ca31a8372d0c353",
        "nexthop": "203.0.113.1",
        "prefix": "192.0.2.0/24",
        "priority": 0,
        "created_on": "2017-06-14T00:00:00Z",
        "description": "New route for new prefix 203.0.113.1",
        "modified_on": "2017-06-14T05:20:00Z",
        "scope": {"colo_names": ["den01"], "colo_regions": ["APAC"]},
        "weight": 0,
    }]));
    let scope = RouteScope { regions: ["APAC".into()].into(), data_centers: ["den01".into()].into() };
    let expected = Route {
        prefix: "192.0.2.0/24".parse().unwrap(),
        scope: Some(Arc::new(scope)),
        priority: Some(0),
        next_hop: Stated::Value("203.0.113.1".parse().unwrap()),
        weight: Some(0),
        description: "New route for new prefix 203.0.113.1".into(),
        id: "023e105f4ecef8ad9ca31a8372d0c353".into(),
    };
    assert_eq!((listing.routes, listing.rejected, listing.unknown.len()), (vec![expected], 0, 0));
}

#[test]
fn next_hops_are_addresses_with_or_without_a_length() {
    for (text, address) in [
        ("10.0.0.1", Some("10.0.0.1")),
        (" 10.0.0.1 ", Some("10.0.0.1")),
        ("10.0.0.1/32", Some("10.0.0.1")),
        ("10.0.0.1/31", Some("10.0.0.1")),
        ("2001:db8::1", Some("2001:db8::1")),
        ("2001:db8::1/128", Some("2001:db8::1")),
        ("the router", None),
    ] {
        let listing = decode(&json!([{"prefix": "192.0.2.0/24", "nexthop": text}]));
        assert_eq!(listing.routes[0].next_hop.value().map(ToString::to_string).as_deref(), address, "{text}");
        assert_eq!(listing.unknown.contains_key(&KnownField::RouteNexthop), address.is_none(), "{text}");
    }
}

#[test]
fn prefixes_lose_their_host_bits() {
    for (text, prefix) in [
        ("192.0.2.7/24", "192.0.2.0/24"),
        ("192.0.2.7", "192.0.2.7/32"),
        ("0.0.0.0/0", "0.0.0.0/0"),
        ("2001:db8:60::1/48", "2001:db8:60::/48"),
    ] {
        assert_eq!(decode(&json!([{"prefix": text}])).routes[0].prefix.to_string(), prefix);
    }
}

#[test]
fn a_route_without_a_valid_prefix_is_rejected_alone() {
    let broken = json!([
        {"prefix": "192.0.2.0/24", "nexthop": "10.0.0.1"}, {}, {"prefix": "here"}, {"prefix": null}, {"prefix": 7}, "route", null,
        {"prefix": "192.0.2.0/24", "prefix2": [], "weight": -1, "priority": "high", "scope": [], "description": 1, "id": {}},
    ]);
    let listing = decode(&broken);
    assert_eq!((listing.routes.len(), listing.rejected), (2, 6));
    let fields = [
        KnownField::Route,
        KnownField::RoutePrefix,
        KnownField::RoutePriority,
        KnownField::RouteScope,
        KnownField::RouteWeight,
    ];
    assert!(fields.iter().all(|field| listing.unknown.contains_key(field)), "{:?}", listing.unknown);
}

#[test]
fn a_list_without_any_route_that_can_be_read_is_a_failure() {
    let list = body(&json!([{"prefix": 1}, {"prefix": []}]));
    assert_eq!(decode_routes(&list, 200).unwrap_err().reason, FailureReason::Decode);
}

#[test]
fn a_scope_without_names_is_that_of_all_data_centers() {
    for scope in [json!(null), json!({}), json!({"colo_names": []}), json!({"colo_regions": [""], "colo_names": null})]
    {
        assert_eq!(decode(&json!([{"prefix": "192.0.2.0/24", "scope": scope}])).routes[0].scope, None, "{scope}");
    }
}

#[test]
fn equal_scopes_share_their_memory_whatever_the_order_of_the_names() {
    let route = |names: &[&str]| json!({"prefix": "192.0.2.0/24", "scope": {"colo_names": names}});
    let listing = decode(&json!([route(&["a", "b"]), route(&["b", "a", "a"])]));
    let scopes: Vec<_> = listing.routes.iter().filter_map(|route| route.scope.as_ref()).collect();
    assert!(Arc::ptr_eq(scopes[0], scopes[1]));
}

#[test]
fn the_order_of_the_api_does_not_matter() {
    let routes = [
        json!({"prefix": "10.0.0.0/8", "nexthop": "10.0.0.1", "priority": 100}),
        json!({"prefix": "10.0.0.0/8", "nexthop": "10.0.0.3", "priority": 100}),
        json!({"prefix": "10.0.0.0/8", "nexthop": "10.0.0.3", "priority": 50, "scope": {"colo_regions": ["APAC"]}}),
        json!({"prefix": "2001:db8::/32", "nexthop": "10.0.0.1", "priority": 1}),
    ];
    let backwards: Vec<_> = routes.iter().rev().cloned().collect();
    assert_eq!(decode(&json!(routes)).routes, decode(&json!(backwards)).routes);
}

#[test]
fn a_missing_list_is_empty_unless_there_were_routes() {
    let missing = json!({"result": {}, "success": true}).to_string();
    assert_eq!(decode_routes(missing.as_bytes(), 200).unwrap().routes, []);
    let mut decoder = ListDecoder::routes(true);
    decoder.push(missing.as_bytes()).unwrap();
    assert_eq!(decoder.finish(200).unwrap_err().reason, FailureReason::Decode);
    let mut decoder = ListDecoder::routes(true);
    decoder.push(&body(&json!([]))).unwrap();
    assert_eq!(decoder.finish(200).unwrap().routes, [], "an explicit empty list");
}

#[test]
fn a_list_with_scopes_that_need_too_much_memory_is_refused() {
    let names: Vec<String> = (0..MAX_NAMES).map(|number| number.to_string()).collect();
    let mut decoder = ListDecoder::routes(false);
    decoder.push(br#"{"success":true,"result":{"routes":["#).unwrap();
    let member = json!({"prefix": "10.0.0.0/8", "scope": {"colo_names": names}}).to_string() + ",";
    let refused = (0..5_000).find_map(|_| decoder.push(member.as_bytes()).err());
    assert_eq!(refused, Some(FailureReason::TooLarge));
}

proptest! {
    #[test]
    fn any_body_is_a_list_or_a_failure(bytes in proptest::collection::vec(any::<u8>(), 0..300), cut in 0..200_usize) {
        let _ = decode_routes(&bytes, 200);
        let whole = body(&json!([{"prefix": "10.0.0.0/8", "nexthop": "10.0.0.1", "scope": {"colo_names": ["a"]}}]));
        let cut = cut.min(whole.len() - 1);
        prop_assert!(decode_routes(&whole[..cut], 200).is_err());
    }
}
