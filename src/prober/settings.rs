//! The settings of the prober. Constructors validate them, so that the rest of the prober can rely on them.

use std::{
    collections::BTreeSet,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    num::NonZeroU32,
    sync::Arc,
    time::Duration,
};

use crate::{
    domain::{
        inventory::AccountName,
        label::Label as _,
        probe::{Binding, IpVersion, ProbeEngine, ProbeTarget, Silence, SocketMode, Thresholds, Vantage},
        rules::Selector,
        tunnel::Tunnel,
    },
    prober::histogram::Buckets,
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

/// At most one address per IP version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct AddressPair {
    pub v4: Option<Ipv4Addr>,
    pub v6: Option<Ipv6Addr>,
}

impl AddressPair {
    pub fn for_version(self, version: IpVersion) -> Option<IpAddr> {
        match version {
            IpVersion::V4 => self.v4.map(IpAddr::V4),
            IpVersion::V6 => self.v6.map(IpAddr::V6),
        }
    }
}

impl From<IpAddr> for AddressPair {
    fn from(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(v4) => Self { v4: Some(v4), v6: None },
            IpAddr::V6(v6) => Self { v4: None, v6: Some(v6) },
        }
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
        }
    }
}

/// Overrides settings for some tunnels. `None` keeps a setting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProbeOverride {
    pub selector: Selector,
    pub enabled: Option<bool>,
    pub vantage: Option<Vantage>,
    pub targets: Option<BTreeSet<ProbeTarget>>,
    pub sources: Option<AddressPair>,
    pub interface: Option<Arc<str>>,
    pub extra: Option<AddressPair>,
    pub uplinks: Option<Vec<IpAddr>>,
}

impl ProbeOverride {
    /// Creates an override without settings.
    pub const fn new(selector: Selector) -> Self {
        Self {
            selector,
            enabled: None,
            vantage: None,
            targets: None,
            sources: None,
            interface: None,
            extra: None,
            uplinks: None,
        }
    }

    fn apply(&self, settings: &mut TunnelSettings) {
        fn set<T: Clone>(setting: &mut T, value: Option<&T>) {
            if let Some(value) = value {
                setting.clone_from(value);
            }
        }
        set(&mut settings.enabled, self.enabled.as_ref());
        set(&mut settings.vantage, self.vantage.as_ref());
        set(&mut settings.targets, self.targets.as_ref());
        set(&mut settings.sources, self.sources.as_ref());
        set(&mut settings.extra, self.extra.as_ref());
        settings.interface = self.interface.clone().or(settings.interface.take());
        settings.uplinks = self.uplinks.clone().or(settings.uplinks.take());
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
    pub silence: Silence,
    pub buckets: Buckets,
    /// Addresses outside the tunnels, probed once for all tunnels. They use the sources and the interface of `tunnels`;
    /// so do the uplinks of overrides, because the interface of an override may be the tunnel.
    pub uplinks: Vec<IpAddr>,
    /// Settings of tunnels without an override.
    pub tunnels: TunnelSettings,
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
            silence: Silence::default(),
            buckets: Buckets::rtt(),
            uplinks: Vec::new(),
            tunnels: TunnelSettings::default(),
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
                (version, Binding { mode: self.socket, source, interface })
            })
        });
        all.collect()
    }

    /// Returns the settings of a tunnel after all overrides.
    pub fn for_tunnel(&self, account: &AccountName, tunnel: &Tunnel) -> TunnelSettings {
        let mut settings = self.tunnels.clone();
        for other in self.overrides.iter().filter(|other| other.selector.matches(account, tunnel)) {
            other.apply(&mut settings);
        }
        if settings.vantage == Vantage::Remote {
            settings.targets.extend(Vantage::Remote.through_the_tunnel());
        }
        settings
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn invalid_timings_are_rejected() {
        let ms = Duration::from_millis;
        assert_eq!(Timing::new(ms(1000), ms(1001)), Err(TimingError::TimeoutAboveInterval));
        assert_eq!(Timing::new(ms(99), ms(50)), Err(TimingError::IntervalTooShort));
        assert_eq!(Timing::new(ms(100), ms(9)), Err(TimingError::TimeoutTooShort));
        assert_eq!(Timing::new(ms(1000), ms(1000)), Ok(Timing::default()));
        assert_eq!(TimingError::IntervalTooShort.to_string(), "the interval must be at least 100ms");
    }
}
