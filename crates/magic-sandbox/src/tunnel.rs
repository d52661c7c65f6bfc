//! One tunnel: what a client has set, what the API adds, and the JSON of both.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr},
};

use ipnet::{Ipv4Net, Ipv6Net};
use jiff::Timestamp;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Map, Value};
use web_toolkit::clock::Moment;

use super::{
    kind::{Form, Kind},
    object::Object,
    session::Session,
};

/// What a client sets.
#[derive(Debug, Clone)]
pub(super) struct Config {
    pub name: String,
    pub cloudflare_endpoint: IpAddr,
    /// Always there for GRE.
    pub customer_endpoint: Option<IpAddr>,
    /// Cloudflare's address, in the network of both.
    pub interface_address: Ipv4Net,
    pub interface_address6: Option<Ipv6Net>,
    pub description: Option<String>,
    pub automatic_return_routing: bool,
    pub health_check: HealthCheck,
    pub bgp: Option<Bgp>,
    pub own: Own,
}

/// What only one kind has.
#[derive(Debug, Clone)]
pub(super) enum Own {
    Ipsec { allow_null_cipher: bool, replay_protection: bool, fqdn_id: Option<String> },
    Gre { mtu: u64, ttl: u64 },
}

#[derive(Debug, Clone)]
pub(super) struct HealthCheck {
    pub enabled: bool,
    pub rate: &'static str,
    pub kind: &'static str,
    pub direction: &'static str,
    /// `None` for the calculated default.
    pub saved: Option<IpAddr>,
}

#[derive(Debug, Clone)]
pub(super) struct Bgp {
    pub customer_asn: u64,
    pub extra_prefixes: Vec<String>,
    pub md5_key: Option<SecretString>,
    pub import_filter_id: Option<String>,
    pub export_filter_id: Option<String>,
}

impl Bgp {
    /// Whether a router would have to open the session again.
    fn same_session(&self, other: &Self) -> bool {
        let key = |bgp: &Self| bgp.md5_key.as_ref().map(|key| key.expose_secret().to_owned());
        self.customer_asn == other.customer_asn && key(self) == key(other)
    }

    fn json(&self) -> String {
        let mut bgp = Object::new();
        bgp.raw("customer_asn", self.customer_asn);
        bgp.texts("extra_prefixes", &self.extra_prefixes);
        if let Some(key) = &self.md5_key {
            bgp.text("md5_key", key.expose_secret());
        }
        for (key, id) in [("import_filter_id", &self.import_filter_id), ("export_filter_id", &self.export_filter_id)] {
            if let Some(id) = id {
                bgp.text(key, id);
            }
        }
        bgp.end()
    }
}

impl Config {
    pub(super) const fn kind(&self) -> Kind {
        match self.own {
            Own::Ipsec { .. } => Kind::Ipsec,
            Own::Gre { .. } => Kind::Gre,
        }
    }

    pub(super) fn fqdn_id(&self) -> Option<&str> {
        match &self.own {
            Own::Ipsec { fqdn_id, .. } => fqdn_id.as_deref(),
            Own::Gre { .. } => None,
        }
    }

    /// Where the health check goes. Seeds: for bidirectional checks the saved target is ignored and the customer's
    /// side of `interface_address` is used; otherwise what was saved, else the customer's endpoint.
    fn effective_target(&self) -> Option<IpAddr> {
        match self.health_check.direction {
            "bidirectional" => peer(self.interface_address).map(IpAddr::V4),
            _ => self.health_check.saved.or(self.customer_endpoint),
        }
    }

    fn health_check_json(&self, form: Form) -> String {
        let text = |target: Option<IpAddr>| target.map(|ip| ip.to_string()).unwrap_or_default();
        let saved = text(self.health_check.saved);
        let mut check = Object::new();
        check.raw("enabled", self.health_check.enabled);
        check.plain("rate", self.health_check.rate);
        check.plain("type", self.health_check.kind);
        check.plain("direction", self.health_check.direction);
        match form {
            Form::Text => check.plain("target", saved),
            Form::Object => {
                let mut target = Object::new();
                target.plain("effective", text(self.effective_target()));
                target.plain("saved", saved);
                check.raw("target", target.end());
            }
        }
        check.end()
    }

    /// The body that would create this tunnel.
    pub(super) fn body(&self) -> Map<String, Value> {
        let mut body = Object::new();
        self.write(&mut body, Form::Object);
        serde_json::from_str(&body.end()).unwrap_or_default()
    }

    fn write(&self, body: &mut Object, form: Form) {
        let kind = self.kind();
        body.text("name", &self.name);
        body.plain(kind.cloudflare_endpoint(), self.cloudflare_endpoint);
        if let Some(endpoint) = self.customer_endpoint {
            body.plain(kind.customer_endpoint(), endpoint);
        }
        body.plain("interface_address", self.interface_address);
        if let Some(interface) = self.interface_address6 {
            body.plain("interface_address6", interface);
        }
        if let Some(description) = &self.description {
            body.text("description", description);
        }
        body.raw("automatic_return_routing", self.automatic_return_routing);
        body.raw("health_check", self.health_check_json(form));
        if let Some(bgp) = &self.bgp {
            body.raw("bgp", bgp.json());
        }
        self.own.write(body);
    }
}

