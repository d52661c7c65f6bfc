//! The exporter's own pages: routes, and what each answers.
//!
//! A request is answered from what is known at that moment; none waits for a poll. What may be large is rendered off the async threads.

pub mod lifecycle;

mod answer;
mod api;
mod assets;
mod negotiate;
mod pages;
mod path;
mod pieces;
mod query;
mod render;
mod scrape;
mod threads;

use std::{io, sync::Arc};

use http_body_util::BodyExt as _;
use hyper::{
    HeaderMap, Method, Request, Response, StatusCode,
    body::{Bytes, Incoming},
};
use web_toolkit::{
    answer::{failed, only, text},
    clock,
    server::Body,
};

pub use self::api::tunnels as write_tunnels;
use self::{
    answer::{file, html, json},
    api::{Listing, Subject},
    assets::Asset,
    lifecycle::Lifecycle,
    pages::Document,
    pieces::Pieces,
    query::Query,
    render::{Rendered, encode},
    scrape::Scrape,
    threads::Threads,
};
use crate::{
    domain::inventory::TunnelKey,
    exposition::Exposition,
    snapshot::{Snapshot, Sources},
};

/// Answers requests. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Http(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    scrape: Scrape,
    sources: Sources,
    telemetry_path: String,
    threads: Arc<Threads>,
    lifecycle: Lifecycle,
}

/// What a path leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Route<'a> {
    Front,
    Runbooks,
    Tunnel(TunnelKey),
    Asset(&'a str),
    Metrics,
    Healthy,
    Ready,
    ApiTunnels,
    ApiTunnel(TunnelKey),
    ApiTargets,
    Reload,
}

/// Whether a path leads to a page of our own, so that the metrics cannot have it.
pub fn is_taken(path: &str) -> bool {
    let reserved = ["/-/", "/api/", "/assets/", "/tunnels/"];
    reserved.iter().any(|beginning| path.starts_with(beginning)) || Route::of(path).is_some()
}

impl<'a> Route<'a> {
    fn of(path: &'a str) -> Option<Self> {
        match path {
            "/" => Some(Self::Front),
            "/runbooks" => Some(Self::Runbooks),
            "/-/healthy" => Some(Self::Healthy),
            "/-/ready" => Some(Self::Ready),
            "/-/reload" => Some(Self::Reload),
            "/api/v1/tunnels" => Some(Self::ApiTunnels),
            "/api/v1/targets" => Some(Self::ApiTargets),
            _ => {
                let tunnel = path.strip_prefix("/tunnels/").and_then(path::parse).map(Self::Tunnel);
                let api = || path.strip_prefix("/api/v1/tunnels/").and_then(path::parse).map(Self::ApiTunnel);
                tunnel.or_else(api).or_else(|| path.strip_prefix("/assets/").map(Self::Asset))
            }
        }
    }
}

impl Http {
    /// # Errors
    /// The system refuses the threads that pages are written on.
    pub fn new(
        exposition: Exposition,
        sources: Sources,
        telemetry_path: String,
        lifecycle: Lifecycle,
    ) -> io::Result<Self> {
        let threads = Arc::new(Threads::new()?);
        let scrape = Scrape::new(exposition, Arc::clone(&threads));
        Ok(Self(Arc::new(Inner { scrape, sources, telemetry_path, threads, lifecycle })))
    }

