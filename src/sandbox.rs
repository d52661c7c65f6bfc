//! An in-memory copy of Cloudflare's tunnels API, for tests, rehearsals and the demo.
//!
//! It is mounted under `/client/v4` as the real API is, takes both ways to authenticate, keeps the rules of the API
//! reference, tells a [`Story`], and fails on demand. Its own paths are under `/sandbox`. The JSON is written by hand
//! and never with the types of the client: one misspelt field must not be misspelt twice.
//!
//! ```text
//! request -> read -> [lock] advance(now) -> route -> faults -> operation -> [unlock] -> delivery
//! ```
//! All state is one [`world::World`] behind one lock, which is never held over an await. The story goes on with each
//! request and, so that its log lines come in time, by the timer in [`Sandbox::run`].

mod calls;
mod control;
mod delivery;
mod faults;
mod generate;
mod kind;
mod operations;
mod reply;
mod route;
mod session;
mod store;
mod story;
#[cfg(test)]
mod testing;
mod tunnel;
mod validate;
mod world;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue};
use hyper::{Request, Response};
use secrecy::SecretString;
use tokio_util::sync::CancellationToken;

pub use faults::{Fault, Faults};
pub use kind::Kind;
pub use story::{Story, StoryError};

use crate::clock;
use crate::domain::moment::Moment;
use crate::server::{self, Bound, Limits};
use faults::Delivery;
use kind::Form;
use reply::{Refusal, Reply};
use world::{Answer, Call, Credentials, World};

/// The largest request body.
const BODY_LIMIT: usize = 1024 * 1024;
/// How long a request body may take.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);

/// What the sandbox is started with.
#[derive(Debug)]
pub struct Settings {
    /// The one secret that is accepted, as a bearer token or as the key of an e-mail and key pair; `None` accepts any.
    pub token: Option<SecretString>,
    /// Refuse interface addresses outside the private ranges, as the reference asks for and the live API does not.
    pub strict: bool,
    /// Generated tunnels beside those of the story, in its first account.
    pub tunnels: usize,
    pub story: Story,
    /// In force from the start.
    pub faults: Faults,
}

impl Default for Settings {
    fn default() -> Self {
        Self { token: None, strict: false, tunnels: 0, story: Story::demo(), faults: Faults::default() }
    }
}

/// A running copy of the API.
#[derive(Debug)]
pub struct Sandbox {
    world: Mutex<World>,
}

impl Sandbox {
    pub fn new(settings: Settings, now: Moment) -> Arc<Self> {
        Arc::new(Self { world: Mutex::new(World::new(settings, now)) })
    }

    /// The accounts of the story, in its order.
    pub fn account_ids(&self) -> Vec<String> {
        self.lock().accounts.iter().map(|account| account.id().to_owned()).collect()
    }

    /// Answers on `bound` and tells the story, until `stop`.
    pub async fn run(self: Arc<Self>, bound: Vec<Bound>, stop: CancellationToken) {
        let answering = Arc::clone(&self);
        let service = move |request| {
            let sandbox = Arc::clone(&answering);
            async move { sandbox.respond(request).await }
        };
        tokio::join!(server::serve(bound, Limits::default(), stop.clone(), service), self.tell_story(stop));
    }

    /// Lets events happen at their time even if nobody asks.
    async fn tell_story(&self, stop: CancellationToken) {
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
        let answer = match read(request).await {
            Ok(call) => self.lock().answer(&call, clock::now()),
            Err(refusal) => Reply::from(refusal).into(),
        };
        if !answer.latency.is_zero() {
            tokio::time::sleep(answer.latency).await;
        }
        if answer.delivery == Delivery::Silence {
            // Until the client hangs up or the server drains.
            return std::future::pending().await;
        }
        response(answer)
    }

    fn lock(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn read(request: Request<Incoming>) -> Result<Call, Refusal> {
    let (head, body) = request.into_parts();
    let collected = tokio::time::timeout(BODY_TIMEOUT, Limited::new(body, BODY_LIMIT).collect()).await;
    let body = match collected {
        Ok(Ok(body)) => body.to_bytes(),
        Ok(Err(error)) if error.is::<LengthLimitError>() => return Err(Refusal::too_large(BODY_LIMIT)),
        // The client has gone; nobody reads the answer.
        Ok(Err(_)) => Bytes::new(),
        Err(_) => return Err(Refusal::body_timeout()),
    };
    let object =
        head.headers.get("x-magic-new-hc-target").is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"true"));
    Ok(Call {
        credentials: credentials(&head.headers),
        form: if object { Form::Object } else { Form::Text },
        path: head.uri.path().to_owned(),
        query: head.uri.query().unwrap_or_default().to_owned(),
        method: head.method,
        body,
    })
}

/// A token goes before a key, as at the real API.
fn credentials(headers: &HeaderMap) -> Credentials {
    let text = |value: &HeaderValue| value.to_str().ok().map(str::to_owned);
    if let Some(value) = headers.get(AUTHORIZATION) {
        let token = text(value).and_then(|value| value.strip_prefix("Bearer ").map(str::to_owned));
        let token = token.filter(|token| !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic()));
        return token.map_or(Credentials::Malformed, |token| Credentials::Token(token.into()));
    }
    let email = headers.get("x-auth-email").and_then(text).filter(|email| email.contains('@'));
    let key = headers.get("x-auth-key").and_then(text);
    match (email, key) {
        (Some(_), Some(key)) => Credentials::Key(key.into()),
        _ => Credentials::None,
    }
}

fn response(answer: Answer) -> Response<server::Body> {
    let Answer { reply, delivery, .. } = answer;
    let mut response = Response::new(delivery::body(reply.body, delivery));
    *response.status_mut() = reply.status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(reply.content_type));
    headers.insert("ratelimit", HeaderValue::from_static("\"default\";r=1199;t=1"));
    headers.insert("ratelimit-policy", HeaderValue::from_static("\"default\";q=1200;w=300"));
    for (name, value) in reply.headers {
        if let Ok(value) = HeaderValue::from_str(&value) {
            headers.insert(name, value);
        }
    }
    response
}
