//! A real Prometheus that has scraped the demo, itself and another job answers every query of every dashboard.
//!
//! The exporter is scraped three times: as a second exporter of the same account, and as another account.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    io::Write as _,
    net::SocketAddr,
    path::Path,
    time::Duration,
};

use serde_json::{Value, json};

use super::{
    model::{self, Query, all_value, label_values, list, panels, queries, read, text, variables},
    promql::{Selector, selectors},
};
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
/// Sites of a part of the tunnels.
const SITES: &str = "tunnels: { overrides: [{ name: 'fra-*', site: frankfurt }, { name: 'lon-*', site: london }] }";
/// The job of the exporters, as in the recording rules.
const JOB: &str = "magic-tunnels";

#[test]
fn prometheus_answers_every_query_of_every_dashboard() {
    let Some(Watched { demo, agent, prometheus, .. }) = watched_demo() else { return };
    for name in model::names() {
        let board = read(&name);
        let everything = Filling::everything(&prometheus, &board);
        for filling in [&everything, &Filling::chosen(&prometheus, &board, &[&demo, &agent])] {
            for query in queries(&board) {
                prometheus.await_numbers(&query, filling);
            }
        }
        every_series_is_of_an_exporter(&prometheus, &board, &everything);
        every_legend_of_a_panel_is_unique(&prometheus, &board, &everything);
    }
}

/// The exporter, its agent and Prometheus, and the folder of their files.
struct Watched {
    demo: Exporter,
    agent: Exporter,
    prometheus: Prometheus,
    _folder: tempfile::TempDir,
}

