//! The settings of the prober. Constructors validate them, so that the rest of the prober can rely on them.

use std::{collections::BTreeSet, net::IpAddr, num::NonZeroU32, sync::Arc, time::Duration};

use crate::{
    domain::{
        inventory::AccountName,
        label::Label as _,
        probe::{Binding, IpVersion, ProbeEngine, ProbeTarget, Silence, SocketMode, Thresholds, Vantage},
        rules::Selector,
        steering::{AddressPair, Steering},
        tunnel::{Tunnel, TunnelType},
    },
    prober::{
        histogram::Buckets,
        mtu::{self, MtuLimits, MtuSettings},
    },
};

/// Probe interval and timeout. The timeout never exceeds the interval, so that a session has at most one echo in
/// flight.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timing {
    interval: Duration,
    timeout: Duration,
}

/// Why an interval and a timeout are invalid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TimingError {
    #[error("the interval must be at least {}", humantime::format_duration(Timing::MIN_INTERVAL))]
    IntervalTooShort,
    #[error("the timeout must be at least {}", humantime::format_duration(Timing::MIN_TIMEOUT))]
    TimeoutTooShort,
    #[error("the timeout must not exceed the interval")]
    TimeoutAboveInterval,
}

impl Timing {
    /// Minimum interval.
    pub const MIN_INTERVAL: Duration = Duration::from_millis(100);
    /// Minimum timeout.
    pub const MIN_TIMEOUT: Duration = Duration::from_millis(10);

    /// # Errors
    /// [`TimingError`] if a duration is below its minimum or the timeout exceeds the interval.
    pub fn new(interval: Duration, timeout: Duration) -> Result<Self, TimingError> {
        if interval < Self::MIN_INTERVAL {
            return Err(TimingError::IntervalTooShort);
        }
        if timeout < Self::MIN_TIMEOUT {
            return Err(TimingError::TimeoutTooShort);
        }
        if timeout > interval {
            return Err(TimingError::TimeoutAboveInterval);
        }
        Ok(Self { interval, timeout })
    }

    pub const fn interval(self) -> Duration {
        self.interval
    }

    pub const fn timeout(self) -> Duration {
        self.timeout
    }
}

impl Default for Timing {
    fn default() -> Self {
        Self { interval: Duration::from_secs(1), timeout: Duration::from_secs(1) }
    }
}

/// The settings that running sessions adopt without a restart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SessionSettings {
    pub timing: Timing,
    pub thresholds: Thresholds,
}

impl SessionSettings {
    /// Time to wait for settled states in addition to the echoes, for the start of the sessions and for a busy machine.
    const MARGIN: Duration = Duration::from_secs(2);

    /// Maximum time from the start of a session until its state is settled: as many echoes as it takes to be down or
    /// up, the last one until its timeout. A target that alternates takes longer.
    pub fn time_to_settle(self) -> Duration {
        let echoes = self.thresholds.down_after.max(self.thresholds.up_after).get() + 1;
        self.timing.interval() * echoes + self.timing.timeout() + Self::MARGIN
    }
}

impl Default for SessionSettings {
    fn default() -> Self {
        const DOWN_AFTER: NonZeroU32 = NonZeroU32::new(3).expect("not zero");
        const UP_AFTER: NonZeroU32 = NonZeroU32::new(2).expect("not zero");
        Self { timing: Timing::default(), thresholds: Thresholds { down_after: DOWN_AFTER, up_after: UP_AFTER } }
    }
}

/// Settings that overrides can change for some tunnels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TunnelSettings {
    pub enabled: bool,
    pub vantage: Vantage,
    /// Targets to probe. [`Vantage::Remote`] adds the peer targets.
    pub targets: BTreeSet<ProbeTarget>,
    /// Addresses to send from. By default the routing table decides.
    pub sources: AddressPair,
    /// Network interface to send through.
    pub interface: Option<Arc<str>>,
    /// Hosts that are reachable only through this tunnel. Probed regardless of `targets`.
    pub extra: AddressPair,
    /// Addresses that are reachable while the circuit of the tunnel works. Replaces [`ProbeSettings::uplinks`].
    pub uplinks: Option<Vec<IpAddr>>,
    /// Whether the path MTU is watched, if [`ProbeSettings::mtu`] is enabled.
    pub mtu: bool,
    /// The size that should pass, instead of that of the type of the tunnel.
    pub expected_mtu: Option<u16>,
}

