use serde_json::{Value, json};

use super::*;
use crate::domain::edge::{EdgeResult, HealthState};

const NOW: &str = "2026-11-21T10:00:00Z";

fn result(name: &str, status: &str, count: impl Into<Value>) -> Value {
    let dimensions = json!({ "tunnelName": name, "siteName": "", "resultStatus": status });
    json!({ "count": count.into(), "avg": { "sampleInterval": 1 }, "dimensions": dimensions })
}

fn state(name: &str, state: impl Into<Value>) -> Value {
    json!({ "count": 7, "avg": { "tunnelState": state.into() }, "dimensions": { "tunnelName": name } })
}

fn minute(time: &str, count: u64) -> Value {
    json!({ "count": count, "dimensions": { "datetimeMinute": time } })
}

fn body(results: &[Value], states: &[Value], minutes: &[Value]) -> Vec<u8> {
    let account = json!({ "results": results, "states": states, "minutes": minutes });
    json!({ "data": { "viewer": { "accounts": [account] } }, "errors": null }).to_string().into_bytes()
}

fn read(pages: HealthPages, limit: u64, body: &[u8]) -> Result<HealthPages, FailureReason> {
    pages.read(limit, body).map_err(|failure| failure.reason)
}

fn listing(results: &[Value], states: &[Value]) -> (HealthListing, Unreadable) {
    let pages = read(HealthPages::default(), 100, &body(results, states, &[])).unwrap();
    assert!(!pages.is_unfinished());
    let unreadable = pages.unreadable().clone();
    (pages.finish(20, NOW.parse().unwrap()), unreadable)
}

#[test]
fn rows_of_a_tunnel_are_added_up() {
    let results =
        [result("fra", "ok", 90), result("fra", "timeout", 8), result("fra", "unreachable", 2), result("par", "ok", 3)];
    let (listing, unreadable) = listing(&results, &[state("fra", 0.5), state("par", 1)]);
    let fra = &listing.tunnels["fra"];
    let checks = fra.checks.unwrap();
    assert_eq!([EdgeResult::Ok, EdgeResult::Timeout, EdgeResult::Other].map(|result| checks.count(result)), [90, 8, 2]);
    assert_eq!((fra.state, checks.pass_ratio(), fra.routing_score), (Some(HealthState::Healthy), Some(0.9), Some(0.5)));
    assert_eq!(listing.tunnels["par"].state, None, "three checks are too few");
    assert_eq!(unreadable.values, [(KnownField::ResultStatus, 1)].into());
    assert!(!listing.truncated);
}

#[test]
fn a_row_that_cannot_be_read_spoils_its_tunnel_and_no_other() {
    let huge = 9_007_199_254_740_993_u64;
    for spoiled in [json!(-1), json!(1.5), json!(null), json!("many"), json!(1e30), json!([1]), json!(u64::MAX)] {
        let results = [result("a", "ok", huge), result("b", "ok", 50), result("b", "timeout", spoiled.clone())];
        let (listing, unreadable) = listing(&results, &[]);
        assert_eq!(listing.tunnels["a"].checks.unwrap().count(EdgeResult::Ok), huge, "above 2^53");
        assert!(!listing.tunnels.contains_key("b"), "half of the results would look healthy: {spoiled}");
        if spoiled != json!(u64::MAX) {
            assert_eq!(unreadable.values, [(KnownField::EdgeRow, 1)].into(), "{spoiled}");
        }
    }
}

#[test]
fn rows_without_a_name_are_counted() {
    let unnamed = [
        json!(null),
        json!(5),
        json!({}),
        json!({ "count": 1, "dimensions": { "tunnelName": 5 } }),
        result("", "ok", 1),
    ];
    let results: Vec<Value> = unnamed.into_iter().chain([result("fra", "ok", 30)]).collect();
    let (listing, unreadable) = listing(&results, &[]);
    assert_eq!(listing.tunnels.keys().map(|name| &**name).collect::<Vec<_>>(), ["fra"]);
    assert_eq!(unreadable.values, [(KnownField::EdgeRow, 5)].into());
}

#[test]
fn a_row_twice_is_one_row_and_contradicting_rows_are_none() {
    let results = [result("a", "ok", 40), result("a", "ok", 40), result("b", "ok", 40), result("b", "ok", 41)];
    let (listing, unreadable) = listing(&results, &[state("a", 1), state("a", 0), state("c", 2), state("d", -1)]);
    assert_eq!(listing.tunnels["a"].checks.unwrap().count(EdgeResult::Ok), 40);
    assert_eq!(listing.tunnels["a"].routing_score, None);
    assert_eq!(listing.tunnels.len(), 1, "{:?}", listing.tunnels);
    assert_eq!(unreadable.values, [(KnownField::EdgeRow, 4)].into());
}

