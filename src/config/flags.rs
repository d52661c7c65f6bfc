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

    /// Time from one poll of the API to the next [default: 60s]
    #[arg(long = "poll.interval", env = "MTE_POLL_INTERVAL", value_name = "DURATION", help_heading = "Poll")]
    pub poll_interval: Option<String>,

    /// Longest time one request may take [default: 10s]
    #[arg(long = "poll.timeout", env = "MTE_POLL_TIMEOUT", value_name = "DURATION", help_heading = "Poll")]
    pub poll_timeout: Option<String>,

    /// What the API said is left out this long after the last successful poll [default: 5m]
    #[arg(long = "poll.stale-after", env = "MTE_POLL_STALE_AFTER", value_name = "DURATION", help_heading = "Poll")]
    pub poll_stale_after: Option<String>,
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
