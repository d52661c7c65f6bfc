//! The command line: parses the arguments, validates the configuration and runs the command.
//!
//! Exit codes: 0 success, 1 failure, 64 invalid configuration (`EX_USAGE` of sysexits.h).

mod documents;
mod healthcheck;
mod output;
mod tunnels;
mod usage;

use std::{
    ffi::OsString,
    fmt::Display,
    io::{self, Write as _},
    process::ExitCode,
    time::Duration,
};

use clap::{ArgMatches, Args, CommandFactory as _, FromArgMatches as _, Parser, Subcommand, parser::ValueSource};
use clap_complete::Shell;
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;
use tracing::warn;
use web_toolkit::server::ListenAddress;

use self::output::OutputFormat;
use crate::{
    app::{self, DemoCommand, ServeCommand},
    config::{
        Config, ConfigError, HealthcheckConfig, Inputs, Log, SandboxConfig,
        flags::{ExporterFlags, FileFlags, Flags, HealthcheckFlags, LogFlags, SandboxFlags},
    },
    privileges,
    snapshot::rows::Filter,
    telemetry,
};

const NAME: &str = "magic-tunnel-exporter";
const VERSION: &str = concat!(env!("CARGO_PKG_VERSION"), " (revision ", env!("MTE_REVISION"), ")");

/// Exit code for an invalid configuration.
const USAGE: u8 = 64;

/// Time to wait for blocking calls at the end, for example for a slow name resolution.
const BLOCKING_TIMEOUT: Duration = Duration::from_millis(100);

const SANDBOX_HELP: &str = "\
The API is served below /client/v4, as at Cloudflare. These endpoints need no token:
  GET  /sandbox         accounts, tunnels and the states of their sessions
  PUT  /sandbox/accounts/ID/tunnels/NAME/bgp_status
                        sets the reported state: {\"state\": \"BGP_DOWN\"}
  PUT  /sandbox/faults  injects faults: {\"faults\": [{\"fault\": \"silence\"}]}; DELETE removes them
  GET  /sandbox/calls   the API requests so far";

const TUNNELS_HELP: &str = "\
Without `--probe`, the verdicts follow from the state that Cloudflare reports. With `--probe`, the command takes
several probe intervals longer.
Exit code: 0 if all is well; 1 if a BGP session is down, a tunnel needs attention or a list could not be read.
With `--site`, only the tunnels of that site count.";

const CHECK_HELP: &str = "\
Changes nothing. With `--probe`, the ICMP sockets are tested too.
Exit code: 0 if `serve` would work, 1 if a line says FAIL, 64 if the configuration is invalid.";

/// Prometheus exporter and health prober for Cloudflare Magic WAN and Magic Transit tunnels
///
/// Polls the tunnels of one or more accounts and serves their BGP state, health-check configuration and addresses as
/// Prometheus metrics. With `--probe`, it also pings the addresses of every tunnel and derives one verdict per tunnel
/// from the reported and the observed state. Without a command, it runs `serve`. Every flag can also be set by the
/// environment variable shown next to it, or in a file (`--config.file`). Flags override environment variables, which
/// override the file.
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
    /// Poll the accounts and serve metrics (default)
    Serve(Flags),
    /// Run an exporter on the built-in sandbox: no account, no configuration, no traffic outside this machine
    Demo {
        #[command(flatten)]
        flags: ExporterFlags,
        #[command(flatten)]
        sandbox: SandboxFlags,
    },
    /// Serve a simulation of Cloudflare's tunnels API on loopback, for rehearsals, tests and development
    #[command(after_help = SANDBOX_HELP)]
    Sandbox(SandboxFlags),
    /// Poll once, print every tunnel, the most broken first, and exit with 1 if one needs attention
    #[command(after_help = TUNNELS_HELP)]
    Tunnels {
        #[command(flatten)]
        print: PrintFlags,
        /// Print only the tunnels of this site, and exit with 1 if there are none [default: all]
        #[arg(long, env = "MTE_SITE", value_name = "SITE")]
        site: Option<String>,
    },
    /// Test everything that `serve` needs, and suggest a fix for each problem
    #[command(after_help = CHECK_HELP)]
    Check {
        #[command(flatten)]
        print: PrintFlags,
        /// List the findings on the configuration of the tunnels too, see docs/FINDINGS.md
        #[arg(long, env = "MTE_FINDINGS")]
        findings: bool,
    },
    /// Exit with 0 if the exporter on this machine serves, otherwise with 1. For container images without another HTTP
    /// client
    Healthcheck(HealthcheckFlags),
    /// Print the completion script for a shell
    Completions {
        /// Name of the shell
        shell: Shell,
    },
    /// Print the manual page; view it with `magic-tunnel-exporter man | man -l -`
    Man,
}

/// Flags of the commands that print one result and exit.
#[derive(Debug, Args)]
struct PrintFlags {
    #[command(flatten)]
    flags: Flags,

    /// Output format: table, json [default: table]
    #[arg(
        long,
        env = "MTE_OUTPUT",
        value_name = "FORMAT",
        value_enum,
        default_value = "table",
        hide_default_value = true
    )]
    output: OutputFormat,
}

