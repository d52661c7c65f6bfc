//! Access control in front of every page: a rate limit, basic authentication (RFC 7617), and headers added to each
//! response.
//!
//! The rules come from the web configuration file and can change while requests are in progress. Each request is judged
//! by the rules in force when it arrives.
//!
//! Checking a password is slow by design. Checks run on the blocking pool, one at a time, and are completed even if the
//! client disconnects. Correct passwords are cached by a keyed hash, so that only the first scrape waits for the check.
//! An unknown user costs the same time as a known one.

use std::{
    collections::{BTreeMap, HashSet},
    fmt,
    future::Future,
    hash::{BuildHasher as _, RandomState},
    str::FromStr,
    sync::Arc,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bcrypt::HashParts;
use hyper::{
    Request, Response, StatusCode,
    header::{AUTHORIZATION, HeaderMap, HeaderValue, WWW_AUTHENTICATE},
};
use parking_lot::Mutex;
use secrecy::{ExposeSecret as _, SecretString};
use tokio::{
    sync::{Semaphore, watch},
    task,
};

use crate::{
    bucket::{RateLimit, TokenBucket},
    clock,
    server::{Body, internal_error, plain_text},
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
        let now = clock::now().instant;
        if rules.bucket.as_ref().is_some_and(|bucket| bucket.lock().take(now).is_err()) {
            return Some(plain_text(StatusCode::TOO_MANY_REQUESTS, "too many requests; try again later\n"));
        }
        let users = rules.users.as_ref()?;
        let check = match BasicCredentials::from_headers(headers) {
            Some(credentials) => users.check_password(credentials, &self.checks).await,
            None => PasswordCheck::Refused,
        };
        match check {
            PasswordCheck::Accepted => None,
            // The response does not depend on the reason, so that it does not reveal which user names exist.
            PasswordCheck::Refused => {
                let text = "unauthorized; a user name and a password are required\n";
                let mut response = plain_text(StatusCode::UNAUTHORIZED, text);
                response.headers_mut().insert(WWW_AUTHENTICATE, self.challenge.clone());
                Some(response)
            }
            PasswordCheck::Failed => Some(internal_error()),
        }
    }
}

/// A check with cost 16 takes about five seconds. Each further step doubles the time.
const MAX_COST: u32 = 16;

/// Limit of the cache. Only correct passwords are cached, but bcrypt ignores everything beyond 72 bytes, so one user
/// can have many correct passwords.
const MAX_CACHED: usize = 256;

/// A user name and a password as the client sent them. The server limits the size of the header.
#[derive(Debug)]
struct BasicCredentials {
    user: String,
    password: SecretString,
}

impl BasicCredentials {
    /// `None` if the header is missing or malformed.
    fn from_headers(headers: &HeaderMap) -> Option<Self> {
        let (scheme, encoded) = headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
        if !scheme.eq_ignore_ascii_case("basic") {
            return None;
        }
        let decoded = String::from_utf8(STANDARD.decode(encoded.trim()).ok()?).ok()?;
        let (user, password) = decoded.split_once(':')?;
        Some(Self { user: user.to_owned(), password: password.into() })
    }
}

/// A bcrypt hash of a password.
#[derive(Clone)]
pub struct PasswordHash {
    text: SecretString,
    cost: u32,
}

/// The text is not a usable hash. The message never contains the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PasswordHashError {
    #[error("must be a bcrypt hash as printed by `htpasswd -nBC 10 USER`: `$2y$10$` and 53 characters")]
    NoHash,
    #[error("must be a bcrypt hash with a cost of at most {MAX_COST}; a check would take longer than a scrape timeout")]
    Costly,
}

impl FromStr for PasswordHash {
    type Err = PasswordHashError;

    fn from_str(text: &str) -> Result<Self, PasswordHashError> {
        let parts = HashParts::from_str(text).map_err(|_| PasswordHashError::NoHash)?;
        match parts.get_cost() {
            4..=MAX_COST => Ok(Self { text: text.into(), cost: parts.get_cost() }),
            0..4 => Err(PasswordHashError::NoHash),
            _ => Err(PasswordHashError::Costly),
        }
    }
}

impl PasswordHash {
    /// bcrypt ignores everything beyond 72 bytes, here as in other exporters.
    fn matches(&self, password: &SecretString) -> bool {
        bcrypt::verify(password.expose_secret(), self.text.expose_secret()).unwrap_or(false)
    }
}

impl fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PasswordHash(cost {})", self.cost)
    }
}

/// The users that may send requests.
pub struct Users {
    hashes: BTreeMap<String, PasswordHash>,
    /// Checked instead of the hash of an unknown user. No password matches it.
    decoy: PasswordHash,
    cache: Arc<PasswordCache>,
}

/// The result of checking a user name and a password.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum PasswordCheck {
    Accepted,
    Refused,
    /// The check could not be completed.
    Failed,
}

impl Users {
    /// `None` if `hashes` is empty.
    pub fn new(hashes: BTreeMap<String, PasswordHash>) -> Option<Self> {
        let cost = hashes.values().map(|hash| hash.cost).max()?;
        let decoy = PasswordHash { text: format!("$2b${cost:02}${}", ".".repeat(53)).into(), cost };
        Some(Self { hashes, decoy, cache: Arc::default() })
    }

    /// Waits for a permit of `checks` unless the password is cached.
    async fn check_password(&self, credentials: BasicCredentials, checks: &Arc<Semaphore>) -> PasswordCheck {
        let known = self.hashes.get(&credentials.user);
        let hash = known.unwrap_or(&self.decoy).clone();
        let key = self.cache.hash_key(&credentials, &hash);
        if self.cache.contains(key) {
            return PasswordCheck::Accepted;
        }
        let Ok(permit) = Arc::clone(checks).acquire_owned().await else { return PasswordCheck::Failed };
        // Another request of the same user may have been checked in the meantime.
        if self.cache.contains(key) {
            return PasswordCheck::Accepted;
        }
        let (is_known, cache) = (known.is_some(), Arc::clone(&self.cache));
        let checked = task::spawn_blocking(move || {
            let _permit = permit;
            let is_correct = hash.matches(&credentials.password) && is_known;
            if is_correct {
                cache.insert(key);
            }
            is_correct
        });
        match checked.await {
            Ok(true) => PasswordCheck::Accepted,
            Ok(false) => PasswordCheck::Refused,
            Err(_) => PasswordCheck::Failed,
        }
    }
}

impl fmt::Debug for Users {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Users").field("hashes", &self.hashes).finish_non_exhaustive()
    }
}

/// Correct passwords, as keyed hashes of 128 bits. The keys are random and never leave this struct.
#[derive(Default)]
struct PasswordCache {
    keys: [RandomState; 2],
    known: Mutex<HashSet<[u64; 2]>>,
}

impl PasswordCache {
    /// Includes the user's bcrypt hash, so that the old password is not accepted after a change.
    fn hash_key(&self, credentials: &BasicCredentials, hash: &PasswordHash) -> [u64; 2] {
        let content = (&credentials.user, credentials.password.expose_secret(), hash.text.expose_secret());
        [self.keys[0].hash_one(content), self.keys[1].hash_one(content)]
    }

    fn contains(&self, key: [u64; 2]) -> bool {
        self.known.lock().contains(&key)
    }

    fn insert(&self, key: [u64; 2]) {
        let mut known = self.known.lock();
        if known.len() >= MAX_CACHED {
            known.clear();
        }
        known.insert(key);
    }
}

#[cfg(test)]
mod tests {
    mod passwords;
    mod requests;
}
