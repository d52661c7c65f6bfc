//! Users and their passwords (RFC 7617), checked with bcrypt.
//!
//! Checking a password is slow by design, and its client is not yet authenticated. Checks run on the blocking pool, one
//! at a time, and are completed even if the client disconnects. Clients wait for them in a bounded queue in which peers
//! take turns, so that guessing from one address does not delay the others. Correct passwords are remembered, so that
//! only the first scrape waits for a check. An unknown user costs the same time as a known one.

mod memory;
mod queue;

use std::{collections::BTreeMap, fmt, str::FromStr, sync::Arc};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bcrypt::HashParts;
use hyper::header::{AUTHORIZATION, HeaderMap};
use secrecy::{ExposeSecret as _, SecretString};
use tokio::task;

use self::{
    memory::PasswordMemory,
    queue::{FairQueue, Places},
};
use crate::server::Peer;

/// A check with cost 16 takes about five seconds, and each further step doubles the time. Hashes with a higher cost
/// have a queue of their own, because a scrape that waits behind one of them would time out.
pub(crate) const HIGHEST_USUAL_COST: u32 = 16;

/// A user name and a password as the client sent them. The server limits the size of the header.
#[derive(Debug)]
pub(crate) struct BasicCredentials {
    user: String,
    password: SecretString,
}

impl BasicCredentials {
    /// `None` if the header is missing or malformed.
    pub(crate) fn from_headers(headers: &HeaderMap) -> Option<Self> {
        let (scheme, encoded) = headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
        if !scheme.eq_ignore_ascii_case("basic") {
            return None;
        }
        let decoded = String::from_utf8(STANDARD.decode(encoded.trim()).ok()?).ok()?;
        let (user, password) = decoded.split_once(':')?;
        Some(Self { user: user.to_owned(), password: password.into() })
    }

    pub(crate) fn user(&self) -> &str {
        &self.user
    }
}

/// A bcrypt hash of a password.
#[derive(Clone)]
pub struct PasswordHash {
    text: SecretString,
    cost: u32,
}

/// The text is not a bcrypt hash. The message never contains the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be a bcrypt hash as printed by `htpasswd -nBC 10 USER`: `$2y$10$` and 53 characters")]
pub struct PasswordHashError;

impl FromStr for PasswordHash {
    type Err = PasswordHashError;

    fn from_str(text: &str) -> Result<Self, PasswordHashError> {
        let parts = HashParts::from_str(text).map_err(|_| PasswordHashError)?;
        match parts.get_cost() {
            cost @ 4..=31 => Ok(Self { text: text.into(), cost }),
            _ => Err(PasswordHashError),
        }
    }
}

impl PasswordHash {
    /// The logarithm of the number of rounds, from 4 to 31.
    pub fn cost(&self) -> u32 {
        self.cost
    }

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

/// The users that may send requests. Cheap to clone.
#[derive(Clone)]
pub struct Users {
    hashes: Arc<BTreeMap<String, PasswordHash>>,
    /// Checked instead of the hash of an unknown user. No password matches it.
    decoy: PasswordHash,
}

impl Users {
    /// `None` if `hashes` is empty.
    pub fn new(hashes: BTreeMap<String, PasswordHash>) -> Option<Self> {
        let costs = || hashes.values().map(PasswordHash::cost);
        let cost = costs().filter(|cost| *cost <= HIGHEST_USUAL_COST).max().or_else(|| costs().min())?;
        let decoy = PasswordHash { text: format!("$2b${cost:02}${}", ".".repeat(53)).into(), cost };
        Some(Self { hashes: Arc::new(hashes), decoy })
    }
}

impl fmt::Debug for Users {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Users").field("hashes", &self.hashes).finish_non_exhaustive()
    }
}

/// The result of checking a user name and a password.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PasswordCheck {
    Accepted,
    Refused,
    /// Too many checks wait already.
    Busy,
    /// The check could not be completed.
    Failed,
}

/// Checks passwords, for all users that the program has while it runs. Clones share their queues and what they
/// remember.
#[derive(Debug, Clone, Default)]
pub(crate) struct PasswordChecker {
    memory: Arc<PasswordMemory>,
    usual: FairQueue,
    costly: FairQueue,
}

impl PasswordChecker {
    /// Waits for a turn of `peer` unless the password is remembered.
    pub(crate) async fn check(&self, users: &Users, credentials: BasicCredentials, peer: Peer) -> PasswordCheck {
        let known = users.hashes.get(&credentials.user);
        let hash = known.unwrap_or(&users.decoy).clone();
        let password = credentials.password.expose_secret();
        let key = self.memory.key(&credentials.user, password, hash.text.expose_secret());
        let is_remembered = || known.is_some() && self.memory.contains(&credentials.user, key);
        if is_remembered() {
            return PasswordCheck::Accepted;
        }
        let queue = if hash.cost > HIGHEST_USUAL_COST { &self.costly } else { &self.usual };
        let Ok(turn) = queue.turn(peer, Places::for_cost(hash.cost)).await else { return PasswordCheck::Busy };
        // Another request of the same user may have been checked in the meantime.
        if is_remembered() {
            return PasswordCheck::Accepted;
        }
        let (memory, users) = (Arc::clone(&self.memory), users.clone());
        let checked = task::spawn_blocking(move || {
            let _turn = turn;
            let is_correct = hash.matches(&credentials.password) && users.hashes.contains_key(&credentials.user);
            if is_correct {
                memory.insert(&credentials.user, key, users.hashes.len(), |name| users.hashes.contains_key(name));
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

#[cfg(test)]
mod tests {
    mod checks;
    mod queue;
}
