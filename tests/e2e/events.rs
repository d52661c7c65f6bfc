//! The changes of verdicts as events: for scripts and on the page, and over a restart.

use std::fs;

use serde_json::{Value, json};

use crate::support::{
    SOON,
    api::{Answer, Api, by_collection},
    eventually,
    exporter::{ACCOUNT, Exporter, token_file},
    http,
    tunnels::{gre, gre_list, id_of, ipsec, ipsec_list, with},
};

/// Deadline of a write of the state, which happens at most once a minute.
const WRITTEN: std::time::Duration = std::time::Duration::from_mins(2);

fn reporting(state: &str) -> Answer {
    let tunnel = with(ipsec("fra-1"), "/bgp_status/state", json!(state));
    by_collection(ipsec_list(&[tunnel]), gre_list(&[gre("ams-1")]))
}

/// The answer for this query as one object per line.
fn lines(exporter: &Exporter, query: &str) -> Vec<Value> {
    let reply = http::request(
        exporter.address,
        "GET",
        &format!("/api/v1/events{query}"),
        &[("Accept", "application/x-ndjson")],
    );
    let reply = reply.expect("an answer");
    assert_eq!((reply.status, reply.header("content-type").as_str()), (200, "application/x-ndjson"));
    reply.text().lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

/// Waits until the last event of `fra-1` is a change to this verdict, and returns all events.
fn await_event(exporter: &Exporter, to: &str) -> Vec<Value> {
    eventually(&format!("a change to {to}"), SOON, || {
        let events = lines(exporter, "?search=fra-1");
        if events.last().is_some_and(|event| event["to"] == to) { Ok(events) } else { Err(format!("{events:?}")) }
    })
}

fn await_healthy(exporter: &mut Exporter) {
    let labels = [("tunnel_name", "fra-1"), ("verdict", "healthy")];
    exporter.await_page("a healthy tunnel", SOON, |page| {
        (page.value("tunnel_verdict", &labels) == Some(1.0)).then_some(())
    });
}

#[test]
fn the_history_of_a_tunnel_survives_a_crash() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let api = Api::start(reporting("BGP_UP"));
    let state = folder.path().join("state");
    let flag = format!("--state.directory={}", state.display());
    let mut exporter = Exporter::serve(api.address, &token_file(&folder), &[&flag]);
    await_healthy(&mut exporter);
    assert_eq!(lines(&exporter, ""), [Value::Null; 0], "the first verdict is not a change");
    api.answer_with(reporting("BGP_DOWN"));
    let before = await_event(&exporter, "reported_down");
    eventually("the change in the state file", WRITTEN, || {
        let stored = fs::read_to_string(state.join("state.json")).map_err(|error| error.to_string())?;
        if stored.contains("\"healthy\",\"reported_down\"") { Ok(()) } else { Err(stored) }
    });
    exporter.process.signal("KILL");
    drop(exporter);

    let exporter = Exporter::serve(api.address, &token_file(&folder), &[&flag]);
    exporter.await_ready();
    assert_eq!(await_event(&exporter, "reported_down"), before);
    api.answer_with(reporting("BGP_UP"));
    let after = await_event(&exporter, "healthy");
    assert_eq!((after.len(), &after[0], &after[1]["from"]), (2, &before[0], &json!("reported_down")));

    let path = format!("{ACCOUNT}/ipsec/{}", id_of("fra-1"));
    let tunnel: Value =
        serde_json::from_str(&http::text(exporter.address, &format!("/api/v1/tunnels/{path}"))).expect("JSON");
    let times = |events: &[Value]| events.iter().map(|event| event["time"].clone()).collect::<Vec<_>>();
    assert_eq!(times(tunnel["history"].as_array().expect("a list")), times(&after));
    let page = http::text(exporter.address, &format!("/tunnels/{path}"));
    for part in ["2 changes of the verdict", "Reported down</span> → <span class=\"badge fine\">Healthy"] {
        assert!(page.contains(part), "{part}:\n{page}");
    }
}

#[test]
fn a_client_follows_the_events_with_the_time_of_the_last_one() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let api = Api::start(reporting("BGP_UP"));
    let mut exporter = Exporter::serve(api.address, &token_file(&folder), &[]);
    await_healthy(&mut exporter);
    api.answer_with(reporting("BGP_DOWN"));
    let first = await_event(&exporter, "reported_down");
    let since = format!("?since={}", first[0]["time"].as_str().expect("a time"));
    assert_eq!(lines(&exporter, &since), [Value::Null; 0]);
    api.answer_with(reporting("BGP_UP"));
    let all = await_event(&exporter, "healthy");
    assert_eq!(lines(&exporter, &since), all[1..]);
    assert_eq!(lines(&exporter, "?type=gre"), [Value::Null; 0]);

    let list: Value = serde_json::from_str(&http::text(exporter.address, "/api/v1/events")).expect("JSON");
    assert_eq!(list["events"], Value::Array(all));
    let refused = http::get(exporter.address, "/api/v1/events?since=yesterday").expect("an answer");
    assert_eq!(refused.status, 400);
    assert!(refused.text().contains("`since` is `yesterday`: must be a time"), "{}", refused.text());
}
