use std::time::Duration;

use rand::SeedableRng as _;

use super::*;
use crate::response::{ApiResponse, Delivery};

fn faults(text: &str) -> Faults {
    Faults::from_json(text.as_bytes()).unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn rng() -> StdRng {
    StdRng::seed_from_u64(1)
}

fn list() -> ApiResponse {
    ApiResponse::success(r#"{"gre_tunnels":[{"id":"1","name":"a","interface_address":"10.0.0.0/31"}]}"#)
}

/// A list, changed by one fault.
fn response_under(effect: &str) -> (MatchedFaults, ApiResponse) {
    let mut faults = faults(&format!(r#"{{"faults":[{{"fault":{effect}}}]}}"#));
    let matched = faults.match_request(Some(FaultCollection::GreTunnels), &Method::GET, &mut rng());
    let mut response = matched.replacement().unwrap_or_else(list);
    matched.apply(&mut response);
    (matched, response)
}

#[test]
fn each_fault_does_what_it_says() {
    let text = |effect| String::from_utf8(response_under(effect).1.body).unwrap();
    let status = |effect| response_under(effect).1.status.as_u16();

    assert_eq!(response_under(r#"{"latency":"500ms"}"#).0.latency, Duration::from_millis(500));
    assert_eq!((status(r#"{"status":{"code":503}}"#), text(r#"{"status":{"code":503}}"#)), (503, String::new()));
    assert_eq!(text(r#"{"status":{"code":500,"body":"oh no"}}"#), "oh no");
    assert_eq!(response_under(r#"{"status":{"code":500,"body":"{}"}}"#).1.content_type, "application/json");

    let (_, limited) = response_under(r#"{"rate_limited":{"retry_after":30}}"#);
    assert_eq!((limited.status.as_u16(), limited.headers), (429, vec![("retry-after", "30".to_owned())]));
    let date = r#"{"rate_limited":{"retry_after":"Fri, 20 Nov 2026 20:00:00 GMT"}}"#;
    assert_eq!(response_under(date).1.headers[0].1, "Fri, 20 Nov 2026 20:00:00 GMT");
    assert_eq!(response_under(r#"{"rate_limited":{}}"#).1.headers, []);

    assert!(text(r#"{"html":{}}"#).starts_with("<html>") && status(r#"{"html":{}}"#) == 502);
    assert_eq!(status(r#"{"html":{"code":200}}"#), 200);
    assert!(text(r#""forbidden""#).contains("10000") && status(r#""forbidden""#) == 403);
    assert!(text(r#""success_false""#).contains(r#""success":false"#) && status(r#""success_false""#) == 200);
    assert_eq!(text(r#""truncated""#).len(), list().body.len() / 2);
    assert!(std::str::from_utf8(&response_under(r#""invalid_utf8""#).1.body).is_err());
    assert!(serde_json::from_str::<Value>(&text(r#""missing_list""#)).unwrap()["result"]["gre_tunnels"].is_null());
    let tunnel = |effect| serde_json::from_str::<Value>(&text(effect)).unwrap()["result"]["gre_tunnels"][0].clone();
    assert!(tunnel(r#""wrong_types""#)["name"].is_number());
    assert_eq!(tunnel(r#""unknown_value""#)["health_check"]["rate"], "ludicrous");

    assert_eq!(response_under(r#"{"drip":"1s"}"#).1.delivery, Delivery::Drip(Duration::from_secs(1)));
    assert_eq!(response_under(r#""reset""#).1.delivery, Delivery::Reset);
    assert_eq!(response_under(r#""silence""#).1.delivery, Delivery::Silence);
    assert_eq!(response_under(r#""endless""#).1.delivery, Delivery::Endless);
}

#[test]
fn a_fault_hits_only_the_collection_and_the_method_it_names() {
    let mut faults = faults(r#"{"faults":[{"collection":"gre_tunnels","method":"get","fault":"reset"}]}"#);
    let mut hit = |kind, method| faults.match_request(kind, &method, &mut rng()).name();
    assert_eq!(hit(Some(FaultCollection::GreTunnels), Method::GET), Some("reset"));
    assert_eq!(hit(Some(FaultCollection::GreTunnels), Method::PUT), None);
    assert_eq!(hit(Some(FaultCollection::IpsecTunnels), Method::GET), None);
    assert_eq!(hit(None, Method::GET), None);
}

#[test]
fn a_fault_of_the_graphql_api_hits_only_its_collections() {
    let collections = [
        (Some(FaultCollection::EdgeHealth), Some("budget")),
        (Some(FaultCollection::EdgeTraffic), Some("budget")),
        (Some(FaultCollection::Settings), Some("budget")),
        (Some(FaultCollection::GreTunnels), None),
        (None, None),
    ];
    for (collection, expected) in collections {
        let mut faults = faults(r#"{"faults":[{"fault":"budget"}]}"#);
        assert_eq!(faults.match_request(collection, &Method::POST, &mut rng()).name(), expected, "{collection:?}");
    }
}

#[test]
fn collections_are_shown_by_the_names_that_select_them() {
    for name in ["ipsec_tunnels", "gre_tunnels", "edge_health", "edge_traffic", "settings"] {
        let faults = faults(&format!(r#"{{"faults":[{{"collection":"{name}","fault":"reset"}}]}}"#));
        assert_eq!(faults.json()["faults"][0]["collection"], name);
    }
}

#[test]
fn a_fault_with_a_count_is_removed_after_it() {
    let mut faults = faults(r#"{"faults":[{"count":2,"fault":"reset"},{"fault":"endless"}]}"#);
    let hits: Vec<_> = (0..4).map(|_| faults.match_request(None, &Method::GET, &mut rng()).name()).collect();
    assert_eq!(hits, [Some("reset"), Some("reset"), Some("endless"), Some("endless")]);
}

#[test]
fn a_fault_with_a_probability_hits_its_share() {
    let mut faults = faults(r#"{"faults":[{"probability":0.3,"fault":"reset"}]}"#);
    let mut rng = rng();
    let hits = (0..10_000).filter(|_| faults.match_request(None, &Method::GET, &mut rng).name().is_some()).count();
    assert!((2_800..3_200).contains(&hits), "{hits}");
}

#[test]
fn latency_combines_with_another_fault() {
    let mut faults = faults(
        r#"{"faults":[{"fault":{"latency":"1s"}},{"fault":"reset"},{"fault":{"latency":"2s"}},{"count":1,"fault":"endless"}]}"#,
    );
    let matched = faults.match_request(None, &Method::GET, &mut rng());
    let mut response = list();
    matched.apply(&mut response);
    assert_eq!((response.latency, response.delivery), (Duration::from_secs(3), Delivery::Reset));
    let remaining = faults.json().to_string();
    assert!(remaining.contains("endless"), "a fault that was not applied keeps its count: {remaining}");
}

#[test]
fn errors_name_the_value_and_the_rule() {
    for (text, word) in [
        ("", "EOF"),
        ("[]", "struct FaultList"),
        (r#"{"faults":[{"fault":"explode"}]}"#, "unknown variant `explode`"),
        (r#"{"faults":[{"fault":"reset","colour":1}]}"#, "unknown field `colour`"),
        (r#"{"faults":[{"count":1}]}"#, "missing field `fault`"),
        (r#"{"faults":[{"fault":"reset","count":0}]}"#, "count must be at least 1"),
        (r#"{"faults":[{"fault":"reset","probability":1.5}]}"#, "probability must be from 0 to 1, not 1.5"),
        (r#"{"faults":[{"fault":"reset","method":"PATCH"}]}"#, "method must be GET, POST, PUT or DELETE, not `PATCH`"),
        (r#"{"faults":[{"fault":"reset","collection":"pcaps"}]}"#, "unknown variant `pcaps`"),
        (r#"{"faults":[{"fault":{"latency":"long"}}]}"#, "`long` is not a duration"),
        (r#"{"faults":[{"fault":{"late":"very"}}]}"#, "`very` is not a duration"),
        (r#"{"faults":[{"fault":{"graphql_errors":{}}}]}"#, "missing field `message`"),
        (r#"{"faults":[{"fault":{"status":{"code":99}}}]}"#, "99 is not a status of a response"),
        (
            r#"{"faults":[{"fault":{"rate_limited":{"retry_after":"a\nb"}}}]}"#,
            "retry_after must be text that is valid in a header",
        ),
        (r#"{"faults":[{"fault":{"rate_limited":{"retry_after":[]}}}]}"#, "retry_after must be seconds or a date"),
    ] {
        let error = Faults::from_json(text.as_bytes()).unwrap_err();
        assert!(error.contains(word), "{text}: {error}");
    }
    let many = format!(r#"{{"faults":[{}]}}"#, vec![r#"{"fault":"reset"}"#; 101].join(","));
    assert_eq!(Faults::from_json(many.as_bytes()).unwrap_err(), "at most 100 faults at one time, not 101");
}

#[test]
fn a_file_of_faults_may_be_yaml_or_json() {
    let yaml = "faults:\n  - fault: {latency: 1s}\n  - {collection: gre_tunnels, count: 3, fault: reset}\n";
    let json = r#"{"faults":[{"fault":{"latency":"1s"}},{"collection":"gre_tunnels","count":3,"fault":"reset"}]}"#;
    assert_eq!(Faults::parse("a.yml", yaml).unwrap().json(), faults(json).json());
    assert_eq!(Faults::parse("a.json", json).unwrap().json(), faults(json).json());
    let error = Faults::parse("a.yml", "faults:\n  - fault: reset\n    count: 0\n").unwrap_err().to_string();
    assert!(error.starts_with("a.yml: line 3: ") && error.contains("count must be at least 1"), "{error}");
}
