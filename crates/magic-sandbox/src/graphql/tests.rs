use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use hyper::Method;
use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::{
    SandboxSettings, Story,
    request::{ApiRequest, PresentedCredentials},
    testing::TestApi,
};

const STORY: &str = "
accounts:
  - name: lab
    tunnels:
      - type: ipsec
        name: delta
        cloudflare_endpoint: 198.51.100.1
        interface_address: 10.0.0.0/31
        edge: {pass_ratio: 0.5, site: Berlin, traffic: {to_site: 8000000, from_site: 800000}}
      - type: gre
        name: alpha
        cloudflare_gre_endpoint: 198.51.100.1
        customer_gre_endpoint: 203.0.113.1
        interface_address: 10.0.0.2/31
        edge: {state_by_colo: {fra01: healthy, ams01: down}, traffic: {to_site: 16000}}
      - type: ipsec
        name: charlie
        cloudflare_endpoint: 198.51.100.1
        interface_address: 10.0.0.4/31
        health_check: {enabled: false}
      - type: ipsec
        name: device_id
        cloudflare_endpoint: 198.51.100.1
        interface_address: 10.0.0.6/31
        edge: {traffic: {to_site: 8000}}
  - name: bare
    analytics: false
events:
  - {at: 10m, tunnel: alpha, say: the checks fail, edge: {pass_ratio: 0, state_by_colo: null}}
  - {at: 12m, tunnel: alpha, say: the checks pass, edge: {pass_ratio: 1}}
";

/// The sandbox at the start of a minute.
fn lab() -> TestApi {
    start(SandboxSettings { story: Story::parse("lab.yml", STORY).unwrap(), ..SandboxSettings::default() })
}

fn start(settings: SandboxSettings) -> TestApi {
    let now = web_toolkit::clock::now();
    let minute = Timestamp::from_second(now.wall.as_second() / 60 * 60).unwrap();
    TestApi::starting_at(settings, web_toolkit::clock::Moment { wall: minute, ..now })
}

impl TestApi {
    fn graphql_request(&self, body: &Value) -> ApiRequest {
        self.request(&Method::POST, "/client/v4/graphql", &body.to_string())
    }

    /// Status and body of an operation with these variables.
    fn query(&mut self, operation: DocumentOperation, variables: &Value) -> (u16, Value) {
        let body = json!({"operationName": operation.name(), "query": operation.document(), "variables": variables});
        self.send(&Method::POST, "/client/v4/graphql", &body.to_string())
    }

    /// The account's lists in an answer that must succeed.
    fn lists(&mut self, operation: DocumentOperation, variables: &Value) -> Value {
        let (status, mut body) = self.query(operation, variables);
        assert_eq!((status, body.get("errors")), (200, None), "{body}");
        body["data"]["viewer"]["accounts"][0].take()
    }

    fn fault(&mut self, fault: &Value) {
        let (status, _) = self.send(&Method::PUT, "/sandbox/faults", &json!({"faults": [fault]}).to_string());
        assert_eq!(status, 200);
    }

    /// A time relative to now.
    fn time(&self, seconds: i64) -> Value {
        json!(self.now.wall.checked_add(SignedDuration::from_secs(seconds)).unwrap().to_string())
    }

    /// The variables of [`DocumentOperation::EdgeHealth`] for a window relative to now.
    fn health_window(&self, from: i64, to: i64) -> Value {
        json!({"account": self.account, "from": self.time(from), "to": self.time(to), "after": "", "limit": 10_000})
    }

    fn health(&mut self, from: i64, to: i64) -> Value {
        let variables = self.health_window(from, to);
        self.lists(DocumentOperation::EdgeHealth, &variables)
    }

    fn traffic_window(&self, from: i64, to: i64) -> Value {
        json!({"account": self.account, "bucket": self.time(from), "end": self.time(to), "limit": 10_000})
    }

    fn traffic(&mut self, from: i64, to: i64) -> Value {
        let variables = self.traffic_window(from, to);
        self.lists(DocumentOperation::EdgeTraffic, &variables)
    }
}

/// One value of each row.
fn column<'a>(list: &'a Value, pointer: &str) -> Vec<&'a Value> {
    list.as_array().unwrap().iter().map(|row| row.pointer(pointer).unwrap()).collect()
}

/// Status, message and path of a failure.
fn error((status, body): (u16, Value)) -> (u16, String, Value) {
    let error = &body["errors"][0];
    assert_eq!((body.get("data"), body["errors"].as_array().map(Vec::len)), (Some(&Value::Null), Some(1)), "{body}");
    (status, error["message"].as_str().unwrap().to_owned(), error["path"].clone())
}

