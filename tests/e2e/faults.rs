//! Every fault of the sandbox against the exporter, as two processes.
//!
//! With any fault the page answers, the reason is counted, the last list stays until it is stale, and the fault is
//! logged once. After the fault the exporter recovers without a restart. The other collection is never affected.

use std::{fmt::Write as _, thread, time::Duration};

use serde_json::{Value, json};

use crate::sandbox::Sandbox;
use crate::support::{SOON, eventually, exporter::Exporter, free_address, http, samples::Samples};

/// A story without events.
const STORY: &str = "
accounts:
  - name: quiet
    tunnels:
      - type: ipsec
        name: ipsec-1
        cloudflare_endpoint: 198.51.100.1
        customer_endpoint: 127.0.1.1
        interface_address: 127.0.10.0/31
        bgp: {customer_asn: 65010}
        bgp_status: up
      - type: gre
        name: gre-1
        cloudflare_gre_endpoint: 198.51.100.1
        customer_gre_endpoint: 127.0.1.2
        interface_address: 127.0.10.2/31
";

/// A sandbox, and the exporter that polls it every second.
struct House {
    sandbox: Sandbox,
    exporter: Exporter,
    /// The number of lines in the exporter's log before the fault.
    before: usize,
    _folder: tempfile::TempDir,
}

impl House {
    /// Waits until the tunnels are on the page, and all lists have been read.
    fn in_order(stale_after: &str) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let story = folder.path().join("story.yml");
        std::fs::write(&story, STORY).expect("a file in a temporary folder");
        let sandbox = Sandbox::start_with(free_address(), &[&format!("--sandbox.story={}", story.display())]);
        let stale_after = format!("--poll.stale-after={stale_after}");
        let exporter = sandbox.watched(&folder, &[&stale_after]);
        let mut house = Self { sandbox, exporter, before: 0, _folder: folder };
        house.await_page("both tunnels", |page| tunnels(page) == ["gre-1", "ipsec-1"]);
        // The lines of the log have been written, but this process may not have read them yet.
        house.before = eventually("a line for each list", SOON, || {
            let log = house.log();
            let lists = log.matches("the API lists").count();
            if lists == 4 { Ok(log.lines().count()) } else { Err(log) }
        });
        house
    }

    /// Applies `fault` to the IPsec tunnels.
    fn strike(&self, fault: &Value) {
        let mut body = json!({"collection": "ipsec_tunnels"});
        let members = fault.as_object().expect("members of a fault").clone();
        body.as_object_mut().expect("an object").extend(members);
        let body = json!({ "faults": [body] }).to_string();
        let reply = http::send(self.sandbox.address, "PUT", "/sandbox/faults", &[], &body).expect("an answer");
        assert_eq!(reply.status, 200, "{body}: {}", reply.text());
    }

    fn heal(&self) {
        let reply = http::request(self.sandbox.address, "DELETE", "/sandbox/faults", &[]).expect("an answer");
        assert_eq!(reply.status, 200, "{}", reply.text());
    }

    fn await_page(&mut self, what: &str, check: impl Fn(&Samples) -> bool) -> Samples {
        self.exporter.await_page(what, SOON, |page| check(page).then(|| Samples(page.0.clone())))
    }

    /// Waits for `more` further polls of the GRE tunnels, which have no fault.
    fn await_polls_of_the_other(&self, more: usize) {
        let goal = self.lists_of("gre_tunnels") + more;
        eventually("the other collection to be polled", SOON, || {
            let lists = self.lists_of("gre_tunnels");
            if lists >= goal { Ok(()) } else { Err(format!("{lists} of {goal} lists")) }
        });
    }

    fn lists_of(&self, collection: &str) -> usize {
        let calls: Value = serde_json::from_str(&http::text(self.sandbox.address, "/sandbox/calls")).expect("JSON");
        let calls = calls["calls"].as_array().expect("a list of calls");
        calls.iter().filter(|call| call["path"].as_str().is_some_and(|path| path.ends_with(collection))).count()
    }

    fn log(&self) -> String {
        self.exporter.process.said()
    }

    /// The lines of the log since the fault.
    fn said(&self) -> Vec<String> {
        self.log().lines().skip(self.before).map(str::to_owned).collect()
    }

    /// Waits for `count` lines since the fault. Panics if there are more.
    fn said_lines(&self, count: usize) -> Vec<String> {
        let said = eventually("the log", SOON, || {
            let said = self.said();
            if said.len() >= count { Ok(said) } else { Err(format!("{said:#?}")) }
        });
        assert_eq!(said.len(), count, "{said:#?}");
        said
    }
}

fn tunnels(page: &Samples) -> Vec<&str> {
    let mut names: Vec<&str> =
        page.all("tunnel_info", &[]).iter().map(|sample| sample.labels["tunnel_name"].as_str()).collect();
    names.sort_unstable();
    names
}

