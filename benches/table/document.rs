//! The part of `docs/BENCHMARKS.md` that is the table's own; what others wrote there stays.

use std::fs;

use super::Result;

const DOCUMENT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/BENCHMARKS.md");
const BEGIN: &str = "<!-- table: begin -->\n";
const END: &str = "<!-- table: end -->\n";

const PREFACE: &str = "# Benchmarks\n\n\
    Written by `make bench` and `make soak`. Times are CPU time, user and system; every figure stands beside a peer or a floor that was\n\
    measured in the same run on the same data. Sizes are tunnels.\n\n";

/// Puts the table where the last one was, or in front of everything.
pub(crate) fn keep(table: &str) -> Result<()> {
    let document = fs::read_to_string(DOCUMENT).unwrap_or_default();
    let old = document.split_once(BEGIN).and_then(|(before, rest)| Some((before, rest.split_once(END)?.1)));
    let (before, after) = old.unwrap_or((PREFACE, &document));
    Ok(fs::write(DOCUMENT, [before, BEGIN, table, END, after].concat())?)
}
