//! The report: one line per minute, and the soak section of `docs/BENCHMARKS.md`.

use std::{fmt::Write as _, fs, path::Path};

use super::{
    Plan, Record, Result,
    figures::{Figure, median},
};

type Column = fn(&Figure) -> u64;

const DOCUMENT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/BENCHMARKS.md");
const BEGIN: &str = "<!-- soak: begin -->";
const END: &str = "<!-- soak: end -->";

/// Formats the state after `second`.
pub(crate) fn line(second: u64, record: &Record) -> String {
    let Some(figure) = record.figures.0.last() else { return String::new() };
    format!(
        "{:>3} min: {:>4} MB resident, {} file descriptors, {} threads; {} counters, {} tunnels churned, {} reloads{}",
        second / 60 + 1,
        figure.rss_kib / 1024,
        figure.fds,
        figure.threads,
        record.counters.len(),
        record.churned,
        record.reloads,
        if record.broken.is_empty() { "" } else { "; BROKEN" },
    )
}

/// Prints the result and writes it to the document.
pub(crate) fn publish(plan: Plan, record: &Record) -> Result<()> {
    let text = section(plan, record);
    println!("\n{text}");
    let document = fs::read_to_string(Path::new(DOCUMENT)).unwrap_or_default();
    Ok(fs::write(DOCUMENT, replaced(&document, &text))?)
}

fn section(plan: Plan, record: &Record) -> String {
    let (first, last) = record.figures.windows();
    let mut text = format!(
        "{} tunnels for {} minutes: {} scrapes, {} tunnels created and the same number deleted,\n\
         {} API faults, {} reloads.\n\n\
         | | after the warm-up | at the end |\n|---|---|---|\n",
        plan.tunnels, plan.minutes, record.scrapes, record.churned, record.faults, record.reloads
    );
    let rows: [(&str, Column); 3] = [
        ("resident memory, MB", |figure| figure.rss_kib / 1024),
        ("file descriptors", |figure| figure.fds),
        ("threads", |figure| figure.threads),
    ];
    for (name, of) in rows {
        let middle = |window: &[Figure]| median(window.iter().map(of).collect());
        let _ = writeln!(text, "| {name} | {} | {} |", middle(first), middle(last));
    }
    let _ = writeln!(text, "\n{} counters were compared at each scrape.\n{}", record.counters.len(), outcome(record));
    text
}

fn outcome(record: &Record) -> String {
    if record.broken.is_empty() {
        return "No counter decreased or disappeared, no thread panicked, all reloads succeeded.\n\
                Memory grew by less than 5 %, file descriptors and threads did not grow."
            .to_owned();
    }
    let shown: Vec<&str> = record.broken.iter().take(10).map(String::as_str).collect();
    format!("BROKEN ({} times): {}", record.broken.len(), shown.join("; "))
}

/// Returns the document with the soak section replaced, or appended if it has none.
fn replaced(document: &str, section: &str) -> String {
    let section = format!("{BEGIN}\n{section}{END}");
    match (document.split_once(BEGIN), document.split_once(END)) {
        (Some((before, _)), Some((_, after))) => format!("{before}{section}{after}"),
        _ => format!("{document}\n## Soak\n\n{section}\n"),
    }
}
