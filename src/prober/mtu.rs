//! The path MTU of addresses inside tunnels: which sizes are tried, and what is known.
//!
//! Sizes are those of whole IP packets in bytes. [`search`] decides which size is tried when; the batch engine sends.

pub mod search;

use std::{net::IpAddr, ops::RangeInclusive, time::Duration};

use crate::domain::{
    probe::IpVersion,
    tunnel::{Tunnel, TunnelDetails},
};

/// Sizes that can be configured. The smallest one has room for the content that proves a reply; jumbo frames do not
/// pass the Internet.
pub const SIZES: RangeInclusive<u16> = 128..=1_500;

/// Size of the small packet beside every large one. It is that of the usual echoes over IPv4.
pub const SMALL: u16 = 84;

/// Expected size of a GRE tunnel or an interconnect without a stated MTU: 1,500 bytes without outer headers.
const GRE: u16 = 1_476;

/// Expected size of an IPsec tunnel. Cloudflare documents 1,400 to 1,450 bytes.
const IPSEC: u16 = 1_400;

/// Minimum MTU of a link for IPv6 (RFC 8200 section 5).
const FLOOR_V6: u16 = 1_280;

/// Bytes of the IP header and the ICMP header.
pub const fn headers(version: IpVersion) -> u16 {
    match version {
        IpVersion::V4 => 28,
        IpVersion::V6 => 48,
    }
}

/// Settings for all tunnels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MtuSettings {
    pub enabled: bool,
    /// Time between two tries of the expected size while it passes. A search uses parts of it.
    pub interval: Duration,
    /// Smallest size that a search tries.
    pub floor: u16,
}

impl MtuSettings {
    pub const INTERVALS: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_hours(1);
}

impl Default for MtuSettings {
    fn default() -> Self {
        Self { enabled: false, interval: Duration::from_mins(1), floor: 576 }
    }
}

/// What is tried at one address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MtuLimits {
    expected: u16,
    floor: u16,
    interval: Duration,
}

impl MtuLimits {
    /// The floor is lowered to the expected size if it is larger.
    pub fn new(version: IpVersion, expected: u16, settings: MtuSettings) -> Self {
        let floor = match version {
            IpVersion::V4 => settings.floor,
            IpVersion::V6 => settings.floor.max(FLOOR_V6),
        };
        Self { expected, floor: floor.min(expected), interval: settings.interval }
    }

    pub const fn expected(self) -> u16 {
        self.expected
    }

    pub const fn floor(self) -> u16 {
        self.floor
    }

    pub const fn interval(self) -> Duration {
        self.interval
    }

    /// The limits for an address that several tunnels share: the smaller expected size, so that each tunnel is in
    /// order while it passes.
    #[must_use]
    pub fn smaller(self, other: Self) -> Self {
        if other.expected < self.expected { other } else { self }
    }
}

/// Returns the size that should pass through a tunnel, unless another one is configured.
pub fn expected_size(tunnel: &Tunnel) -> u16 {
    let (stated, usual) = match &tunnel.details {
        TunnelDetails::Gre(gre) => (gre.mtu, GRE),
        TunnelDetails::Ipsec(_) => (None, IPSEC),
        TunnelDetails::Interconnect(interconnect) => (interconnect.mtu, GRE),
    };
    let size = |mtu| u16::try_from(mtu).unwrap_or(u16::MAX).clamp(*SIZES.start(), *SIZES.end());
    stated.map_or(usual, size)
}

/// What is known about the path to one address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PathMtu {
    /// The largest size with a reply, at most the expected one. `None` until the first reply or the end of the first
    /// search.
    pub size: Option<u16>,
    /// Whether larger packets are lost without an ICMP error that explains it. `None` as long as `size` is.
    pub black_hole: Option<bool>,
}

/// What is known about the path to one address, with counters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MtuReading {
    pub expected: u16,
    pub path: PathMtu,
    pub requests: u64,
    pub replies: u64,
}

impl MtuReading {
    pub fn new(expected: u16) -> Self {
        Self { expected, path: PathMtu::default(), requests: 0, replies: 0 }
    }

    /// Returns the path MTU if it is below the expected size.
    pub fn low(&self, address: IpAddr) -> Option<LowMtu> {
        let size = self.path.size.filter(|&size| size < self.expected)?;
        let is_silent = self.path.black_hole.unwrap_or(false);
        Some(LowMtu { size, expected: self.expected, address, is_silent })
    }
}

/// A path MTU below the expected size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LowMtu {
    pub size: u16,
    pub expected: u16,
    pub address: IpAddr,
    /// Whether larger packets are lost without an ICMP error.
    pub is_silent: bool,
}

impl LowMtu {
    /// The largest TCP payload of a segment that fits: without the headers of IP and TCP.
    pub fn segment(self) -> u16 {
        self.size.saturating_sub(if self.address.is_ipv4() { 40 } else { 60 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{
        fixtures::{gre, tunnel},
        tunnel::GreDetails,
    };

    #[test]
    fn the_expected_size_follows_from_the_type_and_the_stated_mtu() {
        let stated = |mtu| {
            let mut tunnel = gre(tunnel("t"));
            tunnel.details = TunnelDetails::Gre(GreDetails { mtu: Some(mtu), ttl: None });
            expected_size(&tunnel)
        };
        assert_eq!((expected_size(&tunnel("t")), expected_size(&gre(tunnel("t")))), (1_400, 1_476));
        assert_eq!([576, 1_450, 9_000, u32::MAX, 0].map(stated), [576, 1_450, 1_500, 1_500, 128]);
    }

    #[test]
    fn the_floor_is_never_above_the_expected_size() {
        let settings = MtuSettings::default();
        let floor = |version, expected| MtuLimits::new(version, expected, settings).floor();
        assert_eq!((floor(IpVersion::V4, 1_400), floor(IpVersion::V4, 500)), (576, 500));
        assert_eq!((floor(IpVersion::V6, 1_400), floor(IpVersion::V6, 1_000)), (1_280, 1_000));
    }
}
