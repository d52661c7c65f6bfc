//! The flags, each with its environment variable. All are text here; [`super::Config`] checks them.

use clap::Args;

/// Flags of `serve`.
#[derive(Debug, Clone, Default, Args)]
pub struct Flags {
    #[command(flatten)]
    pub cloudflare: CloudflareFlags,

    #[command(flatten)]
    pub exporter: ExporterFlags,
}

/// Flags of `serve` and `demo`: the exporter, whatever it watches.
#[derive(Debug, Clone, Default, Args)]
pub struct ExporterFlags {
    /// Address to serve on; repeat it for several [default: :9847]
    #[arg(
        long = "web.listen-address",
        env = "MTE_WEB_LISTEN_ADDRESS",
        value_name = "ADDRESS",
        value_delimiter = ',',
        help_heading = "Web"
    )]
    pub listen_addresses: Vec<String>,

    /// Path of the metrics [default: /metrics]
    #[arg(long = "web.telemetry-path", env = "MTE_WEB_TELEMETRY_PATH", value_name = "PATH", help_heading = "Web")]
    pub telemetry_path: Option<String>,

    /// YAML file with TLS certificates and users, in the format that Prometheus and its exporters share [default: none]
    #[arg(long = "web.config.file", env = "MTE_WEB_CONFIG_FILE", value_name = "FILE", help_heading = "Web")]
    pub web_config_file: Option<String>,

    /// Answer /-/healthy and /-/ready without a password and at any rate [default: off]
    #[arg(
        long = "web.open-health",
        env = "MTE_WEB_OPEN_HEALTH",
        value_name = "BOOL",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "true",
        help_heading = "Web"
    )]
    pub open_health: Option<String>,

    /// Reload the configuration at `POST /-/reload`, too; SIGHUP always does [default: off]
    #[arg(
        long = "web.enable-lifecycle",
        env = "MTE_WEB_ENABLE_LIFECYCLE",
        value_name = "BOOL",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "true",
        help_heading = "Web"
    )]
    pub enable_lifecycle: Option<String>,

    /// Time from one poll of the API to the next [default: 60s]
    #[arg(long = "poll.interval", env = "MTE_POLL_INTERVAL", value_name = "DURATION", help_heading = "Poll")]
    pub poll_interval: Option<String>,

    /// Longest time one request may take [default: 10s]
    #[arg(long = "poll.timeout", env = "MTE_POLL_TIMEOUT", value_name = "DURATION", help_heading = "Poll")]
    pub poll_timeout: Option<String>,

    /// What the API said is left out this long after the last successful poll [default: 5m]
    #[arg(long = "poll.stale-after", env = "MTE_POLL_STALE_AFTER", value_name = "DURATION", help_heading = "Poll")]
    pub poll_stale_after: Option<String>,

    #[command(flatten)]
    pub probe: ProbeFlags,
}

