//! Access control in front of every page: a rate limit, basic authentication (RFC 7617), and headers added to each
//! response.
//!
//! The rules come from the web configuration file and can change while requests are in progress. Each request is judged
//! by the rules in force when it arrives. [`crate::passwords`] checks passwords.

use std::{future::Future, sync::Arc};

use hyper::{
    Request, Response, StatusCode,
    header::{HeaderMap, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE},
};
use parking_lot::Mutex;
use tokio::sync::watch;

use crate::{
    bucket::{RateLimit, TokenBucket},
    clock,
    passwords::{BasicCredentials, PasswordCheck, PasswordChecker, Users},
    requester::Requester,
    server::{Body, Peer, internal_error, plain_text},
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
}

/// Lets requests in. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Guard {
    rules: watch::Receiver<Arc<RequestRules>>,
    challenge: HeaderValue,
    open_health: bool,
    passwords: PasswordChecker,
}

impl Guard {
    /// Creates a guard that asks for credentials with the challenge `Basic realm=…`. With `open_health`, `/-/healthy`
    /// and `/-/ready` need no credentials and are not rate limited.
    pub fn new(rules: watch::Receiver<Arc<RequestRules>>, challenge: HeaderValue, open_health: bool) -> Self {
        Self { rules, challenge, open_health, passwords: PasswordChecker::default() }
    }

    /// Returns the response of `page`, or 401, 429, 500 or 503 if the request is refused.
    pub async fn respond<B, F>(self, mut request: Request<B>, page: impl FnOnce(Request<B>) -> F) -> Response<Body>
    where
        F: Future<Output = Response<Body>>,
    {
        let rules = Arc::clone(&self.rules.borrow());
        let is_open = self.open_health && HEALTH.contains(&request.uri().path());
        let admitted = if is_open { Ok(None) } else { self.admit_request(&rules, &request).await };
        let mut response = match admitted {
            Err(refusal) => *refusal,
            Ok(user) => {
                request.extensions_mut().get_or_insert_default::<Requester>().user = user;
                page(request).await
            }
        };
        response.headers_mut().extend(rules.headers.clone());
        response
    }

    /// Returns the user that sent the request, if users are configured, or the refusal.
    async fn admit_request<B>(
        &self,
        rules: &RequestRules,
        request: &Request<B>,
    ) -> Result<Option<Arc<str>>, Box<Response<Body>>> {
        let now = clock::now().instant;
        if rules.bucket.as_ref().is_some_and(|bucket| bucket.lock().take(now).is_err()) {
            let text = "too many requests; try again later\n";
            return Err(Box::new(plain_text(StatusCode::TOO_MANY_REQUESTS, text)));
        }
        let Some(users) = &rules.users else { return Ok(None) };
        let peer = request.extensions().get::<Peer>().copied().unwrap_or_default();
        let Some(credentials) = BasicCredentials::from_headers(request.headers()) else {
            return Err(Box::new(self.refusal(PasswordCheck::Refused)));
        };
        let user = Arc::from(credentials.user());
        match self.passwords.check(users, credentials, peer).await {
            PasswordCheck::Accepted => Ok(Some(user)),
            refused => Err(Box::new(self.refusal(refused))),
        }
    }

    fn refusal(&self, check: PasswordCheck) -> Response<Body> {
        match check {
            PasswordCheck::Busy => {
                let text = "too many passwords are being checked; try again later\n";
                let mut response = plain_text(StatusCode::SERVICE_UNAVAILABLE, text);
                response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
                response
            }
            // The response does not depend on the reason, so that it does not reveal which user names exist.
            PasswordCheck::Refused => {
                let text = "unauthorized; a user name and a password are required\n";
                let mut response = plain_text(StatusCode::UNAUTHORIZED, text);
                response.headers_mut().insert(WWW_AUTHENTICATE, self.challenge.clone());
                response
            }
            PasswordCheck::Failed | PasswordCheck::Accepted => internal_error(),
        }
    }
}

#[cfg(test)]
mod tests;
