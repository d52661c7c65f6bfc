//! The commands and their own flags, and what `-h` shows of all flags.

use std::{ffi::OsString, time::Duration};

use clap::{
    Arg, Args, CommandFactory as _, Parser, Subcommand, ValueEnum,
    builder::{PossibleValuesParser, TypedValueParser},
};
use clap_complete::Shell;

use crate::{
    config::flags::{ExporterFlags, FileFlags, Flags, HealthcheckFlags, LogFlags, SandboxFlags},
    domain::{label::Label as _, verdict::Verdict},
    snapshot::rows::VerdictFilter,
};

pub(super) const NAME: &str = "magic-tunnel-exporter";

/// Shown by `-V`.
const VERSION: &str = concat!(env!("CARGO_PKG_VERSION"), " (revision ", env!("MTE_REVISION"), ")");

/// Shown by `--version`.
const LONG_VERSION: &str = concat!(
    env!("CARGO_PKG_VERSION"),
    " (revision ",
    env!("MTE_REVISION"),
    ")\ncompiler: ",
    env!("MTE_RUSTC"),
    "\ntarget: ",
    env!("MTE_TARGET")
);

const SANDBOX_HELP: &str = "\
The API is served below /client/v4, as at Cloudflare. These endpoints need no token:
  GET  /sandbox         accounts, tunnels and the states of their sessions
  PUT  /sandbox/accounts/ID/tunnels/NAME/bgp_status
                        sets the reported state: {\"state\": \"BGP_DOWN\"}
  PUT  /sandbox/faults  injects faults: {\"faults\": [{\"fault\": \"silence\"}]}; DELETE removes them
  GET  /sandbox/calls   the API requests so far";

const TUNNELS_EXIT: &str = "Exit code: 0 if all is well, 1 if a tunnel needs attention, 2 if a list could not be read.";

const TUNNELS_HELP: &str = "\
Without `--probe`, the verdicts follow from the state that Cloudflare reports. With `--probe`, the command takes
several probe intervals longer.
Exit code: 0 if all is well; 1 if a BGP session is down, a tunnel needs attention, or no tunnel matches `--site` or
`--search`; 2 if a list could not be read. Only the tunnels that match all filters count.";

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
#[command(name = NAME, version = VERSION, long_version = LONG_VERSION, max_term_width = 110)]
pub(super) struct Cli {
    #[command(subcommand)]
    pub(super) command: Option<Command>,

    #[command(flatten)]
    pub(super) flags: Flags,

    #[command(flatten)]
    pub(super) file: FileFlags,

    #[command(flatten)]
    pub(super) log: LogFlags,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
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
    #[command(after_help = TUNNELS_EXIT, after_long_help = TUNNELS_HELP)]
    Tunnels {
        #[command(flatten)]
        print: PrintFlags,
        #[command(flatten)]
        tunnels: TunnelsFlags,
    },
    /// Test everything that `serve` needs, and suggest a fix for each problem
    #[command(after_help = CHECK_HELP)]
    Check {
        #[command(flatten)]
        print: PrintFlags,
        /// List the findings on the configuration of the tunnels too, see docs/FINDINGS.md
        #[arg(long, env = "MTE_FINDINGS")]
        findings: bool,
        /// Test only the configuration and the files that it names: no request, no ping, no socket. For CI
        #[arg(long, env = "MTE_OFFLINE")]
        offline: bool,
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

/// Flags of the commands that print a result.
#[derive(Debug, Args)]
pub(super) struct PrintFlags {
    #[command(flatten)]
    pub(super) flags: Flags,

    /// Output format [default: table]
    #[arg(
        long,
        env = "MTE_OUTPUT",
        value_name = "FORMAT",
        value_enum,
        default_value = "table",
        hide_default_value = true
    )]
    pub(super) output: OutputFormat,
}

/// The value of `--output`.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(super) enum OutputFormat {
    Table,
    Json,
}

/// Which tunnels `tunnels` prints, and how.
#[derive(Debug, Args)]
pub(super) struct TunnelsFlags {
    /// Print only the tunnels of this site [default: all]
    ///
    /// The exit code is 1 if there are none.
    #[arg(long, env = "MTE_SITE", value_name = "SITE")]
    pub(super) site: Option<String>,
    /// Print only the tunnels with this verdict; `attention` for all that need attention [default: all]
    #[arg(long, env = "MTE_VERDICT", value_parser = verdict_filter())]
    pub(super) verdict: Option<VerdictFilter>,
    /// Print only tunnels that contain each of these words [default: all]
    ///
    /// The words are searched in name, description, site, id and addresses. The exit code is 1 if no tunnel has them.
    #[arg(long, env = "MTE_SEARCH", value_name = "WORDS")]
    pub(super) search: Option<String>,
    /// Print every column in full, also if the terminal is too narrow
    #[arg(long, env = "MTE_WIDE")]
    pub(super) wide: bool,
    /// Print only the rows; problems go to standard error
    #[arg(long, env = "MTE_NO_HEADERS")]
    pub(super) no_headers: bool,
    /// Poll and print until Ctrl-C, every 5s to 1h [default: 10s]
    #[arg(
        long,
        env = "MTE_WATCH",
        value_name = "DURATION",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "10s",
        value_parser = parse_watch
    )]
    pub(super) watch: Option<Duration>,
}

