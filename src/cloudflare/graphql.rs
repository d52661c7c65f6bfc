//! The queries of the GraphQL Analytics API: limits of the datasets, health checks of the edge, and traffic.
//!
//! The documents are fixed, and only their variables change. Each request is one POST. Answers are decoded row by row
//! while they arrive, as the lists of tunnels are.

mod body;
pub mod colos;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
pub mod health;
mod paging;
pub mod row;
pub mod settings;
pub mod traffic;
mod wire;

use reqwest::{Response, header::CONTENT_TYPE};
use serde_json::{Value, json};
use tokio::time::timeout;
use web_toolkit::clock;

use self::{
    body::{BodyReader, RowReader},
    colos::ColoPages,
    health::HealthPages,
    settings::EdgeSettings,
    traffic::TrafficListing,
};
use super::{
    ApiCredentials, ApiFailure, Client, DECODING, MAX_PIECE_SIZE, MAX_SMALL_BODY_SIZE, RequestAccount, next_chunk,
    read_body, read_retry_after,
};
use crate::domain::{
    dataset::{Dataset, FailureReason},
    edge::EdgeWindow,
};

/// Reads the limits of both datasets.
pub const SETTINGS: &str = include_str!("graphql/settings.graphql");

/// Reads the results of health checks by tunnel and result, the average state by tunnel, and the newest minutes.
pub const HEALTH: &str = include_str!("graphql/health.graphql");

/// Reads the traffic of a time span by the tunnel through which it entered, and by the one through which it left.
pub const TRAFFIC: &str = include_str!("graphql/traffic.graphql");

/// Reads the average state by tunnel and data center.
pub const COLOS: &str = include_str!("graphql/colos.graphql");

/// Number of datasets that a document reads. The quota of the API counts these and not the requests.
pub const SETTINGS_NODES: u32 = 2;
pub const HEALTH_NODES: u32 = 3;
pub const TRAFFIC_NODES: u32 = 2;
pub const COLOS_NODES: u32 = 1;

/// A document with its variables.
#[derive(Debug)]
struct GraphqlQuery {
    dataset: Dataset,
    body: String,
}

impl GraphqlQuery {
    fn new(dataset: Dataset, name: &str, document: &str, variables: &Value) -> Self {
        let body = json!({ "operationName": name, "query": document, "variables": variables }).to_string();
        Self { dataset, body }
    }
}

impl Client {
    /// Reads the limits of the datasets for this account.
    ///
    /// # Errors
    /// [`ApiFailure`] if the request fails or the answer contains no account.
    pub async fn edge_settings(
        &self,
        credentials: &ApiCredentials,
        account: RequestAccount<'_>,
    ) -> Result<EdgeSettings, ApiFailure> {
        let query = GraphqlQuery::new(Dataset::EdgeHealth, "MteSettings", SETTINGS, &json!({ "account": account.id }));
        self.query(credentials, account, &query, settings::LimitsReader).await
    }

    /// Reads the next page of health checks and adds it to `pages`, with at most `limit` rows.
    ///
    /// # Errors
    /// [`ApiFailure`] if the request fails or the answer contains no results.
    pub async fn edge_health(
        &self,
        credentials: &ApiCredentials,
        account: RequestAccount<'_>,
        window: EdgeWindow,
        limit: u64,
        pages: HealthPages,
    ) -> Result<HealthPages, ApiFailure> {
        let variables = json!({
            "account": account.id, "from": window.from.wall.to_string(), "to": window.to.wall.to_string(),
            "after": pages.after(), "limit": limit,
        });
        let query = GraphqlQuery::new(Dataset::EdgeHealth, "MteEdgeHealth", HEALTH, &variables);
        let pages = self.query(credentials, account, &query, pages.reader(limit)).await?;
        self.count_unreadable(account, &query, pages.unreadable());
        Ok(pages)
    }

    /// Reads the next page of scores of single data centers and adds it to `pages`, with at most `limit` rows.
    ///
    /// # Errors
    /// [`ApiFailure`] if the request fails or the answer contains no scores.
    pub async fn edge_colos(
        &self,
        credentials: &ApiCredentials,
        account: RequestAccount<'_>,
        window: EdgeWindow,
        limit: u64,
        pages: ColoPages,
    ) -> Result<ColoPages, ApiFailure> {
        let variables = json!({
            "account": account.id, "from": window.from.wall.to_string(), "to": window.to.wall.to_string(),
            "after": pages.after(), "limit": limit, "colos": pages.colos(),
        });
        let query = GraphqlQuery::new(Dataset::EdgeHealth, "MteEdgeColos", COLOS, &variables);
        let pages = self.query(credentials, account, &query, pages.reader(limit)).await?;
        self.count_unreadable(account, &query, pages.unreadable());
        Ok(pages)
    }

