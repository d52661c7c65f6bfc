//! What is said below the table: how each cost grows, and of a figure above its goal, what holds it back and was tried.

use std::fmt::Write as _;

use super::table::Row;

/// From which number of tunnels to which the growth is told.
const FROM: usize = 1_000;
const TO: usize = 10_000;

/// Steeper than a straight line by less than this is noise.
const NOISE: f64 = 1.25;

/// A cost of one line or one echo stays as it is on a straight line; any other grows tenfold.
const OF_ONE: [&str; 3] = [" line", " an echo", "in bodies"];

/// By the beginning of the name of a figure.
const HELD_BACK: [(&str, &str); 4] = [
    ("poll", "At a hundred tunnels, runs differ between 0.3 and 0.6 ms; the goal is that of ten thousand, divided."),
    (
        "CPU an echo",
        "Two thirds of it are the kernel's. On loopback a raw socket also hears every request of its own, which a network would not send \
         back, and so does every other raw socket of the machine. Of the rest, surge-ping asks for the name of its socket at each packet, \
         one system call more. Tried: turns that are close share a wake-up (4 to 13 % less), a session takes the memory of an echo only \
         while one is in flight, link-time optimization (1 %). The compressed scrape every five seconds is 2 µs an echo. \
         The goal was set where `fping` took 34 µs an echo, so that the ratio says more.",
    ),
    (
        "lateness of sends",
        "Turns fall on a grid of 2 ms, and timers fire up to one more late. What is above that waits for a core: a scrape that is written \
         and compressed takes one of two.",
    ),
    (
        "first byte",
        "The picture that a page is written from is one pass over all tunnels, 17 to 28 ms of CPU for ten thousand of them; the rest is \
         waiting for a core. Tried: two threads that do nothing else.",
    ),
];

/// By the beginning of the name of a figure that grows faster than a straight line.
const STEEPER: [(&str, &str); 3] = [
    ("poll", "The same bytes as a bare `serde_json::Value` grow more steeply still."),
    ("page", "Copying the finished lines slows down, too."),
    (
        "picture, per line",
        "The verdict and the probes of each tunnel are looked up in a sorted map, which takes more comparisons the larger it is.",
    ),
];

/// Everything that is to be said of the figures, as text.
pub(crate) fn of(rows: &[Row]) -> String {
    let mut text = growth(rows);
    let mut said: Vec<&str> = Vec::new();
    for row in rows.iter().filter(|row| row.is_above_goal()) {
        let Some((_, sentence)) = HELD_BACK.iter().find(|(beginning, _)| row.what.starts_with(beginning)) else {
            continue;
        };
        if !said.contains(sentence) {
            said.push(sentence);
            let _ = writeln!(text, "\n**{}**, above its goal: {sentence}", row.what);
        }
    }
    text
}

/// How each cost grows with the number of tunnels.
fn growth(rows: &[Row]) -> String {
    let mut text = format!("\n| cost | from {FROM} to {TO} tunnels | a straight line | |\n|---|---:|---:|---|\n");
    let mut told: Vec<&str> = Vec::new();
    for row in rows.iter().filter(|row| row.size == FROM && row.ours > 0.0 && row.what != "echoes") {
        let later = rows
            .iter()
            .find(|later| later.size == TO && later.what == row.what && later.beside_name() == row.beside_name());
        let Some(later) = later.filter(|_| !told.contains(&row.what)) else { continue };
        told.push(row.what);
        let straight = if OF_ONE.iter().any(|end| row.what.contains(end)) { 1.0 } else { 10.0 };
        let factor = later.ours / row.ours;
        let remark = if factor <= straight * NOISE { "" } else { explanation(row.what) };
        let _ = writeln!(text, "| {} | × {factor:.2} | × {straight} | {remark} |", row.what);
    }
    text
}

fn explanation(what: &str) -> &'static str {
    STEEPER.iter().find(|(beginning, _)| what.starts_with(beginning)).map_or("steeper", |(_, why)| why)
}
