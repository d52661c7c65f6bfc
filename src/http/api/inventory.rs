//! `/api/v1/inventory`: the tunnels of some sites, for agents that probe there.
//!
//! The body is a function of the inventory and of the selection alone: it has no time that moves at each poll. Two hubs
//! with equal data therefore send equal bodies with equal entity tags, and an unchanged list is a 304 forever. No
//! verdict, no probe result and no secret is part of it.

mod index;
mod selection;
mod text;

use std::{fmt::Write as _, io, sync::Arc};

use ring::digest::{Context, SHA256};

pub(in crate::http) use self::{index::InventoryIndex, selection::Selection, text::InventoryText};
use crate::http::body::Producer as _;

/// Bytes of the hash in an entity tag.
const TAG_BYTES: usize = 16;

/// The entity tag of the selected part, without quotes: a hash of the body. Writes the whole part the first time.
///
/// # Errors
/// Writing failed.
pub(in crate::http) fn find_tag(index: &Arc<InventoryIndex>, selection: &Arc<Selection>) -> io::Result<Arc<str>> {
    if let Some(tag) = index.known_tag(selection) {
        return Ok(tag);
    }
    let mut hash = Context::new(&SHA256);
    write_pieces(index, selection, |piece| hash.update(piece))?;
    let mut tag = String::with_capacity(2 * TAG_BYTES);
    for byte in &hash.finish().as_ref()[..TAG_BYTES] {
        // Writing to a string cannot fail.
        let _ = write!(tag, "{byte:02x}");
    }
    let tag = Arc::from(tag);
    index.keep_tag(Arc::clone(selection), Arc::clone(&tag));
    Ok(tag)
}

/// Passes each piece of the selected part to `take`.
///
/// # Errors
/// Writing failed.
pub(in crate::http) fn write_pieces(
    index: &Arc<InventoryIndex>,
    selection: &Arc<Selection>,
    mut take: impl FnMut(&[u8]),
) -> io::Result<()> {
    let mut text = InventoryText::new(Arc::clone(index), Arc::clone(selection));
    let (mut piece, mut is_last) = (Vec::new(), false);
    while !is_last {
        piece.clear();
        is_last = text.write_piece(&mut piece)?;
        take(&piece);
    }
    Ok(())
}

#[cfg(test)]
mod tests;
