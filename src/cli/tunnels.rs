//! The tunnels as a table for a terminal, the most broken first.

use std::io::{self, Write};

use anstyle::{AnsiColor, Color, Style};
use unicode_width::UnicodeWidthStr as _;
use web_toolkit::text::shown;

use crate::{
    domain::{
        dataset::{Dataset, PollState},
        inventory::TunnelList,
        label::Label as _,
        tunnel::BgpState,
        verdict::{Evidence, Side, Verdict},
    },
    snapshot::{
        Row, Snapshot,
        rows::{Concern, Filter, Order, Summary},
    },
};

/// Shown in place of an unknown value.
const UNKNOWN: &str = "-";

/// Whether every list was read, and of the matching tunnels no BGP session is down and none needs attention. If the
/// filter names a site, it must have a tunnel, because a misspelled name must not look like a healthy site.
pub(super) fn all_well(snapshot: &Snapshot, filter: &Filter) -> bool {
    let is_down = |state| matches!(state, BgpState::Down | BgpState::Establishing);
    let mut datasets = snapshot.datasets().filter(|(_, dataset, _)| !dataset.is_addition());
    snapshot.fleet().from_hub.is_none_or(|status| status.state == PollState::Succeeded)
        && datasets.all(|(.., status)| status.state == PollState::Succeeded)
        && Summary::count(snapshot.matching(filter)).needing_attention() == 0
        && !snapshot.matching(filter).any(|row| row.status().is_some_and(|status| is_down(status.state)))
        && (filter.site.is_none() || snapshot.matching(filter).next().is_some())
}

/// Writes the table, then one line with the number of tunnels, and one line for each list that is incomplete.
pub(super) fn write_table(
    snapshot: &Snapshot,
    filter: &Filter,
    in_colour: bool,
    out: &mut dyn Write,
) -> io::Result<()> {
    let mut rows: Vec<Row<'_>> = snapshot.matching(filter).collect();
    Order::Trouble.sort(&mut rows);
    if !rows.is_empty() {
        write_rows(&columns(snapshot, &rows), &rows, in_colour, out)?;
        writeln!(out)?;
    }
    if filter.site.is_some() && rows.is_empty() {
        writeln!(out, "no tunnel has this site; run the command without `--site` to see all sites")?;
    }
    write_summary(snapshot, &Summary::count(rows.into_iter()), out)
}

