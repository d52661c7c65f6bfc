//! `tunnels`: prints the current state once, as a table or as JSON.

use std::{fs, process::Command};

use serde_json::Value;

use crate::{
    sandbox::Sandbox,
    support::{
        SOON, eventually,
        exporter::{Ended, Process, program, run, token_file},
        free_address,
        tools::tool,
    },
};

fn tunnels(sandbox: &Sandbox, account: &str, flags: &[&str]) -> Ended {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let api = format!("--cloudflare.api-url=http://{}/client/v4", sandbox.address);
    let mut command = program();
    command.args(["tunnels", &api, "--cloudflare.account-id", account, "--cloudflare.api-token-file"]);
    run(command.arg(token_file(&folder)).args(flags))
}

/// The verdict and the name of each tunnel, in the order of the table.
fn verdicts(table: &str) -> Vec<(&str, &str)> {
    let rows = table.lines().skip(1).take_while(|line| !line.is_empty());
    rows.map(|row| {
        let mut cells = row.split_whitespace();
        (cells.next().expect("a verdict"), cells.next().expect("a name"))
    })
    .collect()
}

#[test]
fn the_table_lists_broken_tunnels_first_and_the_exit_code_is_1() {
    let sandbox = Sandbox::start();
    let look = tunnels(&sandbox, &sandbox.account, &[]);
    let verdicts = verdicts(&look.stdout);
    assert_eq!(verdicts.first(), Some(&("reported_down", "mad-gre-1")), "{}", look.stdout);
    assert_eq!(verdicts.len(), 9, "{}", look.stdout);
    assert!(look.stdout.contains("9 tunnels, 2 need attention"), "{}", look.stdout);
    assert!(!look.stdout.contains('\u{1b}'), "no colours unless the output is a terminal: {:?}", look.stdout);
    assert_eq!((look.status.code(), &*look.stderr), (Some(1), ""));
}

#[test]
fn with_probing_the_table_waits_for_the_results_of_the_probes() {
    let sandbox = Sandbox::start();
    let look = tunnels(
        &sandbox,
        &sandbox.account,
        &["--probe", "--probe.interface=lo", "--probe.interval=200ms", "--probe.timeout=200ms"],
    );
    let verdicts = verdicts(&look.stdout);
    assert_eq!(verdicts.first(), Some(&("bgp_fault", "mad-gre-1")), "{}\n{}", look.stdout, look.stderr);
    assert_eq!(verdicts.last(), Some(&("healthy", "waw-ipsec-1")), "{}", look.stdout);
    // Without the edge, the site cannot tell whether the interconnect carries traffic.
    let unknown: Vec<_> = verdicts.iter().filter(|(verdict, _)| *verdict == "unknown").map(|(_, name)| *name).collect();
    assert_eq!(unknown, ["fra-cni-1"], "all of 127.0.0.0/8 answers: {}", look.stdout);
}

#[test]
fn a_list_that_cannot_be_read_is_reported_with_a_fix() {
    let sandbox = Sandbox::start();
    let look = tunnels(&sandbox, "0000000000000000000000000000beef", &[]);
    assert!(look.stdout.contains("gre_tunnels cannot be read (auth): check the token"), "{}", look.stdout);
    assert!(look.stdout.starts_with("could not read the tunnels\n"), "{}", look.stdout);
    assert_eq!(look.status.code(), Some(2));
}

#[test]
fn json_has_the_form_of_the_json_api() {
    let sandbox = Sandbox::start();
    let look = tunnels(&sandbox, &sandbox.account, &["--output=json"]);
    let answer: Value = serde_json::from_str(&look.stdout).expect("JSON");
    let tunnels = answer["tunnels"].as_array().expect("a list");
    assert_eq!(tunnels.len(), 9);
    assert!(tunnels.iter().any(|t| t["name"] == "mad-gre-1" && t["verdict"]["verdict"] == "reported_down"), "{answer}");
}

#[test]
fn the_exit_code_is_0_if_every_session_is_up() {
    let sandbox = Sandbox::start();
    for tunnel in ["mad-gre-1", "par-gre-1"] {
        sandbox.report(tunnel, "up");
    }
    let look = tunnels(&sandbox, &sandbox.account, &[]);
    assert_eq!(look.status.code(), Some(0), "{}{}", look.stdout, look.stderr);
}

#[test]
fn an_unreachable_api_is_a_failure_and_not_an_empty_table() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let api = format!("--cloudflare.api-url=http://{}/client/v4", free_address());
    let mut command = program();
    command.args(["tunnels", &api, "--cloudflare.account-id=0123456789abcdef0123456789abcdef"]);
    let look = run(command.arg("--cloudflare.api-token-file").arg(token_file(&folder)));
    assert!(look.stdout.contains("cannot be read (connect)"), "{}", look.stdout);
    assert_eq!(look.status.code(), Some(2));
}

