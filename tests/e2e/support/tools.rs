//! The other programs that the tests run.

use std::{
    env,
    io::Write as _,
    path::PathBuf,
    process::{Command, Output, Stdio},
};

/// The path of a program. If it is not installed, prints a message and returns `None`.
///
/// # Panics
/// It is missing and `CI=true`: a check that did not run must not look like a check that passed.
pub(crate) fn tool(name: &str) -> Option<PathBuf> {
    let path = env::var("PATH").unwrap_or_default();
    let folders = env::split_paths(&path).chain(["/usr/sbin".into(), "/sbin".into()]);
    or_skip(name, folders.map(|folder| folder.join(name)).find(|file| file.is_file()))
}

/// A Python with this module.
pub(crate) fn python(module: &str) -> Option<PathBuf> {
    let has_module = |python: &&str| {
        let import = Command::new(python).args(["-c", &format!("import {module}")]).stderr(Stdio::null()).status();
        import.is_ok_and(|status| status.success())
    };
    // Debian's Python first, because another Python that is earlier in PATH does not see Debian's packages.
    or_skip(
        &format!("python3 with {module}"),
        ["/usr/bin/python3", "python3"].iter().copied().find(|p| has_module(p)).map(PathBuf::from),
    )
}

/// A folder below `target/` that a script of `scripts/` makes, for example a virtual environment.
pub(crate) fn made(name: &str) -> Option<PathBuf> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("target").join(name);
    let complete = ["txt", "json"].iter().any(|kind| folder.join(format!("made-from.{kind}")).is_file());
    or_skip(&format!("target/{name}"), complete.then_some(folder))
}

fn or_skip(name: &str, found: Option<PathBuf>) -> Option<PathBuf> {
    if found.is_none() {
        let test = std::thread::current().name().unwrap_or("a test").to_owned();
        assert!(
            env::var("CI").map_or(true, |ci| ci != "true"),
            "{name} is missing, and CI=true forbids skipping {test}"
        );
        // Written directly, because the output of a passing test is captured.
        writeln!(std::io::stderr(), "SKIPPED {test}: {name} is not installed; `make tools` installs it")
            .expect("stderr");
    }
    found
}

/// Runs a program to its end with `input` on stdin.
pub(crate) fn run(command: &mut Command, input: &str) -> Output {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|e| panic!("{command:?}: {e}"));
    let mut stdin = child.stdin.take().expect("a piped stdin");
    let input = input.to_owned();
    let writer = std::thread::spawn(move || stdin.write_all(input.as_bytes()));
    let output = child.wait_with_output().expect("the output of a child");
    writer.join().expect("the writer of stdin").expect("a child that reads its stdin");
    output
}
