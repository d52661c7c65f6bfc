//! What a new configuration changes: a pure function of the old one and the new one.

use std::collections::BTreeSet;

use crate::{
    config::{AccountConfig, Config},
    domain::inventory::AccountName,
};

/// What has to happen for the new configuration to be in force.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Difference {
    /// Accounts of which nothing is to be known any more.
    pub(super) forgotten: BTreeSet<AccountName>,
    /// Accounts of which nothing is known yet.
    pub(super) added: Vec<AccountConfig>,
    /// Accounts that are polled otherwise from now on, but whose tunnels are known.
    pub(super) changed: Vec<AccountConfig>,
    /// Keys that have changed, and count at the next start only.
    pub(super) waiting: Vec<&'static str>,
}

impl Difference {
    pub(super) fn between(old: &Config, new: &Config) -> Self {
        // Every poller holds these.
        let all =
            (old.poll.interval, old.poll.timeout, &old.rules) != (new.poll.interval, new.poll.timeout, &new.rules);
        let mut difference = Self { waiting: waiting(old, new), ..Self::default() };
        for account in &new.accounts {
            let before = old.accounts.iter().find(|before| before.account.name == account.account.name);
            match before {
                Some(before) if before.account.id == account.account.id => {
                    if all || before != account {
                        difference.changed.push(account.clone());
                    }
                }
                Some(before) => {
                    // The name has another account behind it.
                    difference.forgotten.insert(before.account.name.clone());
                    difference.added.push(account.clone());
                }
                None => difference.added.push(account.clone()),
            }
        }
        let gone = old.accounts.iter().map(|before| &before.account.name);
        let gone = gone.filter(|name| new.accounts.iter().all(|account| account.account.name != **name));
        difference.forgotten.extend(gone.cloned());
        difference
    }

    /// Accounts whose pollers of before have to end.
    pub(super) fn stopping(&self) -> BTreeSet<AccountName> {
        let changed = self.changed.iter().map(|account| account.account.name.clone());
        changed.chain(self.forgotten.iter().cloned()).collect()
    }

    /// For the log: what happens to which account; empty where nothing does.
    pub(super) fn summary(&self) -> String {
        let names = |accounts: &[AccountConfig]| -> Vec<String> {
            accounts.iter().map(|account| account.account.name.to_string()).collect()
        };
        let forgotten: Vec<String> = self.forgotten.iter().map(ToString::to_string).collect();
        let mut parts = Vec::new();
        for (what, names) in
            [("accounts added", names(&self.added)), ("changed", names(&self.changed)), ("removed", forgotten)]
        {
            if !names.is_empty() {
                parts.push(format!("{what}: {}", names.join(", ")));
            }
        }
        parts.join("; ")
    }
}

/// What sockets and the log were set up with at the start.
fn waiting(old: &Config, new: &Config) -> Vec<&'static str> {
    let keys = [
        ("web.listen_address", old.web.listen != new.web.listen),
        ("web.telemetry_path", old.web.telemetry_path != new.web.telemetry_path),
        ("web.enable_lifecycle", old.web.enable_lifecycle != new.web.enable_lifecycle),
        ("web.open_health", old.web.open_health != new.web.open_health),
        ("log.level", old.log.level != new.log.level),
        ("log.format", old.log.format != new.log.format),
    ];
    keys.into_iter().filter_map(|(key, changed)| changed.then_some(key)).collect()
}

#[cfg(test)]
mod tests;