    /// Reads the traffic of a time span, with at most `limit` rows for each direction.
    ///
    /// # Errors
    /// [`ApiFailure`] if the request fails or the answer contains no direction.
    pub async fn edge_traffic(
        &self,
        credentials: &ApiCredentials,
        account: RequestAccount<'_>,
        bucket: EdgeWindow,
        limit: u64,
    ) -> Result<TrafficListing, ApiFailure> {
        let variables = json!({
            "account": account.id, "bucket": bucket.from.wall.to_string(), "end": bucket.to.wall.to_string(),
            "limit": limit,
        });
        let query = GraphqlQuery::new(Dataset::EdgeTraffic, "MteEdgeTraffic", TRAFFIC, &variables);
        let reader = traffic::TrafficReader::new(limit, bucket.to.since(bucket.from));
        let listing = self.query(credentials, account, &query, reader).await?;
        self.count_unreadable(account, &query, &listing.unreadable);
        Ok(listing)
    }

    /// Sends a query, decodes the answer and counts the request.
    async fn query<R: RowReader>(
        &self,
        credentials: &ApiCredentials,
        account: RequestAccount<'_>,
        query: &GraphqlQuery,
        reader: R,
    ) -> Result<R::Output, ApiFailure> {
        let (started, mut status) = (clock::now(), None);
        let result = timeout(self.timeout, self.request_rows(credentials, query, reader, &mut status))
            .await
            .unwrap_or_else(|_| Err(ApiFailure::timed_out(&self.url)));
        let result = result.map_err(|failure| ApiFailure { status, ..failure });
        self.metrics.count_request(account.name, query.dataset, status, clock::now().since(started));
        if let Err(failure) = &result {
            self.metrics.count_failure(account.name, query.dataset, failure.reason);
        }
        result
    }

    async fn request_rows<R: RowReader>(
        &self,
        credentials: &ApiCredentials,
        query: &GraphqlQuery,
        reader: R,
        status: &mut Option<u16>,
    ) -> Result<R::Output, ApiFailure> {
        let response = self.post(credentials, query).await?;
        let code = response.status().as_u16();
        *status = Some(code);
        if !response.status().is_success() {
            let retry_after = read_retry_after(&response);
            let body = read_body(response, MAX_SMALL_BODY_SIZE).await.unwrap_or_default();
            return Err(ApiFailure { retry_after, ..body::failure_of(code, &body) });
        }
        read_rows(response, reader).await?.finish(code)
    }

    async fn post(&self, credentials: &ApiCredentials, query: &GraphqlQuery) -> Result<Response, ApiFailure> {
        let headers = credentials.headers().map_err(|_| ApiFailure::new(FailureReason::Auth))?;
        let request = self.http.post(self.url.join(["graphql"])).headers(headers);
        let request = request.header(CONTENT_TYPE, "application/json").body(query.body.clone());
        request.send().await.map_err(|error| ApiFailure::from_transport(&error))
    }

    /// Counts what is missing in an answer that can be used.
    fn count_unreadable(&self, account: RequestAccount<'_>, query: &GraphqlQuery, unreadable: &row::Unreadable) {
        unreadable.values.iter().for_each(|(&field, &count)| self.metrics.count_unknown_values(field, count));
        for &reason in unreadable.lists.values() {
            self.metrics.count_failure(account.name, query.dataset, reason);
        }
    }
}

/// Decodes an answer while it arrives. A timeout interrupts it between two pieces.
async fn read_rows<R: RowReader>(mut response: Response, reader: R) -> Result<BodyReader<R>, ApiFailure> {
    let mut body = BodyReader::new(reader);
    while let Some(chunk) = next_chunk(&mut response).await? {
        for piece in chunk.chunks(MAX_PIECE_SIZE) {
            let turn = DECODING.lock().await;
            body.push(piece).map_err(ApiFailure::new)?;
            drop(turn);
            tokio::task::yield_now().await;
        }
    }
    Ok(body)
}