/// What is probed, from where, and what that counts for.
#[derive(Debug, Clone, Default, Args)]
pub struct ProbeFlags {
    /// Send ICMP echoes to the addresses of every tunnel [default: off; on in `demo`]
    #[arg(
        long = "probe",
        env = "MTE_PROBE",
        value_name = "BOOL",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "true",
        help_heading = "Probe"
    )]
    pub enabled: Option<String>,

    /// Time from one echo to an address to the next [default: 1s]
    #[arg(long = "probe.interval", env = "MTE_PROBE_INTERVAL", value_name = "DURATION", help_heading = "Probe")]
    pub interval: Option<String>,

    /// Longest time a reply may take; not above the interval [default: 1s]
    #[arg(long = "probe.timeout", env = "MTE_PROBE_TIMEOUT", value_name = "DURATION", help_heading = "Probe")]
    pub timeout: Option<String>,

    /// Failures in a row until an address is down [default: 3]
    #[arg(long = "probe.down-after", env = "MTE_PROBE_DOWN_AFTER", value_name = "COUNT", help_heading = "Probe")]
    pub down_after: Option<String>,

    /// Replies in a row until an address is up [default: 2]
    #[arg(long = "probe.up-after", env = "MTE_PROBE_UP_AFTER", value_name = "COUNT", help_heading = "Probe")]
    pub up_after: Option<String>,

    /// What to probe: `customer_endpoint`, `interface_address`, `interface_address6`, `interface_peer`, `interface_peer6`,
    /// `health_check_target` [default: the first three]
    #[arg(
        long = "probe.targets",
        env = "MTE_PROBE_TARGETS",
        value_name = "TARGET",
        value_delimiter = ',',
        help_heading = "Probe"
    )]
    pub targets: Vec<String>,

    /// Address to send from; repeat it for IPv4 and IPv6
    #[arg(
        long = "probe.source",
        env = "MTE_PROBE_SOURCE",
        value_name = "ADDRESS",
        value_delimiter = ',',
        help_heading = "Probe"
    )]
    pub sources: Vec<String>,

    /// Network interface to send through [default: as routed; `lo` in `demo`]
    #[arg(long = "probe.interface", env = "MTE_PROBE_INTERFACE", value_name = "NAME", help_heading = "Probe")]
    pub interface: Option<String>,

    /// Kind of ICMP socket: auto, dgram, raw [default: auto]
    #[arg(long = "probe.socket", env = "MTE_PROBE_SOCKET", value_name = "MODE", help_heading = "Probe")]
    pub socket: Option<String>,

    /// Where the prober stands: site (behind the tunnels' own router), remote (reached over Magic WAN) [default: site]
    #[arg(long = "probe.vantage", env = "MTE_PROBE_VANTAGE", value_name = "VANTAGE", help_heading = "Probe")]
    pub vantage: Option<String>,

    /// Address outside all tunnels that answers while this site is connected; repeat it for several
    #[arg(
        long = "probe.uplink",
        env = "MTE_PROBE_UPLINK",
        value_name = "ADDRESS",
        value_delimiter = ',',
        help_heading = "Probe"
    )]
    pub uplinks: Vec<String>,

    /// When silence counts: after-answer, always [default: after-answer; always in `demo`]
    #[arg(long = "probe.silence", env = "MTE_PROBE_SILENCE", value_name = "WHEN", help_heading = "Probe")]
    pub silence: Option<String>,

    /// Upper bounds of the round-trip time histogram, ascending [default: 500us,1ms,2ms,5ms,…,2s]
    #[arg(
        long = "probe.rtt-buckets",
        env = "MTE_PROBE_RTT_BUCKETS",
        value_name = "DURATION",
        value_delimiter = ',',
        help_heading = "Probe"
    )]
    pub rtt_buckets: Vec<String>,
}

/// Whose tunnels are watched, and how to prove that we may.
#[derive(Debug, Clone, Default, Args)]
pub struct CloudflareFlags {
    /// Account whose tunnels are watched; repeat it for several
    #[arg(
        long = "cloudflare.account-id",
        env = "CLOUDFLARE_ACCOUNT_ID",
        value_name = "ID",
        value_delimiter = ',',
        help_heading = "Cloudflare"
    )]
    pub account_ids: Vec<String>,

    /// File with the API token (or set `CLOUDFLARE_API_TOKEN`); it needs `Magic WAN Read` or `Magic Transit Read`
    #[arg(
        long = "cloudflare.api-token-file",
        env = "CLOUDFLARE_API_TOKEN_FILE",
        value_name = "FILE",
        help_heading = "Cloudflare"
    )]
    pub api_token_file: Option<String>,

    /// File with the older global API key, used with `CLOUDFLARE_EMAIL` (or set `CLOUDFLARE_API_KEY`)
    #[arg(
        long = "cloudflare.api-key-file",
        env = "CLOUDFLARE_API_KEY_FILE",
        value_name = "FILE",
        help_heading = "Cloudflare"
    )]
    pub api_key_file: Option<String>,

    /// Base URL of the API; https, or http on loopback [default: `https://api.cloudflare.com/client/v4`]
    #[arg(long = "cloudflare.api-url", env = "CLOUDFLARE_API_URL", value_name = "URL", help_heading = "Cloudflare")]
    pub api_url: Option<String>,
}

