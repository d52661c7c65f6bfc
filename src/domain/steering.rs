//! Probe settings that a hub states for one tunnel, so that one configuration file steers the probes of all its agents.

use std::{
    collections::BTreeSet,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use super::{
    label::Label as _,
    probe::{IpVersion, ProbeTarget, Vantage},
};

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

    /// The addresses that are set, IPv4 first.
    pub fn iter(self) -> impl Iterator<Item = IpAddr> {
        IpVersion::ALL.iter().filter_map(move |&version| self.for_version(version))
    }
}

impl From<IpAddr> for AddressPair {
    fn from(address: IpAddr) -> Self {
        [address].into_iter().collect()
    }
}

/// Later addresses replace earlier ones of the same version.
impl FromIterator<IpAddr> for AddressPair {
    fn from_iter<I: IntoIterator<Item = IpAddr>>(addresses: I) -> Self {
        let mut pair = Self::default();
        for address in addresses {
            match address {
                IpAddr::V4(v4) => pair.v4 = Some(v4),
                IpAddr::V6(v6) => pair.v6 = Some(v6),
            }
        }
        pair
    }
}

/// Probe settings that mean the same on every host. `None` keeps a setting.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Steering {
    pub enabled: Option<bool>,
    pub vantage: Option<Vantage>,
    pub targets: Option<BTreeSet<ProbeTarget>>,
    pub extra: Option<AddressPair>,
    pub uplinks: Option<Vec<IpAddr>>,
}

impl Steering {
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Replaces the settings that `later` has.
    pub fn extend(&mut self, later: &Self) {
        fn set<T: Clone>(setting: &mut Option<T>, value: Option<&T>) {
            if value.is_some() {
                *setting = value.cloned();
            }
        }
        set(&mut self.enabled, later.enabled.as_ref());
        set(&mut self.vantage, later.vantage.as_ref());
        set(&mut self.targets, later.targets.as_ref());
        set(&mut self.extra, later.extra.as_ref());
        set(&mut self.uplinks, later.uplinks.as_ref());
    }
}
