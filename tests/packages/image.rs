//! The image of the Dockerfile: built, inspected, and run without privileges.

use std::{
    fs,
    process::{Command, Stdio},
    sync::OnceLock,
};

use serde_json::Value;

use crate::support::{Group, can_run, command, eventually, output, root, script};

const PROGRAM: &str = "/usr/bin/magic-tunnel-exporter";

/// Programs that [`build`] needs, for `can_run`.
pub(crate) const NEEDS: &[&str] = &["root", "buildah", "debootstrap", "cargo", "rustc"];

/// Builds the image, once for all tests, and returns its id.
pub(crate) fn build() -> &'static str {
    static IMAGE: OnceLock<String> = OnceLock::new();
    IMAGE.get_or_init(|| output(script("image.sh").args(["dev", "made-by-a-test"])).trim().to_owned())
}

/// A container of the image, deleted when this is dropped.
struct Container(String);

impl Container {
    fn new(image: &str) -> Self {
        Self(output(script("buildah").args(["from", "--pull-never", image])).trim().to_owned())
    }

    /// Runs `arguments` in the container as the user of the image; `outer` is the command around it.
    fn run(&self, mut outer: Command, arguments: &[&str]) -> Command {
        let script = script("buildah");
        outer.arg(script.get_program()).args(["run", &self.0, "--"]).args(arguments);
        outer
    }

    /// The demo in its own network namespace, with the sysctl of docs/OPERATIONS.md that allows unprivileged ping
    /// sockets.
    fn start_demo(&self) -> Running {
        let mut outer = command("unshare");
        let prepare = "ip link set lo up && echo 0 2147483647 >/proc/sys/net/ipv4/ping_group_range && exec \"$@\"";
        outer.args(["--net", "--", "sh", "-c", prepare, "sh"]);
        let mut start = self.run(outer, &[PROGRAM, "demo"]);
        let group = Group::start(start.stdout(Stdio::null()).stderr(Stdio::null()));
        let pid = eventually("the program to run in the container", || {
            let is_program = |pid: &u32| {
                fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|line| line.starts_with(PROGRAM.as_bytes()))
            };
            descendants(group.id()).into_iter().find(is_program).ok_or_else(|| "the process is missing".to_owned())
        });
        Running { group, pid }
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        drop(script("buildah").args(["rm", &self.0]).stdout(Stdio::null()).status());
    }
}

/// A program in a container: the process group that started it, and its process id.
struct Running {
    group: Group,
    pid: u32,
}

impl Running {
    /// A command in the network namespace of the program.
    fn beside(&self) -> Command {
        let mut command = command("nsenter");
        command.arg(format!("--net=/proc/{}/ns/net", self.pid)).arg("--");
        command
    }

    /// One field of `/proc/PID/status`.
    fn status(&self, field: &str) -> String {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid)).expect("the status of a process");
        let line = status.lines().find_map(|line| line.strip_prefix(&format!("{field}:")));
        line.unwrap_or_else(|| panic!("no {field} in {status}")).trim().to_owned()
    }

    /// Sends SIGTERM and returns the exit code.
    fn stop(self) -> Option<i32> {
        output(command("kill").args(["-TERM", &self.pid.to_string()]));
        self.group.ended()
    }
}

/// The children of all threads of a process, and their descendants.
fn descendants(pid: u32) -> Vec<u32> {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let children = threads.map(|thread| fs::read_to_string(thread.path().join("children")).unwrap_or_default());
    let children: String = children.collect();
    let children = children.split_whitespace().filter_map(|child| child.parse().ok());
    children.flat_map(|child| [vec![child], descendants(child)].concat()).collect()
}

fn texts(value: &Value) -> Vec<&str> {
    value.as_array().into_iter().flatten().filter_map(Value::as_str).collect()
}

/// A tag can be moved to another image, a digest cannot.
#[test]
fn the_base_images_are_pinned_by_digest() {
    let dockerfile = fs::read_to_string(root().join("Dockerfile")).expect("the Dockerfile");
    let release = fs::read_to_string(root().join(".github/workflows/release.yml")).expect("the workflow");
    let images =
        [dockerfile.as_str(), release.as_str()].map(|text| text.lines().filter(|line| line.contains("_IMAGE=")));
    for line in images.into_iter().flatten() {
        let digest = line.split_once("@sha256:").unwrap_or_else(|| panic!("no digest: {line}")).1;
        assert!(digest.len() == 64 && digest.bytes().all(|byte| byte.is_ascii_hexdigit()), "{line}");
    }
    let toolchain = format!("/rust:{}.0-slim", env!("CARGO_PKG_RUST_VERSION"));
    assert!(dockerfile.contains(&toolchain), "{toolchain}");
}

#[test]
fn the_image_is_built_and_runs_the_demo_without_privileges() {
    if !can_run(NEEDS) || !can_run(&["unshare", "nsenter", "ip", "curl"]) {
        return;
    }
    let image = build();
    let inspected: Value = serde_json::from_str(&output(script("buildah").args(["inspect", "--type", "image", image])))
        .expect("the JSON of buildah inspect");
    let config = &inspected["Docker"]["config"];
    assert_eq!(config["User"], "65532:65532");
    assert_eq!(texts(&config["Entrypoint"]), [PROGRAM]);
    assert_eq!(config["Labels"]["org.opencontainers.image.licenses"], "Apache-2.0");
    assert_eq!(config["Labels"]["org.opencontainers.image.revision"], "made-by-a-test");
    assert_eq!(config["Labels"]["org.opencontainers.image.version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(config["Labels"]["org.opencontainers.image.base.name"], "gcr.io/distroless/cc-debian13:nonroot");
    let state = "/var/lib/magic-tunnel-exporter";
    assert!(config["Volumes"].get(state).is_some(), "{config:#}");
    assert!(texts(&config["Env"]).contains(&&*format!("STATE_DIRECTORY={state}")), "{config:#}");
    let healthcheck = texts(&config["Healthcheck"]["Test"]);
    assert_eq!(healthcheck.first(), Some(&"CMD"));

    let container = Container::new(image);
    let demo = container.start_demo();
    assert_eq!(demo.status("Uid").split_whitespace().next(), Some("65532"));
    assert_eq!(demo.status("CapPrm").trim_start_matches('0'), "");
    let page = eventually("every tunnel of the demo, probed without a privilege", || {
        let page = demo.beside().args(["curl", "--silent", "http://127.0.0.1:9847/metrics"]).output().expect("nsenter");
        let page = String::from_utf8_lossy(&page.stdout).into_owned();
        let probes = page.contains("cloudflare_magic_probe_socket_up{ip_version=\"4\",mode=\"dgram\"} 1\n");
        let verdicts = page.lines().filter(|line| line.starts_with("cloudflare_magic_tunnel_reachable{")).count();
        if probes && verdicts > 3 { Ok(page) } else { Err(page) }
    });
    assert!(page.contains("revision=\"made-by-a-test\""), "{page}");
    // Without a directory that the user can write to, these metrics are missing.
    assert!(page.contains("\ncloudflare_magic_state_write_failures_total 0\n"), "{page}");
    output(&mut container.run(demo.beside(), &healthcheck[1..]));
    assert_eq!(demo.stop(), Some(0), "exit code after SIGTERM");

    let without_exporter = container.run(command("env"), &healthcheck[1..]).output().expect("buildah");
    assert_eq!(without_exporter.status.code(), Some(1), "{without_exporter:?}");
}
