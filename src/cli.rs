//! The command line: what was asked for, checked, and run to its exit code.
//!
//! Exit codes: 0 done, 1 failed, 64 wrong configuration (`EX_USAGE` of sysexits).

mod check;
mod documents;
mod healthcheck;
mod table;
mod tunnels;

use std::{
    ffi::OsString,
    fmt::Display,
    io::{self, Write as _},
    process::ExitCode,
    time::Duration,
};

use clap::{
    ArgMatches, Args, CommandFactory as _, FromArgMatches as _, Parser, Subcommand,
    error::{ContextKind, ContextValue},
    parser::ValueSource,
};
use clap_complete::Shell;
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;
use tracing::warn;
use web_toolkit::{server::ListenAddress, settings::looks_like_secret};

use self::tunnels::Output;
use crate::{
    app,
    config::{
        ConfigError, HealthcheckConfig, Inputs, Log, SandboxConfig,
        flags::{ExporterFlags, FileFlags, Flags, HealthcheckFlags, LogFlags, SandboxFlags},
    },
    privileges, telemetry,
};

const NAME: &str = "magic-tunnel-exporter";
const VERSION: &str = concat!(env!("CARGO_PKG_VERSION"), " (revision ", env!("MTE_REVISION"), ")");

/// Wrong configuration.
const USAGE: u8 = 64;

/// Whatever still runs on the blocking pool, such as a name that does not resolve, is left behind after this long.
const LAST_WAIT: Duration = Duration::from_millis(100);

/// Below the flags of `sandbox`.
const TALK_TO_THE_SANDBOX: &str = "\
The API is below /client/v4, as at Cloudflare. Beside it, without a token:
  GET  /sandbox         accounts, tunnels, states of their sessions
  PUT  /sandbox/accounts/ID/tunnels/NAME/bgp_status
                        what is reported from now on: {\"state\": \"BGP_DOWN\"}
  PUT  /sandbox/faults  {\"faults\": [{\"fault\": \"silence\"}]}; DELETE ends them
  GET  /sandbox/calls   what was asked of the API";

/// Below the flags of `tunnels`.
const WHEN_TUNNELS_FAILS: &str = "\
Without `--probe` the verdicts are what Cloudflare reports; with it they take some probe intervals more.
Exit code: 0 when all is well, 1 when a session is down, a tunnel needs attention or a list could not be read.";

/// Below the flags of `check`.
const WHEN_CHECK_FAILS: &str = "\
Nothing is changed. With `--probe` the ICMP sockets are tried, too.
Exit code: 0 when `serve` would do its work, 1 when a line says FAIL, 64 when the configuration is wrong.";

/// Prometheus exporter and health prober for Cloudflare Magic WAN and Magic Transit tunnels
///
/// Polls the tunnels of one or more accounts and serves their BGP state, health-check configuration and addresses as Prometheus
/// metrics. With `--probe` it also pings the addresses of every tunnel, and draws one verdict per tunnel from what is reported and what is
/// observed. Without a command it runs `serve`. Every flag can be set by the environment variable named beside it, or in a file
/// (`--config.file`); a flag beats the environment, which beats the file.
#[derive(Debug, Parser)]
#[command(name = NAME, version = VERSION, max_term_width = 110)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,

    #[command(flatten)]
    flags: Flags,

    #[command(flatten)]
    file: FileFlags,

    #[command(flatten)]
    log: LogFlags,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Poll the accounts and serve metrics (the default)
    Serve(Flags),
    /// Serve the built-in sandbox's tunnels: no account, no configuration, nothing leaves the machine
    Demo {
        #[command(flatten)]
        flags: ExporterFlags,
        #[command(flatten)]
        sandbox: SandboxFlags,
    },
    /// Play Cloudflare's tunnels API on loopback, for rehearsals, tests and development
    #[command(after_help = TALK_TO_THE_SANDBOX)]
    Sandbox(SandboxFlags),
    /// Look once, print every tunnel, the most broken first, and exit with 1 if one needs attention
    #[command(after_help = WHEN_TUNNELS_FAILS)]
    Tunnels(PrintFlags),
    /// Try everything that `serve` needs, print what came of it and what would mend it
    #[command(after_help = WHEN_CHECK_FAILS)]
    Check(PrintFlags),
    /// Ask the exporter on this machine whether it serves; exit code 1 where it does not. For images, which have no other program
    Healthcheck(HealthcheckFlags),
    /// Print the completions for a shell
    Completions {
        /// Whose completions
        shell: Shell,
    },
    /// Print the manual page; `magic-tunnel-exporter man | man -l -` shows it
    Man,
}

/// Flags of the commands that look once and print what they saw.
#[derive(Debug, Args)]
struct PrintFlags {
    #[command(flatten)]
    flags: Flags,

    /// Form of what is printed: table, json [default: table]
    #[arg(
        long,
        env = "MTE_OUTPUT",
        value_name = "FORM",
        value_enum,
        default_value = "table",
        hide_default_value = true
    )]
    output: Output,
}

