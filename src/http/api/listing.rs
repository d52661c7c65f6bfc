//! A list of many tunnels as JSON, written some tunnels at a time: whole it may have tens of megabytes.

use std::{
    io::{self, BufWriter, Write},
    mem,
};

use flate2::{Compression, write::GzEncoder};
use hyper::body::Bytes;
use serde::Serialize;

use super::{collection::Collection, targets::group, tunnel::Tunnel};
use crate::{
    http::pieces::Source,
    prober::plan::Plan,
    snapshot::{Row, RowPosition, Snapshot, filter::Filter},
};

/// What is told of each tunnel.
#[derive(Debug)]
pub(in crate::http) enum Subject {
    /// All that is known.
    Tunnels,
    /// The addresses to probe.
    Targets,
}

impl Subject {
    /// Tunnels looked at for one piece. A plan is drawn for each piece anew: kept, one for each client, it would take more memory.
    const fn step(&self) -> usize {
        match self {
            Self::Tunnels => 250,
            Self::Targets => 2_500,
        }
    }
}

/// An answer under way.
#[derive(Debug)]
pub(in crate::http) struct Listing {
    snapshot: Snapshot,
    filter: Filter,
    subject: Subject,
    place: RowPosition,
    out: Out,
    began: bool,
    /// Whether a member was written, so that the next one needs a comma.
    follows: bool,
}

/// Bytes on their way, compressed for those who ask.
#[derive(Debug)]
enum Out {
    Plain(Vec<u8>),
    Gzip(Box<GzEncoder<Vec<u8>>>),
}

impl Listing {
    pub(in crate::http) fn new(snapshot: Snapshot, filter: Filter, subject: Subject, gzip: bool) -> Self {
        let out = if gzip {
            Out::Gzip(Box::new(GzEncoder::new(Vec::new(), Compression::fast())))
        } else {
            Out::Plain(Vec::new())
        };
        Self { snapshot, filter, subject, place: RowPosition::default(), out, began: false, follows: false }
    }

    /// Writes the members of one piece; says whether they were the last.
    fn members(&mut self, out: &mut impl Write) -> io::Result<bool> {
        let Self { snapshot, filter, subject, place, follows, .. } = self;
        let plan = match subject {
            Subject::Tunnels => None,
            Subject::Targets => Some(Plan::draw(snapshot.fleet(), &snapshot.board().settings)),
        };
        let mut seen = 0;
        for (next, row) in snapshot.rows_from(*place).take(subject.step()) {
            (seen, *place) = (seen + 1, next);
            if filter.matches(&row) {
                match &plan {
                    None => member(out, follows, &Tunnel::new(&row))?,
                    Some(plan) => targets(out, follows, plan, &row)?,
                }
            }
        }
        Ok(seen < subject.step())
    }

    fn piece(&mut self, out: &mut impl Write) -> io::Result<bool> {
        if !mem::replace(&mut self.began, true) {
            self.open(out)?;
        }
        let is_end = self.members(out)?;
        if is_end {
            out.write_all(if matches!(self.subject, Subject::Tunnels) { b"]}\n" } else { b"]\n" })?;
        }
        Ok(is_end)
    }

    fn open(&self, out: &mut impl Write) -> io::Result<()> {
        let Self { snapshot, subject: Subject::Tunnels, .. } = self else { return out.write_all(b"[") };
        let lists = snapshot.lists();
        let collections: Vec<_> =
            lists.map(|(account, tunnel_type, list)| Collection::new(snapshot, account, tunnel_type, list)).collect();
        write!(out, "{{\"time\":\"{}\",\"collections\":", snapshot.now.wall)?;
        serde_json::to_writer(&mut *out, &collections)?;
        out.write_all(b",\"tunnels\":[")
    }
}

impl Source for Listing {
    fn next(&mut self) -> io::Result<(Bytes, bool)> {
        match mem::replace(&mut self.out, Out::Plain(Vec::new())) {
            Out::Plain(mut bytes) => {
                let is_end = self.piece(&mut bytes)?;
                Ok((bytes.into(), is_end))
            }
            Out::Gzip(mut encoder) => {
                // The encoder is slow with small bites.
                let mut buffered = BufWriter::with_capacity(64 * 1024, &mut *encoder);
                let is_end = self.piece(&mut buffered)?;
                buffered.flush()?;
                drop(buffered);
                if is_end {
                    encoder.try_finish()?;
                }
                let bytes = mem::take(encoder.get_mut());
                self.out = Out::Gzip(encoder);
                Ok((bytes.into(), is_end))
            }
        }
    }
}

fn targets(out: &mut impl Write, follows: &mut bool, plan: &Plan, row: &Row<'_>) -> io::Result<()> {
    let Some(planned) = plan.tunnels.get(&row.key) else { return Ok(()) };
    let mut groups = planned.targets.iter().map(|(target, session)| group(row, planned.vantage, *target, session));
    groups.try_for_each(|group| member(out, follows, &group))
}

fn member(out: &mut impl Write, follows: &mut bool, member: &impl Serialize) -> io::Result<()> {
    if mem::replace(follows, true) {
        out.write_all(b",")?;
    }
    Ok(serde_json::to_writer(out, member)?)
}
