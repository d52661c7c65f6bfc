//! An in-memory double of Cloudflare's tunnels API, for tests, rehearsals and the demo.
//!
//! The API is mounted at `/client/v4`, as the real one is. The sandbox supports both ways to authenticate, enforces the
//! rules of the API reference, plays a [`Story`], and injects faults. Its own paths are below `/sandbox`.
//!
//! ```text
//! request -> read -> [lock] advance story -> route -> faults -> operation -> [unlock] -> send
//! ```
//! All state is in one `world::World` behind one lock, which is never held across an await. The story advances with
//! each request, and by the timer in [`Sandbox::run`] so that its log lines appear on time.
//!
//! Each module uses only modules above it in this list:
//!
//! | module | contents |
//! |---|---|
//! | `spec` | the settings of a tunnel and their JSON |
//! | `response` | API errors, the envelope, and how a body is sent |
//! | `request` | a request, its credentials, and the call log |
//! | `validate` | the rules for one request body |
//! | `session` | the simulated BGP session |
//! | `store` | accounts and tunnels, and the rules between tunnels |
//! | `operations` | the operations of the API |
//! | `faults` | injected faults |
//! | `story` | stories, their files, and generated tunnels |
//! | `world` | all state: accounts, faults, the story |
//! | `control` | the paths below `/sandbox` |

mod control;
mod faults;
mod operations;
mod request;
mod response;
mod session;
mod spec;
mod store;
mod story;
#[cfg(test)]
mod testing;
mod validate;
mod world;

use std::sync::Arc;

use hyper::{Request, Response, body::Incoming};
use parking_lot::{Mutex, MutexGuard};
use tokio_util::sync::CancellationToken;
use web_toolkit::{
    clock::{self, Moment},
    server::{self, Bound, Limits, tls::Encryption},
};

pub use self::{faults::Faults, story::Story, world::SandboxSettings};
use self::{
    operations::MOUNT,
    request::ApiRequest,
    response::{ApiResponse, Delivery},
    world::World,
};

/// A running double of the API.
#[derive(Debug)]
pub struct Sandbox {
    world: Mutex<World>,
}

impl Sandbox {
    pub fn new(settings: SandboxSettings, now: Moment) -> Arc<Self> {
        Arc::new(Self { world: Mutex::new(World::new(settings, now)) })
    }

    /// Serves requests on `bound` and plays the story until `stop` is cancelled.
    pub async fn run(self: Arc<Self>, bound: Vec<Bound>, stop: CancellationToken) {
        let sandbox = Arc::clone(&self);
        let service = move |request| {
            let sandbox = Arc::clone(&sandbox);
            async move { sandbox.respond(request).await }
        };
        tokio::join!(
            server::serve(Encryption::off(), bound, Limits::default(), stop.clone(), service),
            self.play_story(stop)
        );
    }

    /// Applies story events on time even if no request arrives.
    async fn play_story(&self, stop: CancellationToken) {
        loop {
            let due = self.lock().due();
            let Some(due) = due else { return };
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep_until(due.instant.into()) => self.lock().advance(clock::now()),
            }
        }
    }

    async fn respond(&self, request: Request<Incoming>) -> Response<server::Body> {
        let response = match ApiRequest::read(request).await {
            Ok(request) => respond_to(&mut self.lock(), &request, clock::now()),
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

    fn lock(&self) -> MutexGuard<'_, World> {
        self.world.lock()
    }
}

fn respond_to(world: &mut World, request: &ApiRequest, now: Moment) -> ApiResponse {
    world.advance(now);
    match request.path.strip_prefix(MOUNT) {
        Some(path) => world.call_api(request, path, now),
        None => control::respond(world, request, now),
    }
}

#[cfg(test)]
mod tests {
    use std::{net::IpAddr, time::Duration};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_story_advances_without_requests() {
        let sandbox = Sandbox::new(SandboxSettings::default(), clock::now());
        let endpoint = |sandbox: &Sandbox| -> Option<IpAddr> {
            sandbox.lock().accounts[0].find("fra-ipsec-1").unwrap().spec().customer_endpoint
        };
        assert_eq!(endpoint(&sandbox), Some("127.0.1.1".parse().unwrap()));
        let stop = CancellationToken::new();
        tokio::select! {
            () = sandbox.play_story(stop.clone()) => panic!("the demo repeats forever"),
            () = tokio::time::sleep(Duration::from_secs(16)) => {}
        }
        assert_eq!(endpoint(&sandbox), Some("203.0.113.1".parse().unwrap()));
        stop.cancel();
        sandbox.play_story(stop).await;
    }
}
