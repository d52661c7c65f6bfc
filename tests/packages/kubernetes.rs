//! The manifests for Kubernetes, put together by kustomize and held against the API's schemas.

use std::{fs, process::Stdio};

use crate::support::{can_run, command, has_venv, output, pipe, python, root};

#[test]
fn the_manifests_fit_the_api_and_each_other() {
    if !can_run(&["kubectl"]) || !has_venv() {
        return;
    }
    let manifests = output(command("kubectl").args(["kustomize", "deploy/kubernetes"]));
    pipe(python("kubernetes.py").arg(env!("CARGO_PKG_VERSION")), &manifests);
}

/// The check itself, on manifests that would do harm or not work.
#[test]
fn manifests_with_a_fault_are_refused() {
    if !can_run(&["kubectl"]) || !has_venv() {
        return;
    }
    let manifests = output(command("kubectl").args(["kustomize", "deploy/kubernetes"]));
    for (right, wrong) in [
        ("        - ALL\n", "        - NET_RAW\n"),
        ("allowPrivilegeEscalation: false", "allowPrivilegeEscalation: true"),
        ("runAsNonRoot: true", "runAsNonRoot: yess"),
        ("periodSeconds: 5", "periodSecond: 5"),
        ("name: net.ipv4.ping_group_range", "name: net.ipv4.ip_forward"),
        ("interval: 15s\n    port: http", "interval: 15 seconds\n    port: http"),
        ("targetLabel: job", "targetLabels: job"),
        ("mountPath: /run/secrets/magic-tunnel-exporter", "mountPath: /elsewhere"),
    ] {
        assert!(manifests.contains(right), "`{right}` is not in\n{manifests}");
        let mut check = python("kubernetes.py");
        check.arg(env!("CARGO_PKG_VERSION")).stderr(Stdio::null());
        assert!(!crate::support::succeeds(&mut check, &manifests.replace(right, wrong)), "accepted: {wrong}");
    }
}

#[test]
fn the_alerts_of_the_operator_are_those_of_the_rule_files() {
    if !can_run(&["python3"]) {
        return;
    }
    output(command("python3").args(["deploy/kubernetes/generate.py", "--check"]));
    let rules = fs::read_to_string(root().join("deploy/kubernetes/prometheusrule.yml")).expect("the manifest");
    let alerts = fs::read_to_string(root().join("alerts/magic-tunnel-exporter.alerts.yml")).expect("the rules");
    let count = |text: &str| text.matches("- alert: ").count();
    assert!(count(&alerts) > 20);
    assert_eq!(count(&rules), count(&alerts));
}
