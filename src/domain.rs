//! What the program talks about: tunnels, sessions, probes, and what is known of them.
//!
//! Plain values without I/O. Nothing here knows JSON, sockets, clocks or metrics: the client decodes into these types, the
//! prober and the poller fill them with time, and the exposition only formats them.

pub mod bgp;
pub mod dataset;

pub mod health_check;

pub mod inventory;
pub mod label;
pub mod probe;
pub mod pulse;
pub mod rules;
pub mod selector;

pub mod tunnel;
pub mod verdict;

#[cfg(test)]
pub(crate) mod fixtures;
