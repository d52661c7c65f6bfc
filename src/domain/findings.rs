//! Properties of a tunnel's configuration that deserve a look. They are facts and do not influence the verdict.

use std::collections::BTreeSet;

use ipnet::IpNet;
use jiff::{SignedDuration, Timestamp};

use super::{
    label::{Label, label_enum},
    tunnel::{CheckType, IpsecDetails, Stated, Tunnel, TunnelDetails},
};

/// Age from which a pre-shared key should be replaced.
const OLD_KEY: SignedDuration = SignedDuration::from_hours(365 * 24);

/// Smallest MTU in bytes that is usual for a tunnel over paths of 1500 bytes.
const LEAST_MTU: u32 = 1400;

/// Largest usual MTU of a GRE tunnel, which is the default: 1500 bytes without the outer header.
const GRE_MTU: u32 = 1476;

/// Largest usual MTU of an interconnect, which is the default: packets are not encapsulated.
const INTERCONNECT_MTU: u32 = 1500;

label_enum! {
    /// A property of the configuration. docs/FINDINGS.md lists them.
    pub enum Finding {
        NullCipherAllowed => "null_cipher_allowed",
        ReplayProtectionOff => "replay_protection_off",
        HealthCheckOff => "health_check_off",
        ReplyCheck => "reply_check",
        PskOld => "psk_old",
        MtuUnusual => "mtu_unusual",
        NoCustomerEndpoint => "no_customer_endpoint",
        SharedInterfacePrefix => "shared_interface_prefix",
    }
}

label_enum! {
    /// How urgent a finding is.
    pub enum Severity {
        /// Traffic can be lost or read, or a fault can be missed.
        Warning => "warning",
        /// The property can be intended.
        Info => "info",
    }
}

/// What a finding means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FindingText {
    pub severity: Severity,
    /// A sentence without a capital letter and a trailing period.
    pub sentence: &'static str,
    pub remedy: &'static str,
}

impl Finding {
    pub const fn text(self) -> FindingText {
        let (severity, sentence, remedy) = match self {
            Self::NullCipherAllowed => (
                Severity::Warning,
                "the tunnel may use the null cipher, which does not encrypt",
                "set `allow_null_cipher` to false, unless the traffic is encrypted in another way",
            ),
            Self::ReplayProtectionOff => (
                Severity::Info,
                "replay protection is off, so the site cannot recognize packets that are sent again",
                "if the device at the site has anti-replay enabled, set `replay_protection` to true or disable it there",
            ),
            Self::HealthCheckOff => (
                Severity::Warning,
                "Cloudflare's health checks are off, so Cloudflare cannot route around a fault of the tunnel",
                "set `health_check.enabled` to true",
            ),
            Self::ReplyCheck => (
                Severity::Info,
                "Cloudflare checks the tunnel with ICMP echo replies, which stateful firewalls drop",
                "set `health_check.type` to `request`, or accept echo replies without a request in the firewall",
            ),
            Self::PskOld => (
                Severity::Info,
                "the pre-shared key is older than a year",
                "generate a new key, and configure it at Cloudflare and at the site",
            ),
            Self::MtuUnusual => (
                Severity::Warning,
                "the MTU is not between 1400 bytes and the default, so packets can be fragmented or lost",
                "set `mtu` to the default (1476 for GRE, 1500 for an interconnect), or to what the path carries",
            ),
            Self::NoCustomerEndpoint => (
                Severity::Info,
                "the tunnel has no customer endpoint, so its circuit cannot be probed",
                "set `customer_endpoint`, or probe an uplink of the site with `--probe.uplink`",
            ),
            Self::SharedInterfacePrefix => (
                Severity::Warning,
                "another tunnel of the account has the same interface prefix, so replies can take the wrong tunnel",
                "give each tunnel an interface prefix of its own",
            ),
        };
        FindingText { severity, sentence, remedy }
    }
}

/// The findings on one tunnel: `Some(true)` if present, `None` if a finding does not apply or the API omits the value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Findings([Option<bool>; Finding::ALL.len()]);