fn parse_watch(text: &str) -> Result<Duration, String> {
    let range = Duration::from_secs(5)..=Duration::from_hours(1);
    let duration = humantime::parse_duration(text.trim()).map_err(|_| "must be a duration such as 10s or 1m")?;
    if range.contains(&duration) { Ok(duration) } else { Err("must be between 5s and 1h".to_owned()) }
}

const ATTENTION: &str = "attention";

fn verdict_filter() -> impl TypedValueParser<Value = VerdictFilter> {
    let names = Verdict::ALL.iter().map(|verdict| verdict.as_str()).chain([ATTENTION]);
    PossibleValuesParser::new(names).map(|name| {
        let verdict = Verdict::ALL.iter().find(|verdict| verdict.as_str() == name);
        verdict.map_or(VerdictFilter::Attention, |&verdict| VerdictFilter::Only(verdict))
    })
}

/// The definition of the command line for these arguments. With `-h`, its help fits one screen.
pub(super) fn definition(arguments: &[OsString]) -> clap::Command {
    let is_short = arguments.iter().any(|argument| argument == "-h");
    let simplify = |command: clap::Command| {
        let serves = command.get_name() != "tunnels";
        command.mut_args(|argument| {
            // The value of a variable can be a misplaced secret.
            let argument = argument.hide_env_values(true);
            if is_short { simplify_for_one_screen(argument, serves) } else { argument }
        })
    };
    simplify(Cli::command()).mut_subcommands(simplify)
}

/// Flags of the configuration that `-h` shows. It shows all flags that only one command has.
const MAIN_FLAGS: [&str; 8] = [
    "cloudflare.account-id",
    "cloudflare.api-token-file",
    "config.file",
    "inventory.url",
    "probe",
    "probe.vantage",
    "web.config.file",
    "web.listen-address",
];

fn simplify_for_one_screen(argument: Arg, serves: bool) -> Arg {
    let is_main = argument.get_long().is_none_or(|name| {
        let is_setting = name.contains('.') && !name.starts_with("sandbox.");
        !is_setting || MAIN_FLAGS.contains(&name) && (serves || !name.starts_with("web."))
    });
    argument.hide_short_help(!is_main).hide_env(true).help_heading(None::<&str>)
}

#[cfg(test)]
mod tests {
    use clap::Command;

    use super::*;

    fn commands(flag: &str) -> Vec<Command> {
        let mut root = definition(&[flag.into()]).term_width(80);
        root.build();
        let subcommands: Vec<_> = root.get_subcommands().map(|command| command.clone().term_width(80)).collect();
        [vec![root], subcommands].concat()
    }

    #[test]
    fn the_short_help_of_every_command_fits_one_screen_of_50_lines() {
        for mut command in commands("-h") {
            let help = command.render_help().to_string();
            assert!(help.lines().count() <= 50, "{} lines:\n{help}", help.lines().count());
            assert!(!help.contains("[env:"), "{help}");
        }
    }

    #[test]
    fn the_short_help_shows_the_flags_that_most_users_need() {
        let help = commands("-h")[0].render_help().to_string();
        for flag in MAIN_FLAGS {
            assert!(help.contains(&format!("--{flag}")), "{flag} in\n{help}");
        }
        assert!(!help.contains("--probe.rtt-buckets"), "{help}");
    }

    #[test]
    fn the_long_help_contains_every_flag_with_its_variable_but_not_its_value() {
        for mut command in commands("--help") {
            let help = command.render_long_help().to_string();
            for argument in command.get_arguments() {
                let flag = argument.get_long().map(|flag| format!("--{flag}")).unwrap_or_default();
                assert!(help.contains(&flag), "{flag} in\n{help}");
                let variable = argument.get_env().map(|name| format!("[env: {}]", name.display()));
                assert!(variable.is_none_or(|variable| help.contains(&variable)), "the variable of {flag} in\n{help}");
            }
        }
    }

    #[test]
    fn the_time_between_two_tables_is_bounded() {
        for (text, expected) in [
            ("5s", Ok(5)),
            (" 1h ", Ok(3600)),
            ("4s", Err("must be between 5s and 1h")),
            ("61m", Err("must be between 5s and 1h")),
            ("often", Err("must be a duration such as 10s or 1m")),
        ] {
            assert_eq!(parse_watch(text), expected.map(Duration::from_secs).map_err(str::to_owned), "{text}");
        }
    }
}