#[test]
fn results_are_per_tunnel_and_status_in_order() {
    let results = lab().health(-600, -300)["results"].clone();
    let row = |name: &str, site: &str, status: &str, count: u64| {
        json!({
            "count": count,
            "avg": {"sampleInterval": 1},
            "dimensions": {"tunnelName": name, "siteName": site, "resultStatus": status},
        })
    };
    let expected = [
        row("alpha", "", "ok", 41_250),
        row("delta", "Berlin", "ok", 20_625),
        row("delta", "Berlin", "timeout", 20_625),
        row("device_id", "", "ok", 41_250),
    ];
    assert_eq!(results, json!(expected), "a tunnel with disabled checks has no rows");
}

#[test]
fn states_are_per_tunnel() {
    let states = lab().health(-600, -300)["states"].clone();
    let row = |name: &str, score: f64| json!({"count": 41_250, "avg": {"tunnelState": score}, "dimensions": {"tunnelName": name}});
    assert_eq!(states, json!([row("alpha", 0.5), row("delta", 0.5), row("device_id", 1.0)]));
}

#[test]
fn minutes_are_the_newest_thirty_and_the_newest_one_may_be_incomplete() {
    let mut api = lab();
    let minutes = api.health(-7200, -300)["minutes"].clone();
    let times: Vec<_> = (1..=30).map(|minute| api.time(-60 * (minute + 1))).collect();
    assert_eq!(column(&minutes, "/dimensions/datetimeMinute"), times.iter().collect::<Vec<_>>());
    assert!(column(&minutes, "/count").iter().all(|count| **count == json!(3 * 8_250)), "{minutes}");

    api.advance_clock(Duration::from_secs(20));
    let minutes = api.health(-7200, -300)["minutes"].clone();
    assert_eq!(column(&minutes, "/count")[..2], [&json!(8_250), &json!(3 * 8_250)], "a third of a minute");

    let minutes = api.health(-200, -100)["minutes"].clone();
    assert_eq!(minutes.as_array().unwrap().len(), 3, "the window of this list has a start and no end");
    assert!(api.health(-30, -10)["minutes"].as_array().unwrap().is_empty());
}

#[test]
fn traffic_is_per_tunnel_and_direction_and_excludes_devices() {
    let mut api = lab();
    let id = |api: &mut TestApi, collection: &str, name: &str| {
        let list = api.list(collection);
        list.into_iter().find(|tunnel| tunnel["name"] == name).unwrap()["id"].take()
    };
    let (alpha, delta) = (id(&mut api, "gre_tunnels", "alpha"), id(&mut api, "ipsec_tunnels", "delta"));
    let expected = json!({
        "from_site": [
            {"sum": {"bits": 240_000_000, "packets": 30_000},
             "dimensions": {"ingressTunnelID": delta, "ingressTunnelName": "delta"}},
        ],
        "to_site": [
            {"sum": {"bits": 4_800_000, "packets": 600},
             "dimensions": {"egressTunnelID": alpha, "egressTunnelName": "alpha"}},
            {"sum": {"bits": 2_400_000_000_u64, "packets": 300_000},
             "dimensions": {"egressTunnelID": delta, "egressTunnelName": "delta"}},
        ],
    });
    assert_eq!(api.traffic(-600, -300), expected);
}

#[test]
fn the_same_question_has_the_same_answer_later() {
    let mut api = lab();
    let (health, traffic) = (api.health_window(-600, -300), api.traffic_window(-600, -300));
    let before =
        [api.lists(DocumentOperation::EdgeHealth, &health), api.lists(DocumentOperation::EdgeTraffic, &traffic)];
    api.advance_clock(Duration::from_mins(30));
    let after =
        [api.lists(DocumentOperation::EdgeHealth, &health), api.lists(DocumentOperation::EdgeTraffic, &traffic)];
    assert_eq!((&before[0]["results"], &before[0]["states"]), (&after[0]["results"], &after[0]["states"]));
    assert_eq!(before[1], after[1]);
}

#[test]
fn single_data_centers_have_the_state_of_the_story_or_that_of_all() {
    let mut api = lab();
    let mut variables = api.health_window(-600, -300);
    variables["colos"] = json!(["lhr01", "fra01", "ams01", "fra01"]);
    let lists = api.lists(DocumentOperation::EdgeColos, &variables);
    let names = column(&lists["colos"], "/dimensions/tunnelName").into_iter();
    let cells = names
        .zip(column(&lists["colos"], "/dimensions/edgeColoName"))
        .zip(column(&lists["colos"], "/avg/tunnelState"))
        .map(|((name, colo), state)| (name.as_str().unwrap(), colo.as_str().unwrap(), state.as_f64().unwrap()));
    let cells: Vec<_> = cells.filter(|(name, ..)| *name != "device_id").collect();
    assert_eq!(
        cells,
        [
            ("alpha", "ams01", 0.0),
            ("alpha", "fra01", 1.0),
            ("delta", "ams01", 0.5),
            ("delta", "fra01", 0.5),
            ("delta", "lhr01", 0.5)
        ]
    );
    (variables["after"], variables["limit"]) = (json!("b"), json!(1));
    let lists = api.lists(DocumentOperation::EdgeColos, &variables);
    assert_eq!(lists["colos"][0]["dimensions"], json!({"tunnelName": "delta", "edgeColoName": "ams01"}));
    for colos in [Value::Null, json!("fra01"), json!([1])] {
        variables["colos"] = colos;
        assert_eq!(error(api.query(DocumentOperation::EdgeColos, &variables)).0, 400);
    }
}

