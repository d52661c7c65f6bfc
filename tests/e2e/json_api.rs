//! `/api/v1/…`: the JSON API.

use serde_json::{Value, json};

use crate::{
    prometheus::{Prometheus, percent_encoded},
    sandbox::Sandbox,
    support::{
        SOON,
        api::{self, Api, by_collection},
        eventually,
        exporter::{Exporter, program, token_file},
        free_address, http,
        tunnels::{all_is_well, gre, gre_list, ipsec, ipsec_list, with},
    },
};

fn get(exporter: &Exporter, path: &str) -> Value {
    serde_json::from_str(&http::text(exporter.address, path)).expect("JSON")
}

fn names(exporter: &Exporter, query: &str) -> Vec<String> {
    let answer = get(exporter, &format!("/api/v1/tunnels{query}"));
    let tunnels = answer["tunnels"].as_array().expect("tunnels").iter();
    tunnels.map(|tunnel| tunnel["name"].as_str().expect("a name").to_owned()).collect()
}

/// Waits until every tunnel has a verdict.
fn await_judged(exporter: &Exporter) {
    eventually("every tunnel to have a verdict", SOON, || {
        let answer = get(exporter, "/api/v1/tunnels");
        let tunnels = answer["tunnels"].as_array().expect("tunnels");
        let judged = !tunnels.is_empty() && tunnels.iter().all(|tunnel| tunnel.get("verdict").is_some());
        if judged { Ok(()) } else { Err(answer.to_string()) }
    });
}

/// An exporter that has polled ten thousand generated tunnels and those of the demo.
pub(crate) fn ten_thousand_tunnels(folder: &tempfile::TempDir) -> (Sandbox, Exporter) {
    let sandbox = Sandbox::start_with(free_address(), &["--sandbox.tunnels=10000"]);
    let exporter = Exporter::start(
        program()
            .args(["serve", "--poll.interval=30s", "--poll.timeout=20s", "--cloudflare.account-id", &sandbox.account])
            .arg(format!("--cloudflare.api-token-file={}", token_file(folder).display()))
            .arg(format!("--cloudflare.api-url=http://{}/client/v4", sandbox.address)),
    );
    exporter.await_ready();
    (sandbox, exporter)
}

#[test]
fn tunnels_are_filtered_by_type_verdict_account_and_text() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let down =
        with(with(ipsec("fra-1"), "/bgp_status/state", json!("BGP_DOWN")), "/customer_endpoint", json!("192.0.2.44"));
    let api = Api::start(by_collection(ipsec_list(&[down, ipsec("fra-2")]), gre_list(&[gre("ams-1")])));
    let exporter = Exporter::serve(api.address, &token_file(&folder), &[]);
    exporter.await_ready();
    await_judged(&exporter);
    for (query, expected) in [
        ("", &["ams-1", "fra-1", "fra-2"][..]),
        ("?type=gre", &["ams-1"]),
        ("?search=FRA", &["fra-1", "fra-2"]),
        ("?search=192.0.2.44", &["fra-1"]),
        ("?verdict=reported_down", &["fra-1"]),
        ("?verdict=attention&type=ipsec&search=", &["fra-1"]),
        ("?verdict=healthy", &["fra-2"]),
        ("?account=none", &[]),
    ] {
        assert_eq!(names(&exporter, query), expected, "{query}");
    }
    for (query, part) in
        [("?verdict=bad", "must be one of healthy"), ("?colour=red", "unknown key"), ("?page=2", "unknown key")]
    {
        for list in ["tunnels", "targets"] {
            let reply = http::get(exporter.address, &format!("/api/v1/{list}{query}")).expect("an answer");
            let answer: Value = serde_json::from_str(&reply.text()).expect("JSON");
            assert_eq!(reply.status, 400, "{query}");
            assert!(answer["error"].as_str().is_some_and(|sentence| sentence.contains(part)), "{query}: {answer}");
        }
    }
}

