//! Users and the bcrypt hashes of their passwords.
//!
//! A check is slow by design. It runs on the blocking pool, one at a time, and to its end even where the client hangs up; a password
//! that was right is remembered by a keyed hash, so that a scrape pays once. An unknown user costs the same time as a known one.

use std::{
    collections::{BTreeMap, HashSet},
    fmt,
    hash::{BuildHasher as _, RandomState},
    str::FromStr,
    sync::{Arc, Mutex, PoisonError},
};

use bcrypt::HashParts;
use secrecy::{ExposeSecret as _, SecretString};
use tokio::sync::Semaphore;

use super::basic::Credentials;

/// A check at a cost of 16 takes about five seconds; every step more doubles it.
const MOST_COST: u32 = 16;

/// Passwords that are remembered. Only right ones are, and a user has one, but those beyond 72 bytes have many spellings.
const MOST_REMEMBERED: usize = 256;

/// A bcrypt hash.
#[derive(Clone)]
pub struct Hash {
    text: SecretString,
    cost: u32,
}

/// Text that is no hash we check. Never says what the text is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HashError {
    #[error("must be a bcrypt hash such as `htpasswd -nBC 10 USER` prints: `$2y$10$` and 53 characters")]
    NoHash,
    #[error("must be a bcrypt hash with a cost of at most {MOST_COST}: one check would take longer than a scrape may")]
    Costly,
}

impl FromStr for Hash {
    type Err = HashError;

    fn from_str(text: &str) -> Result<Self, HashError> {
        let parts = HashParts::from_str(text).map_err(|_| HashError::NoHash)?;
        match parts.get_cost() {
            4..=MOST_COST => Ok(Self { text: text.into(), cost: parts.get_cost() }),
            0..4 => Err(HashError::NoHash),
            _ => Err(HashError::Costly),
        }
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Hash(cost {})", self.cost)
    }
}

/// Everybody who may ask.
pub struct Users {
    hashes: BTreeMap<String, Hash>,
    /// Checked in the place of that of an unknown user; no password fits.
    decoy: Hash,
    remembered: Arc<Remembered>,
}

/// What comes of a user name and a password.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    Accepted,
    Refused,
    /// It could not be checked.
    Failed,
}

impl Users {
    /// `None` where there is nobody.
    pub fn new(hashes: BTreeMap<String, Hash>) -> Option<Self> {
        let cost = hashes.values().map(|hash| hash.cost).max()?;
        let decoy = Hash { text: format!("$2b${cost:02}${}", ".".repeat(53)).into(), cost };
        Some(Self { hashes, decoy, remembered: Arc::default() })
    }

    /// Waits for a place among `checks`, unless the password is remembered.
    pub(super) async fn check(&self, credentials: Credentials, checks: &Arc<Semaphore>) -> Verdict {
        let known = self.hashes.get(&credentials.user);
        let hash = known.unwrap_or(&self.decoy).clone();
        let key = self.remembered.key(&credentials, &hash);
        if self.remembered.contains(key) {
            return Verdict::Accepted;
        }
        let Ok(place) = Arc::clone(checks).acquire_owned().await else { return Verdict::Failed };
        // The same user may have waited in front of us.
        if self.remembered.contains(key) {
            return Verdict::Accepted;
        }
        let (is_known, remembered) = (known.is_some(), Arc::clone(&self.remembered));
        let checked = tokio::task::spawn_blocking(move || {
            let _place = place;
            let fits = fits(&credentials.password, &hash) && is_known;
            if fits {
                remembered.insert(key);
            }
            fits
        });
        match checked.await {
            Ok(true) => Verdict::Accepted,
            Ok(false) => Verdict::Refused,
            Err(_) => Verdict::Failed,
        }
    }
}

impl fmt::Debug for Users {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Users").field("hashes", &self.hashes).finish_non_exhaustive()
    }
}

/// bcrypt reads 72 bytes of a password and no more, here as in every other exporter.
fn fits(password: &SecretString, hash: &Hash) -> bool {
    bcrypt::verify(password.expose_secret(), hash.text.expose_secret()).unwrap_or(false)
}

/// Passwords that were right, by keyed hashes of 128 bits whose keys nobody knows.
#[derive(Default)]
struct Remembered {
    keys: [RandomState; 2],
    known: Mutex<HashSet<[u64; 2]>>,
}

impl Remembered {
    /// The user's hash is part of it, so that a changed password is not taken for the old one.
    fn key(&self, credentials: &Credentials, hash: &Hash) -> [u64; 2] {
        let what = (&credentials.user, credentials.password.expose_secret(), hash.text.expose_secret());
        [self.keys[0].hash_one(what), self.keys[1].hash_one(what)]
    }

    fn contains(&self, key: [u64; 2]) -> bool {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).contains(&key)
    }

    fn insert(&self, key: [u64; 2]) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= MOST_REMEMBERED {
            known.clear();
        }
        known.insert(key);
    }
}

#[cfg(test)]
mod tests {
    use std::{future::poll_fn, task::Poll};

    use super::*;

    const COST: u32 = 4;

