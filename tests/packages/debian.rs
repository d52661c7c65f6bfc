//! The Debian package: installed into a small Debian system, used, upgraded, removed and purged. Once with the oldest
//! C library that the artifacts support, and once with a current one.

use std::{
    fs,
    path::PathBuf,
    process::{Command, Stdio},
};

use crate::support::{Group, MAKES_ARTIFACTS, artifact, can_run, command, eventually, output, root, script};

const NAME: &str = "magic-tunnel-exporter";

/// A copy of a Debian system, deleted when this is dropped.
struct Debian(PathBuf);

impl Debian {
    fn new(suite: &str, packages: &str) -> Self {
        let clean = output(script("debian-root.sh").args([suite, packages]));
        let copy = Self(root().join(format!("target/packages/installed-{suite}")));
        copy.discard();
        output(command("cp").args(["--archive", "--reflink=auto", clean.trim()]).arg(&copy.0));
        copy
    }

    fn discard(&self) {
        output(command("rm").args(["-rf", "--one-file-system"]).arg(&self.0));
    }

    /// A command inside, in a network namespace with a loopback device only.
    fn inside(&self, program: &str) -> Command {
        let mut command = command("unshare");
        let prepare = "ip link set lo up && exec chroot \"$0\" \"$@\"";
        command.args(["--net", "--", "sh", "-c", prepare]).arg(&self.0).arg(program);
        command.env("DEBIAN_FRONTEND", "noninteractive");
        command
    }

    fn dpkg(&self, arguments: &[&str]) -> String {
        output(self.inside("dpkg").args(arguments))
    }

    fn at(&self, path: &str) -> PathBuf {
        self.0.join(path.trim_start_matches('/'))
    }

