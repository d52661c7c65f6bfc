//! The Kubernetes manifests, combined by kustomize and checked against the schemas of the API.

use std::fs;

use crate::support::{can_run, command, has_venv, output, pipe, python, root};

/// The check also detects manifests that are harmful or do not work.
#[test]
fn the_manifests_fit_the_api_and_each_other_and_faults_are_found() {
    if !can_run(&["kubectl"]) || !has_venv() {
        return;
    }
    let manifests = output(command("kubectl").args(["kustomize", "deploy/kubernetes"]));
    let policy = fs::read_to_string(root().join("deploy/kubernetes/networkpolicy.yml")).expect("the example");
    let manifests = format!("{manifests}---\n{policy}");
    let faults = [
        ("        - ALL\n", "        - NET_RAW\n"),
        ("allowPrivilegeEscalation: false", "allowPrivilegeEscalation: true"),
        ("runAsNonRoot: true", "runAsNonRoot: yess"),
        ("periodSeconds: 5", "periodSecond: 5"),
        ("name: net.ipv4.ping_group_range", "name: net.ipv4.ip_forward"),
        ("interval: 15s\n    port: http", "interval: 15 seconds\n    port: http"),
        ("targetLabel: job", "targetLabels: job"),
        ("targetLabel: instance", "targetLabel: exporter"),
        ("$1.svc:9847", "$1.svc:9848"),
        ("regex: pod", "regex: pods"),
        ("        - port: http\n", "        - port: https\n"),
        ("  podSelector:\n", "  podSelectors:\n"),
        ("mountPath: /run/secrets/magic-tunnel-exporter", "mountPath: /elsewhere"),
        ("mountPath: /var/lib/magic-tunnel-exporter", "mountPath: /elsewhere"),
    ];
    let pairs = faults.iter().flat_map(|(right, wrong)| [right, wrong]);
    pipe(python("kubernetes.py").arg(env!("CARGO_PKG_VERSION")).args(pairs), &manifests);
}

#[test]
fn the_manifests_of_a_hub_and_an_agent_fit_the_api() {
    if !can_run(&["kubectl"]) || !has_venv() {
        return;
    }
    for role in ["hub", "agent"] {
        let manifests = output(command("kubectl").args(["kustomize", &format!("deploy/fleet/kubernetes/{role}")]));
        pipe(python("kubernetes.py").arg(role), &manifests);
    }
}

#[test]
fn the_manifests_of_several_accounts_mount_the_files_that_they_name() {
    if !can_run(&["kubectl"]) || !has_venv() {
        return;
    }
    let manifests = output(command("kubectl").args(["kustomize", "deploy/kubernetes-accounts"]));
    pipe(python("kubernetes.py").arg("accounts"), &manifests);
    let folder = tempfile::tempdir().expect("a temporary folder");
    let config = fs::read_to_string(root().join("deploy/kubernetes-accounts/config.yml")).expect("the example");
    let file = folder.path().join("config.yml");
    fs::write(&file, config.replace("/run/secrets/magic-tunnel-exporter", ".")).expect("a file");
    for token in ["acme-token", "globex-token"] {
        fs::write(folder.path().join(token), "secret").expect("a file");
    }
    let mut check = command(env!("CARGO_BIN_EXE_magic-tunnel-exporter"));
    check.args(["check", "--web.listen-address=127.0.0.1:0", "--config.file"]).arg(&file);
    let checked = check.env("CLOUDFLARE_API_URL", "http://127.0.0.1:1").output().expect("the program");
    assert_eq!(checked.status.code(), Some(1), "an API that does not answer, and a valid file: {checked:?}");
}

/// The values in `deploy/helm/ci`, from the folder and from a packaged chart.
#[test]
fn the_helm_chart_renders_in_five_configurations_and_refuses_faulty_values() {
    if !can_run(&["tar"]) || !has_venv() {
        return;
    }
    let folder = tempfile::tempdir().expect("a temporary folder");
    let archive = folder.path().join("chart.tgz");
    output(command(root().join("scripts/chart")).arg(&archive));
    for chart in [root().join("deploy/helm"), archive] {
        output(python("chart.py").arg(chart).arg(env!("CARGO_BIN_EXE_magic-tunnel-exporter")));
    }
}

/// The versions of the chart are those of the program.
#[test]
fn the_helm_chart_has_the_version_of_the_program() {
    let chart = fs::read_to_string(root().join("deploy/helm/Chart.yaml")).expect("the chart");
    for key in ["version", "appVersion"] {
        assert!(chart.contains(&format!("\n{key}: {}\n", env!("CARGO_PKG_VERSION"))), "{key} in {chart}");
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
