//! The accounts and their tunnels, and the rules between tunnels.
//!
//! Nothing here is shared or locked: [`super::Sandbox`] holds one lock around all state, so that a check and the change
//! that depends on it are one step.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    fmt,
};

use jiff::Timestamp;
use serde::{Serialize, Serializer, ser::SerializeMap as _};
use web_toolkit::clock::Moment;

use super::{
    catalog::Catalog,
    edge::{EdgeTimeline, SimulatedEdge},
    interconnects::InterconnectSpec,
    response::{ApiError, BodyRule},
    routes::RouteSpec,
    session::{BgpSession, SessionReport},
    spec::{ApiTime, TargetForm, TunnelKind, TunnelSpec, serialize_some},
    validate::ValidTunnel,
};

/// Whether `text` is an identifier of the API: 32 hex digits.
pub(crate) fn is_id(text: &str) -> bool {
    text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// Derives an identifier from `words` (FNV-1a, 128 bits), so that it stays the same after a restart.
pub(crate) fn stable_id(words: &[&str]) -> String {
    let mut hash: u128 = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d;
    for byte in words.join("\0").bytes() {
        hash ^= u128::from(byte);
        hash = hash.wrapping_mul(0x0000_0000_0100_0000_0000_0000_0000_013b);
    }
    format!("{hash:032x}")
}

/// A tunnel of an account.
#[derive(Clone)]
pub(crate) struct StoredTunnel {
    id: String,
    spec: TunnelSpec,
    created: Timestamp,
    modified: Timestamp,
    /// Time at which the pre-shared key was generated or set. The key itself is not stored.
    psk_set: Option<Timestamp>,
    session: Option<BgpSession>,
    edge: EdgeTimeline,
    /// The JSON in text form and in object form, cached until the tunnel changes, because lists of 10,000 tunnels are
    /// read far more often than tunnels change.
    rendered: [Option<String>; 2],
}

/// Without the rendered JSON, which contains the MD5 key.
impl fmt::Debug for StoredTunnel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut tunnel = f.debug_struct("StoredTunnel");
        tunnel.field("id", &self.id).field("spec", &self.spec).field("session", &self.session).finish_non_exhaustive()
    }
}

impl StoredTunnel {
    pub(crate) fn new(id: String, tunnel: ValidTunnel, now: Moment) -> Self {
        let ValidTunnel { spec, psk } = tunnel;
        let session = spec.bgp.is_some().then(|| BgpSession::start(now));
        let psk_set = psk.then_some(now.wall);
        let edge = EdgeTimeline::new(&spec.health_check, None, now.wall);
        Self { id, spec, created: now.wall, modified: now.wall, psk_set, session, edge, rendered: [None, None] }
    }

    /// Gives the tunnel a past in which it was checked, with `state` or with the default one.
    #[must_use]
    pub(crate) fn with_past(mut self, state: Option<SimulatedEdge>) -> Self {
        self.edge = EdgeTimeline::new(&self.spec.health_check, state, Timestamp::MIN);
        self
    }

    pub(crate) fn id(&self) -> &str {
        &self.id
    }

    pub(crate) fn spec(&self) -> &TunnelSpec {
        &self.spec
    }

    pub(crate) fn session(&self) -> Option<&BgpSession> {
        self.session.as_ref()
    }

    pub(crate) fn edge(&self) -> &EdgeTimeline {
        &self.edge
    }

    /// Changes what the edge reports from `at` on.
    pub(crate) fn set_edge(&mut self, state: Option<SimulatedEdge>, at: Timestamp) {
        self.edge.set(&self.spec.health_check, state, at);
    }

    pub(crate) fn bgp_status(&self) -> Option<impl Serialize> {
        Some(self.session.as_ref()?.status(self.spec.interface_address))
    }

    /// Applies a client's update. The session restarts if its parameters or addresses change, as on a router.
    pub(crate) fn update(&mut self, tunnel: ValidTunnel, now: Moment) {
        let (old, new) = (&self.spec, &tunnel.spec);
        let same_session = match (&old.bgp, &new.bgp) {
            (Some(old_bgp), Some(new_bgp)) => {
                old_bgp.has_same_session(new_bgp) && old.interface_address == new.interface_address
            }
            (old_bgp, new_bgp) => old_bgp.is_none() && new_bgp.is_none(),
        };
        if !same_session {
            self.session = new.bgp.is_some().then(|| BgpSession::start(now));
        }
        self.modified = now.wall;
        self.replace(tunnel, now);
    }

