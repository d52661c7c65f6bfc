//! The exporter's own pages: routes, and what each answers.
//!
//! A request is answered from what is known at that moment; none waits for a poll. What may be large is rendered off the async threads.

pub mod lifecycle;

mod answer;
mod api;
mod assets;
pub mod guard;
mod negotiate;
mod pages;
mod path;
mod query;
mod render;
mod scrape;

use std::{io, sync::Arc};

use hyper::{HeaderMap, Method, Request, Response, StatusCode, body::Incoming};
use tokio::sync::watch;

pub use self::api::tunnels as write_tunnels;
use self::{
    answer::{failed, file, html, json, only, text},
    assets::Asset,
    lifecycle::Lifecycle,
    pages::Scene,
    query::Query,
    render::{Rendered, Renderer, encode},
    scrape::Scrape,
};
use crate::{
    clock,
    domain::board::TunnelKey,
    exposition::Exposition,
    overview::{Picture, Sources, filter::Filter},
    prober::settings::Settings,
    server::Body,
};

/// Answers requests. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Http(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    scrape: Scrape,
    sources: Sources,
    probing: watch::Receiver<Arc<Settings>>,
    telemetry_path: String,
    renderer: Renderer,
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
    /// `probing` is what the operator decided; it says what would be probed where nothing is.
    pub fn new(
        exposition: Exposition,
        sources: Sources,
        probing: watch::Receiver<Arc<Settings>>,
        telemetry_path: String,
        lifecycle: Lifecycle,
    ) -> Self {
        let (scrape, renderer) = (Scrape::new(exposition), Renderer::new());
        Self(Arc::new(Inner { scrape, sources, probing, telemetry_path, renderer, lifecycle }))
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
            Route::Runbooks => self.page(headers, |scene| (StatusCode::OK, pages::runbooks(scene))).await,
            Route::Tunnel(key) => self.tunnel(key, headers).await,
            Route::Asset(name) => assets::find(name).map_or_else(
                || self.no_such_page(),
                |&Asset { content_type, ref body, .. }| file(content_type, body.clone()),
            ),
            Route::Metrics => self.0.scrape.respond(headers, query).await,
            Route::Healthy => text(StatusCode::OK, "The process serves requests\n"),
            Route::Ready => self.ready(),
            Route::Reload => only("POST, PUT"),
            Route::ApiTunnels => self.api(query, headers, api::tunnels).await,
            Route::ApiTunnel(key) => self.api_tunnel(key, headers).await,
            Route::ApiTargets => {
                let probing = self.probing();
                self.api(query, headers, move |picture, filter, out| api::targets(picture, filter, &probing, out)).await
            }
        }
    }

    fn no_such_page(&self) -> Response<Body> {
        let known = format!("/, {}, /api/v1/tunnels, /api/v1/targets, /-/healthy, /-/ready", self.0.telemetry_path);
        text(StatusCode::NOT_FOUND, format!("There is no such page; there are {known}\n"))
    }

    fn ready(&self) -> Response<Body> {
        if self.0.sources.fleet.borrow().is_ready() {
            return text(StatusCode::OK, "Every collection has been polled, or was refused for a lasting reason\n");
        }
        text(StatusCode::SERVICE_UNAVAILABLE, "Not every collection has been polled yet\n")
    }

    async fn front(&self, query: &str, headers: &HeaderMap) -> Response<Body> {
        let query = Query::parse(query);
        let status = if query.is_ok() { StatusCode::OK } else { StatusCode::BAD_REQUEST };
        self.page(headers, move |scene| match query {
            Ok(query) => (status, pages::front(scene, &query)),
            Err(error) => (status, pages::refused(scene, &error.to_string())),
        })
        .await
    }

    async fn tunnel(&self, key: TunnelKey, headers: &HeaderMap) -> Response<Body> {
        self.page(headers, move |scene| match pages::tunnel(scene, &key) {
            Some(page) => (StatusCode::OK, page),
            None => (StatusCode::NOT_FOUND, pages::missing(scene, "../../../")),
        })
        .await
    }

    /// A page for people, drawn from the newest picture.
    async fn page(
        &self,
        headers: &HeaderMap,
        draw: impl FnOnce(&Scene) -> (StatusCode, maud::Markup) + Send + 'static,
    ) -> Response<Body> {
        let scene =
            Scene { picture: self.look(), probing: self.probing(), telemetry_path: self.0.telemetry_path.clone() };
        let respond = move |(status, rendered)| html(status, rendered);
        self.render(headers, respond, move |gzip| {
            let (status, page) = draw(&scene);
            let rendered = encode(gzip, |out| out.write_all(page.into_string().as_bytes()))?;
            Ok((status, rendered))
        })
        .await
    }

    /// An answer for programs about the tunnels that the query asks for.
    async fn api(
        &self,
        query: &str,
        headers: &HeaderMap,
        write: impl FnOnce(&Picture, &Filter, &mut dyn io::Write) -> io::Result<()> + Send + 'static,
    ) -> Response<Body> {
        let (filter, picture) = (query::filter(query), self.look());
        self.render(
            headers,
            |(status, rendered)| json(status, rendered),
            move |gzip| match filter {
                Ok(filter) => Ok((StatusCode::OK, encode(gzip, |out| write(&picture, &filter, out))?)),
                Err(error) => Ok((StatusCode::BAD_REQUEST, encode(gzip, |out| api::refusal(&error.to_string(), out))?)),
            },
        )
        .await
    }

    async fn api_tunnel(&self, key: TunnelKey, headers: &HeaderMap) -> Response<Body> {
        let picture = self.look();
        self.render(
            headers,
            |(status, rendered)| json(status, rendered),
            move |gzip| {
                let mut status = StatusCode::OK;
                let rendered = encode(gzip, |out| {
                    if !api::tunnel(&picture, &key, out)? {
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
        match self.0.renderer.run(move || work(gzip)).await {
            Some(Ok(done)) => respond(done),
            Some(Err(_)) | None => failed(),
        }
    }

    fn look(&self) -> Picture {
        self.0.sources.look(clock::now())
    }

    fn probing(&self) -> Arc<Settings> {
        Arc::clone(&self.0.probing.borrow())
    }
}