#[test]
fn the_site_with_the_most_checks_is_the_site() {
    let mut moved = [result("fra", "ok", 10), result("fra", "ok", 90), result("fra", "timeout", 50)];
    moved[0]["dimensions"]["siteName"] = json!("old");
    moved[1]["dimensions"]["siteName"] = json!("new");
    let (listing, _) = listing(&moved, &[]);
    assert_eq!(listing.sites["fra"].as_ref(), "new");
    assert_eq!(listing.tunnels["fra"].checks.unwrap().count(EdgeResult::Ok), 100);
}

/// A server with these tunnels, each with a row for each of two results.
fn serve(names: &[String], after: &str, limit: usize) -> Vec<u8> {
    let rest = || names.iter().filter(|name| name.as_str() >= after);
    let results = rest().flat_map(|name| [result(name, "ok", 30), result(name, "timeout", 1)]).take(limit);
    let states = rest().map(|name| state(name, 1)).take(limit);
    body(&results.collect::<Vec<_>>(), &states.collect::<Vec<_>>(), &[])
}

/// Reads all pages and returns their number.
fn read_all(names: &[String], limit: usize) -> (HealthListing, u32) {
    let mut pages = HealthPages::default();
    while pages.is_unfinished() {
        let page = serve(names, pages.after(), limit);
        pages = read(pages, limit as u64, &page).unwrap();
    }
    let number = pages.paging.page();
    (pages.finish(20, NOW.parse().unwrap()), number)
}

#[test]
fn pages_of_any_size_lead_to_the_same_tunnels() {
    for limit in [3, 4, 5, 7, 16, 17, 100] {
        let names: Vec<String> = (0..8).map(|number| format!("tunnel-{number}")).collect();
        let (listing, _) = read_all(&names, limit);
        assert_eq!((listing.tunnels.len(), listing.truncated), (8, false), "{limit} rows a page");
        for health in listing.tunnels.values() {
            let checks = health.checks.unwrap();
            assert_eq!((checks.count(EdgeResult::Ok), checks.count(EdgeResult::Timeout)), (30, 1));
            assert_eq!(health.routing_score, Some(1.0));
        }
    }
}

#[test]
fn ten_thousand_tunnels_need_three_pages() {
    let names: Vec<String> = (0..10_000).map(|number| format!("tunnel-{number:05}")).collect();
    let (listing, pages) = read_all(&names, 10_000);
    assert_eq!((listing.tunnels.len(), listing.truncated, pages), (10_000, false, 3));
}

#[test]
fn pages_that_do_not_end_are_cut_off() {
    let names: Vec<String> = (0..100).map(|number| format!("tunnel-{number:03}")).collect();
    let (listing, pages) = read_all(&names, 5);
    let with_checks = listing.tunnels.values().filter(|health| health.checks.is_some()).count();
    assert_eq!((with_checks, listing.truncated, pages), (20, true, 10));
    let (listing, pages) = read_all(&names, 2);
    let with_checks = listing.tunnels.values().filter(|health| health.checks.is_some()).count();
    assert_eq!((with_checks, listing.truncated, pages), (0, true, 2), "a page does not hold one tunnel");
}

#[test]
fn results_are_required_and_the_other_lists_are_not() {
    let answer = |account: Value| json!({ "data": { "viewer": { "accounts": [account] } } }).to_string().into_bytes();
    let results = [result("fra", "ok", 30)];
    let pages = read(HealthPages::default(), 9, &answer(json!({ "results": results, "states": null }))).unwrap();
    let missing = [("minutes", FailureReason::Decode), ("states", FailureReason::Decode)];
    assert_eq!(pages.unreadable().lists, missing.into());
    assert_eq!(pages.finish(20, NOW.parse().unwrap()).tunnels.len(), 1);
    let without = answer(json!({ "results": null, "states": [], "minutes": [] }));
    assert_eq!(read(HealthPages::default(), 9, &without).unwrap_err(), FailureReason::Decode);
}

#[test]
fn the_newest_minute_is_complete() {
    let newest = |minutes: &[(&str, u64)]| {
        let minutes: Vec<Value> =
            minutes.iter().map(|(time, count)| minute(&format!("2026-11-21T{time}:00Z"), *count)).collect();
        let pages = read(HealthPages::default(), 9, &body(&[], &[], &minutes)).unwrap();
        pages.finish(20, NOW.parse().unwrap()).newest.map(|time| time.to_string()[11..16].to_owned())
    };
    for (minutes, expected) in [
        (&[][..], None),
        (&[("09:57", 100), ("09:58", 100), ("09:59", 20)], Some("09:58")),
        (&[("09:59", 60), ("09:58", 100), ("09:57", 100)], Some("09:59")),
        (&[("09:59", 1)], Some("09:59")),
        (&[("09:59", 0)], None),
        (&[("10:30", 100), ("09:58", 100), ("09:57", 100)], Some("09:58")),
    ] {
        assert_eq!(newest(minutes).as_deref(), expected, "{minutes:?}");
    }
}
