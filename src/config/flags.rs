//! The flags, each with its environment variable. All values are text; [`super::Config`] checks them.

mod probe;
mod values;

use clap::Args;

pub use self::probe::ProbeFlags;
use self::values::{BooleanArg as _, KnownValues};
use crate::{
    exposition::View,
    telemetry::{LogFormat, LogLevel},
};

/// Flags of `serve`.
#[derive(Debug, Clone, Default, Args)]
pub struct Flags {
    #[command(flatten)]
    pub cloudflare: CloudflareFlags,
    #[command(flatten)]
    pub inventory: InventoryFlags,
    #[command(flatten)]
    pub exporter: ExporterFlags,
}

/// Flags of `serve` and `demo`: the exporter, independent of the accounts.
#[derive(Debug, Clone, Default, Args)]
pub struct ExporterFlags {
    #[command(flatten)]
    pub web: WebFlags,
    #[command(flatten)]
    pub poll: PollFlags,
    #[command(flatten)]
    pub probe: ProbeFlags,
    #[command(flatten)]
    pub edge: EdgeFlags,
    #[command(flatten)]
    pub interconnects: InterconnectFlags,
    #[command(flatten)]
    pub routes: RouteFlags,
    #[command(flatten)]
    pub state: StateFlags,
}

/// The web server of the exporter.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Web")]
pub struct WebFlags {
    /// Address to serve on; repeat it for several [default: :9847]
    #[arg(long = "web.listen-address", env = "MTE_WEB_LISTEN_ADDRESS", value_name = "ADDRESS", value_delimiter = ',')]
    pub listen_addresses: Vec<String>,
    /// Serve on the sockets of a systemd .socket unit instead of `--web.listen-address` [default: off]
    #[arg(long = "web.systemd-socket", env = "MTE_WEB_SYSTEMD_SOCKET", boolean = "true")]
    pub systemd_socket: Option<String>,
    /// Path of the metrics page [default: /metrics]
    #[arg(long = "web.telemetry-path", env = "MTE_WEB_TELEMETRY_PATH", value_name = "PATH")]
    pub telemetry_path: Option<String>,
    /// Host names that requests may be addressed to, besides IP addresses and localhost [default: any]
    #[arg(long = "web.hosts", env = "MTE_WEB_HOSTS", value_name = "NAME", value_delimiter = ',')]
    pub hosts: Vec<String>,
    /// YAML file with TLS certificates and users, in the format of Prometheus and its exporters [default: none]
    #[arg(long = "web.config.file", env = "MTE_WEB_CONFIG_FILE", value_name = "FILE")]
    pub config_file: Option<String>,
    /// Answer /-/healthy and /-/ready without a password and without a rate limit [default: off]
    #[arg(long = "web.open-health", env = "MTE_WEB_OPEN_HEALTH", boolean = "true")]
    pub open_health: Option<String>,
    /// URL of the pages of Alertmanager, which the page of a tunnel links to for silences [default: no link]
    #[arg(long = "web.alertmanager-url", env = "MTE_WEB_ALERTMANAGER_URL", value_name = "URL")]
    pub alertmanager_url: Option<String>,
    /// Views on the page of metrics [default: all; for an agent observed, exporter]
    #[arg(
        long = "web.expose",
        env = "MTE_WEB_EXPOSE",
        value_name = "VIEW",
        value_delimiter = ',',
        value_parser = KnownValues::labels::<View>()
    )]
    pub expose: Vec<String>,
    /// Reload the configuration on `POST /-/reload` as well as on SIGHUP [default: off]
    #[arg(long = "web.enable-lifecycle", env = "MTE_WEB_ENABLE_LIFECYCLE", boolean = "true")]
    pub enable_lifecycle: Option<String>,
}

/// The polls of the API.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Poll")]
pub struct PollFlags {
    /// Time between polls of the API [default: 60s]
    #[arg(long = "poll.interval", env = "MTE_POLL_INTERVAL", value_name = "DURATION")]
    pub poll_interval: Option<String>,
    /// Maximum duration of one request [default: 10s]
    #[arg(long = "poll.timeout", env = "MTE_POLL_TIMEOUT", value_name = "DURATION")]
    pub poll_timeout: Option<String>,
    /// Time after the last successful poll until data of the API is no longer exported [default: 5m]
    #[arg(long = "poll.stale-after", env = "MTE_POLL_STALE_AFTER", value_name = "DURATION")]
    pub poll_stale_after: Option<String>,
}

/// The interconnects.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Interconnects")]
pub struct InterconnectFlags {
    /// Poll the interconnects (CNI) as well as the tunnels [default: on]
    #[arg(long = "interconnects.enabled", env = "MTE_INTERCONNECTS_ENABLED", boolean = "true")]
    pub interconnects_enabled: Option<String>,
}

/// The static routes.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Routes")]
pub struct RouteFlags {
    /// Poll the static routes, for the state of each prefix [default: on]
    #[arg(long = "routes.enabled", env = "MTE_ROUTES_ENABLED", boolean = "true")]
    pub routes_enabled: Option<String>,
    /// Export metrics of each prefix [default: off]
    #[arg(long = "routes.prefix-metrics", env = "MTE_ROUTES_PREFIX_METRICS", boolean = "true")]
    pub routes_prefix_metrics: Option<String>,
}

