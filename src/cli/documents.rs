//! What the definition of the command line can be turned into: completions and the manual page.

use std::io::{self, Write};

use clap::{Arg, Command};
use clap_complete::Shell;
use clap_mangen::Man;

/// Behind the flags, in roff.
const EXIT_STATUS: &str = "\
.SH EXIT STATUS
.TP
0
Done, or stopped by a signal.
.TP
1
Failed: an address is taken, a task ended by itself, or what was checked is not in order.
.TP
64
The configuration is wrong; one sentence on standard error names the key, the value and the rule.
";

/// Completions of every command and flag for `shell`.
pub(super) fn completions(mut command: Command, shell: Shell) -> String {
    let name = command.get_name().to_owned();
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut command, name, &mut text);
    String::from_utf8_lossy(&text).into_owned()
}

/// One manual page, in roff, for the program and all its commands.
pub(super) fn manual(mut command: Command) -> String {
    command.build();
    let mut text = Vec::new();
    // Writing to a vector does not fail.
    let _ = write_manual(&command, &mut text);
    String::from_utf8_lossy(&text).into_owned()
}

fn write_manual(command: &Command, text: &mut Vec<u8>) -> io::Result<()> {
    let page = Man::new(command.clone());
    page.render_title(text)?;
    page.render_name_section(text)?;
    writeln!(text, ".SH SYNOPSIS\n\\fB{}\\fR [\\fICOMMAND\\fR] [\\fIFLAGS\\fR]", roff(command.get_name()))?;
    page.render_description_section(text)?;
    writeln!(text, ".SH COMMANDS")?;
    for subcommand in subcommands(command) {
        let about = subcommand.get_about().map(ToString::to_string).unwrap_or_default();
        writeln!(text, ".TP\n\\fB{}\\fR\n{}", roff(subcommand.get_name()), roff(&about))?;
    }
    page.render_options_section(text)?;
    write_flags_of_commands(command, text)?;
    text.write_all(EXIT_STATUS.as_bytes())
}

/// The flags that some command has beside those of the program, each once.
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

/// Plain text as roff takes it.
fn roff(text: &str) -> String {
    text.replace('\\', "\\e").replace('-', "\\-").replace('\'', "\\(aq")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn command() -> Command {
        let flag = |name: &'static str| Arg::new(name).long(name).env(name).help("what it does");
        Command::new("exporter")
            .about("Watches - and tells")
            .arg(flag("interval"))
            .subcommand(Command::new("serve").arg(flag("interval")))
            .subcommand(Command::new("demo").about("It's a play").arg(flag("interval")).arg(flag("story")))
            .subcommand(Command::new("sandbox").arg(flag("story")))
    }

    #[test]
    fn the_manual_names_every_command_and_every_flag_once() {
        let manual = manual(command());
        for once in ["\\-\\-interval", "\\-\\-story", "\\fBserve\\fR", "\\fBdemo\\fR\nIt\\(aqs a play", "EXIT STATUS"] {
            assert_eq!(manual.matches(once).count(), 1, "{once} in\n{manual}");
        }
        assert!(manual.contains("\\fBstory\\fR environment variable"), "{manual}");
    }

    #[test]
    fn completions_know_commands_and_flags() {
        for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
            let text = completions(command(), shell);
            for word in ["exporter", "demo", "interval", "story"] {
                assert!(text.contains(word), "{word} for {shell} in\n{text}");
            }
        }
    }
}