#[test]
fn data_newer_than_the_delay_is_held_back() {
    let mut api = lab();
    let count = |lists: &Value| lists["states"][0]["count"].clone();
    assert_eq!(count(&api.health(-120, 0)), 8_250, "of two minutes, one is visible");
    assert!(api.health(-60, 0)["states"].as_array().unwrap().is_empty());
    assert!(api.traffic(-60, 0)["to_site"].as_array().unwrap().is_empty());
    assert_eq!(api.traffic(-120, 0)["to_site"][0]["sum"]["bits"], 60 * 16_000);
    api.advance_clock(Duration::from_mins(1));
    assert_eq!(count(&api.health(-180, -60)), 16_500, "a minute later both are visible");

    let quick = Story::parse("quick.yml", &format!("edge_delay: 0s\n{STORY}")).unwrap();
    let mut quick = start(SandboxSettings { story: quick, ..SandboxSettings::default() });
    assert_eq!(count(&quick.health(-60, 0)), 8_250);
}

#[test]
fn a_window_in_the_past_shows_the_state_of_that_time_after_the_story_has_gone_on() {
    let mut api = lab();
    let alpha = |lists: &Value| lists["states"][0]["avg"]["tunnelState"].clone();
    api.advance_clock(Duration::from_mins(20));
    let window = |api: &mut TestApi, from: i64, to: i64| alpha(&api.health(60 * (from - 20), 60 * (to - 20)));
    assert_eq!(window(&mut api, 5, 10), 0.5, "the start of the story");
    assert_eq!(window(&mut api, 10, 12), 0.0, "events count from the time at which they were due");
    assert_eq!(window(&mut api, 12, 17), 1.0);
    assert_eq!(window(&mut api, 11, 13), 0.5, "half of this window");
    assert_eq!(window(&mut api, -50, -40), 0.5, "the tunnels of a story exist before it starts");
}