/// Runs the program with the arguments and the environment of this process.
pub fn main() -> ExitCode {
    // Before any other thread exists, because each thread inherits its privileges from the thread that starts it. And
    // before any file is read, so that a file which only root's privileges could open fails now and not at a reload.
    let dropped = privileges::keep_socket_capabilities();
    match parse(std::env::args_os()).and_then(ValidCommand::from_cli) {
        Ok((command, log)) => run(command, log, dropped),
        Err(exit) => exit.print(),
    }
}

/// Why no command runs.
enum EarlyExit {
    /// Help, the version or a document was requested.
    Document(String),
    /// The arguments or the configuration are invalid.
    Invalid(String),
}

impl EarlyExit {
    fn print(self) -> ExitCode {
        match self {
            Self::Document(text) => {
                // A closed standard output is not an error of this program.
                let _ = io::stdout().write_all(text.as_bytes());
                ExitCode::SUCCESS
            }
            Self::Invalid(message) => fail(USAGE, &message),
        }
    }
}

impl From<ConfigError> for EarlyExit {
    fn from(error: ConfigError) -> Self {
        Self::Invalid(error.to_string())
    }
}

impl From<clap::Error> for EarlyExit {
    fn from(error: clap::Error) -> Self {
        if error.use_stderr() {
            Self::Invalid(usage::describe(&error))
        } else {
            Self::Document(error.render().to_string())
        }
    }
}

fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Cli, EarlyExit> {
    let matches = Cli::command().try_get_matches_from(arguments)?;
    if let Some(flag) = misplaced_flag(&matches) {
        return Err(EarlyExit::Invalid(format!("`--{flag}` must follow the command")));
    }
    Ok(Cli::from_arg_matches(&matches)?)
}

/// A flag of `serve` before a command, where it would have no effect.
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

fn run(command: ValidCommand, log: Log, dropped: io::Result<()>) -> ExitCode {
    if let Err(error) = telemetry::init(log.level, log.format, privileges::drop_capabilities) {
        return fail(1, &format!("cannot start the thread of the log: {error}"));
    }
    if let Err(error) = dropped {
        warn!("cannot drop all privileges: {error}");
    }
    let runtime = match build_runtime() {
        Ok(runtime) => runtime,
        Err(error) => return fail(1, &format!("cannot start: {error}")),
    };
    let result = runtime.block_on(app::run_until_signal(|stop| command.run(stop)));
    runtime.shutdown_timeout(BLOCKING_TIMEOUT);
    match result {
        Ok(code) => {
            telemetry::finish("");
            code
        }
        Err(error) => fail(1, &format!("{error:#}")),
    }
}