impl Findings {
    /// Examines a tunnel at `now`. `shared` are the prefixes of its account; `None` if only a part of the account is
    /// known.
    pub fn of(tunnel: &Tunnel, shared: Option<&SharedPrefixes>, now: Timestamp) -> Self {
        let mut findings = Self([None; Finding::ALL.len()]);
        for &finding in Finding::ALL {
            findings.0[finding as usize] = examine(finding, tunnel, shared, now);
        }
        findings
    }

    pub const fn get(self, finding: Finding) -> Option<bool> {
        self.0[finding as usize]
    }

    /// The findings that are present.
    pub fn present(self) -> impl Iterator<Item = Finding> {
        Finding::ALL.iter().copied().filter(move |&finding| self.get(finding) == Some(true))
    }
}

fn examine(finding: Finding, tunnel: &Tunnel, shared: Option<&SharedPrefixes>, now: Timestamp) -> Option<bool> {
    let check = tunnel.health_check.as_ref();
    match finding {
        Finding::NullCipherAllowed => ipsec(tunnel)?.allow_null_cipher,
        Finding::ReplayProtectionOff => ipsec(tunnel)?.replay_protection.map(|on| !on),
        Finding::HealthCheckOff => check?.enabled.map(|on| !on),
        // The type of a check that is off has no effect.
        Finding::ReplyCheck => match check?.check_type? {
            CheckType::Unknown => None,
            known => Some(known == CheckType::Reply && check?.enabled != Some(false)),
        },
        Finding::PskOld => ipsec(tunnel)?.psk_generated_on.map(|then| now.duration_since(then) > OLD_KEY),
        Finding::MtuUnusual => mtu(tunnel).map(|(mtu, largest)| !(LEAST_MTU..=largest).contains(&mtu)),
        Finding::NoCustomerEndpoint => has_endpoints(tunnel).then_some(tunnel.customer_endpoint == Stated::Absent),
        Finding::SharedInterfacePrefix => prefixes(tunnel).next().and_then(|_| Some(shared?.contain_any_of(tunnel))),
    }
}

fn ipsec(tunnel: &Tunnel) -> Option<IpsecDetails> {
    if let TunnelDetails::Ipsec(ipsec) = tunnel.details { Some(ipsec) } else { None }
}

/// The MTU of a tunnel, and the largest usual one of its type.
fn mtu(tunnel: &Tunnel) -> Option<(u32, u32)> {
    match &tunnel.details {
        TunnelDetails::Gre(gre) => Some((gre.mtu?, GRE_MTU)),
        TunnelDetails::Interconnect(interconnect) => Some((interconnect.mtu?, INTERCONNECT_MTU)),
        TunnelDetails::Ipsec(_) => None,
    }
}

/// Whether tunnels of this type have an address at each end. An interconnect is a private link without them.
fn has_endpoints(tunnel: &Tunnel) -> bool {
    match tunnel.details {
        TunnelDetails::Ipsec(_) | TunnelDetails::Gre(_) => true,
        TunnelDetails::Interconnect(_) => false,
    }
}

fn prefixes(tunnel: &Tunnel) -> impl Iterator<Item = IpNet> {
    [&tunnel.interface_address, &tunnel.interface_address6].into_iter().filter_map(Stated::value).map(IpNet::trunc)
}

/// The interface prefixes that several tunnels of one account have.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SharedPrefixes(BTreeSet<IpNet>);

impl SharedPrefixes {
    pub fn among<'a>(tunnels: impl IntoIterator<Item = &'a Tunnel>) -> Self {
        let mut all: Vec<IpNet> = tunnels.into_iter().flat_map(prefixes).collect();
        all.sort_unstable();
        Self(all.windows(2).filter(|pair| pair[0] == pair[1]).map(|pair| pair[0]).collect())
    }

    fn contain_any_of(&self, tunnel: &Tunnel) -> bool {
        !self.0.is_empty() && prefixes(tunnel).any(|prefix| self.0.contains(&prefix))
    }
}

#[cfg(test)]
mod tests;
