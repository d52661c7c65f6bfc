//! The BGP session of a tunnel, as the API reports it.

use std::net::IpAddr;

use jiff::Timestamp;

use super::label::label_enum;

label_enum! {
    /// State of the session (`bgp_status.state`).
    pub enum BgpState {
        /// `BGP_UP`: routes are exchanged.
        Up => "up",
        /// `BGP_ESTABLISHING`: Cloudflare tries, the customer's device has not accepted yet.
        Establishing => "establishing",
        /// `BGP_DOWN`.
        Down => "down",
        /// The API said something that this version does not know.
        Unknown => "unknown",
    }
}

label_enum! {
    /// State of the finite state machine (RFC 4271 section 8.2.2), folded from the free string `bgp_status.bgp_state`.
    pub enum FsmState {
        Idle => "idle",
        Connect => "connect",
        Active => "active",
        OpenSent => "opensent",
        OpenConfirm => "openconfirm",
        Established => "established",
        /// A string that is none of the six.
        Other => "other",
        /// The API said nothing.
        None => "none",
    }
}

/// What was configured (`bgp`). The MD5 key is not kept, only whether there is one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BgpConfig {
    /// `customer_asn`, two or four bytes (RFC 6793).
    pub customer_asn: Option<u32>,
    /// Length of `extra_prefixes`; `None` where the list was not stated.
    pub extra_prefixes: Option<usize>,
    /// Whether `md5_key` is set.
    pub md5: bool,
}

/// What the session is doing (`bgp_status`); the API leaves it out for tunnels without BGP.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BgpStatus {
    pub state: BgpState,
    pub fsm: FsmState,
    pub tcp_established: Option<bool>,
    /// `updated_at`: when Cloudflare last refreshed this status.
    pub updated_at: Option<Timestamp>,
    pub cloudflare_speaker: Speaker,
    pub customer_speaker: Speaker,
}

/// One end of the TCP connection that carries the session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Speaker {
    pub ip: Option<IpAddr>,
    /// Never a label: it changes with each connection.
    pub port: Option<u16>,
}
