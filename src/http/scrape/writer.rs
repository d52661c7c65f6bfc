//! Writes a page to bytes, plain or compressed, a piece at a time.

use std::{
    io::{self, Write as _},
    mem,
    sync::Arc,
};

use flate2::{Compression, write::GzEncoder};
use hyper::body::Bytes;

use super::pictures::Held;
use crate::{
    exposition::{Format, Groups, Page},
    http::pieces::Source,
};

/// Bytes of text that are written at once, and sent at once where they are not compressed.
pub(super) const PIECE: usize = 128 * 1024;

/// A row of a family is written whole: this much more than a piece.
const SLACK: usize = 8 * 1024;

/// Pieces of text in one compressed piece, which is a tenth of them or less.
const COMPRESSED_AT_ONCE: usize = 4;

/// A page under way, and what is done to its text. Keeps the picture in its place.
#[derive(Debug)]
pub(super) struct Writer {
    page: Page,
    gzip: Option<Box<Gzip>>,
    _picture: Arc<Held>,
}

#[derive(Debug)]
struct Gzip {
    encoder: GzEncoder<Vec<u8>>,
    /// What is compressed next.
    text: String,
}

impl Writer {
    pub(super) fn new(picture: Arc<Held>, format: Format, groups: Groups, gzip: bool) -> Self {
        let page = Page::new(Arc::clone(picture.picture()), format, groups);
        Self { page, gzip: gzip.then(|| Box::new(Gzip::new())), _picture: picture }
    }
}

impl Source for Writer {
    /// Takes less than a millisecond.
    fn next(&mut self) -> io::Result<(Bytes, bool)> {
        if let Some(gzip) = &mut self.gzip {
            return gzip.next(&mut self.page);
        }
        let mut text = String::with_capacity(PIECE + SLACK);
        let is_end = self.page.fill(&mut text, PIECE);
        Ok((text.into(), is_end))
    }
}

impl Gzip {
    fn new() -> Self {
        Self { encoder: GzEncoder::new(Vec::new(), Compression::fast()), text: String::with_capacity(PIECE + SLACK) }
    }

    fn next(&mut self, page: &mut Page) -> io::Result<(Bytes, bool)> {
        let mut is_end = false;
        for _ in 0..COMPRESSED_AT_ONCE {
            self.text.clear();
            is_end = page.fill(&mut self.text, PIECE);
            self.encoder.write_all(self.text.as_bytes())?;
            if is_end {
                self.encoder.try_finish()?;
                break;
            }
        }
        Ok((mem::take(self.encoder.get_mut()).into(), is_end))
    }
}