#[test]
fn every_path_refuses_an_unknown_parameter_with_the_known_ones() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let api = Api::start(by_collection(ipsec_list(&[ipsec("fra-1")]), gre_list(&[])));
    let exporter = Exporter::serve(api.address, &token_file(&folder), &[]);
    exporter.await_ready();
    let filters = "expected one of account, site, type, verdict, search";
    for (path, form, known) in [
        ("/", "text/html", "expected one of account, site, type, verdict, search, sort, sites, page"),
        ("/runbooks", "text/html", "this path has none"),
        ("/prefixes", "text/html", "expected one of account, state"),
        ("/agents", "text/html", "this path has none"),
        ("/tunnels/a/ipsec/b", "text/html", "this path has none"),
        ("/assets/style.css", "text/plain", "this path has none"),
        ("/metrics", "text/plain", "expected one of collect[], exclude[]"),
        ("/-/healthy", "text/plain", "this path has none"),
        ("/-/ready", "text/plain", "this path has none"),
        ("/-/reload", "text/plain", "this path has none"),
        ("/api/v1/tunnels", "application/json", filters),
        ("/api/v1/tunnels/a/ipsec/b", "application/json", "this path has none"),
        ("/api/v1/targets", "application/json", filters),
        ("/api/v1/sites", "application/json", filters),
        ("/api/v1/events", "application/json", "expected one of account, site, type, search, since, format"),
        ("/api/v1/prefixes", "application/json", "expected one of account, state"),
        ("/api/v1/inventory", "application/json", "expected one of site, account, all"),
        ("/api/v1/agents", "application/json", "this path has none"),
        ("/api/v1/agents/targets", "application/json", "this path has none"),
    ] {
        let method = if path == "/-/reload" { "POST" } else { "GET" };
        let reply = http::request(exporter.address, method, &format!("{path}?colour=red"), &[]).expect("an answer");
        let text = reply.text();
        assert_eq!(reply.status, 400, "{path}: {text}");
        assert!(reply.header("content-type").starts_with(form), "{path}: {reply:?}");
        assert!(text.contains("unknown key `colour`; ") && text.contains(known), "{path}: {text}");
    }
}

#[test]
fn each_tunnel_has_a_path() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let api = Api::start(by_collection(ipsec_list(&[ipsec("fra-1")]), gre_list(&[])));
    let exporter = Exporter::serve(api.address, &token_file(&folder), &[]);
    exporter.await_ready();
    let listed = get(&exporter, "/api/v1/tunnels")["tunnels"][0].clone();
    let account = listed["account"].as_str().expect("an account");
    let part = format!("{account}/ipsec/{}", percent_encoded(listed["id"].as_str().expect("an id")));
    assert_eq!(get(&exporter, &format!("/api/v1/tunnels/{part}"))["name"], "fra-1");
    assert!(http::text(exporter.address, &format!("/tunnels/{part}")).contains("<h1>fra-1"));
    for path in ["/api/v1/tunnels/", "/tunnels/"] {
        let missing = http::get(exporter.address, &format!("{path}{account}/gre/none")).expect("an answer");
        assert_eq!(missing.status, 404, "{path}");
        assert!(missing.text().contains("no such tunnel"), "{path}: {}", missing.text());
    }
}

#[test]
fn a_failed_list_has_a_reason_and_differs_from_an_empty_list() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let refused = api::json("403 Forbidden", json!({ "success": false, "errors": [{ "code": 10_000 }] }).to_string());
    let api = Api::start(by_collection(refused, gre_list(&[])));
    let exporter = Exporter::serve(api.address, &token_file(&folder), &[]);
    exporter.await_ready();
    let answer = get(&exporter, "/api/v1/tunnels");
    let of = |collection: &str| {
        let lists = answer["collections"].as_array().expect("collections");
        lists.iter().find(|list| list["collection"] == collection).expect("the collection").clone()
    };
    assert_eq!(answer["tunnels"], json!([]));
    let (ipsec, gre) = (of("ipsec_tunnels"), of("gre_tunnels"));
    assert_eq!((&ipsec["state"], &ipsec["reason"], &ipsec["stale"]), (&json!("failed"), &json!("auth"), &json!(true)));
    assert!(ipsec.get("tunnels").is_none(), "the number of tunnels is unknown: {ipsec}");
    assert_eq!((&gre["state"], &gre["tunnels"], &gre["stale"]), (&json!("succeeded"), &json!(0), &json!(false)));
}

