//! The HTTP server of the exporter: pages, JSON API, metrics and lifecycle.
//!
//! Every answer is made from the newest snapshot; no request waits for a poll. Bodies are written by the page threads.

mod address;
mod api;
mod assets;
mod body;
mod event_query;
mod events;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
mod headers;
mod hub;
mod lifecycle;
mod pages;
mod scrape;
mod silence;

use std::{io, sync::Arc};

use hyper::{HeaderMap, Method, Request, Response, StatusCode, body::Incoming};
use web_toolkit::{
    clock,
    requester::Requester,
    server::{Body, internal_error, method_not_allowed, plain_text},
};

pub use self::{
    address::is_taken,
    api::write_tunnels,
    hub::Hub,
    lifecycle::{Lifecycle, ReloadRequest},
    silence::{AlertmanagerUrl, InvalidAlertmanagerUrl},
};
use self::{
    address::{Query, QueryError, Resource, parse_filter, parse_prefix_query, refuse_unknown},
    api::{
        JsonList, ListKind, PrefixList,
        agents::{agent_targets_json, agents_json},
        error_json, sites_json, tunnel_json,
    },
    assets::{Asset, find_asset},
    body::{EncodedBody, PageThreads, Producer, WholeText},
    headers::{accepts_gzip, accepts_html, answer_file, answer_html, answer_json},
    hub::InventoryRequest,
    pages::Document,
    scrape::Scrape,
};
use crate::{
    domain::inventory::TunnelKey,
    exposition::{Exposition, Groups},
    snapshot::{Snapshot, Sources},
};

/// Answers requests. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Http(Arc<HttpState>);

#[derive(Debug)]
struct HttpState {
    scrape: Scrape,
    sources: Sources,
    telemetry_path: String,
    /// Where silences are created, if it is known.
    alertmanager: Option<AlertmanagerUrl>,
    threads: Arc<PageThreads>,
    lifecycle: Lifecycle,
    hub: Hub,
}

impl Http {
    /// `exposed` are the groups that the page of metrics may have.
    ///
    /// # Errors
    /// The operating system refuses the page threads.
    pub fn new(
        (exposition, exposed): (Exposition, Groups),
        sources: Sources,
        telemetry_path: String,
        alertmanager: Option<AlertmanagerUrl>,
        lifecycle: Lifecycle,
        hub: Hub,
    ) -> io::Result<Self> {
        let threads = Arc::new(PageThreads::new()?);
        let scrape = Scrape::new(exposition, exposed, Arc::clone(&threads));
        let state = HttpState { scrape, sources, telemetry_path, alertmanager, threads, lifecycle, hub };
        Ok(Self(Arc::new(state)))
    }

