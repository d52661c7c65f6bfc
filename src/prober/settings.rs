//! What the operator decides about probing. Checked once, here; the rest of the prober can rely on it.

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
        probe::{Binding, IpVersion, ProbeTarget, Silence, SocketMode, Thresholds, Vantage},
        selector::Selector,
        tunnel::Tunnel,
    },
    prober::histogram::Buckets,
};

/// How often an address is probed and how long an answer may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timing {
    interval: Duration,
    timeout: Duration,
}

/// Why a pair of durations is no [`Timing`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TimingError {
    #[error("the interval must be at least {}", humantime::format_duration(Timing::LEAST_INTERVAL))]
    TooFast,
    #[error("the timeout must be at least {}", humantime::format_duration(Timing::LEAST_TIMEOUT))]
    TooImpatient,
    #[error("the timeout must not be longer than the interval")]
    TimeoutAboveInterval,
}

impl Timing {
    pub const LEAST_INTERVAL: Duration = Duration::from_millis(100);
    pub const LEAST_TIMEOUT: Duration = Duration::from_millis(10);

    /// The timeout is never longer than the interval, so a session has one echo in flight at most.
    pub fn new(interval: Duration, timeout: Duration) -> Result<Self, TimingError> {
        if interval < Self::LEAST_INTERVAL {
            return Err(TimingError::TooFast);
        }
        if timeout < Self::LEAST_TIMEOUT {
            return Err(TimingError::TooImpatient);
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

/// What a running session is told again at each change of the settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    pub timing: Timing,
    pub thresholds: Thresholds,
}

impl Default for Pace {
    fn default() -> Self {
        const DOWN_AFTER: NonZeroU32 = NonZeroU32::new(3).expect("not zero");
        const UP_AFTER: NonZeroU32 = NonZeroU32::new(2).expect("not zero");
        Self { timing: Timing::default(), thresholds: Thresholds { down_after: DOWN_AFTER, up_after: UP_AFTER } }
    }
}

/// At most one address for each version of the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Addresses {
    pub v4: Option<Ipv4Addr>,
    pub v6: Option<Ipv6Addr>,
}

impl Addresses {
    pub fn of(self, version: IpVersion) -> Option<IpAddr> {
        match version {
            IpVersion::V4 => self.v4.map(IpAddr::V4),
            IpVersion::V6 => self.v6.map(IpAddr::V6),
        }
    }
}

impl From<IpAddr> for Addresses {
    fn from(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(v4) => Self { v4: Some(v4), v6: None },
            IpAddr::V6(v6) => Self { v4: None, v6: Some(v6) },
        }
    }
}

/// The settings that may differ from tunnel to tunnel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TunnelSettings {
    pub enabled: bool,
    pub vantage: Vantage,
    /// What to probe; [`Vantage::Remote`] adds the peer targets by itself.
    pub targets: BTreeSet<ProbeTarget>,
    /// Addresses to send from; none leaves the choice to the routing table.
    pub sources: Addresses,
    /// Name of the network interface to send through.
    pub interface: Option<Arc<str>>,
    /// Hosts that answer only through this tunnel, one for each version of the protocol; probed whatever `targets` says.
    pub extra: Addresses,
    /// Addresses that answer while the tunnel's own circuit works, in the place of [`Settings::uplinks`].
    pub uplinks: Option<Vec<IpAddr>>,
}

impl Default for TunnelSettings {
    fn default() -> Self {
        use ProbeTarget::{CustomerEndpoint, InterfaceAddress, InterfaceAddress6};
        Self {
            enabled: true,
            vantage: Vantage::Site,
            targets: [CustomerEndpoint, InterfaceAddress, InterfaceAddress6].into(),
            sources: Addresses::default(),
            interface: None,
            extra: Addresses::default(),
            uplinks: None,
        }
    }
}

/// Other settings for some tunnels. What is `None` stays as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Override {
    pub selector: Selector,
    pub enabled: Option<bool>,
    pub vantage: Option<Vantage>,
    pub targets: Option<BTreeSet<ProbeTarget>>,
    pub sources: Option<Addresses>,
    pub interface: Option<Arc<str>>,
    pub extra: Option<Addresses>,
    pub uplinks: Option<Vec<IpAddr>>,
}

impl Override {
    /// One that changes nothing yet.
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
        if let Some(enabled) = self.enabled {
            settings.enabled = enabled;
        }
        if let Some(vantage) = self.vantage {
            settings.vantage = vantage;
        }
        if let Some(targets) = &self.targets {
            settings.targets.clone_from(targets);
        }
        if let Some(sources) = self.sources {
            settings.sources = sources;
        }
        if let Some(interface) = &self.interface {
            settings.interface = Some(Arc::clone(interface));
        }
        if let Some(extra) = self.extra {
            settings.extra = extra;
        }
        if let Some(uplinks) = &self.uplinks {
            settings.uplinks = Some(uplinks.clone());
        }
    }
}

/// Everything the operator decides about probing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Whether anything is probed at all.
    pub enabled: bool,
    pub pace: Pace,
    pub socket: SocketMode,
    pub silence: Silence,
    pub buckets: Buckets,
    /// Addresses outside every tunnel, pinged once for all of them, with the sources and interface of `tunnels`; so are those of an
    /// override, whose own interface may be the tunnel's.
    pub uplinks: Vec<IpAddr>,
    /// What holds for every tunnel that no override names.
    pub tunnels: TunnelSettings,
    /// Applied in this order, so that the last word wins.
    pub overrides: Vec<Override>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            enabled: false,
            pace: Pace::default(),
            socket: SocketMode::Auto,
            silence: Silence::default(),
            buckets: Buckets::rtt(),
            uplinks: Vec::new(),
            tunnels: TunnelSettings::default(),
            overrides: Vec::new(),
        }
    }
}

impl Settings {
    /// Every binding that some tunnel may be probed with, for each version of the protocol.
    pub fn bindings(&self) -> BTreeSet<(IpVersion, Binding)> {
        let overridden = self.overrides.iter().map(|other| {
            let mut settings = self.tunnels.clone();
            other.apply(&mut settings);
            settings
        });
        let all = overridden.chain([self.tunnels.clone()]).flat_map(|tunnels| {
            IpVersion::ALL.iter().map(move |&version| {
                let (source, interface) = (tunnels.sources.of(version), tunnels.interface.clone());
                (version, Binding { mode: self.socket, source, interface })
            })
        });
        all.collect()
    }

    /// What holds for this tunnel.
    pub fn of(&self, account: &AccountName, tunnel: &Tunnel) -> TunnelSettings {
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
    fn a_timeout_above_the_interval_is_refused() {
        let ms = Duration::from_millis;
        assert_eq!(Timing::new(ms(1000), ms(1001)), Err(TimingError::TimeoutAboveInterval));
        assert_eq!(Timing::new(ms(99), ms(50)), Err(TimingError::TooFast));
        assert_eq!(Timing::new(ms(100), ms(9)), Err(TimingError::TooImpatient));
        assert_eq!(Timing::new(ms(1000), ms(1000)), Ok(Timing::default()));
        assert_eq!(TimingError::TooFast.to_string(), "the interval must be at least 100ms");
    }
}
