//! Runs the commands of "Try it" in docs/FLEET.md, exactly as they are there, in a network namespace of their own.

use std::{
    env, fs,
    path::Path,
    process::{Command, Output},
    time::Duration,
};

use crate::{
    alerts::{repository, text},
    network::{lab::Lab, namespace},
    support::{
        SOON, eventually,
        exporter::Process,
        tools::{self, tool},
    },
};

/// Deadline of a result that passes through Prometheus.
const SHOWN: Duration = Duration::from_mins(3);

/// The shell commands of the section, block by block.
fn blocks() -> Vec<String> {
    let document = text(&repository("docs/FLEET.md"));
    let (_, section) = document.split_once("\n## Try it\n").expect("the section");
    let section = section.split("\n## ").next().unwrap_or_default();
    let blocks = section.split("```sh\n").skip(1).map(|rest| rest.split("```").next().unwrap_or_default().to_owned());
    blocks.collect()
}

/// A program in the root of the repository, where `magic-tunnel-exporter` is the one under test.
fn in_repository(program: &str) -> Command {
    let ours = Path::new(env!("CARGO_BIN_EXE_magic-tunnel-exporter")).parent().expect("a folder").to_owned();
    let path = env::var_os("PATH").unwrap_or_default();
    let path = env::join_paths([ours].into_iter().chain(env::split_paths(&path))).expect("a PATH");
    let mut command = Command::new(program);
    command.current_dir(repository("")).env("PATH", path);
    command
}

fn printed(block: &str) -> String {
    let Output { stdout, stderr, .. } = tools::run(in_repository("sh").args(["-c", block]), "");
    format!("{}{}", String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr))
}

fn await_printed(block: &str, expected: &str) {
    eventually(expected, SHOWN, || {
        let printed = printed(block);
        if printed.contains(expected) { Ok(()) } else { Err(printed) }
    });
}

#[test]
fn the_commands_of_the_document_show_the_quorum_of_three_agents() {
    fn story(lab: &mut Lab) {
        let blocks = blocks();
        let [start, votes, fault, again, stop] = blocks.as_slice() else { panic!("five blocks: {blocks:#?}") };
        // All programs end with the shell, because it is the first one of its process namespace.
        let mut shell = in_repository("unshare");
        let folder = lab.folder().path();
        let script = format!("{start}\nwhile [ ! -e \"$TMPDIR/stop\" ]; do sleep 1; done\n{stop}\nwait");
        shell.args(["--pid", "--fork", "--kill-child", "bash", "-c", &script]);
        let started = Process::start(shell.env("TMPDIR", folder));
        await_printed(votes, "tunnel_name=\"fra-1\", tunnel_type=\"ipsec\", verdict=\"healthy\"} => 3");
        let said = printed(fault);
        assert!(said.contains("BGP_DOWN"), "{said}");
        await_printed(again, "tunnel_name=\"fra-1\", tunnel_type=\"ipsec\", verdict=\"bgp_fault\"} => 3");
        fs::write(folder.join("stop"), "").expect("a file of our own");
        started.ended(SOON);
    }
    if tool("prometheus").is_none() || tool("promtool").is_none() || tool("curl").is_none() || tool("bash").is_none() {
        return;
    }
    namespace::run(concat!(module_path!(), "::the_commands_of_the_document_show_the_quorum_of_three_agents"), story);
}
