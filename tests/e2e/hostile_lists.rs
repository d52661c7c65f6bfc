//! Lists that are small on the network and enormous in memory, in time or in the log.

use std::{fs, io::Write as _, thread, time::Duration};

use flate2::{Compression, write::GzEncoder};
use serde_json::Value;

use crate::support::{
    SOON,
    api::{self, Answer, Api, ipsec_only},
    exporter::{ACCOUNT, Exporter, TOKEN, program},
    http,
    samples::Samples,
    tunnels::{self, all_is_well},
};

/// Maximum memory that any body may cost, in KiB.
const MOST_MEMORY: u64 = 200 << 10;

/// Bytes of a body, slightly below the limit of 128 MiB.
const FULL: usize = (128 << 20) - 4096;

/// An exporter and the API that it polls every second.
struct House {
    api: Api,
    exporter: Exporter,
}

impl House {
    /// Waits until the exporter has polled a good list of each kind.
    fn in_order(timeout: &str) -> Self {
        let api = Api::start(all_is_well());
        let exporter = Exporter::start(
            program()
                .args(["serve", "--cloudflare.account-id", ACCOUNT, "--poll.interval=1s", "--poll.stale-after=1h"])
                .arg(format!("--poll.timeout={timeout}"))
                .arg(format!("--cloudflare.api-url=http://{}/client/v4", api.address))
                .env("CLOUDFLARE_API_TOKEN", TOKEN),
        );
        let mut house = Self { api, exporter };
        house.await_page("the first lists", |page| page.all("tunnel_info", &[]).len() == 2);
        house
    }

    fn await_page(&mut self, what: &str, check: impl Fn(&Samples) -> bool) -> Samples {
        self.exporter.await_page(what, Duration::from_mins(2), |page| check(page).then(|| Samples(page.0.clone())))
    }

    /// A number in KiB from the status of the process.
    fn memory(&self, key: &str) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.exporter.process.id())).expect("a status");
        let line = status.lines().find_map(|line| line.strip_prefix(key)).expect("a key of the status");
        line.trim_matches([':', '\t', ' ', 'k', 'B']).parse().expect("a number")
    }

    /// Makes the peak of the memory that of the current moment.
    fn forget_peak(&self) {
        fs::write(format!("/proc/{}/clear_refs", self.exporter.process.id()), "5")
            .expect("permission to reset the peak");
    }
}

fn requests(page: &Samples, collection: &str) -> f64 {
    page.all("api_requests_total", &[("collection", collection)]).iter().map(|sample| sample.value).sum()
}

/// A compressed body: `start`, then `unit` as often as it fits into `size` bytes, then `end`.
fn repeated(start: &str, unit: &str, end: &str, size: usize) -> Vec<u8> {
    let mut zip = GzEncoder::new(Vec::new(), Compression::fast());
    let block = unit.repeat((1 << 16) / unit.len() + 1);
    zip.write_all(start.as_bytes()).expect("writing to memory");
    for _ in 0..(size - start.len() - end.len()) / block.len() {
        zip.write_all(block.as_bytes()).expect("writing to memory");
    }
    zip.write_all(end.as_bytes()).expect("writing to memory");
    zip.finish().expect("writing to memory")
}

fn zipped(body: Vec<u8>) -> Answer {
    api::answer("200 OK", "Content-Type: application/json\r\nContent-Encoding: gzip\r\n", body)
}

const LIST: &str = r#"{"success":true,"result":{"ipsec_tunnels":["#;

