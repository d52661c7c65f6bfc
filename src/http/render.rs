//! Answers that are written at once, compressed for those who ask.

use std::io::{self, Write};

use flate2::{Compression, write::GzEncoder};
use hyper::body::Bytes;

/// The bytes of an answer, and whether they are compressed.
#[derive(Debug)]
pub(super) struct Rendered {
    pub(super) body: Bytes,
    pub(super) gzip: bool,
}

/// What `write` writes, compressed if `headers` allow it. Only what comes out is kept in memory.
pub(super) fn encode(gzip: bool, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> io::Result<Rendered> {
    let body = if gzip {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        write(&mut encoder)?;
        encoder.finish()?
    } else {
        let mut body = Vec::new();
        write(&mut body)?;
        body
    };
    Ok(Rendered { body: body.into(), gzip })
}
