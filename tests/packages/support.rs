//! Runs programs and reads their output.

use std::{
    env, fs,
    io::Write as _,
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
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

/// The package of the program under test, made by the script of `make packages`.
pub(crate) fn package() -> PathBuf {
    let program = Path::new(env!("CARGO_BIN_EXE_magic-tunnel-exporter"));
    let folder =
        program.parent().and_then(Path::file_name).and_then(|name| name.to_str()).expect("the folder of a profile");
    let profile = if folder == "debug" { "dev" } else { folder };
    output(command("make").arg("--no-print-directory").arg("cargo-deb"));
    let printed = output(command(root().join("scripts/deb")).args([profile, "--fast", "--no-strip"]));
    PathBuf::from(printed.trim())
}

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
