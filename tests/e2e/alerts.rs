//! The shipped rule files: checked by promtool and amtool, and compared with the page and each other.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    process::Command,
};

use serde::{Deserialize, de::DeserializeOwned};

use crate::support::{
    exporter::{Exporter, program},
    http,
    tools::{self, tool},
};

const RULES: &str = "magic-tunnel-exporter.rules.yml";
const ALERTS: &str = "magic-tunnel-exporter.alerts.yml";
/// For a hub and its agents.
pub(crate) const FLEET: &str = "magic-tunnel-exporter.fleet.rules.yml";
const ROUTES: &str = "alertmanager.example.yml";

#[derive(Debug, Deserialize)]
struct RuleFile {
    groups: Vec<Group>,
}

#[derive(Debug, Deserialize)]
struct Group {
    rules: Vec<Rule>,
}

/// A rule; an alert if `alert` is set.
#[derive(Debug, Deserialize)]
pub(crate) struct Rule {
    #[serde(default)]
    alert: String,
    #[serde(default)]
    record: String,
    expr: String,
    #[serde(default)]
    labels: BTreeMap<String, String>,
    #[serde(default)]
    annotations: BTreeMap<String, String>,
}

#[derive(Debug, Deserialize)]
struct UnitTests {
    tests: Vec<Story>,
}

#[derive(Debug, Deserialize)]
struct Story {
    #[serde(default)]
    alert_rule_test: Vec<AlertTest>,
}

#[derive(Debug, Deserialize)]
struct AlertTest {
    alertname: String,
    exp_alerts: Vec<Expected>,
}

#[derive(Debug, Deserialize)]
struct Expected {
    exp_annotations: BTreeMap<String, String>,
}

#[derive(Debug, Deserialize)]
struct Alertmanager {
    inhibit_rules: Vec<Inhibition>,
}

#[derive(Debug, Deserialize)]
struct Inhibition {
    source_matchers: Vec<String>,
    target_matchers: Vec<String>,
}

/// A path in the repository.
pub(crate) fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// The text of a file in `alerts/`.
pub(crate) fn shipped(file: &str) -> String {
    text(&repository("alerts").join(file))
}

/// The text of a file.
pub(crate) fn text(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

fn parsed<T: DeserializeOwned>(path: &Path) -> T {
    serde_saphyr::from_str(&text(path)).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

fn rules() -> Vec<Rule> {
    let files = [RULES, ALERTS, FLEET].map(|file| parsed::<RuleFile>(&repository("alerts").join(file)));
    files.into_iter().flat_map(|file| file.groups).flat_map(|group| group.rules).collect()
}

/// The shipped alerts by name.
pub(crate) fn alerts() -> BTreeMap<String, Rule> {
    rules().into_iter().filter(|rule| !rule.alert.is_empty()).map(|rule| (rule.alert.clone(), rule)).collect()
}

fn unit_tests() -> Vec<PathBuf> {
    let folder = std::fs::read_dir(repository("alerts/tests")).expect("the folder of unit tests");
    folder
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|e| e == "yml"))
        .collect()
}

/// Runs a tool in `alerts/`. Panics if it reports an error.
pub(crate) fn assert_accepted_by(name: &str, arguments: &[&str]) {
    let Some(binary) = tool(name) else { return };
    let output = tools::run(Command::new(binary).args(arguments).current_dir(repository("alerts")), "");
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{name} {arguments:?}:\n{said}");
}

#[test]
fn promtool_accepts_the_rules() {
    assert_accepted_by("promtool", &["check", "rules", RULES, ALERTS, FLEET]);
}

#[test]
fn the_unit_tests_of_the_alerts_pass_in_promtool() {
    let files = unit_tests();
    let files = files.iter().map(|path| path.to_str().expect("a path of UTF-8 text"));
    assert_accepted_by("promtool", &["test", "rules"].into_iter().chain(files).collect::<Vec<_>>());
}

#[test]
fn amtool_accepts_the_routes() {
    assert_accepted_by("amtool", &["check-config", ROUTES]);
}

#[test]
fn every_alert_has_a_severity_a_description_and_a_runbook_url() {
    let alerts = alerts();
    assert!(!alerts.is_empty());
    for (name, rule) in &alerts {
        let subject = ["MagicTunnel", "MagicAgent", "MagicFleet"].iter().any(|start| name.starts_with(start));
        assert!(subject, "{name}: the routes of Alertmanager match the first words");
        let severity = rule.labels.get("severity").map(String::as_str);
        assert!(matches!(severity, Some("critical" | "warning" | "info" | "none")), "{name}: severity {severity:?}");
        let annotation = |key: &str| rule.annotations.get(key).unwrap_or_else(|| panic!("{name} has no {key}"));
        let summary = annotation("summary");
        assert!(!summary.contains("{{") && summary.ends_with('.'), "{name}: a static sentence, not: {summary}");
        let description = annotation("description");
        assert!(description.contains("{{ $labels."), "{name}: which one? {description}");
        assert!(description.contains(" First "), "{name}: what to check first? {description}");
        if description.contains("$labels.tunnel_name") {
            assert!(description.contains("$labels.account"), "{name}: of which account? {description}");
        }
        let runbook = annotation("runbook_url");
        assert!(runbook.contains("/runbooks") || runbook.contains("docs/RUNBOOKS.md"), "{name}: {runbook}");
        assert!(runbook.ends_with(&format!("}}}}#{}", name.to_lowercase())), "{name}: {runbook}");
        // The exporter has a page for each alert with the label `instance`.
        assert_eq!(runbook.contains("$labels.instance"), rule.annotations.contains_key("dashboard_url"), "{name}");
    }
}

