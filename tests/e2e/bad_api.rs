//! An API with wrong answers of all kinds.
//!
//! For each of them the exporter keeps serving, counts the reason and keeps showing the last good list.

use std::{io::Write as _, sync::Arc, time::Duration};

use flate2::{Compression, write::GzEncoder};
use serde_json::{Value, json};

use crate::support::{
    SOON,
    api::{self, Answer, Api, ipsec_only},
    eventually,
    exporter::{ACCOUNT, Exporter, TOKEN, program, token_file},
    free_address, http,
    samples::Samples,
    tunnels::{self, all_is_well, envelope, gre, gre_list, ipsec, ipsec_list, with},
};
use crate::{page, secrets::everything_shown};

/// Bytes; above the limit on the body of a list, which is 128 MiB.
const TOO_LARGE: usize = 150 << 20;

/// An exporter and the API that it polls every second.
struct House {
    api: Api,
    exporter: Exporter,
    _folder: tempfile::TempDir,
}

impl House {
    fn new(answer: Answer) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let api = Api::start(answer);
        let exporter = Exporter::serve(api.address, &token_file(&folder), &["--poll.stale-after=1h"]);
        Self { api, exporter, _folder: folder }
    }

    /// Waits until the exporter has polled a good list of each kind.
    fn in_order() -> Self {
        let mut house = Self::new(all_is_well());
        house.await_page("the first lists", |page| tunnels_shown(page) == ["gre-1", "ipsec-1"]);
        house
    }

    fn await_page(&mut self, what: &str, check: impl Fn(&Samples) -> bool) {
        self.exporter.await_page(what, SOON, |page| check(page).then_some(()));
    }
}

fn tunnels_shown(page: &Samples) -> Vec<&str> {
    let mut names: Vec<&str> =
        page.all("tunnel_info", &[]).iter().map(|sample| sample.labels["tunnel_name"].as_str()).collect();
    names.sort_unstable();
    names
}

fn failures(page: &Samples, collection: &str, reason: &str) -> f64 {
    let labels = [("collection", collection), ("reason", reason)];
    page.value("api_request_failures_total", &labels).expect("every reason has a series")
}

fn collection_up(page: &Samples, collection: &str) -> Option<f64> {
    page.value("collection_up", &[("collection", collection)])
}

/// Answers polls of `ipsec_tunnels` with `answer` after one good list. Asserts that only `reason` is counted, that the
/// last good list stays on the page, and that the other collection is not affected.
fn the_last_good_list_survives(answer: Answer, reason: &str) -> House {
    let mut house = House::in_order();
    house.api.answer_with(ipsec_only(answer));
    house.await_page(reason, |page| failures(page, "ipsec_tunnels", reason) >= 1.0);
    house.await_page("collection_up at 0", |page| collection_up(page, "ipsec_tunnels") == Some(0.0));
    let page = house.exporter.samples();
    assert_eq!(tunnels_shown(&page), ["gre-1", "ipsec-1"], "after {reason}");
    assert_eq!(page.value("tunnel_bgp_up", &[("tunnel_name", "ipsec-1")]), Some(1.0), "after {reason}");
    let counted: Vec<&str> = page
        .all("api_request_failures_total", &[])
        .into_iter()
        .filter(|sample| sample.value > 0.0)
        .map(|sample| sample.labels["reason"].as_str())
        .collect();
    assert_eq!(counted, [reason], "only one reason is counted");
    // A broken collection is not retried at once; the other one is polled as before.
    let polled = |page: &Samples| page.value("poll_last_success_timestamp_seconds", &[("collection", "gre_tunnels")]);
    let before = polled(&page);
    house.await_page("the other collection polled again", |page| polled(page) > before);
    house.exporter.process.assert_running();
    house
}