    /// Applies a story event: the session keeps its state until a report changes it.
    pub(crate) fn replace(&mut self, tunnel: ValidTunnel, now: Moment) {
        self.spec = tunnel.spec;
        self.edge.set_checks(&self.spec.health_check, now.wall);
        self.psk_set = if tunnel.psk { Some(now.wall) } else { self.psk_set };
        self.rendered = [None, None];
    }

    pub(crate) fn set_psk_time(&mut self, now: Moment) {
        self.psk_set = Some(now.wall);
        self.rendered = [None, None];
    }

    /// Returns `false` for a tunnel without BGP.
    pub(crate) fn set_report(&mut self, report: SessionReport, now: Moment) -> bool {
        let Some(session) = &mut self.session else { return false };
        session.set_report(report, now);
        self.rendered = [None, None];
        true
    }

    fn advance(&mut self, now: Moment) {
        if self.session.as_mut().is_some_and(|session| session.advance(now)) {
            self.rendered = [None, None];
        }
    }

    /// The tunnel as the API shows it.
    pub(crate) fn json(&mut self, form: TargetForm) -> &str {
        let slot = usize::from(form == TargetForm::Object);
        if self.rendered[slot].is_none() {
            self.rendered[slot] = serde_json::to_string(&TunnelJson { tunnel: self, form }).ok();
        }
        self.rendered[slot].as_deref().unwrap_or_default()
    }
}

/// Serializes a tunnel as the API shows it.
struct TunnelJson<'a> {
    tunnel: &'a StoredTunnel,
    form: TargetForm,
}

impl Serialize for TunnelJson<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let tunnel = self.tunnel;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("id", &tunnel.id)?;
        tunnel.spec.serialize_fields(self.form, &mut map)?;
        map.serialize_entry("created_on", &ApiTime(tunnel.created))?;
        map.serialize_entry("modified_on", &ApiTime(tunnel.modified))?;
        let psk_metadata = tunnel.psk_set.map(|at| BTreeMap::from([("last_generated_on", ApiTime(at))]));
        serialize_some(&mut map, "psk_metadata", psk_metadata)?;
        serialize_some(&mut map, "bgp_status", tunnel.bgp_status())?;
        map.end()
    }
}

/// One account. Its tunnels are listed in the order of creation.
#[derive(Debug, Clone)]
pub(crate) struct StoredAccount {
    pub id: String,
    /// Whether the account has Magic Transit or Magic WAN.
    pub onboarded: bool,
    /// Whether the token can read the account's analytics.
    pub analytics: bool,
    pub routes: Catalog<RouteSpec>,
    pub interconnects: Catalog<InterconnectSpec>,
    tunnels: BTreeMap<u64, StoredTunnel>,
    by_id: HashMap<String, u64>,
    by_name: HashMap<String, u64>,
    next: u64,
}

/// A tunnel that is about to be created (`id` is `None`) or changed.
#[derive(Debug)]
pub(crate) struct Candidate {
    pub id: Option<String>,
    pub valid: ValidTunnel,
    /// Pointer to its body in the request.
    pub at: String,
}

impl StoredAccount {
    pub(crate) fn new(id: String, onboarded: bool) -> Self {
        let (tunnels, by_id, by_name) = (BTreeMap::new(), HashMap::new(), HashMap::new());
        let (routes, interconnects) = (Catalog::default(), Catalog::default());
        Self { id, onboarded, analytics: true, routes, interconnects, tunnels, by_id, by_name, next: 0 }
    }

    /// Whether the account's datasets of tunnels can be queried.
    pub(crate) fn has_analytics(&self) -> bool {
        self.onboarded && self.analytics
    }

    /// The interconnects, and the names of the tunnels, which they cannot have.
    pub(crate) fn interconnects_and_names(&mut self) -> (&mut Catalog<InterconnectSpec>, &HashMap<String, u64>) {
        (&mut self.interconnects, &self.by_name)
    }

    pub(crate) fn get(&self, id: &str) -> Option<&StoredTunnel> {
        self.tunnels.get(self.by_id.get(id)?)
    }

    pub(crate) fn get_mut(&mut self, id: &str) -> Option<&mut StoredTunnel> {
        self.tunnels.get_mut(self.by_id.get(id)?)
    }