#[test]
fn every_alert_fires_in_a_unit_test_with_its_text() {
    let mut fired = BTreeSet::new();
    for path in unit_tests() {
        for test in parsed::<UnitTests>(&path).tests.into_iter().flat_map(|story| story.alert_rule_test) {
            for expected in &test.exp_alerts {
                let whole =
                    ["summary", "description", "runbook_url"].map(|key| expected.exp_annotations.contains_key(key));
                assert_eq!(whole, [true; 3], "{}: {} without its text", path.display(), test.alertname);
                fired.insert(test.alertname.clone());
            }
        }
    }
    assert_eq!(fired, alerts().into_keys().collect());
}

#[test]
fn every_alert_is_documented_with_its_severity() {
    let document = text(&repository("docs/ALERTS.md"));
    for (name, rule) in alerts() {
        let row = format!("| [`{name}`](RUNBOOKS.md#{}) | {} |", name.to_lowercase(), rule.labels["severity"]);
        assert!(document.contains(&row), "docs/ALERTS.md lacks {row}");
    }
}

#[test]
fn rules_use_only_metrics_that_are_on_the_page_or_recorded() {
    let demo = Exporter::demo();
    // An agent has more metrics than the demo.
    let agent =
        Exporter::start(program().args(["serve", "--inventory.url=http://127.0.0.1:9", "--inventory.site=nowhere"]));
    let page = [&demo, &agent].map(|exporter| http::text(exporter.address, "/metrics")).concat();
    let mut known: BTreeSet<String> = rules().into_iter().map(|rule| rule.record).collect();
    for (name, kind) in page.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' ')) {
        let suffixes: &[&str] = if kind == "histogram" { &["_bucket", "_sum", "_count"] } else { &[""] };
        known.extend(suffixes.iter().map(|suffix| format!("{name}{suffix}")));
    }
    let mut asked = 0;
    for rule in rules() {
        for name in metrics(&rule.expr) {
            assert!(known.contains(name), "{}{} asks for {name}", rule.alert, rule.record);
            asked += 1;
        }
    }
    assert!(asked > 40, "only {asked} metrics were found in the rules");
}

/// The metrics of this project in an expression: those of the page and those that other rules record.
pub(crate) fn metrics(expr: &str) -> impl Iterator<Item = &str> {
    let words = expr.split(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '_' | ':')));
    words.filter(|word| word.contains("cloudflare_magic_"))
}

#[test]
fn metrics_are_found_in_an_expression() {
    let expr = "rate(cloudflare_magic_a_total{x=\"1\"}[5m]) > on (job) a:cloudflare_magic_b:sum\nand up == 1";
    assert_eq!(metrics(expr).collect::<Vec<_>>(), ["cloudflare_magic_a_total", "a:cloudflare_magic_b:sum"]);
}

#[test]
fn inhibitions_name_alerts_that_exist() {
    let routes: Alertmanager = parsed(&repository("alerts").join(ROUTES));
    let alerts = alerts();
    let mut named = 0;
    for matcher in routes.inhibit_rules.iter().flat_map(|rule| rule.source_matchers.iter().chain(&rule.target_matchers))
    {
        for name in alternatives(matcher) {
            let exists = match name.strip_suffix(".+") {
                Some(prefix) => alerts.keys().any(|alert| alert.starts_with(prefix)),
                None => alerts.contains_key(&name),
            };
            assert!(exists, "{ROUTES}: no alert is called {name} ({matcher})");
            named += 1;
        }
    }
    assert!(named > 20, "only {named} alerts are named in inhibitions");
}

/// The alerts that a matcher such as `alertname =~ "A(B|C.+)"` names: `AB`, `AC.+`.
fn alternatives(matcher: &str) -> Vec<String> {
    let pattern = matcher.trim_start_matches("alertname").trim_start_matches([' ', '=', '~', '!']).trim_matches('"');
    match pattern.split_once('(') {
        Some((prefix, rest)) => rest.trim_end_matches(')').split('|').map(|one| format!("{prefix}{one}")).collect(),
        None => vec![pattern.to_owned()],
    }
}