/// Bodies of 128 MiB, each with what is repeated in it.
const BODIES: [(&str, &str, &str, &str); 14] = [
    ("empty objects", LIST, "{},", "{}]}}"),
    ("numbers", LIST, "0,", "0]}}"),
    ("null", LIST, "null,", "0]}}"),
    ("one id", LIST, r#"{"id":"a","name":"b"},"#, "0]}}"),
    ("nested members", LIST, "[[[[[[[[]]]]]]]],", "0]}}"),
    ("deep nesting", LIST, "[", "]"),
    ("a long name", r#"{"success":true,"result":{"ipsec_tunnels":[{"id":"a","name":""#, "nnnn", r#""}]}}"#),
    ("escapes", r#"{"success":true,"result":{"ipsec_tunnels":[{"id":"a","name":""#, "\\n\\u00e9", r#""}]}}"#),
    ("a long key", r#"{"success":true,"result":{"ipsec_tunnels":[{""#, "\\n\\u00e9", r#"":0}]}}"#),
    ("unknown keys", r#"{"success":true,"result":{"ipsec_tunnels":[{"id":"a","name":"b""#, r#","k":0"#, "}]}}"),
    ("a long number", LIST, "1111", "]}}"),
    ("errors", r#"{"success":false,"errors":["#, r#"{"code":1},"#, "0]}"),
    ("another list", r#"{"success":true,"result":{"gre_tunnels":["#, "{},", "0]}}"),
    ("keys of the envelope", r#"{"success":true"#, r#","k":0"#, "}"),
];

#[test]
fn no_body_costs_much_memory_and_the_other_list_is_polled_on() {
    for some in BODIES.chunks(4) {
        thread::scope(|scope| some.iter().for_each(|body| drop(scope.spawn(|| costs_little_memory(body)))));
    }
}

fn costs_little_memory(&(what, start, unit, end): &(&str, &str, &str, &str)) {
    let body = repeated(start, unit, end, FULL);
    assert!(body.len() < FULL / 30, "{what}: {} bytes on the network", body.len());
    let mut house = House::in_order("20s");
    house.forget_peak();
    let idle = house.memory("VmRSS");
    let before = house.exporter.samples();
    house.api.answer_with(ipsec_only(zipped(body)));
    // The first further request may have been answered with the good list.
    house.await_page(what, |page| {
        let more = |collection| requests(page, collection) - requests(&before, collection);
        more("ipsec_tunnels") >= 2.0 && more("gre_tunnels") >= 2.0
    });
    let peak = house.memory("VmHWM").saturating_sub(idle);
    assert!(peak < MOST_MEMORY, "{what}: {peak} KiB above {idle} KiB");
    house.exporter.process.assert_running();
}

#[test]
fn tunnels_that_differ_at_each_poll_cost_no_memory_without_limit() {
    let body = |poll: usize| {
        let members: Vec<String> =
            (0..300_000).map(|n| format!(r#"{{"id":"{poll}-{n}","name":"{}"}}"#, "n".repeat(64))).collect();
        let mut zip = GzEncoder::new(Vec::new(), Compression::fast());
        zip.write_all(format!("{LIST}{}]}}}}", members.join(",")).as_bytes()).expect("writing to memory");
        zip.finish().expect("writing to memory")
    };
    let mut house = House::in_order("20s");
    house.forget_peak();
    let idle = house.memory("VmRSS");
    for poll in 0..3 {
        house.api.answer_with(ipsec_only(zipped(body(poll))));
        let before = house.exporter.samples();
        let count = |page: &Samples| requests(page, "ipsec_tunnels");
        house.await_page("two more requests", |page| count(page) >= count(&before) + 2.0);
    }
    let page = house.exporter.samples();
    let labels = [("collection", "ipsec_tunnels"), ("reason", "too_large")];
    assert!(page.value("api_request_failures_total", &labels) >= Some(1.0));
    let peak = house.memory("VmHWM").saturating_sub(idle);
    assert!(peak < MOST_MEMORY, "{peak} KiB above {idle} KiB");
}

#[test]
fn the_timeout_of_a_poll_covers_the_decoding() {
    // 100,000 members with unknown values of all kinds take longer than the timeout.
    let member = tunnels::ipsec("a").to_string() + ",";
    let body = repeated(LIST, &member, "0]}}", 100 << 20);
    let mut house = House::in_order("300ms");
    house.api.answer_with(ipsec_only(zipped(body)));
    let labels = [("collection", "ipsec_tunnels"), ("reason", "timeout")];
    let page = house.await_page("a timeout", |page| page.value("api_request_failures_total", &labels) >= Some(1.0));
    let took = page.value("poll_duration_seconds", &[("collection", "ipsec_tunnels")]).expect("a duration");
    assert!(took < 10.0, "the poll took {took} s");
    assert_eq!(page.all("tunnel_info", &[]).len(), 2, "the last good list stays");
}

#[test]
fn a_hundred_thousand_rejected_members_are_a_few_log_lines() {
    let body = repeated(LIST, r#"{"id":"a"},"#, r#"{"id":"b","name":"b"}]}}"#, 11 * 100_000);
    let mut house = House::in_order("20s");
    house.api.answer_with(ipsec_only(zipped(body)));
    let rejected = |page: &Samples| page.value("tunnels_rejected", &[("reason", "missing_name")]).unwrap_or_default();
    let page = house.await_page("the rejected members", |page| rejected(page) > 90_000.0);
    let count = rejected(&page);
    let polled = requests(&page, "ipsec_tunnels");
    house.await_page("another poll", |page| requests(page, "ipsec_tunnels") >= polled + 2.0);
    let said = crate::support::eventually("the line with the number", SOON, || {
        let said = house.exporter.process.said();
        if said.contains(&format!("{count} members of the list are rejected: missing_name ({count})")) {
            Ok(said)
        } else {
            Err(said)
        }
    });
    let lines = said.lines().filter(|line| line.contains("rejected")).count();
    assert_eq!(lines, 6, "five members and their number, once:\n{said}");
    let answer: Value = serde_json::from_str(&http::text(house.exporter.address, "/api/v1/tunnels")).expect("JSON");
    let lists = answer["collections"].as_array().expect("collections");
    let ipsec = lists.iter().find(|list| list["collection"] == "ipsec_tunnels").expect("the list");
    assert_eq!(ipsec["rejected"].as_f64(), Some(count));
    assert_eq!(ipsec["rejected_first"].as_array().map(Vec::len), Some(20));
    let page = http::text(house.exporter.address, "/");
    assert!(page.contains("member 19: missing_name (id a)") && !page.contains("member 20"), "the first 20 are shown");
}

#[test]
fn a_media_type_in_capitals_is_json() {
    let head = "Content-Type: Application/JSON; Charset=UTF-8\r\n";
    let renamed = tunnels::with(tunnels::ipsec("ipsec-1"), "/name", "renamed".into());
    let body = tunnels::envelope("ipsec_tunnels", &[renamed]);
    let mut house = House::in_order("20s");
    house.api.answer_with(ipsec_only(api::answer("200 OK", head, body)));
    house.await_page("the list", |page| !page.all("tunnel_info", &[("tunnel_name", "renamed")]).is_empty());
}
