//! The proven identity of the sender of a request.

use std::sync::Arc;

/// What the sender of a request has proved: the user of a correct password, and the names in a client certificate that
/// a CA of the web configuration file signed.
///
/// The server and the guard add it to the extensions of each request. It is empty if nothing is required of clients,
/// whatever the request claims.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Requester {
    pub user: Option<Arc<str>>,
    /// Subject alternative names. Empty without a certificate, and if its issuer was not verified.
    pub certificate_names: Arc<[String]>,
}
