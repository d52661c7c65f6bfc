//! The plan: which addresses are probed, from the inventory and the settings alone.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    sync::Arc,
};

use ipnet::IpNet;

use super::{
    mtu::MtuLimits,
    settings::{ProbeSettings, TunnelSettings},
};
use crate::domain::{
    inventory::{Fleet, TunnelKey},
    peer,
    probe::{Binding, IpVersion, ProbeTarget, RefusalReason, SessionKey, Vantage},
    steering::AddressPair,
    tunnel::{Stated, Tunnel},
};

/// The sessions of one tunnel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlannedTunnel {
    pub vantage: Vantage,
    /// Sorted by [`ProbeTarget`].
    pub targets: Box<[(ProbeTarget, SessionKey)]>,
    /// Addresses that show whether the underlay works. If empty, the customer endpoint shows it.
    pub uplinks: Arc<[SessionKey]>,
}

/// All sessions of the prober.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ProbePlan {
    /// Every tunnel for which probing is enabled, even if it has no usable address.
    pub tunnels: BTreeMap<Arc<TunnelKey>, PlannedTunnel>,
    /// The uplinks of all tunnels.
    pub uplinks: BTreeSet<SessionKey>,
    /// The sessions with a watched path MTU.
    pub mtu: BTreeMap<SessionKey, MtuLimits>,
    /// Number of addresses that cannot be probed, by reason.
    pub refused: BTreeMap<RefusalReason, u64>,
}

impl ProbePlan {
    /// Plans the probes as if probing were enabled.
    pub fn build(fleet: &Fleet, settings: &ProbeSettings) -> Self {
        let mut builder = PlanBuilder { plan: Self::default(), bindings: BTreeSet::new(), settings };
        let shared = builder.add_uplinks(&settings.uplinks, settings);
        for (account, inventory) in &fleet.accounts {
            for entry in inventory.entries() {
                let own = settings.for_tunnel(account, &entry.tunnel, entry.steering.as_deref());
                if own.enabled {
                    let uplinks = match (&own.uplinks, own.vantage) {
                        (Some(uplinks), _) => builder.add_uplinks(uplinks, settings),
                        (None, Vantage::Site) => Arc::clone(&shared),
                        (None, Vantage::Remote) => Arc::default(),
                    };
                    let tunnel = builder.plan_tunnel(&entry.tunnel, &own, uplinks);
                    builder.plan.tunnels.insert(Arc::new(TunnelKey::new(account, &entry.tunnel)), tunnel);
                }
            }
        }
        builder.plan
    }

    /// Plans the probes; empty if probing is disabled.
    pub fn build_if_enabled(fleet: &Fleet, settings: &ProbeSettings) -> Self {
        if settings.enabled { Self::build(fleet, settings) } else { Self::default() }
    }

    /// Returns each session once.
    pub fn sessions(&self) -> BTreeSet<&SessionKey> {
        let targets = self.tunnels.values().flat_map(|tunnel| tunnel.targets.iter().map(|(_, session)| session));
        targets.chain(&self.uplinks).collect()
    }
}

/// State during [`ProbePlan::build`].
struct PlanBuilder<'a> {
    plan: ProbePlan,
    /// Each binding once, shared by its sessions.
    bindings: BTreeSet<Arc<Binding>>,
    settings: &'a ProbeSettings,
}

impl PlanBuilder<'_> {
    /// Adds uplinks and returns their sessions, sorted. They use the global source and interface, because the interface
    /// of an override may be the tunnel.
    fn add_uplinks(&mut self, addresses: &[IpAddr], settings: &ProbeSettings) -> Arc<[SessionKey]> {
        let TunnelSettings { sources, interface, .. } = &settings.tunnels;
        let mut uplinks = BTreeSet::new();
        for &uplink in addresses {
            let session = check_address(uplink, interface.is_some());
            let session = session.map(|address| self.session(address, *sources, interface.as_ref()));
            uplinks.extend(self.count_refusal(session));
        }
        self.plan.uplinks.extend(uplinks.iter().cloned());
        uplinks.into_iter().collect()
    }

    fn plan_tunnel(&mut self, tunnel: &Tunnel, settings: &TunnelSettings, uplinks: Arc<[SessionKey]>) -> PlannedTunnel {
        let bound = settings.interface.is_some();
        let mut targets = Vec::with_capacity(settings.targets.len());
        let stated =
            settings.targets.iter().filter_map(|&target| Some((target, target_address(tunnel, target, bound)?)));
        for (target, found) in stated.chain(extra_addresses(settings.extra, bound)) {
            let session = found.map(|address| self.session(address, settings.sources, settings.interface.as_ref()));
            targets.extend(self.count_refusal(session).map(|session| (target, session)));
        }
        self.watch_mtus(tunnel, settings, &targets);
        PlannedTunnel { vantage: settings.vantage, targets: targets.into(), uplinks }
    }

    /// Watches the path MTUs of Cloudflare's addresses inside the tunnel.
    fn watch_mtus(&mut self, tunnel: &Tunnel, settings: &TunnelSettings, targets: &[(ProbeTarget, SessionKey)]) {
        for (target, session) in targets {
            let version = IpVersion::from(session.address);
            if Vantage::Site.through_the_tunnel().contains(target)
                && let Some(limits) = settings.mtu_limits(tunnel, version, self.settings.mtu)
            {
                let known = self.plan.mtu.entry(session.clone()).or_insert(limits);
                *known = known.smaller(limits);
            }
        }
    }

    fn session(&mut self, address: IpAddr, sources: AddressPair, interface: Option<&Arc<str>>) -> SessionKey {
        let binding = Binding {
            mode: self.settings.socket,
            dscp: self.settings.dscp,
            source: sources.for_version(IpVersion::from(address)),
            interface: interface.cloned(),
        };
        let binding = self.bindings.get(&binding).map_or_else(|| Arc::new(binding), Arc::clone);
        self.bindings.insert(Arc::clone(&binding));
        SessionKey { address, binding }
    }

    fn count_refusal<T>(&mut self, found: Result<T, RefusalReason>) -> Option<T> {
        found.map_err(|reason| *self.plan.refused.entry(reason).or_default() += 1).ok()
    }
}