/// Asserts the same, and that a later good list is shown without a restart.
fn the_exporter_recovers_from(answer: Answer, reason: &str) {
    let mut house = the_last_good_list_survives(answer, reason);
    let healed = with(ipsec("ipsec-1"), "/name", json!("ipsec-1-renamed"));
    house.api.answer_with(tunnels_of(&[healed]));
    house.exporter.await_page("the new list", Duration::from_mins(2), |page| {
        (tunnels_shown(page) == ["gre-1", "ipsec-1-renamed"] && collection_up(page, "ipsec_tunnels") == Some(1.0))
            .then_some(())
    });
}

fn tunnels_of(ipsec: &[Value]) -> Answer {
    ipsec_only(ipsec_list(ipsec))
}

const HTML: &str = "<!DOCTYPE html>\n<html><head><title>502 Bad Gateway</title></head><body>cloudflare</body></html>";

fn html(status: &str) -> Answer {
    api::answer(status, "Content-Type: text/html; charset=UTF-8\r\n", HTML)
}

fn good_body() -> String {
    envelope("ipsec_tunnels", &[ipsec("ipsec-1")])
}

/// One of each kind: Arabic letter mark, zero-width space and joiner, right-to-left override, line and paragraph
/// separator, byte order mark, soft hyphen, tag, escape, next line.
const INVISIBLE: &str = "\u{61c}\u{200b}\u{200d}\u{202e}\u{2028}\u{2029}\u{feff}\u{ad}\u{e0041}\u{1b}\u{85}";

#[test]
fn invisible_characters_of_the_api_reach_no_label_page_document_or_log() {
    let hide = |text: &str| text.chars().flat_map(|c| [c].into_iter().chain(INVISIBLE.chars())).collect::<String>();
    let mut tunnel = ipsec("ipsec-1");
    let fields = ["/name", "/description", "/customer_endpoint", "/interface_address", "/health_check/rate"];
    for field in fields.into_iter().chain(["/health_check/target/effective", "/bgp_status/state"]) {
        let text = hide(tunnel.pointer(field).and_then(Value::as_str).expect("a text"));
        tunnel = with(tunnel, field, json!(text));
    }
    let rejected = with(tunnel.clone(), "/id", json!(hide("0123456789")));
    let answer = api::json("200 OK", envelope("ipsec_tunnels", &[tunnel, rejected]));
    let api = Api::start(ipsec_only(answer));
    let folder = tempfile::tempdir().expect("a temporary folder");
    for format in ["logfmt", "json"] {
        let format = format!("--log.format={format}");
        let mut exporter = Exporter::serve(api.address, &token_file(&folder), &["--log.level=trace", &format]);
        exporter
            .await_page("the visible name", SOON, |page| (tunnels_shown(page) == ["gre-1", "ipsec-1"]).then_some(()));
        let mut shown = everything_shown(&exporter);
        let mut links = shown.split("href=\"").filter(|link| link.starts_with("tunnels/"));
        let link = links.find(|link| link.contains("ipsec")).expect("a link to the tunnel");
        let tunnel = format!("/{}", link.split('"').next().expect("a link"));
        shown.push_str(&http::text(exporter.address, &tunnel));
        for path in [
            "/?search=%E2%80%8Bx",
            "/?account=%E2%80%8Bx",
            "/%E2%80%8Bx",
            "/api/v1/tunnels?%E2%80%8Bx=1",
            "/api/v1/tunnels?state=%E2%80%8Bx",
        ] {
            shown.push_str(&http::get(exporter.address, path).expect("an answer").text());
        }
        exporter.process.signal("TERM");
        let ended = exporter.process.ended(SOON);
        let said = format!("{}{}", ended.stdout, ended.stderr);
        assert!(said.contains("level") && shown.contains("ipsec-1"), "a log and pages are expected:\n{said}");
        for (what, text) in [("the log", said), ("a page", shown)] {
            let invisible = text.find(|c| INVISIBLE.contains(c)).map(|at| &text[at..]);
            let around = invisible.map(|text| text.chars().take(80).collect::<String>());
            assert_eq!(around, None, "{what} contains an invisible character");
        }
    }
}

