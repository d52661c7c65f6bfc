//! The Grafana dashboards: they follow the linter's rules, equal the output of their script, and a real Prometheus that
//! has scraped the demo answers every query.

mod examples;
mod model;
mod promql;
mod rules;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    io::Write as _,
    net::SocketAddr,
    process::Command,
    time::Duration,
};

use serde_json::{Value, json};

use self::model::{Query, label_values, queries, read, variables};
use crate::prometheus::{Prometheus, percent_encoded};
use crate::support::{
    SOON, eventually,
    exporter::{Exporter, program},
    free_address, http, tools,
};

/// Long enough for rates, quantiles and a first change of a BGP session in the demo's story.
const SCRAPES: f64 = 40.0;
const ENOUGH: Duration = Duration::from_mins(3);
/// The token of the demo's sandbox, which accepts any.
const DEMO_TOKEN: &str = "Bearer demo-token";
/// Series that Prometheus itself adds for every target.
const OF_PROMETHEUS: [&str; 2] = ["up", "scrape_duration_seconds"];

#[test]
fn the_dashboards_break_no_rule() {
    for name in model::NAMES {
        let complaints = rules::complaints(&read(name));
        assert!(complaints.is_empty(), "{name}: {complaints:#?}");
    }
}

#[test]
fn the_files_equal_the_output_of_the_script() {
    let Some(python) = tools::tool("python3") else { return };
    let folder = tempfile::tempdir().expect("a temporary folder");
    let written = tools::run(
        Command::new(python)
            .arg(model::folder().join("generate.py"))
            .arg(folder.path())
            .env("PYTHONDONTWRITEBYTECODE", "1"),
        "",
    );
    assert!(written.status.success(), "{}", String::from_utf8_lossy(&written.stderr));
    let files: Vec<String> = model::NAMES.iter().map(|name| format!("{name}.json")).chain([".lint".into()]).collect();
    for file in files {
        let [made, kept] =
            [folder.path(), &model::folder()].map(|at| fs::read_to_string(at.join(&file)).expect("a file"));
        assert!(made == kept, "dashboards/{file} is not what dashboards/generate.py writes; run it and commit both");
    }
}

/// The example files have the keys that Grafana needs.
#[test]
fn the_provisioning_examples_are_yaml_with_the_keys_that_grafana_reads() {
    for (file, pointer, expected) in [
        ("datasources/prometheus.yml", "/datasources/0/type", "prometheus"),
        ("dashboards/magic-tunnels.yml", "/providers/0/type", "file"),
    ] {
        let text = fs::read_to_string(model::folder().join("provisioning").join(file)).expect("a file");
        let parsed: Value = serde_saphyr::from_str(&text).unwrap_or_else(|e| panic!("{file}: {e}"));
        assert_eq!(parsed["apiVersion"], 1, "{file}");
        assert_eq!(parsed.pointer(pointer), Some(&json!(expected)), "{file}");
    }
}

#[test]
fn prometheus_answers_every_query_of_every_dashboard() {
    let Some((demo, prometheus)) = watched_demo() else { return };
    every_series_asked_for_is_on_the_page(&demo);
    let everything = Filling::everything();
    for name in model::NAMES {
        let board = read(name);
        every_variable_has_values(&prometheus, &board, &everything);
        let chosen = Filling::chosen(&demo);
        for filling in [&everything, &chosen] {
            for query in queries(&board) {
                prometheus.await_numbers(&query, filling);
            }
        }
    }
}

/// A demo with an uplink and a generated PSK, and a Prometheus that has scraped it for a while. `None` if Prometheus or
/// the permission to ping is missing.
fn watched_demo() -> Option<(Exporter, Prometheus)> {
    tools::tool("prometheus")?;
    let sandbox = free_address();
    let mut demo = Exporter::start(
        program().arg("demo").arg(format!("--sandbox.listen-address={sandbox}")).arg("--probe.uplink=127.0.0.1"),
    );
    demo.await_ready();
    let open = demo.await_page("the state of the ICMP sockets", SOON, |page| {
        page.all("probe_socket_up", &[]).first().map(|sample| sample.value)
    });
    if open == 0.0 {
        skip("the queries of the dashboards", "this user may not ping");
        return None;
    }
    generate_psks(sandbox);
    let prometheus = Prometheus::scraping(demo.address)?;
    prometheus.await_query("count_over_time(up[5m])", ENOUGH, |found| matches!(found, [(_, n)] if *n >= SCRAPES));
    Some((demo, prometheus))
}

fn skip(what: &str, why: &str) {
    assert!(std::env::var("CI").map_or(true, |ci| ci != "true"), "CI=true forbids skipping {what}: {why}");
    writeln!(std::io::stderr(), "SKIPPED {what}: {why}").expect("stderr");
}

