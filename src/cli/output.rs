//! Standard output of the commands `tunnels` and `check`: a table or lines for people, JSON for scripts, and the exit
//! code.

use std::{
    io::{self, BufWriter, IsTerminal as _, Write},
    process::ExitCode,
};

use clap::ValueEnum;
use serde_json::json;
use web_toolkit::text::shown;

use super::tunnels;
use crate::{
    app::{CheckResult, CheckStatus},
    domain::label::Label as _,
    http,
    snapshot::{Snapshot, rows::Filter},
};

/// The value of `--output`.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(super) enum OutputFormat {
    Table,
    Json,
}

/// Prints the matching tunnels. The exit code is 1 if one of them needs attention.
///
/// # Errors
/// Standard output cannot be written.
pub(super) fn print_tunnels(snapshot: &Snapshot, filter: &Filter, format: OutputFormat) -> anyhow::Result<ExitCode> {
    // <https://no-color.org>
    let in_colour = io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    print(tunnels::all_well(snapshot, filter), |out| match format {
        OutputFormat::Table => tunnels::write_table(snapshot, filter, in_colour, out),
        OutputFormat::Json => http::write_tunnels(snapshot, filter, out),
    })
}

/// Prints the results of all checks. The exit code is 1 if one of them failed.
///
/// # Errors
/// Standard output cannot be written.
pub(super) fn print_check_results(results: &[CheckResult], format: OutputFormat) -> anyhow::Result<ExitCode> {
    let passed = results.iter().all(|result| result.status != CheckStatus::Fail);
    print(passed, |out| match format {
        OutputFormat::Table => write_check_lines(results, out),
        OutputFormat::Json => write_check_json(results, passed, out),
    })
}

fn print(success: bool, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> anyhow::Result<ExitCode> {
    let mut out = BufWriter::new(io::stdout().lock());
    match write(&mut out).and_then(|()| out.flush()) {
        // A reader such as head(1) has read enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {}
        written => written?,
    }
    Ok(if success { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn write_check_lines(results: &[CheckResult], out: &mut dyn Write) -> io::Result<()> {
    let subject = |result: &CheckResult| match &result.account {
        Some(account) => format!("{} of {}", result.subject, shown(account)),
        None => result.subject.to_string(),
    };
    let width = results.iter().map(|result| subject(result).chars().count()).max().unwrap_or_default();
    for result in results {
        // Failures are in capitals, so that they are easy to find.
        let status = if result.status == CheckStatus::Fail { "FAIL" } else { result.status.as_str() };
        write!(out, "{status:<4}  {:<width$}  {}", subject(result), result.message)?;
        match &result.fix {
            Some(fix) => writeln!(out, "; {fix}")?,
            None => writeln!(out)?,
        }
    }
    Ok(())
}

fn write_check_json(results: &[CheckResult], passed: bool, out: &mut dyn Write) -> io::Result<()> {
    let finding = |result: &CheckResult| {
        json!({
            "level": result.status.as_str(),
            "subject": result.subject.as_str(),
            "account": result.account,
            "message": result.message,
            "mend": result.fix,
        })
    };
    let findings: Vec<_> = results.iter().map(finding).collect();
    writeln!(out, "{:#}", json!({"ok": passed, "findings": findings}))
}
