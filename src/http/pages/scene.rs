//! What a page is drawn from.

use std::sync::Arc;

use crate::{overview::Picture, prober::settings::Settings};

/// Everything known at one moment, and what the operator decided.
#[derive(Debug)]
pub(in crate::http) struct Scene {
    pub(in crate::http) picture: Picture,
    pub(in crate::http) probing: Arc<Settings>,
    pub(in crate::http) telemetry_path: String,
}

impl Scene {
    /// Whether accounts have to be told apart.
    pub(super) fn many_accounts(&self) -> bool {
        self.picture.fleet.accounts.len() > 1
    }
}
