//! The tunnels as a table for a terminal, the most broken first.

mod fit;

use std::io::{self, Write};

use anstyle::{AnsiColor, Color, Style};
use unicode_width::UnicodeWidthStr as _;
use web_toolkit::text::shown;

use self::fit::{GAP, cut, fit};
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

/// What the exit code reports about the matching tunnels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Assessment {
    Well,
    /// A tunnel needs attention, a BGP session is down, or a filter matches nothing.
    Attention,
    /// Something could not be read, so that nothing can be said about all tunnels.
    Unreadable,
}

/// Assesses the matching tunnels. If the filter names a site or words, a tunnel must match them, because a misspelled
/// name must not look like a healthy site.
pub(super) fn assess(snapshot: &Snapshot, filter: &Filter) -> Assessment {
    let is_down = |state| matches!(state, BgpState::Down | BgpState::Establishing);
    let mut datasets = snapshot.datasets().filter(|(_, dataset, _)| !dataset.is_addition());
    let is_read = snapshot.fleet().from_hub.is_none_or(|status| status.state == PollState::Succeeded)
        && datasets.all(|(.., status)| status.state == PollState::Succeeded);
    let needs_attention = Summary::count(snapshot.matching(filter)).needing_attention() > 0
        || snapshot.matching(filter).any(|row| row.status().is_some_and(|status| is_down(status.state)));
    match (is_read, needs_attention || matches_nothing(snapshot, filter)) {
        (false, _) => Assessment::Unreadable,
        (true, true) => Assessment::Attention,
        (true, false) => Assessment::Well,
    }
}

/// Whether the filter names a site or words that no tunnel has, whatever its verdict.
fn matches_nothing(snapshot: &Snapshot, filter: &Filter) -> bool {
    let named = Filter { verdict: None, ..filter.clone() };
    let is_named = filter.site.is_some() || !filter.search.is_empty();
    is_named && snapshot.matching(&named).next().is_none()
}

/// How the table is written.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct TableStyle {
    pub(super) in_colour: bool,
    pub(super) without_headings: bool,
    /// Columns of the terminal; `None` for no limit.
    pub(super) width: Option<usize>,
    /// Maximum number of tunnels; `None` for no limit.
    pub(super) most_rows: Option<usize>,
}

/// Writes the matching tunnels, and an empty line below a table with headings.
pub(super) fn write_table(
    snapshot: &Snapshot,
    filter: &Filter,
    style: TableStyle,
    out: &mut dyn Write,
) -> io::Result<()> {
    let mut rows: Vec<Row<'_>> = snapshot.matching(filter).collect();
    if rows.is_empty() {
        return Ok(());
    }
    Order::Trouble.sort(&mut rows);
    let columns = columns(snapshot, &rows);
    let more = style.most_rows.map_or(0, |most| rows.len().saturating_sub(most));
    rows.truncate(rows.len() - more);
    write_rows(&columns, &rows, style, out)?;
    if more > 0 {
        writeln!(out, "… and {more} more")?;
    }
    if style.without_headings { Ok(()) } else { writeln!(out) }
}

/// Writes one line with the number of matching tunnels, and one line for each list that is incomplete.
pub(super) fn write_summary(snapshot: &Snapshot, filter: &Filter, out: &mut dyn Write) -> io::Result<()> {
    let (unread, lists) = count_lists(snapshot);
    if matches_nothing(snapshot, filter) && unread == 0 {
        let (what, flag) = if filter.search.is_empty() { ("has this site", "site") } else { ("matches", "search") };
        let all = if filter.search.is_empty() { "sites" } else { "tunnels" };
        writeln!(out, "no tunnel {what}; run the command without `--{flag}` to see all {all}")?;
    }
    write_counts(&Summary::count(snapshot.matching(filter)), unread, lists, out)?;
    write_problems(snapshot, out)
}

/// A list that was not read is not an empty one.
fn write_counts(summary: &Summary, unread: usize, lists: usize, out: &mut dyn Write) -> io::Result<()> {
    if summary.tunnels == 0 && unread > 0 && unread == lists {
        return writeln!(out, "could not read the tunnels");
    }
    let attention = match summary.needing_attention() {
        1 => "1 needs".to_owned(),
        number => format!("{number} need"),
    };
    let tunnels = if summary.tunnels == 1 { "tunnel" } else { "tunnels" };
    write!(out, "{} {tunnels}, {attention} attention", summary.tunnels)?;
    if unread > 0 {
        write!(out, "; could not read {unread} of {lists} lists")?;
    }
    writeln!(out)
}

/// How many lists of tunnels were not read, and how many there are; without those that can be switched off. The
/// inventory of a hub counts as one list if it was never read.
fn count_lists(snapshot: &Snapshot) -> (usize, usize) {
    let is_read = |state| state == PollState::Succeeded;
    let lists = snapshot.lists().filter(|(_, tunnel_type, _)| !tunnel_type.dataset().is_addition());
    let states: Vec<PollState> = lists.map(|(.., list)| list.status.state).collect();
    let hub = snapshot.fleet().from_hub.map(|status| status.state);
    let states = if states.is_empty() { hub.into_iter().collect() } else { states };
    (states.iter().filter(|&&state| !is_read(state)).count(), states.len())
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

fn write_rows(columns: &[TableColumn], rows: &[Row<'_>], style: TableStyle, out: &mut dyn Write) -> io::Result<()> {
    let headings = columns.iter().map(|column| column.heading.to_owned()).collect();
    let mut lines: Vec<(Style, Vec<String>)> = Vec::new();
    if !style.without_headings {
        lines.push((Style::new().bold(), headings));
    }
    lines.extend(rows.iter().map(|row| {
        let cells = columns.iter().map(|column| (column.text)(row)).collect();
        (verdict_style(row.verdict()), cells)
    }));
    let width = |index: usize| lines.iter().map(|(_, cells)| cells[index].width()).max().unwrap_or_default();
    let widths: Vec<_> = columns.iter().enumerate().map(|(index, column)| (column.heading, width(index))).collect();
    let widths = fit(&widths, style.width.unwrap_or(usize::MAX));
    for (first_style, cells) in &lines {
        write_line(out, cells, &widths, if style.in_colour { *first_style } else { Style::new() })?;
    }
    Ok(())
}

/// Writes the cells of the columns that have a width: the first one in `style`, and the last one without trailing
/// spaces.
fn write_line(out: &mut dyn Write, cells: &[String], widths: &[Option<usize>], style: Style) -> io::Result<()> {
    let shown: Vec<_> = cells.iter().zip(widths).filter_map(|(cell, width)| Some((cell, (*width)?))).collect();
    for (index, (cell, width)) in shown.iter().enumerate() {
        let style = if index == 0 { style } else { Style::new() };
        let cell = cut(cell, *width);
        write!(out, "{style}{cell}{style:#}")?;
        if index + 1 < shown.len() {
            write!(out, "{:spaces$}", "", spaces = width - cell.width() + GAP)?;
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

/// Writes one line for each list that is incomplete.
fn write_problems(snapshot: &Snapshot, out: &mut dyn Write) -> io::Result<()> {
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
