//! Stamps the binary with the revision it is built from: `MTE_BUILD_REVISION` where it is set (packages, images), else what git says.

use std::{env, process::Command};

fn main() {
    println!("cargo::rerun-if-env-changed=MTE_BUILD_REVISION");
    for path in ["HEAD", "refs/heads", "packed-refs"] {
        if let Some(path) = git(&["rev-parse", "--git-path", path]) {
            println!("cargo::rerun-if-changed={path}");
        }
    }
    let given = env::var("MTE_BUILD_REVISION").ok().filter(|revision| !revision.is_empty());
    let revision = given.or_else(|| git(&["rev-parse", "--short=12", "HEAD"])).unwrap_or_else(|| "unknown".to_owned());
    println!("cargo::rustc-env=MTE_REVISION={revision}");
}

fn git(arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").args(arguments).output().ok().filter(|output| output.status.success())?;
    let text = String::from_utf8(output.stdout).ok()?;
    Some(text.trim().to_owned()).filter(|text| !text.is_empty())
}
