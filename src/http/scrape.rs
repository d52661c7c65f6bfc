//! The answer to a scrape: the page in the format and the coding that the client reads best.
//!
//! A page may have hundreds of megabytes. It is written piece by piece on threads of its own, the next piece when the client has taken
//! the one before, so that neither a crowd of scrapers nor a slow one takes the memory or the threads of everything else.

mod chosen;
mod pictures;
mod writer;

use std::sync::Arc;

use http_body_util::BodyExt as _;
use hyper::{
    HeaderMap, Response, StatusCode,
    body::Bytes,
    header::{CONTENT_ENCODING, HeaderValue, VARY},
};
use web_toolkit::{
    answer::{answer, internal_error, plain_text},
    server::Body,
};

use self::{pictures::Pictures, writer::Writer};
use super::{negotiate, pieces::Pieces, threads::Threads};
use crate::exposition::Exposition;

/// Answers scrapes.
#[derive(Debug)]
pub(super) struct Scrape {
    pictures: Pictures,
    threads: Arc<Threads>,
}

impl Scrape {
    pub(super) fn new(exposition: Exposition, threads: Arc<Threads>) -> Self {
        Self { pictures: Pictures::new(exposition, Arc::clone(&threads)), threads }
    }

    /// The page of the groups that `query` chooses.
    pub(super) async fn respond(&self, headers: &HeaderMap, query: &str) -> Response<Body> {
        let groups = match chosen::groups(query) {
            Ok(groups) => groups,
            Err(sentence) => return plain_text(StatusCode::BAD_REQUEST, format!("{sentence}\n")),
        };
        let format = negotiate::format(headers);
        let gzip = negotiate::gzip(headers);
        let Ok(picture) = self.pictures.newest().await else { return internal_error() };
        let writer = Writer::new(picture, format, groups, gzip);
        let Ok(pieces) = Pieces::begin(writer, Arc::clone(&self.threads)).await else { return internal_error() };
        let mut response = answer(StatusCode::OK, format.content_type(), Bytes::new()).map(|_| pieces.boxed_unsync());
        let headers = response.headers_mut();
        headers.insert(VARY, HeaderValue::from_static("Accept, Accept-Encoding"));
        if gzip {
            headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
        response
    }
}

#[cfg(test)]
mod tests;