#[test]
fn ten_thousand_tunnels_are_listed_completely_and_compressed_on_request() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (_sandbox, exporter) = ten_thousand_tunnels(&folder);
    let plain = http::get(exporter.address, "/api/v1/tunnels").expect("an answer");
    let zipped = http::request(exporter.address, "GET", "/api/v1/tunnels", &[("Accept-Encoding", "gzip")]);
    let zipped = zipped.expect("an answer");
    assert_eq!((plain.header("content-encoding").as_str(), zipped.header("content-encoding").as_str()), ("", "gzip"));
    assert!(zipped.body.len() * 5 < plain.body.len(), "{} of {} bytes", zipped.body.len(), plain.body.len());
    for reply in [plain, zipped] {
        let answer: Value = serde_json::from_str(&reply.text()).expect("JSON");
        assert!(answer["tunnels"].as_array().expect("tunnels").len() >= 10_000);
    }
    let targets = get(&exporter, "/api/v1/targets?search=gen-");
    assert_eq!(targets.as_array().expect("a bare list").len(), 20_000, "two addresses of each generated tunnel");
}

#[test]
fn prometheus_discovers_the_addresses_if_probing_is_off() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let api = Api::start(all_is_well());
    let exporter = Exporter::serve(api.address, &token_file(&folder), &[]);
    exporter.await_ready();
    let address = exporter.address;
    // The exporter's own metrics replace those of another prober.
    let Some(prometheus) = Prometheus::configured(&format!(
        "global: {{ scrape_interval: 1s, scrape_timeout: 1s }}
scrape_configs:
  - job_name: pings
    http_sd_configs: [{{ url: 'http://{address}/api/v1/targets', refresh_interval: 1s }}]
    relabel_configs:
      - {{ source_labels: [__address__], target_label: instance }}
      - {{ source_labels: [__meta_cloudflare_magic_tunnel_name], target_label: tunnel_name }}
      - {{ source_labels: [__meta_cloudflare_magic_tunnel_type], target_label: tunnel_type }}
      - {{ source_labels: [__meta_cloudflare_magic_probe_target], target_label: probe_target }}
      - {{ target_label: __address__, replacement: '{address}' }}
"
    )) else {
        return;
    };
    let expected = [
        ("10.213.0.8", "gre-1", "gre", "interface_address"),
        ("10.252.2.26", "ipsec-1", "ipsec", "interface_address"),
        ("198.51.100.7", "ipsec-1", "ipsec", "customer_endpoint"),
        ("198.51.100.8", "gre-1", "gre", "customer_endpoint"),
        ("2606:54c1:7:0:a9fe:12d2:1:200", "ipsec-1", "ipsec", "interface_address6"),
    ];
    prometheus.await_query("up{job='pings'} == 1", SOON, |found| {
        let mut found: Vec<_> = found
            .iter()
            .map(|(labels, _)| {
                ["instance", "tunnel_name", "tunnel_type", "probe_target"].map(|name| labels[name].clone())
            })
            .collect();
        found.sort_by_key(|labels| labels[0].to_string());
        found.iter().map(|l| (l[0].as_str(), l[1].as_str(), l[2].as_str(), l[3].as_str())).eq(expected
            .iter()
            .map(|&(instance, name, kind, target)| (Some(instance), Some(name), Some(kind), Some(target))))
    });
}
