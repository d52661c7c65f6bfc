//! Access control in front of every page: a rate limit, basic authentication, and headers added to each response.
//!
//! The rules come from the web configuration file and can change while requests are in progress. Each request is judged
//! by the rules in force when it arrives.

mod passwords;

use std::{future::Future, sync::Arc, time::Instant};

use hyper::{
    Request, Response, StatusCode,
    header::{HeaderMap, HeaderValue, WWW_AUTHENTICATE},
};
use parking_lot::Mutex;
use tokio::sync::{Semaphore, watch};

use self::passwords::{BasicCredentials, PasswordCheck};
pub use self::passwords::{PasswordHash, PasswordHashError, Users};
use crate::{
    answer::{internal_error, plain_text},
    bucket::{RateLimit, TokenBucket},
    clock,
    server::Body,
};

/// The paths of the health checks, which an orchestrator requests without credentials.
const HEALTH: [&str; 2] = ["/-/healthy", "/-/ready"];

/// The rules that requests are judged by: users, rate limit and response headers. The default allows every request.
#[derive(Debug, Default)]
pub struct RequestRules {
    users: Option<Users>,
    bucket: Option<Mutex<TokenBucket>>,
    headers: HeaderMap,
}

impl RequestRules {
    pub fn new(users: Option<Users>, rate: Option<RateLimit>, headers: HeaderMap) -> Self {
        Self { users, bucket: rate.map(|limit| Mutex::new(TokenBucket::new(limit))), headers }
    }

    /// `None` if requests need no password.
    pub fn users(&self) -> Option<&Users> {
        self.users.as_ref()
    }

    fn take_token(&self, now: Instant) -> bool {
        self.bucket.as_ref().is_none_or(|bucket| bucket.lock().take(now).is_ok())
    }
}

/// Lets requests in. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Guard {
    rules: watch::Receiver<Arc<RequestRules>>,
    challenge: HeaderValue,
    open_health: bool,
    /// Has one permit, because a check costs a tenth of a second of CPU and its client is not yet authenticated.
    checks: Arc<Semaphore>,
}

impl Guard {
    /// Creates a guard that asks for credentials with the challenge `Basic realm=…`. With `open_health`, `/-/healthy`
    /// and `/-/ready` need no credentials and are not rate limited.
    pub fn new(rules: watch::Receiver<Arc<RequestRules>>, challenge: HeaderValue, open_health: bool) -> Self {
        Self { rules, challenge, open_health, checks: Arc::new(Semaphore::new(1)) }
    }

    /// Returns the response of `page`, or 401, 429 or 500 if the request is refused.
    pub async fn respond<B, F>(self, request: Request<B>, page: impl FnOnce(Request<B>) -> F) -> Response<Body>
    where
        F: Future<Output = Response<Body>>,
    {
        let rules = Arc::clone(&self.rules.borrow());
        let is_open = self.open_health && HEALTH.contains(&request.uri().path());
        let refusal = if is_open { None } else { self.refuse_request(&rules, request.headers()).await };
        let mut response = match refusal {
            Some(refusal) => refusal,
            None => page(request).await,
        };
        response.headers_mut().extend(rules.headers.clone());
        response
    }

    async fn refuse_request(&self, rules: &RequestRules, headers: &HeaderMap) -> Option<Response<Body>> {
        if !rules.take_token(clock::now().instant) {
            return Some(plain_text(StatusCode::TOO_MANY_REQUESTS, "too many requests; try again later\n"));
        }
        let users = rules.users.as_ref()?;
        let check = match BasicCredentials::from_headers(headers) {
            Some(credentials) => users.check_password(credentials, &self.checks).await,
            None => PasswordCheck::Refused,
        };
        match check {
            PasswordCheck::Accepted => None,
            PasswordCheck::Refused => Some(self.ask_for_password()),
            PasswordCheck::Failed => Some(internal_error()),
        }
    }

    /// The response does not depend on the reason, so that it does not reveal which user names exist.
    fn ask_for_password(&self) -> Response<Body> {
        let mut response =
            plain_text(StatusCode::UNAUTHORIZED, "unauthorized; a user name and a password are required\n");
        response.headers_mut().insert(WWW_AUTHENTICATE, self.challenge.clone());
        response
    }
}

#[cfg(test)]
mod tests;