/// Returns the address of a target; `None` if the API omits the field.
fn target_address(tunnel: &Tunnel, target: ProbeTarget, bound: bool) -> Option<Result<IpAddr, RefusalReason>> {
    match target {
        ProbeTarget::CustomerEndpoint => check_stated(&tunnel.customer_endpoint, |&ip| check_address(ip, bound)),
        ProbeTarget::InterfaceAddress => check_stated(&tunnel.interface_address, |net| cloudflare_side(net, bound)),
        ProbeTarget::InterfaceAddress6 => check_stated(&tunnel.interface_address6, |net| cloudflare_side(net, bound)),
        ProbeTarget::InterfacePeer => check_stated(&tunnel.interface_address, |net| customer_side(tunnel, net, bound)),
        ProbeTarget::InterfacePeer6 => {
            check_stated(&tunnel.interface_address6, |net| customer_side(tunnel, net, bound))
        }
        ProbeTarget::HealthCheckTarget => {
            let text = tunnel.health_check.as_ref()?.target.effective.as_deref()?;
            Some(peer::parse_host(text).ok_or(RefusalReason::Unparsable).and_then(|ip| check_address(ip, bound)))
        }
        // From the configuration, not from the API.
        ProbeTarget::ExtraAddress | ProbeTarget::ExtraAddress6 => None,
    }
}

/// Returns the configured hosts.
fn extra_addresses(
    addresses: AddressPair,
    bound: bool,
) -> impl Iterator<Item = (ProbeTarget, Result<IpAddr, RefusalReason>)> {
    let v4 = addresses.v4.map(|v4| (ProbeTarget::ExtraAddress, v4.into()));
    let v6 = addresses.v6.map(|v6| (ProbeTarget::ExtraAddress6, v6.into()));
    v4.into_iter().chain(v6).map(move |(target, address)| (target, check_address(address, bound)))
}

fn check_stated<T>(
    field: &Stated<T>,
    derive: impl FnOnce(&T) -> Result<IpAddr, RefusalReason>,
) -> Option<Result<IpAddr, RefusalReason>> {
    match field {
        Stated::Absent => None,
        Stated::Unparsable(_) => Some(Err(RefusalReason::Unparsable)),
        Stated::Value(value) => Some(derive(value)),
    }
}

/// Refuses addresses that no single host can have. Loopback and documentation addresses are allowed, because the demo
/// and the tests use them.
fn check_address(address: IpAddr, bound_to_interface: bool) -> Result<IpAddr, RefusalReason> {
    if address.is_unspecified() {
        return Err(RefusalReason::Unspecified);
    }
    if address.is_multicast() {
        return Err(RefusalReason::Multicast);
    }
    match address {
        IpAddr::V4(v4) if v4.is_broadcast() => Err(RefusalReason::Broadcast),
        // RFC 6890: "this host on this network", and reserved addresses.
        IpAddr::V4(v4) if v4.octets()[0] == 0 || v4.octets()[0] >= 240 => Err(RefusalReason::Reserved),
        IpAddr::V6(v6) if v6.to_ipv4_mapped().is_some() => Err(RefusalReason::Reserved),
        // Ambiguous without an interface (RFC 4007).
        IpAddr::V6(v6) if v6.is_unicast_link_local() && !bound_to_interface => Err(RefusalReason::LinkLocal),
        _ => Ok(address),
    }
}

/// Returns Cloudflare's side of a prefix, which is its host part, unless that is the network or the broadcast address.
fn cloudflare_side(prefix: &IpNet, bound_to_interface: bool) -> Result<IpAddr, RefusalReason> {
    let address = check_address(prefix.addr(), bound_to_interface)?;
    if let IpNet::V4(v4) = prefix
        && v4.prefix_len() <= 30
    {
        if v4.addr() == v4.network() {
            return Err(RefusalReason::NetworkAddress);
        }
        if v4.addr() == v4.broadcast() {
            return Err(RefusalReason::Broadcast);
        }
    }
    Ok(address)
}

/// Returns the customer's side of a prefix.
fn customer_side(tunnel: &Tunnel, prefix: &IpNet, bound_to_interface: bool) -> Result<IpAddr, RefusalReason> {
    check_address(peer::customer_side(tunnel, prefix).ok_or(RefusalReason::NoPeer)?, bound_to_interface)
}

#[cfg(test)]
mod tests;
