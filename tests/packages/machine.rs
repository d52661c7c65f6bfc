//! A Debian system that is booted by a real systemd in a container of its own, without a network.

use std::{fs, path::PathBuf, process::Command};

use crate::support::{Group, command, eventually, output, root, script};

/// Programs that booting needs, for `can_run`.
pub(crate) const NEEDS: &[&str] = &["root", "debootstrap", "systemd-nspawn", "nsenter", "curl"];

/// A running system, killed and deleted when this is dropped.
pub(crate) struct Machine {
    folder: PathBuf,
    /// systemd, as this machine's processes see it.
    init: u32,
    /// `None` once it is killed.
    container: Option<Group>,
}

impl Machine {
    /// Boots the oldest supported Debian: systemd and D-Bus, and nothing else.
    pub(crate) fn boot() -> Self {
        let clean = output(script("debian-root.sh").args(["bookworm", "systemd,systemd-sysv,dbus"]));
        let folder = root().join("target/packages/booted");
        discard(&folder);
        output(command("cp").args(["--archive", "--reflink=auto", clean.trim()]).arg(&folder));
        let mut nspawn = command("systemd-nspawn");
        nspawn.args(["--private-network", "--register=no", "--keep-unit", "--quiet", "--console=pipe", "--boot"]);
        let log = fs::File::create(folder.with_extension("log")).expect("a file");
        nspawn.arg("--directory").arg(&folder).stdout(log.try_clone().expect("a file")).stderr(log);
        let container = Group::start(&mut nspawn);
        let init = eventually("systemd to start", || child(container.id()));
        let machine = Self { folder, init, container: Some(container) };
        eventually("the system to boot", || {
            let state = machine.try_run(&["systemctl", "is-system-running"]);
            if matches!(state.1.trim(), "running" | "degraded") { Ok(()) } else { Err(format!("{state:?}")) }
        });
        machine
    }

    pub(crate) fn file(&self, path: &str) -> PathBuf {
        self.folder.join(path.trim_start_matches('/'))
    }

    pub(crate) fn write(&self, path: &str, content: &str) {
        let file = self.file(path);
        fs::create_dir_all(file.parent().expect("a folder")).expect("a folder");
        fs::write(file, content).unwrap_or_else(|error| panic!("{path}: {error}"));
    }

    /// A command in all namespaces of the system. The first argument is the program.
    fn inside(&self, arguments: &[&str]) -> Command {
        let mut command = command("nsenter");
        command.args(["--target", &self.init.to_string(), "--all", "--"]).args(arguments);
        command.env("DEBIAN_FRONTEND", "noninteractive");
        command
    }

    /// The standard output of a command. Panics if it fails.
    pub(crate) fn run(&self, arguments: &[&str]) -> String {
        output(&mut self.inside(arguments))
    }

    /// Whether a command succeeds, and everything that it prints.
    pub(crate) fn try_run(&self, arguments: &[&str]) -> (bool, String) {
        let output = self.inside(arguments).output().expect("nsenter");
        let printed = [output.stdout, output.stderr].concat();
        (output.status.success(), String::from_utf8_lossy(&printed).into_owned())
    }

    /// A page that a server of the system answers, read by curl of this machine. Empty if there is no answer.
    pub(crate) fn page(&self, url: &str) -> String {
        let network = format!("--net=/proc/{}/ns/net", self.init);
        let read = command("nsenter").args([&network, "--", "curl", "--silent", "--max-time", "5", url]).output();
        String::from_utf8_lossy(&read.expect("nsenter").stdout).into_owned()
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        // The death of its init ends every process of the container.
        drop(command("kill").args(["-KILL", &self.init.to_string()]).stderr(std::process::Stdio::null()).status());
        drop(self.container.take());
        discard(&self.folder);
    }
}

fn discard(folder: &PathBuf) {
    output(command("rm").args(["-rf", "--one-file-system"]).arg(folder));
}

/// The only child of a process.
fn child(parent: u32) -> Result<u32, String> {
    let children =
        fs::read_to_string(format!("/proc/{parent}/task/{parent}/children")).map_err(|error| error.to_string())?;
    children.trim().parse().map_err(|_| format!("children: {children:?}"))
}