/// A demo with an uplink, sites and generated PSKs, and a Prometheus that has scraped it for a while. `None` if
/// Prometheus or the permission to ping is missing.
fn watched_demo() -> Option<Watched> {
    tools::tool("prometheus")?;
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = |name: &str| folder.path().join(name);
    fs::write(file("sites.yml"), SITES).expect("a file");
    for kind in ["rules", "alerts"] {
        fs::write(file(&format!("{kind}.yml")), without_waiting(kind)).expect("a file");
    }
    let sandbox = free_address();
    let mut demo = Exporter::start(
        program()
            .arg("demo")
            .arg(format!("--config.file={}", file("sites.yml").display()))
            .arg(format!("--sandbox.listen-address={sandbox}"))
            .arg("--probe.uplink=127.0.0.1"),
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
    let hub = format!("--inventory.url=http://{}", demo.address);
    let agent = Exporter::start(program().args([
        "serve",
        "--probe",
        "--probe.mtu",
        "--probe.mtu.interval=1s",
        "--inventory.interval=5s",
        &hub,
    ]));
    let prometheus = Prometheus::configured(&scraping(demo.address, agent.address, folder.path()))?;
    let seen = format!("count_over_time(up{{job='{JOB}',instance='second'}}[5m])");
    prometheus.await_query(&seen, ENOUGH, |found| matches!(found, [(_, n)] if *n >= SCRAPES));
    Some(Watched { demo, agent, prometheus, _folder: folder })
}

/// The shipped rules, evaluated every second, with alerts that fire at once.
fn without_waiting(kind: &str) -> String {
    let shipped = model::folder().join(format!("../alerts/magic-tunnel-exporter.{kind}.yml"));
    let text = fs::read_to_string(shipped).expect("the rules");
    let shorter = |line: &str| {
        let (key, _) = line.split_once(": ").unwrap_or_default();
        match key.trim_start() {
            "interval" => format!("{key}: 1s\n"),
            "for" => format!("{key}: 0s\n"),
            _ => format!("{line}\n"),
        }
    };
    text.lines().map(shorter).collect()
}

/// The exporter as three, its agent, Prometheus itself, and a job with the same metrics of the process.
fn scraping(exporter: SocketAddr, agent: SocketAddr, rules: &Path) -> String {
    let job = |name: &str, target: &str, more: &str| {
        format!("  - {{ job_name: {name}, static_configs: [{{ targets: ['{target}'] }}], {more} }}\n")
    };
    let label = |name: &str, value: &str| format!("{{ target_label: {name}, replacement: '{value}' }}");
    let keep = |label: &str, values: &str| format!("{{ source_labels: [{label}], regex: '{values}', action: keep }}");
    let magic = label("job", JOB);
    let hub = label("role", "hub");
    let second = format!("relabel_configs: [{magic}, {hub}, {}]", label("instance", "second"));
    let account = format!("{}, {}", keep("account", ".+"), label("account", "other"));
    let other = format!("relabel_configs: [{magic}, {hub}], metric_relabel_configs: [{account}]");
    let process = format!("metric_relabel_configs: [{}]", keep("__name__", "process_.+"));
    let target = exporter.to_string();
    let jobs = [
        job(JOB, &target, &format!("relabel_configs: [{hub}]")),
        job("agent", &agent.to_string(), &format!("relabel_configs: [{magic}, {}]", label("role", "agent"))),
        job("second-exporter", &target, &second),
        job("other-account", &target, &other),
        job("node", &target, &process),
        job("prometheus", "ITSELF", ""),
    ];
    format!(
        "global: {{ scrape_interval: 1s, scrape_timeout: 1s, evaluation_interval: 1s }}\n\
         rule_files: ['{rules}/rules.yml', '{rules}/alerts.yml']\n\
         scrape_configs:\n{jobs}",
        rules = rules.display(),
        jobs = jobs.concat(),
    )
}

fn skip(what: &str, why: &str) {
    assert!(std::env::var("CI").map_or(true, |ci| ci != "true"), "CI=true forbids skipping {what}: {why}");
    writeln!(std::io::stderr(), "SKIPPED {what}: {why}").expect("stderr");
}

/// Generates a PSK for each IPsec tunnel, because only tunnels with a generated PSK have its timestamp.
fn generate_psks(sandbox: SocketAddr) {
    let seen: Value = serde_json::from_str(&http::text(sandbox, "/sandbox")).expect("JSON from the sandbox");
    let account = &seen["accounts"][0];
    for tunnel in list(account, "/tunnels").filter(|tunnel| tunnel["type"] == "ipsec") {
        let [account, id] = [account, tunnel].map(|of| text(of, "id"));
        let path = format!("/client/v4/accounts/{account}/magic/ipsec_tunnels/{id}/psk_generate");
        let reply = http::request(sandbox, "POST", &path, &[("Authorization", DEMO_TOKEN)]).expect("the sandbox");
        assert_eq!(reply.status, 200, "{path}: {}", reply.text());
    }
}

/// The values that Grafana inserts for the variables.
struct Filling(BTreeMap<String, String>);

impl Filling {
    /// The initial selection of a dashboard; all values of a variable without "All" as well.
    fn everything(prometheus: &Prometheus, board: &Value) -> Self {
        let given = [("limit", "25"), ("__rate_interval", "15s"), ("__range", "60s"), ("__range:5m", "60s:5s")];
        let mut filling = Self(given.map(|(name, value)| (name.to_owned(), value.to_owned())).into());
        for variable in variables(board, "query") {
            let values = filling.values(prometheus, variable);
            let chosen = all_value(variable).map_or_else(|| alternatives(&values), str::to_owned);
            filling.0.insert(text(variable, "name").to_owned(), chosen);
        }
        filling
    }

    /// These exporters and two tunnels: a flapping IPsec tunnel and a GRE tunnel that is down.
    fn chosen(prometheus: &Prometheus, board: &Value, exporters: &[&Exporter]) -> Self {
        let mut filling = Self::everything(prometheus, board);
        let tunnels = ["lon-ipsec-1", "mad-gre-1"].map(str::to_owned);
        let instances: Vec<String> = exporters.iter().map(|exporter| exporter.address.to_string()).collect();
        for (name, value) in
            [("instance", alternatives(&instances)), ("account", "demo".into()), ("tunnel", alternatives(&tunnels))]
        {
            filling.0.insert(name.into(), value);
        }
        filling
    }

    /// The values of a variable. Panics if there are none.
    fn values(&self, prometheus: &Prometheus, variable: &Value) -> Vec<String> {
        let (selector, label) = label_values(variable).unwrap_or_else(|| panic!("{variable}"));
        let matcher = percent_encoded(&self.of(selector));
        let found = prometheus.data(&format!("/api/v1/label/{label}/values?match[]={matcher}"));
        let values: Vec<String> = list(&found, "").filter_map(Value::as_str).map(str::to_owned).collect();
        assert!(!values.is_empty(), "{}: no values", variable["query"]);
        values
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

/// Several values as Grafana escapes and joins them.
fn alternatives(values: &[String]) -> String {
    let escaped: Vec<String> = values.iter().map(|value| value.replace('.', "\\\\.")).collect();
    if let [one] = escaped.as_slice() { one.clone() } else { format!("({})", escaped.join("|")) }
}

impl Prometheus {
    /// The `data` of an answer. Panics unless the query succeeded.
    fn data(&self, path: &str) -> Value {
        let reply = http::get(self.address, path).expect("an answer of Prometheus");
        let mut answer: Value = serde_json::from_str(&reply.text()).expect("JSON from Prometheus");
        assert_eq!(answer["status"], "success", "{path}: {}", answer["error"]);
        answer["data"].take()
    }

    /// The result of a query, sent in the form of Grafana.
    fn result(&self, expr: &str, instant: bool) -> Value {
        let encoded = percent_encoded(expr);
        let path = if instant {
            format!("/api/v1/query?query={encoded}")
        } else {
            let end = self.query("vector(time())")[0].1;
            format!("/api/v1/query_range?query={encoded}&start={}&end={end}&step=2", end - 60.0)
        };
        self.data(&path)["result"].take()
    }

    /// Waits until the answer to a query contains numbers. Panics at once if the query fails.
    fn await_numbers(&self, query: &Query, filling: &Filling) {
        let expr = filling.of(&query.expr);
        eventually(&format!("numbers for {}: {expr}", query.place), SOON, || {
            let result = self.result(&expr, query.instant);
            // A list of reasons without the zeros, and alerts, may be empty: then the query has to find something
            // without this filter.
            let unfiltered = expr.trim_end_matches(" > 0").replace(", tunnel_id=\"\"", "");
            if numbers(&result) > 0 || unfiltered != expr && numbers(&self.result(&unfiltered, query.instant)) > 0 {
                return Ok(());
            }
            Err(result.to_string())
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

/// Every metric of a query exists, and is one of exporters: other jobs have metrics of processes and `up` as well.
fn every_series_is_of_an_exporter(prometheus: &Prometheus, board: &Value, filling: &Filling) {
    for query in queries(board) {
        for Selector { name, matchers, .. } in selectors(&query.expr) {
            let jobs = format!("group by (job) ({name}{{{}}})", filling.of(&matchers));
            let found: Vec<Value> =
                prometheus.query(&jobs).into_iter().map(|(labels, _)| labels["job"].clone()).collect();
            assert!(found.iter().all(|job| job == JOB), "{}: {name} of the jobs {found:?}", query.place);
            assert!(!prometheus.query(&format!("group({name})")).is_empty(), "{}: no {name}", query.place);
        }
    }
}

fn every_legend_of_a_panel_is_unique(prometheus: &Prometheus, board: &Value, filling: &Filling) {
    for panel in panels(board).filter(|panel| panel["type"] != "table") {
        let mut legends = BTreeSet::new();
        for target in list(panel, "/targets") {
            let result = prometheus.result(&filling.of(text(target, "expr")), target["instant"] == true);
            for series in list(&result, "") {
                let legend = legend(text(target, "legendFormat"), &series["metric"]);
                assert!(legends.insert(legend.clone()), "{}: {legend} twice", panel["title"]);
            }
        }
    }
}

/// The name of a series in a panel.
fn legend(format: &str, labels: &Value) -> String {
    if format == "__auto" {
        return labels.to_string();
    }
    let labels = labels.as_object().expect("labels");
    labels.iter().fold(format.to_owned(), |text, (name, value)| {
        text.replace(&format!("{{{{{name}}}}}"), value.as_str().unwrap_or_default())
    })
}