fn failures(page: &Samples, reason: &str) -> f64 {
    let labels = [("collection", "ipsec_tunnels"), ("reason", reason)];
    page.value("api_request_failures_total", &labels).expect("every reason has a series")
}

/// All series of failures above zero.
fn failed(page: &Samples) -> String {
    page.all("api_request_failures_total", &[]).iter().filter(|sample| sample.value > 0.0).fold(
        String::new(),
        |mut all, sample| {
            write!(all, "{} {};", sample.labels["collection"], sample.labels["reason"]).expect("a string");
            all
        },
    )
}

fn up(page: &Samples, collection: &str) -> bool {
    page.value("collection_up", &[("collection", collection)]) == Some(1.0)
}

fn of_ipsec(page: &Samples, name: &str) -> Option<f64> {
    page.value(name, &[("tunnel_name", "ipsec-1")])
}

/// Runs the rows of a table at the same time, because they wait for polls most of the time.
fn each<Row: Sync>(rows: &[Row], story: impl Fn(&Row) + Sync) {
    thread::scope(|scope| {
        for row in rows {
            scope.spawn(|| story(row));
        }
    });
}

/// Asserts that only `reason` is counted, that the last list stays, and that the fault is logged once.
fn is_counted_and_the_last_list_stays(house: &mut House, fault: &Value, reason: &str, times: f64) {
    house.strike(fault);
    let page = house.await_page(reason, |page| failures(page, reason) >= times && !up(page, "ipsec_tunnels"));
    assert_eq!(failed(&page), format!("ipsec_tunnels {reason};"), "{fault}");
    assert_eq!(tunnels(&page), ["gre-1", "ipsec-1"], "{fault}");
    assert_eq!(of_ipsec(&page, "tunnel_bgp_up"), Some(1.0), "{fault}");
    assert!(up(&page, "gre_tunnels"), "{fault}");
    let said = &house.said_lines(1)[0];
    assert!(said.contains("poll failed") && said.contains(reason), "{fault}: {said}");
}

#[test]
fn a_temporary_fault_is_counted_and_the_exporter_recovers() {
    let table = [
        (json!({"fault": {"status": {"code": 500, "body": "out of order"}}}), "server"),
        (json!({"fault": {"status": {"code": 503}}}), "server"),
        (json!({"fault": {"rate_limited": {"retry_after": 1}}}), "rate_limited"),
        (json!({"fault": {"html": {}}}), "server"),
        (json!({"fault": {"html": {"code": 200}}}), "not_json"),
        (json!({"fault": "success_false"}), "server"),
        (json!({"fault": "truncated"}), "decode"),
        (json!({"fault": "invalid_utf8"}), "decode"),
        (json!({"fault": "missing_list"}), "decode"),
        (json!({"fault": {"latency": "1h"}}), "timeout"),
        (json!({"fault": {"drip": "1s"}}), "timeout"),
        (json!({"fault": "silence"}), "timeout"),
        (json!({"fault": "reset"}), "connect"),
        (json!({"fault": "endless"}), "too_large"),
    ];
    each(&table, |(fault, reason)| {
        let mut house = House::in_order("1h");
        is_counted_and_the_last_list_stays(&mut house, fault, reason, 2.0);
        house.heal();
        house.await_page("the list again", |page| up(page, "ipsec_tunnels"));
        let said = &house.said_lines(2)[1];
        assert!(said.contains("polls succeed again") && said.contains(reason), "{fault}: {said}");
        house.exporter.process.assert_running();
    });
}

#[test]
fn the_exporter_recovers_from_a_fault_that_ends_by_itself() {
    let mut house = House::in_order("1h");
    house.strike(&json!({"count": 1, "fault": {"status": {"code": 502}}}));
    house.await_page("one failure", |page| failures(page, "server") == 1.0);
    let page = house.await_page("the list again", |page| up(page, "ipsec_tunnels"));
    assert_eq!(failures(&page, "server"), 1.0);
}

/// The real API blocks a user for five minutes, and a refused token stays refused. This test only shows that the
/// exporter waits: it sends one request until the list is stale, many intervals later.
#[test]
fn a_lasting_fault_is_not_retried_at_every_interval() {
    let table = [
        (json!({"fault": "forbidden"}), "auth", true),
        (json!({"fault": {"status": {"code": 404}}}), "not_found", true),
        // All collections share one request budget, so that the other collection waits, too.
        (json!({"fault": {"rate_limited": {}}}), "rate_limited", false),
    ];
    each(&table, |(fault, reason, other_goes_on)| {
        let mut house = House::in_order("5s");
        is_counted_and_the_last_list_stays(&mut house, fault, reason, 1.0);
        let asked = house.lists_of("ipsec_tunnels");
        let page = house.await_page("the stale list to be left out", |page| !tunnels(page).contains(&"ipsec-1"));
        assert_eq!(house.lists_of("ipsec_tunnels"), asked, "{fault}");
        assert_eq!(failures(&page, reason), 1.0, "{fault}");
        assert_eq!(of_ipsec(&page, "tunnel_bgp_up"), None, "{fault}: absent is not down");
        if *other_goes_on {
            house.await_polls_of_the_other(1);
            assert_eq!(tunnels(&house.exporter.samples()), ["gre-1"], "{fault}");
        }
        // The second line is the change of the verdict, because the report is stale.
        house.said_lines(2);
    });
}

