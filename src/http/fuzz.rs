//! Any path and query that a client may request.

use super::address::{Query, Resource, parse_filter};

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
