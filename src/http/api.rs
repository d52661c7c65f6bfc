//! What programs read: every tunnel as JSON, and the probe targets for Prometheus.
//!
//! Described field by field in docs/API.md, which a test holds against the answers. What is not known is left out: absent is not zero.

mod collection;
mod targets;
mod tunnel;

use std::io::{self, Write};

use serde::Serialize;

use self::{collection::Collection, targets::group, tunnel::Tunnel};
use crate::{
    domain::board::TunnelKey,
    overview::{Picture, filter::Filter},
    prober::{plan::Plan, settings::Settings},
};

/// `GET /api/v1/tunnels`.
#[derive(Debug, Serialize)]
struct Answer<'a> {
    time: String,
    collections: Vec<Collection<'a>>,
    tunnels: Vec<Tunnel<'a>>,
}

/// Writes the tunnels that pass the filter, as `GET /api/v1/tunnels` answers.
pub fn tunnels(picture: &Picture, filter: &Filter, out: &mut dyn Write) -> io::Result<()> {
    let answer = Answer {
        time: picture.now.wall.to_string(),
        collections: picture
            .collections()
            .map(|(account, name, c)| Collection::new(picture, account, name, c))
            .collect(),
        tunnels: picture.rows(filter).map(|row| Tunnel::new(&row)).collect(),
    };
    write(&answer, out)
}

/// Writes one tunnel; says whether there is such a tunnel.
pub(super) fn tunnel(picture: &Picture, key: &TunnelKey, out: &mut dyn Write) -> io::Result<bool> {
    let Some(row) = picture.row(key) else { return Ok(false) };
    write(&Tunnel::new(&row), out)?;
    Ok(true)
}

/// Writes what would be probed if probing were switched on, for Prometheus to discover (`http_sd`): a bare list.
pub(super) fn targets(picture: &Picture, filter: &Filter, settings: &Settings, out: &mut dyn Write) -> io::Result<()> {
    let plan = Plan::draw(&picture.fleet, settings);
    let groups = picture.rows(filter).filter_map(|row| {
        let planned = plan.tunnels.get(&TunnelKey::of(row.account, row.tunnel()))?;
        Some(planned.targets.iter().map(move |(target, session)| group(&row, planned.vantage, *target, session)))
    });
    write(&groups.flatten().collect::<Vec<_>>(), out)
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
