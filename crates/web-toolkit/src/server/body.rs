//! What a response carries.

use std::{convert::Infallible, io};

use http_body_util::{BodyExt as _, Full, combinators::UnsyncBoxBody};
use hyper::body::Bytes;

/// A response body: in memory, streamed, or one that breaks off with an error.
pub type Body = UnsyncBoxBody<Bytes, io::Error>;

/// A body that is whole and in memory.
pub fn full(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into()).map_err(|never: Infallible| match never {}).boxed_unsync()
}