    fn hash(password: &str) -> Hash {
        bcrypt::hash(password, COST).unwrap().parse().unwrap()
    }

    fn users(list: &[(&str, &str)]) -> Users {
        Users::new(list.iter().map(|(user, password)| ((*user).to_owned(), hash(password))).collect()).unwrap()
    }

    fn says(user: &str, password: &str) -> Credentials {
        Credentials { user: user.to_owned(), password: password.into() }
    }

    async fn verdict(users: &Users, user: &str, password: &str) -> Verdict {
        users.check(says(user, password), &Arc::new(Semaphore::new(1))).await
    }

    #[tokio::test]
    async fn the_right_password_of_the_right_user_is_accepted_and_nothing_else() {
        use Verdict::{Accepted, Refused};
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
            assert_eq!(verdict(&users, user, password).await, expected, "{user}:{password}");
        }
    }

    #[tokio::test]
    async fn a_password_counts_up_to_72_bytes_as_in_other_exporters() {
        let long = "x".repeat(72);
        let users = users(&[("alice", &long)]);
        assert_eq!(verdict(&users, "alice", &format!("{long}tail")).await, Verdict::Accepted);
        assert_eq!(verdict(&users, "alice", &long[..71]).await, Verdict::Refused);
        assert_eq!(verdict(&users, "alice", &"y".repeat(1 << 20)).await, Verdict::Refused);
    }

    #[tokio::test]
    async fn what_is_remembered_needs_no_check_and_stays_bounded() {
        let users = users(&[("alice", "wonder")]);
        assert_eq!(verdict(&users, "alice", "wonder").await, Verdict::Accepted);
        let full = Arc::new(Semaphore::new(0));
        assert_eq!(users.check(says("alice", "wonder"), &full).await, Verdict::Accepted, "without a place");
        full.close();
        assert_eq!(users.check(says("alice", "wrong"), &full).await, Verdict::Failed, "a wrong one is not remembered");
        for n in 0..1000 {
            users.remembered.insert([n, n]);
        }
        assert!(users.remembered.known.lock().unwrap().len() <= MOST_REMEMBERED);
    }

    #[tokio::test]
    async fn a_check_that_nobody_waits_for_ends_and_is_remembered() {
        let users = users(&[("alice", "wonder")]);
        let checks = Arc::new(Semaphore::new(1));
        // Polled once, so that it starts, and dropped, as when the client hangs up.
        let mut hung_up = Box::pin(users.check(says("alice", "wonder"), &checks));
        poll_fn(|cx| Poll::Ready(hung_up.as_mut().poll(cx).is_pending())).await;
        drop(hung_up);
        let _all_done = checks.acquire().await.unwrap();
        assert!(users.remembered.contains(users.remembered.key(&says("alice", "wonder"), &users.hashes["alice"])));
    }

    #[test]
    fn a_new_password_is_not_taken_for_the_old_one() {
        let users = users(&[("alice", "wonder")]);
        let says = says("alice", "wonder");
        let old = users.remembered.key(&says, &users.hashes["alice"]);
        assert_eq!(old, users.remembered.key(&says, &users.hashes["alice"]));
        assert_ne!(old, users.remembered.key(&says, &hash("wonder")), "the same password under another salt");
    }

    #[test]
    fn an_unknown_user_costs_as_much_as_the_costliest_known_one() {
        let costly: Hash = bcrypt::hash("x", 6).unwrap().parse().unwrap();
        let users = Users::new([("a".to_owned(), hash("x")), ("b".to_owned(), costly)].into()).unwrap();
        assert_eq!(users.decoy.cost, 6);
        let decoy: Hash = users.decoy.text.expose_secret().parse().unwrap();
        assert_eq!(decoy.cost, 6, "the decoy is a hash that is really computed");
        assert!(Users::new(BTreeMap::new()).is_none());
    }

    #[test]
    fn a_hash_is_checked_and_never_shown() {
        let right = bcrypt::hash("wonder", COST).unwrap();
        for version in ["$2a$", "$2b$", "$2x$", "$2y$"] {
            let text = right.replacen("$2b$", version, 1);
            let hash: Hash = text.parse().unwrap();
            assert!(!format!("{hash:?}").contains(&text[7..]));
        }
        let with_cost = |cost: &str| right.replacen("$04$", &format!("${cost}$"), 1);
        let table = [
            (String::new(), HashError::NoHash),
            ("wonder".to_owned(), HashError::NoHash),
            (right[..59].to_owned(), HashError::NoHash),
            (format!("{right}x"), HashError::NoHash),
            (right.replacen("$2b$", "$1$", 1), HashError::NoHash),
            (right.replacen("$2b$", "$2z$", 1), HashError::NoHash),
            (format!("{}€", &right[..57]), HashError::NoHash),
            (with_cost("03"), HashError::NoHash),
            (with_cost("xx"), HashError::NoHash),
            (with_cost("17"), HashError::Costly),
            (with_cost("31"), HashError::Costly),
        ];
        for (text, error) in table {
            assert_eq!(text.parse::<Hash>().unwrap_err(), error, "{text}");
        }
    }
}
