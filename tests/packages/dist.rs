//! The artifacts of `make dist`, and the workflows that publish them.

use std::{collections::BTreeSet, fs};

use serde_json::Value;

use crate::support::{
    MAKES_ARTIFACTS, artifact, artifacts, can_run, command, has_venv, make_artifacts, output, pipe, python, root,
    succeeds,
};

const NAME: &str = "magic-tunnel-exporter";

/// The names of the files in a folder of the repository.
fn files(folder: &str, ending: &str) -> Vec<String> {
    let entries = fs::read_dir(root().join(folder)).unwrap_or_else(|error| panic!("{folder}: {error}")).flatten();
    let names = entries.map(|file| file.file_name().to_string_lossy().into_owned());
    names.filter(|name| name.ends_with(ending)).collect()
}

#[test]
fn the_artifacts_are_complete_and_equal_sources_give_equal_bytes() {
    if !can_run(MAKES_ARTIFACTS) {
        return;
    }
    let sums = fs::read_to_string(artifacts().join("SHA256SUMS")).expect("the checksums");
    output(command("sha256sum").args(["--check", "--strict", "SHA256SUMS"]).current_dir(artifacts()));
    let listed: BTreeSet<&str> = sums.lines().filter_map(|line| line.split_whitespace().nth(1)).collect();
    let version = env!("CARGO_PKG_VERSION");
    let expected = [
        format!("{NAME}-{version}-x86_64-linux-gnu.tar.gz"),
        format!("{NAME}-{version}.cdx.json"),
        format!("{NAME}-chart-{version}.tgz"),
        format!("{NAME}_{version}-1_amd64.deb"),
    ];
    assert_eq!(listed, expected.iter().map(String::as_str).collect());
    has_everything(&format!("{NAME}-{version}-x86_64-linux-gnu"));

    let again = root().join("target/packages/artifacts-again");
    output(make_artifacts(&mut command(root().join("scripts/dist")), &again));
    assert_eq!(fs::read_to_string(again.join("SHA256SUMS")).expect("the checksums"), sums);
    fs::remove_dir_all(again).expect("a folder");
}

/// The tarball contains every alert, dashboard and page of the documentation.
fn has_everything(folder: &str) {
    let content = output(command("tar").args(["--list", "--file"]).arg(artifact("-gnu.tar.gz")));
    let content: BTreeSet<&str> =
        content.lines().filter_map(|path| path.strip_prefix(folder)?.strip_prefix('/')).collect();
    let fixed = [
        NAME.into(),
        "LICENSE".into(),
        format!("man/{NAME}.1"),
        format!("completions/{NAME}.bash"),
        format!("completions/{NAME}.fish"),
        format!("completions/_{NAME}"),
        format!("systemd/{NAME}.service"),
        format!("systemd/{NAME}.env"),
        "examples/config.example.yml".into(),
        "examples/fleet/systemd/agent.conf".into(),
        "dashboards/provisioning/dashboards/magic-tunnels.yml".into(),
    ];
    let found = [("alerts", ".yml"), ("dashboards", ".json"), ("docs", ".md")]
        .map(|(folder, ending)| files(folder, ending).into_iter().map(move |file| format!("{folder}/{file}")));
    for file in found.into_iter().flatten().chain(fixed) {
        assert!(content.contains(file.as_str()), "{file} is not in {content:?}");
    }
}

/// Only what is part of the program, with the versions of Cargo.lock.
#[test]
fn the_bill_of_materials_is_valid_and_lists_what_is_built_in() {
    if !can_run(MAKES_ARTIFACTS) || !has_venv() {
        return;
    }
    let text = fs::read_to_string(artifact(".cdx.json")).expect("the bill of materials");
    pipe(&mut python("bill.py"), &text);
    let bill: Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(bill["metadata"]["component"]["name"], NAME);
    let lock = fs::read_to_string(root().join("Cargo.lock")).expect("the lock file");
    let components = bill["components"].as_array().expect("components");
    assert!(components.len() > 80, "{}", components.len());
    for component in components {
        let field = |name: &str| component[name].as_str().unwrap_or_else(|| panic!("{name} in {component}"));
        assert!(
            lock.contains(&format!("name = \"{}\"\nversion = \"{}\"", field("name"), field("version"))),
            "{component}"
        );
        assert!(field("purl").starts_with(&format!("pkg:cargo/{}@{}", field("name"), field("version"))), "{component}");
    }
    let has = |name: &str| components.iter().any(|component| component["name"] == name);
    assert!(has("rustls") && has("tokio") && has("web-toolkit"));
    assert!(!has("proptest") && !has("windows-sys"), "dependencies of tests and of other systems");
}

/// The check detects faults.
#[test]
fn the_workflows_are_valid_and_pin_their_actions() {
    if !can_run(&["shellcheck"]) || !has_venv() {
        return;
    }
    let actionlint = || {
        let mut lint = command(root().join("target/packages-venv/bin/actionlint"));
        lint.args(["-no-color", "-"]);
        lint
    };
    for name in files(".github/workflows", ".yml") {
        let text = fs::read_to_string(root().join(".github/workflows").join(&name)).expect("a workflow");
        pipe(&mut actionlint(), &text);
        for faulty in [
            text.replace("runs-on:", "run-on:"),
            text.replace("github.", "gitlab."),
            text.replace("needs: artifacts", "needs: artifact"),
        ] {
            assert!(
                faulty == text || !succeeds(actionlint().stdout(std::process::Stdio::null()), &faulty),
                "accepted: {faulty}"
            );
        }
        for action in text.lines().filter_map(|line| line.split_once("uses: ")).map(|(_, action)| action) {
            let (commit, version) =
                action.split_once('@').and_then(|(_, pin)| pin.split_once(" # v")).unwrap_or_default();
            assert!(commit.len() == 40 && !version.is_empty(), "{name}: {action}");
        }
        let toolchain = format!("{}.0", env!("CARGO_PKG_RUST_VERSION"));
        assert!(text.contains(&toolchain), "{name} uses Rust {toolchain}");
    }
}

#[test]
fn the_documentation_lists_the_platforms_that_are_released() {
    let release = fs::read_to_string(root().join(".github/workflows/release.yml")).expect("the workflow");
    let install = fs::read_to_string(root().join("docs/INSTALL.md")).expect("the page");
    let (_, targets) = release.split_once("TARGETS: >-\n").expect("the targets");
    let targets: Vec<&str> = targets.lines().map(str::trim).take_while(|line| line.contains("-linux-")).collect();
    assert_eq!(targets.len(), 4, "{targets:?}");
    for target in targets {
        assert!(install.contains(&format!("| `{target}` |")), "{target}");
    }
}

/// The scripts of this repository.
#[test]
fn shellcheck_finds_nothing() {
    if !can_run(&["shellcheck", "git"]) {
        return;
    }
    let tracked = output(command("git").args(["ls-files", "scripts", "tests", "deploy", ".ci"]));
    let is_script = |path: &&str| {
        fs::read(root().join(path))
            .is_ok_and(|text| text.starts_with(b"#!/bin/sh") || text.starts_with(b"#!/usr/bin/env bash"))
    };
    let scripts: Vec<&str> = tracked.lines().filter(is_script).collect();
    assert!(scripts.len() > 8, "{scripts:?}");
    output(command("shellcheck").args(scripts));
}
