//! The systemd unit and its settings, checked with the tools of systemd.

use std::fs;

use crate::support::{can_run, command, output, root};

/// Upper limit of `systemd-analyze security`, in tenths: 0 is fully confined, 100 is unconfined. Documented in
/// docs/OPERATIONS.md.
const MOST_EXPOSED: u32 = 15;

#[test]
fn the_unit_is_understood_and_exposes_little() {
    if !can_run(&["systemd-analyze"]) {
        return;
    }
    let text = fs::read_to_string(root().join("deploy/systemd/magic-tunnel-exporter.service")).expect("the unit");
    let installed = "/usr/bin/magic-tunnel-exporter";
    assert!(text.contains(&format!("ExecStart={installed} serve\n")), "{text}");
    let folder = tempfile::tempdir().expect("a temporary folder");
    let unit = folder.path().join("magic-tunnel-exporter.service");
    fs::write(&unit, text.replace(installed, env!("CARGO_BIN_EXE_magic-tunnel-exporter"))).expect("a file");

    // Unknown settings are reported on standard error and do not change the exit code.
    let verified =
        command("systemd-analyze").args(["verify", "--man=no"]).arg(&unit).output().expect("systemd-analyze");
    let said = String::from_utf8_lossy(&verified.stderr);
    let of_unit: Vec<&str> = said.lines().filter(|line| line.contains("magic-tunnel-exporter")).collect();
    assert!(verified.status.success() && of_unit.is_empty(), "{said}");

    let threshold = format!("--threshold={MOST_EXPOSED}");
    output(command("systemd-analyze").args(["security", "--offline=true", "--no-pager", &threshold]).arg(&unit));
}

/// The unit of an agent has a password instead of a token.
#[test]
fn the_drop_in_of_an_agent_is_understood() {
    if !can_run(&["systemd-analyze"]) {
        return;
    }
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (unit, drop_ins) =
        (folder.path().join("magic-tunnel-exporter.service"), folder.path().join("magic-tunnel-exporter.service.d"));
    let text = fs::read_to_string(root().join("deploy/systemd/magic-tunnel-exporter.service")).expect("the unit");
    let binary = env!("CARGO_BIN_EXE_magic-tunnel-exporter");
    fs::write(&unit, text.replace("/usr/bin/magic-tunnel-exporter", binary)).expect("a file");
    fs::create_dir(&drop_ins).expect("a folder");
    let drop_in = fs::read_to_string(root().join("deploy/fleet/systemd/agent.conf")).expect("the drop-in");
    fs::write(drop_ins.join("agent.conf"), &drop_in).expect("a file");

    let verified =
        command("systemd-analyze").args(["verify", "--man=no"]).arg(&unit).output().expect("systemd-analyze");
    let said = String::from_utf8_lossy(&verified.stderr);
    assert!(verified.status.success() && !said.contains("magic-tunnel-exporter"), "{said}");
    assert!(drop_in.contains("LoadCredential=\n") && drop_in.contains("UnsetEnvironment=CLOUDFLARE_API_TOKEN_FILE\n"));
}

#[test]
fn the_examples_of_a_fleet_name_variables_that_exist() {
    let help = output(command(env!("CARGO_BIN_EXE_magic-tunnel-exporter")).arg("--help"));
    for file in ["hub.env", "agent.env", "agent.conf"] {
        let example = fs::read_to_string(root().join("deploy/fleet/systemd").join(file)).expect("the example");
        for line in example.lines().filter(|line| line.contains("MTE_")) {
            let start = line.find("MTE_").unwrap_or_default();
            let variable = line[start..].split('=').next().unwrap_or_default();
            assert!(help.contains(&format!("[env: {variable}]")), "{file}: unknown variable {variable}");
        }
    }
}

/// All variables of the example exist, and all of them are commented out.
#[test]
fn the_example_of_settings_names_variables_that_exist_and_sets_none() {
    let example = fs::read_to_string(root().join("deploy/systemd/magic-tunnel-exporter.env")).expect("the example");
    let help = output(command(env!("CARGO_BIN_EXE_magic-tunnel-exporter")).arg("--help"));
    let settings: Vec<&str> = example.lines().filter(|line| line.contains('=')).collect();
    assert!(settings.len() >= 5, "{example}");
    for line in settings {
        let variable = line
            .strip_prefix('#')
            .and_then(|line| line.split('=').next())
            .unwrap_or_else(|| panic!("not commented out: {line}"));
        assert!(help.contains(&format!("[env: {variable}]")), "unknown variable {variable}");
    }
}
