//! `POST /-/reload`: hands the request to whoever reloads, and waits for the outcome.

use hyper::{Method, Response, StatusCode};
use tokio::sync::{mpsc, oneshot};
use web_toolkit::{
    answer::{method_not_allowed, plain_text},
    server::Body,
};

/// Where the outcome of a reload goes: what was done, or what is wrong.
pub type Request = oneshot::Sender<Result<String, String>>;

/// More requests than this wait in their connections.
const MOST_WAITING: usize = 16;

/// Takes requests for a reload, where they are switched on.
#[derive(Debug)]
pub struct Lifecycle(Option<mpsc::Sender<Request>>);

impl Lifecycle {
    /// The requests come out at the other end, if there can be any.
    pub fn new(enabled: bool) -> (Self, mpsc::Receiver<Request>) {
        let (requests, received) = mpsc::channel(MOST_WAITING);
        (Self(enabled.then_some(requests)), received)
    }

    pub(super) async fn respond(&self, method: &Method) -> Response<Body> {
        if !matches!(*method, Method::POST | Method::PUT) {
            return method_not_allowed("POST, PUT");
        }
        let Some(requests) = &self.0 else {
            let sentence = "Reloading by HTTP is off: start with `--web.enable-lifecycle`, or send SIGHUP\n";
            return plain_text(StatusCode::FORBIDDEN, sentence);
        };
        let (outcome, told) = oneshot::channel();
        if requests.send(outcome).await.is_err() {
            return plain_text(StatusCode::SERVICE_UNAVAILABLE, "The exporter is stopping\n");
        }
        match told.await {
            Ok(Ok(done)) => plain_text(StatusCode::OK, format!("{done}\n")),
            Ok(Err(sentence)) => {
                let sentence = format!("Not reloaded, everything stays as it was: {sentence}\n");
                plain_text(StatusCode::INTERNAL_SERVER_ERROR, sentence)
            }
            Err(_) => plain_text(StatusCode::SERVICE_UNAVAILABLE, "The exporter is stopping\n"),
        }
    }
}
