use super::*;

fn parse_line(arguments: &[&str]) -> Result<Cli, EarlyExit> {
    parse([NAME].iter().chain(arguments).map(OsString::from))
}

fn invalid(arguments: &[&str]) -> String {
    match parse_line(arguments) {
        Err(EarlyExit::Invalid(message)) => message,
        Err(EarlyExit::Document(text)) => panic!("help or version: {text}"),
        Ok(cli) => panic!("accepted: {cli:?}"),
    }
}

#[test]
fn an_invalid_line_gets_a_message_of_one_line() {
    for (arguments, beginning) in [
        (&["--nonsense"][..], "unexpected argument '--nonsense' found"),
        (&["probe"], "unrecognized subcommand (5 characters, not shown)"),
        (&["--poll.interval"], "a value is required for '--poll.interval <DURATION>' but none was supplied"),
    ] {
        let message = invalid(arguments);
        assert!(message.starts_with(beginning) && !message.contains('\n'), "{message}");
        assert!(message.ends_with("; run `magic-tunnel-exporter --help` for a list of flags"));
    }
}

#[test]
fn a_misspelt_name_gets_a_suggestion() {
    for (arguments, message) in [
        (&["serv"][..], "unrecognized subcommand (4 characters, not shown); did you mean `serve`?"),
        (&["--poll.intervall=1m"], "unexpected argument '--poll.intervall' found; did you mean `--poll.interval`?"),
    ] {
        assert_eq!(invalid(arguments), message);
    }
}

#[test]
fn an_argument_that_can_be_a_secret_is_described_by_its_length() {
    const TOKEN: &str = "v1.0-hunter2hunter2hunter2";
    let flag = format!("--{TOKEN}");
    for arguments in [
        &[TOKEN][..],
        &["serve", TOKEN],
        &["serve", "hunter2"],
        &["serve", "hunter2\nhunter2"],
        &["demo", "--probe", TOKEN],
        &["tunnels", "--output", TOKEN],
        &["completions", TOKEN],
        &["-xhunter2"],
        &[&flag],
    ] {
        let message = invalid(arguments);
        assert!(!message.contains("unter2") && !message.contains('\n'), "{arguments:?}: {message}");
    }
}

#[test]
fn a_flag_before_the_command_is_refused_because_it_would_have_no_effect() {
    assert_eq!(invalid(&["--poll.interval=5s", "serve"]), "`--poll.interval` must follow the command");
    assert!(parse_line(&["--log.level=debug", "serve"]).is_ok(), "flags of every command are accepted anywhere");
}

#[test]
fn help_and_version_are_printed_to_standard_output() {
    for flag in ["--help", "-h", "--version"] {
        assert!(matches!(parse_line(&[flag]), Err(EarlyExit::Document(_))));
    }
}

#[test]
fn the_manual_contains_every_flag_once() {
    let Err(EarlyExit::Document(manual)) = parse_line(&["man"]).and_then(ValidCommand::from_cli) else {
        panic!("no manual")
    };
    for flag in ["\\-\\-cloudflare.account\\-id", "\\-\\-probe.uplink", "\\-\\-sandbox.story", "\\-\\-log.level"] {
        assert_eq!(manual.matches(&format!("\\fB{flag}\\fR")).count(), 1, "{flag} in\n{manual}");
    }
}

#[test]
fn the_definition_of_the_flags_is_consistent() {
    Cli::command().debug_assert();
}

#[test]
fn sandbox_flags_belong_to_the_commands_that_run_a_sandbox() {
    let flags = ["--sandbox.strict", "--sandbox.tunnels=5", "--sandbox.story=s.yml", "--sandbox.faults=f.yml"];
    for command in ["sandbox", "demo"] {
        assert!(parse_line(&[&[command], &flags[..]].concat()).is_ok(), "{command}");
    }
    let message = invalid(&["serve", "--sandbox.tunnels=5"]);
    assert!(message.starts_with("unexpected argument '--sandbox.tunnels' found"), "{message}");
}