#[test]
fn html_with_status_200() {
    the_exporter_recovers_from(html("200 OK"), "not_json");
}

#[test]
fn html_with_status_403() {
    the_last_good_list_survives(html("403 Forbidden"), "auth");
}

#[test]
fn html_with_status_502() {
    the_exporter_recovers_from(html("502 Bad Gateway"), "server");
}

#[test]
fn html_that_says_it_is_json() {
    the_exporter_recovers_from(api::json("200 OK", HTML), "not_json");
}

#[test]
fn a_body_that_is_cut_in_the_middle_and_says_it_is_whole() {
    let body = good_body();
    the_exporter_recovers_from(api::json("200 OK", &body[..body.len() / 2]), "decode");
}

#[test]
fn a_connection_that_breaks_in_the_middle_of_the_body() {
    let body = good_body();
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
    let half = body[..body.len() / 2].to_owned();
    let cut: Answer = Arc::new(move |_, wire| {
        wire.write(&head)?;
        wire.write(&half)
    });
    the_exporter_recovers_from(cut, "connect");
}

#[test]
fn a_connection_that_closes_without_an_answer() {
    the_exporter_recovers_from(Arc::new(|_, _| Ok(())), "connect");
}

#[test]
fn an_answer_that_is_not_http() {
    the_exporter_recovers_from(Arc::new(|_, wire| wire.write("220 mail.example ESMTP\r\n")), "connect");
}

#[test]
fn an_empty_body() {
    the_exporter_recovers_from(api::json("200 OK", ""), "not_json");
}

#[test]
fn no_body_at_all() {
    the_exporter_recovers_from(api::answer("204 No Content", "", ""), "decode");
}

#[test]
fn bytes_that_are_not_utf_8() {
    let body = good_body().replace("Frankfurt", "\u{1}\u{1}").into_bytes();
    let broken: Vec<u8> = body.into_iter().map(|byte| if byte == 1 { 0xff } else { byte }).collect();
    the_exporter_recovers_from(api::json("200 OK", broken), "decode");
}

#[test]
fn json_of_another_shape() {
    for body in [
        "[]",
        "{}",
        r#"{"success":true,"result":[]}"#,
        r#"{"success":true,"result":{"ipsec_tunnels":{"id":"x"}}}"#,
        r#"{"success":"yes","result":{"ipsec_tunnels":[]}}"#,
        r#"{"success":true,"result":null}"#,
        r#"{"success":true,"result":{"ipsec_tunnels":null}}"#,
        r#"{"success":true,"result":{"gre_tunnels":[]}}"#,
        r#"{"success":true,"result_info":{"total_count":1},"result":{"ipsec_tunnels":[]}}"#,
    ] {
        the_last_good_list_survives(api::json("200 OK", body), "decode");
    }
}