impl Default for TunnelSettings {
    fn default() -> Self {
        use ProbeTarget::{CustomerEndpoint, InterfaceAddress, InterfaceAddress6};
        Self {
            enabled: true,
            vantage: Vantage::Site,
            targets: [CustomerEndpoint, InterfaceAddress, InterfaceAddress6].into(),
            sources: AddressPair::default(),
            interface: None,
            extra: AddressPair::default(),
            uplinks: None,
            mtu: true,
            expected_mtu: None,
        }
    }
}

impl TunnelSettings {
    /// Returns what is tried at the addresses inside the tunnel; `None` if their path MTUs are not watched. From
    /// another site, the path is that of two tunnels.
    pub fn mtu_limits(&self, tunnel: &Tunnel, version: IpVersion, settings: MtuSettings) -> Option<MtuLimits> {
        let is_watched = settings.enabled && self.mtu && self.vantage == Vantage::Site;
        let expected = || self.expected_mtu.unwrap_or_else(|| mtu::expected_size(tunnel));
        is_watched.then(|| MtuLimits::new(version, expected(), settings))
    }

    fn apply(&mut self, steering: &Steering) {
        fn set<T: Clone>(setting: &mut T, value: Option<&T>) {
            if let Some(value) = value {
                setting.clone_from(value);
            }
        }
        set(&mut self.enabled, steering.enabled.as_ref());
        set(&mut self.vantage, steering.vantage.as_ref());
        set(&mut self.targets, steering.targets.as_ref());
        set(&mut self.extra, steering.extra.as_ref());
        self.uplinks = steering.uplinks.clone().or(self.uplinks.take());
    }
}

/// Overrides settings for some tunnels. `None` keeps a setting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProbeOverride {
    pub selector: Selector,
    /// Settings that a hub sends to its agents.
    pub steering: Steering,
    /// Settings of this host.
    pub sources: Option<AddressPair>,
    pub interface: Option<Arc<str>>,
    pub mtu: Option<bool>,
    pub expected_mtu: Option<u16>,
}

impl ProbeOverride {
    /// Creates an override without settings.
    pub fn new(selector: Selector) -> Self {
        let steering = Steering::default();
        Self { selector, steering, sources: None, interface: None, mtu: None, expected_mtu: None }
    }

    fn apply(&self, settings: &mut TunnelSettings) {
        settings.apply(&self.steering);
        settings.sources = self.sources.unwrap_or(settings.sources);
        settings.interface = self.interface.clone().or(settings.interface.take());
        settings.mtu = self.mtu.unwrap_or(settings.mtu);
        settings.expected_mtu = self.expected_mtu.or(settings.expected_mtu);
    }
}

/// All settings of the prober.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProbeSettings {
    /// Whether probing is enabled.
    pub enabled: bool,
    /// Takes effect only at the start.
    pub engine: ProbeEngine,
    pub session: SessionSettings,
    pub socket: SocketMode,
    /// Class of service of all packets, 0 to 63.
    pub dscp: u8,
    pub mtu: MtuSettings,
    pub silence: Silence,
    pub buckets: Buckets,
    /// Addresses outside the tunnels, probed once for all tunnels. They use the sources and the interface of `tunnels`;
    /// so do the uplinks of overrides, because the interface of an override may be the tunnel.
    pub uplinks: Vec<IpAddr>,
    /// Settings of tunnels without an override.
    pub tunnels: TunnelSettings,
    /// The part of `tunnels` that is configured on this host. It overrides what a hub states.
    pub stated: Steering,
    /// Applied in order; later ones win, setting by setting.
    pub overrides: Vec<ProbeOverride>,
}

impl Default for ProbeSettings {
    fn default() -> Self {
        Self {
            enabled: false,
            engine: ProbeEngine::default(),
            session: SessionSettings::default(),
            socket: SocketMode::Auto,
            dscp: 0,
            mtu: MtuSettings::default(),
            silence: Silence::default(),
            buckets: Buckets::rtt(),
            uplinks: Vec::new(),
            tunnels: TunnelSettings::default(),
            stated: Steering::default(),
            overrides: Vec::new(),
        }
    }
}

impl ProbeSettings {
    /// Returns every binding that a tunnel may be probed with, per IP version.
    pub fn bindings(&self) -> BTreeSet<(IpVersion, Binding)> {
        let overridden = self.overrides.iter().map(|other| {
            let mut settings = self.tunnels.clone();
            other.apply(&mut settings);
            settings
        });
        let all = overridden.chain([self.tunnels.clone()]).flat_map(|tunnels| {
            IpVersion::ALL.iter().map(move |&version| {
                let (source, interface) = (tunnels.sources.for_version(version), tunnels.interface.clone());
                (version, Binding { mode: self.socket, source, interface, dscp: self.dscp })
            })
        });
        all.collect()
    }

