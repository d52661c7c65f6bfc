//! The vocabulary of the program: tunnels, probes, datasets, edge data and verdicts.
//!
//! Plain values without I/O, JSON, sockets, clocks or metrics. The API client decodes into these types, the poller and
//! the prober fill them, and everything else reads them.

pub mod dataset;
pub mod edge;
pub mod findings;
pub mod grants;
pub mod inventory;
pub mod label;
pub mod past;
pub mod peer;
pub mod probe;
pub mod pulse;
pub mod routes;
pub mod rules;
pub mod sites;
pub mod steering;
pub mod token;
pub mod tunnel;
pub mod verdict;
pub mod verdict_history;

#[cfg(test)]
pub(crate) mod fixtures;
