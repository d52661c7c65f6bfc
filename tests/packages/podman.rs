//! Containers that podman runs, in a network of their own. Podman's storage, networks and locks are below
//! `target/packages`, so that other containers of this machine are not touched.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{Mutex, MutexGuard, PoisonError},
};

use crate::support::{Group, command, eventually, root};

/// Programs that containers need, for `can_run`.
pub(crate) const NEEDS: &[&str] = &[
    "root",
    "podman",
    "runc",
    "/usr/lib/podman/netavark",
    "/usr/lib/podman/aardvark-dns",
    "unshare",
    "nsenter",
    "ip",
    "curl",
];

/// Held by the only [`Podman`] of this process, because it deletes all containers of the storage.
static TURN: Mutex<()> = Mutex::new(());

/// Podman with a Docker-compatible API. All containers, volumes and networks are deleted when this is dropped.
///
/// Published ports are on the loopback interface of a network namespace, which [`beside`](Self::beside) enters.
pub(crate) struct Podman {
    /// Owns the network namespace.
    service: Group,
    folder: PathBuf,
    _turn: MutexGuard<'static, ()>,
}

impl Podman {
    /// Starts the API. Images come from the storage of `tests/packages/buildah`.
    pub(crate) fn start() -> Self {
        let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        let folder = root().join("target/packages/podman");
        fs::create_dir_all(&folder).expect("a folder");
        fs::write(folder.join("containers.conf"), configuration(&folder)).expect("a file");
        let socket = folder.join("socket");
        drop(fs::remove_file(&socket));
        let mut outer = command("unshare");
        outer.args(["--net", "--", "sh", "-c", "ip link set lo up && exec \"$@\"", "sh"]);
        configured(&mut outer, &folder).args(["system", "service", "--time=0"]);
        let log = fs::File::create(folder.join("service.log")).expect("a file");
        outer.arg(format!("unix://{}", socket.display())).stdout(log.try_clone().expect("a file")).stderr(log);
        let podman = Self { service: Group::start(&mut outer), folder, _turn: turn };
        eventually("the API of podman", || if socket.exists() { Ok(()) } else { Err(podman.log()) });
        podman.clear();
        podman
    }

    /// A command in the network namespace of the host side of the containers. The program is its first argument.
    pub(crate) fn beside(&self) -> Command {
        let mut command = command("nsenter");
        command.arg(format!("--net=/proc/{}/ns/net", self.service.id())).arg("--");
        command
    }

    /// `podman` with these arguments.
    pub(crate) fn run(&self, arguments: &[&str]) -> Command {
        let mut command = self.beside();
        configured(&mut command, &self.folder).args(arguments);
        command
    }

    /// The `containers.conf` of [`run`](Self::run).
    pub(crate) fn configuration(&self) -> PathBuf {
        self.folder.join("containers.conf")
    }

    /// Docker Compose with this file and a project of the same name as in its documentation.
    pub(crate) fn compose(&self, file: &str, project: &str) -> Command {
        let mut command = command("docker-compose");
        command.args(["--ansi=never", "--file", file, "--project-name", project]);
        // Each container copies its image.
        command.env("COMPOSE_HTTP_TIMEOUT", "300");
        command.env("DOCKER_HOST", format!("unix://{}", self.folder.join("socket").display()));
        command
    }

    /// A page of a published port.
    pub(crate) fn page(&self, url: &str) -> Result<String, String> {
        let mut curl = self.beside();
        curl.args(["curl", "--silent", "--show-error", "--fail-with-body", "--max-time", "10", url]);
        let output = curl.output().expect("nsenter");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        if output.status.success() {
            Ok(text(&output.stdout))
        } else {
            Err(text(&[output.stdout, output.stderr].concat()))
        }
    }

    /// Everything that the containers printed, and what podman logged.
    pub(crate) fn log(&self) -> String {
        let names = self.run(&["ps", "--all", "--format", "{{.Names}} {{.Status}}"]).output().expect("podman").stdout;
        let names = String::from_utf8_lossy(&names).into_owned();
        let printed = |name: &str| {
            let output = self.run(&["logs", "--tail=40", name]).output().expect("podman");
            format!("--- {name}\n{}", String::from_utf8_lossy(&[output.stdout, output.stderr].concat()))
        };
        let printed: Vec<_> = names.lines().filter_map(|line| line.split(' ').next()).map(printed).collect();
        let service = fs::read_to_string(self.folder.join("service.log")).unwrap_or_default();
        format!("{names}{}{service}", printed.concat())
    }

    /// Deletes what this or an interrupted run left.
    fn clear(&self) {
        for arguments in [
            &["pod", "rm", "--all", "--force", "--time=0"][..],
            &["rm", "--all", "--force", "--time=0"],
            &["volume", "rm", "--all", "--force"],
            &["network", "prune", "--force"],
        ] {
            drop(self.run(arguments).stdout(Stdio::null()).stderr(Stdio::null()).status());
        }
    }
}

impl Drop for Podman {
    fn drop(&mut self) {
        self.clear();
    }
}

/// Adds `podman` with its flags and environment to a command.
fn configured<'c>(outer: &'c mut Command, folder: &Path) -> &'c mut Command {
    let storage = root().join("target/packages/storage");
    outer.env("CONTAINERS_CONF", folder.join("containers.conf"));
    // Without systemd there are no timers for health checks.
    outer.env("DISABLE_HC_SYSTEMD", "true");
    outer.args(["podman", "--root"]).arg(storage.join("root"));
    outer.arg("--runroot").arg(storage.join("run")).arg("--tmpdir").arg(folder.join("tmp"))
}

/// Works without systemd, without cgroups of version 2 and below the limits of a container.
fn configuration(folder: &Path) -> String {
    format!(
        "[containers]\ndefault_ulimits = [\"nofile=4096:4096\", \"nproc=1000:1000\"]\nlog_driver = \"k8s-file\"\n\
         [engine]\nruntime = \"runc\"\ncgroup_manager = \"cgroupfs\"\nevents_logger = \"file\"\nlock_type = \"file\"\n\
         [network]\nnetwork_backend = \"netavark\"\nnetwork_config_dir = \"{}\"\n",
        folder.join("networks").display()
    )
}
