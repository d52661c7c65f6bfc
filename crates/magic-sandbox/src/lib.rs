//! An in-memory double of Cloudflare's tunnels API, for tests, rehearsals and the demo.
//!
//! The API is mounted at `/client/v4`, as the real one is. Below it, `/graphql` answers the four documents of the
//! exporter. The sandbox supports both ways to authenticate, enforces the rules of the API reference, plays a
//! [`Story`], and injects faults. Its own paths are below `/sandbox`.
//!
//! ```text
//! request -> read -> [lock] advance story -> route -> faults -> operation -> [unlock] -> send
//! ```
//! All state is in one `world::World` behind one lock, which is never held across an await. The story advances with
//! each request, and by the timer in [`Sandbox::run`] so that its log lines appear on time.
//!
//! Each module uses only modules before it in this order: `spec`, `response`, `request`, `validate`, `catalog`,
//! `routes`, `interconnects`, `session`, `edge`, `store`, `token`, `items`, `operations`, `graphql`, `faults`, `patch`,
//! `story`, `world`.

mod catalog;
mod edge;
mod faults;
mod graphql;
mod interconnects;
mod items;
mod operations;
mod patch;
mod request;
mod response;
mod routes;
mod session;
mod spec;
mod store;
mod story;
#[cfg(test)]
mod testing;
mod token;
mod validate;
mod world;

use std::{collections::BTreeSet, net::IpAddr, sync::Arc};

use hyper::{Request, Response, body::Incoming};
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use web_toolkit::{
    clock::{self, Moment},
    server::{self, Bound, Limits, ServerOptions},
};

pub use self::{faults::Faults, story::Story, token::TokenExpiry, world::SandboxSettings};
use self::{request::ApiRequest, response::Delivery, world::World};

/// A running double of the API.
#[derive(Debug)]
pub struct Sandbox {
    world: Mutex<World>,
}

impl Sandbox {
    pub fn new(settings: SandboxSettings, now: Moment) -> Arc<Self> {
        Arc::new(Self { world: Mutex::new(World::new(settings, now)) })
    }

    /// Returns the addresses that the story has muted: no tunnel is reached through them. Only `demo` has a prober that
    /// follows them.
    pub fn muted(&self) -> watch::Receiver<BTreeSet<IpAddr>> {
        self.world.lock().muted()
    }

    /// Serves requests on `bound` and plays the story until `stop` is cancelled.
    pub async fn run(self: Arc<Self>, bound: Vec<Bound>, stop: CancellationToken) {
        let sandbox = Arc::clone(&self);
        let service = move |request| {
            let sandbox = Arc::clone(&sandbox);
            async move { sandbox.respond(request).await }
        };
        // A client that hangs up ends the silence of a fault. In `demo`, most descriptors are the exporter's.
        let limits = Limits::within_descriptors(20, 0);
        let options = ServerOptions { limits, answer_half_closed: false, ..ServerOptions::default() };
        tokio::join!(server::serve(options, bound, stop.clone(), service), self.play_story(stop));
    }

    /// Applies story events on time even if no request arrives.
    async fn play_story(&self, stop: CancellationToken) {
        loop {
            let due = self.world.lock().due();
            let Some(due) = due else { return };
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep_until(due.instant.into()) => self.world.lock().advance(clock::now()),
            }
        }
    }

    async fn respond(&self, request: Request<Incoming>) -> Response<server::Body> {
        let response = match ApiRequest::read(request).await {
            Ok(request) => self.world.lock().respond(&request, clock::now()),
            Err(error) => error.into(),
        };
        if !response.latency.is_zero() {
            tokio::time::sleep(response.latency).await;
        }
        if response.delivery == Delivery::Silence {
            // Until the client hangs up or the server drains.
            return std::future::pending().await;
        }
        response.into_http()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_story_advances_without_requests() {
        let sandbox = Sandbox::new(SandboxSettings::default(), clock::now());
        let muted = sandbox.muted();
        assert!(muted.borrow().is_empty());
        let stop = CancellationToken::new();
        tokio::select! {
            () = sandbox.play_story(stop.clone()) => panic!("the demo repeats forever"),
            () = tokio::time::sleep(Duration::from_secs(16)) => {}
        }
        let cut: [IpAddr; 2] = ["127.0.1.1".parse().unwrap(), "127.0.10.0".parse().unwrap()];
        assert_eq!(*muted.borrow(), BTreeSet::from(cut));
        stop.cancel();
        sandbox.play_story(stop).await;
    }
}
