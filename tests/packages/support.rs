//! Runs programs and reads their output.

use std::{
    env, fs,
    io::Write as _,
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::OnceLock,
    thread,
    time::{Duration, Instant},
};

/// The repository.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Whether these programs are installed; `root` stands for the root user.
///
/// # Panics
/// Something is missing and `CI=true`: a check that did not run must not look like a check that passed.
pub(crate) fn can_run(needs: &[&str]) -> bool {
    let missing: Vec<&str> = needs.iter().copied().filter(|need| !is_there(need)).collect();
    can_run_because(missing.is_empty(), &missing.join(", "))
}

fn can_run_because(there: bool, what: &str) -> bool {
    if there {
        return true;
    }
    let test = thread::current().name().unwrap_or("a test").to_owned();
    assert_ne!(env::var("CI").as_deref(), Ok("true"), "CI=true forbids skipping {test}, which needs {what}");
    // Written directly, because the output of a passing test is captured.
    writeln!(
        std::io::stderr(),
        "SKIPPED {test}: needs {what}; `scripts/test-tools packages`, as root, installs programs"
    )
    .expect("stderr");
    false
}

fn is_there(need: &str) -> bool {
    if need == "root" {
        return fs::metadata("/proc/self").is_ok_and(|this| std::os::unix::fs::MetadataExt::uid(&this) == 0);
    }
    let path = env::var("PATH").unwrap_or_default();
    let folders = env::split_paths(&path).chain(["/usr/sbin".into(), "/sbin".into()]);
    folders.map(|folder: PathBuf| folder.join(need)).any(|file| file.is_file())
}

/// A program that runs in the folder of the repository and finds programs in `/sbin`.
pub(crate) fn command(program: impl AsRef<std::ffi::OsStr>) -> Command {
    let path = env::var("PATH").unwrap_or_default();
    let mut command = Command::new(program);
    command.current_dir(root()).env("PATH", format!("{path}:/usr/sbin:/sbin")).stdin(Stdio::null());
    command
}

/// A script or program of this folder.
pub(crate) fn script(name: &str) -> Command {
    command(root().join("tests/packages").join(name))
}

/// The standard output of a program. Panics if the program fails.
pub(crate) fn output(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let printed = String::from_utf8_lossy(&output.stdout);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {}\n{printed}\n{said}", output.status);
    printed.into_owned()
}

/// Whether `scripts/test-tools packages` has installed the Python packages of these tests.
///
/// # Panics
/// They are missing and `CI=true`.
pub(crate) fn has_venv() -> bool {
    can_run_because(root().join("target/packages-venv/made-from.txt").exists(), "the Python packages of tests/packages")
}

/// A script of this folder, run by the Python with these packages.
pub(crate) fn python(script: &str) -> Command {
    let mut command = command(root().join("target/packages-venv/bin/python"));
    command.arg(root().join("tests/packages").join(script));
    command
}

/// Whether a program accepts this input.
pub(crate) fn succeeds(command: &mut Command, input: &str) -> bool {
    let mut child = command.stdin(Stdio::piped()).spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    // A program that has read enough closes its end of the pipe.
    drop(child.stdin.take().expect("a piped stdin").write_all(input.as_bytes()));
    child.wait().expect("the end of a child").success()
}

/// The folder with the artifacts of `make dist`, made once. The program is not optimized, because that takes a third of
/// the time; everything else is as in a release.
pub(crate) fn artifacts() -> &'static Path {
    static MADE: OnceLock<PathBuf> = OnceLock::new();
    MADE.get_or_init(|| {
        let folder = root().join("target/packages/artifacts");
        output(make_artifacts(command("make").args(["--no-print-directory", "dist"]), &folder));
        folder
    })
}

/// Sets the variables of scripts/dist.
pub(crate) fn make_artifacts<'a>(dist: &'a mut Command, folder: &Path) -> &'a mut Command {
    let profile =
        [("PROFILE", "release"), ("CARGO_PROFILE_RELEASE_OPT_LEVEL", "0"), ("CARGO_PROFILE_RELEASE_STRIP", "true")];
    dist.env("ARTIFACTS", folder).envs(profile)
}

/// The only artifact with this ending of its name.
pub(crate) fn artifact(ending: &str) -> PathBuf {
    let files = fs::read_dir(artifacts()).expect("the artifacts").flatten().map(|file| file.path());
    let mut found = files.filter(|file| file.to_string_lossy().ends_with(ending));
    let first = found.next().unwrap_or_else(|| panic!("no artifact *{ending}"));
    assert!(found.next().is_none(), "several artifacts *{ending}");
    first
}

/// Programs that making the artifacts needs, for `can_run`.
pub(crate) const MAKES_ARTIFACTS: &[&str] = &["make", "cargo", "tar", "gzip", "sha256sum", "python3"];

/// Gives a program its input. Panics if the program fails.
pub(crate) fn pipe(command: &mut Command, input: &str) {
    assert!(succeeds(command, input), "{command:?} refuses:\n{input}");
}

/// A program and its children, killed when this is dropped.
pub(crate) struct Group(Child);

impl Group {
    pub(crate) fn start(command: &mut Command) -> Self {
        Self(command.process_group(0).spawn().unwrap_or_else(|error| panic!("{command:?}: {error}")))
    }

    pub(crate) fn id(&self) -> u32 {
        self.0.id()
    }

    /// Waits for its end, and returns its exit code.
    pub(crate) fn ended(mut self) -> Option<i32> {
        self.0.wait().expect("the end of a child").code()
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // Fails if the group has ended already.
        drop(command("kill").args(["-KILL", "--", &format!("-{}", self.id())]).stderr(Stdio::null()).status());
        drop(self.0.wait());
    }
}

/// Calls `look` until it returns a value. Panics after 30 s with `what` and the last error of `look`.
pub(crate) fn eventually<T>(what: &str, look: impl FnMut() -> Result<T, String>) -> T {
    eventually_within(Duration::from_secs(30), what, look)
}

/// The same with another deadline.
pub(crate) fn eventually_within<T>(limit: Duration, what: &str, mut look: impl FnMut() -> Result<T, String>) -> T {
    let deadline = now() + limit;
    loop {
        match look() {
            Ok(value) => return value,
            Err(seen) if now() > deadline => panic!("waited {limit:?} for {what}; seen last: {seen}"),
            Err(_) => thread::sleep(Duration::from_millis(100)),
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "a deadline for a real process is kept in real time")]
fn now() -> Instant {
    Instant::now()
}