fn build_runtime() -> io::Result<Runtime> {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder.worker_threads(2).on_thread_start(privileges::drop_capabilities).enable_all().build()
}

/// A command with its validated configuration.
#[derive(Debug)]
enum ValidCommand {
    Serve(Box<ServeCommand>),
    Demo(Box<DemoCommand>),
    Sandbox(SandboxConfig),
    Healthcheck(Vec<ListenAddress>),
    Tunnels(Box<Config>, Filter, OutputFormat),
    /// Whether the findings are listed.
    Check(Box<Config>, bool, OutputFormat),
}

impl ValidCommand {
    /// Validates the configuration of the command. Also returns the configuration of the log.
    fn from_cli(mut cli: Cli) -> Result<(Self, Log), EarlyExit> {
        if matches!(cli.command, Some(Command::Tunnels { .. } | Command::Check { .. })) {
            // The printed result contains all warnings already.
            cli.log.level.get_or_insert_with(|| "error".into());
        }
        let inputs = Inputs::of_this_process(cli.file, cli.log);
        Ok(match cli.command.unwrap_or(Command::Serve(cli.flags)) {
            Command::Serve(flags) => {
                let serve = ServeCommand::new(flags, inputs)?;
                let log = serve.log();
                (Self::Serve(Box::new(serve)), log)
            }
            Command::Demo { flags, sandbox } => {
                let sandbox = SandboxConfig::load(&sandbox, "127.0.0.1:0", &inputs)?;
                let demo = DemoCommand::new(flags, sandbox, inputs)?;
                let log = demo.log();
                (Self::Demo(Box::new(demo)), log)
            }
            Command::Sandbox(flags) => {
                let sandbox = SandboxConfig::load(&flags, "127.0.0.1:9848", &inputs)?;
                let log = sandbox.log;
                (Self::Sandbox(sandbox), log)
            }
            Command::Tunnels { print: PrintFlags { flags, output }, site } => {
                let config = Config::for_serve(&flags, &inputs)?;
                let (log, filter) = (config.log, Filter { site, ..Filter::default() });
                (Self::Tunnels(Box::new(config), filter, output), log)
            }
            Command::Check { print: PrintFlags { flags, output }, findings } => {
                let config = Config::for_serve(&flags, &inputs)?;
                let log = config.log;
                (Self::Check(Box::new(config), findings, output), log)
            }
            Command::Healthcheck(flags) => {
                let config = HealthcheckConfig::load(&flags, &inputs)?;
                (Self::Healthcheck(config.listen), config.log)
            }
            Command::Completions { shell } => {
                return Err(EarlyExit::Document(documents::completions(Cli::command(), shell)));
            }
            Command::Man => return Err(EarlyExit::Document(documents::manual(Cli::command()))),
        })
    }

    async fn run(self, stop: CancellationToken) -> anyhow::Result<ExitCode> {
        let done = match self {
            Self::Serve(serve) => serve.run(stop).await,
            Self::Demo(demo) => demo.run(stop).await,
            Self::Sandbox(sandbox) => app::run_sandbox(sandbox, stop).await,
            Self::Healthcheck(addresses) => healthcheck::request_health(addresses.first()).await,
            Self::Check(config, findings, format) => {
                return output::print_check_results(&app::run_checks(*config, findings, stop).await?, format);
            }
            Self::Tunnels(config, filter, format) => {
                return output::print_tunnels(&app::poll_once(*config, stop).await?, &filter, format);
            }
        };
        done.map(|()| ExitCode::SUCCESS)
    }
}

fn fail(code: u8, reason: &dyn Display) -> ExitCode {
    let lines = reason.to_string().trim_end().replace('\n', &format!("\n{NAME}: "));
    telemetry::finish(&format!("{NAME}: {lines}\n"));
    ExitCode::from(code)
}

#[cfg(test)]
mod tests;
