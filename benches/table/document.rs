//! Replaces the section of the table in `docs/BENCHMARKS.md` and keeps the rest of the file.

use std::fs;

use super::Result;

const DOCUMENT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/BENCHMARKS.md");
const BEGIN: &str = "<!-- table: begin -->\n";
const END: &str = "<!-- table: end -->\n";

const PREFACE: &str = "# Benchmarks\n\n\
    `make bench` and `make soak` write this file. Times are CPU time (user and system). Each value is\n\
    compared with another tool or a lower bound, measured in the same run on the same data. Sizes are\n\
    numbers of tunnels.\n\n";

/// Replaces the previous table, or inserts the first one at the top.
pub(crate) fn keep(table: &str) -> Result<()> {
    let document = fs::read_to_string(DOCUMENT).unwrap_or_default();
    let old = document.split_once(BEGIN).and_then(|(before, rest)| Some((before, rest.split_once(END)?.1)));
    let (before, after) = old.unwrap_or((PREFACE, &document));
    Ok(fs::write(DOCUMENT, [before, BEGIN, table, END, after].concat())?)
}
