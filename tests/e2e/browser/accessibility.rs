//! The rules of axe-core find nothing on the pages, in both schemes, on a desk and on a phone.

use std::{fs, path::Path};

use serde_json::{Value, json};

use super::{
    Browser, demo_with_prefixes,
    world::{self, World},
};
use crate::support::{http, tools};

/// The script of axe-core; `None` where it is not installed.
fn axe() -> Option<String> {
    let script = tools::made("accessibility-npm")?.join("node_modules/axe-core/axe.min.js");
    Some(read(&script))
}

fn read(file: &Path) -> String {
    fs::read_to_string(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
}

/// What axe-core finds on the open page: the rule, and the elements that violate it.
fn violations(browser: &Browser, axe: &str) -> Value {
    let summary = "found => found.violations.map(rule => [rule.id, rule.help, rule.nodes.map(node => node.html)])";
    browser.run(&format!("{axe}\nreturn axe.run(document, {{ resultTypes: ['violations'] }}).then({summary})"))
}

/// Reads the inventory as an agent does, so that the list of agents is not empty.
fn visit_as_agent(world: &World, name: &str) {
    let reply = http::request(world.address(), "GET", "/api/v1/inventory?site=Frankfurt", &[("Mte-Prober", name)]);
    assert_eq!(reply.expect("an answer").status, 200);
}

#[test]
fn axe_finds_nothing_on_any_page() {
    let (Some(browser), Some(axe)) = (Browser::start(), axe()) else { return };
    let world = World::settled();
    visit_as_agent(&world, "fra-prober");
    let (broken, demo) = (world::path_of("ams-ipsec-1"), demo_with_prefixes(&browser));
    for (scheme, width) in [("light", 1280), ("dark", 1280), ("light", 390), ("dark", 390)] {
        browser.prefer(scheme);
        browser.resize(width, 900);
        let here =
            ["/", &broken, "/?sort=site&search=ipsec", "/agents", "/nowhere"].map(|path| (world.address(), path));
        for (address, path) in here.into_iter().chain([(demo.address, "/prefixes")]) {
            browser.open(address, path);
            let found = violations(&browser, &axe);
            assert_eq!(found, json!([]), "{path} in the {scheme} scheme at a width of {width}");
        }
    }
}

#[test]
fn axe_finds_what_is_wrong() {
    let (Some(browser), Some(axe)) = (Browser::start(), axe()) else { return };
    let world = World::settled();
    browser.open(world.address(), "/");
    browser.run("document.querySelector('main').append(document.createElement('img'))");
    assert_eq!(violations(&browser, &axe)[0][0], "image-alt");
}
