//! The credentials of an account, asked for anew at each request: the secret in them may live in a file that changes.

use tokio::task;

use crate::{
    cloudflare::{BadCredentials, Credentials},
    secret::{Look, Secret},
};

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