/// What Cloudflare's edge measures.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Edge")]
pub struct EdgeFlags {
    /// Poll the results of Cloudflare's own health checks, and traffic, from the GraphQL API [default: off; on in
    /// `demo`]
    #[arg(long = "edge.enabled", env = "MTE_EDGE_ENABLED", boolean = "true")]
    pub edge_enabled: Option<String>,
    /// Time between polls of health checks, 30s to 1h [default: 60s]
    #[arg(long = "edge.interval", env = "MTE_EDGE_INTERVAL", value_name = "DURATION")]
    pub edge_interval: Option<String>,
    /// Time span of the health checks, 1m to 1h [default: 5m]
    #[arg(long = "edge.window", env = "MTE_EDGE_WINDOW", value_name = "DURATION")]
    pub edge_window: Option<String>,
    /// Age of the newest data that is asked for, at most 30m; `check` measures it [default: 2m]
    #[arg(long = "edge.delay", env = "MTE_EDGE_DELAY", value_name = "DURATION")]
    pub edge_delay: Option<String>,
    /// Age from which data of the edge is no longer exported [default: 15m]
    #[arg(long = "edge.stale-after", env = "MTE_EDGE_STALE_AFTER", value_name = "DURATION")]
    pub edge_stale_after: Option<String>,
    /// Minimum number of health checks in the time span for a state [default: 20]
    #[arg(long = "edge.min-checks", env = "MTE_EDGE_MIN_CHECKS", value_name = "COUNT")]
    pub edge_min_checks: Option<String>,
    /// Poll the traffic of each tunnel [default: on]
    #[arg(long = "edge.traffic", env = "MTE_EDGE_TRAFFIC", boolean = "true")]
    pub edge_traffic: Option<String>,
    /// Data centers to export the score of each tunnel in, such as fra01; at most 20 [default: none]
    #[arg(long = "edge.colos", env = "MTE_EDGE_COLOS", value_name = "NAME", value_delimiter = ',')]
    pub edge_colos: Vec<String>,
}

/// The state directory.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "State")]
pub struct StateFlags {
    /// Directory that keeps verdicts and first replies over a restart [default: `$STATE_DIRECTORY`, which systemd sets;
    /// otherwise none]
    #[arg(long = "state.directory", env = "MTE_STATE_DIRECTORY", value_name = "DIRECTORY")]
    pub directory: Option<String>,
}

/// The accounts and their credentials.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Cloudflare")]
pub struct CloudflareFlags {
    /// ID of an account to watch; repeat it for several
    #[arg(long = "cloudflare.account-id", env = "CLOUDFLARE_ACCOUNT_ID", value_name = "ID", value_delimiter = ',')]
    pub account_ids: Vec<String>,
    /// File with the API token (or set `CLOUDFLARE_API_TOKEN`)
    ///
    /// The token needs `Magic WAN Read` or `Magic Transit Read`.
    #[arg(long = "cloudflare.api-token-file", env = "CLOUDFLARE_API_TOKEN_FILE", value_name = "FILE")]
    pub api_token_file: Option<String>,
    /// File with the older global API key, used with `CLOUDFLARE_EMAIL` (or set `CLOUDFLARE_API_KEY`)
    #[arg(long = "cloudflare.api-key-file", env = "CLOUDFLARE_API_KEY_FILE", value_name = "FILE")]
    pub api_key_file: Option<String>,
    /// Base URL of the API; https, or http on loopback [default: `https://api.cloudflare.com/client/v4`]
    #[arg(long = "cloudflare.api-url", env = "CLOUDFLARE_API_URL", value_name = "URL")]
    pub api_url: Option<String>,
}

