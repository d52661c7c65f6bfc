//! Standard output of the commands `tunnels` and `check`: a table or lines for people, JSON for scripts, and the exit
//! code.

use std::{
    io::{self, BufWriter, IsTerminal as _, Write},
    ops::ControlFlow,
    process::ExitCode,
    time::Duration,
};

use jiff::Unit;
use rustix::termios::{Winsize, tcgetwinsize};
use serde_json::json;
use web_toolkit::text::shown;

use super::{
    arguments::{OutputFormat, TunnelsFlags},
    tunnels::{self, Assessment, TableStyle},
};
use crate::{
    app::{CheckResult, CheckStatus},
    domain::label::Label as _,
    http,
    snapshot::{Snapshot, rows::Filter},
};

/// Exit code of `tunnels` if something could not be read.
pub(super) const UNREADABLE: u8 = 2;

/// Clears a terminal and moves its cursor to the first line.
const CLEAR: &str = "\x1b[2J\x1b[H";

/// Prints the tunnels that match its filter.
#[derive(Debug)]
pub(super) struct TunnelsPrinter {
    filter: Filter,
    format: OutputFormat,
    is_wide: bool,
    without_headings: bool,
}

impl TunnelsPrinter {
    pub(super) fn new(flags: TunnelsFlags, format: OutputFormat) -> Self {
        let TunnelsFlags { site, verdict, search, wide, no_headers, watch: _ } = flags;
        let filter = Filter { site, verdict, search: search.unwrap_or_default(), ..Filter::default() };
        Self { filter, format, is_wide: wide, without_headings: no_headers }
    }

    /// Prints the tunnels once. The exit code is 1 if one of them needs attention, and 2 if a list was not read.
    ///
    /// # Errors
    /// Standard output cannot be written.
    pub(super) fn print(&self, snapshot: &Snapshot) -> anyhow::Result<ExitCode> {
        let code = match tunnels::assess(snapshot, &self.filter) {
            Assessment::Well => ExitCode::SUCCESS,
            Assessment::Attention => ExitCode::FAILURE,
            Assessment::Unreadable => UNREADABLE.into(),
        };
        print(|out| self.write(snapshot, None, out)).map(|_| code)
    }

    /// Prints the tunnels in place of the previous ones if standard output is a terminal, otherwise below them. Breaks
    /// if nothing reads them.
    ///
    /// # Errors
    /// Standard output cannot be written.
    pub(super) fn print_again(&self, snapshot: &Snapshot, every: Duration) -> anyhow::Result<ControlFlow<()>> {
        print(|out| self.write(snapshot, Some(every), out))
    }

    fn write(&self, snapshot: &Snapshot, every: Option<Duration>, out: &mut dyn Write) -> io::Result<()> {
        if matches!(self.format, OutputFormat::Json) {
            return http::write_tunnels(snapshot, &self.filter, out);
        }
        let terminal = terminal_size();
        let mut summary = Vec::new();
        tunnels::write_summary(snapshot, &self.filter, &mut summary)?;
        if let Some(every) = every {
            self.write_time(snapshot, every, terminal.is_some(), out)?;
        }
        tunnels::write_table(snapshot, &self.filter, self.style(terminal, every.is_some(), &summary), out)?;
        if self.without_headings { self.write_problems(snapshot, &summary) } else { out.write_all(&summary) }
    }

    /// With the size of the terminal, if there is one. A table that is replaced must not scroll.
    fn style(&self, terminal: Option<Winsize>, is_replaced: bool, summary: &[u8]) -> TableStyle {
        // <https://no-color.org>
        let may_colour = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        let below = summary.split(|byte| *byte == b'\n').count();
        // The time, the headings, the number of tunnels that are left out and two empty lines.
        let most_rows = terminal.map(|size| usize::from(size.ws_row).saturating_sub(below + 5).max(1));
        TableStyle {
            in_colour: may_colour && terminal.is_some(),
            without_headings: self.without_headings,
            width: terminal.map(|size| size.ws_col.into()).filter(|width| *width > 0 && !self.is_wide),
            most_rows: most_rows.filter(|_| is_replaced),
        }
    }

    fn write_time(
        &self,
        snapshot: &Snapshot,
        every: Duration,
        is_terminal: bool,
        out: &mut dyn Write,
    ) -> io::Result<()> {
        if is_terminal {
            out.write_all(CLEAR.as_bytes())?;
        }
        if self.without_headings {
            return Ok(());
        }
        let time = snapshot.now.wall.round(Unit::Second).unwrap_or(snapshot.now.wall);
        writeln!(out, "{time}, every {}; Ctrl-C ends\n", humantime::format_duration(every))
    }

    /// Rows alone go to programs, so that problems are printed to standard error.
    fn write_problems(&self, snapshot: &Snapshot, summary: &[u8]) -> io::Result<()> {
        if tunnels::assess(snapshot, &self.filter) == Assessment::Unreadable {
            return io::stderr().write_all(summary);
        }
        Ok(())
    }
}

/// The size of the terminal that is standard output.
fn terminal_size() -> Option<Winsize> {
    let stdout = io::stdout();
    if stdout.is_terminal() { tcgetwinsize(stdout).ok() } else { None }
}

/// Prints the results of all checks. The exit code is 1 if one of them failed.
///
/// # Errors
/// Standard output cannot be written.
pub(super) fn print_check_results(results: &[CheckResult], format: OutputFormat) -> anyhow::Result<ExitCode> {
    let passed = results.iter().all(|result| result.status != CheckStatus::Fail);
    let printed = print(|out| match format {
        OutputFormat::Table => write_check_lines(results, out),
        OutputFormat::Json => write_check_json(results, passed, out),
    });
    printed.map(|_| if passed { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Writes to standard output. Breaks if it is closed, because a reader such as head(1) has read enough.
fn print(write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> anyhow::Result<ControlFlow<()>> {
    let mut out = BufWriter::new(io::stdout().lock());
    match write(&mut out).and_then(|()| out.flush()) {
        Ok(()) => Ok(ControlFlow::Continue(())),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(ControlFlow::Break(())),
        Err(error) => Err(error.into()),
    }
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