    /// The answer to one request.
    pub async fn respond(self, request: Request<Incoming>) -> Response<Body> {
        let path = request.uri().path();
        let is_metrics = path == self.0.telemetry_path;
        let route = if is_metrics { Some(Route::Metrics) } else { Route::of(path) };
        let Some(route) = route else { return self.no_such_page() };
        if route == Route::Reload {
            return self.0.lifecycle.respond(request.method()).await;
        }
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            return only("GET, HEAD");
        }
        let query = request.uri().query().unwrap_or_default();
        self.answer(route, query, request.headers()).await
    }

    async fn answer(&self, route: Route<'_>, query: &str, headers: &HeaderMap) -> Response<Body> {
        match route {
            Route::Front => self.front(query, headers).await,
            Route::Runbooks => self.page(headers, |_| (StatusCode::OK, pages::runbooks())).await,
            Route::Tunnel(key) => self.tunnel(key, headers).await,
            Route::Asset(name) => assets::find(name).map_or_else(
                || self.no_such_page(),
                |&Asset { content_type, ref body, .. }| file(content_type, body.clone()),
            ),
            Route::Metrics => self.0.scrape.respond(headers, query).await,
            Route::Healthy => text(StatusCode::OK, "The process serves requests\n"),
            Route::Ready => self.ready(),
            Route::Reload => only("POST, PUT"),
            Route::ApiTunnels => self.api(query, headers, Subject::Tunnels).await,
            Route::ApiTunnel(key) => self.api_tunnel(key, headers).await,
            Route::ApiTargets => self.api(query, headers, Subject::Targets).await,
        }
    }

    fn no_such_page(&self) -> Response<Body> {
        let known = format!("/, {}, /api/v1/tunnels, /api/v1/targets, /-/healthy, /-/ready", self.0.telemetry_path);
        text(StatusCode::NOT_FOUND, format!("There is no such page; there are {known}\n"))
    }

    fn ready(&self) -> Response<Body> {
        if self.0.sources.judged.borrow().fleet.is_ready() {
            return text(StatusCode::OK, "Every collection has been polled, or was refused for a lasting reason\n");
        }
        text(StatusCode::SERVICE_UNAVAILABLE, "Not every collection has been polled yet\n")
    }

    async fn front(&self, query: &str, headers: &HeaderMap) -> Response<Body> {
        let query = Query::parse(query);
        let status = if query.is_ok() { StatusCode::OK } else { StatusCode::BAD_REQUEST };
        self.page(headers, move |snapshot| match query {
            Ok(query) => (status, pages::front(snapshot, &query)),
            Err(error) => (status, pages::refused(&error.to_string())),
        })
        .await
    }

    async fn tunnel(&self, key: TunnelKey, headers: &HeaderMap) -> Response<Body> {
        self.page(headers, move |snapshot| match pages::tunnel(snapshot, &key) {
            Some(page) => (StatusCode::OK, page),
            None => (StatusCode::NOT_FOUND, pages::missing("../../../")),
        })
        .await
    }

    /// A page for people, drawn from the newest picture.
    async fn page(
        &self,
        headers: &HeaderMap,
        draw: impl FnOnce(&Snapshot) -> (StatusCode, Document) + Send + 'static,
    ) -> Response<Body> {
        let (snapshot, telemetry_path) = (self.snapshot(), self.0.telemetry_path.clone());
        let respond = move |(status, rendered)| html(status, rendered);
        self.render(headers, respond, move |gzip| {
            let (status, document) = draw(&snapshot);
            let page = document.render(snapshot.now, &telemetry_path);
            let rendered = encode(gzip, |out| out.write_all(page.into_string().as_bytes()))?;
            Ok((status, rendered))
        })
        .await
    }

    /// An answer for programs about the tunnels that the query asks for.
    async fn api(&self, query: &str, headers: &HeaderMap, subject: Subject) -> Response<Body> {
        let gzip = negotiate::gzip(headers);
        let filter = match query::filter(query) {
            Ok(filter) => filter,
            Err(error) => return self.refused(headers, error.to_string()).await,
        };
        let listing = Listing::new(self.snapshot(), filter, subject, gzip);
        let Ok(pieces) = Pieces::begin(listing, Arc::clone(&self.0.threads)).await else { return failed() };
        json(StatusCode::OK, Rendered { body: Bytes::new(), gzip }).map(|_| pieces.boxed_unsync())
    }

    async fn refused(&self, headers: &HeaderMap, sentence: String) -> Response<Body> {
        let respond = |(status, rendered)| json(status, rendered);
        self.render(headers, respond, move |gzip| {
            Ok((StatusCode::BAD_REQUEST, encode(gzip, |out| api::refusal(&sentence, out))?))
        })
        .await
    }

    async fn api_tunnel(&self, key: TunnelKey, headers: &HeaderMap) -> Response<Body> {
        let snapshot = self.snapshot();
        self.render(
            headers,
            |(status, rendered)| json(status, rendered),
            move |gzip| {
                let mut status = StatusCode::OK;
                let rendered = encode(gzip, |out| {
                    if !api::tunnel(&snapshot, &key, out)? {
                        status = StatusCode::NOT_FOUND;
                        api::refusal("the API lists no such tunnel", out)?;
                    }
                    Ok(())
                })?;
                Ok((status, rendered))
            },
        )
        .await
    }

    async fn render(
        &self,
        headers: &HeaderMap,
        respond: impl FnOnce((StatusCode, Rendered)) -> Response<Body>,
        work: impl FnOnce(bool) -> io::Result<(StatusCode, Rendered)> + Send + 'static,
    ) -> Response<Body> {
        let gzip = negotiate::gzip(headers);
        match self.0.threads.run(move || work(gzip)).await {
            Ok(Ok(done)) => respond(done),
            Ok(Err(_)) | Err(_) => failed(),
        }
    }

    fn snapshot(&self) -> Snapshot {
        self.0.sources.snapshot(clock::now())
    }
}
