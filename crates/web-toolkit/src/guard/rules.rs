//! The rules of the web configuration file that concern requests.

use std::time::Instant;

use hyper::header::HeaderMap;

use super::{
    passwords::Users,
    rate::{Bucket, Rate},
};

/// Who may ask, how often, and what is added to the answers. Without rules everybody may, at any rate.
#[derive(Debug, Default)]
pub struct Rules {
    users: Option<Users>,
    bucket: Option<Bucket>,
    headers: HeaderMap,
}

impl Rules {
    pub fn new(users: Option<Users>, rate: Option<Rate>, headers: HeaderMap) -> Self {
        Self { users, bucket: rate.map(Bucket::new), headers }
    }

    /// `None` where no password is asked for.
    pub fn users(&self) -> Option<&Users> {
        self.users.as_ref()
    }

    pub(super) fn allows_one_more(&self, now: Instant) -> bool {
        self.bucket.as_ref().is_none_or(|bucket| bucket.take(now))
    }

    pub(super) fn headers(&self) -> &HeaderMap {
        &self.headers
    }
}
