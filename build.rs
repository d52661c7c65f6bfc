//! Embeds the revision of the source: `MTE_BUILD_REVISION` if it is set (packages, images), otherwise the git commit.
//! Also embeds the version of the compiler and the target.

use std::{env, path::Path, process::Command};

fn main() {
    println!("cargo::rerun-if-env-changed=MTE_BUILD_REVISION");
    println!("cargo::rerun-if-changed=build.rs");
    for path in revision_files() {
        println!("cargo::rerun-if-changed={path}");
    }
    println!("cargo::rustc-env=MTE_REVISION={}", revision());
    println!("cargo::rustc-env=MTE_RUSTC={}", compiler());
    println!("cargo::rustc-env=MTE_TARGET={}", env::var("TARGET").unwrap_or_else(|_| "unknown".to_owned()));
}

/// The paths of the repository that change with the commit, for both storage formats of references. Only those that
/// exist: cargo reruns a build script on every call as long as one of its paths is missing.
///
/// A repository without commits has no `logs/HEAD` and no `packed-refs`; its first commit changes `refs/heads`.
fn revision_files() -> Vec<String> {
    let paths = ["HEAD", "logs/HEAD", "refs/heads", "packed-refs", "reftable"];
    let arguments: Vec<&str> = paths.into_iter().flat_map(|path| ["--git-path", path]).collect();
    let printed = git(&[&["rev-parse"], &*arguments].concat()).unwrap_or_default();
    printed.lines().filter(|path| Path::new(path).exists()).map(str::to_owned).collect()
}

fn revision() -> String {
    let given = env::var("MTE_BUILD_REVISION").ok().filter(|revision| !revision.is_empty());
    given.or_else(|| git(&["rev-parse", "--short=12", "HEAD"])).unwrap_or_else(|| "unknown".to_owned())
}

/// The first line of `rustc --version`. Cargo runs this script again when the compiler changes.
fn compiler() -> String {
    let rustc = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    output_of(Command::new(rustc).arg("--version")).unwrap_or_else(|| "unknown".to_owned())
}

fn git(arguments: &[&str]) -> Option<String> {
    output_of(Command::new("git").args(arguments))
}

/// The trimmed output of a program. `None` if it is missing, fails or prints nothing.
fn output_of(command: &mut Command) -> Option<String> {
    let output = command.output().ok().filter(|output| output.status.success())?;
    let text = String::from_utf8(output.stdout).ok()?;
    Some(text.trim().to_owned()).filter(|text| !text.is_empty())
}