/// Runs the program with the arguments and the environment of this process.
pub fn main() -> ExitCode {
    match parse(std::env::args_os()) {
        Ok(cli) => run(cli),
        Err(refusal) => refusal.print(),
    }
}

/// Why the arguments lead to nothing that runs.
enum Refusal {
    /// Help, the version or a document was asked for.
    Asked(String),
    /// What is wrong, one line each.
    Wrong(String),
}

impl Refusal {
    fn print(self) -> ExitCode {
        match self {
            Self::Asked(text) => {
                // A reader that went away is no failure of ours.
                let _ = io::stdout().write_all(text.as_bytes());
                ExitCode::SUCCESS
            }
            Self::Wrong(sentence) => fail(USAGE, &sentence),
        }
    }
}

impl From<ConfigError> for Refusal {
    fn from(error: ConfigError) -> Self {
        Self::Wrong(error.to_string())
    }
}

fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Cli, Refusal> {
    let matches = Cli::command().try_get_matches_from(arguments).map_err(|error| refusal(&error))?;
    if let Some(flag) = misplaced_flag(&matches) {
        return Err(Refusal::Wrong(format!("`--{flag}` must stand behind the command")));
    }
    Cli::from_arg_matches(&matches).map_err(|error| refusal(&error))
}

fn refusal(error: &clap::Error) -> Refusal {
    let mut text = error.render().to_string();
    if !error.use_stderr() {
        return Refusal::Asked(text);
    }
    for (kind, quoted) in error.context().filter_map(|(kind, value)| Some((kind, as_text(value)?))) {
        if may_be_secret(kind, quoted) {
            text = text.replace(&format!("'{quoted}'"), &format!("({} characters, not shown)", quoted.chars().count()));
        }
    }
    let first = text.lines().next().unwrap_or_default();
    let sentence = first.strip_prefix("error: ").unwrap_or(first);
    let suggested = error.get(ContextKind::SuggestedArg).or_else(|| error.get(ContextKind::SuggestedSubcommand));
    let suggested = suggested.and_then(as_text).map(|name| format!("; did you mean `{name}`?"));
    Refusal::Wrong(format!("{sentence}{}; `{NAME} --help` lists the flags", suggested.unwrap_or_default()))
}

fn as_text(value: &ContextValue) -> Option<&str> {
    match value {
        ContextValue::String(text) => Some(text),
        ContextValue::Strings(texts) => texts.first().map(String::as_str),
        _ => None,
    }
}

/// Whether clap quotes something that can be a token in the wrong place: an argument that is not a flag, or text of its form.
fn may_be_secret(kind: ContextKind, quoted: &str) -> bool {
    match kind {
        ContextKind::InvalidSubcommand => true,
        ContextKind::InvalidArg => match quoted.strip_prefix('-') {
            Some(flag) => looks_like_secret(flag) && flag.contains(|c: char| c.is_ascii_digit()),
            None => !quoted.starts_with('<'),
        },
        ContextKind::InvalidValue => looks_like_secret(quoted),
        _ => false,
    }
}

/// A flag of `serve` that stands before a command, where it would have no effect.
fn misplaced_flag(matches: &ArgMatches) -> Option<String> {
    matches.subcommand()?;
    let command = Cli::command();
    let mut given = command
        .get_arguments()
        .filter(|argument| !argument.is_global_set())
        .filter(|argument| matches.try_contains_id(argument.get_id().as_str()).is_ok())
        .filter(|argument| matches.value_source(argument.get_id().as_str()) == Some(ValueSource::CommandLine));
    given.next().and_then(|argument| argument.get_long()).map(str::to_owned)
}

