//! The exporter's own pages: routes, and what each answers.
//!
//! A request is answered from what is known at that moment; none waits for a poll. Pages are rendered on the blocking pool, a few at
//! once, so that a crowd of scrapers cannot take the memory or the threads of everything else.

mod negotiate;
mod page;

use std::{io::Write as _, sync::Arc};

use flate2::{Compression, write::GzEncoder};
use hyper::{
    HeaderMap, Method, Request, Response, StatusCode,
    body::{Bytes, Incoming},
    header::{
        ALLOW, CONTENT_ENCODING, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderValue, VARY, X_CONTENT_TYPE_OPTIONS,
    },
};
use tokio::sync::{Semaphore, watch};

use crate::{
    domain::inventory::Fleet,
    exposition::{Exposition, Format},
    server::{Body, full},
};

/// Pages rendered at one time; further scrapes wait their turn.
const RENDERS: usize = 2;

const PLAIN: &str = "text/plain; charset=utf-8";
const HTML: &str = "text/html; charset=utf-8";

/// Answers requests. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Http(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    exposition: Arc<Exposition>,
    fleet: watch::Receiver<Arc<Fleet>>,
    telemetry_path: String,
    renders: Semaphore,
}

/// What a path leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Route {
    Landing,
    Metrics,
    Healthy,
    Ready,
}

impl Http {
    pub fn new(exposition: Exposition, fleet: watch::Receiver<Arc<Fleet>>, telemetry_path: String) -> Self {
        let renders = Semaphore::new(RENDERS);
        Self(Arc::new(Inner { exposition: Arc::new(exposition), fleet, telemetry_path, renders }))
    }

    /// The answer to one request.
    pub async fn respond(self, request: Request<Incoming>) -> Response<Body> {
        let Some(route) = self.route(request.uri().path()) else {
            let known = format!("/, {}, /-/healthy, /-/ready", self.0.telemetry_path);
            return text(StatusCode::NOT_FOUND, format!("There is no such page; there are {known}\n"));
        };
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            let mut response = text(StatusCode::METHOD_NOT_ALLOWED, "This page answers GET and HEAD only\n");
            response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
            return response;
        }
        match route {
            Route::Landing => self.landing(),
            Route::Metrics => self.metrics(request.headers()).await,
            Route::Healthy => text(StatusCode::OK, "The process serves requests\n"),
            Route::Ready => self.ready(),
        }
    }

    fn route(&self, path: &str) -> Option<Route> {
        match path {
            path if path == self.0.telemetry_path => Some(Route::Metrics),
            "/" => Some(Route::Landing),
            "/-/healthy" => Some(Route::Healthy),
            "/-/ready" => Some(Route::Ready),
            _ => None,
        }
    }

    fn landing(&self) -> Response<Body> {
        let fleet = Arc::clone(&self.0.fleet.borrow());
        let mut response = answer(StatusCode::OK, HTML, page::landing(&fleet, &self.0.telemetry_path));
        let policy = HeaderValue::from_static("default-src 'none'; style-src 'unsafe-inline'");
        response.headers_mut().insert(CONTENT_SECURITY_POLICY, policy);
        response
    }

    fn ready(&self) -> Response<Body> {
        if self.0.fleet.borrow().is_ready() {
            return text(StatusCode::OK, "Every collection has been polled, or was refused for a lasting reason\n");
        }
        text(StatusCode::SERVICE_UNAVAILABLE, "Not every collection has been polled yet\n")
    }

    async fn metrics(&self, headers: &HeaderMap) -> Response<Body> {
        let format = negotiate::format(headers);
        let gzip = negotiate::gzip(headers);
        let Ok(_slot) = self.0.renders.acquire().await else { return failed() };
        let exposition = Arc::clone(&self.0.exposition);
        let rendered = tokio::task::spawn_blocking(move || render(&exposition, format, gzip)).await;
        let Ok(page) = rendered else { return failed() };
        let mut response = answer(StatusCode::OK, format.content_type(), page);
        let headers = response.headers_mut();
        headers.insert(VARY, HeaderValue::from_static("Accept, Accept-Encoding"));
        if gzip {
            headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
        response
    }
}

fn render(exposition: &Exposition, format: Format, gzip: bool) -> Bytes {
    let page = exposition.render(format);
    if !gzip {
        return page.into();
    }
    let mut encoder = GzEncoder::new(Vec::with_capacity(page.len() / 16), Compression::fast());
    // Writing to a vector does not fail.
    let _ = encoder.write_all(page.as_bytes());
    encoder.finish().unwrap_or_default().into()
}

fn failed() -> Response<Body> {
    text(StatusCode::INTERNAL_SERVER_ERROR, "The page could not be rendered; the log says why\n")
}

fn text(status: StatusCode, sentence: impl Into<Bytes>) -> Response<Body> {
    answer(status, PLAIN, sentence)
}

fn answer(status: StatusCode, content_type: &'static str, body: impl Into<Bytes>) -> Response<Body> {
    let mut response = Response::new(full(body));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}
