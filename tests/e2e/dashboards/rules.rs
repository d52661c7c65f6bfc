//! The rules of Grafana's dashboard linter, and rules of this project, for the parsed JSON of a dashboard.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{
    model::{Query, all_value, annotations, label_values, list, names, panels, queries, text, variables},
    promql::{Selector, selectors},
};

/// A rule: its name, and a function that lists the places of a dashboard that break it.
pub(super) type Rule = (&'static str, fn(&Value) -> Vec<String>);

/// The first fifteen have their names in grafana/dashboard-linter.
pub(super) const RULES: [Rule; 26] = [
    ("template-datasource-rule", template_datasource),
    ("template-job-rule", |board| has_query_variable(board, "job")),
    ("template-instance-rule", |board| has_query_variable(board, "instance")),
    ("template-label-promql-rule", template_label_promql),
    ("template-on-time-change-reload-rule", reloads),
    ("panel-datasource-rule", panel_datasource),
    ("panel-title-description-rule", title_and_description),
    ("panel-units-rule", units),
    ("panel-no-targets-rule", no_targets),
    ("target-rate-interval-rule", rate_interval),
    ("target-job-rule", |board| matcher(board, "job")),
    ("target-instance-rule", |board| matcher(board, "instance")),
    ("target-counter-agg-rule", counters),
    ("target-histogram-rule", histograms),
    ("uneditable-dashboard-rule", uneditable),
    ("variables-defined-and-used", variables_defined_and_used),
    ("query-variables", query_variables),
    ("objects-by-variables", objects_by_variables),
    ("bounded", bounded),
    ("nothing-repeated", nothing_repeated),
    ("stable-identity", identity),
    ("links-lead-somewhere", links),
    ("grid", grid),
    ("alerts-as-annotations", alert_annotation),
    ("words-in-timelines", words_in_timelines),
    ("closed-lists-without-zeros", closed_lists),
];

/// The units of the panels, as spelled in Grafana's catalogue (packages/grafana-data, valueFormats/categories.ts).
const UNITS: [&str; 9] = ["none", "s", "bytes", "bps", "pps", "percentunit", "ops", "reqps", "dateTimeFromNow"];
/// The variables that Grafana defines itself.
const BUILT_IN: [&str; 4] = ["__rate_interval", "__range", "__interval", "__url_time_range"];
/// What "All" of each variable becomes. Without an expression Grafana lists all values, so that metrics which every
/// process has are those of exporters only. `.*` includes tunnels without a site, and is faster than `.+`.
const ALL: [(&str, Option<&str>); 5] =
    [("job", None), ("instance", None), ("account", Some(".*")), ("site", Some(".*")), ("tunnel", Some(".*"))];
const DATASOURCE: &str = "${datasource}";
const TUNNEL: &str = "cloudflare-magic-tunnel";
const TAG: &str = "cloudflare-magic";
const COLUMNS: u64 = 24;

/// All problems of a dashboard, each with the name of the rule.
pub(super) fn complaints(board: &Value) -> Vec<(&'static str, String)> {
    RULES.iter().flat_map(|(name, rule)| rule(board).into_iter().map(move |complaint| (*name, complaint))).collect()
}

/// `complaint` unless a condition holds.
fn unless(holds: bool, complaint: impl Into<String>) -> Option<String> {
    (!holds).then(|| complaint.into())
}

fn named(panel: &Value) -> String {
    format!("panel {} `{}`", panel["id"], text(panel, "title"))
}

/// The complaints of `judge` about the selectors of all queries.
fn each_selector(board: &Value, judge: impl Fn(&Selector, &str) -> Option<String>) -> Vec<String> {
    let mut found = Vec::new();
    for query in queries(board) {
        let complaints = selectors(&query.expr).into_iter().filter_map(|selector| judge(&selector, &query.panel));
        found.extend(complaints.map(|complaint| format!("{}: {complaint}", query.place)));
    }
    found
}

fn template_datasource(board: &Value) -> Vec<String> {
    let found: Vec<&Value> = variables(board, "datasource").collect();
    let [one] = found.as_slice() else { return vec![format!("{} variables for the data source", found.len())] };
    let sound = one["name"] == "datasource" && one["label"] == "Data source" && one["query"] == "prometheus";
    unless(sound, "the data source's variable is not named, labelled or asked as it should be").into_iter().collect()
}

fn has_query_variable(board: &Value, name: &str) -> Vec<String> {
    let found = variables(board, "query").any(|variable| variable["name"] == name);
    unless(found, format!("no query variable `{name}`")).into_iter().collect()
}

fn query_variables(board: &Value) -> Vec<String> {
    let sound = |one: &Value| {
        let name = text(one, "name");
        let label = name.get(..1).unwrap_or_default().to_uppercase() + name.get(1..).unwrap_or_default();
        let all = ALL.iter().find(|(variable, _)| *variable == name).is_some_and(|(_, all)| all_value(one) == *all);
        // The dashboard of one tunnel cannot show all of them.
        let few = board["uid"] == TUNNEL && name == "tunnel";
        let selects = if few { one["includeAll"] == false } else { one["includeAll"] == true && all };
        one["multi"] == true && selects && text(one, "label") == label && one["datasource"]["uid"] == DATASOURCE
    };
    let complaint = |one: &Value| unless(sound(one), format!("variable {}: several, all, label", one["name"]));
    variables(board, "query").filter_map(complaint).collect()
}

fn template_label_promql(board: &Value) -> Vec<String> {
    let sound = |one: &Value| {
        label_values(one).is_some_and(|(selector, label)| {
            label.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') && selectors(selector).len() == 1
        })
    };
    variables(board, "query").filter_map(|one| unless(sound(one), format!("{}", one["query"]))).collect()
}

fn reloads(board: &Value) -> Vec<String> {
    let complaint = |one: &Value| unless(one["refresh"] == 2, format!("variable {} is not reloaded", one["name"]));
    variables(board, "query").filter_map(complaint).collect()
}

fn panel_datasource(board: &Value) -> Vec<String> {
    let askers = panels(board).flat_map(|panel| std::iter::once(panel).chain(list(panel, "/targets")));
    let askers = askers.chain(annotations(board));
    askers.filter_map(|one| unless(one["datasource"]["uid"] == DATASOURCE, format!("{}", one["datasource"]))).collect()
}

fn title_and_description(board: &Value) -> Vec<String> {
    let mut titles = BTreeSet::new();
    let mut judge = |panel| {
        let sound = !text(panel, "title").is_empty() && text(panel, "description").len() > 8;
        // A title identifies a panel, so that it must be unique. Rows are an exception.
        let unique = titles.insert((text(panel, "title"), text(panel, "type")));
        unless(sound && unique, format!("{}: title or description missing, or twice", named(panel)))
    };
    panels(board).filter_map(&mut judge).collect()
}

fn units(board: &Value) -> Vec<String> {
    let mut found = Vec::new();
    for panel in panels(board) {
        let overridden = list(panel, "/fieldConfig/overrides").flat_map(|one| list(one, "/properties"));
        let overridden = overridden.filter(|property| property["id"] == "unit").map(|property| &property["value"]);
        for unit in std::iter::once(&panel["fieldConfig"]["defaults"]["unit"]).chain(overridden) {
            found.extend(unless(
                unit.as_str().is_some_and(|unit| UNITS.contains(&unit)),
                format!("{}: {unit}", named(panel)),
            ));
        }
    }
    found
}

fn no_targets(board: &Value) -> Vec<String> {
    let asks = |panel: &Value| {
        let refs: Vec<&str> = list(panel, "/targets").map(|target| text(target, "refId")).collect();
        let distinct: BTreeSet<&&str> = refs.iter().collect();
        !refs.is_empty() && distinct.len() == refs.len() && list(panel, "/targets").all(|t| !text(t, "expr").is_empty())
    };
    panels(board).filter_map(|panel| unless(asks(panel), named(panel))).collect()
}

fn rate_interval(board: &Value) -> Vec<String> {
    each_selector(board, |selector, _| {
        let range = selector.range.as_deref()?;
        let allowed: &[&str] = match selector.inside.last().map_or("", String::as_str) {
            "rate" | "irate" => &["$__rate_interval"],
            _ => &["$__rate_interval", "$__range", "$__range:5m"],
        };
        unless(allowed.contains(&range), format!("{}[{range}]", selector.name))
    })
}

fn matcher(board: &Value, label: &str) -> Vec<String> {
    let wanted = format!("{label}=~\"${label}\"");
    each_selector(board, |selector, _| {
        unless(selector.matchers.contains(&wanted), format!("{} has no {wanted}", selector.name))
    })
}

fn counters(board: &Value) -> Vec<String> {
    each_selector(board, |selector, _| {
        let counter = ["_total", "_sum", "_count", "_bucket"].iter().any(|suffix| selector.name.ends_with(suffix));
        let function = selector.inside.last().map_or("", String::as_str);
        let sound = selector.range.is_some() && ["rate", "irate", "increase"].contains(&function);
        unless(!counter || sound, format!("the counter {} is not in a rate or increase", selector.name))
    })
}

/// A heatmap draws the buckets themselves: the exception listed in `dashboards/.lint`.
fn histograms(board: &Value) -> Vec<String> {
    each_selector(board, |selector, panel| {
        let sound = panel == "heatmap" || selector.inside.iter().any(|function| function == "histogram_quantile");
        unless(!selector.name.ends_with("_bucket") || sound, format!("the buckets of {} as they are", selector.name))
    })
}

fn uneditable(board: &Value) -> Vec<String> {
    unless(board["editable"] == false, "it can be edited").into_iter().collect()
}

/// The names after a `$`, with or without braces.
fn used_variables(text: &str) -> impl Iterator<Item = &str> {
    text.split('$').skip(1).map(|after| {
        let name = after.trim_start_matches('{');
        let end = name.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(name.len());
        &name[..end]
    })
}

fn variables_defined_and_used(board: &Value) -> Vec<String> {
    let defined: BTreeSet<&str> = list(board, "/templating/list").map(|variable| text(variable, "name")).collect();
    let asked: Vec<String> = queries(board).into_iter().map(|query| query.expr).collect();
    let more = variables(board, "query").map(|variable| text(variable, "query").to_owned());
    let asked: Vec<String> = asked.into_iter().chain(more).collect();
    let used: BTreeSet<&str> = asked.iter().flat_map(|text| used_variables(text)).collect();
    let unused = defined.iter().filter(|name| **name != "datasource" && !used.contains(*name));
    let undefined = used.iter().filter(|name| !defined.contains(*name) && !BUILT_IN.contains(name));
    unused
        .map(|name| format!("${name} is unused"))
        .chain(undefined.map(|name| format!("${name} is not there")))
        .collect()
}

/// A query must not name a job, exporter, account or tunnel, because they differ between users.
fn objects_by_variables(board: &Value) -> Vec<String> {
    const OBJECTS: [(&str, &str); 6] = [
        ("job", "job"),
        ("instance", "instance"),
        ("account", "account"),
        ("site", "site"),
        ("tunnel_name", "tunnel"),
        ("tunnel_id", ""),
    ];
    // Alerts without an account or a tunnel.
    const EXCEPTIONS: [&str; 2] = ["account=~\"$account|\"", "tunnel_id=\"\""];
    each_selector(board, |selector, _| {
        let fixed = selector.matchers.split(", ").find(|matcher| {
            let name = matcher.split(['=', '!']).next().unwrap_or_default();
            let variable = OBJECTS.iter().find(|(label, _)| *label == name);
            !EXCEPTIONS.contains(matcher)
                && variable.is_some_and(|(label, variable)| *matcher != format!("{label}=~\"${variable}\""))
        })?;
        Some(format!("{} with {fixed}", selector.name))
    })
}

/// A query with a series for each tunnel needs a limit, because thousands of series block the browser. On the dashboard
/// of one tunnel the selection is the limit, but not for annotations.
fn bounded(board: &Value) -> Vec<String> {
    let per_tunnel =
        |selector: &Selector| selector.name.contains("cloudflare_magic_tunnel_") || selector.name == "ALERTS";
    let sound = |expr: &str| {
        let limited = expr.contains("$limit") || expr.contains(" and on () count(");
        limited || !selectors(expr).iter().any(per_tunnel) || aggregates_tunnels(expr)
    };
    let few = |query: &Query| board["uid"] == TUNNEL && !query.panel.is_empty();
    let complaint = |query: Query| unless(few(&query) || sound(&query.expr), format!("{}: no limit", query.place));
    queries(board).into_iter().filter_map(complaint).collect()
}

/// Whether a query begins with an aggregation over the tunnels.
fn aggregates_tunnels(expr: &str) -> bool {
    let end = expr.find(|c: char| !c.is_ascii_alphabetic() && c != '_').unwrap_or(expr.len());
    let (function, rest) = expr.split_at(end);
    let rest = rest.trim_start();
    let labels = rest.strip_prefix("by ").map_or("", |rest| rest.split(')').next().unwrap_or_default());
    match function {
        "sum" | "avg" | "min" | "max" | "count" => !labels.contains("tunnel_id") && !rest.starts_with("without"),
        // The labels of the buckets are those of the inner aggregation.
        "histogram_quantile" => expr.find("sum by").is_some_and(|at| aggregates_tunnels(&expr[at..])),
        _ => false,
    }
}

fn nothing_repeated(board: &Value) -> Vec<String> {
    list(board, "/panels").filter_map(|panel| unless(panel["repeat"].is_null(), named(panel))).collect()
}

/// Whether there is a dashboard at this address.
fn is_uid(uid: &str) -> bool {
    uid.strip_prefix(TAG).and_then(|rest| rest.strip_prefix('-')).is_some_and(|name| names().contains(&name.to_owned()))
}

fn identity(board: &Value) -> Vec<String> {
    let uid = unless(is_uid(text(board, "uid")), format!("uid {}", board["uid"]));
    let id = unless(board["id"].is_null(), "an id belongs to one Grafana only");
    let tag = unless(list(board, "/tags").any(|tag| tag == TAG), format!("the tag {TAG} is missing"));
    let version =
        unless((36..=39).contains(&board["schemaVersion"].as_u64().unwrap_or(0)), "schemaVersion is not Grafana 10's");
    [uid, id, tag, version].into_iter().flatten().collect()
}

fn links(board: &Value) -> Vec<String> {
    let mut found = Vec::new();
    for panel in panels(board) {
        let overridden = list(panel, "/fieldConfig/overrides").flat_map(|one| list(one, "/properties"));
        let overridden = overridden.filter(|p| p["id"] == "links").flat_map(|property| list(property, "/value"));
        for link in list(panel, "/fieldConfig/defaults/links").chain(overridden) {
            let url = text(link, "url");
            let uid = url.strip_prefix("/d/").and_then(|path| path.split('?').next()).unwrap_or_default();
            found.extend(unless(
                is_uid(uid) && url.contains("${datasource:queryparam}"),
                format!("{}: {url}", named(panel)),
            ));
        }
    }
    found
}

fn alert_annotation(board: &Value) -> Vec<String> {
    let selects = |one: &Value| selectors(text(one, "expr")).iter().any(|selector| selector.name == "ALERTS");
    unless(annotations(board).any(selects), "no annotation for alerts").into_iter().collect()
}

fn words_in_timelines(board: &Value) -> Vec<String> {
    let timelines = panels(board).filter(|panel| panel["type"] == "state-timeline");
    let words = |panel: &Value| {
        panel["options"]["showValue"] == "auto" && list(panel, "/fieldConfig/defaults/mappings").next().is_some()
    };
    timelines.filter_map(|panel| unless(words(panel), named(panel))).collect()
}

/// Labels with a fixed set of values have all their series from the start, most of them 0.
fn closed_lists(board: &Value) -> Vec<String> {
    const CLOSED: [&str; 3] = ["reason", "field", "code"];
    let sound = |expr: &str| {
        let by = expr.strip_prefix("sum by (").and_then(|rest| rest.split(')').next()).unwrap_or_default();
        expr.ends_with(" > 0") || !by.split(", ").any(|label| CLOSED.contains(&label))
    };
    queries(board).into_iter().filter_map(|query| unless(sound(&query.expr), query.place)).collect()
}

/// Panels are inside the grid, do not overlap, and have unique ids.
fn grid(board: &Value) -> Vec<String> {
    let mut cells = BTreeSet::new();
    let mut ids = BTreeSet::new();
    let mut found = Vec::new();
    for panel in list(board, "/panels") {
        let [x, y, w, h] = ["x", "y", "w", "h"].map(|key| panel["gridPos"][key].as_u64().unwrap_or(0));
        found.extend(unless(w > 0 && h > 0 && x + w <= COLUMNS, format!("{} is off the grid", named(panel))));
        let overlaps = (x..x + w).any(|column| (y..y + h).any(|row| !cells.insert((column, row))));
        found.extend(unless(!overlaps, format!("{} lies on another", named(panel))));
        found.extend(unless(ids.insert(panel["id"].as_u64()), format!("{}: its id is taken", named(panel))));
    }
    found
}
