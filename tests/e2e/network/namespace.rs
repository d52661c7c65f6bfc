//! Runs a test in its own network namespace, which is deleted when the test ends.

use std::{
    env,
    io::Write as _,
    process::{Command, Stdio},
};

use super::lab::Lab;
use crate::support::tools;

/// Set in the process that runs inside.
const INSIDE: &str = "MTE_E2E_NAMESPACE";

/// Starts the same test again in a new network namespace, where it runs `story`. This needs root. Other users get a
/// message and the test passes; with `CI=true` it fails.
pub(crate) fn run(test: &str, story: fn(&mut Lab)) {
    if env::var_os(INSIDE).is_some() {
        return story(&mut Lab::set_up());
    }
    if !is_root() || tools::tool("unshare").is_none() || tools::tool("ip").is_none() {
        return skip(test);
    }
    // The harness names a test by its path below the crate.
    let name = test.split_once("::").map_or(test, |(_, name)| name);
    let this = env::current_exe().expect("the path of this program");
    let output = Command::new("unshare")
        .args(["--net", "--"])
        .arg(this)
        .args([name, "--exact", "--nocapture", "--test-threads=1"])
        .env(INSIDE, "1")
        .stdin(Stdio::null())
        .output()
        .expect("unshare");
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && said.contains("1 passed"), "in its own namespace:\n{said}");
}

fn is_root() -> bool {
    let id = Command::new("id").arg("-u").output().expect("id");
    id.stdout.trim_ascii() == b"0"
}

fn skip(test: &str) {
    assert!(env::var("CI").map_or(true, |ci| ci != "true"), "CI=true forbids skipping {test}, which needs root");
    // Written directly, because the output of a passing test is captured.
    writeln!(std::io::stderr(), "SKIPPED {test}: only root can make a network namespace").expect("stderr");
}
