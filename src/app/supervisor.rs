//! Keeps the exporter as its configuration says: owns the pollers, and reloads when a signal or a request asks for it.
//!
//! One task. Whatever asks while a reload is being read is answered by the next one, all together; so a storm of signals or requests costs
//! a few reloads a second.

use std::time::Duration;

use tokio::{
    signal::unix::Signal,
    sync::{mpsc, oneshot},
    task,
};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};
use web_toolkit::clock;

use super::{
    difference::Difference,
    lifecycle::Notifier,
    metrics::ConfigMetrics,
    pollers::Fallen,
    reload::{InForce, Sources},
};
use crate::http::lifecycle::Request;

/// Signals and requests that come within this time are answered by one reload.
const GATHER: Duration = Duration::from_millis(100);

/// See the head of this file.
#[derive(Debug)]
pub(super) struct Supervisor {
    pub(super) sources: Sources,
    pub(super) now: InForce,
    pub(super) metrics: ConfigMetrics,
    pub(super) hangups: Signal,
    /// From `POST /-/reload`.
    pub(super) requests: mpsc::Receiver<Request>,
    pub(super) notifier: Notifier,
    /// What the service manager shows people.
    pub(super) status: String,
}

impl Supervisor {
    /// Runs until `stop`, or until a poller ends by itself.
    pub(super) async fn run(mut self, stop: CancellationToken) {
        tokio::select! {
            () = stop.cancelled() => {}
            Fallen = self.keep() => {}
        }
        self.now.pollers.stop().await;
    }

    async fn keep(&mut self) -> Fallen {
        loop {
            let mut asked = Vec::new();
            // Cancel safety: none of these loses anything when dropped.
            tokio::select! {
                fallen = self.now.pollers.fallen() => return fallen,
                Some(()) = self.hangups.recv() => {}
                Some(request) = self.requests.recv() => asked.push(request),
            }
            tokio::time::sleep(GATHER).await;
            while let Ok(request) = self.requests.try_recv() {
                asked.push(request);
            }
            self.notifier.reloading().await;
            let outcome = self.reload().await;
            self.notifier.ready(self.status.clone()).await;
            match outcome {
                Ok(outcome) => asked.into_iter().for_each(|request| answer(request, &outcome)),
                Err(fallen) => return fallen,
            }
        }
    }

    /// One reload, and what is said about it.
    async fn reload(&mut self) -> Result<Result<String, String>, Fallen> {
        let (sources, apis) = (self.sources.clone(), self.now.apis.clone());
        let prepared = task::spawn_blocking(move || sources.prepare(apis)).await;
        let prepared = prepared.unwrap_or_else(|_| Err("reading the configuration failed".to_owned()));
        Ok(match prepared {
            Ok(prepared) => {
                let difference = self.now.take(prepared).await?;
                self.metrics.succeeded(clock::now());
                Ok(self.say(&difference))
            }
            Err(sentence) => {
                self.metrics.failed();
                error!("the configuration is not reloaded, everything stays as it was: {sentence}");
                Err(sentence)
            }
        })
    }

    fn say(&self, difference: &Difference) -> String {
        let what = match &self.now.config.file {
            Some(file) => format!("configuration reloaded from {file}"),
            None => "secrets read again; there is no configuration file to reload (`--config.file`)".to_owned(),
        };
        let summary = difference.summary();
        let mut sentence = if summary.is_empty() { what } else { format!("{what}: {summary}") };
        info!("{sentence}");
        if !difference.waiting.is_empty() {
            let waiting = difference.waiting.join(", ");
            warn!("these keys have changed and need a restart to count: {waiting}");
            sentence.push_str("; these keys have changed and need a restart to count: ");
            sentence.push_str(&waiting);
        }
        sentence
    }
}

fn answer(request: oneshot::Sender<Result<String, String>>, outcome: &Result<String, String>) {
    // Whoever asked may have gone.
    let _ = request.send(outcome.clone());
}
