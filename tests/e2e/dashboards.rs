//! The Grafana dashboards: they follow the linter's rules and Grafana's own types, equal the output of their script,
//! and a real Prometheus answers every query.

mod answers;
mod examples;
mod model;
mod promql;
mod rules;

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::{Value, json};

use self::model::read;
use crate::support::tools;

#[test]
fn the_dashboards_break_no_rule() {
    for name in model::names() {
        let complaints = rules::complaints(&read(&name));
        assert!(complaints.is_empty(), "{name}: {complaints:#?}");
    }
}

#[test]
fn the_files_equal_the_output_of_the_script() {
    let Some(environment) = tools::made("dashboards-venv") else { return };
    let folder = tempfile::tempdir().expect("a temporary folder");
    let written = tools::run(
        Command::new(environment.join("bin/python"))
            .arg(model::folder().join("generate.py"))
            .arg(folder.path())
            .env("PYTHONDONTWRITEBYTECODE", "1"),
        "",
    );
    assert!(written.status.success(), "{}", String::from_utf8_lossy(&written.stderr));
    let made = fs::read_dir(folder.path()).expect("the folder").count();
    let files: Vec<String> = model::names().iter().map(|name| format!("{name}.json")).chain([".lint".into()]).collect();
    assert_eq!(made, files.len(), "dashboards/generate.py writes other files than those of dashboards/");
    for file in files {
        let [made, kept] =
            [folder.path(), &model::folder()].map(|at| fs::read_to_string(at.join(&file)).expect("a file"));
        assert!(made == kept, "dashboards/{file} is not what dashboards/generate.py writes; run it and commit both");
    }
}

#[test]
fn the_files_have_the_types_of_grafana() {
    let files: Vec<PathBuf> = model::names().iter().map(|name| model::folder().join(format!("{name}.json"))).collect();
    let Some(errors) = type_errors(&files) else { return };
    assert!(errors.is_empty(), "{errors}");
}

/// The compiler finds an unknown property and a wrong value at each level of a dashboard.
#[test]
fn a_property_or_value_that_grafana_does_not_know_is_an_error() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut board = read("overview");
    // One panel of each of these types.
    let of_type = |kind: &str| model::panels(&board).find(|panel| panel["type"] == kind).cloned();
    let panels = ["timeseries", "table", "state-timeline"].map(|kind| of_type(kind).expect("a panel"));
    board["panels"] = json!(panels);
    let mistakes = [
        ("/titel", json!("Overview")),
        ("/schemaVersion", json!("39")),
        ("/templating/list/1/refresh", json!(7)),
        ("/annotations/list/1/color", json!("red")),
        ("/panels/0/type", json!("graph")),
        ("/panels/0/fieldConfig/defaults/custom/lineWith", json!(1)),
        ("/panels/0/fieldConfig/defaults/custom/showPoints", json!("seldom")),
        ("/panels/2/options/showValue", json!("sometimes")),
        ("/panels/1/targets/0/format", json!("tabel")),
    ];
    let files: Vec<PathBuf> = (0..mistakes.len()).map(|n| folder.path().join(format!("mistake{n}.json"))).collect();
    for (file, (pointer, value)) in files.iter().zip(&mistakes) {
        let mut wrong = board.clone();
        let (parent, key) = pointer.rsplit_once('/').expect("a pointer");
        wrong.pointer_mut(parent).expect("a place")[key] = value.clone();
        fs::write(file, wrong.to_string()).expect("a file");
    }
    let Some(errors) = type_errors(&files) else { return };
    for (n, (pointer, _)) in mistakes.iter().enumerate() {
        assert!(errors.contains(&format!("mistake{n}.ts")), "{pointer} is not an error:\n{errors}");
    }
}

/// What the TypeScript compiler says of files that do not have the types of `@grafana/schema`. `None` if it is missing.
fn type_errors(files: &[PathBuf]) -> Option<String> {
    let node = tools::tool("node")?;
    let packages = tools::made("grafana-schema-npm")?;
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/grafana-schema/check.mjs");
    let checked = tools::run(Command::new(node).arg(script).arg(packages).args(files), "");
    let errors = String::from_utf8_lossy(&checked.stderr).into_owned();
    assert_eq!(checked.status.success(), errors.is_empty(), "{errors}");
    Some(errors)
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