fn run(cli: Cli) -> ExitCode {
    let (plan, log) = match Plan::of(cli) {
        Ok(planned) => planned,
        Err(refusal) => return refusal.print(),
    };
    telemetry::init(log.level, log.format);
    // Before any other thread exists: privileges belong to threads, and are inherited by those that are started later.
    if let Err(error) = privileges::keep_for_sockets() {
        warn!("not all privileges could be given up: {error}");
    }
    let runtime = match runtime() {
        Ok(runtime) => runtime,
        Err(error) => return fail(1, &format!("cannot start: {error}")),
    };
    let result = runtime.block_on(app::until_signal(|stop| plan.run(stop)));
    runtime.shutdown_timeout(LAST_WAIT);
    match result {
        Ok(code) => code,
        Err(error) => fail(1, &format!("{error:#}")),
    }
}

fn runtime() -> io::Result<Runtime> {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder.worker_threads(2).on_thread_start(privileges::give_up_all).enable_all().build()
}

/// A command with its checked configuration.
#[derive(Debug)]
enum Plan {
    Serve(Box<app::Serve>),
    Demo(Box<app::Demo>),
    Sandbox(SandboxConfig),
    Healthcheck(Vec<ListenAddress>),
    Tunnels { look: Box<app::Once>, output: Output },
    Check { check: Box<app::Check>, output: Output },
}

impl Plan {
    /// The command, and how it logs.
    fn of(mut cli: Cli) -> Result<(Self, Log), Refusal> {
        if matches!(cli.command, Some(Command::Tunnels(_) | Command::Check(_))) {
            // What is printed is the answer; the log is for what it cannot say.
            cli.log.level.get_or_insert_with(|| "error".into());
        }
        let inputs = Inputs::of_this_process(cli.file, cli.log);
        match cli.command.unwrap_or(Command::Serve(cli.flags)) {
            Command::Serve(flags) => {
                let serve = app::Serve::new(flags, inputs)?;
                let log = serve.log();
                Ok((Self::Serve(Box::new(serve)), log))
            }
            Command::Demo { flags, sandbox } => {
                let sandbox = SandboxConfig::load(&sandbox, "127.0.0.1:0", &inputs)?;
                let log = sandbox.log;
                Ok((Self::Demo(Box::new(app::Demo::new(flags, sandbox, inputs)?)), log))
            }
            Command::Sandbox(flags) => {
                let sandbox = SandboxConfig::load(&flags, "127.0.0.1:9848", &inputs)?;
                let log = sandbox.log;
                Ok((Self::Sandbox(sandbox), log))
            }
            Command::Tunnels(PrintFlags { flags, output }) => {
                let look = app::Once::new(&flags, &inputs)?;
                let log = look.log();
                Ok((Self::Tunnels { look: Box::new(look), output }, log))
            }
            Command::Check(PrintFlags { flags, output }) => {
                let check = app::Check::new(&flags, &inputs)?;
                let log = check.log();
                Ok((Self::Check { check: Box::new(check), output }, log))
            }
            Command::Healthcheck(flags) => {
                let config = HealthcheckConfig::load(&flags, &inputs)?;
                Ok((Self::Healthcheck(config.listen), config.log))
            }
            Command::Completions { shell } => Err(Refusal::Asked(documents::completions(Cli::command(), shell))),
            Command::Man => Err(Refusal::Asked(documents::manual(Cli::command()))),
        }
    }

    async fn run(self, stop: CancellationToken) -> anyhow::Result<ExitCode> {
        let done = match self {
            Self::Serve(serve) => serve.run(stop).await,
            Self::Demo(demo) => demo.run(stop).await,
            Self::Sandbox(sandbox) => app::sandbox(sandbox, stop).await,
            Self::Check { check, output } => return check::print(&check.run(stop).await?, output),
            Self::Healthcheck(addresses) => healthcheck::ask(addresses.first()).await,
            Self::Tunnels { look, output } => return tunnels::print(&look.look(stop).await?, output),
        };
        done.map(|()| ExitCode::SUCCESS)
    }
}

fn fail(code: u8, reason: &dyn Display) -> ExitCode {
    // Nothing is left to be done where even standard error is closed.
    for line in reason.to_string().lines() {
        let _ = writeln!(io::stderr(), "{NAME}: {line}");
    }
    ExitCode::from(code)
}

#[cfg(test)]
mod tests;
