//! Correct passwords, remembered so that bcrypt is paid for once.

use std::{
    collections::{HashMap, VecDeque},
    hash::{BuildHasher as _, RandomState},
};

use parking_lot::Mutex;

/// Remembered passwords of one user. A user has one correct password, but bcrypt ignores everything beyond 72 bytes, so
/// several texts can be correct.
const MOST_PER_USER: usize = 4;

/// A keyed hash of a user, a password and a bcrypt hash.
pub(super) type MemoryKey = [u64; 2];

/// Correct passwords as keyed hashes of 128 bits. The keys of the hashes are random and never leave this struct.
///
/// It outlives the users of one web configuration file: a user with an unchanged bcrypt hash stays remembered.
#[derive(Debug, Default)]
pub(super) struct PasswordMemory {
    keys: [RandomState; 2],
    known: Mutex<HashMap<String, VecDeque<MemoryKey>>>,
}

impl PasswordMemory {
    /// Includes the user's bcrypt hash, so that the old password is not accepted after a change.
    pub(super) fn key(&self, user: &str, password: &str, hash: &str) -> MemoryKey {
        let content = (user, password, hash);
        [self.keys[0].hash_one(content), self.keys[1].hash_one(content)]
    }

    pub(super) fn contains(&self, user: &str, key: MemoryKey) -> bool {
        self.known.lock().get(user).is_some_and(|keys| keys.contains(&key))
    }

    /// Remembers a correct password of one of `count` users, and forgets all that are not users if there are as many.
    pub(super) fn insert(&self, user: &str, key: MemoryKey, count: usize, is_user: impl Fn(&str) -> bool) {
        let mut known = self.known.lock();
        if known.len() >= count && !known.contains_key(user) {
            known.retain(|name, _| is_user(name));
        }
        let keys = known.entry(user.to_owned()).or_default();
        if !keys.contains(&key) {
            keys.truncate(MOST_PER_USER - 1);
            keys.push_front(key);
        }
    }

    /// The number of users and of all their passwords.
    #[cfg(test)]
    pub(super) fn size(&self) -> (usize, usize) {
        let known = self.known.lock();
        (known.len(), known.values().map(VecDeque::len).sum())
    }
}