    /// Answers one request.
    pub async fn respond(self, request: Request<Incoming>) -> Response<Body> {
        let path = request.uri().path();
        let is_metrics = path == self.0.telemetry_path;
        let resource = if is_metrics { Some(Resource::Metrics) } else { Resource::find(path) };
        let Some(resource) = resource else { return self.answer_unknown(path, request.headers()).await };
        let requester = request.extensions().get::<Requester>().cloned().unwrap_or_default();
        if !resource.is_for_agents() && self.0.hub.restricts(&requester) {
            return plain_text(StatusCode::FORBIDDEN, "this client may only read /api/v1/inventory\n");
        }
        let query = request.uri().query().unwrap_or_default();
        if let Err(error) = refuse_unknown(query, resource.parameters()) {
            return self.answer_unknown_parameter(&resource, error, request.headers()).await;
        }
        if resource == Resource::Reload {
            return self.0.lifecycle.respond(request.method()).await;
        }
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            return method_not_allowed("GET, HEAD");
        }
        self.answer(resource, query, request.headers(), &requester).await
    }

    async fn answer(
        &self,
        resource: Resource<'_>,
        query: &str,
        headers: &HeaderMap,
        requester: &Requester,
    ) -> Response<Body> {
        match resource {
            Resource::Front => self.answer_front(query, headers).await,
            Resource::Runbooks => self.answer_page(headers, |_| (StatusCode::OK, pages::draw_runbooks())).await,
            Resource::Prefixes => self.answer_prefixes(query, headers).await,
            Resource::Tunnel(key) => self.answer_tunnel(key, headers).await,
            Resource::Asset(name) => find_asset(name).map_or_else(
                || self.answer_not_found(),
                |&Asset { content_type, ref body, .. }| answer_file(content_type, body.clone()),
            ),
            Resource::Metrics => self.0.scrape.respond(headers, query).await,
            Resource::Healthy => plain_text(StatusCode::OK, "healthy: the process serves requests\n"),
            Resource::Ready => self.answer_ready(),
            Resource::Reload => method_not_allowed("POST, PUT"),
            Resource::ApiTunnels => self.answer_list(query, headers, ListKind::Tunnels).await,
            Resource::ApiTunnel(key) => self.answer_tunnel_json(key, headers).await,
            Resource::ApiTargets => self.answer_list(query, headers, ListKind::Targets).await,
            Resource::ApiSites => self.answer_sites(query, headers).await,
            Resource::ApiInventory => {
                let request = InventoryRequest { query, headers, requester };
                let fleet = Arc::clone(&self.0.sources.judged.borrow().fleet);
                self.0.hub.respond(&self.0.threads, fleet, request, clock::now()).await
            }
            Resource::ApiAgents | Resource::ApiAgentTargets | Resource::Agents => {
                self.answer_agents(&resource, headers).await
            }
            Resource::ApiEvents => self.answer_events(query, headers).await,
            Resource::ApiPrefixes => self.answer_prefixes_json(query, headers).await,
        }
    }

    async fn answer_unknown_parameter(
        &self,
        resource: &Resource<'_>,
        error: QueryError,
        headers: &HeaderMap,
    ) -> Response<Body> {
        let (status, sentence) = (StatusCode::BAD_REQUEST, error.to_string());
        if resource.is_json() {
            return self.answer_encoded(headers, answer_json, move || (status, error_json(&sentence))).await;
        }
        if resource.is_page() {
            return self.answer_page(headers, move |_| (status, pages::draw_invalid_query(&sentence))).await;
        }
        plain_text(status, format!("{sentence}\n"))
    }

    /// A page for browsers, otherwise one line.
    async fn answer_unknown(&self, path: &str, headers: &HeaderMap) -> Response<Body> {
        if !accepts_html(headers) {
            return self.answer_not_found();
        }
        let page = pages::draw_unknown(path);
        self.answer_page(headers, |_| (StatusCode::NOT_FOUND, page)).await
    }

    fn answer_not_found(&self) -> Response<Body> {
        let pages = format!(
            "/, /prefixes, {}, /agents, /api/v1/tunnels, /api/v1/sites, /api/v1/prefixes, /api/v1/events, \
             /api/v1/targets, /api/v1/inventory, /api/v1/agents, /-/healthy, /-/ready",
            self.0.telemetry_path
        );
        plain_text(StatusCode::NOT_FOUND, format!("404 not found; pages: {pages}\n"))
    }

    fn answer_ready(&self) -> Response<Body> {
        if self.0.sources.judged.borrow().fleet.is_ready() {
            return plain_text(
                StatusCode::OK,
                "ready: each collection has been polled, or fails for a permanent reason\n",
            );
        }
        plain_text(StatusCode::SERVICE_UNAVAILABLE, "not ready: some collections have not been polled yet\n")
    }

    async fn answer_front(&self, query: &str, headers: &HeaderMap) -> Response<Body> {
        let query = Query::parse(query);
        self.answer_page(headers, move |snapshot| match query {
            Ok(query) => (StatusCode::OK, pages::draw_front(snapshot, &query)),
            Err(error) => (StatusCode::BAD_REQUEST, pages::draw_invalid_query(&error.to_string())),
        })
        .await
    }

    async fn answer_tunnel(&self, key: TunnelKey, headers: &HeaderMap) -> Response<Body> {
        let alertmanager = self.0.alertmanager.clone();
        self.answer_page(headers, move |snapshot| match pages::draw_tunnel(snapshot, &key, alertmanager.as_ref()) {
            Some(page) => (StatusCode::OK, page),
            None => (StatusCode::NOT_FOUND, pages::draw_missing_tunnel()),
        })
        .await
    }

    /// Answers with a page that is drawn from the newest snapshot.
    async fn answer_page(
        &self,
        headers: &HeaderMap,
        draw: impl FnOnce(&Snapshot) -> (StatusCode, Document) + Send + 'static,
    ) -> Response<Body> {
        let (snapshot, telemetry_path) = (self.snapshot(), self.0.telemetry_path.clone());
        self.answer_encoded(headers, answer_html, move || {
            let (status, document) = draw(&snapshot);
            let page = document.render(snapshot.now, &telemetry_path);
            (status, WholeText(page.into_string().into_bytes()))
        })
        .await
    }

    async fn answer_list(&self, query: &str, headers: &HeaderMap, kind: ListKind) -> Response<Body> {
        let snapshot = self.snapshot();
        match parse_filter(query) {
            Ok(filter) => {
                let open = move || (StatusCode::OK, JsonList::new(snapshot, filter, kind));
                self.answer_encoded(headers, answer_json, open).await
            }
            Err(error) => {
                let open = move || (StatusCode::BAD_REQUEST, error_json(&error.to_string()));
                self.answer_encoded(headers, answer_json, open).await
            }
        }
    }

    async fn answer_sites(&self, query: &str, headers: &HeaderMap) -> Response<Body> {
        let (snapshot, filter) = (self.snapshot(), parse_filter(query));
        self.answer_encoded(headers, answer_json, move || match filter {
            Ok(filter) => (StatusCode::OK, sites_json(&snapshot, &filter)),
            Err(error) => (StatusCode::BAD_REQUEST, error_json(&error.to_string())),
        })
        .await
    }

    async fn answer_agents(&self, resource: &Resource<'_>, headers: &HeaderMap) -> Response<Body> {
        let now = clock::now();
        let agents = self.0.hub.agents().list(now);
        match resource {
            Resource::Agents => {
                self.answer_page(headers, move |_| (StatusCode::OK, pages::draw_agents(agents, now))).await
            }
            Resource::ApiAgentTargets => {
                self.answer_encoded(headers, answer_json, move || (StatusCode::OK, agent_targets_json(&agents))).await
            }
            _ => self.answer_encoded(headers, answer_json, move || (StatusCode::OK, agents_json(&agents, now))).await,
        }
    }

    async fn answer_prefixes(&self, query: &str, headers: &HeaderMap) -> Response<Body> {
        let query = parse_prefix_query(query);
        self.answer_page(headers, move |snapshot| match query {
            Ok((account, state)) => (StatusCode::OK, pages::draw_prefixes(snapshot, account.as_deref(), state)),
            Err(error) => (StatusCode::BAD_REQUEST, pages::draw_invalid_query(&error.to_string())),
        })
        .await
    }

    async fn answer_prefixes_json(&self, query: &str, headers: &HeaderMap) -> Response<Body> {
        let snapshot = self.snapshot();
        match parse_prefix_query(query) {
            Ok((account, state)) => {
                let open = move || (StatusCode::OK, PrefixList::new(snapshot, account.as_deref(), state));
                self.answer_encoded(headers, answer_json, open).await
            }
            Err(error) => {
                let open = move || (StatusCode::BAD_REQUEST, error_json(&error.to_string()));
                self.answer_encoded(headers, answer_json, open).await
            }
        }
    }

    async fn answer_tunnel_json(&self, key: TunnelKey, headers: &HeaderMap) -> Response<Body> {
        let snapshot = self.snapshot();
        self.answer_encoded(headers, answer_json, move || match tunnel_json(&snapshot, &key) {
            Some(tunnel) => (StatusCode::OK, tunnel),
            None => (StatusCode::NOT_FOUND, error_json("no such tunnel in the lists of the Cloudflare API")),
        })
        .await
    }

    async fn answer_encoded<P: Producer>(
        &self,
        headers: &HeaderMap,
        answer: fn(StatusCode, EncodedBody) -> Response<Body>,
        open: impl FnOnce() -> (StatusCode, P) + Send + 'static,
    ) -> Response<Body> {
        match EncodedBody::open(&self.0.threads, accepts_gzip(headers), open).await {
            Ok((status, body)) => answer(status, body),
            Err(_) => internal_error(),
        }
    }

    fn snapshot(&self) -> Snapshot {
        self.0.sources.snapshot(clock::now())
    }
}
