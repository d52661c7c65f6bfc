//! The exporter's own pages: routes, and what each answers.
//!
//! A request is answered from what is known at that moment; none waits for a poll.

pub mod lifecycle;

mod answer;
mod negotiate;
mod page;
mod scrape;

use std::sync::Arc;

use hyper::{
    Method, Request, Response, StatusCode,
    body::Incoming,
    header::{CONTENT_SECURITY_POLICY, HeaderValue},
};
use tokio::sync::watch;

use self::{
    answer::{answer, only, text},
    lifecycle::Lifecycle,
    scrape::Scrape,
};
use crate::{domain::inventory::Fleet, exposition::Exposition, server::Body};

const HTML: &str = "text/html; charset=utf-8";

/// Answers requests. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Http(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    scrape: Scrape,
    fleet: watch::Receiver<Arc<Fleet>>,
    telemetry_path: String,
    lifecycle: Lifecycle,
}

/// What a path leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Route {
    Landing,
    Metrics,
    Healthy,
    Ready,
    Reload,
}

impl Http {
    pub fn new(
        exposition: Exposition,
        fleet: watch::Receiver<Arc<Fleet>>,
        telemetry_path: String,
        lifecycle: Lifecycle,
    ) -> Self {
        Self(Arc::new(Inner { scrape: Scrape::new(exposition), fleet, telemetry_path, lifecycle }))
    }

    /// The answer to one request.
    pub async fn respond(self, request: Request<Incoming>) -> Response<Body> {
        let Some(route) = self.route(request.uri().path()) else {
            let known = format!("/, {}, /-/healthy, /-/ready", self.0.telemetry_path);
            return text(StatusCode::NOT_FOUND, format!("There is no such page; there are {known}\n"));
        };
        if route == Route::Reload {
            return self.0.lifecycle.respond(request.method()).await;
        }
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            return only("GET, HEAD");
        }
        match route {
            Route::Landing => self.landing(),
            Route::Metrics => self.0.scrape.respond(request.headers()).await,
            Route::Healthy => text(StatusCode::OK, "The process serves requests\n"),
            Route::Ready => self.ready(),
            Route::Reload => only("POST, PUT"),
        }
    }

    fn route(&self, path: &str) -> Option<Route> {
        match path {
            path if path == self.0.telemetry_path => Some(Route::Metrics),
            "/" => Some(Route::Landing),
            "/-/healthy" => Some(Route::Healthy),
            "/-/ready" => Some(Route::Ready),
            "/-/reload" => Some(Route::Reload),
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
}
