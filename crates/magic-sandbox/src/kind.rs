//! The two collections, and the names that differ between them.

use serde::Deserialize;

/// A kind of tunnel; also the name of its collection in paths, faults and stories.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize)]
pub enum Kind {
    #[serde(rename = "ipsec_tunnels", alias = "ipsec")]
    Ipsec,
    #[serde(rename = "gre_tunnels", alias = "gre")]
    Gre,
}

impl Kind {
    /// Path segment, and key of the list in bodies.
    pub(super) const fn collection(self) -> &'static str {
        match self {
            Self::Ipsec => "ipsec_tunnels",
            Self::Gre => "gre_tunnels",
        }
    }

    pub(super) fn from_collection(segment: &str) -> Option<Self> {
        [Self::Ipsec, Self::Gre].into_iter().find(|kind| kind.collection() == segment)
    }

    /// Key of one tunnel in bodies.
    pub(super) const fn item(self) -> &'static str {
        match self {
            Self::Ipsec => "ipsec_tunnel",
            Self::Gre => "gre_tunnel",
        }
    }

    /// Cloudflare's end of the outer packets.
    pub(super) const fn cloudflare_endpoint(self) -> &'static str {
        match self {
            Self::Ipsec => "cloudflare_endpoint",
            Self::Gre => "cloudflare_gre_endpoint",
        }
    }

    /// The customer's end of the outer packets.
    pub(super) const fn customer_endpoint(self) -> &'static str {
        match self {
            Self::Ipsec => "customer_endpoint",
            Self::Gre => "customer_gre_endpoint",
        }
    }
}

/// How `health_check.target` is written, chosen by the header `x-magic-new-hc-target`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// `"203.0.113.1"`: what was saved.
    Text,
    /// `{"saved": "", "effective": "203.0.113.1"}`.
    Object,
}
