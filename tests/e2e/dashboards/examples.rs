//! An example that breaks each rule, so that a rule that stops working is noticed.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::{model::read, rules};

const EXPR: &str = "/panels/0/targets/0/expr";
const JOB: usize = 1;

/// A small dashboard that follows all rules: one panel, one annotation, the variables.
fn sound() -> Value {
    let datasource = json!({"type": "prometheus", "uid": "${datasource}"});
    let mut board = read("overview");
    let template = read("tunnel");
    board["panels"] = json!([{
        "id": 1,
        "type": "timeseries",
        "title": "Loss",
        "description": "Lost echoes, by those that ended.",
        "datasource": datasource,
        "gridPos": {"x": 0, "y": 0, "w": 24, "h": 8},
        "fieldConfig": {"defaults": {"unit": "ops", "links": [
            {"title": "Open", "url": "/d/cloudflare-magic-tunnel?${datasource:queryparam}"}
        ]}, "overrides": []},
        "targets": [{"refId": "A", "datasource": datasource, "expr": selecting("sum(rate(", "a_total", "[$__rate_interval]))")}],
    }]);
    board["annotations"] = template["annotations"].clone();
    board
}

/// A query of one series with the matchers that every query needs.
fn selecting(before: &str, name: &str, after: &str) -> String {
    let variables = r#"job=~"$job", instance=~"$instance", account=~"$account", tunnel_name=~"$tunnel""#;
    format!("topk($limit, {before}{name}{{{variables}}}{after})")
}

#[test]
fn the_example_breaks_no_rule() {
    assert_eq!(rules::complaints(&sound()), []);
}

