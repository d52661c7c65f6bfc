//! What a sandbox is started with; the configuration hands it in.

use secrecy::SecretString;

use super::{faults::Faults, story::Story};

/// What the sandbox is started with.
#[derive(Debug)]
pub struct Settings {
    /// The one secret that is accepted, as a bearer token or as the key of an e-mail and key pair; `None` accepts any.
    pub token: Option<SecretString>,
    /// Refuse interface addresses outside the private ranges, as the reference asks for and the live API does not.
    pub strict: bool,
    /// Generated tunnels beside those of the story, in its first account.
    pub tunnels: usize,
    pub story: Story,
    /// In force from the start.
    pub faults: Faults,
}

impl Default for Settings {
    fn default() -> Self {
        Self { token: None, strict: false, tunnels: 0, story: Story::demo(), faults: Faults::default() }
    }
}
