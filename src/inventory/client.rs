//! HTTP requests to hubs.

use std::{net::SocketAddr, path::Path, sync::Arc, time::Duration};

use reqwest::{
    Certificate, ClientBuilder, Identity, Response, StatusCode, Url,
    dns::{Addrs, Name, Resolve, Resolving},
    header::{CONNECTION, ETAG, HOST, HeaderMap, IF_NONE_MATCH, RETRY_AFTER},
};
use secrecy::ExposeSecret as _;
use tokio::task::spawn_blocking;
use web_toolkit::file::{self, Fingerprint};

use super::{
    ages::ReplyTimes,
    failure::HubFailure,
    settings::{HubCredentials, InventorySettings, TlsFiles},
};
use crate::{
    domain::{dataset::FailureReason, label::Label as _},
    https::{self, ApiUrl},
    secret::Look,
};

/// Maximum size of an inventory in bytes, after decompression. A tunnel has about a kilobyte.
const MAX_BODY_SIZE: usize = 64 << 20;

/// Maximum size of a file with certificates in bytes.
const MAX_PEM_SIZE: u64 = 1 << 20;

/// Upper limit for the time requested by `Retry-After`.
const MAX_RETRY_AFTER: Duration = Duration::from_hours(1);

/// A successful response of a hub.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HubReply {
    /// The list is still the one with the tag of the request (304).
    Unchanged(ReplyTimes),
    Changed {
        body: String,
        tag: Option<String>,
        times: ReplyTimes,
    },
}

/// Requests inventories. Keeps no connection open between requests, because a hub has thousands of agents.
#[derive(Debug)]
pub struct HubClient {
    settings: Arc<InventorySettings>,
    /// The HTTP client of each URL, and the files of certificates that they were created from.
    built: Option<Built>,
}

#[derive(Debug, Clone)]
struct Built {
    clients: Vec<reqwest::Client>,
    files: Vec<Option<Fingerprint>>,
}

impl HubClient {
    pub fn new(settings: Arc<InventorySettings>) -> Self {
        Self { settings, built: None }
    }

    /// Requests the inventory from the hub with this number; `tag` is that of the current list.
    ///
    /// # Errors
    /// [`HubFailure`] if there is no complete and usable response within the timeout.
    pub async fn fetch(&mut self, number: usize, tag: Option<&str>) -> Result<HubReply, HubFailure> {
        let client = self.client(number).await?;
        // The URL of a request can have the name in the hub's certificate instead.
        let server = self.settings.urls[number].server();
        let response = self.request(&client, number, tag).await?.send().await;
        let response = response.map_err(|error| transport(&error, &server))?;
        let status = response.status();
        if status == StatusCode::NOT_MODIFIED && tag.is_some() {
            return Ok(HubReply::Unchanged(read_times(response.headers())?));
        }
        if status != StatusCode::OK {
            return Err(HubFailure::from_status(status.as_u16(), read_retry_after(response.headers())));
        }
        let tag = response.headers().get(ETAG).and_then(|tag| tag.to_str().ok()).map(str::to_owned);
        let times = read_times(response.headers());
        let body = read_body(response, &server).await?;
        // HTML has no age, and is reported as such.
        let times = times.map_err(|failure| if body.trim_start().starts_with('{') { failure } else { not_json() })?;
        Ok(HubReply::Changed { body, tag, times })
    }

    async fn request(
        &self,
        client: &reqwest::Client,
        number: usize,
        tag: Option<&str>,
    ) -> Result<reqwest::RequestBuilder, HubFailure> {
        let settings = &self.settings;
        let base = &settings.urls[number];
        let mut url = base.join(["api", "v1", "inventory"]);
        url.set_query(Some(&settings.query()));
        let mut request = client.get(with_server_name(url, &settings.tls)).header(CONNECTION, "close");
        if settings.tls.server_name.is_some() {
            request = request.header(HOST, base.authority());
        }
        request = request
            .header("mte-prober", &*settings.prober)
            .header("mte-vantage", settings.vantage.as_str())
            .header("mte-interval", settings.interval.as_secs());
        if let Some(advertise) = &settings.advertise {
            request = request.header("mte-advertise", &**advertise);
        }
        if let Some(tag) = tag {
            request = request.header(IF_NONE_MATCH, tag);
        }
        let Some(credentials) = settings.credentials.clone() else { return Ok(request) };
        let secret = credentials.secret().clone();
        // The task fails only if it panics or the runtime shuts down; the previous secret stays active.
        let _ = spawn_blocking(move || secret.refresh(Look::IfChanged)).await;
        let (secret, _) = credentials.secret().current();
        Ok(match credentials {
            HubCredentials::Basic { username, .. } => request.basic_auth(username, Some(secret.expose_secret())),
            HubCredentials::Bearer(_) => request.bearer_auth(secret.expose_secret()),
        })
    }

