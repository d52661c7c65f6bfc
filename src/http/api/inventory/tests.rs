use super::*;
use crate::domain::fixtures::{addressed, polled};

fn body(index: &Arc<InventoryIndex>, query: &str) -> String {
    let selection = Arc::new(Selection::parse(query).unwrap());
    let mut body = Vec::new();
    write_pieces(index, &selection, |piece| body.extend_from_slice(piece)).unwrap();
    String::from_utf8(body).unwrap()
}

#[test]
fn a_list_of_many_pieces_is_one_document() {
    for count in [0, 1, 249, 250, 251, 1_000] {
        let tunnels = (0..count).map(|number| addressed(&format!("t-{number}"), "192.0.2.1", "", ""));
        let index = Arc::new(InventoryIndex::build(&polled(None, tunnels), &Arc::default()));
        let body: serde_json::Value = serde_json::from_str(&body(&index, "all=true")).unwrap();
        assert_eq!(body["tunnels"].as_array().unwrap().len(), count);
    }
}

#[test]
fn the_tag_follows_the_content_of_the_selected_part_alone() {
    let tag = |tunnels: &[(&str, &str)], query: &str| {
        let tunnels = tunnels.iter().map(|(name, endpoint)| addressed(name, endpoint, "", ""));
        let index = Arc::new(InventoryIndex::build(&polled(None, tunnels), &Arc::default()));
        find_tag(&index, &Arc::new(Selection::parse(query).unwrap())).unwrap()
    };
    let before = tag(&[("fra", "192.0.2.1")], "all=true");
    assert_eq!(before.len(), 2 * TAG_BYTES);
    assert_eq!(before, tag(&[("fra", "192.0.2.1")], "all=true"));
    assert_eq!(before, tag(&[("fra", "192.0.2.1")], "account=acme"));
    assert_ne!(before, tag(&[("fra", "192.0.2.2")], "all=true"));
    assert_eq!(tag(&[("fra", "192.0.2.1")], "site=x"), tag(&[("fra", "192.0.2.2")], "site=x"));
}
