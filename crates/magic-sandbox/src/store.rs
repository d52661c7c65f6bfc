//! The accounts and their tunnels, and the rules that hold between tunnels.
//!
//! Not shared and not locked: [`super::Sandbox`] has one lock around the whole world, so that a check and the change
//! that follows from it are one step.

use std::collections::{BTreeMap, HashMap, HashSet};

use web_toolkit::clock::Moment;

use super::{
    kind::{Form, Kind},
    reply::ApiError,
    session::Report,
    tunnel::{Config, Tunnel},
    validate::Rule,
};

/// One account. Lists are in the order of creation.
#[derive(Debug, Clone)]
pub(super) struct Account {
    id: String,
    /// Whether it has Magic Transit or Magic WAN at all.
    onboarded: bool,
    tunnels: BTreeMap<u64, Tunnel>,
    by_id: HashMap<String, u64>,
    by_name: HashMap<String, u64>,
    next: u64,
}

/// A tunnel about to be created (`id` is `None`) or changed.
#[derive(Debug)]
pub(super) struct Candidate<'a> {
    pub id: Option<&'a str>,
    pub config: &'a Config,
    /// Pointer of its body in the request.
    pub at: &'a str,
}

impl Account {
    pub(super) fn new(id: String, onboarded: bool) -> Self {
        Self { id, onboarded, tunnels: BTreeMap::new(), by_id: HashMap::new(), by_name: HashMap::new(), next: 0 }
    }

    pub(super) fn id(&self) -> &str {
        &self.id
    }

    pub(super) fn onboarded(&self) -> bool {
        self.onboarded
    }

    pub(super) fn get(&self, id: &str) -> Option<&Tunnel> {
        self.tunnels.get(self.by_id.get(id)?)
    }

    pub(super) fn get_mut(&mut self, id: &str) -> Option<&mut Tunnel> {
        self.tunnels.get_mut(self.by_id.get(id)?)
    }

    pub(super) fn of_kind(&self, kind: Kind, id: &str) -> Option<&Tunnel> {
        self.get(id).filter(|tunnel| tunnel.config().kind() == kind)
    }

    /// By id, or else by name: people know names.
    pub(super) fn find_id(&self, id_or_name: &str) -> Option<String> {
        let key = self.by_id.get(id_or_name).or_else(|| self.by_name.get(id_or_name))?;
        self.tunnels.get(key).map(|tunnel| tunnel.id().to_owned())
    }

    /// The elements of a list, as JSON text with commas between them.
    pub(super) fn list(&mut self, kind: Kind, form: Form) -> String {
        let mut list = String::new();
        for tunnel in self.tunnels.values_mut().filter(|tunnel| tunnel.config().kind() == kind) {
            if !list.is_empty() {
                list.push(',');
            }
            list.push_str(tunnel.json(form));
        }
        list
    }

    /// The rules between tunnels, for the state in which all of `candidates` are in force: two tunnels of one update
    /// may swap their names.
    pub(super) fn check(&self, candidates: &[Candidate<'_>]) -> Vec<ApiError> {
        let changing: HashSet<&str> = candidates.iter().filter_map(|candidate| candidate.id).collect();
        let mut errors = Vec::new();
        let mut names = HashSet::new();
        for (position, candidate) in candidates.iter().enumerate() {
            let name = candidate.config.name.as_str();
            let stays = self.by_name.get(name).and_then(|key| self.tunnels.get(key));
            let taken = stays.is_some_and(|tunnel| !changing.contains(tunnel.id()));
            if taken || !names.insert(name) {
                let message = "name cannot be shared with another tunnel";
                errors.push(Rule::NameTaken.error(format!("{}/name", candidate.at), message));
            }
            if self.fqdn_clashes(candidate, &changing, &candidates[..position]) {
                let pointer = format!("{}/custom_remote_identities/fqdn_id", candidate.at);
                let message = "two tunnels with one fqdn_id cannot have the same cloudflare_endpoint";
                errors.push(Rule::FqdnTaken.error(pointer, message));
            }
        }
        errors
    }

    fn fqdn_clashes(&self, candidate: &Candidate<'_>, changing: &HashSet<&str>, before: &[Candidate<'_>]) -> bool {
        let Some(fqdn) = candidate.config.fqdn_id() else { return false };
        let clashes = |other: &Config| {
            other.fqdn_id() == Some(fqdn) && other.cloudflare_endpoint == candidate.config.cloudflare_endpoint
        };
        let staying = self.tunnels.values().filter(|tunnel| !changing.contains(tunnel.id()));
        staying.map(Tunnel::config).chain(before.iter().map(|other| other.config)).any(clashes)
    }

    /// `tunnel` has passed [`Account::check`].
    pub(super) fn insert(&mut self, tunnel: Tunnel) {
        self.by_id.insert(tunnel.id().to_owned(), self.next);
        self.by_name.insert(tunnel.config().name.clone(), self.next);
        self.tunnels.insert(self.next, tunnel);
        self.next += 1;
    }

    pub(super) fn remove(&mut self, id: &str) -> Option<Tunnel> {
        let key = self.by_id.remove(id)?;
        let tunnel = self.tunnels.remove(&key)?;
        self.by_name.remove(&tunnel.config().name);
        Some(tunnel)
    }

    /// Applies updates that have passed [`Account::check`] together.
    pub(super) fn apply(&mut self, updates: Vec<(String, Config)>, change: impl Fn(&mut Tunnel, Config)) {
        let keys: Vec<_> = updates.into_iter().filter_map(|(id, to)| Some((*self.by_id.get(&id)?, to))).collect();
        // All old names go before the first new one comes, or a swap would lose one.
        for (key, _) in &keys {
            if let Some(tunnel) = self.tunnels.get(key) {
                self.by_name.remove(&tunnel.config().name);
            }
        }
        for (key, config) in keys {
            self.by_name.insert(config.name.clone(), key);
            if let Some(tunnel) = self.tunnels.get_mut(&key) {
                change(tunnel, config);
            }
        }
    }

    /// False when there is no such tunnel or it has no BGP.
    pub(super) fn follow(&mut self, id: &str, report: Report, now: Moment) -> bool {
        self.get_mut(id).is_some_and(|tunnel| tunnel.follow(report, now))
    }

    pub(super) fn advance(&mut self, now: Moment) {
        for tunnel in self.tunnels.values_mut() {
            tunnel.advance(now);
        }
    }

    pub(super) fn tunnels(&self) -> impl Iterator<Item = &Tunnel> {
        self.tunnels.values()
    }
}

#[cfg(test)]
mod tests;