    /// Returns the settings of a tunnel: those of a hub, if there is one, then those of this host, then all overrides.
    /// By default only the customer's side of an interconnect is probed.
    pub fn for_tunnel(&self, account: &AccountName, tunnel: &Tunnel, of_hub: Option<&Steering>) -> TunnelSettings {
        let mut settings = self.tunnels.clone();
        if tunnel.tunnel_type() == TunnelType::Interconnect && settings.targets == TunnelSettings::default().targets {
            settings.targets = [ProbeTarget::InterfacePeer].into();
        }
        if let Some(steering) = of_hub {
            settings.apply(steering);
            settings.apply(&self.stated);
            settings.uplinks = settings.uplinks.filter(|_| self.uplinks.is_empty());
        }
        for other in self.overrides_for(account, tunnel) {
            other.apply(&mut settings);
        }
        if settings.vantage == Vantage::Remote {
            settings.targets.extend(Vantage::Remote.through_the_tunnel());
        }
        settings
    }

    /// Returns what the overrides state for the agents that probe a tunnel.
    pub fn steering(&self, account: &AccountName, tunnel: &Tunnel) -> Steering {
        let mut steering = Steering::default();
        self.overrides_for(account, tunnel).for_each(|other| steering.extend(&other.steering));
        steering
    }

    fn overrides_for(&self, account: &AccountName, tunnel: &Tunnel) -> impl Iterator<Item = &ProbeOverride> {
        self.overrides.iter().filter(|other| other.selector.matches(account, tunnel))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::fixtures::tunnel;

    #[test]
    fn invalid_timings_are_rejected() {
        let ms = Duration::from_millis;
        assert_eq!(Timing::new(ms(1000), ms(1001)), Err(TimingError::TimeoutAboveInterval));
        assert_eq!(Timing::new(ms(99), ms(50)), Err(TimingError::IntervalTooShort));
        assert_eq!(Timing::new(ms(100), ms(9)), Err(TimingError::TimeoutTooShort));
        assert_eq!(Timing::new(ms(1000), ms(1000)), Ok(Timing::default()));
        assert_eq!(TimingError::IntervalTooShort.to_string(), "the interval must be at least 100ms");
    }

    #[test]
    fn a_hub_steers_a_tunnel_and_the_settings_of_this_host_win() {
        let addresses = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect::<Vec<IpAddr>>();
        let mut at_hub = [Selector::name("*"), Selector::name("fra*")].map(ProbeOverride::new);
        at_hub[0].steering = Steering {
            enabled: Some(false),
            uplinks: Some(addresses(&["192.0.2.1"])),
            extra: Some(addresses(&["10.9.0.1"]).into_iter().collect()),
            ..Steering::default()
        };
        at_hub[1].steering = Steering { enabled: Some(true), vantage: Some(Vantage::Remote), ..Steering::default() };
        at_hub[1].interface = Some("only-there".into());
        let hub = ProbeSettings { overrides: at_hub.into(), ..ProbeSettings::default() };
        let (account, fra) = (AccountName::new("acme"), tunnel("fra"));
        let steering = hub.steering(&account, &fra);
        let steered = ProbeSettings::default().for_tunnel(&account, &fra, Some(&steering));
        assert_eq!((steered.enabled, steered.vantage, steered.interface), (true, Vantage::Remote, None));
        assert_eq!((steered.uplinks, steered.extra.v4), (Some(addresses(&["192.0.2.1"])), "10.9.0.1".parse().ok()));
        assert!(!hub.steering(&account, &tunnel("lon")).enabled.unwrap());

        let stated = Steering { vantage: Some(Vantage::Site), ..Steering::default() };
        let agent = ProbeSettings { stated, uplinks: addresses(&["192.0.2.7"]), ..ProbeSettings::default() };
        let steered = agent.for_tunnel(&account, &fra, Some(&steering));
        assert_eq!((steered.enabled, steered.vantage, steered.uplinks), (true, Vantage::Site, None));
        let mut off = ProbeOverride::new(Selector::id("fra"));
        off.steering.enabled = Some(false);
        let agent = ProbeSettings { overrides: vec![off], ..ProbeSettings::default() };
        assert!(!agent.for_tunnel(&account, &fra, Some(&steering)).enabled);
    }
}
