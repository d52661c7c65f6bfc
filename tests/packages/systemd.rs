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
        assert!(help.contains(&format!("[env: {variable}=")), "unknown variable {variable}");
    }
}