    /// Finds a tunnel by its id, or else by its name.
    pub(crate) fn find_mut(&mut self, id_or_name: &str) -> Option<&mut StoredTunnel> {
        self.tunnels.get_mut(self.by_id.get(id_or_name).or_else(|| self.by_name.get(id_or_name))?)
    }

    /// The elements of a list, as JSON text separated by commas.
    pub(crate) fn list_json(&mut self, kind: TunnelKind, form: TargetForm) -> String {
        let tunnels = self.tunnels.values_mut().filter(|tunnel| tunnel.spec.kind() == kind);
        tunnels.map(|tunnel| tunnel.json(form)).collect::<Vec<_>>().join(",")
    }

    /// Checks the rules between tunnels for the state after all of `candidates` are applied, so that two tunnels can
    /// swap their names in one update.
    pub(crate) fn check(&self, candidates: &[Candidate]) -> Vec<ApiError> {
        let changing: HashSet<&str> = candidates.iter().filter_map(|candidate| candidate.id.as_deref()).collect();
        let mut errors = Vec::new();
        let mut names = HashSet::new();
        for (position, candidate) in candidates.iter().enumerate() {
            let name = candidate.valid.spec.name.as_str();
            let present = self.by_name.get(name).and_then(|key| self.tunnels.get(key));
            let taken = present.is_some_and(|tunnel| !changing.contains(tunnel.id()));
            if taken || self.interconnects.has_name(name, None) || !names.insert(name) {
                let message = "name cannot be shared with another tunnel";
                errors.push(BodyRule::NameTaken.error(format!("{}/name", candidate.at), message));
            }
            let before = candidates[..position].iter().map(|other| &other.valid.spec);
            if self.is_fqdn_taken(&candidate.valid.spec, &changing, before) {
                let pointer = format!("{}/custom_remote_identities/fqdn_id", candidate.at);
                let message = "two tunnels with one fqdn_id cannot have the same cloudflare_endpoint";
                errors.push(BodyRule::FqdnTaken.error(pointer, message));
            }
        }
        errors
    }

    fn is_fqdn_taken<'a>(
        &'a self,
        spec: &TunnelSpec,
        changing: &HashSet<&str>,
        before: impl Iterator<Item = &'a TunnelSpec>,
    ) -> bool {
        let Some(fqdn) = spec.fqdn_id() else { return false };
        let unchanged = self.tunnels.values().filter(|tunnel| !changing.contains(tunnel.id()));
        let mut others = unchanged.map(StoredTunnel::spec).chain(before);
        others.any(|other| other.fqdn_id() == Some(fqdn) && other.cloudflare_endpoint == spec.cloudflare_endpoint)
    }

    /// Adds a tunnel that has passed [`StoredAccount::check`].
    pub(crate) fn insert(&mut self, tunnel: StoredTunnel) {
        self.by_id.insert(tunnel.id().to_owned(), self.next);
        self.by_name.insert(tunnel.spec.name.clone(), self.next);
        self.tunnels.insert(self.next, tunnel);
        self.next += 1;
    }

    pub(crate) fn remove(&mut self, id: &str) -> Option<StoredTunnel> {
        let tunnel = self.tunnels.remove(&self.by_id.remove(id)?)?;
        self.by_name.remove(&tunnel.spec.name);
        Some(tunnel)
    }

    /// Applies updates that have passed [`StoredAccount::check`] together.
    pub(crate) fn apply(&mut self, updates: Vec<Candidate>, change: impl Fn(&mut StoredTunnel, ValidTunnel)) {
        let keys = updates.into_iter().filter_map(|update| Some((*self.by_id.get(&update.id?)?, update.valid)));
        let keys: Vec<_> = keys.collect();
        // All old names are removed before the first new one is added; otherwise a swap would lose one.
        for (key, _) in &keys {
            if let Some(tunnel) = self.tunnels.get(key) {
                self.by_name.remove(&tunnel.spec.name);
            }
        }
        for (key, new) in keys {
            self.by_name.insert(new.spec.name.clone(), key);
            if let Some(tunnel) = self.tunnels.get_mut(&key) {
                change(tunnel, new);
            }
        }
    }

    pub(crate) fn advance(&mut self, now: Moment) {
        for tunnel in self.tunnels.values_mut() {
            tunnel.advance(now);
        }
    }

    pub(crate) fn tunnels(&self) -> impl Iterator<Item = &StoredTunnel> {
        self.tunnels.values()
    }
}

#[cfg(test)]
mod tests;
