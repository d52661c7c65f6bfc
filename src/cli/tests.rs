use super::*;

fn refused(arguments: &[&str]) -> String {
    match parse([NAME].iter().chain(arguments).map(OsString::from)) {
        Err(Refusal::Wrong(sentence)) => sentence,
        Err(Refusal::Asked(text)) => panic!("help or version: {text}"),
        Ok(cli) => panic!("accepted: {cli:?}"),
    }
}

#[test]
fn a_wrong_line_is_one_sentence() {
    for (arguments, beginning) in [
        (&["--nonsense"][..], "unexpected argument '--nonsense' found"),
        (&["probe"], "unrecognized subcommand (5 characters, not shown)"),
        (&["serv"], "unrecognized subcommand (4 characters, not shown); did you mean `serve`?"),
        (&["--poll.intervall=1m"], "unexpected argument '--poll.intervall' found; did you mean `--poll.interval`?"),
        (&["--poll.interval"], "a value is required for '--poll.interval <DURATION>' but none was supplied"),
    ] {
        let sentence = refused(arguments);
        assert!(sentence.starts_with(beginning) && !sentence.contains('\n'), "{sentence}");
        assert!(sentence.ends_with("`magic-tunnel-exporter --help` lists the flags"));
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
        let message = refused(arguments);
        assert!(!message.contains("unter2") && !message.contains('\n'), "{arguments:?}: {message}");
    }
}

#[test]
fn a_flag_before_the_command_would_be_lost_and_is_refused() {
    assert_eq!(refused(&["--poll.interval=5s", "serve"]), "`--poll.interval` must stand behind the command");
    assert!(
        parse([NAME, "--log.level=debug", "serve"].map(OsString::from)).is_ok(),
        "flags of every command may stand anywhere"
    );
}

#[test]
fn help_and_version_are_asked_for_and_go_to_standard_output() {
    for flag in ["--help", "-h", "--version"] {
        assert!(matches!(parse([NAME, flag].map(OsString::from)), Err(Refusal::Asked(_))));
    }
}

#[test]
fn the_manual_has_every_flag() {
    let Err(Refusal::Asked(manual)) = Plan::of(parse([NAME, "man"].map(OsString::from)).ok().unwrap()) else {
        panic!("no manual")
    };
    for flag in ["\\-\\-cloudflare.account\\-id", "\\-\\-probe.uplink", "\\-\\-sandbox.story", "\\-\\-log.level"] {
        assert_eq!(manual.matches(&format!("\\fB{flag}\\fR")).count(), 1, "{flag} in\n{manual}");
    }
}

#[test]
fn the_definition_of_the_flags_holds_together() {
    Cli::command().debug_assert();
}

#[test]
fn the_flags_of_the_sandbox_are_for_those_who_have_one() {
    let flags = ["--sandbox.strict", "--sandbox.tunnels=5", "--sandbox.story=s.yml", "--sandbox.faults=f.yml"];
    for command in ["sandbox", "demo"] {
        let line = [&[NAME, command], &flags[..]].concat();
        assert!(parse(line.into_iter().map(OsString::from)).is_ok(), "{command}");
    }
    let sentence = refused(&["serve", "--sandbox.tunnels=5"]);
    assert!(sentence.starts_with("unexpected argument '--sandbox.tunnels' found"), "{sentence}");
}
