//! The command `check`: what was found, one line each, and in the exit code whether `serve` would do its work.

use std::{
    io::{self, BufWriter, Write},
    process::ExitCode,
};

use serde_json::json;
use web_toolkit::text::shown;

use super::tunnels::Output;
use crate::{
    app::{Finding, Level},
    domain::label::Label as _,
};

/// Prints what was found to standard output.
///
/// # Errors
/// Standard output takes nothing.
pub(super) fn print(found: &[Finding], output: Output) -> anyhow::Result<ExitCode> {
    let mut out = BufWriter::new(io::stdout().lock());
    let written = match output {
        Output::Table => lines(found, &mut out),
        Output::Json => document(found, &mut out),
    };
    match written.and_then(|()| out.flush()) {
        // A reader such as head(1) that has seen enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {}
        written => written?,
    }
    Ok(if is_well(found) { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn is_well(found: &[Finding]) -> bool {
    found.iter().all(|finding| finding.level != Level::Fail)
}

/// Failures stand out from afar.
fn level(level: Level) -> &'static str {
    if level == Level::Fail { "FAIL" } else { level.as_str() }
}

fn lines(found: &[Finding], out: &mut impl Write) -> io::Result<()> {
    let what = |finding: &Finding| match &finding.account {
        Some(account) => format!("{} of {}", finding.subject, shown(account)),
        None => finding.subject.to_string(),
    };
    let width = found.iter().map(|finding| what(finding).chars().count()).max().unwrap_or_default();
    for finding in found {
        write!(out, "{:<4}  {:<width$}  {}", level(finding.level), what(finding), finding.says)?;
        match &finding.mend {
            Some(mend) => writeln!(out, "; {mend}")?,
            None => writeln!(out)?,
        }
    }
    Ok(())
}

fn document(found: &[Finding], out: &mut impl Write) -> io::Result<()> {
    let findings: Vec<_> = found
        .iter()
        .map(|finding| {
            json!({
                "level": finding.level.as_str(),
                "subject": finding.subject.as_str(),
                "account": finding.account,
                "message": finding.says,
                "mend": finding.mend,
            })
        })
        .collect();
    writeln!(out, "{:#}", json!({"ok": is_well(found), "findings": findings}))
}
