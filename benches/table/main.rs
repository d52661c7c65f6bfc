//! `make bench`: one table with the cost of each hot path, compared with another tool or a lower bound from the same
//! run.
//!
//! Times are CPU time. Ratios are more meaningful than absolute values, because a noisy machine affects both sides.
//! Times never fail a run. A complete run writes `docs/BENCHMARKS.md`.
//!
//! ```sh
//! cargo bench --bench table                    # everything
//! cargo bench --bench table -- page poll       # selected parts: poll, edge, routes, page, process, probe
//! MTE_BENCH_SECONDS=600 cargo bench --bench table -- probe
//! ```

#![expect(clippy::print_stdout, reason = "a benchmark prints its table")]

mod bare;
mod document;
mod edge;
mod fleet;
mod http;
mod hub;
mod machine;
mod measure;
mod notes;
mod page;
mod poll;
mod probe;
mod process;
mod program;
mod routes;
mod table;

use std::error::Error;

use self::table::Table;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// Numbers of tunnels that each part measures.
const SIZES: [usize; 3] = [100, 1_000, 10_000];

/// A part of the table.
type Part = (&'static str, fn(&mut Table) -> Result<()>);

const PARTS: [Part; 7] = [
    ("poll", poll::measure),
    ("edge", edge::measure),
    ("routes", routes::measure),
    ("page", page::measure),
    ("process", process::measure),
    ("hub", hub::measure),
    ("probe", probe::measure),
];

fn main() -> Result<()> {
    // The library's clock needs a tokio runtime.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let _guard = runtime.enter();
    let asked: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    let mut table = Table::default();
    for (name, measure) in PARTS {
        if asked.is_empty() || asked.iter().any(|part| part == name) {
            measure(&mut table)?;
        }
    }
    let text = format!("{}\n{}{}", machine::describe(), table.markdown(), notes::of(table.rows()));
    println!("\n{text}");
    if asked.is_empty() { document::keep(&text) } else { Ok(()) }
}