/// Generates a PSK for each IPsec tunnel, because only tunnels with a generated PSK have its timestamp.
fn generate_psks(sandbox: SocketAddr) {
    let seen: Value = serde_json::from_str(&http::text(sandbox, "/sandbox")).expect("JSON from the sandbox");
    let account = &seen["accounts"][0];
    for tunnel in model::list(account, "/tunnels").filter(|tunnel| tunnel["type"] == "ipsec") {
        let [account, id] = [account, tunnel].map(|of| model::text(of, "id"));
        let path = format!("/client/v4/accounts/{account}/magic/ipsec_tunnels/{id}/psk_generate");
        let reply = http::request(sandbox, "POST", &path, &[("Authorization", DEMO_TOKEN)]).expect("the sandbox");
        assert_eq!(reply.status, 200, "{path}: {}", reply.text());
    }
}

fn every_series_asked_for_is_on_the_page(demo: &Exporter) {
    let page = demo.samples();
    let there: BTreeSet<&str> = page.0.iter().map(|sample| sample.name.as_str()).chain(OF_PROMETHEUS).collect();
    for query in model::NAMES.iter().flat_map(|name| queries(&read(name))) {
        for selector in promql::selectors(&query.expr) {
            assert!(there.contains(selector.name.as_str()), "{}: no {} on the page", query.place, selector.name);
        }
    }
}

fn every_variable_has_values(prometheus: &Prometheus, board: &Value, filling: &Filling) {
    for variable in variables(board, "query") {
        let (selector, label) = label_values(variable).unwrap_or_else(|| panic!("{variable}"));
        let matcher = percent_encoded(&filling.of(selector));
        let values = prometheus.data(&format!("/api/v1/label/{label}/values?match[]={matcher}"));
        assert!(values.as_array().is_some_and(|values| !values.is_empty()), "{}: no values", variable["query"]);
    }
}

/// The values that Grafana inserts for the variables.
struct Filling(BTreeMap<&'static str, String>);

impl Filling {
    /// All values of all variables, the initial selection of a dashboard.
    fn everything() -> Self {
        let all = ["job", "instance", "account", "tunnel"].map(|name| (name, ".+".to_owned()));
        let rest = [("limit", "25"), ("__rate_interval", "15s"), ("__range", "60s")];
        Self(all.into_iter().chain(rest.map(|(name, value)| (name, value.to_owned()))).collect())
    }

    /// One exporter and two tunnels, which Grafana escapes and joins: a flapping IPsec tunnel and a GRE tunnel that is
    /// down.
    fn chosen(demo: &Exporter) -> Self {
        let mut filling = Self::everything().0;
        filling.insert("job", "magic".into());
        filling.insert("instance", demo.address.to_string().replace('.', "\\\\."));
        filling.insert("account", "demo".into());
        filling.insert("tunnel", "(lon-ipsec-1|mad-gre-1)".into());
        Self(filling)
    }

    fn of(&self, expr: &str) -> String {
        // The longest name first, because one name may be the beginning of another.
        let mut names: Vec<_> = self.0.iter().collect();
        names.sort_by_key(|(name, _)| std::cmp::Reverse(name.len()));
        let filled =
            names.into_iter().fold(expr.to_owned(), |text, (name, value)| text.replace(&format!("${name}"), value));
        assert!(!filled.contains('$'), "a variable without a value in {filled}");
        filled
    }
}

impl Prometheus {
    /// The `data` of an answer. Panics unless the query succeeded.
    fn data(&self, path: &str) -> Value {
        let reply = http::get(self.address, path).expect("an answer of Prometheus");
        let mut answer: Value = serde_json::from_str(&reply.text()).expect("JSON from Prometheus");
        assert_eq!(answer["status"], "success", "{path}: {}", answer["error"]);
        answer["data"].take()
    }

    /// Waits until the answer to a query, sent in the form of Grafana, contains numbers. Panics at once if the query
    /// fails.
    fn await_numbers(&self, query: &Query, filling: &Filling) {
        let expr = filling.of(&query.expr);
        let encoded = percent_encoded(&expr);
        eventually(&format!("numbers for {}: {expr}", query.place), SOON, || {
            let path = if query.instant {
                format!("/api/v1/query?query={encoded}")
            } else {
                let end = self.query("vector(time())")[0].1;
                format!("/api/v1/query_range?query={encoded}&start={}&end={end}&step=2", end - 60.0)
            };
            let data = self.data(&path);
            if numbers(&data["result"]) > 0 { Ok(()) } else { Err(data.to_string()) }
        });
    }
}

/// The number of values of a vector or matrix that are numbers; 0/0 is not a number.
fn numbers(result: &Value) -> usize {
    let members = result.as_array().into_iter().flatten();
    let values =
        members.flat_map(|one| one["values"].as_array().cloned().unwrap_or_else(|| vec![one["value"].clone()]));
    values.filter(|value| value[1].as_str().is_some_and(|text| text.parse().is_ok_and(f64::is_finite))).count()
}

#[test]
fn an_empty_vector_has_no_numbers() {
    assert_eq!(numbers(&json!([])), 0);
    assert_eq!(numbers(&json!([{"metric": {}, "value": [1, "NaN"]}])), 0);
    assert_eq!(numbers(&json!([{"metric": {}, "values": [[1, "NaN"], [2, "0"]]}])), 1);
}
