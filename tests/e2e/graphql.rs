//! The documents that the exporter sends are valid for the schema of Cloudflare's GraphQL API, in the opinion of a
//! library that is not ours.

use std::{collections::BTreeMap, process::Command};

use magic_tunnel_exporter::cloudflare::graphql::{COLOS, HEALTH, SETTINGS, TRAFFIC};
use serde_json::json;

use crate::support::tools;

#[test]
fn every_document_is_valid_and_every_misspelled_one_is_not() {
    let Some(python) = tools::python("graphql") else { return };
    let spoiled = |document: &str, right: &str, wrong: &str| {
        assert!(document.contains(right), "{right}");
        document.replacen(right, wrong, 1)
    };
    let documents = json!({
        "settings": SETTINGS,
        "health": HEALTH,
        "traffic": TRAFFIC,
        "colos": COLOS,
        "wrong list": spoiled(COLOS, "$colos: [string!]!", "$colos: [uint64!]!"),
        "wrong field": spoiled(HEALTH, "siteName", "sitName"),
        "wrong order": spoiled(HEALTH, "tunnelName_ASC", "tunnelName_UP"),
        "wrong filter": spoiled(TRAFFIC, "ingressTunnelName_notin", "ingressTunnelName_not"),
        "wrong type": spoiled(HEALTH, "$limit: uint64!", "$limit: string!"),
        "wrong argument": spoiled(SETTINGS, "accountTag", "account"),
        "damaged": spoiled(TRAFFIC, "}", ""),
    });
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/graphql");
    let mut command = Command::new(python);
    command.arg(format!("{folder}/validate.py")).arg(format!("{folder}/schema.graphql"));
    let output = tools::run(&mut command, &documents.to_string());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let errors: BTreeMap<String, Vec<String>> = serde_json::from_slice(&output.stdout).expect("JSON of validate.py");
    assert_eq!(errors.len(), 11);
    for (name, errors) in errors {
        let is_ours = ["settings", "health", "traffic", "colos"].contains(&&*name);
        assert_eq!(errors.is_empty(), is_ours, "{name}: {errors:?}");
    }
}
