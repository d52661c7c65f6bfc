//! Documents that are generated from the definition of the command line: shell completions and the manual page.

use std::io::{self, Write};

use clap::{Arg, Command};
use clap_complete::Shell;
use clap_mangen::Man;

/// The last section of the manual page, in roff.
const EXIT_STATUS: &str = "\
.SH EXIT STATUS
.TP
0
Success, or stopped by a signal.
.TP
1
Failure: for example, an address is in use, a task ended unexpectedly, a tunnel needs attention or a check failed.
.TP
2
Only of the command \\fBtunnels\\fR: a list could not be read, or the command failed.
.TP
64
The configuration is invalid; the message on standard error names the key, the value and the rule.
";

/// The completion script for `shell`, with every command and flag.
pub(super) fn completions(mut command: Command, shell: Shell) -> String {
    let name = command.get_name().to_owned();
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut command, name.clone(), &mut text);
    let script = String::from_utf8_lossy(&text).into_owned();
    if shell != Shell::Bash {
        return script;
    }
    // If the name of the program contains dashes, clap_complete 4.6 compares the names of commands with labels that it
    // spells differently, so that no command is completed.
    script.replace(&name.replace('-', "__subcmd__"), &name.replace('-', "__"))
}

/// The manual page of the program and all its commands, in roff.
pub(super) fn manual(mut command: Command) -> String {
    command.build();
    let mut text = Vec::new();
    // Writing to a vector cannot fail.
    let _ = write_manual(&command, &mut text);
    String::from_utf8_lossy(&text).into_owned()
}

fn write_manual(command: &Command, text: &mut Vec<u8>) -> io::Result<()> {
    let page = Man::new(command.clone());
    page.render_title(text)?;
    page.render_name_section(text)?;
    writeln!(text, ".SH SYNOPSIS\n\\fB{}\\fR [\\fICOMMAND\\fR] [\\fIFLAGS\\fR]", escape(command.get_name()))?;
    page.render_description_section(text)?;
    writeln!(text, ".SH COMMANDS")?;
    for subcommand in subcommands(command) {
        let about = subcommand.get_about().map(ToString::to_string).unwrap_or_default();
        writeln!(text, ".TP\n\\fB{}\\fR\n{}", escape(subcommand.get_name()), escape(&about))?;
    }
    page.render_options_section(text)?;
    write_flags_of_commands(command, text)?;
    text.write_all(EXIT_STATUS.as_bytes())
}

/// Writes the flags that only some commands have, each once.
fn write_flags_of_commands(command: &Command, text: &mut Vec<u8>) -> io::Result<()> {
    let mut shown: Vec<Arg> = command.get_arguments().cloned().collect();
    let mut others = Command::new("commands").disable_help_flag(true);
    for argument in subcommands(command).flat_map(Command::get_arguments).filter(|argument| !argument.is_positional()) {
        if shown.iter().all(|known| known.get_id() != argument.get_id()) {
            shown.push(argument.clone());
            others = others.arg(argument);
        }
    }
    Man::new(others).render_options_section(text)
}

fn subcommands(command: &Command) -> impl Iterator<Item = &Command> {
    command.get_subcommands().filter(|subcommand| subcommand.get_name() != "help")
}

/// Escapes plain text for roff.
fn escape(text: &str) -> String {
    text.replace('\\', "\\e").replace('-', "\\-").replace('\'', "\\(aq")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn command() -> Command {
        let flag = |name: &'static str| Arg::new(name).long(name).env(name).help("help text");
        Command::new("exporter")
            .about("Polls - and serves")
            .arg(flag("interval"))
            .subcommand(Command::new("serve").arg(flag("interval")))
            .subcommand(Command::new("demo").about("It's a demo").arg(flag("interval")).arg(flag("story")))
            .subcommand(Command::new("sandbox").arg(flag("story")))
    }

    #[test]
    fn the_manual_names_every_command_and_every_flag_once() {
        let manual = manual(command());
        for once in ["\\-\\-interval", "\\-\\-story", "\\fBserve\\fR", "\\fBdemo\\fR\nIt\\(aqs a demo", "EXIT STATUS"] {
            assert_eq!(manual.matches(once).count(), 1, "{once} in\n{manual}");
        }
        assert!(manual.contains("\\fBstory\\fR environment variable"), "{manual}");
    }

    #[test]
    fn completions_contain_commands_and_flags() {
        for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
            let text = completions(command(), shell);
            for word in ["exporter", "demo", "interval", "story"] {
                assert!(text.contains(word), "{word} for {shell} in\n{text}");
            }
        }
    }
}
