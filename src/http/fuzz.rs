//! Any path and query that a client may request, and the inventory that a hub serves.

use std::sync::Arc;

use super::{
    address::{Query, Resource, parse_filter},
    api::inventory::{InventoryIndex, Selection, write_pieces},
};
use crate::domain::inventory::Fleet;

/// A valid query is equal to the query of its own link.
pub fn find_and_parse(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let (path, query) = text.split_once('?').unwrap_or((&text, ""));
    let _ = Resource::find(path);
    let _ = parse_filter(query);
    if let Ok(query) = Query::parse(query) {
        let link = query.link();
        let again = Query::parse(link.trim_start_matches("./").trim_start_matches('?'));
        assert_eq!(again, Ok(query), "{link}");
    }
}

/// The body that a hub with this fleet sends to an agent that asks for every tunnel.
///
/// # Panics
/// It cannot be written, or is not UTF-8.
pub fn serve_inventory(fleet: &Arc<Fleet>) -> String {
    let index = Arc::new(InventoryIndex::build(fleet, &Arc::default()));
    let everything = Arc::new(Selection::parse("all=true").expect("a query"));
    let mut body = Vec::new();
    write_pieces(&index, &everything, |piece| body.extend_from_slice(piece)).expect("a body");
    String::from_utf8(body).expect("UTF-8")
}
