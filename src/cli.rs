//! The command line: parses the arguments, validates the configuration and runs the command.
//!
//! Exit codes: 0 success, 1 failure, 64 invalid configuration (`EX_USAGE` of sysexits.h). `tunnels` exits with 1 if a
//! tunnel needs attention, and with 2 for a failure.

mod arguments;
mod documents;
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

use clap::{ArgMatches, FromArgMatches as _, parser::ValueSource};
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;
use tracing::warn;
use web_toolkit::server::ListenAddress;

use self::{
    arguments::{Cli, Command, NAME, OutputFormat, PrintFlags, definition},
    output::TunnelsPrinter,
};
use crate::{
    app::{self, CheckScope, DemoCommand, ServeCommand},
    config::{Config, ConfigError, HealthcheckConfig, Inputs, Log, SandboxConfig},
    privileges, telemetry,
};

/// Exit code for an invalid configuration.
const USAGE: u8 = 64;

/// Time to wait for blocking calls at the end, for example for a slow name resolution.
const BLOCKING_TIMEOUT: Duration = Duration::from_millis(100);

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
    let arguments: Vec<_> = arguments.into_iter().collect();
    let command = definition(&arguments);
    let matches = command.clone().try_get_matches_from(arguments)?;
    if let Some(flag) = misplaced_flag(&command, &matches) {
        return Err(EarlyExit::Invalid(format!("`--{flag}` must follow the command")));
    }
    Ok(Cli::from_arg_matches(&matches)?)
}

/// A flag of `serve` before a command, where it would have no effect.
fn misplaced_flag(command: &clap::Command, matches: &ArgMatches) -> Option<String> {
    matches.subcommand()?;
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
    let failure = command.failure();
    let result = runtime.block_on(app::run_until_signal(|stop| command.run(stop)));
    runtime.shutdown_timeout(BLOCKING_TIMEOUT);
    match result {
        Ok(code) => {
            telemetry::finish("");
            code
        }
        Err(error) => fail(failure, &format!("{error:#}")),
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
    /// The time between two tables, if there is more than one.
    Tunnels(Box<Config>, TunnelsPrinter, Option<Duration>),
    Check(Box<Config>, CheckScope, OutputFormat),
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
            Command::Tunnels { print: PrintFlags { flags, output }, tunnels } => {
                let config = Config::for_serve(&flags, &inputs)?;
                let (log, every) = (config.log, tunnels.watch);
                (Self::Tunnels(Box::new(config), TunnelsPrinter::new(tunnels, output), every), log)
            }
            Command::Check { print: PrintFlags { flags, output }, findings, offline } => {
                let config = Config::for_serve(&flags, &inputs)?;
                let log = config.log;
                (Self::Check(Box::new(config), CheckScope { findings, offline }, output), log)
            }
            Command::Healthcheck(flags) => {
                let config = HealthcheckConfig::load(&flags, &inputs)?;
                (Self::Healthcheck(config.listen), config.log)
            }
            Command::Completions { shell } => {
                return Err(EarlyExit::Document(documents::completions(definition(&[]), shell)));
            }
            Command::Man => return Err(EarlyExit::Document(documents::manual(definition(&[])))),
        })
    }

    /// The exit code if the command fails.
    fn failure(&self) -> u8 {
        if matches!(self, Self::Tunnels(..)) { output::UNREADABLE } else { 1 }
    }

    async fn run(self, stop: CancellationToken) -> anyhow::Result<ExitCode> {
        let done = match self {
            Self::Serve(serve) => serve.run(stop).await,
            Self::Demo(demo) => demo.run(stop).await,
            Self::Sandbox(sandbox) => app::run_sandbox(sandbox, stop).await,
            Self::Healthcheck(addresses) => app::request_health(addresses.first()).await,
            Self::Check(config, scope, format) => {
                return output::print_check_results(&app::run_checks(*config, scope, stop).await?, format);
            }
            Self::Tunnels(config, printer, None) => {
                return printer.print(&app::poll_once(*config, stop).await?);
            }
            Self::Tunnels(config, printer, Some(every)) => {
                app::poll_repeatedly(*config, every, stop, |snapshot| printer.print_again(snapshot, every)).await
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
