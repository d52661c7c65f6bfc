//! The stacks for Docker Compose, checked by Compose and by the tools of their programs. That of a fleet also runs.

use std::{process::Stdio, time::Duration};

use serde_json::Value;

use crate::{
    image,
    podman::{self, Podman},
    support::{can_run, command, eventually_within, has_venv, output, pipe, python, script, succeeds},
};

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

/// The stack of a fleet without Grafana, which is not part of Debian. Deleted with its podman.
struct Stack(Podman);

impl Stack {
    /// Deadline of what passes through discovery, scrapes and rules, each of them every 15 s.
    const SHOWN: Duration = Duration::from_mins(4);

    fn up() -> Self {
        let image = image::build();
        output(script("buildah").args(["tag", image, "localhost/magic-tunnel-exporter:latest"]));
        output(script("compose-images.sh").arg(FLEET));
        let stack = Self(Podman::start());
        let services = ["hub", "agent-1", "agent-2", "prometheus", "alertmanager"];
        stack.compose(&[&["up", "--detach", "--no-build"][..], &services].concat());
        stack
    }

    fn compose(&self, arguments: &[&str]) {
        let done = self.0.compose(FLEET, "magic-fleet").args(arguments).output().expect("docker-compose");
        let said = String::from_utf8_lossy(&done.stderr);
        assert!(done.status.success(), "{arguments:?}: {said}\n{}", self.0.log());
    }

    /// The JSON at a published port.
    fn json(&self, url: &str) -> Result<Value, String> {
        let page = self.0.page(url)?;
        serde_json::from_str(&page).map_err(|error| format!("{error}: {page}"))
    }

    /// Waits until the JSON at a published port fulfills a condition.
    fn await_json(&self, what: &str, url: &str, is_there: impl Fn(&Value) -> bool) {
        eventually_within(Self::SHOWN, what, || match self.json(url) {
            Ok(seen) if is_there(&seen) => Ok(()),
            seen => Err(format!("{seen:?}\n{}", self.0.log())),
        });
    }

    /// Waits until a query has this value at one series or more.
    fn await_value(&self, query: &str, value: &str) {
        let query: String = form_urlencoded::Serializer::new(String::new()).append_pair("query", query).finish();
        self.await_json(&query, &format!("http://127.0.0.1:9090/api/v1/query?{query}"), |seen| {
            let series = seen["data"]["result"].as_array().into_iter().flatten();
            series.map(|one| &one["value"][1]).any(|seen| seen == value)
        });
    }
}

fn has_all(list: &Value, field: &str, expected: &[&str]) -> bool {
    let seen: Vec<_> = list.as_array().into_iter().flatten().filter_map(|one| one[field].as_str()).collect();
    expected.iter().all(|one| seen.contains(one))
}

#[test]
fn the_stack_of_a_fleet_runs_and_its_agents_vote() {
    const ALERTMANAGER: &str = "http://127.0.0.1:9093/api/v2/alerts";
    if !can_run(podman::NEEDS)
        || !can_run(image::NEEDS)
        || !can_run(&["docker-compose", "prometheus", "prometheus-alertmanager"])
    {
        return;
    }
    let stack = Stack::up();
    let agents = |seen: &Value| {
        has_all(&seen["agents"], "prober", &["agent-1", "agent-2"]) && has_all(&seen["agents"], "state", &["current"])
    };
    stack.await_json("both agents at the hub", "http://127.0.0.1:9847/api/v1/agents", agents);
    let await_healthy = |port: u16| {
        let tunnels = |seen: &Value| seen["tunnels"].as_array().cloned().unwrap_or_default();
        let healthy = |seen: &Value| tunnels(seen).iter().any(|tunnel| tunnel["verdict"]["verdict"] == "healthy");
        stack.await_json("a healthy tunnel", &format!("http://127.0.0.1:{port}/api/v1/tunnels"), healthy);
    };
    await_healthy(9851);
    await_healthy(9852);
    stack.await_value("count(up{role=\"hub\"} == 1)", "1");
    stack.await_value("count(up{role=\"agent\"} == 1)", "2");
    stack.await_value("tunnel:cloudflare_magic_tunnel_verdict:quorum{verdict=\"healthy\"}", "2");
    stack.await_json("an alert at Alertmanager", ALERTMANAGER, |seen| {
        let labels = seen.as_array().into_iter().flatten().map(|alert| &alert["labels"]);
        labels.into_iter().any(|labels| labels["alertname"] == "MagicTunnelHeartbeat")
    });
    stack.compose(&["restart", "--timeout=5", "agent-1"]);
    await_healthy(9851);
}
