//! The commands of this program in the documents: each command and each flag exists.

use std::collections::BTreeMap;

use super::blocks::{blocks, documents};
use crate::{
    alerts::{repository, text},
    support::exporter::{program, run},
};

const OURS: &str = "magic-tunnel-exporter";

/// The help of each command, read once.
#[derive(Default)]
struct Help(BTreeMap<String, String>);

impl Help {
    fn of(&mut self, command: &str) -> &str {
        self.0.entry(command.to_owned()).or_insert_with(|| {
            let [ended, general] = [&[command, "--help"][..], &["--help"]].map(|words| run(program().args(words)));
            assert!(ended.status.success(), "there is no command `{command}`: {}", ended.stderr);
            ended.stdout + &general.stdout
        })
    }

    fn has(&mut self, command: &str, flag: &str) -> bool {
        self.of(command).split(|c: char| !(c.is_ascii_alphanumeric() || "-._".contains(c))).any(|word| word == flag)
    }
}

/// A command of this program: its name and its flags.
#[derive(Debug, PartialEq)]
struct Invocation {
    command: String,
    flags: Vec<String>,
}

/// The commands of this program in a block of shell commands.
fn invocations(block: &str) -> Vec<Invocation> {
    let joined = block.replace("\\\n", " ");
    let uncommented = joined.lines().map(|line| line.split(" #").next().unwrap_or_default());
    let commands: Vec<&str> = uncommented.flat_map(|line| line.split(['|', ';', '&', '(', ')', '\''])).collect();
    commands.into_iter().filter_map(invocation).collect()
}

/// In a container or a pod, the program comes after the name of the container, or after `--`.
fn invocation(line: &str) -> Option<Invocation> {
    let words: Vec<&str> = line.split_whitespace().skip_while(|word| is_before_a_program(word)).collect();
    let last = words.iter().rposition(|word| is_ours(word))?;
    // Otherwise the name of a service, an image or a package.
    if last > 0 && !(words[last - 1] == "--" || is_ours(words[last - 1])) {
        return None;
    }
    let rest = &words[last + 1..];
    let command = rest.first().filter(|word| word.bytes().all(|byte| byte.is_ascii_lowercase()));
    let flags = rest.iter().filter(|word| word.starts_with("--")).map(|word| word.split('=').next().unwrap_or(word));
    Some(Invocation { command: (*command.unwrap_or(&"serve")).to_owned(), flags: flags.map(str::to_owned).collect() })
}

fn is_ours(word: &str) -> bool {
    word.rsplit('/').next() == Some(OURS)
}

fn is_before_a_program(word: &str) -> bool {
    let is_variable = |c: char| c.is_ascii_uppercase() || c == '_';
    word == "sudo" || word == "!" || word.split_once('=').is_some_and(|(name, _)| name.chars().all(is_variable))
}

#[test]
fn commands_of_this_program_are_found_in_a_block() {
    let block = "\
CLOUDFLARE_API_TOKEN=any magic-tunnel-exporter --config.file hub.yml & # serves\n\
docker run --detach --name magic-tunnel-exporter image\n\
docker exec magic-tunnel-exporter magic-tunnel-exporter check --web.listen-address=:0 \\\n    --findings\n\
systemctl status magic-tunnel-exporter\n\
sudo sh -c '. /etc/default/magic-tunnel-exporter\n    magic-tunnel-exporter tunnels'\n";
    let expected =
        [("serve", &["--config.file"][..]), ("check", &["--web.listen-address", "--findings"]), ("tunnels", &[])];
    let expected = expected.map(|(command, flags)| Invocation {
        command: command.to_owned(),
        flags: flags.iter().map(|&flag| flag.to_owned()).collect(),
    });
    assert_eq!(invocations(block), expected);
}

#[test]
fn every_command_and_flag_of_the_blocks_exists() {
    let mut help = Help::default();
    let mut checked = 0;
    for document in documents() {
        for block in blocks(&document).iter().filter(|block| block.is_shell()) {
            for Invocation { command, flags } in invocations(&block.text) {
                checked += 1;
                for flag in flags {
                    assert!(help.has(&command, &flag), "{document}:{}: `{command}` has no flag {flag}", block.line);
                }
            }
        }
    }
    assert!(checked > 20, "only {checked} commands were found");
}

/// Flags with a dot, and words after the name of the program, in `code` of the text.
#[test]
fn every_command_and_flag_in_the_text_exists() {
    /// Of other programs.
    const OTHERS: [&str; 1] = ["--alertmanager.url"];
    let mut help = Help::default();
    let mut checked = 0;
    for document in documents() {
        for code in text(&repository(&document)).split('`').skip(1).step_by(2).filter(|code| !code.contains('\n')) {
            for Invocation { command, flags } in invocations(code) {
                checked += 1;
                for flag in flags {
                    assert!(help.has(&command, &flag), "{document}: `{command}` has no flag {flag}");
                }
            }
            let flag = code.split([' ', '=']).next().filter(|word| word.starts_with("--") && word.contains('.'));
            for flag in flag.into_iter().filter(|flag| !OTHERS.contains(flag)) {
                checked += 1;
                let known = ["serve", "sandbox", "demo"].iter().any(|command| help.has(command, flag));
                assert!(known, "{document}: there is no flag {flag}");
            }
        }
    }
    assert!(checked > 100, "only {checked} flags were found");
}