#[test]
fn what_the_edge_reports_can_be_changed_by_a_request() {
    let mut api = lab();
    let path = format!("/sandbox/accounts/{}/tunnels/delta/edge", api.account);
    let (status, shown) = api.send(&Method::PUT, &path, r#"{"pass_ratio": 0}"#);
    assert_eq!((status, &shown["edge"]["pass_ratio"], &shown["edge"]["site"]), (200, &json!(0.0), &json!("Berlin")));
    assert_eq!(api.send(&Method::PUT, &path, r#"{"pass_ratio": 2}"#).0, 400);
    assert_eq!(api.send(&Method::PUT, &path, r#"{"loss": 2}"#).0, 400);
    assert_eq!(api.send(&Method::PUT, &path, "down").0, 400);
    assert_eq!(api.send(&Method::PUT, &path.replace("delta", "none"), "{}").0, 404);
    assert_eq!(api.send(&Method::GET, &path, "").0, 405);
    api.advance_clock(Duration::from_mins(5));
    assert_eq!(api.health(-300, -60)["states"][1]["avg"]["tunnelState"], 0.0);
    assert_eq!(api.health(-600, -300)["states"][1]["avg"]["tunnelState"], 0.5);
}

#[test]
fn a_tunnel_that_a_client_creates_is_checked_from_then_on() {
    let mut api = lab();
    let body = json!({"name": "bravo", "cloudflare_endpoint": "203.0.113.1", "interface_address": "10.0.0.8/31"});
    api.expect_result(&Method::POST, "ipsec_tunnels", &body);
    api.advance_clock(Duration::from_mins(5));
    let states = api.health(-600, -60)["states"].clone();
    let counts: Vec<_> = ["alpha", "bravo"].into_iter().zip(column(&states, "/count")).collect();
    assert_eq!(counts, [("alpha", &json!(9 * 8_250)), ("bravo", &json!(4 * 8_250))]);
}

#[test]
fn lists_are_cut_at_the_limit_and_continue_after_a_name() {
    let mut api = lab();
    let mut page = |after: &str, limit: u64| {
        let mut variables = api.health_window(-600, -300);
        (variables["after"], variables["limit"]) = (json!(after), json!(limit));
        let lists = api.lists(DocumentOperation::EdgeHealth, &variables);
        ["results", "states"].map(|list| {
            let names = column(&lists[list], "/dimensions/tunnelName");
            names.into_iter().map(|name| name.as_str().unwrap().to_owned()).collect::<Vec<_>>()
        })
    };
    assert_eq!(page("", 2), [["alpha", "delta"], ["alpha", "delta"]]);
    assert_eq!(page("delta", 2), [["delta", "delta"], ["delta", "device_id"]], "the name itself is included");
    assert_eq!(page("b", 1), [["delta"], ["delta"]]);
    assert_eq!(page("zulu", 1), [[""; 0]; 2]);
    let mut variables = api.traffic_window(-600, -300);
    variables["limit"] = json!(1);
    let lists = api.lists(DocumentOperation::EdgeTraffic, &variables);
    assert_eq!(column(&lists["to_site"], "/dimensions/egressTunnelName"), ["alpha"]);
}

/// Asks for pages as the documents are meant: without the last name of a full page, and with it again on the next one.
fn names_of_all_pages(api: &mut TestApi, limit: usize) -> Vec<String> {
    let mut variables = api.health_window(-600, -300);
    variables["limit"] = json!(limit);
    let mut seen = Vec::new();
    for _ in 0..1_000 {
        let lists = api.lists(DocumentOperation::EdgeHealth, &variables);
        let names = column(&lists["results"], "/dimensions/tunnelName").into_iter();
        let names: Vec<_> = names.map(|name| name.as_str().unwrap().to_owned()).collect();
        let is_full = names.len() == limit;
        let last = names.last().cloned().unwrap_or_default();
        seen.extend(names.into_iter().filter(|name| !is_full || *name != last));
        if !is_full {
            return seen;
        }
        variables["after"] = json!(last);
    }
    panic!("the pages do not end");
}

#[test]
fn paging_by_name_loses_no_tunnel_and_repeats_none() {
    let story = STORY.replace("pass_ratio: 0.5", "pass_ratio: 0.25");
    let story = Story::parse("lab.yml", &story).unwrap();
    let mut api = start(SandboxSettings { story, tunnels: 500, ..SandboxSettings::default() });
    let all = names_of_all_pages(&mut api, 10_000);
    assert_eq!((all.len(), all.iter().collect::<BTreeSet<_>>().len()), (504, 503), "one tunnel has two statuses");
    assert!(all.is_sorted());
    for limit in [3, 7, 100, 504, 505] {
        assert_eq!(names_of_all_pages(&mut api, limit), all, "{limit}");
    }
}

#[test]
fn the_settings_name_limits_and_fields() {
    let mut api = lab();
    let account = json!({"account": api.account});
    let settings = api.lists(DocumentOperation::Settings, &account)["settings"].take();
    for (dataset, field) in [
        ("magicTransitTunnelHealthChecksAdaptiveGroups", "dimensions_resultStatus"),
        ("magicTransitNetworkAnalyticsAdaptiveGroups", "dimensions_ingressTunnelID"),
    ] {
        let shown = &settings[dataset];
        assert!(shown["availableFields"].as_array().unwrap().contains(&json!(field)), "{shown}");
        let limits = ["enabled", "maxDuration", "maxPageSize", "notOlderThan"].map(|key| shown[key].clone());
        assert_eq!(limits, [json!(true), json!(604_800), json!(10_000), json!(7_776_000)]);
    }
}

#[test]
fn an_account_without_analytics_has_disabled_datasets_and_no_data() {
    let mut api = lab();
    let bare = api.world.accounts[1].id.clone();
    api.account.clone_from(&bare);
    let settings = api.lists(DocumentOperation::Settings, &json!({"account": bare}))["settings"].take();
    for dataset in settings.as_object().unwrap().values() {
        assert_eq!((&dataset["enabled"], &dataset["availableFields"]), (&json!(false), &json!([])));
    }
    let health = api.health_window(-600, -300);
    let path = json!(["viewer", "accounts", "0", "results"]);
    let refused = api.query(DocumentOperation::EdgeHealth, &health);
    assert_eq!(refused.1["errors"][0]["extensions"]["code"], "FORBIDDEN");
    assert_eq!(error(refused), (403, "account does not have access to the path".to_owned(), path));
    let traffic = api.traffic_window(-600, -300);
    assert_eq!(error(api.query(DocumentOperation::EdgeTraffic, &traffic)).0, 403);
}

#[test]
fn an_unknown_account_is_refused() {
    let mut api = lab();
    api.account = "f".repeat(32);
    for (operation, variables) in [
        (DocumentOperation::Settings, json!({"account": "f".repeat(32)})),
        (DocumentOperation::EdgeHealth, api.health_window(-600, -300)),
        (DocumentOperation::EdgeTraffic, api.traffic_window(-600, -300)),
    ] {
        let (status, message, _) = error(api.query(operation, &variables));
        assert_eq!((status, message.as_str()), (403, "not authorized for that account"));
    }
}

#[test]
fn credentials_are_checked_as_on_the_other_paths() {
    let mut api = start(SandboxSettings { token: Some("right".to_owned().into()), ..SandboxSettings::default() });
    let body = json!({"query": DocumentOperation::Settings.document(), "variables": {"account": api.account}});
    for (credentials, status) in [
        (PresentedCredentials::Token("right".into()), 200),
        (PresentedCredentials::Key("right".into()), 200),
        (PresentedCredentials::Token("wrong".into()), 401),
        (PresentedCredentials::None, 401),
        (PresentedCredentials::Malformed, 400),
    ] {
        let mut request = api.graphql_request(&body);
        request.credentials = credentials;
        assert_eq!(api.respond(&request).status.as_u16(), status, "{:?}", request.credentials);
        request.body = "no document".into();
        let status = if status == 200 { 400 } else { status };
        assert_eq!(api.respond(&request).status.as_u16(), status, "{:?}", request.credentials);
    }
}

#[test]
fn blanks_line_breaks_and_commas_of_a_document_do_not_matter() {
    for operation in DocumentOperation::ALL {
        let document = operation.document();
        let words: Vec<_> = document.split_whitespace().collect();
        for text in [words.join(" "), words.join("\n\t"), document.replace(',', " "), document.replace(") {", "){")] {
            assert_eq!(find_operation(&text), Ok(operation), "{text}");
        }
    }
}

#[test]
fn any_other_document_is_refused_with_the_first_difference() {
    let health = DocumentOperation::EdgeHealth.document();
    for (text, word) in [
        (
            health.replace("siteName", "active siteName"),
            "unknown field `active`: the document of MteEdgeHealth has `siteName`",
        ),
        (health.replace("limit: 30", "limit: 31"), "unknown field `31`"),
        (health.replace("tunnelName_ASC", "tunnelName_DESC"), "unknown field `tunnelName_DESC`"),
        (health.replace("tunnelName_geq", "tunnelName_gt"), "unknown field `tunnelName_gt`"),
        (health.replace("siteName", ""), "unknown field `resultStatus`"),
        (health.trim_end().trim_end_matches('}').to_owned(), "unknown field `end of document`"),
        (format!("{health} query Other {{ viewer {{ budget }} }}"), "has `end of document`"),
        (
            DocumentOperation::EdgeTraffic.document().replace("\"device_id\"", "\"device\""),
            "unknown field `\"device\"`",
        ),
        ("query Other { viewer { budget } }".to_owned(), "answers only the operations MteSettings, MteEdgeHealth"),
        ("{ __schema { types { name } } }".to_owned(), "unknown field"),
        (String::new(), "unknown field"),
        ("\"unclosed é".to_owned(), "unknown field"),
    ] {
        let mut api = lab();
        let body = json!({"query": text, "variables": api.health_window(-600, -300)});
        let request = api.graphql_request(&body);
        let response = api.respond(&request);
        let refused = (response.status.as_u16(), serde_json::from_slice(&response.body).unwrap());
        let (status, message, _) = error(refused);
        assert!(status == 400 && message.contains(word), "{text}: {message}");
    }
}

#[test]
fn bodies_that_are_no_request_are_refused() {
    for (body, word) in [
        ("", "error parsing the request body"),
        ("[]", "error parsing the request body"),
        ("{}", "`query` must be a string"),
        (r#"{"query": 7}"#, "`query` must be a string"),
    ] {
        let (status, message, _) = error(lab().send(&Method::POST, "/client/v4/graphql", body));
        assert!(status == 400 && message.contains(word), "{body}: {message}");
    }
    let mut api = lab();
    let body = json!({"operationName": "Other", "query": DocumentOperation::Settings.document()});
    let request = api.graphql_request(&body);
    assert_eq!(api.respond(&request).status.as_u16(), 400);
    assert_eq!(api.send(&Method::GET, "/client/v4/graphql", "").0, 405);
    assert_eq!(api.send(&Method::POST, "/client/v4/graphql/", "").0, 404);
}

#[test]
fn variables_must_have_their_type() {
    for (name, value, expected) in [
        ("account", json!(7), "`account` must be of type `string!`"),
        ("account", Value::Null, "`account` of type `string!` is required"),
        ("from", json!("yesterday"), "`from` must be of type `Time!`"),
        ("from", json!(1_790_000_000), "`from` must be of type `Time!`"),
        ("to", Value::Null, "`to` of type `Time!` is required"),
        ("after", json!([]), "`after` must be of type `string!`"),
        ("limit", json!("100"), "`limit` must be of type `uint64!`"),
        ("limit", json!(-1), "`limit` must be of type `uint64!`"),
        ("limit", json!(1.5), "`limit` must be of type `uint64!`"),
    ] {
        let mut api = lab();
        let mut variables = api.health_window(-600, -300);
        variables[name] = value;
        let (status, message, _) = error(api.query(DocumentOperation::EdgeHealth, &variables));
        assert!(status == 400 && message.contains(expected), "{name}: {message}");
    }
    let mut api = lab();
    let mut variables = api.health_window(-600, -300);
    variables["unused"] = json!(1);
    api.lists(DocumentOperation::EdgeHealth, &variables);
    assert_eq!(error(api.query(DocumentOperation::EdgeHealth, &Value::Null)).0, 400);
}

#[test]
fn limits_of_the_api_are_enforced_with_its_messages() {
    const DAY: i64 = 24 * 3600;
    let small = Story::parse("small.yml", &format!("edge_page_size: 50\n{STORY}")).unwrap();
    let mut api = start(SandboxSettings { story: small, ..SandboxSettings::default() });
    for (from, to, limit, message) in [
        (-600, -300, 0, "limit must be positive number and not greater than 50"),
        (-600, -300, 51, "limit must be positive number and not greater than 50"),
        (-8 * DAY, 0, 50, "query time range is too large. Time range can't be wider than 604800s, but it's 691200s"),
        (-91 * DAY, -90 * DAY, 50, "cannot request data older than 7776000s"),
    ] {
        let mut health = api.health_window(from, to);
        health["limit"] = json!(limit);
        let expected = (400, message.to_owned(), json!(["viewer", "accounts", "0", "results"]));
        let refused = api.query(DocumentOperation::EdgeHealth, &health);
        assert!(refused.1["errors"][0]["extensions"]["timestamp"].is_string());
        assert_eq!(error(refused), expected);
        let mut traffic = api.traffic_window(from, to);
        traffic["limit"] = json!(limit);
        assert_eq!(error(api.query(DocumentOperation::EdgeTraffic, &traffic)).1, message);
    }
    let settings = api.lists(DocumentOperation::Settings, &json!({"account": api.account}));
    let dataset = &settings["settings"]["magicTransitNetworkAnalyticsAdaptiveGroups"];
    assert_eq!(dataset["maxPageSize"], 50);
    let mut health = api.health_window(-7 * DAY, 0);
    health["limit"] = json!(50);
    api.lists(DocumentOperation::EdgeHealth, &health);
}

#[test]
fn each_fault_of_the_graphql_api_does_what_it_says() {
    let mut api = lab();
    let health = api.health_window(-600, -300);
    let good = api.lists(DocumentOperation::EdgeHealth, &health);
    let mut under = |fault: Value| {
        api.fault(&json!({"fault": fault}));
        api.query(DocumentOperation::EdgeHealth, &health)
    };
    let path = json!(["viewer", "accounts", "0", "states"]);
    let fault = json!({"graphql_errors": {"message": "oh no", "code": "budget", "path": path}});
    let (status, body) = under(fault);
    assert_eq!((status, &body["errors"][0]["extensions"]["code"]), (200, &json!("budget")));
    assert_eq!(error((status, body)), (200, "oh no".to_owned(), path.clone()));
    assert_eq!(error(under(json!({"graphql_errors": {"message": "oh no"}}))).2, Value::Null);

    let (status, body) = under(json!({"partial": {"alias": "states"}}));
    let lists = &body["data"]["viewer"]["accounts"][0];
    assert_eq!((status, &lists["states"], &lists["results"]), (200, &Value::Null, &good["results"]));
    assert_eq!(body["errors"][0]["path"], path);
    let (_, body) = under(json!({"partial": {}}));
    assert_eq!(body["data"]["viewer"]["accounts"][0]["minutes"], Value::Null, "the first name in the alphabet");

    assert_eq!(under(json!("empty_accounts")), (200, json!({"data": {"viewer": {"accounts": []}}})));
    let (status, message, _) = error(under(json!("no_access")));
    assert_eq!((status, message.as_str()), (403, "account does not have access to the path"));
    let (status, body) = under(json!("budget"));
    assert_eq!((status, &body["errors"][0]["extensions"]["code"]), (429, &json!("budget")));
    assert!(body["errors"][0]["message"].as_str().unwrap().starts_with("rate limiter budget depleted"));

    let (_, body) = under(json!("null_errors"));
    assert_eq!((body.get("errors"), &body["data"]["viewer"]["accounts"][0]), (Some(&Value::Null), &good));
}

#[test]
fn late_data_misses_the_newest_minutes() {
    let mut api = lab();
    api.fault(&json!({"fault": {"late": "7m"}}));
    let lists = api.health(-600, -300);
    assert_eq!(column(&lists["states"], "/count")[0], &json!(2 * 8_250), "the window ends 8 minutes ago");
    assert_eq!(lists["minutes"][0]["dimensions"]["datetimeMinute"], api.time(-540));
    assert!(api.traffic(-300, 0)["to_site"].as_array().unwrap().is_empty());
}

#[test]
fn a_truncated_page_has_as_many_rows_as_its_limit() {
    let mut api = lab();
    let full = api.health(-600, -300);
    api.fault(&json!({"count": 1, "fault": "truncated_page"}));
    let mut variables = api.health_window(-600, -300);
    variables["limit"] = json!(100);
    let lists = api.lists(DocumentOperation::EdgeHealth, &variables);
    for list in ["results", "states"] {
        let (rows, real) = (lists[list].as_array().unwrap(), full[list].as_array().unwrap());
        assert_eq!((rows.len(), &rows[..real.len()]), (100, real.as_slice()));
        assert!(rows[real.len()..].iter().all(|row| Some(row) == real.last()));
    }
    assert_eq!(lists["minutes"], full["minutes"]);
}

#[test]
fn a_renamed_tunnel_is_not_in_the_inventory() {
    let mut api = lab();
    api.fault(&json!({"fault": "renamed"}));
    let states = api.health(-600, -300)["states"].clone();
    let names = column(&states, "/dimensions/tunnelName");
    assert_eq!(names, ["alpha", "delta-renamed", "device_id"], "still in order");
    let traffic = api.traffic(-600, -300);
    assert_eq!(column(&traffic["from_site"], "/dimensions/ingressTunnelName"), ["delta-renamed"]);
}

#[test]
fn faults_of_bodies_apply_to_rows_as_well() {
    let mut api = lab();
    let health = api.health_window(-600, -300);
    let mut under = |fault: &str| {
        api.fault(&json!({"fault": fault}));
        api.query(DocumentOperation::EdgeHealth, &health).1["data"]["viewer"]["accounts"][0].take()
    };
    assert_eq!(under("missing_list"), json!({}));
    assert!(under("wrong_types")["results"][0]["dimensions"]["tunnelName"].is_number());
    let unknown = under("unknown_value");
    assert!(column(&unknown["results"], "/dimensions/resultStatus").iter().all(|status| **status == "unreachable"));
    assert_eq!(unknown["states"][0]["dimensions"], json!({"tunnelName": "alpha"}));
}

#[test]
fn faults_can_be_limited_to_one_query() {
    let mut api = lab();
    let mut colos = api.health_window(-600, -300);
    colos["colos"] = json!(["fra01"]);
    let variables =
        [json!({"account": api.account}), api.health_window(-600, -300), api.traffic_window(-600, -300), colos];
    let operations = DocumentOperation::ALL;
    for (faulty, collection) in operations.into_iter().zip(["settings", "edge_health", "edge_traffic", "edge_colos"]) {
        for fault in [json!("budget"), json!({"status": {"code": 429}})] {
            api.fault(&json!({"collection": collection, "fault": fault}));
            for (operation, variables) in operations.into_iter().zip(&variables) {
                let body = json!({"query": operation.document(), "variables": variables});
                let request = api.graphql_request(&body);
                let expected = if operation == faulty { 429 } else { 200 };
                assert_eq!(api.respond(&request).status.as_u16(), expected, "{operation:?} {collection}");
            }
            assert_eq!(api.list("gre_tunnels").len(), 1);
        }
    }
}

#[test]
fn a_fault_of_the_graphql_api_never_hits_the_lists_of_tunnels() {
    let mut api = lab();
    for fault in [json!("budget"), json!("no_access"), json!("empty_accounts"), json!({"partial": {}})] {
        api.fault(&json!({"fault": fault}));
        assert_eq!(api.list("gre_tunnels").len(), 1);
    }
}

#[test]
fn calls_name_the_operation() {
    let mut api = lab();
    api.health(-600, -300);
    api.list("gre_tunnels");
    api.send(&Method::POST, "/client/v4/graphql", "{}");
    let (_, calls) = api.send(&Method::GET, "/sandbox/calls", "");
    let operations = column(&calls["calls"], "/operation");
    assert_eq!(operations, [&json!("MteEdgeHealth"), &Value::Null, &Value::Null]);
}

#[test]
fn generated_tunnels_have_results_and_traffic() {
    let mut api = start(SandboxSettings { story: Story::empty(), tunnels: 100, ..SandboxSettings::default() });
    assert_eq!(api.health(-600, -300)["states"].as_array().unwrap().len(), 100);
    let traffic = api.traffic(-600, -300);
    for list in ["from_site", "to_site"] {
        assert_eq!(traffic[list].as_array().unwrap().len(), 100);
    }
}

/// Every tunnel has changed more often than its history keeps, and was not checked for the last five days. Without
/// skipping these days, the answer takes minutes.
#[test]
fn long_histories_and_long_gaps_are_answered_quickly() {
    const DAY: i64 = 24 * 3600;
    let mut api = start(SandboxSettings { story: Story::empty(), tunnels: 500, ..SandboxSettings::default() });
    let account = &mut api.world.accounts[0];
    let ids: Vec<_> = account.tunnels().map(|tunnel| tunnel.id().to_owned()).collect();
    for id in ids {
        let tunnel = account.get_mut(&id).unwrap();
        for number in 0..300 {
            let at = api.now.wall.checked_add(SignedDuration::from_secs(number - 6 * DAY)).unwrap();
            let state = crate::edge::SimulatedEdge::parse(&json!({"pass_ratio": (number % 2) as f64})).unwrap();
            tunnel.set_edge(Some(state), at);
        }
        let mut valid = crate::validate::ValidTunnel { spec: tunnel.spec().clone(), psk: false };
        valid.spec.health_check.enabled = false;
        let before = api.now.earlier(api.now.wall.checked_sub(SignedDuration::from_secs(5 * DAY)).unwrap());
        tunnel.set_edge(None, before.wall);
        tunnel.replace(valid, before);
    }
    let begun = web_toolkit::clock::now();
    let minutes = api.health(-7 * DAY, -60)["minutes"].clone();
    let took = web_toolkit::clock::now().since(begun);
    assert_eq!(minutes.as_array().unwrap().len(), 30);
    assert!(took < Duration::from_secs(30), "{took:?}");
}

/// The pass ratio of each tunnel of the demo in the newest visible minute.
fn demo_ratios(demo: &mut TestApi) -> BTreeMap<String, f64> {
    let results = demo.health(-65, -5)["results"].take();
    let mut counts: BTreeMap<String, [f64; 2]> = BTreeMap::new();
    for row in results.as_array().unwrap() {
        let count = row["count"].as_f64().unwrap();
        let sums = counts.entry(row["dimensions"]["tunnelName"].as_str().unwrap().to_owned()).or_default();
        sums[0] += if row["dimensions"]["resultStatus"] == "ok" { count } else { 0.0 };
        sums[1] += count;
    }
    counts.into_iter().map(|(name, [passed, all])| (name, passed / all)).collect()
}

#[test]
fn one_tunnel_of_the_demo_always_replies_while_its_checks_fail() {
    let mut demo = start(SandboxSettings::default());
    for _ in 0..36 {
        demo.advance_clock(Duration::from_secs(10));
        let mut tunnels = demo.list("gre_tunnels");
        tunnels.extend(demo.list("ipsec_tunnels"));
        let ratios = demo_ratios(&mut demo);
        let has_check_fault = |tunnel: &&Value| {
            tunnel.get("bgp").is_none()
                && tunnel["health_check"]["enabled"] == true
                && tunnel["interface_address"].as_str().unwrap().starts_with("127.")
                && ratios[tunnel["name"].as_str().unwrap()] < 0.4
        };
        let faults: Vec<_> = tunnels.iter().filter(has_check_fault).map(|tunnel| &tunnel["name"]).collect();
        assert_eq!(faults, ["prg-gre-1"]);
    }
}

#[test]
fn one_static_tunnel_of_the_demo_is_degraded_for_a_while_in_each_period() {
    let mut demo = start(SandboxSettings::default());
    let mut periods = Vec::new();
    for _ in 0..2 {
        let mut ratios = Vec::new();
        for _ in 0..6 {
            demo.advance_clock(Duration::from_secs(30));
            ratios.push((demo_ratios(&mut demo)["vie-gre-1"] * 100.0).round());
        }
        periods.push(ratios);
    }
    // The minute ends 5 s before each of these times; the checks fail from 30 s to 120 s.
    assert_eq!(periods[0], [100.0, 83.0, 63.0, 60.0, 77.0, 97.0]);
    assert_eq!(periods[0], periods[1]);
}

#[test]
fn the_ends_of_time_are_answered_or_refused() {
    let mut api = lab();
    let times = ["-009999-01-02T01:59:59Z", "1970-01-01T00:00:00Z", "9999-12-30T22:00:00.999999999Z"];
    for from in times {
        for to in times {
            let mut variables = api.health_window(-600, -300);
            (variables["from"], variables["to"]) = (json!(from), json!(to));
            (variables["bucket"], variables["end"]) = (json!(from), json!(to));
            let expected = if from == times[2] { 200 } else { 400 };
            for operation in [DocumentOperation::EdgeHealth, DocumentOperation::EdgeTraffic] {
                let (status, body) = api.query(operation, &variables);
                assert_eq!(status, expected, "{from} {to}: {body}");
            }
        }
    }
}

proptest! {
    #[test]
    fn any_text_is_a_document_or_is_refused(text in "(query|MteEdgeHealth|[{}()\"#,$: ]|\\PC){0,40}") {
        prop_assert!(find_operation(&text).is_err());
    }
}
