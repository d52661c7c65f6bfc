//! `tunnels`: prints the current state once, as a table or as JSON.

use serde_json::Value;

use crate::{
    sandbox::Sandbox,
    support::{
        exporter::{Ended, program, run, token_file},
        free_address,
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
    assert_eq!(look.status.code(), Some(1));
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
    assert_eq!(look.status.code(), Some(1));
}
