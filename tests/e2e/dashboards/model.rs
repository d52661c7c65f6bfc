//! The JSON files of the dashboards: their panels and all their queries to Prometheus.

use std::{fs, path::PathBuf};

use serde_json::Value;

/// The names of all dashboards, as in the folder.
pub(super) fn names() -> Vec<String> {
    let files = fs::read_dir(folder()).expect("the folder of the dashboards");
    let names = files.filter_map(|file| {
        let name = file.expect("a file").file_name().into_string().expect("a name in UTF-8");
        name.strip_suffix(".json").map(str::to_owned)
    });
    let mut names: Vec<String> = names.collect();
    names.sort();
    names
}

pub(super) fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("dashboards")
}

pub(super) fn read(name: &str) -> Value {
    let file = folder().join(format!("{name}.json"));
    let text = fs::read_to_string(&file).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
    serde_json::from_str(&text).unwrap_or_else(|e| panic!("{}: {e}", file.display()))
}

/// The members of a list; empty if the value is missing or not a list.
pub(super) fn list<'a>(of: &'a Value, pointer: &str) -> impl Iterator<Item = &'a Value> {
    of.pointer(pointer).and_then(Value::as_array).into_iter().flatten()
}

pub(super) fn text<'a>(of: &'a Value, key: &str) -> &'a str {
    of[key].as_str().unwrap_or_default()
}

/// The panels without the rows, which are headings.
pub(super) fn panels(board: &Value) -> impl Iterator<Item = &Value> {
    list(board, "/panels").filter(|panel| panel["type"] != "row")
}

/// The annotations that query Prometheus. The built-in one queries Grafana.
pub(super) fn annotations(board: &Value) -> impl Iterator<Item = &Value> {
    list(board, "/annotations/list").filter(|one| one["builtIn"] != 1)
}

pub(super) fn variables<'a>(board: &'a Value, kind: &'static str) -> impl Iterator<Item = &'a Value> {
    list(board, "/templating/list").filter(move |variable| variable["type"] == kind)
}

/// A query and its place in the dashboard.
#[derive(Debug, Clone)]
pub(super) struct Query {
    pub(super) place: String,
    pub(super) expr: String,
    pub(super) instant: bool,
    /// The type of the panel; empty for an annotation.
    pub(super) panel: String,
}

pub(super) fn queries(board: &Value) -> Vec<Query> {
    let title = text(board, "title");
    let of_panel = |panel: &Value, target: &Value| Query {
        place: format!("{title}: {} {}", text(panel, "title"), text(target, "refId")),
        expr: text(target, "expr").to_owned(),
        instant: target["instant"] == true,
        panel: text(panel, "type").to_owned(),
    };
    let of_annotation = |one: &Value| Query {
        place: format!("{title}: annotation {}", text(one, "name")),
        expr: text(one, "expr").to_owned(),
        instant: false,
        panel: String::new(),
    };
    panels(board)
        .flat_map(|panel| list(panel, "/targets").map(move |target| of_panel(panel, target)))
        .chain(annotations(board).map(of_annotation))
        .collect()
}

/// The selector and the label of a variable with `label_values(selector, label)`.
pub(super) fn label_values(variable: &Value) -> Option<(&str, &str)> {
    let inside = text(variable, "query").strip_prefix("label_values(")?.strip_suffix(')')?;
    let (selector, label) = inside.rsplit_once(',')?;
    Some((selector.trim(), label.trim()))
}

/// What "All" of a variable becomes; `None` if Grafana lists all values.
pub(super) fn all_value(variable: &Value) -> Option<&str> {
    variable["allValue"].as_str()
}