/// A column of the table: its heading, and its text for a tunnel.
struct TableColumn {
    heading: &'static str,
    text: fn(&Row<'_>) -> String,
}

/// The account is shown only if there are several, the site only if a row has one, the observed state only if something
/// is probed, and the state of the edge only if the edge is polled.
fn columns(snapshot: &Snapshot, rows: &[Row<'_>]) -> Vec<TableColumn> {
    let column = |heading, text| TableColumn { heading, text };
    let mut columns = vec![
        column("VERDICT", |row| row.verdict().to_string()),
        column("TUNNEL", |row| shown(&row.tunnel().name).into_owned()),
        column("TYPE", |row| row.tunnel().tunnel_type().to_string()),
    ];
    if snapshot.fleet().accounts.len() > 1 {
        columns.push(column("ACCOUNT", |row| shown(row.account.as_str()).into_owned()));
    }
    if rows.iter().any(|row| row.site().is_some()) {
        columns.push(column("SITE", |row| row.site().map_or_else(|| UNKNOWN.into(), |site| shown(site).into_owned())));
    }
    columns.push(column("BGP", bgp_text));
    columns.push(column("TCP", |row| flag_text(row.status().and_then(|status| status.tcp_established), "yes", "no")));
    if !snapshot.board().sessions.is_empty() {
        columns.push(column("INSIDE", |row| side_text(row, |evidence| evidence.inside)));
        columns.push(column("OUTSIDE", |row| side_text(row, |evidence| evidence.outside)));
    }
    columns.push(column("CHECKS", health_check_text));
    if rows.iter().any(|row| row.edge.is_some()) {
        columns.push(column("EDGE", edge_text));
    }
    columns.push(column("WHY", |row| row.verdict.map_or_else(|| UNKNOWN.into(), |verdict| verdict.why.to_string())));
    columns
}

/// The BGP state, with the state of the session's state machine in parentheses.
fn bgp_text(row: &Row<'_>) -> String {
    match row.status() {
        Some(status) => format!("{} ({})", status.state, status.fsm),
        None if !row.fresh => "stale".into(),
        None => UNKNOWN.into(),
    }
}

fn side_text(row: &Row<'_>, side: fn(Evidence) -> Side) -> String {
    row.verdict.map_or_else(|| UNKNOWN.into(), |verdict| side(verdict.evidence).to_string())
}

/// The rate of Cloudflare's health checks, or whether they are enabled.
fn health_check_text(row: &Row<'_>) -> String {
    let Some(check) = &row.tunnel().health_check else { return UNKNOWN.into() };
    match (check.enabled, check.rate) {
        (Some(true), Some(rate)) => rate.to_string(),
        (enabled, _) => flag_text(enabled, "on", "off"),
    }
}

/// The state of the tunnel in Cloudflare's health checks, with the share of those that passed.
fn edge_text(row: &Row<'_>) -> String {
    let Some((health, _)) = row.edge_health() else { return UNKNOWN.into() };
    let state = health.state.map_or(UNKNOWN, |state| state.as_str());
    match health.checks.and_then(|checks| checks.pass_ratio()) {
        Some(ratio) => format!("{state} ({:.0} %)", 100.0 * ratio),
        None => state.into(),
    }
}

fn flag_text(flag: Option<bool>, yes: &str, no: &str) -> String {
    flag.map_or(UNKNOWN, |flag| if flag { yes } else { no }).to_owned()
}

fn write_rows(columns: &[TableColumn], rows: &[Row<'_>], in_colour: bool, out: &mut dyn Write) -> io::Result<()> {
    let header = columns.iter().map(|column| column.heading.to_owned()).collect();
    let mut lines: Vec<(Style, Vec<String>)> = vec![(Style::new().bold(), header)];
    lines.extend(rows.iter().map(|row| {
        let cells = columns.iter().map(|column| (column.text)(row)).collect();
        (verdict_style(row.verdict()), cells)
    }));
    let width = |index: usize| lines.iter().map(|(_, cells)| cells[index].width()).max().unwrap_or_default();
    let widths: Vec<usize> = (0..columns.len()).map(width).collect();
    for (style, cells) in &lines {
        write_line(out, cells, &widths, if in_colour { *style } else { Style::new() })?;
    }
    Ok(())
}

/// Writes the first cell in `style`, and the last one without trailing spaces.
fn write_line(out: &mut dyn Write, cells: &[String], widths: &[usize], first_style: Style) -> io::Result<()> {
    for (index, (cell, width)) in cells.iter().zip(widths).enumerate() {
        let style = if index == 0 { first_style } else { Style::new() };
        write!(out, "{style}{cell}{style:#}")?;
        if index + 1 < cells.len() {
            write!(out, "{:spaces$}", "", spaces = width - cell.width() + 2)?;
        }
    }
    writeln!(out)
}

const fn verdict_style(verdict: Verdict) -> Style {
    let colour = match Concern::of(verdict) {
        Concern::Broken => AnsiColor::Red,
        Concern::Suspect => AnsiColor::Yellow,
        Concern::Unsure => AnsiColor::Cyan,
        Concern::Fine => AnsiColor::Green,
    };
    Style::new().fg_color(Some(Color::Ansi(colour)))
}

fn write_summary(snapshot: &Snapshot, summary: &Summary, out: &mut dyn Write) -> io::Result<()> {
    let attention = match summary.needing_attention() {
        1 => "1 needs".to_owned(),
        number => format!("{number} need"),
    };
    writeln!(out, "{} tunnels, {attention} attention", summary.tunnels)?;
    if let Some(PollState::Failed(reason)) = snapshot.fleet().from_hub.map(|status| status.state) {
        writeln!(out, "the inventory cannot be read from a hub ({reason}); run `check` with the same flags")?;
    }
    for (account, tunnel_type, list) in snapshot.lists() {
        if let Some(problem) = list_problem(tunnel_type.dataset(), list) {
            writeln!(out, "account {}: {problem}", shown(account.as_str()))?;
        }
    }
    for (account, dataset, status) in snapshot.datasets().filter(|(_, dataset, _)| dataset.is_edge()) {
        if let Some(problem) = poll_problem(dataset, status.state) {
            writeln!(out, "account {}: {problem}", shown(account.as_str()))?;
        }
    }
    Ok(())
}

/// Why the newest poll provides nothing.
fn poll_problem(dataset: Dataset, state: PollState) -> Option<String> {
    match state {
        PollState::Failed(reason) => Some(format!("{dataset} cannot be read ({reason}): {}", dataset.remedy(reason))),
        PollState::Waiting => Some(format!("{dataset} was not polled")),
        PollState::Succeeded => None,
    }
}

/// Why a list is incomplete; `None` if it is complete.
fn list_problem(dataset: Dataset, list: &TunnelList) -> Option<String> {
    poll_problem(dataset, list.status.state).or_else(|| {
        let rejected = list.rejected.total();
        (rejected > 0).then(|| format!("{rejected} entries of {dataset} cannot be decoded and are omitted"))
    })
}

#[cfg(test)]
mod tests;