/// A rule, a place in the valid example, and the value for it that breaks the rule.
type Example = (&'static str, String, Value);

fn of_variables_and_panels() -> Vec<Example> {
    let variable = |key: &str| format!("/templating/list/{JOB}/{key}");
    vec![
        ("template-datasource-rule", "/templating/list/0/type".into(), json!("constant")),
        ("template-datasource-rule", "/templating/list/0/name".into(), json!("ds")),
        ("template-datasource-rule", "/templating/list/0/query".into(), json!("loki")),
        ("template-job-rule", variable("name"), json!("jobs")),
        ("template-instance-rule", "/templating/list/2/name".into(), json!("host")),
        ("template-label-promql-rule", variable("query"), json!("query_result(up)")),
        ("template-label-promql-rule", variable("query"), json!("label_values(job)")),
        ("template-on-time-change-reload-rule", variable("refresh"), json!(1)),
        ("query-variables", variable("multi"), json!(false)),
        ("query-variables", variable("includeAll"), json!(false)),
        ("query-variables", variable("allValue"), json!(".+")),
        ("query-variables", "/templating/list/4/allValue".into(), json!(".+")),
        ("query-variables", variable("label"), json!("job")),
        ("query-variables", variable("datasource/uid"), json!("prometheus")),
        ("panel-datasource-rule", "/panels/0/datasource/uid".into(), json!("P1809F7CD0C75ACF3")),
        ("panel-datasource-rule", "/panels/0/targets/0/datasource/uid".into(), json!("default")),
        ("panel-datasource-rule", "/annotations/list/1/datasource/uid".into(), json!("default")),
        ("panel-title-description-rule", "/panels/0/title".into(), json!("")),
        ("panel-title-description-rule", "/panels/0/description".into(), json!("")),
        ("panel-units-rule", "/panels/0/fieldConfig/defaults/unit".into(), Value::Null),
        ("panel-units-rule", "/panels/0/fieldConfig/defaults/unit".into(), json!("seconds")),
        (
            "panel-units-rule",
            "/panels/0/fieldConfig/overrides".into(),
            json!([{"matcher": {}, "properties": [{"id": "unit", "value": "msec"}]}]),
        ),
        ("panel-no-targets-rule", "/panels/0/targets".into(), json!([])),
    ]
}

fn of_queries() -> Vec<Example> {
    let unmatched = |label: &str| selecting("", "a", "").replace(&format!("{label}=~\"${label}\""), "x=\"y\"");
    vec![
        ("target-rate-interval-rule", EXPR.into(), json!(selecting("rate(", "a_total", "[5m])"))),
        ("target-rate-interval-rule", EXPR.into(), json!(selecting("rate(", "a_total", "[$__range])"))),
        ("target-rate-interval-rule", EXPR.into(), json!(selecting("max_over_time(", "a", "[1h])"))),
        ("target-job-rule", EXPR.into(), json!(unmatched("job"))),
        ("target-instance-rule", EXPR.into(), json!(unmatched("instance"))),
        ("target-job-rule", "/annotations/list/1/expr".into(), json!(unmatched("job"))),
        ("target-counter-agg-rule", EXPR.into(), json!(selecting("", "a_total", ""))),
        ("target-counter-agg-rule", EXPR.into(), json!(selecting("max_over_time(", "a_sum", "[$__range])"))),
        ("target-histogram-rule", EXPR.into(), json!(selecting("sum(rate(", "a_bucket", "[$__rate_interval]))"))),
        ("uneditable-dashboard-rule", "/editable".into(), json!(true)),
        ("variables-defined-and-used", EXPR.into(), json!(selecting("$place * ", "a", ""))),
        ("variables-defined-and-used", EXPR.into(), json!(selecting("", "a", "").replace("$limit", "5"))),
        (
            "objects-by-variables",
            EXPR.into(),
            json!(selecting("", "a", "").replace("account=~\"$account\"", "account=\"me\"")),
        ),
        ("objects-by-variables", EXPR.into(), json!(selecting("", "a", "").replace("=~\"$tunnel\"", "!=\"fra-1\""))),
        ("bounded", "/annotations/list/1/expr".into(), json!(unbounded("", ""))),
        ("bounded", "/annotations/list/1/expr".into(), json!(unbounded("sum by (account, tunnel_id) (", ")"))),
        ("bounded", "/annotations/list/1/expr".into(), json!(unbounded("sum without (state) (", ")"))),
    ]
}

fn of_the_whole() -> Vec<Example> {
    let panel = sound()["panels"][0].clone();
    let mut above = panel.clone();
    above["title"] = json!("Round trips");
    vec![
        ("nothing-repeated", "/panels/0/repeat".into(), json!("tunnel")),
        ("stable-identity", "/uid".into(), Value::Null),
        ("stable-identity", "/id".into(), json!(7)),
        ("stable-identity", "/tags".into(), json!([])),
        ("stable-identity", "/schemaVersion".into(), json!(16)),
        ("links-lead-somewhere", "/panels/0/fieldConfig/defaults/links/0/url".into(), json!("/d/elsewhere")),
        ("grid", "/panels/0/gridPos/x".into(), json!(12)),
        ("grid", "/panels/0/gridPos/h".into(), json!(0)),
        ("grid", "/panels".into(), json!([panel, above])),
        ("alerts-as-annotations", "/annotations/list".into(), json!([])),
        ("words-in-timelines", "/panels/0/type".into(), json!("state-timeline")),
        (
            "closed-lists-without-zeros",
            EXPR.into(),
            json!(
                selecting("sum by (reason) (rate(", "a_total", "[$__rate_interval]))")
                    .replace("topk($limit, ", "")
                    .replace("]))", "])")
            ),
        ),
    ]
}

#[test]
fn each_rule_finds_what_breaks_it() {
    let table = [of_variables_and_panels(), of_queries(), of_the_whole()].concat();
    for (rule, pointer, value) in &table {
        let board = patched(pointer, value.clone());
        let found = rules::complaints(&board);
        assert!(found.iter().any(|(name, _)| name == rule), "{pointer} = {value} does not break {rule}: {found:?}");
        // A missing query or variable also breaks other rules. Everything else breaks one rule only.
        let related = ["/templating", "/annotations", "/panels/0/targets"].iter().any(|part| pointer.starts_with(part));
        assert!(related || found.iter().all(|(name, _)| name == rule), "{pointer} = {value}: {found:?}");
    }
    let tested: BTreeSet<&str> = table.iter().map(|(rule, _, _)| *rule).collect();
    let all: BTreeSet<&str> = rules::RULES.iter().map(|(name, _)| *name).collect();
    assert_eq!(tested, all, "every rule has an example");
}

fn unbounded(before: &str, after: &str) -> String {
    let limited = selecting(before, "cloudflare_magic_tunnel_reachable", after);
    limited.trim_start_matches("topk($limit, ").strip_suffix(')').expect("a closing bracket").to_owned()
}

fn patched(pointer: &str, value: Value) -> Value {
    let mut board = sound();
    if let Some(place) = board.pointer_mut(pointer) {
        *place = value;
    } else {
        let (parent, key) = pointer.rsplit_once('/').expect("a pointer");
        board.pointer_mut(parent).unwrap_or_else(|| panic!("no {parent}"))[key] = value;
    }
    board
}
