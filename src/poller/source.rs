//! The source of tunnel lists: a trait, and the Cloudflare API as its implementation.
//!
//! The credentials are checked before each request, because the file that contains the secret may have changed.

use std::{sync::Arc, time::Duration};

use tokio::task;

use crate::{
    cloudflare::{
        ApiCredentials, ApiFailure, BadCredentials, Client, RequestAccount, RouteListing, TokenInfo, TunnelListing,
        VerifiedStatus,
    },
    domain::{
        dataset::FailureReason,
        inventory::{AccountName, InventoryEntry},
        token::TokenReport,
        tunnel::TunnelType,
    },
    secret::{Look, Secret},
};

/// A source of the lists of one account.
pub trait TunnelSource: Send + Sync + 'static {
    /// Maximum duration of one [`fetch_list`](Self::fetch_list).
    fn timeout(&self) -> Duration;

    /// Fetches one list; `known` is the last good one. Returns it with the version of the secret that was used.
    fn fetch_list(
        &self,
        tunnel_type: TunnelType,
        known: Arc<[InventoryEntry]>,
        look: Look,
    ) -> impl Future<Output = (Result<TunnelListing, ApiFailure>, u64)> + Send;

    /// Fetches the static routes; `had_routes`: whether the last good list had any. Returns them with the version of
    /// the secret that was used.
    fn fetch_routes(
        &self,
        had_routes: bool,
        look: Look,
    ) -> impl Future<Output = (Result<RouteListing, ApiFailure>, u64)> + Send;

    /// Whether the credentials contain a token, which can be verified.
    fn has_token(&self) -> bool;

    /// Verifies the token. Returns the result with the version of the secret that was used. Sends two requests at most.
    fn verify_token(&self, look: Look) -> impl Future<Output = (Result<TokenReport, ApiFailure>, u64)> + Send;

    /// Returns the version of the newest secret.
    fn secret_version(&self, look: Look) -> impl Future<Output = u64> + Send;
}

/// An account of the configuration.
#[derive(Debug, Clone, PartialEq)]
pub struct ApiAccount {
    pub name: AccountName,
    /// Account id in API paths.
    pub id: String,
    pub credentials: CredentialSource,
}

impl ApiAccount {
    /// The account in requests to its API.
    pub fn in_requests(&self) -> RequestAccount<'_> {
        RequestAccount { id: &self.id, name: &self.name }
    }
}

/// An account and the client for its API.
#[derive(Debug, Clone)]
pub struct ApiSource {
    pub account: ApiAccount,
    pub client: Client,
}

impl TunnelSource for ApiSource {
    fn timeout(&self) -> Duration {
        self.client.timeout()
    }

    async fn fetch_list(
        &self,
        tunnel_type: TunnelType,
        known: Arc<[InventoryEntry]>,
        look: Look,
    ) -> (Result<TunnelListing, ApiFailure>, u64) {
        let (credentials, version) = self.account.credentials.refresh(look).await;
        (self.client.list_tunnels(&credentials, self.account.in_requests(), tunnel_type, known).await, version)
    }

    async fn fetch_routes(&self, had_routes: bool, look: Look) -> (Result<RouteListing, ApiFailure>, u64) {
        let (credentials, version) = self.account.credentials.refresh(look).await;
        (self.client.list_routes(&credentials, self.account.in_requests(), had_routes).await, version)
    }

    fn has_token(&self) -> bool {
        matches!(self.account.credentials, CredentialSource::Token(_))
    }

    async fn verify_token(&self, look: Look) -> (Result<TokenReport, ApiFailure>, u64) {
        let (credentials, version) = self.account.credentials.refresh(look).await;
        let verified = self.client.verify_any_token(&credentials, &self.account.id).await.token;
        (verified.and_then(to_report), version)
    }

    async fn secret_version(&self, look: Look) -> u64 {
        self.account.credentials.refresh(look).await.1
    }
}

/// A status that the program does not know says nothing about the token.
fn to_report(TokenInfo { status, expires_on }: TokenInfo) -> Result<TokenReport, ApiFailure> {
    match status {
        VerifiedStatus::Active => Ok(TokenReport { active: true, expires_on }),
        VerifiedStatus::Disabled | VerifiedStatus::Expired => Ok(TokenReport { active: false, expires_on }),
        VerifiedStatus::Unknown => Err(ApiFailure::new(FailureReason::Decode)),
    }
}

/// Credentials of an account; the secret may be in a file. `Debug` hides the secret.
#[derive(Debug, Clone, PartialEq)]
pub enum CredentialSource {
    /// API token of a user or of an account.
    Token(Secret),
    /// Email address and global API key.
    Key { email: String, key: Secret },
}

impl CredentialSource {
    /// Checks that the current credentials can be sent in HTTP headers.
    ///
    /// # Errors
    /// [`BadCredentials`] if they contain other characters.
    pub fn check(&self) -> Result<(), BadCredentials> {
        self.credentials().0.check()
    }

    /// Checks for a new secret on a blocking thread. Returns the credentials and the version of their secret.
    pub(super) async fn refresh(&self, look: Look) -> (ApiCredentials, u64) {
        let secret = self.secret().clone();
        // The task fails only if it panics or the runtime shuts down; the previous secret stays active.
        let _ = task::spawn_blocking(move || secret.refresh(look)).await;
        self.credentials()
    }

    pub fn secret(&self) -> &Secret {
        match self {
            Self::Token(secret) | Self::Key { key: secret, .. } => secret,
        }
    }

    /// Returns the current credentials and the version of their secret.
    pub fn credentials(&self) -> (ApiCredentials, u64) {
        let (secret, version) = self.secret().current();
        let credentials = match self {
            Self::Token(_) => ApiCredentials::Token(secret),
            Self::Key { email, .. } => ApiCredentials::Key { email: email.clone(), key: secret },
        };
        (credentials, version)
    }
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret as _;

    use super::*;

    #[tokio::test]
    async fn each_request_has_the_newest_secret() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "old\n").unwrap();
        let secret = crate::secret::Secrets::default().file(file.path()).unwrap();
        let source = CredentialSource::Key { email: "noc@example.com".to_owned(), key: secret };
        std::fs::write(file.path(), "newer\n").unwrap();
        let (credentials, version) = source.refresh(Look::IfChanged).await;
        let ApiCredentials::Key { email, key } = credentials else { panic!("{credentials:?}") };
        assert_eq!((email.as_str(), key.expose_secret(), version), ("noc@example.com", "newer", 1));
    }
}
