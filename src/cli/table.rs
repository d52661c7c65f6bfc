//! The tunnels as a table for a terminal, the most broken first.

use std::io::{self, Write};

use anstyle::{AnsiColor, Style};
use unicode_width::UnicodeWidthStr as _;
use web_toolkit::text::shown;

use crate::{
    domain::{
        dataset::{Dataset, PollState},
        inventory::TunnelList,
        verdict::{Side, Verdict},
    },
    snapshot::{Row, Snapshot, concern::Concern, filter::Filter, filter::Order},
};

/// What is written where nothing is known.
const NOTHING: &str = "-";

/// Writes the table, then in one line how many tunnels there are, and one line for each list that could not be read.
pub(super) fn write(snapshot: &Snapshot, in_colour: bool, out: &mut dyn Write) -> io::Result<()> {
    let filter = Filter::default();
    let mut rows: Vec<Row<'_>> = snapshot.matching(&filter).collect();
    Order::Trouble.sort(&mut rows);
    let columns = columns(snapshot);
    let texts: Vec<Vec<String>> =
        rows.iter().map(|row| columns.iter().map(|column| (column.text)(row)).collect()).collect();
    let widths = widths(&columns, &texts);
    let header: Vec<&str> = columns.iter().map(|column| column.name).collect();
    let bold = if in_colour { Style::new().bold() } else { Style::new() };
    if !rows.is_empty() {
        write_line(out, &header, &widths, bold)?;
    }
    for (row, texts) in rows.iter().zip(&texts) {
        let style = if in_colour { style(row.verdict()) } else { Style::new() };
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        write_line(out, &texts, &widths, style)?;
    }
    write_summary(snapshot, !rows.is_empty(), out)
}

/// A column: its heading, and what it says of a tunnel.
struct Column {
    name: &'static str,
    text: fn(&Row<'_>) -> String,
}

/// Those that tell something: the account only where there are several, the sides only where something is probed.
fn columns(snapshot: &Snapshot) -> Vec<Column> {
    let several = snapshot.fleet().accounts.len() > 1;
    let probed = !snapshot.board().sessions.is_empty();
    let column = |name, text| Column { name, text };
    let mut columns = vec![
        column("VERDICT", |row| row.verdict().to_string()),
        column("TUNNEL", |row| shown(&row.tunnel().name).into_owned()),
        column("TYPE", |row| row.tunnel().tunnel_type().to_string()),
    ];
    if several {
        columns.push(column("ACCOUNT", |row| shown(row.account.as_str()).into_owned()));
    }
    columns.push(column("BGP", session));
    columns.push(column("TCP", |row| said(row.status().and_then(|status| status.tcp_established), "yes", "no")));
    if probed {
        columns.push(column("INSIDE", |row| side(row, |evidence| evidence.inside)));
        columns.push(column("OUTSIDE", |row| side(row, |evidence| evidence.outside)));
    }
    columns.push(column("CHECKS", checks));
    columns.push(column("WHY", |row| row.verdict.map_or_else(|| NOTHING.into(), |verdict| verdict.why.to_string())));
    columns
}

/// State of the session, and of its state machine where that says more.
fn session(row: &Row<'_>) -> String {
    match row.status() {
        Some(status) => format!("{} ({})", status.state, status.fsm),
        None if !row.fresh => "stale".into(),
        None => NOTHING.into(),
    }
}

fn side(row: &Row<'_>, of: fn(crate::domain::verdict::Evidence) -> Side) -> String {
    row.verdict.map_or_else(|| NOTHING.into(), |verdict| of(verdict.evidence).to_string())
}

/// Whether Cloudflare checks the tunnel, and how often.
fn checks(row: &Row<'_>) -> String {
    let Some(check) = &row.tunnel().health_check else { return NOTHING.into() };
    match (check.enabled, check.rate) {
        (Some(true), Some(rate)) => rate.to_string(),
        (enabled, _) => said(enabled, "on", "off"),
    }
}

fn said(fact: Option<bool>, yes: &str, no: &str) -> String {
    fact.map_or(NOTHING, |fact| if fact { yes } else { no }).to_owned()
}

fn widths(columns: &[Column], texts: &[Vec<String>]) -> Vec<usize> {
    let of_column = |at: usize| texts.iter().map(|row| row[at].width()).max().unwrap_or(0);
    columns.iter().enumerate().map(|(at, column)| of_column(at).max(column.name.width())).collect()
}

/// One line; the first cell in `style`, the last one without blanks behind it.
fn write_line(out: &mut dyn Write, cells: &[&str], widths: &[usize], style: Style) -> io::Result<()> {
    for (at, (cell, width)) in cells.iter().zip(widths).enumerate() {
        let style = if at == 0 { style } else { Style::new() };
        write!(out, "{style}{cell}{style:#}")?;
        if at + 1 < cells.len() {
            write!(out, "{:blanks$}", "", blanks = width - cell.width() + 2)?;
        }
    }
    writeln!(out)
}

const fn style(verdict: Verdict) -> Style {
    let colour = match Concern::of(verdict) {
        Concern::Broken => AnsiColor::Red,
        Concern::Suspect => AnsiColor::Yellow,
        Concern::Unsure => AnsiColor::Cyan,
        Concern::Fine => AnsiColor::Green,
    };
    Style::new().fg_color(Some(anstyle::Color::Ansi(colour)))
}

fn write_summary(snapshot: &Snapshot, below_a_table: bool, out: &mut dyn Write) -> io::Result<()> {
    let summary = snapshot.summary();
    if below_a_table {
        writeln!(out)?;
    }
    let attention = match summary.needing_attention() {
        1 => "1 needs".to_owned(),
        number => format!("{number} need"),
    };
    writeln!(out, "{} tunnels, {attention} attention", summary.tunnels)?;
    for (account, tunnel_type, list) in snapshot.lists() {
        if let Some(sentence) = problem(tunnel_type.dataset(), list) {
            writeln!(out, "account {}: {sentence}", shown(account.as_str()))?;
        }
    }
    Ok(())
}

/// Why a list is not complete.
fn problem(dataset: Dataset, list: &TunnelList) -> Option<String> {
    let rejected: u64 = list.rejected.values().sum();
    match list.status.state {
        PollState::Failed(reason) => Some(format!("{dataset} cannot be read ({reason}): {}", reason.remedy())),
        PollState::Waiting => Some(format!("{dataset} was not read")),
        PollState::Succeeded if rejected > 0 => {
            Some(format!("{rejected} members of {dataset} cannot be read and are left out"))
        }
        PollState::Succeeded => None,
    }
}

#[cfg(test)]
mod tests;
