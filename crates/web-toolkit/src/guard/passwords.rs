//! Users, the bcrypt hashes of their passwords, and the basic authentication header (RFC 7617).
//!
//! Checking a password is slow by design. Checks run on the blocking pool, one at a time, and are completed even if the
//! client disconnects. Correct passwords are cached by a keyed hash, so that only the first scrape waits for the check.
//! An unknown user costs the same time as a known one.

use std::{
    collections::{BTreeMap, HashSet},
    fmt,
    hash::{BuildHasher as _, RandomState},
    str::FromStr,
    sync::Arc,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bcrypt::HashParts;
use hyper::header::{AUTHORIZATION, HeaderMap};
use parking_lot::Mutex;
use secrecy::{ExposeSecret as _, SecretString};
use tokio::{sync::Semaphore, task};

/// A check with cost 16 takes about five seconds. Each further step doubles the time.
const MAX_COST: u32 = 16;

/// Limit of the cache. Only correct passwords are cached, but bcrypt ignores everything beyond 72 bytes, so one user
/// can have many correct passwords.
const MAX_CACHED: usize = 256;

/// A user name and a password as the client sent them. The server limits the size of the header.
#[derive(Debug)]
pub(super) struct BasicCredentials {
    user: String,
    password: SecretString,
}

impl BasicCredentials {
    /// `None` if the header is missing or malformed.
    pub(super) fn from_headers(headers: &HeaderMap) -> Option<Self> {
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
pub(super) enum PasswordCheck {
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
    pub(super) async fn check_password(&self, credentials: BasicCredentials, checks: &Arc<Semaphore>) -> PasswordCheck {
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
    use std::{future::poll_fn, task::Poll};

    use hyper::header::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    const COST: u32 = 4;

    fn hash(password: &str) -> PasswordHash {
        bcrypt::hash(password, COST).unwrap().parse().unwrap()
    }

    fn users(list: &[(&str, &str)]) -> Users {
        Users::new(list.iter().map(|(user, password)| ((*user).to_owned(), hash(password))).collect()).unwrap()
    }

    fn credentials(user: &str, password: &str) -> BasicCredentials {
        BasicCredentials { user: user.to_owned(), password: password.into() }
    }

    async fn check(users: &Users, user: &str, password: &str) -> PasswordCheck {
        users.check_password(credentials(user, password), &Arc::new(Semaphore::new(1))).await
    }

    #[tokio::test]
    async fn only_the_right_password_of_the_right_user_is_accepted() {
        use PasswordCheck::{Accepted, Refused};
        let users = users(&[("alice", "wonder"), ("bob", "builder"), ("empty", "")]);
        let table = [
            ("alice", "wonder", Accepted),
            ("alice", "wonder", Accepted),
            ("alice", "wonde", Refused),
            ("alice", "wonder ", Refused),
            ("alice", "builder", Refused),
            ("alice", "", Refused),
            ("bob", "builder", Accepted),
            ("Bob", "builder", Refused),
            ("", "", Refused),
            ("empty", "", Accepted),
            ("mallory", "wonder", Refused),
        ];
        for (user, password, expected) in table {
            assert_eq!(check(&users, user, password).await, expected, "{user}:{password}");
        }
    }

    #[tokio::test]
    async fn a_password_is_compared_up_to_72_bytes_as_in_other_exporters() {
        let long = "x".repeat(72);
        let users = users(&[("alice", &long)]);
        assert_eq!(check(&users, "alice", &format!("{long}tail")).await, PasswordCheck::Accepted);
        assert_eq!(check(&users, "alice", &long[..71]).await, PasswordCheck::Refused);
        assert_eq!(check(&users, "alice", &"y".repeat(1 << 20)).await, PasswordCheck::Refused);
    }

    #[tokio::test]
    async fn a_cached_password_needs_no_check_and_the_cache_is_bounded() {
        let users = users(&[("alice", "wonder")]);
        assert_eq!(check(&users, "alice", "wonder").await, PasswordCheck::Accepted);
        let full = Arc::new(Semaphore::new(0));
        assert_eq!(
            users.check_password(credentials("alice", "wonder"), &full).await,
            PasswordCheck::Accepted,
            "no permit is needed"
        );
        full.close();
        assert_eq!(
            users.check_password(credentials("alice", "wrong"), &full).await,
            PasswordCheck::Failed,
            "a wrong password is not cached"
        );
        for n in 0..1000 {
            users.cache.insert([n, n]);
        }
        assert!(users.cache.known.lock().len() <= MAX_CACHED);
    }

    #[tokio::test]
    async fn a_check_is_completed_and_cached_after_the_client_disconnects() {
        let users = users(&[("alice", "wonder")]);
        let checks = Arc::new(Semaphore::new(1));
        // Polled once, so that it starts, then dropped, as when the client disconnects.
        let mut disconnected = Box::pin(users.check_password(credentials("alice", "wonder"), &checks));
        poll_fn(|cx| Poll::Ready(disconnected.as_mut().poll(cx).is_pending())).await;
        drop(disconnected);
        let _all_done = checks.acquire().await.unwrap();
        assert!(users.cache.contains(users.cache.hash_key(&credentials("alice", "wonder"), &users.hashes["alice"])));
    }

    #[test]
    fn the_old_password_is_not_accepted_after_a_change() {
        let users = users(&[("alice", "wonder")]);
        let alice = credentials("alice", "wonder");
        let old = users.cache.hash_key(&alice, &users.hashes["alice"]);
        assert_eq!(old, users.cache.hash_key(&alice, &users.hashes["alice"]));
        assert_ne!(old, users.cache.hash_key(&alice, &hash("wonder")), "the same password under another salt");
    }

    #[test]
    fn an_unknown_user_costs_as_much_as_the_known_user_with_the_highest_cost() {
        let costly: PasswordHash = bcrypt::hash("x", 6).unwrap().parse().unwrap();
        let users = Users::new([("a".to_owned(), hash("x")), ("b".to_owned(), costly)].into()).unwrap();
        assert_eq!(users.decoy.cost, 6);
        let decoy: PasswordHash = users.decoy.text.expose_secret().parse().unwrap();
        assert_eq!(decoy.cost, 6, "checking the decoy computes a real hash");
        assert!(Users::new(BTreeMap::new()).is_none());
    }

    #[test]
    fn a_hash_is_validated_and_never_printed() {
        let right = bcrypt::hash("wonder", COST).unwrap();
        for version in ["$2a$", "$2b$", "$2x$", "$2y$"] {
            let text = right.replacen("$2b$", version, 1);
            let hash: PasswordHash = text.parse().unwrap();
            assert!(!format!("{hash:?}").contains(&text[7..]));
        }
        let with_cost = |cost: &str| right.replacen("$04$", &format!("${cost}$"), 1);
        let table = [
            (String::new(), PasswordHashError::NoHash),
            ("wonder".to_owned(), PasswordHashError::NoHash),
            (right[..59].to_owned(), PasswordHashError::NoHash),
            (format!("{right}x"), PasswordHashError::NoHash),
            (right.replacen("$2b$", "$1$", 1), PasswordHashError::NoHash),
            (right.replacen("$2b$", "$2z$", 1), PasswordHashError::NoHash),
            (format!("{}€", &right[..57]), PasswordHashError::NoHash),
            (with_cost("03"), PasswordHashError::NoHash),
            (with_cost("xx"), PasswordHashError::NoHash),
            (with_cost("17"), PasswordHashError::Costly),
            (with_cost("31"), PasswordHashError::Costly),
        ];
        for (text, error) in table {
            assert_eq!(text.parse::<PasswordHash>().unwrap_err(), error, "{text}");
        }
    }

    fn parse(value: &str) -> Option<(String, String)> {
        let headers = HeaderMap::from_iter([(AUTHORIZATION, HeaderValue::from_bytes(value.as_bytes()).ok()?)]);
        BasicCredentials::from_headers(&headers).map(|c| (c.user, c.password.expose_secret().to_owned()))
    }

    #[test]
    fn everything_after_the_first_colon_is_the_password() {
        let table = [
            ("alice:secret", Some(("alice", "secret"))),
            ("alice:a:b", Some(("alice", "a:b"))),
            ("alice:", Some(("alice", ""))),
            (":", Some(("", ""))),
            ("jürgen:schlüssel", Some(("jürgen", "schlüssel"))),
            ("alice", None),
            ("", None),
        ];
        for (text, expected) in table {
            let expected = expected.map(|(user, password)| (user.to_owned(), password.to_owned()));
            assert_eq!(parse(&format!("Basic {}", STANDARD.encode(text))), expected, "{text}");
            assert_eq!(
                parse(&format!("bAsIc  {} ", STANDARD.encode(text))),
                expected,
                "{text}, with other case and spaces"
            );
        }
    }

    #[test]
    fn a_malformed_header_has_no_credentials() {
        assert!(BasicCredentials::from_headers(&HeaderMap::new()).is_none());
        let latin_1 = STANDARD.encode(b"j\xfcrgen:x");
        for value in
            ["", "Basic", "Basic ", "Basic !", "Bearer YWxpY2U6eA==", "YWxpY2U6eA==", &format!("Basic {latin_1}")]
        {
            assert_eq!(parse(value), None, "{value}");
        }
    }

    proptest! {
        #[test]
        fn any_header_is_parsed(value in "(Basic )?[ -~]{0,80}") {
            parse(&value);
        }
    }
}
