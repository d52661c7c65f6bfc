//! The difference between two configurations, as a pure function of both.

use std::collections::BTreeSet;

use crate::{
    config::{AccountConfig, Config},
    domain::inventory::AccountName,
};

/// What a reload changes.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Difference {
    /// Accounts to remove from the fleet.
    pub(super) forgotten: BTreeSet<AccountName>,
    /// Accounts that start without known tunnels.
    pub(super) added: Vec<AccountConfig>,
    /// Accounts with a poller that restarts and keeps the known tunnels.
    pub(super) changed: Vec<AccountConfig>,
    /// Whether the reader of an agent's inventory restarts. It keeps the known tunnels.
    pub(super) inventory_changed: bool,
    /// Changed keys that take effect only after a restart of the program.
    pub(super) need_restart: Vec<&'static str>,
}

impl Difference {
    pub(super) fn between(old: &Config, new: &Config) -> Self {
        // Every poller uses these.
        let all_changed = (old.poll.interval, old.poll.timeout, &old.rules, &old.edge, old.routes, old.interconnects)
            != (new.poll.interval, new.poll.timeout, &new.rules, &new.edge, new.routes, new.interconnects);
        let inventory_changed = new.inventory.is_some() && (&old.inventory, &old.rules) != (&new.inventory, &new.rules);
        let mut difference = Self { need_restart: need_restart(old, new), inventory_changed, ..Self::default() };
        for account in &new.accounts {
            let before = old.accounts.iter().find(|before| before.account.name == account.account.name);
            match before {
                Some(before) if before.account.id == account.account.id => {
                    if all_changed || before != account {
                        difference.changed.push(account.clone());
                    }
                }
                Some(before) => {
                    // The name refers to another account now, so its tunnels are not those that are known.
                    difference.forgotten.insert(before.account.name.clone());
                    difference.added.push(account.clone());
                }
                None => difference.added.push(account.clone()),
            }
        }
        let removed = old.accounts.iter().map(|before| &before.account.name);
        let removed = removed.filter(|name| new.accounts.iter().all(|account| account.account.name != **name));
        difference.forgotten.extend(removed.cloned());
        difference
    }

    /// Accounts with a poller that has to stop.
    pub(super) fn stopping(&self) -> BTreeSet<AccountName> {
        let changed = self.changed.iter().map(|account| account.account.name.clone());
        changed.chain(self.forgotten.iter().cloned()).collect()
    }

    /// The affected accounts for the log; empty if no account is affected.
    pub(super) fn summary(&self) -> String {
        let names = |accounts: &[AccountConfig]| -> Vec<String> {
            accounts.iter().map(|account| account.account.name.to_string()).collect()
        };
        let forgotten = self.forgotten.iter().map(ToString::to_string).collect();
        let parts = [("accounts added", names(&self.added)), ("changed", names(&self.changed)), ("removed", forgotten)];
        let parts = parts.into_iter().filter(|(_, names)| !names.is_empty());
        parts.map(|(what, names)| format!("{what}: {}", names.join(", "))).collect::<Vec<_>>().join("; ")
    }
}

/// Changed keys that sockets and the log use only at the start.
fn need_restart(old: &Config, new: &Config) -> Vec<&'static str> {
    let keys = [
        ("web.listen_address", old.web.listen != new.web.listen),
        ("web.systemd_socket", old.web.systemd_socket != new.web.systemd_socket),
        ("web.telemetry_path", old.web.telemetry_path != new.web.telemetry_path),
        ("web.hosts", old.web.hosts != new.web.hosts),
        ("web.enable_lifecycle", old.web.enable_lifecycle != new.web.enable_lifecycle),
        ("web.alertmanager_url", old.web.alertmanager != new.web.alertmanager),
        ("web.open_health", old.web.open_health != new.web.open_health),
        ("web.expose", old.web.expose != new.web.expose),
        ("probe.engine", old.probe.engine != new.probe.engine),
        ("state.directory", old.state != new.state),
        ("log.level", old.log.level != new.log.level),
        ("log.format", old.log.format != new.log.format),
    ];
    keys.into_iter().filter_map(|(key, changed)| changed.then_some(key)).collect()
}

#[cfg(test)]
mod tests;
