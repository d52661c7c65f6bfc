//! The file in the state directory, which survives a restart: the addresses that have ever replied, the verdicts, and
//! their last changes.
//!
//! [`StateDirectory`] reads and writes the file, [`Archive`] is its content, and [`StateKeeper`] is the task that keeps
//! both up to date from what the correlation publishes. To store something else, add a section to `format.rs` and to
//! [`Archive`]; older versions ignore sections that they do not know.

mod archive;
mod directory;
mod format;
mod history;
mod keeper;
mod metrics;
mod schedule;
mod text;

pub use self::{
    archive::Archive,
    directory::{StateDirectory, StateDirectoryError, StateProblem, describe},
    keeper::StateKeeper,
    metrics::StateMetrics,
};

#[cfg(test)]
mod tests;