impl Own {
    fn write(&self, body: &mut Object) {
        match self {
            Self::Ipsec { allow_null_cipher, replay_protection, fqdn_id } => {
                body.raw("allow_null_cipher", allow_null_cipher);
                body.raw("replay_protection", replay_protection);
                if let Some(id) = fqdn_id {
                    let mut identities = Object::new();
                    identities.text("fqdn_id", id);
                    body.raw("custom_remote_identities", identities.end());
                }
            }
            Self::Gre { mtu, ttl } => {
                body.raw("mtu", mtu);
                body.raw("ttl", ttl);
            }
        }
    }
}

/// A tunnel of an account.
#[derive(Clone)]
pub(super) struct Tunnel {
    id: String,
    config: Config,
    created: Timestamp,
    modified: Timestamp,
    /// When the key was last made or set. The key itself is shown once and kept nowhere.
    psk_generated: Option<Timestamp>,
    session: Option<Session>,
    /// The JSON in both forms, until something changes: lists of 10,000 tunnels are asked for far more often.
    rendered: [Option<String>; 2],
}

/// Without the rendered JSON, which has the MD5 key in it.
impl fmt::Debug for Tunnel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut tunnel = f.debug_struct("Tunnel");
        tunnel
            .field("id", &self.id)
            .field("config", &self.config)
            .field("session", &self.session)
            .finish_non_exhaustive()
    }
}

impl Tunnel {
    pub(super) fn new(id: String, config: Config, now: Moment) -> Self {
        let session = config.bgp.is_some().then(|| Session::start(now));
        Self { id, config, created: now.wall, modified: now.wall, psk_generated: None, session, rendered: [None, None] }
    }

    pub(super) fn id(&self) -> &str {
        &self.id
    }

    pub(super) fn config(&self) -> &Config {
        &self.config
    }

    pub(super) fn session(&self) -> Option<&Session> {
        self.session.as_ref()
    }

    /// A client's update: a session whose parameters or addresses changed starts anew, as routers do.
    pub(super) fn update(&mut self, config: Config, now: Moment) {
        let same = match (&self.config.bgp, &config.bgp) {
            (Some(old), Some(new)) => {
                old.same_session(new) && self.config.interface_address == config.interface_address
            }
            (old, new) => old.is_none() && new.is_none(),
        };
        if !same {
            self.session = config.bgp.is_some().then(|| Session::start(now));
        }
        self.modified = now.wall;
        self.replace(config);
    }

    /// A turn of a story: the configuration changes, and the session does not notice until it is told.
    pub(super) fn replace(&mut self, config: Config) {
        self.config = config;
        self.rendered = [None, None];
    }

    pub(super) fn psk_was_set(&mut self, now: Moment) {
        self.psk_generated = Some(now.wall);
        self.rendered = [None, None];
    }

    /// False for a tunnel without BGP, which has nothing to report.
    pub(super) fn follow(&mut self, report: super::session::Report, now: Moment) -> bool {
        let Some(session) = &mut self.session else { return false };
        session.follow(report, now);
        self.rendered = [None, None];
        true
    }

    pub(super) fn advance(&mut self, now: Moment) {
        if self.session.as_mut().is_some_and(|session| session.advance(now)) {
            self.rendered = [None, None];
        }
    }

    /// As the API shows it.
    pub(super) fn json(&mut self, form: Form) -> &str {
        let slot = match form {
            Form::Text => 0,
            Form::Object => 1,
        };
        if self.rendered[slot].is_none() {
            self.rendered[slot] = Some(self.render(form));
        }
        self.rendered[slot].as_deref().unwrap_or_default()
    }

    fn render(&self, form: Form) -> String {
        let mut json = Object::new();
        json.plain("id", &self.id);
        self.config.write(&mut json, form);
        json.plain("created_on", time(self.created));
        json.plain("modified_on", time(self.modified));
        if let Some(at) = self.psk_generated {
            let mut metadata = Object::new();
            metadata.plain("last_generated_on", time(at));
            json.raw("psk_metadata", metadata.end());
        }
        if let Some(session) = &self.session {
            json.raw("bgp_status", session.json(self.config.interface_address));
        }
        json.end()
    }
}

/// RFC 3339 with microseconds, as recorded bodies have it.
pub(super) fn time(at: Timestamp) -> String {
    format!("{at:.6}")
}

/// The other usable address of a /31 (RFC 3021) or /30.
pub(super) fn peer(interface: Ipv4Net) -> Option<Ipv4Addr> {
    let own = u32::from(interface.addr());
    let network = u32::from(interface.network());
    match interface.prefix_len() {
        31 => Some(Ipv4Addr::from(own ^ 1)),
        30 => [network + 1, network + 2].into_iter().find(|other| *other != own).map(Ipv4Addr::from),
        _ => None,
    }
}