#[test]
fn a_stale_list_is_omitted_until_the_next_good_poll() {
    let mut house = House::in_order("2s");
    house.strike(&json!({"fault": {"status": {"code": 503}}}));
    let page = house.await_page("the stale list to be left out", |page| !tunnels(page).contains(&"ipsec-1"));
    assert_eq!(tunnels(&page), ["gre-1"]);
    assert_eq!(of_ipsec(&page, "tunnel_bgp_up"), None, "absent is not down");
    assert!(failures(&page, "server") > 0.0, "the exporter's own counters stay on the page");
    house.heal();
    let page = house.await_page("the list again", |page| tunnels(page) == ["gre-1", "ipsec-1"]);
    assert_eq!(of_ipsec(&page, "tunnel_bgp_up"), Some(1.0));
}

#[test]
fn a_slow_answer_is_not_a_failure() {
    let mut house = House::in_order("1h");
    let duration = |page: &Samples| page.value("poll_duration_seconds", &[("collection", "ipsec_tunnels")]);
    house.strike(&json!({"fault": {"latency": "600ms"}}));
    let page = house.await_page("a slow poll", |page| duration(page) >= Some(0.6));
    assert_eq!(failed(&page), "");
    assert!(up(&page, "ipsec_tunnels"));
    house.heal();
    house.await_page("a quick poll", |page| duration(page) < Some(0.6));
    house.said_lines(0);
}

#[test]
fn unknown_values_are_unknown_and_counted_and_not_down() {
    let mut house = House::in_order("1h");
    house.strike(&json!({"fault": "unknown_value"}));
    let state = |page: &Samples, state: &str| {
        page.value("tunnel_bgp_state", &[("tunnel_name", "ipsec-1"), ("state", state)])
            .expect("every state has a series")
    };
    let page = house.await_page("the unknown state", |page| state(page, "unknown") == 1.0);
    assert_eq!((state(&page, "up"), state(&page, "down")), (0.0, 0.0));
    for field in
        ["bgp_status.state", "bgp_status.bgp_state", "health_check.rate", "health_check.type", "health_check.direction"]
    {
        assert!(page.value("unknown_values_total", &[("field", field)]) > Some(0.0), "{field}");
    }
    assert_eq!(failed(&page), "");
    house.await_polls_of_the_other(3);
    // One line for each field, one for the change of state, and one for the change of the verdict.
    house.said_lines(7);
    house.heal();
    house.await_page("the state that is known", |page| state(page, "up") == 1.0);
}

/// The API reference marks the list as optional: a result without a list is that of an account without tunnels.
#[test]
fn members_that_are_not_tunnels_are_omitted_and_counted() {
    let mut house = House::in_order("1h");
    house.strike(&json!({"fault": "wrong_types"}));
    let rejected = |page: &Samples| page.all("tunnels_rejected", &[]).iter().map(|sample| sample.value).sum::<f64>();
    let page = house.await_page("the member to be rejected", |page| rejected(page) == 1.0);
    assert_eq!(tunnels(&page), ["gre-1"], "the rejected member is not a tunnel");
    assert!(up(&page, "ipsec_tunnels"), "the list itself is valid");
    assert_eq!(failed(&page), "");
    house.await_polls_of_the_other(3);
    // One line for the rejected member and one for the removed tunnel.
    house.said_lines(2);
    house.heal();
    house.await_page("the tunnel again", |page| rejected(page) == 0.0 && tunnels(page) == ["gre-1", "ipsec-1"]);
}

#[test]
fn a_fault_of_every_second_request_removes_no_series() {
    let mut house = House::in_order("1h");
    house.strike(&json!({"probability": 0.5, "fault": "reset"}));
    let mut good = 0;
    let page = house.exporter.await_page("failures and lists in between", Duration::from_mins(1), |page| {
        assert_eq!(tunnels(page), ["gre-1", "ipsec-1"]);
        good += usize::from(up(page, "ipsec_tunnels"));
        (failures(page, "connect") >= 1.0 && up(page, "ipsec_tunnels") && good > 1).then(|| Samples(page.0.clone()))
    });
    assert_eq!(failed(&page), "ipsec_tunnels connect;");
}
