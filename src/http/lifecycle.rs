//! Reloads by HTTP: `/-/reload` asks the supervisor and waits for the outcome.

use hyper::{Method, Response, StatusCode};
use tokio::sync::{mpsc, oneshot};
use web_toolkit::server::{Body, method_not_allowed, plain_text};

/// Receives the outcome of a reload: what was done, or what failed.
pub type ReloadRequest = oneshot::Sender<Result<String, String>>;

/// Maximum number of queued requests; further ones wait in their connections.
const MAX_QUEUED: usize = 16;

const STOPPING: &str = "the exporter is stopping\n";

/// Accepts requests for a reload, if they are enabled.
#[derive(Debug)]
pub struct Lifecycle(Option<mpsc::Sender<ReloadRequest>>);

impl Lifecycle {
    /// Returns the receiver of the requests. It is closed if reloading by HTTP is disabled.
    pub fn new(enabled: bool) -> (Self, mpsc::Receiver<ReloadRequest>) {
        let (requests, received) = mpsc::channel(MAX_QUEUED);
        (Self(enabled.then_some(requests)), received)
    }

    pub(super) async fn respond(&self, method: &Method) -> Response<Body> {
        if !matches!(*method, Method::POST | Method::PUT) {
            return method_not_allowed("POST, PUT");
        }
        let Some(requests) = &self.0 else {
            let sentence = "reloading by HTTP is disabled; start with `--web.enable-lifecycle` or send SIGHUP\n";
            return plain_text(StatusCode::FORBIDDEN, sentence);
        };
        let (outcome, received) = oneshot::channel();
        if requests.send(outcome).await.is_err() {
            return plain_text(StatusCode::SERVICE_UNAVAILABLE, STOPPING);
        }
        match received.await {
            Ok(Ok(done)) => plain_text(StatusCode::OK, format!("{done}\n")),
            Ok(Err(sentence)) => {
                let sentence = format!("not reloaded; the previous configuration stays active: {sentence}\n");
                plain_text(StatusCode::INTERNAL_SERVER_ERROR, sentence)
            }
            Err(_) => plain_text(StatusCode::SERVICE_UNAVAILABLE, STOPPING),
        }
    }
}
