//! What a hub serves to its agents: the inventory of their sites. Records every agent that asks.

use std::{io, sync::Arc, time::Duration};

use hyper::{
    HeaderMap, Response, StatusCode,
    header::{CACHE_CONTROL, ETAG, HeaderValue, IF_NONE_MATCH, RETRY_AFTER, USER_AGENT, VARY},
};
use tokio::sync::{Mutex, watch};
use web_toolkit::{
    clock::Moment,
    requester::Requester,
    server::{Body, internal_error, plain_text},
    text::shown,
};

use super::{
    api::{
        error_json,
        inventory::{InventoryIndex, InventoryText, Selection, find_tag},
    },
    body::{EncodedBody, PageThreads, Producer},
    headers::{accepts_gzip, answer_json},
};
use crate::{
    agents::{AgentKey, AgentReport, Agents, ScrapeAddress, metrics::ServedInventories},
    domain::{grants::Grants, inventory::Fleet},
    inventory::ReplyTimes,
    prober::settings::ProbeSettings,
};

/// Time after which an agent asks again while there is no list yet.
const RETRY: HeaderValue = HeaderValue::from_static("5");

/// Bounds of the interval that an agent states, and its default.
const INTERVALS: (Duration, Duration) = (Duration::from_secs(5), Duration::from_hours(1));
const USUAL_INTERVAL: Duration = Duration::from_secs(30);

/// Serves the inventory, and knows the agents.
#[derive(Debug)]
pub struct Hub {
    agents: Agents,
    served: ServedInventories,
    /// `None`: every client that is let in may read everything.
    grants: watch::Receiver<Arc<Option<Grants>>>,
    /// The overrides in them steer the agents.
    settings: watch::Receiver<Arc<ProbeSettings>>,
    index: Mutex<Option<Arc<InventoryIndex>>>,
}

/// One request for the inventory.
pub(super) struct InventoryRequest<'a> {
    pub(super) query: &'a str,
    pub(super) headers: &'a HeaderMap,
    pub(super) requester: &'a Requester,
}

impl Hub {
    pub fn new(
        agents: Agents,
        served: ServedInventories,
        grants: watch::Receiver<Arc<Option<Grants>>>,
        settings: watch::Receiver<Arc<ProbeSettings>>,
    ) -> Self {
        Self { agents, served, grants, settings, index: Mutex::default() }
    }

    pub(super) fn agents(&self) -> &Agents {
        &self.agents
    }

    /// Whether this client may read the inventory of its sites only, and no other page.
    pub(super) fn restricts(&self, requester: &Requester) -> bool {
        let (user, names) = (requester.user.as_deref(), &requester.certificate_names);
        self.grants.borrow().as_ref().as_ref().is_some_and(|grants| grants.restrict(user, names))
    }

    fn permits(&self, requester: &Requester, selection: &Selection) -> bool {
        let (user, names) = (requester.user.as_deref(), &requester.certificate_names);
        self.grants.borrow().as_ref().as_ref().is_none_or(|grants| grants.permit(user, names, &selection.sites))
    }

    /// Answers with a part of `fleet`, and counts the answer.
    pub(super) async fn respond(
        &self,
        threads: &Arc<PageThreads>,
        fleet: Arc<Fleet>,
        request: InventoryRequest<'_>,
        now: Moment,
    ) -> Response<Body> {
        let response = match self.answer(threads, fleet, request, now).await {
            Ok(response) => response,
            Err(_) => internal_error(),
        };
        self.served.count(response.status().as_u16());
        response
    }

    async fn answer(
        &self,
        threads: &Arc<PageThreads>,
        fleet: Arc<Fleet>,
        request: InventoryRequest<'_>,
        now: Moment,
    ) -> io::Result<Response<Body>> {
        let headers = request.headers;
        let selection = match Selection::parse(request.query) {
            Ok(selection) => Arc::new(selection),
            Err(sentence) => return refuse(threads, headers, StatusCode::BAD_REQUEST, sentence).await,
        };
        if !self.permits(request.requester, &selection) {
            let sentence = "this client may not read the inventory of these sites; see `fleet.users`".to_owned();
            return refuse(threads, headers, StatusCode::FORBIDDEN, sentence).await;
        }
        let index = self.index(threads, fleet).await?;
        if !index.knows_accounts(&selection) {
            let sentence = "none of these accounts is polled by this exporter".to_owned();
            return refuse(threads, headers, StatusCode::NOT_FOUND, sentence).await;
        }
        let Some(times) = index.times(&selection, now) else {
            self.record(&request, &selection, None, now);
            let sentence = "no list has been read from the Cloudflare API yet; try again later".to_owned();
            let mut response = refuse(threads, headers, StatusCode::SERVICE_UNAVAILABLE, sentence).await?;
            response.headers_mut().insert(RETRY_AFTER, RETRY);
            return Ok(response);
        };
        let tag = if let Some(tag) = index.known_tag(&selection) {
            tag
        } else {
            let (index, selection) = (Arc::clone(&index), Arc::clone(&selection));
            threads.run(move || find_tag(&index, &selection)).await??
        };
        let is_newest = has_tag(headers, &tag);
        self.record(&request, &selection, Some(is_newest), now);
        let gzip = accepts_gzip(headers) && index.is_long(&selection);
        let mut response = if is_newest {
            let mut response = plain_text(StatusCode::NOT_MODIFIED, "");
            response.headers_mut().remove(hyper::header::CONTENT_TYPE);
            response
        } else {
            let open = move || (StatusCode::OK, InventoryText::new(index, selection));
            encode(threads, gzip, open).await?
        };
        label(response.headers_mut(), &tag, gzip, &times);
        Ok(response)
    }