    fn read(&self, path: &str) -> String {
        fs::read_to_string(self.at(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
    }

    /// All files except the database and the logs of dpkg.
    fn files(&self) -> Vec<String> {
        let mut find = command("find");
        find.arg(&self.0).args(["-xdev", "-not", "-path", "*/var/lib/dpkg/*", "-not", "-path", "*/var/log/*"]);
        let mut files: Vec<String> = output(&mut find).lines().map(str::to_owned).collect();
        files.sort_unstable();
        files
    }
}

impl Drop for Debian {
    fn drop(&mut self) {
        self.discard();
    }
}

/// glibc 2.31.
#[test]
fn the_package_and_the_tarball_work_on_debian_11() {
    if !can_use_packages() {
        return;
    }
    let debian = Debian::new("bullseye", "ca-certificates");
    assert!(output(debian.inside("ldd").arg("--version")).contains("2.31"));
    works_until_it_is_purged(&debian);
    output(
        command("tar")
            .args(["--extract", "--strip-components=1", "--file"])
            .arg(artifact("-x86_64-linux-gnu.tar.gz"))
            .arg("--directory")
            .arg(debian.at("/tmp")),
    );
    let version = output(debian.inside(&format!("/tmp/{NAME}")).arg("--version"));
    assert!(version.contains(env!("CARGO_PKG_VERSION")), "{version}");
    three_commands_of_the_readme_show_verdicts(&debian);
}

/// From nothing but the package to the verdict of each tunnel. The API is simulated.
fn three_commands_of_the_readme_show_verdicts(debian: &Debian) {
    let readme = fs::read_to_string(root().join("README.md")).expect("README.md");
    let (_, rest) = readme.split_once("```sh install\n").expect("the command that installs");
    let (install, rest) = rest.split_once("```").expect("its end");
    let (verdicts, _) =
        rest.split_once("```sh\n").and_then(|(_, rest)| rest.split_once("```")).expect("the next block");
    assert_eq!(install.lines().chain(verdicts.lines()).count(), 3, "{install}{verdicts}");
    let package = artifact(".deb");
    fs::copy(&package, debian.at("/tmp").join(package.file_name().expect("a name"))).expect("a file");
    fs::copy(root().join("deploy/fleet/story.yml"), debian.at("/tmp/story.yml")).expect("a file");
    let script = format!(
        "set -e; cd /tmp\n{install}{NAME} sandbox --sandbox.story story.yml >/dev/null 2>&1 &\n\
         trap \"kill $!\" EXIT; export CLOUDFLARE_API_URL=http://127.0.0.1:9848/client/v4\n\
         for attempt in $(seq 60); do\nif\n{verdicts}then exit; fi\nsleep 1\ndone; exit 1"
    );
    let printed = output(debian.inside("sh").args(["-c", &script]));
    assert!(printed.contains("healthy  fra-1") && printed.contains("healthy  lon-1"), "{printed}");
}

/// The system that the image is built on, too.
#[test]
fn the_package_works_on_debian_13() {
    if can_use_packages() {
        works_until_it_is_purged(&Debian::new("trixie", "gcc,libc6-dev,ca-certificates"));
    }
}

fn can_use_packages() -> bool {
    can_run(&[&["root", "debootstrap", "dpkg-deb", "unshare", "chroot", "ip"], MAKES_ARTIFACTS].concat())
}

/// The package is installed, used, upgraded, removed and purged without a trace.
fn works_until_it_is_purged(debian: &Debian) {
    let package = artifact(".deb");
    let before = debian.files();
    let inside = format!("/tmp/{NAME}.deb");
    fs::copy(&package, debian.at(&inside)).expect("a file");
    debian.dpkg(&["--install", &inside]);

    // The documented files.
    assert!(debian.read(&format!("/usr/lib/systemd/system/{NAME}.service")).contains("Type=notify"));
    for file in [
        format!("/usr/share/{NAME}/alerts/{NAME}.rules.yml"),
        format!("/usr/share/{NAME}/alerts/{NAME}.fleet.rules.yml"),
        format!("/usr/share/{NAME}/dashboards/overview.json"),
        format!("/usr/share/doc/{NAME}/examples/fleet/systemd/agent.conf"),
        format!("/usr/share/doc/{NAME}/OPERATIONS.md"),
        format!("/usr/share/man/man1/{NAME}.1.gz"),
        format!("/usr/share/bash-completion/completions/{NAME}"),
    ] {
        assert!(debian.at(&file).is_file(), "{file}");
    }
    assert!(debian.at(&format!("/etc/{NAME}")).is_dir(), "the folder of the token");
    assert!(
        !debian.at(&format!("/etc/systemd/system/multi-user.target.wants/{NAME}.service")).exists(),
        "the service is not enabled before it is configured"
    );
    let version = output(debian.inside(NAME).arg("--version"));
    assert!(version.contains(env!("CARGO_PKG_VERSION")), "{version}");
    serves_the_demo(debian);

    // An upgrade and a removal keep the settings; a purge deletes them and the token.
    let settings = format!("/etc/default/{NAME}");
    fs::write(debian.at(&settings), "MTE_PROBE=true\n").expect("a file");
    fs::write(debian.at(&format!("/etc/{NAME}/api-token")), "secret\n").expect("a file");
    debian.dpkg(&["--install", &inside]);
    assert_eq!(debian.read(&settings), "MTE_PROBE=true\n");
    debian.dpkg(&["--remove", NAME]);
    assert!(!debian.at(&format!("/usr/bin/{NAME}")).exists());
    assert_eq!(debian.read(&settings), "MTE_PROBE=true\n");
    debian.dpkg(&["--purge", NAME]);
    fs::remove_file(debian.at(&inside)).expect("the package");
    assert_eq!(debian.files(), before);
}

fn serves_the_demo(debian: &Debian) {
    let mut demo = debian.inside(NAME);
    demo.arg("demo").stdout(Stdio::null()).stderr(Stdio::null());
    let demo = Group::start(&mut demo);
    eventually("the demo to serve", || {
        let network = format!("--net=/proc/{}/ns/net", demo.id());
        let asked =
            command("nsenter").args([&network, "--", "chroot"]).arg(&debian.0).args([NAME, "healthcheck"]).output();
        let asked = asked.expect("nsenter");
        if asked.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&asked.stderr).into_owned()) }
    });
}