    /// The HTTP client of a hub. Reads the certificates again if their files have changed.
    async fn client(&mut self, number: usize) -> Result<reqwest::Client, HubFailure> {
        let (settings, built) = (Arc::clone(&self.settings), self.built.clone());
        let refreshed = spawn_blocking(move || refresh(&settings, built)).await;
        let failed = |detail: String| HubFailure::with_detail(FailureReason::Connect, detail);
        match refreshed {
            Ok(Ok(built)) => {
                let client = built.clients[number].clone();
                self.built = Some(built);
                Ok(client)
            }
            // The previous certificates stay in use.
            Ok(Err(problem)) => self.built.as_ref().map(|built| built.clients[number].clone()).ok_or(failed(problem)),
            Err(panicked) => Err(failed(panicked.to_string())),
        }
    }
}

fn refresh(settings: &InventorySettings, built: Option<Built>) -> Result<Built, String> {
    let files = settings.tls.paths().map(|path| Fingerprint::read(path)).collect();
    match built {
        Some(built) if built.files == files => Ok(built),
        _ => {
            let clients = settings.urls.iter().map(|url| build(settings, url));
            Ok(Built { clients: clients.collect::<Result<_, _>>()?, files })
        }
    }
}

fn build(settings: &InventorySettings, url: &ApiUrl) -> Result<reqwest::Client, String> {
    let roots = settings.tls.ca.as_deref().map(read_roots).transpose();
    let roots = roots.map_err(|rule| format!("the CA file {rule}"))?;
    let identity = settings.tls.identity.as_ref().map(|(own, key)| read_identity(own, key)).transpose();
    let identity = identity.map_err(|rule| format!("the client certificate {rule}"))?;
    let configured = || configure(settings, url, roots.as_deref(), identity.as_ref());
    https::build(configured).map_err(|error| error.to_string())
}

fn configure(
    settings: &InventorySettings,
    url: &ApiUrl,
    roots: Option<&[Certificate]>,
    identity: Option<&Identity>,
) -> ClientBuilder {
    let mut builder = https::builder(url.is_loopback())
        .connect_timeout(settings.timeout)
        .timeout(settings.timeout)
        .pool_max_idle_per_host(0);
    if let Some(roots) = roots {
        builder = builder.tls_certs_only(roots.iter().cloned());
    }
    if let Some(identity) = identity {
        builder = builder.identity(identity.clone());
    }
    if settings.tls.server_name.is_some() {
        builder = builder.dns_resolver(Arc::new(FixedHost(url.host_and_port())));
    }
    builder
}

/// Resolves every name to the host of the URL, because the URL has the name in the hub's certificate.
#[derive(Debug)]
struct FixedHost((String, u16));

impl Resolve for FixedHost {
    fn resolve(&self, _: Name) -> Resolving {
        let host = self.0.clone();
        Box::pin(async move {
            let found: Vec<SocketAddr> = tokio::net::lookup_host(host).await?.collect();
            Ok(Box::new(found.into_iter()) as Addrs)
        })
    }
}

fn with_server_name(mut url: Url, tls: &TlsFiles) -> Url {
    if let Some(name) = &tls.server_name {
        // The configuration accepts only names of hosts.
        let _ = url.set_host(Some(name));
    }
    url
}

/// Reads certificates of CAs. Blocks.
///
/// # Errors
/// What the file must be, without its path.
pub fn read_roots(path: &Path) -> Result<Vec<Certificate>, String> {
    let content = read_pem(path)?;
    match Certificate::from_pem_bundle(&content) {
        Ok(roots) if !roots.is_empty() => Ok(roots),
        _ => Err("must contain a PEM certificate".into()),
    }
}

/// Reads a client certificate and its key. Blocks.
///
/// # Errors
/// What the file of the certificate must be, without its path.
pub fn read_identity(certificate: &Path, key: &Path) -> Result<Identity, String> {
    let mut pem = read_pem(certificate)?;
    pem.push(b'\n');
    pem.extend(read_pem(key)?);
    let rule = "must contain a PEM certificate, and the key file its unencrypted key";
    Identity::from_pem(&pem).map_err(|_| rule.to_owned())
}

/// # Errors
/// What the file must be, without its path.
pub fn read_pem(path: &Path) -> Result<Vec<u8>, String> {
    file::read(path, MAX_PEM_SIZE).map(|content| content.bytes).map_err(|error| error.to_string())
}

fn transport(error: &reqwest::Error, server: &str) -> HubFailure {
    HubFailure::with_detail(https::classify_error(error), https::describe_error(error, server))
}

fn not_json() -> HubFailure {
    HubFailure::new(FailureReason::NotJson)
}

/// # Errors
/// Without an age, old data could look fresh.
fn read_times(headers: &HeaderMap) -> Result<ReplyTimes, HubFailure> {
    let missing = || HubFailure::with_detail(FailureReason::Decode, "the response has no valid `Age`");
    ReplyTimes::read(headers).ok_or_else(missing)
}

fn read_retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds = headers.get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds).min(MAX_RETRY_AFTER))
}

async fn read_body(mut response: Response, server: &str) -> Result<String, HubFailure> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| transport(&error, server))? {
        if body.len() + chunk.len() > MAX_BODY_SIZE {
            return Err(HubFailure::new(FailureReason::TooLarge));
        }
        body.extend_from_slice(&chunk);
    }
    String::from_utf8(body).map_err(|_| not_json())
}
