//! What programs read: every tunnel as JSON, and the probe targets for Prometheus.
//!
//! Described field by field in docs/API.md, which a test holds against the answers. What is not known is left out: absent is not zero.

mod collection;
mod listing;
mod targets;
mod tunnel;

use std::io::{self, Write};

use serde::Serialize;

pub(super) use self::listing::{Listing, Subject};
use self::tunnel::Tunnel;
use super::pieces::Source as _;
use crate::{
    domain::inventory::TunnelKey,
    snapshot::{Snapshot, filter::Filter},
};

/// Writes the tunnels that pass the filter, as `GET /api/v1/tunnels` answers.
pub fn tunnels(snapshot: &Snapshot, filter: &Filter, out: &mut dyn Write) -> io::Result<()> {
    let mut listing = Listing::new(snapshot.clone(), filter.clone(), Subject::Tunnels, false);
    loop {
        let (piece, is_end) = listing.next()?;
        out.write_all(&piece)?;
        if is_end {
            return Ok(());
        }
    }
}

/// Writes one tunnel; says whether there is such a tunnel.
pub(super) fn tunnel(snapshot: &Snapshot, key: &TunnelKey, out: &mut dyn Write) -> io::Result<bool> {
    let Some(row) = snapshot.row(key) else { return Ok(false) };
    write(&Tunnel::new(&row), out)?;
    Ok(true)
}

/// A query that cannot be read.
pub(super) fn refusal(sentence: &str, out: &mut dyn Write) -> io::Result<()> {
    #[derive(Serialize)]
    struct Refusal<'a> {
        error: &'a str,
    }
    write(&Refusal { error: sentence }, out)
}

fn write(answer: &impl Serialize, out: &mut dyn Write) -> io::Result<()> {
    serde_json::to_writer(&mut *out, answer)?;
    out.write_all(b"\n")
}

#[cfg(test)]
mod tests;
