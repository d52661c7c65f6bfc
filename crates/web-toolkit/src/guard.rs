//! What stands before every page: how often one may ask, a name and a password, and headers that are added to each answer.
//!
//! The rules come from the web configuration file and may change while requests are under way; each request is judged by those that
//! are in force when it comes.

mod basic;
mod passwords;
mod rate;
mod rules;

use std::{future::Future, sync::Arc};

use hyper::{
    Request, Response, StatusCode,
    header::{HeaderMap, HeaderValue, WWW_AUTHENTICATE},
};
use tokio::sync::{Semaphore, watch};

use self::passwords::Verdict;
pub use self::{
    passwords::{Hash, HashError, Users},
    rate::Rate,
    rules::Rules,
};
use super::answer::{failed, text};
use crate::{clock, server::Body};

/// Answered without a password where that is wished, so that an orchestrator needs none.
const HEALTH: [&str; 2] = ["/-/healthy", "/-/ready"];

/// Lets requests in. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Guard {
    rules: watch::Receiver<Arc<Rules>>,
    open_health: bool,
    /// One at a time: a check takes a tenth of a second of CPU, and whoever asks has proved nothing yet.
    checks: Arc<Semaphore>,
}

impl Guard {
    /// With `open_health`, `/-/healthy` and `/-/ready` are answered to everybody, at any rate.
    pub fn new(rules: watch::Receiver<Arc<Rules>>, open_health: bool) -> Self {
        Self { rules, open_health, checks: Arc::new(Semaphore::new(1)) }
    }

    /// The answer of `page`, or why there is none.
    pub async fn respond<B, F>(self, request: Request<B>, page: impl FnOnce(Request<B>) -> F) -> Response<Body>
    where
        F: Future<Output = Response<Body>>,
    {
        let rules = Arc::clone(&self.rules.borrow());
        let open = self.open_health && HEALTH.contains(&request.uri().path());
        let refused = if open { None } else { self.refuse(&rules, request.headers()).await };
        let mut response = match refused {
            Some(refusal) => refusal,
            None => page(request).await,
        };
        response.headers_mut().extend(rules.headers().clone());
        response
    }

    async fn refuse(&self, rules: &Rules, headers: &HeaderMap) -> Option<Response<Body>> {
        if !rules.allows_one_more(clock::now().instant) {
            return Some(text(StatusCode::TOO_MANY_REQUESTS, "Too many requests; ask again in a moment\n"));
        }
        let users = rules.users()?;
        let verdict = match basic::credentials(headers) {
            Some(credentials) => users.check(credentials, &self.checks).await,
            None => Verdict::Refused,
        };
        match verdict {
            Verdict::Accepted => None,
            Verdict::Refused => Some(unauthorized()),
            Verdict::Failed => Some(failed()),
        }
    }
}

/// The same for every reason, so that nobody learns which names there are.
fn unauthorized() -> Response<Body> {
    let mut response = text(StatusCode::UNAUTHORIZED, "A user name and its password are needed\n");
    let challenge = HeaderValue::from_static("Basic realm=\"magic-tunnel-exporter\", charset=\"UTF-8\"");
    response.headers_mut().insert(WWW_AUTHENTICATE, challenge);
    response
}

#[cfg(test)]
mod tests;
