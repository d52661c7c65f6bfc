//! The stack for Docker Compose, checked by Compose and by the tools of its programs.

use std::process::Stdio;

use crate::support::{can_run, command, has_venv, output, pipe, python, succeeds};

const DEMO: &str = "deploy/compose/compose.yml";
const FLEET: &str = "deploy/fleet/compose/compose.yml";

fn stack(file: &str) -> Option<String> {
    if !can_run(&["docker-compose", "promtool", "amtool"]) || !has_venv() {
        return None;
    }
    Some(output(command("docker-compose").args(["--file", file, "config"])))
}

#[test]
fn each_service_finds_its_files_and_the_services_it_connects_to() {
    for file in [DEMO, FLEET] {
        let Some(stack) = stack(file) else { return };
        pipe(&mut python("compose.py"), &stack);
    }
}

/// The check detects stacks that do not work.
#[test]
fn stacks_with_a_fault_are_refused() {
    let refused = |file, faults: &[(&str, &str)]| {
        let Some(stack) = stack(file) else { return };
        for (right, wrong) in faults {
            assert!(stack.contains(right), "`{right}` is not in\n{stack}");
            let mut check = python("compose.py");
            assert!(!succeeds(check.stderr(Stdio::null()), &stack.replace(right, wrong)), "accepted: {wrong}");
        }
    };
    refused(
        DEMO,
        &[
            ("127.0.0.1:9847:9847/tcp", "127.0.0.1:9847:9848/tcp"),
            ("127.0.0.1:9090:9090/tcp", "9090:9090/tcp"),
            ("/tunnel.json:ro", "/tunnels.json:ro"),
            ("dashboards/overview.json:/var", "dashboards/nowhere.json:/var"),
            ("prometheus/rules/magic-tunnel-exporter.rules.yml", "prometheus/magic-tunnel-exporter.rules.yml"),
            ("alerts/alertmanager.example.yml", "alerts/magic-tunnel-exporter.rules.yml"),
        ],
    );
    refused(
        FLEET,
        &[
            ("127.0.0.1:9852:9852/tcp", "127.0.0.1:9852:9853/tcp"),
            ("advertise=http://hub:9851", "advertise=http://hub:9852"),
            ("advertise=http://hub:9851", "advertise=http://agent-1:9851"),
            ("service:hub", "service:prometheus"),
            (
                "prometheus/rules/magic-tunnel-exporter.fleet.rules.yml",
                "prometheus/magic-tunnel-exporter.fleet.rules.yml",
            ),
        ],
    );
}
