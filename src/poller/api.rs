//! One account of the Cloudflare API as a source of tunnel lists.
//!
//! The credentials are read again before each request, because the secret can be kept in a file that changes.

use std::time::Duration;

use tokio::task;

use super::TunnelSource;
use crate::{
    cloudflare::{ApiFailure, BadCredentials, Client, Credentials, Listing},
    domain::{inventory::AccountName, tunnel::TunnelType},
    secret::{Look, Secret},
};

/// An account as the configuration names it.
#[derive(Debug, Clone, PartialEq)]
pub struct ApiAccount {
    pub name: AccountName,
    /// The id in the API's paths.
    pub id: String,
    pub credentials: CredentialSource,
}

/// An account and the client that reads it.
#[derive(Debug, Clone)]
pub struct ApiSource {
    pub account: ApiAccount,
    pub client: Client,
}

impl TunnelSource for ApiSource {
    fn timeout(&self) -> Duration {
        self.client.timeout()
    }

    async fn list(&self, tunnel_type: TunnelType, look: Look) -> (Result<Listing, ApiFailure>, u64) {
        let (credentials, version) = self.account.credentials.newest(look).await;
        (self.client.list(&credentials, &self.account.id, tunnel_type).await, version)
    }

    async fn secret_version(&self, look: Look) -> u64 {
        self.account.credentials.newest(look).await.1
    }
}

/// How an account proves who asks. Its `Debug` shows no secret.
#[derive(Debug, Clone, PartialEq)]
pub enum CredentialSource {
    /// An API token, of a user or of an account.
    Token(Secret),
    /// The older pair of e-mail address and global key.
    Key { email: String, key: Secret },
}

impl CredentialSource {
    /// Whether requests can carry them.
    pub fn check(&self) -> Result<(), BadCredentials> {
        self.credentials().0.check()
    }

    /// The newest credentials, and the version of the secret in them. Looks for a new secret on a thread that may block.
    pub(super) async fn newest(&self, look: Look) -> (Credentials, u64) {
        let secret = self.secret().clone();
        // It ends early only while the whole program does.
        let _ = task::spawn_blocking(move || secret.refresh(look)).await;
        self.credentials()
    }

    pub fn secret(&self) -> &Secret {
        match self {
            Self::Token(secret) | Self::Key { key: secret, .. } => secret,
        }
    }

    /// The newest credentials that are known, and the version of the secret in them.
    pub fn credentials(&self) -> (Credentials, u64) {
        let (secret, version) = self.secret().current();
        let credentials = match self {
            Self::Token(_) => Credentials::Token(secret),
            Self::Key { email, .. } => Credentials::Key { email: email.clone(), key: secret },
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
        let (credentials, version) = source.newest(Look::IfChanged).await;
        let Credentials::Key { email, key } = credentials else { panic!("{credentials:?}") };
        assert_eq!((email.as_str(), key.expose_secret(), version), ("noc@example.com", "newer", 1));
    }
}
