//! Silences during maintenance: the link of the page, and the examples in the documentation.

use std::{fs, path::Path, process::Command};

use crate::support::{
    api::Api,
    exporter::{ACCOUNT, Exporter, token_file},
    http, tools,
    tunnels::{all_is_well, id_of},
};

#[test]
fn the_page_of_a_tunnel_links_to_the_form_for_a_silence() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let rules = folder.path().join("mte.yml");
    fs::write(&rules, "sites: [{pattern: '^(?<site>[a-z]+)-'}]\n").expect("a file");
    let api = Api::start(all_is_well());
    let rules = format!("--config.file={}", rules.display());
    let page = |flags: &[&str]| {
        let exporter = Exporter::serve(api.address, &token_file(&folder), flags);
        exporter.await_ready();
        http::text(exporter.address, &format!("/tunnels/{ACCOUNT}/ipsec/{}", id_of("ipsec-1")))
    };
    let linked = page(&[&rules, "--web.alertmanager-url=https://alerts.example/am/"]);
    let form = "href=\"https://alerts.example/am/#/silences/new?filter=%7Balertname%3D%7E%22MagicTunnel%2E%2B%22%2C";
    let account = format!("{form}account%3D%22{ACCOUNT}%22%2C");
    for rest in ["tunnel%5Fname%3D%22ipsec%2D1%22%7D\"", "site%3D%22ipsec%22%7D\""] {
        assert!(linked.contains(&format!("{account}{rest}")), "{rest}:\n{linked}");
    }
    assert!(!page(&[&rules]).contains("silences"));
}

/// The configurations of Alertmanager in docs/OPERATIONS.md.
fn documented_configurations() -> Vec<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/OPERATIONS.md");
    let text = fs::read_to_string(path).expect("docs/OPERATIONS.md");
    let blocks = text.split("```yaml\n").skip(1).filter_map(|rest| rest.split("```").next());
    blocks.filter(|block| block.contains("mute_time_intervals")).map(str::to_owned).collect()
}

#[test]
fn amtool_accepts_the_documented_maintenance_windows() {
    let Some(amtool) = tools::tool("amtool") else { return };
    let folder = tempfile::tempdir().expect("a temporary folder");
    let documented = documented_configurations();
    assert!(!documented.is_empty());
    for text in documented {
        let file = folder.path().join("alertmanager.yml");
        fs::write(&file, &text).expect("a file");
        let output = tools::run(Command::new(&amtool).arg("check-config").arg(&file), "");
        let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        assert!(output.status.success(), "{said}\n{text}");
    }
}