/// Flags of `sandbox` and `demo`.
#[derive(Debug, Clone, Default, Args)]
pub struct SandboxFlags {
    /// Address on which the sandbox plays the API [default: 127.0.0.1:9848; for `demo` a free port]
    #[arg(
        long = "sandbox.listen-address",
        env = "MTE_SANDBOX_LISTEN_ADDRESS",
        value_name = "ADDRESS",
        help_heading = "Sandbox"
    )]
    pub listen_address: Option<String>,

    /// File with the one secret that is accepted as a token or a key (or set `MTE_SANDBOX_TOKEN`) [default: any]
    #[arg(long = "sandbox.token-file", env = "MTE_SANDBOX_TOKEN_FILE", value_name = "FILE", help_heading = "Sandbox")]
    pub token_file: Option<String>,

    /// Refuse interface addresses outside the private ranges, as the API reference does and the API does not [default: off]
    #[arg(
        long = "sandbox.strict",
        env = "MTE_SANDBOX_STRICT",
        value_name = "BOOL",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "true",
        help_heading = "Sandbox"
    )]
    pub strict: Option<String>,

    /// Generated tunnels in the first account beside those of the story, IPsec and GRE by turns [default: 0]
    #[arg(long = "sandbox.tunnels", env = "MTE_SANDBOX_TUNNELS", value_name = "COUNT", help_heading = "Sandbox")]
    pub tunnels: Option<String>,

    /// YAML file with accounts, tunnels and timed events, as docs/SANDBOX.md describes it [default: the demo's story]
    #[arg(long = "sandbox.story", env = "MTE_SANDBOX_STORY", value_name = "FILE", help_heading = "Sandbox")]
    pub story: Option<String>,

    /// File with faults that are in force from the start, as for `PUT /sandbox/faults`, YAML or JSON [default: none]
    #[arg(long = "sandbox.faults", env = "MTE_SANDBOX_FAULTS", value_name = "FILE", help_heading = "Sandbox")]
    pub faults: Option<String>,
}

/// Flags of `healthcheck`.
#[derive(Debug, Clone, Args)]
pub struct HealthcheckFlags {
    /// Where the exporter listens; the first of several is asked [default: :9847]
    #[arg(
        long = "web.listen-address",
        env = "MTE_WEB_LISTEN_ADDRESS",
        value_name = "ADDRESS",
        value_delimiter = ',',
        help_heading = "Web"
    )]
    pub listen_addresses: Vec<String>,
}

/// Flags of every command.
#[derive(Debug, Clone, Default, Args)]
pub struct FileFlags {
    /// YAML file with the same keys and more, as docs/CONFIGURATION.md lists them; a flag or a variable beats it
    #[arg(
        long = "config.file",
        env = "MTE_CONFIG_FILE",
        value_name = "FILE",
        global = true,
        help_heading = "Configuration"
    )]
    pub path: Option<String>,
}

/// Flags of every command.
#[derive(Debug, Clone, Default, Args)]
pub struct LogFlags {
    /// Least severe messages that are written: trace, debug, info, warn, error [default: info]
    #[arg(long = "log.level", env = "MTE_LOG_LEVEL", value_name = "LEVEL", global = true, help_heading = "Log")]
    pub level: Option<String>,

    /// Form of a line: logfmt, json [default: logfmt]
    #[arg(long = "log.format", env = "MTE_LOG_FORMAT", value_name = "FORMAT", global = true, help_heading = "Log")]
    pub format: Option<String>,
}
