//! The HTML pages.
//!
//! They are drawn from one [`Snapshot`](crate::snapshot::Snapshot), contain no inline script or style, and work without
//! both. The templates escape all text; `shown` shortens external text and removes control characters.

mod agents;
mod document;
mod fields;
mod findings;
mod format;
mod front;
mod graph;
mod history;
mod prefixes;
mod runbooks;
mod sites;
mod sources;
mod table;
mod tunnel;
mod words;

use web_toolkit::text::shown;

use self::document::{ROOT_OF_TUNNEL, root_of};
pub(super) use self::{
    agents::draw_agents, document::Document, front::draw_front, prefixes::draw_prefixes, runbooks::draw_runbooks,
    tunnel::draw_tunnel,
};

/// The page for an invalid query.
pub(super) fn draw_invalid_query(message: &str) -> Document {
    Document::with_message("./", "This filter is invalid", message)
}

/// The page for an address that leads nowhere.
pub(super) fn draw_unknown(path: &str) -> Document {
    let message = format!("The exporter has no page at {}. The links below lead to its pages.", shown(path));
    Document::with_message(root_of(path), "There is no such page", &message)
}

/// The page for a tunnel that does not exist, or no longer.
pub(super) fn draw_missing_tunnel() -> Document {
    let message = "The Cloudflare API lists no tunnel with this address. It may have been deleted, or replaced by a \
        tunnel with another id.";
    Document::with_message(ROOT_OF_TUNNEL, "There is no such tunnel", message)
}