    /// The index of the newest inventory, built once for all requests.
    async fn index(&self, threads: &PageThreads, fleet: Arc<Fleet>) -> io::Result<Arc<InventoryIndex>> {
        let mut newest = self.index.lock().await;
        let settings = Arc::clone(&self.settings.borrow());
        if let Some(index) = newest.as_ref().filter(|index| index.is_of(&fleet, &settings)) {
            return Ok(Arc::clone(index));
        }
        let index = Arc::new(threads.run(move || InventoryIndex::build(&fleet, &settings)).await?);
        *newest = Some(Arc::clone(&index));
        Ok(index)
    }

    /// Records the sender, if it says that it is an agent.
    fn record(&self, request: &InventoryRequest<'_>, selection: &Selection, is_newest: Option<bool>, now: Moment) {
        let header = |name: &str| {
            let text = request.headers.get(name).and_then(|value| value.to_str().ok())?;
            Some(Box::<str>::from(&*shown(text.trim()))).filter(|text| !text.is_empty())
        };
        let Some(prober) = header("mte-prober") else { return };
        let Requester { user, certificate_names } = request.requester;
        let client = user.as_deref().or(certificate_names.first().map(String::as_str));
        let version = header(USER_AGENT.as_str());
        let version = version.and_then(|agent| Some(agent.split_once("magic-tunnel-exporter/")?.1.into()));
        let interval = header("mte-interval").and_then(|seconds| seconds.parse().ok()).map(Duration::from_secs);
        let report = AgentReport {
            key: AgentKey { prober, client: client.map(|client| shown(client).into()) },
            sites: selection.sites.iter().map(|site| shown(site).into()).collect(),
            version,
            vantage: header("mte-vantage"),
            interval: interval.unwrap_or(USUAL_INTERVAL).clamp(INTERVALS.0, INTERVALS.1),
            scrape: header("mte-advertise").and_then(|address| ScrapeAddress::parse(&address)),
            is_newest,
        };
        self.agents.record(report, now);
    }
}

async fn refuse(
    threads: &Arc<PageThreads>,
    headers: &HeaderMap,
    status: StatusCode,
    sentence: String,
) -> io::Result<Response<Body>> {
    encode(threads, accepts_gzip(headers), move || (status, error_json(&sentence))).await
}

async fn encode<P: Producer>(
    threads: &Arc<PageThreads>,
    gzip: bool,
    open: impl FnOnce() -> (StatusCode, P) + Send + 'static,
) -> io::Result<Response<Body>> {
    EncodedBody::open(threads, gzip, open).await.map(|(status, body)| answer_json(status, body))
}

/// A strong entity tag differs between encodings of the same content (RFC 9110 section 8.8.3.3).
const GZIP: &str = "-gzip";

fn label(headers: &mut HeaderMap, tag: &str, gzip: bool, times: &ReplyTimes) {
    let suffix = if gzip { GZIP } else { "" };
    if let Ok(value) = HeaderValue::from_str(&format!("\"{tag}{suffix}\"")) {
        headers.insert(ETAG, value);
    }
    times.write(headers);
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers.insert(VARY, HeaderValue::from_static("Accept-Encoding"));
}

/// Whether `If-None-Match` names the tag, in any encoding.
fn has_tag(headers: &HeaderMap, tag: &str) -> bool {
    let values = headers.get_all(IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).any(|element| {
        let element = element.trim();
        let quoted = element.strip_prefix("W/").unwrap_or(element).trim_matches('"');
        quoted.strip_suffix(GZIP).unwrap_or(quoted) == tag
    })
}

#[cfg(test)]
mod tests;
