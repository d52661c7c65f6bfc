//! `docs/RUNBOOKS.md`: each alert has one section with all parts, and its queries are real. `documents` executes
//! its commands.

use std::{fmt::Write as _, iter, path::PathBuf};

use crate::alerts::{FLEET, alerts, assert_accepted_by, metrics, repository, shipped, text};

/// What every section describes, in this order.
const PARTS: [&str; 7] = [
    "**Means:**",
    "**How sure:**",
    "**First checks:**",
    "**Mitigation:**",
    "**Contact:**",
    "**Clears:**",
    "**Dashboard:**",
];

/// The routers with commands for every topic.
const VENDORS: [&str; 4] = ["**Cisco IOS-XE**", "**Juniper Junos**", "**FortiGate**", "**Linux**"];

const FENCE: &str = "```";

fn runbooks() -> String {
    text(&repository("docs/RUNBOOKS.md"))
}

/// The heading and the text of each section of a level, up to the next heading of that level or above.
fn sections<'a>(document: &'a str, level: &'a str) -> impl Iterator<Item = (&'a str, &'a str)> {
    document.split("\n## ").flat_map(move |chapter| {
        let all: Vec<&str> = if level == "##" { vec![chapter] } else { chapter.split("\n### ").skip(1).collect() };
        all.into_iter().filter_map(|section| section.split_once('\n'))
    })
}

/// The lines inside of fences. Each block ends with an empty line.
fn commands(document: &str) -> String {
    let mut blocks = String::new();
    for block in document.split(FENCE).skip(1).step_by(2) {
        let lines = block.lines().skip(1).map(str::trim);
        blocks.extend(lines.chain(iter::once("")).flat_map(|line| [line, "\n"]));
    }
    blocks
}

#[test]
fn every_alert_has_one_runbook_and_every_runbook_an_alert() {
    let document = runbooks();
    let mut names: Vec<&str> = sections(&document, "###").map(|(name, _)| name).collect();
    names.sort_unstable();
    let alerts = alerts();
    assert_eq!(names, alerts.keys().map(String::as_str).collect::<Vec<_>>());
}

#[test]
fn every_runbook_has_all_parts_and_three_checks_with_commands() {
    let document = runbooks();
    for (name, section) in sections(&document, "###") {
        let places: Vec<usize> = PARTS
            .iter()
            .map(|part| section.find(part).unwrap_or_else(|| panic!("the runbook of {name} lacks {part}")))
            .collect();
        assert!(places.is_sorted(), "the parts of {name} are in another order than {PARTS:?}");
        let checks = &section[places[2]..places[3]];
        let steps = checks.lines().filter(|line| line.split_once(". ").is_some_and(|(n, _)| n.parse::<u8>().is_ok()));
        assert_eq!(steps.count(), 3, "the runbook of {name} has exactly three first checks");
        assert!(!commands(checks).is_empty(), "the first checks of {name} have no command");
    }
}

#[test]
fn the_queries_of_the_runbooks_are_valid_and_ask_for_metrics_that_exist() {
    let commands = commands(&runbooks());
    let queries: Vec<&str> = commands
        .split("promtool query instant \"$PROMETHEUS\" '")
        .skip(1)
        .map(|rest| rest.split_once('\'').expect("a closing quote").0)
        .collect();
    assert!(queries.len() > 30, "only {} queries were found", queries.len());
    let reference = text(&repository("docs/METRICS.md"));
    let reference = reference + &text(&repository("docs/FLEET.md"));
    let recorded = shipped("magic-tunnel-exporter.rules.yml") + &shipped(FLEET);
    for query in &queries {
        for name in metrics(query) {
            let name = ["_sum", "_count", "_bucket"].iter().find_map(|end| name.strip_suffix(end)).unwrap_or(name);
            let known = reference.contains(&format!("`{name}`")) || recorded.contains(&format!("record: {name}\n"));
            assert!(known, "{name} does not exist: {query}");
        }
    }
    promtool_parses(&queries);
}

/// Panics unless promtool reads every query, here as an expression of a rule.
fn promtool_parses(queries: &[&str]) {
    let folder = tempfile::tempdir().expect("a folder");
    let file: PathBuf = folder.path().join("queries.yml");
    let mut rules = String::from("groups:\n  - name: runbooks\n    rules:\n");
    for (index, query) in queries.iter().enumerate() {
        let query = query.split_whitespace().collect::<Vec<_>>().join(" ");
        let _ = writeln!(rules, "      - record: runbook:query:number{index}\n        expr: |-\n          {query}");
    }
    std::fs::write(&file, rules).expect("the rules");
    assert_accepted_by("promtool", &["check", "rules", file.to_str().expect("a path of UTF-8 text")]);
}

#[test]
fn every_topic_of_the_router_has_commands_for_each_vendor() {
    let document = runbooks();
    let topics: Vec<_> = sections(&document, "##").filter(|(heading, _)| heading.ends_with(" on the router")).collect();
    let headings: Vec<&str> = topics.iter().map(|(heading, _)| *heading).collect();
    let expected = ["Interface and underlay", "IKE and IPsec", "GRE", "BGP", "MTU and MSS"];
    assert_eq!(headings, expected.map(|topic| format!("{topic} on the router")));
    for (heading, topic) in topics {
        for vendor in VENDORS {
            let below = topic.split(vendor).nth(1).and_then(|rest| rest.split_once('\n'));
            let commands = below.is_some_and(|(_, block)| block.trim_start().starts_with(FENCE));
            assert!(commands, "{heading}: no commands for {vendor}");
        }
    }
}
