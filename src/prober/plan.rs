//! Who is to be probed: drawn from the inventory and the settings alone, so that the same input gives the same plan.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    sync::Arc,
};

use ipnet::IpNet;

use super::{
    address,
    settings::{Addresses, Settings, TunnelSettings},
};
use crate::domain::{
    inventory::{Fleet, TunnelKey},
    probe::{Binding, IpVersion, ProbeTarget, Refusal, SessionKey, SocketMode, Vantage},
    tunnel::{Stated, Tunnel},
};

/// The targets of one tunnel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TunnelPlan {
    pub vantage: Vantage,
    /// Sorted by [`ProbeTarget`].
    pub targets: Box<[(ProbeTarget, SessionKey)]>,
    /// What proves the outside of this tunnel; empty where its customer endpoint has to.
    pub uplinks: Arc<[SessionKey]>,
}

/// Everybody who is to be probed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Plan {
    /// Every tunnel that is not switched off, even one without a usable address.
    pub tunnels: BTreeMap<Arc<TunnelKey>, TunnelPlan>,
    /// The uplinks of all tunnels.
    pub uplinks: BTreeSet<SessionKey>,
    /// Addresses that would have been probed but for a reason.
    pub refused: BTreeMap<Refusal, u64>,
}

impl Plan {
    /// Who would be probed if probing were switched on.
    pub fn draw(fleet: &Fleet, settings: &Settings) -> Self {
        let mut draft = Draft { plan: Self::default(), bindings: BTreeSet::new(), mode: settings.socket };
        let shared = draft.uplinks(&settings.uplinks, settings);
        for (account, snapshot) in &fleet.accounts {
            for entry in snapshot.entries() {
                let own = settings.of(account, &entry.tunnel);
                if own.enabled {
                    let uplinks = match (&own.uplinks, own.vantage) {
                        (Some(uplinks), _) => draft.uplinks(uplinks, settings),
                        (None, Vantage::Site) => Arc::clone(&shared),
                        (None, Vantage::Remote) => Arc::default(),
                    };
                    let tunnel = draft.tunnel(&entry.tunnel, &own, uplinks);
                    draft.plan.tunnels.insert(Arc::new(TunnelKey::new(account, &entry.tunnel)), tunnel);
                }
            }
        }
        draft.plan
    }

    /// Who is probed: nobody while probing is switched off.
    pub fn in_force(fleet: &Fleet, settings: &Settings) -> Self {
        if settings.enabled { Self::draw(fleet, settings) } else { Self::default() }
    }

    /// Each session once.
    pub fn sessions(&self) -> BTreeSet<&SessionKey> {
        let targets = self.tunnels.values().flat_map(|tunnel| tunnel.targets.iter().map(|(_, session)| session));
        targets.chain(&self.uplinks).collect()
    }
}

/// A plan in the making.
struct Draft {
    plan: Plan,
    /// One copy of each binding, shared by all its sessions.
    bindings: BTreeSet<Arc<Binding>>,
    mode: SocketMode,
}

impl Draft {
    /// Sessions to `addresses`, sorted. They leave as what holds for all tunnels says: the interface of an override may be the tunnel.
    fn uplinks(&mut self, addresses: &[IpAddr], settings: &Settings) -> Arc<[SessionKey]> {
        let TunnelSettings { sources, interface, .. } = &settings.tunnels;
        let mut uplinks = BTreeSet::new();
        for &uplink in addresses {
            let session = address::check(uplink, interface.is_some());
            let session = session.map(|address| self.session(address, *sources, interface.as_ref()));
            uplinks.extend(self.count(session));
        }
        self.plan.uplinks.extend(uplinks.iter().cloned());
        uplinks.into_iter().collect()
    }

    fn tunnel(&mut self, tunnel: &Tunnel, settings: &TunnelSettings, uplinks: Arc<[SessionKey]>) -> TunnelPlan {
        let bound = settings.interface.is_some();
        let mut targets = Vec::with_capacity(settings.targets.len());
        let stated = settings.targets.iter().filter_map(|&target| Some((target, address_of(tunnel, target, bound)?)));
        for (target, found) in stated.chain(extra(settings.extra, bound)) {
            let session = found.map(|address| self.session(address, settings.sources, settings.interface.as_ref()));
            targets.extend(self.count(session).map(|session| (target, session)));
        }
        TunnelPlan { vantage: settings.vantage, targets: targets.into(), uplinks }
    }

    fn session(&mut self, address: IpAddr, sources: Addresses, interface: Option<&Arc<str>>) -> SessionKey {
        let binding =
            Binding { mode: self.mode, source: sources.of(IpVersion::of(address)), interface: interface.cloned() };
        let binding = if let Some(known) = self.bindings.get(&binding) {
            Arc::clone(known)
        } else {
            let new = Arc::new(binding);
            self.bindings.insert(Arc::clone(&new));
            new
        };
        SessionKey { address, binding }
    }

    fn count<T>(&mut self, found: Result<T, Refusal>) -> Option<T> {
        found.map_err(|refusal| *self.plan.refused.entry(refusal).or_default() += 1).ok()
    }
}

/// The address of a target; `None` where the API states nothing to derive one from.
fn address_of(tunnel: &Tunnel, target: ProbeTarget, bound: bool) -> Option<Result<IpAddr, Refusal>> {
    match target {
        ProbeTarget::CustomerEndpoint => stated(&tunnel.customer_endpoint, |&ip| address::check(ip, bound)),
        ProbeTarget::InterfaceAddress => stated(&tunnel.interface_address, |net| address::host(net, bound)),
        ProbeTarget::InterfaceAddress6 => stated(&tunnel.interface_address6, |net| address::host(net, bound)),
        ProbeTarget::InterfacePeer => stated_peer(tunnel, &tunnel.interface_address, bound),
        ProbeTarget::InterfacePeer6 => stated_peer(tunnel, &tunnel.interface_address6, bound),
        ProbeTarget::HealthCheckTarget => {
            let text = tunnel.health_check.as_ref()?.target.effective.as_deref()?;
            Some(address::text_address(text).ok_or(Refusal::Unparsable).and_then(|ip| address::check(ip, bound)))
        }
        // Not the API's to state.
        ProbeTarget::ExtraAddress | ProbeTarget::ExtraAddress6 => None,
    }
}

/// The hosts that the operator named.
fn extra(addresses: Addresses, bound: bool) -> impl Iterator<Item = (ProbeTarget, Result<IpAddr, Refusal>)> {
    let v4 = addresses.v4.map(|v4| (ProbeTarget::ExtraAddress, v4.into()));
    let v6 = addresses.v6.map(|v6| (ProbeTarget::ExtraAddress6, v6.into()));
    v4.into_iter().chain(v6).map(move |(target, address)| (target, address::check(address, bound)))
}

fn stated<T>(field: &Stated<T>, derive: impl FnOnce(&T) -> Result<IpAddr, Refusal>) -> Option<Result<IpAddr, Refusal>> {
    match field {
        Stated::Absent => None,
        Stated::Unparsable(_) => Some(Err(Refusal::Unparsable)),
        Stated::Value(value) => Some(derive(value)),
    }
}

fn stated_peer(tunnel: &Tunnel, field: &Stated<IpNet>, bound: bool) -> Option<Result<IpAddr, Refusal>> {
    stated(field, |prefix| address::peer(tunnel, prefix, bound))
}

#[cfg(test)]
mod tests;