#[test]
fn json_nested_deeper_than_any_stack() {
    let body = format!("{}{}", r#"{"success":true,"result":"#, "[".repeat(1 << 20));
    the_exporter_recovers_from(api::json("200 OK", body), "decode");
}

#[test]
fn a_good_list_with_another_status_than_200() {
    for status in ["201 Created", "202 Accepted", "206 Partial Content"] {
        the_last_good_list_survives(api::json(status, good_body()), "decode");
    }
}

#[test]
fn success_false_with_status_200_is_judged_by_its_codes() {
    let refused =
        |errors: Value| json!({"result": null, "success": false, "errors": errors, "messages": []}).to_string();
    let table = [
        (json!([{"code": 1012, "message": "?"}]), "not_entitled"),
        (json!([{"code": "7003"}, {"code": 7000}]), "not_found"),
        (json!([{"code": 10000, "message": "Authentication error"}]), "auth"),
        (json!([]), "server"),
        (json!("no list"), "server"),
    ];
    for (errors, reason) in table {
        the_last_good_list_survives(api::json("200 OK", refused(errors)), reason);
    }
}

#[test]
fn a_body_of_a_hundred_megabytes() {
    let endless: Answer = Arc::new(|_, wire| {
        wire.write(format!(
            "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {TOO_LARGE}\r\n\r\n"
        ))?;
        let blanks = vec![b' '; 1 << 20];
        (0..TOO_LARGE >> 20).try_for_each(|_| wire.write(&blanks))
    });
    the_exporter_recovers_from(endless, "too_large");
}

#[test]
fn a_body_that_grows_to_a_hundred_megabytes_when_decompressed() {
    let mut zip = GzEncoder::new(Vec::new(), Compression::fast());
    let blanks = vec![b' '; 1 << 20];
    (0..TOO_LARGE >> 20).for_each(|_| zip.write_all(&blanks).expect("writing to memory"));
    let body = zip.finish().expect("writing to memory");
    assert!(body.len() < TOO_LARGE / 50);
    let bomb = api::answer("200 OK", "Content-Type: application/json\r\nContent-Encoding: gzip\r\n", body);
    the_exporter_recovers_from(bomb, "too_large");
}

#[test]
fn a_body_that_claims_to_be_compressed_and_is_not() {
    the_exporter_recovers_from(api::answer("200 OK", "Content-Encoding: gzip\r\n", good_body()), "decode");
}

#[test]
fn a_response_that_drips_one_byte_a_second() {
    let dripping: Answer = Arc::new(|_, wire| {
        wire.write("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n")?;
        loop {
            wire.write(" ")?;
            wire.pause(Duration::from_secs(1))?;
        }
    });
    the_exporter_recovers_from(dripping, "timeout");
}

#[test]
fn headers_that_drip_one_byte_a_second() {
    let dripping: Answer = Arc::new(|_, wire| {
        wire.write("HTTP/1.1 200 OK\r\nX-Slow: ")?;
        loop {
            wire.write("x")?;
            wire.pause(Duration::from_secs(1))?;
        }
    });
    the_exporter_recovers_from(dripping, "timeout");
}

#[test]
fn a_server_that_accepts_the_request_and_never_answers() {
    let silent: Answer = Arc::new(|_, wire| {
        loop {
            wire.pause(Duration::from_millis(200))?;
        }
    });
    the_exporter_recovers_from(silent, "timeout");
}

#[test]
fn headers_without_end() {
    let endless: Answer = Arc::new(|_, wire| {
        wire.write("HTTP/1.1 200 OK\r\n")?;
        let line = format!("X-Filler: {}\r\n", "x".repeat(1 << 16));
        (0..200).try_for_each(|_| wire.write(&line))
    });
    the_exporter_recovers_from(endless, "connect");
}

#[test]
fn a_redirect_is_not_followed() {
    let elsewhere = Api::start(all_is_well());
    for status in ["301 Moved Permanently", "302 Found", "307 Temporary Redirect"] {
        let location = format!("Location: http://{}/client/v4/x\r\n", elsewhere.address);
        the_exporter_recovers_from(api::answer(status, &location, ""), "server");
    }
    assert_eq!(elsewhere.requests().len(), 0, "credentials must not travel with a redirect");
}

#[test]
fn too_many_requests_is_retried_after_the_time_in_retry_after() {
    let throttled = api::answer(
        "429 Too Many Requests",
        "Content-Type: application/json\r\nRetry-After: 2\r\n",
        r#"{"success":false,"errors":[{"code":971,"message":"Please wait and consider throttling your request speed"}]}"#,
    );
    let mut house = House::in_order();
    house.api.answer_with(ipsec_only(throttled));
    house.await_page("rate_limited", |page| failures(page, "ipsec_tunnels", "rate_limited") >= 1.0);
    assert_eq!(tunnels_shown(&house.exporter.samples()), ["gre-1", "ipsec-1"]);
    house.api.answer_with(all_is_well());
    house.await_page("collection_up at 1", |page| collection_up(page, "ipsec_tunnels") == Some(1.0));
}

#[test]
fn too_many_requests_without_retry_after_is_not_retried_soon() {
    let mut house = House::in_order();
    house.api.answer_with(ipsec_only(api::json("429 Too Many Requests", "")));
    house.await_page("rate_limited", |page| failures(page, "ipsec_tunnels", "rate_limited") >= 1.0);
    // One request of the other collection may be in flight. Polls every second would add eight requests in these four
    // seconds.
    let before = house.api.requests().len();
    std::thread::sleep(Duration::from_secs(4));
    let after = house.api.requests().len();
    assert!(after <= before + 1, "{} requests within the five minutes that Cloudflare blocks", after - before);
    assert_eq!(tunnels_shown(&house.exporter.samples()), ["gre-1", "ipsec-1"]);
}

#[test]
fn a_value_of_a_wrong_type_costs_only_that_field() {
    let strange = [json!(null), json!(true), json!(-1), json!(1e300), json!("?"), json!([[]]), json!({ "a": {} })];
    let fields = pointers(&ipsec("x"));
    assert!(fields.len() > 25, "{fields:?}");
    // One list with every field wrong in every way, and one good tunnel.
    let mut list = vec![ipsec("good")];
    for (n, field) in fields.iter().filter(|field| !matches!(field.as_str(), "/id" | "/name")).enumerate() {
        for (m, value) in strange.iter().enumerate() {
            list.push(with(ipsec(&format!("odd-{n}-{m}")), field, value.clone()));
        }
    }
    // And members that are not tunnels.
    list.extend(strange.iter().cloned());
    let no_name = list.len();
    list.extend(strange.iter().map(|value| with(ipsec("nameless"), "/name", value.clone())));

    let mut house = House::new(tunnels_of(&list));
    house.await_page("the good tunnel", |page| tunnels_shown(page).contains(&"good"));
    let page = house.exporter.samples();
    let odd = tunnels_shown(&page).iter().filter(|name| name.starts_with("odd-")).count();
    let expected = (fields.len() - 2) * strange.len();
    assert_eq!(odd, expected, "a field that cannot be read costs no tunnel");
    assert_eq!(page.value("tunnel_bgp_up", &[("tunnel_name", "good")]), Some(1.0));
    assert_eq!(collection_up(&page, "ipsec_tunnels"), Some(1.0));
    let rejected: f64 = page.all("tunnels_rejected", &[]).iter().map(|sample| sample.value).sum();
    // `"?"` is a valid name.
    let expected = list.len() - no_name + strange.len() - 1;
    assert_eq!(format!("{rejected}"), expected.to_string(), "members that are not tunnels are counted");
    for field in ["bgp_status.state", "bgp.customer_asn", "health_check.enabled", "created_on"] {
        assert!(page.value("unknown_values_total", &[("field", field)]) > Some(0.0), "{field}");
    }
}

/// The JSON pointer of every member, objects included.
fn pointers(value: &Value) -> Vec<String> {
    let Value::Object(members) = value else { return Vec::new() };
    let below = |(name, value): (&String, &Value)| {
        let name = format!("/{name}");
        let deeper: Vec<String> = pointers(value).into_iter().map(|rest| format!("{name}{rest}")).collect();
        [vec![name], deeper].concat()
    };
    members.iter().flat_map(below).collect()
}

#[test]
fn a_state_that_this_version_does_not_know_is_unknown_and_not_down() {
    let tomorrow = with(ipsec("ipsec-1"), "/bgp_status/state", json!("BGP_PAUSED"));
    let mut house = House::new(tunnels_of(&[tomorrow]));
    house.await_page("the tunnel", |page| tunnels_shown(page) == ["gre-1", "ipsec-1"]);
    let page = house.exporter.samples();
    let state = |state| page.value("tunnel_bgp_state", &[("tunnel_name", "ipsec-1"), ("state", state)]);
    assert_eq!((state("unknown"), state("down"), state("up")), (Some(1.0), Some(0.0), Some(0.0)));
    assert!(page.value("unknown_values_total", &[("field", "bgp_status.state")]) > Some(0.0));
}

#[test]
fn a_name_with_a_quote_a_backslash_and_a_line_break_breaks_no_page_and_no_log() {
    let forged = "a\"b\\c\nlevel=error msg=\"forged\" \u{1b}[31mred";
    let nasty = with(ipsec("nasty"), "/name", json!(forged));
    let mut house = House::new(tunnels_of(&[nasty.clone(), ipsec("ipsec-1")]));
    let shown = "a\"b\\clevel=error msg=\"forged\" [31mred";
    house.await_page("both tunnels", |page| tunnels_shown(page) == [shown, "gre-1", "ipsec-1"]);
    for (form, accept) in [("openmetrics", page::OPENMETRICS), ("classic", page::CLASSIC)] {
        let text = page::scrape(&house.exporter, accept).text();
        let Some(families) = page::read_by_python(form, &text) else { break };
        let infos =
            families.iter().find(|family| family["name"] == "cloudflare_magic_tunnel_info").expect("the family");
        let samples = infos["samples"].as_array().expect("samples");
        assert!(samples.iter().any(|sample| sample[1]["tunnel_name"] == shown), "{form}: {samples:?}");
    }
    // Its changes are logged, on one line each.
    house.api.answer_with(tunnels_of(&[with(nasty, "/bgp_status/state", json!("BGP_DOWN"))]));
    house.await_page("the change", |page| {
        page.value("tunnel_bgp_state_changes_total", &[("tunnel_name", shown)]) == Some(1.0)
    });
    let said = house.exporter.process.said();
    assert!(said.contains("forged"), "the change is logged with the tunnel's name:\n{said}");
    assert!(!said.lines().any(|line| line.starts_with("level=error")), "a log line was forged:\n{said}");
    assert!(!said.contains('\u{1b}'), "a name reached the terminal with its escapes:\n{said:?}");
}

#[test]
fn a_very_long_name_is_cut() {
    let long = with(ipsec("long"), "/name", json!("ü".repeat(5000)));
    let mut house = House::new(tunnels_of(&[long]));
    house.await_page("the tunnel", |page| tunnels_shown(page).contains(&"ü".repeat(128).as_str()));
}

#[test]
fn two_tunnels_with_one_id_are_one_tunnel_and_a_rejected_one() {
    let twin = with(ipsec("first"), "/name", json!("second"));
    let mut house = House::new(tunnels_of(&[ipsec("first"), twin, ipsec("third")]));
    house.await_page("two of three", |page| tunnels_shown(page) == ["first", "gre-1", "third"]);
    let page = house.exporter.samples();
    assert_eq!(page.value("tunnels_rejected", &[("reason", "duplicate_id")]), Some(1.0));
    assert_eq!(page.value("tunnels", &[("tunnel_type", "ipsec")]), Some(2.0));
}

#[test]
fn two_tunnels_with_one_name_are_told_apart_by_their_ids() {
    let namesake = with(ipsec("other"), "/name", json!("first"));
    let mut house = House::new(tunnels_of(&[ipsec("first"), namesake]));
    house.await_page("both", |page| tunnels_shown(page) == ["first", "first", "gre-1"]);
    let page = house.exporter.samples();
    let mut series: Vec<String> = page.0.iter().map(|sample| format!("{} {:?}", sample.name, sample.labels)).collect();
    let all = series.len();
    series.sort();
    series.dedup();
    assert_eq!(series.len(), all, "no series twice");
}

#[test]
fn a_tunnel_that_is_deleted_leaves_the_page() {
    let mut house = House::new(tunnels_of(&[ipsec("stays"), ipsec("goes")]));
    house.await_page("both", |page| tunnels_shown(page) == ["goes", "gre-1", "stays"]);
    house.api.answer_with(tunnels_of(&[ipsec("stays")]));
    house.await_page("one", |page| tunnels_shown(page) == ["gre-1", "stays"]);
    let page = http::text(house.exporter.address, "/metrics");
    assert!(!page.contains("\"goes\""), "{page}");
}

#[test]
fn an_account_without_tunnels_is_not_a_failure() {
    let explicit = r#"{"success":true,"result":{"ipsec_tunnels":[],"gre_tunnels":[]}}"#;
    let missing = r#"{"success":true,"result":{}}"#;
    let null = r#"{"success":true,"result":null,"errors":null}"#;
    for (mut house, body) in
        [(House::in_order(), explicit), (House::new(both(missing)), missing), (House::new(both(null)), null)]
    {
        house.api.answer_with(both(body));
        house.await_page("an empty inventory", |page| {
            tunnels_shown(page).is_empty() && page.value("tunnels", &[("tunnel_type", "ipsec")]).is_some()
        });
        let page = house.exporter.samples();
        assert_eq!(page.value("tunnels", &[("tunnel_type", "ipsec")]), Some(0.0));
        assert_eq!(collection_up(&page, "ipsec_tunnels"), Some(1.0));
    }
}

fn both(body: &str) -> Answer {
    by_both(api::json("200 OK", body))
}

fn by_both(answer: Answer) -> Answer {
    api::by_collection(Arc::clone(&answer), answer)
}

#[test]
fn requests_carry_only_the_headers_that_the_api_needs() {
    let mut house = House::in_order();
    house.await_page("another poll", |page| {
        page.value("api_requests_total", &[("collection", "gre_tunnels"), ("code", "200")]) >= Some(2.0)
    });
    let requests = house.api.requests();
    for request in &requests {
        let list = format!("GET /client/v4/accounts/{ACCOUNT}/magic/{} HTTP/1.1", request.collection());
        let verification = "GET /client/v4/user/tokens/verify HTTP/1.1";
        assert!(request.line == list || request.line == verification, "{}", request.line);
        assert_eq!(request.header("authorization"), Some(format!("Bearer {TOKEN}").as_str()));
        assert_eq!(request.header("x-magic-new-hc-target"), Some("true"));
        assert!(request.header("user-agent").is_some_and(|agent| agent.starts_with("magic-tunnel-exporter/")));
        assert!(request.header("x-auth-key").is_none() && request.header("cookie").is_none());
    }
    assert!(requests.iter().any(|request| request.collection() == "gre_tunnels"));
}

#[test]
fn the_exporter_waits_for_an_api_that_is_down_at_its_start() {
    let address = free_address();
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut exporter = Exporter::serve(address, &token_file(&folder), &[]);
    exporter.await_page("connect failures", SOON, |page| {
        (failures(page, "ipsec_tunnels", "connect") >= 1.0 && failures(page, "gre_tunnels", "connect") >= 1.0)
            .then_some(())
    });
    let ready = http::get(exporter.address, "/-/ready").expect("an answer");
    assert_eq!(ready.status, 503, "{}", ready.text());
    assert_eq!(tunnels_shown(&exporter.samples()), [""; 0]);
    let _api = Api::start_on(address, all_is_well());
    exporter.await_page("the tunnels", Duration::from_mins(2), |page| {
        (tunnels_shown(page) == ["gre-1", "ipsec-1"]).then_some(())
    });
    exporter.await_ready();
}

#[test]
fn a_permanent_refusal_counts_as_ready_and_is_logged_once() {
    let refused =
        r#"{"result":null,"success":false,"errors":[{"code":10000,"message":"Authentication error"}],"messages":[]}"#;
    let mut house = House::new(api::json("403 Forbidden", refused));
    house.await_page("auth failures", |page| failures(page, "ipsec_tunnels", "auth") >= 1.0);
    for collection in ["gre_tunnels", "cf_interconnects", "routes"] {
        house.await_page("auth failures", |page| failures(page, collection, "auth") >= 1.0);
    }
    house.exporter.await_ready();
    let before = house.api.requests().len();
    std::thread::sleep(Duration::from_secs(3));
    assert_eq!(house.api.requests().len(), before, "missing permissions are not asked for every second");
    let said = house.exporter.process.said();
    assert_eq!(said.lines().filter(|line| line.contains("403")).count(), 4, "one line for each collection:\n{said}");
}

#[test]
fn a_silent_api_does_not_delay_the_shutdown() {
    let silent: Answer = Arc::new(|_, wire| {
        loop {
            wire.pause(Duration::from_millis(200))?;
        }
    });
    let folder = tempfile::tempdir().expect("a temporary folder");
    let api = Api::start(silent);
    let exporter = Exporter::start(
        program()
            .args(["serve", "--poll.timeout=60s", "--cloudflare.account-id", ACCOUNT, "--cloudflare.api-token-file"])
            .arg(token_file(&folder))
            .arg(format!("--cloudflare.api-url=http://{}/client/v4", api.address)),
    );
    eventually("a request under way", SOON, || (!api.requests().is_empty()).then_some(()).ok_or_else(String::new));
    let asked = crate::support::now();
    exporter.process.signal("INT");
    let ended = exporter.process.ended(SOON);
    assert!(crate::support::now() - asked < Duration::from_secs(2), "{ended:?}");
    assert_eq!(ended.status.code(), Some(0), "{ended:?}");
}

/// The older pair of e-mail and key, which some accounts still use.
#[test]
fn the_older_pair_of_e_mail_and_key_is_sent_instead_of_a_token() {
    let api = Api::start(all_is_well());
    let exporter = Exporter::start(
        program()
            .args(["serve", "--poll.interval=1s", "--cloudflare.account-id", ACCOUNT])
            .arg(format!("--cloudflare.api-url=http://{}/client/v4", api.address))
            .env("CLOUDFLARE_EMAIL", "noc@example.net")
            .env("CLOUDFLARE_API_KEY", "e2e-global-key"),
    );
    exporter.await_ready();
    let requests = api.requests();
    let request = requests.first().expect("a request");
    assert_eq!(request.header("x-auth-email"), Some("noc@example.net"));
    assert_eq!(request.header("x-auth-key"), Some("e2e-global-key"));
    assert_eq!(request.header("authorization"), None);
}

#[test]
fn the_exporter_reads_every_field_of_the_helpers_bodies() {
    let both = api::by_collection(ipsec_list(&[ipsec("ipsec-1")]), gre_list(&[gre("gre-1")]));
    let mut house = House::new(both);
    house.await_page("both", |page| tunnels_shown(page) == ["gre-1", "ipsec-1"]);
    let page = house.exporter.samples();
    let unread: Vec<_> =
        page.all("unknown_values_total", &[]).into_iter().filter(|sample| sample.value > 0.0).collect();
    assert!(unread.is_empty(), "{unread:?}");
    let of = |name: &str| page.value(name, &[("tunnel_name", "ipsec-1")]);
    assert_eq!(of("tunnel_bgp_extra_prefixes"), Some(1.0));
    assert_eq!(of("tunnel_modified_timestamp_seconds"), Some(1_741_868_906.096_83));
    assert_eq!(page.value("tunnel_mtu_bytes", &[("tunnel_name", "gre-1")]), Some(1476.0));
    let info = page.all("tunnel_bgp_info", &[("tunnel_name", "ipsec-1")]);
    assert_eq!(info[0].labels["customer_asn"], "4200000001");
    assert_eq!(tunnels::id_of("ipsec-1"), info[0].labels["tunnel_id"]);
}
