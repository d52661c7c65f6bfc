//! The notes below the table: how each cost grows with the number of tunnels, and why a value misses its goal.

use std::fmt::Write as _;

use super::table::Row;

/// The growth table compares these two numbers of tunnels.
const FROM: usize = 1_000;
const TO: usize = 10_000;

/// Line width of the Markdown documents.
const COLUMNS: usize = 100;

/// Growth up to this factor above linear is noise.
const NOISE: f64 = 1.25;

/// Linear growth leaves the cost per line or per ping constant; any other cost grows tenfold.
const OF_ONE: [&str; 3] = [" line", " per ping", "in body sizes"];

/// Explanations of values above their goal, by the prefix of the row's name.
const HELD_BACK: [(&str, &str); 6] = [
    (
        "poll",
        "The members of a list are found first and parsed afterwards, so that no body can take memory without bound. The goal is \
         older than this second pass.",
    ),
    (
        "resident memory with the edge view",
        "Between polls the heap holds the 4.25 MB of the view, and 10.4 MB at the peak of a poll. glibc keeps the rest for \
         later: with `MALLOC_TRIM_THRESHOLD_=131072` in the environment, the difference is 9.8 MB.",
    ),
    (
        "CPU per ping",
        "Most of it is spent in the kernel: compare with the bare loop. On loopback, a raw socket also filters its own requests, \
         which a network would not return, and so does every other raw socket of the machine. The compressed scrape every five \
         seconds costs 2 µs per ping with 10,000 addresses. The goals were set on a busy machine, where `fping` took 67 to 137 µs; \
         on an idle one it takes 14 to 50 µs.",
    ),
    (
        "mean round-trip time",
        "The packets of one system call share one send time, so that on loopback, where the reply arrives during the call, the last \
         of four appears some microseconds slower than it is.",
    ),
    (
        "send delay",
        "Sends are aligned to a grid of 2 ms, and timers fire up to 1 ms late. Any further delay is the wait for a core: writing and \
         compressing a scrape occupies one of two.",
    ),
    (
        "time to first byte",
        "The snapshot for a page needs one pass over all tunnels, which takes 17 to 28 ms of CPU for 10,000 tunnels. The rest is the wait \
         for a core. Tried: two dedicated threads.",
    ),
];

/// Explanations of costs that grow faster than linearly, by the prefix of the row's name.
const STEEPER: [(&str, &str); 3] = [
    ("poll", "Parsing the same bytes as `serde_json::Value` grows even faster."),
    ("page", "Copying the finished lines slows down as well."),
    (
        "snapshot, per line",
        "The verdict and the probes of each tunnel are looked up in a sorted map, which needs more comparisons as it grows.",
    ),
];

/// Renders all notes as Markdown.
pub(crate) fn of(rows: &[Row]) -> String {
    let mut text = growth(rows);
    let mut written: Vec<&str> = Vec::new();
    for row in rows.iter().filter(|row| row.is_above_goal()) {
        let Some((_, sentence)) = HELD_BACK.iter().find(|(beginning, _)| row.what.starts_with(beginning)) else {
            continue;
        };
        if !written.contains(sentence) {
            written.push(sentence);
            let _ = write!(text, "\n{}", wrapped(&format!("**{}** is above its goal: {sentence}", row.what)));
        }
    }
    text
}

/// Breaks a paragraph into lines of at most [`COLUMNS`] characters.
fn wrapped(paragraph: &str) -> String {
    let (mut text, mut used) = (String::new(), 0);
    for word in paragraph.split(' ') {
        let length = word.chars().count();
        if used > 0 && used + 1 + length > COLUMNS {
            text.push('\n');
            used = 0;
        } else if used > 0 {
            text.push(' ');
            used += 1;
        }
        text.push_str(word);
        used += length;
    }
    text + "\n"
}

/// Renders the table of growth factors.
fn growth(rows: &[Row]) -> String {
    let mut text = format!("\n| cost | from {FROM} to {TO} tunnels | linear growth | |\n|---|---:|---:|---|\n");
    let mut listed: Vec<&str> = Vec::new();
    for row in rows.iter().filter(|row| row.size == FROM && row.ours > 0.0 && row.what != "pings") {
        let later = rows
            .iter()
            .find(|later| later.size == TO && later.what == row.what && later.beside_name() == row.beside_name());
        let Some(later) = later.filter(|_| !listed.contains(&row.what)) else { continue };
        listed.push(row.what);
        let linear = if OF_ONE.iter().any(|end| row.what.contains(end)) { 1.0 } else { 10.0 };
        let factor = later.ours / row.ours;
        let remark = if factor <= linear * NOISE { "" } else { explanation(row.what) };
        let _ = writeln!(text, "| {} | × {factor:.2} | × {linear} | {remark} |", row.what);
    }
    text
}

fn explanation(what: &str) -> &'static str {
    STEEPER.iter().find(|(beginning, _)| what.starts_with(beginning)).map_or("faster than linear", |(_, why)| why)
}
