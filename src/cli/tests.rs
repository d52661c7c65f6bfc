use clap_complete::Shell;

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
fn a_wrong_value_is_answered_with_the_possible_ones() {
    for (arguments, message) in [
        (
            &["tunnels", "--output=jsn"][..],
            "invalid value 'jsn' for '--output <FORMAT>'; expected one of table, json; did you mean `json`?",
        ),
        (
            &["completions"],
            "the following required arguments were not provided: <SHELL>; \
             run `magic-tunnel-exporter --help` for a list of flags",
        ),
        (
            &["completions", "powershel"],
            "invalid value 'powershel' for '<SHELL>'; expected one of bash, elvish, fish, powershell, zsh; \
             did you mean `powershell`?",
        ),
        (&["tunnels", "--watch=1s"], "invalid value '1s' for '--watch[=<DURATION>]': must be between 5s and 1h; "),
        (&["--findings", "check"], "unexpected argument '--findings' found; 'check --findings' exists"),
    ] {
        let described = invalid(arguments);
        assert!(described.starts_with(message) && !described.contains('\n'), "{described}");
    }
    let message = invalid(&["tunnels", "--verdict=bgp_fualt"]);
    assert!(
        message.contains("healthy, bgp_fault") && message.contains("attention; did you mean `bgp_fault`?"),
        "{message}"
    );
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
    for flag in ["--help", "-h", "--version", "-V"] {
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
    definition(&[]).debug_assert();
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

#[test]
fn the_long_version_names_the_compiler_and_the_target() {
    let printed = |flag| match parse_line(&[flag]) {
        Err(EarlyExit::Document(text)) => text,
        Err(EarlyExit::Invalid(message)) => panic!("{message}"),
        Ok(cli) => panic!("accepted: {cli:?}"),
    };
    let (short, long) = (printed("-V"), printed("--version"));
    assert!(short.starts_with("magic-tunnel-exporter 0.") && short.contains(" (revision "), "{short}");
    let lines: Vec<_> = long.lines().collect();
    assert_eq!(lines[0], short.trim());
    assert!(lines[1].starts_with("compiler: rustc 1.") && lines[2].starts_with("target: "), "{long}");
    assert_eq!((short.lines().count(), lines.len()), (1, 3));
}

/// The flags with a closed list of values, and the first and the last value of each.
const CLOSED_LISTS: [(&str, [&str; 2]); 11] = [
    ("--log.format", ["logfmt", "json"]),
    ("--log.level", ["trace", "error"]),
    ("--output", ["table", "json"]),
    ("--probe", ["true", "false"]),
    ("--probe.engine", ["auto", "client"]),
    ("--probe.silence", ["after-answer", "always"]),
    ("--probe.socket", ["auto", "raw"]),
    ("--probe.targets", ["customer_endpoint", "health_check_target"]),
    ("--probe.vantage", ["site", "remote"]),
    ("--verdict", ["healthy", "attention"]),
    ("--web.expose", ["reported", "exporter"]),
];

#[test]
fn the_completions_of_every_shell_complete_closed_lists() {
    for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
        let script = documents::completions(definition(&[]), shell);
        for (flag, values) in CLOSED_LISTS {
            let long = flag.trim_start_matches('-');
            // The values follow on the line, in bash on one of the next two lines, and in fish on a line each.
            let most = if shell == Shell::Fish { 12 } else { 3 };
            let offers = |index: usize| {
                let lines: Vec<_> = script.lines().skip(index).take(most).collect();
                values.iter().all(|value| lines.concat().contains(value))
            };
            let named = script.lines().enumerate().filter(|(_, line)| line.contains(long));
            assert!(named.map(|(index, _)| index).any(offers), "{flag} in {shell}");
        }
    }
}

#[test]
fn every_command_that_prints_accepts_its_own_flags() {
    for arguments in [
        &["tunnels", "--wide", "--no-headers", "--site=fra", "--search=a b", "--verdict=attention"][..],
        &["tunnels", "--watch"],
        &["tunnels", "--watch=30s", "--output=json"],
        &["check", "--offline"],
        &["check", "--findings", "--output=json"],
    ] {
        assert!(parse_line(arguments).is_ok(), "{arguments:?}");
    }
}