/// The hub of an agent.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Inventory")]
pub struct InventoryFlags {
    /// URL of a hub, which sends the tunnels to probe; repeat it for several
    ///
    /// A hub is another exporter. Its agents need no account and no token.
    #[arg(long = "inventory.url", env = "MTE_INVENTORY_URL", value_name = "URL", value_delimiter = ',')]
    pub urls: Vec<String>,
    /// Site of the tunnels to probe; repeat it for several [default: all]
    #[arg(long = "inventory.site", env = "MTE_INVENTORY_SITE", value_name = "SITE", value_delimiter = ',')]
    pub sites: Vec<String>,
    /// Time between requests to the hub [default: 30s]
    #[arg(long = "inventory.interval", env = "MTE_INVENTORY_INTERVAL", value_name = "DURATION")]
    pub inventory_interval: Option<String>,
    /// Maximum duration of one request [default: 10s]
    #[arg(long = "inventory.timeout", env = "MTE_INVENTORY_TIMEOUT", value_name = "DURATION")]
    pub inventory_timeout: Option<String>,
    /// Name of this agent [default: the host name]
    #[arg(long = "inventory.prober", env = "MTE_INVENTORY_PROBER", value_name = "NAME")]
    pub prober: Option<String>,
    /// URL at which Prometheus can scrape this agent, for the list of targets of the hub [default: none]
    #[arg(long = "inventory.advertise", env = "MTE_INVENTORY_ADVERTISE", value_name = "URL")]
    pub advertise: Option<String>,
    /// User of the hub
    #[arg(long = "inventory.basic-auth.username", env = "MTE_INVENTORY_USERNAME", value_name = "NAME")]
    pub username: Option<String>,
    /// File with the password of that user
    #[arg(long = "inventory.basic-auth.password-file", env = "MTE_INVENTORY_PASSWORD_FILE", value_name = "FILE")]
    pub password_file: Option<String>,
    /// File with a bearer token, for a proxy before the hub
    #[arg(long = "inventory.bearer-token-file", env = "MTE_INVENTORY_BEARER_TOKEN_FILE", value_name = "FILE")]
    pub bearer_token_file: Option<String>,
    /// PEM file with the CA of the hub [default: the CAs of the system]
    #[arg(long = "inventory.tls.ca-file", env = "MTE_INVENTORY_CA_FILE", value_name = "FILE")]
    pub ca_file: Option<String>,
    /// PEM file with a client certificate
    #[arg(long = "inventory.tls.cert-file", env = "MTE_INVENTORY_CERT_FILE", value_name = "FILE")]
    pub cert_file: Option<String>,
    /// PEM file with the key of the client certificate
    #[arg(long = "inventory.tls.key-file", env = "MTE_INVENTORY_KEY_FILE", value_name = "FILE")]
    pub key_file: Option<String>,
    /// Name in the certificate of the hub [default: the host of the URL]
    #[arg(long = "inventory.tls.server-name", env = "MTE_INVENTORY_SERVER_NAME", value_name = "NAME")]
    pub server_name: Option<String>,
}

/// Flags of `sandbox` and `demo`.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Sandbox")]
pub struct SandboxFlags {
    /// Address of the sandbox API [default: 127.0.0.1:9848; in `demo` a free port]
    #[arg(long = "sandbox.listen-address", env = "MTE_SANDBOX_LISTEN_ADDRESS", value_name = "ADDRESS")]
    pub listen_address: Option<String>,
    /// File with the only accepted token or key (or set `MTE_SANDBOX_TOKEN`) [default: any is accepted]
    #[arg(long = "sandbox.token-file", env = "MTE_SANDBOX_TOKEN_FILE", value_name = "FILE")]
    pub token_file: Option<String>,
    /// Time at which the token expires, or a duration until then: `2027-01-31T00:00:00Z`, `10d` [default: never]
    #[arg(long = "sandbox.token-expires", env = "MTE_SANDBOX_TOKEN_EXPIRES", value_name = "TIME")]
    pub token_expires: Option<String>,
    /// Refuse interface addresses outside the private ranges, as the API reference says; the API accepts them [default:
    /// off]
    #[arg(long = "sandbox.strict", env = "MTE_SANDBOX_STRICT", boolean = "true")]
    pub strict: Option<String>,
    /// Generated tunnels in the first account in addition to the story, alternately IPsec and GRE [default: 0]
    #[arg(long = "sandbox.tunnels", env = "MTE_SANDBOX_TUNNELS", value_name = "COUNT")]
    pub tunnels: Option<String>,
    /// YAML file with accounts, tunnels, routes and timed events, see docs/SANDBOX.md [default: the story of the demo]
    #[arg(long = "sandbox.story", env = "MTE_SANDBOX_STORY", value_name = "FILE")]
    pub story: Option<String>,
    /// YAML or JSON file with faults that are active from the start, as for `PUT /sandbox/faults` [default: none]
    #[arg(long = "sandbox.faults", env = "MTE_SANDBOX_FAULTS", value_name = "FILE")]
    pub faults: Option<String>,
}

/// Flags of `healthcheck`.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Web")]
pub struct HealthcheckFlags {
    /// Address of the exporter; only the first of several is checked [default: :9847]
    #[arg(long = "web.listen-address", env = "MTE_WEB_LISTEN_ADDRESS", value_name = "ADDRESS", value_delimiter = ',')]
    pub listen_addresses: Vec<String>,
}

/// Flags of every command.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Configuration")]
pub struct FileFlags {
    /// YAML file with the same settings and more
    ///
    /// See docs/CONFIGURATION.md. Flags and variables override the file.
    #[arg(long = "config.file", env = "MTE_CONFIG_FILE", value_name = "FILE", global = true)]
    pub path: Option<String>,
}

/// Flags of every command.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Log")]
pub struct LogFlags {
    /// Minimum level of log messages [default: info]
    #[arg(
        long = "log.level",
        env = "MTE_LOG_LEVEL",
        value_name = "LEVEL",
        global = true,
        value_parser = KnownValues::labels::<LogLevel>()
    )]
    pub level: Option<String>,
    /// Format of log messages [default: logfmt]
    #[arg(
        long = "log.format",
        env = "MTE_LOG_FORMAT",
        value_name = "FORMAT",
        global = true,
        value_parser = KnownValues::labels::<LogFormat>()
    )]
    pub format: Option<String>,
}
