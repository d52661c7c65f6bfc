//! The source of the edge's datasets: a trait, and the GraphQL API as its implementation.

use std::time::Duration;

use crate::{
    cloudflare::{
        ApiFailure,
        graphql::{colos::ColoPages, health::HealthPages, settings::EdgeSettings, traffic::TrafficListing},
    },
    domain::edge::EdgeWindow,
    poller::source::ApiSource,
    secret::Look,
};

/// A source of the datasets of the edge for one account.
pub trait EdgeSource: Send + Sync + 'static {
    /// Maximum duration of one request.
    fn timeout(&self) -> Duration;

    /// Returns the version of the newest secret.
    fn secret_version(&self, look: Look) -> impl Future<Output = u64> + Send;

    fn settings(&self) -> impl Future<Output = Result<EdgeSettings, ApiFailure>> + Send;

    /// Fetches one page of health checks.
    fn health(
        &self,
        window: EdgeWindow,
        limit: u64,
        pages: HealthPages,
    ) -> impl Future<Output = Result<HealthPages, ApiFailure>> + Send;

    /// Fetches one page of scores of single data centers.
    fn colos(
        &self,
        window: EdgeWindow,
        limit: u64,
        pages: ColoPages,
    ) -> impl Future<Output = Result<ColoPages, ApiFailure>> + Send;

    fn traffic(
        &self,
        bucket: EdgeWindow,
        limit: u64,
    ) -> impl Future<Output = Result<TrafficListing, ApiFailure>> + Send;
}

impl EdgeSource for ApiSource {
    fn timeout(&self) -> Duration {
        self.client.timeout()
    }

    async fn secret_version(&self, look: Look) -> u64 {
        self.account.credentials.refresh(look).await.1
    }

    async fn settings(&self) -> Result<EdgeSettings, ApiFailure> {
        let (credentials, _) = self.account.credentials.refresh(Look::IfChanged).await;
        self.client.edge_settings(&credentials, self.account.in_requests()).await
    }

    async fn health(&self, window: EdgeWindow, limit: u64, pages: HealthPages) -> Result<HealthPages, ApiFailure> {
        let (credentials, _) = self.account.credentials.refresh(Look::IfChanged).await;
        self.client.edge_health(&credentials, self.account.in_requests(), window, limit, pages).await
    }

    async fn colos(&self, window: EdgeWindow, limit: u64, pages: ColoPages) -> Result<ColoPages, ApiFailure> {
        let (credentials, _) = self.account.credentials.refresh(Look::IfChanged).await;
        self.client.edge_colos(&credentials, self.account.in_requests(), window, limit, pages).await
    }

    async fn traffic(&self, bucket: EdgeWindow, limit: u64) -> Result<TrafficListing, ApiFailure> {
        let (credentials, _) = self.account.credentials.refresh(Look::IfChanged).await;
        self.client.edge_traffic(&credentials, self.account.in_requests(), bucket, limit).await
    }
}