/// Three tunnels that nothing happens to, one of them down.
const QUIET: &str = "\
accounts:
  - name: lab
    tunnels:
      - {type: ipsec, name: waw-1, cloudflare_endpoint: 198.51.100.1, customer_endpoint: 127.0.1.1,
         interface_address: 127.0.10.0/31, bgp: {customer_asn: 65010}, bgp_status: up}
      - {type: ipsec, name: mad-1, cloudflare_endpoint: 198.51.100.1, customer_endpoint: 127.0.1.2,
         interface_address: 127.0.10.2/31, bgp: {customer_asn: 65010}, bgp_status: down}
      - {type: gre, name: lab-2, cloudflare_gre_endpoint: 198.51.100.1, customer_gre_endpoint: 127.0.1.3,
         interface_address: 127.0.10.4/31}
";

fn quiet_sandbox() -> Sandbox {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let story = folder.path().join("story.yml");
    fs::write(&story, QUIET).expect("a file");
    Sandbox::start_with(free_address(), &[&format!("--sandbox.story={}", story.display())])
}

#[test]
fn filters_select_the_tunnels_that_are_printed_and_count() {
    let sandbox = quiet_sandbox();
    for (flags, names, code) in [
        (&["--verdict=attention"][..], &["mad-1"][..], 1),
        (&["--search=waw ipsec", "--verdict=healthy"], &[], 1),
        (&["--search=waw 127.0.1", "--verdict=healthy"], &["waw-1"], 0),
        (&["--search=nowhere"], &[], 1),
        (&["--verdict=bgp_fault"], &[], 0),
    ] {
        let look = tunnels(&sandbox, &sandbox.account, flags);
        let table = if names.is_empty() { Vec::new() } else { verdicts(&look.stdout) };
        let found: Vec<_> = table.into_iter().map(|(_, name)| name).collect();
        assert_eq!((&*found, look.status.code()), (names, Some(code)), "{flags:?}: {}", look.stdout);
    }
}

#[test]
fn without_headers_only_rows_are_printed_and_problems_go_to_standard_error() {
    let sandbox = quiet_sandbox();
    let look = tunnels(&sandbox, &sandbox.account, &["--no-headers"]);
    assert_eq!((look.stdout.lines().count(), &*look.stderr), (3, ""), "{}", look.stdout);
    let look = tunnels(&sandbox, "0000000000000000000000000000beef", &["--no-headers"]);
    assert_eq!((&*look.stdout, look.status.code()), ("", Some(2)));
    assert!(look.stderr.contains("could not read the tunnels"), "{}", look.stderr);
}

#[test]
fn watching_prints_again_when_something_changes_and_ctrl_c_ends_it_with_0() {
    let sandbox = quiet_sandbox();
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut command = program();
    command.args(["tunnels", "--watch=5s", "--search=mad-1", "--cloudflare.account-id", &sandbox.account]);
    command.arg(format!("--cloudflare.api-url=http://{}/client/v4", sandbox.address));
    let watch = Process::start(command.arg("--cloudflare.api-token-file").arg(token_file(&folder)));
    let await_text = |text: &str| {
        eventually(text, SOON, || if watch.printed().contains(text) { Ok(()) } else { Err(watch.said()) });
    };
    await_text("reported_down  mad-1");
    await_text("every 5s; Ctrl-C ends");
    sandbox.report("mad-1", "up");
    await_text("healthy  mad-1");
    watch.signal("INT");
    let ended = watch.ended(SOON);
    assert_eq!((ended.status.code(), &*ended.stderr), (Some(0), ""), "{}", ended.stdout);
    assert!(!ended.stdout.contains('\u{1b}'), "no control sequences unless it is a terminal: {:?}", ended.stdout);
}

/// Runs the command in a terminal of this size, with script(1).
#[test]
fn in_a_terminal_the_table_fits_its_width_unless_it_is_to_be_wide() {
    let Some(script) = tool("script") else { return };
    let sandbox = quiet_sandbox();
    let folder = tempfile::tempdir().expect("a temporary folder");
    let widest = |flag: &str| {
        let command = format!(
            "stty cols 70 rows 40; exec {} tunnels {flag} --cloudflare.api-url=http://{}/client/v4 \
             --cloudflare.account-id={} --cloudflare.api-token-file={}",
            env!("CARGO_BIN_EXE_magic-tunnel-exporter"),
            sandbox.address,
            sandbox.account,
            token_file(&folder).display()
        );
        let ended = run(Command::new(&script).env("NO_COLOR", "1").args(["-qec", &command, "/dev/null"]));
        assert!(ended.stdout.contains("VERDICT"), "{ended:?}");
        let table = ended.stdout.lines().take_while(|line| !line.trim().is_empty());
        table.map(|line| line.trim_end().chars().count()).max().expect("a table")
    };
    let (fitted, wide) = (widest(""), widest("--wide"));
    assert!(fitted <= 70 && wide > 100, "{fitted} and {wide} columns");
}
