//! The flags of the prober.

use clap::Args;

use super::values::{BooleanArg as _, KnownValues};
use crate::domain::probe::{ProbeEngine, Silence, SocketMode, Vantage};

/// The prober.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Probe")]
pub struct ProbeFlags {
    /// Send ICMP echoes to the addresses of every tunnel [default: off; on in `demo`]
    #[arg(long = "probe", env = "MTE_PROBE", boolean = "true")]
    pub enabled: Option<String>,
    /// Time between echoes to an address [default: 1s]
    #[arg(long = "probe.interval", env = "MTE_PROBE_INTERVAL", value_name = "DURATION")]
    pub interval: Option<String>,
    /// Maximum time until a reply; at most the interval [default: 1s]
    #[arg(long = "probe.timeout", env = "MTE_PROBE_TIMEOUT", value_name = "DURATION")]
    pub timeout: Option<String>,
    /// Consecutive failures until an address is down [default: 3]
    #[arg(long = "probe.down-after", env = "MTE_PROBE_DOWN_AFTER", value_name = "COUNT")]
    pub down_after: Option<String>,
    /// Consecutive replies until an address is up [default: 2]
    #[arg(long = "probe.up-after", env = "MTE_PROBE_UP_AFTER", value_name = "COUNT")]
    pub up_after: Option<String>,
    /// What to probe [default: the first three]
    #[arg(
        long = "probe.targets",
        env = "MTE_PROBE_TARGETS",
        value_name = "TARGET",
        value_delimiter = ',',
        value_parser = KnownValues::targets()
    )]
    pub targets: Vec<String>,
    /// Address to send from; repeat it for IPv4 and IPv6
    #[arg(long = "probe.source", env = "MTE_PROBE_SOURCE", value_name = "ADDRESS", value_delimiter = ',')]
    pub sources: Vec<String>,
    /// Network interface to send through [default: as routed; `lo` in `demo`]
    #[arg(long = "probe.interface", env = "MTE_PROBE_INTERFACE", value_name = "NAME")]
    pub interface: Option<String>,
    /// What sends and receives pings [default: auto]
    #[arg(
        long = "probe.engine",
        env = "MTE_PROBE_ENGINE",
        value_name = "ENGINE",
        value_parser = KnownValues::labels::<ProbeEngine>()
    )]
    pub engine: Option<String>,
    /// Kind of ICMP socket [default: auto]
    #[arg(
        long = "probe.socket",
        env = "MTE_PROBE_SOCKET",
        value_name = "MODE",
        value_parser = KnownValues::labels::<SocketMode>()
    )]
    pub socket: Option<String>,
    /// DSCP of all pings, 0 to 63, to probe the class of service of your traffic [default: 0]
    #[arg(long = "probe.dscp", env = "MTE_PROBE_DSCP", value_name = "NUMBER")]
    pub dscp: Option<String>,
    /// Watch the path MTU of Cloudflare's addresses inside the tunnels with large pings [default: off]
    #[arg(long = "probe.mtu", env = "MTE_PROBE_MTU", boolean = "true")]
    pub mtu: Option<String>,
    /// Time between large pings, 1s to 1h [default: 60s]
    #[arg(long = "probe.mtu.interval", env = "MTE_PROBE_MTU_INTERVAL", value_name = "DURATION")]
    pub mtu_interval: Option<String>,
    /// Size in bytes of IP packets that should pass [default: MTU of the GRE tunnel, else 1476 for GRE, 1400 for IPsec]
    #[arg(long = "probe.mtu.expected", env = "MTE_PROBE_MTU_EXPECTED", value_name = "BYTES")]
    pub mtu_expected: Option<String>,
    /// Smallest size in bytes that a search tries; for IPv6 at least 1280 [default: 576]
    #[arg(long = "probe.mtu.floor", env = "MTE_PROBE_MTU_FLOOR", value_name = "BYTES")]
    pub mtu_floor: Option<String>,
    /// Vantage point of the prober: behind the router of the tunnels (site), or over Magic WAN (remote) [default: site]
    #[arg(
        long = "probe.vantage",
        env = "MTE_PROBE_VANTAGE",
        value_name = "VANTAGE",
        value_parser = KnownValues::labels::<Vantage>(),
        hide_possible_values = true
    )]
    pub vantage: Option<String>,
    /// Address outside all tunnels that replies while this site has Internet access; repeat it for several
    #[arg(long = "probe.uplink", env = "MTE_PROBE_UPLINK", value_name = "ADDRESS", value_delimiter = ',')]
    pub uplinks: Vec<String>,
    /// When a missing reply counts [default: after-answer; always in `demo`]
    #[arg(
        long = "probe.silence",
        env = "MTE_PROBE_SILENCE",
        value_name = "WHEN",
        value_parser = KnownValues::labels::<Silence>()
    )]
    pub silence: Option<String>,
    /// Upper bounds of the round-trip time histogram, ascending [default: 500us,1ms,2ms,5ms,…,2s]
    #[arg(long = "probe.rtt-buckets", env = "MTE_PROBE_RTT_BUCKETS", value_name = "DURATION", value_delimiter = ',')]
    pub rtt_buckets: Vec<String>,
}
