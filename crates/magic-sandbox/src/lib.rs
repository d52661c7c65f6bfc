//! An in-memory copy of Cloudflare's tunnels API, for tests, rehearsals and the demo.
//!
//! It is mounted under `/client/v4` as the real API is, takes both ways to authenticate, keeps the rules of the API
//! reference, tells a [`Story`], and fails on demand. Its own paths are under `/sandbox`. The JSON is written by hand
//! and never with the types of the client: one misspelt field must not be misspelt twice.
//!
//! ```text
//! request -> read -> [lock] advance(now) -> route -> faults -> operation -> [unlock] -> delivery
//! ```
//! All state is one `world::World` behind one lock, which is never held over an await. The story goes on with each
//! request and, so that its log lines come in time, by the timer in [`Sandbox::run`].

mod calls;
mod control;
mod delivery;
mod faults;
mod generate;
mod kind;
mod object;
mod operations;
mod reply;
mod route;
mod session;
mod settings;
mod store;
mod story;
#[cfg(test)]
mod testing;
mod tunnel;
mod validate;
mod world;

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use http_body_util::BodyExt as _;
use hyper::{
    Request, Response,
    body::{Bytes, Incoming},
    header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue},
};
use tokio_util::sync::CancellationToken;
use web_toolkit::{
    clock::{self, Moment},
    server::{self, Bound, Limits},
};

use self::{
    faults::Delivery,
    kind::Form,
    reply::{Refusal, Reply},
    world::{Answer, Call, Credentials, World},
};
pub use self::{
    faults::{Fault, Faults},
    kind::Kind,
    settings::Settings,
    story::Story,
};

/// The largest request body.
const BODY_LIMIT: usize = 1024 * 1024;
/// How much of a body that is too large is read before its client is refused.
const BODY_READ_ON: usize = 16 * BODY_LIMIT;
/// How long a request body may take.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);

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
    let body = tokio::time::timeout(BODY_TIMEOUT, collect(body)).await.map_err(|_| Refusal::body_timeout())??;
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

/// A body that is too large is read on for a while and forgotten: an answer that comes while the client still sends is
/// lost to most clients.
async fn collect(mut body: Incoming) -> Result<Bytes, Refusal> {
    let mut kept = Vec::new();
    let mut length = 0;
    while let Some(frame) = body.frame().await {
        // Half a request is not carried out. Its client is gone, and nobody reads the answer.
        let Ok(frame) = frame else { return Err(Refusal::body_timeout()) };
        let data = frame.into_data().unwrap_or_default();
        length += data.len();
        if length <= BODY_LIMIT {
            kept.extend_from_slice(&data);
        } else if length > BODY_READ_ON {
            break;
        }
    }
    if length > BODY_LIMIT { Err(Refusal::too_large(BODY_LIMIT)) } else { Ok(kept.into()) }
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

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_story_goes_on_although_nobody_asks() {
        let sandbox = Sandbox::new(Settings::default(), clock::now());
        let endpoint = |sandbox: &Sandbox| -> Option<IpAddr> {
            let world = sandbox.lock();
            let mut tunnels = world.accounts[0].tunnels();
            tunnels.find(|tunnel| tunnel.config().name == "fra-ipsec-1").unwrap().config().customer_endpoint
        };
        assert_eq!(endpoint(&sandbox), Some("127.0.1.1".parse().unwrap()));
        let stop = CancellationToken::new();
        tokio::select! {
            () = sandbox.tell_story(stop.clone()) => panic!("the demo has no end"),
            () = tokio::time::sleep(Duration::from_secs(16)) => {}
        }
        assert_eq!(endpoint(&sandbox), Some("203.0.113.1".parse().unwrap()));
        stop.cancel();
        sandbox.tell_story(stop).await;
    }
}
