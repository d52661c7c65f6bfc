//! The image and the manifests, run by podman as the documentation says.

use std::{fs, os::unix::fs::MetadataExt as _, path::PathBuf};

use crate::{
    image,
    podman::{self, Podman},
    support::{can_run, command, eventually, has_venv, output, python, root},
};

const NAME: &str = "magic-tunnel-exporter";
const STATE: &str = "magic-tunnel-exporter:/var/lib/magic-tunnel-exporter";
/// The flags of `docker run` in docs/OPERATIONS.md that restrict the container.
const RESTRICTIONS: &[&str] = &[
    "--read-only",
    "--cap-drop ALL",
    "--security-opt no-new-privileges",
    "--sysctl net.ipv4.ping_group_range=\"0 2147483647\"",
    "--publish 9847:9847",
    "--volume magic-tunnel-exporter:/var/lib/magic-tunnel-exporter",
];

fn can_run_containers() -> bool {
    can_run(image::NEEDS) && can_run(podman::NEEDS)
}

/// Starts the demo with the flags of the documentation.
fn start_demo(podman: &Podman, image: &str) {
    let mut run = podman.run(&["run", "--detach", "--name", NAME]);
    for flag in RESTRICTIONS {
        run.args(flag.replace('"', "").splitn(2, ' '));
    }
    output(run.args([image, "demo"]));
}

/// The page of metrics, once a tunnel is healthy, which needs pings.
fn metrics(podman: &Podman) -> String {
    eventually("a healthy tunnel", || {
        let page =
            podman.page("http://127.0.0.1:9847/metrics").map_err(|error| format!("{error}\n{}", podman.log()))?;
        let probes = page.contains("cloudflare_magic_probe_socket_up{ip_version=\"4\",mode=\"dgram\"} 1\n");
        let healthy = page.lines().any(|line| line.ends_with("verdict=\"healthy\"} 1"));
        if probes && healthy { Ok(page) } else { Err(format!("{page}\n{}", podman.log())) }
    })
}

/// Fields of a container, from `podman inspect`.
fn inspect(podman: &Podman, container: &str, format: &str) -> String {
    output(podman.run(&["inspect", "--format", format, container]).arg("--type=container")).trim().to_owned()
}

/// SIGTERM ends the program in time and without an error.
fn stop(podman: &Podman, container: &str) {
    output(&mut podman.run(&["stop", "--time=30", container]));
    assert_eq!(inspect(podman, container, "{{.State.ExitCode}}"), "0", "{}", podman.log());
}

/// The process of a container has no privileges and cannot write to its image.
fn has_no_privileges(podman: &Podman, container: &str) {
    let pid = inspect(podman, container, "{{.State.Pid}}");
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("a process");
    for (field, value) in
        [("Uid", "65532\t65532\t65532\t65532"), ("CapBnd", "0000000000000000"), ("NoNewPrivs", "1"), ("Seccomp", "2")]
    {
        assert!(status.contains(&format!("\n{field}:\t{value}\n")), "{field} in {status}");
    }
    let mounts = fs::read_to_string(format!("/proc/{pid}/mounts")).expect("a process");
    let image = mounts.lines().find(|line| line.split(' ').nth(1) == Some("/")).expect("the root");
    assert!(image.split(' ').nth(3).is_some_and(|options| options.split(',').any(|option| option == "ro")), "{image}");
}

#[test]
fn a_container_without_privileges_probes_and_a_new_one_continues_its_state() {
    if !can_run_containers() {
        return;
    }
    let operations = fs::read_to_string(root().join("docs/OPERATIONS.md")).expect("the page");
    for flag in RESTRICTIONS {
        assert!(operations.contains(flag), "docs/OPERATIONS.md does not have {flag}");
    }
    let (image, podman) = (image::build(), Podman::start());
    start_demo(&podman, image);
    let before = metrics(&podman);
    has_no_privileges(&podman, NAME);
    output(podman.run(&["healthcheck", "run", NAME]).arg("--log-level=error"));
    stop(&podman, NAME);

    let (volume, _) = STATE.split_once(':').expect("a volume");
    let folder =
        PathBuf::from(output(&mut podman.run(&["volume", "inspect", "--format", "{{.Mountpoint}}", volume])).trim());
    let state = fs::metadata(folder.join("state.json")).expect("the state");
    assert_eq!((state.uid(), state.mode() & 0o777), (65532, 0o600));

    // An upgrade: a new container with the same volume.
    output(&mut podman.run(&["rm", NAME]));
    start_demo(&podman, image);
    let kept =
        before.lines().filter(|line| line.starts_with("cloudflare_magic_tunnel_verdict_changed_timestamp_seconds{"));
    let kept: Vec<&str> = kept.collect();
    assert!(!kept.is_empty(), "{before}");
    eventually("a verdict of the first container", || {
        let page = metrics(&podman);
        if kept.iter().any(|line| page.contains(line)) { Ok(()) } else { Err(page) }
    });
    stop(&podman, NAME);
}

/// The manifests of kustomize have variables and a token, those of Helm a configuration file.
#[test]
fn pods_of_the_manifests_and_of_the_chart_poll_and_probe() {
    if !can_run_containers() || !can_run(&["kubectl", "/usr/bin/catatonit"]) || !has_venv() {
        return;
    }
    let kustomized = output(command("kubectl").args(["kustomize", "deploy/kubernetes"]));
    let rendered = output(python("chart.py").args(["deploy/helm", "one-account-values"]));
    let (image, podman) = (image::build(), Podman::start());
    for (manifests, pod) in [(kustomized, NAME), (rendered, "demo-magic-tunnel-exporter")] {
        plays(&podman, image, &manifests, &format!("{pod}-pod-0"));
    }
}

fn plays(podman: &Podman, image: &str, manifests: &str, pod: &str) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (given, file) = (folder.path().join("given.yml"), folder.path().join("pod.yml"));
    fs::write(&given, manifests).expect("a file");
    let prepared = output(python("pod.py").arg(image).stdin(fs::File::open(given).expect("a file")));
    fs::write(&file, prepared).expect("a file");
    // Podman 4.3 ignores the sysctls of a pod.
    let conf = fs::read_to_string(podman.configuration()).expect("the configuration of podman");
    let sysctls = "[containers]\ndefault_sysctls = [\"net.ipv4.ping_group_range=0 2147483647\"]";
    let own = folder.path().join("containers.conf");
    fs::write(&own, conf.replace("[containers]", sysctls)).expect("a file");
    output(podman.run(&["play", "kube"]).arg(&file).env("CONTAINERS_CONF", &own));

    let page = metrics(podman);
    assert!(page.contains("\ncloudflare_magic_state_write_failures_total 0\n"), "{page}");
    let container = format!("{pod}-exporter");
    has_no_privileges(podman, &container);
    output(&mut podman.run(&[
        "exec",
        &container,
        "/usr/bin/magic-tunnel-exporter",
        "check",
        "--web.listen-address=127.0.0.1:0",
    ]));
    stop(podman, &container);
    output(podman.run(&["play", "kube", "--down"]).arg(&file));
}
