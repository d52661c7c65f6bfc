//! From the body of a list operation to tunnels.
//!
//! A list member without a valid id or name is rejected on its own. A field that cannot be read is treated as absent
//! and recorded.

use std::{collections::HashSet, sync::Arc};

use serde_json::value::RawValue;

use super::{
    error::{ApiFailure, classify},
    fields::{FieldReader, KnownField},
    wire::{self, Envelope, Field, List, Object, Text},
};
use crate::domain::{
    dataset::FailureReason,
    inventory::RejectReason,
    tunnel::{Tunnel, TunnelId, TunnelType},
};

/// The content of one list.
#[derive(Debug, Default)]
pub struct TunnelListing {
    /// Sorted by name, then id. Ids are unique.
    pub tunnels: Vec<Arc<Tunnel>>,
    pub rejected: Vec<RejectedMember>,
    /// One element per value that cannot be read.
    pub unknown: Vec<KnownField>,
}

/// A member of a list that is not added to the inventory.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RejectedMember {
    pub reason: RejectReason,
    /// Position in the list, from 0.
    pub index: usize,
    /// The id, if it is valid.
    pub id: Option<TunnelId>,
}

/// Maximum length of an id. The API documents 32 characters.
const MAX_ID_LENGTH: usize = 64;

/// Decodes the body of a list operation with a success status.
///
/// # Errors
/// [`FailureReason::NotJson`] if the body is not JSON, [`FailureReason::Decode`] if it does not contain a list, and the
/// reason of its error codes if it contains `success: false`. Errors contain no part of the body.
pub fn decode_list(body: &[u8], status: u16, tunnel_type: TunnelType) -> Result<TunnelListing, ApiFailure> {
    let fail = |reason| ApiFailure { status: Some(status), ..ApiFailure::new(reason) };
    let envelope: Envelope<'_> = serde_json::from_slice(body).map_err(|_| fail(classify_invalid_json(body)))?;
    if !is_object(body) {
        return Err(fail(FailureReason::Decode));
    }
    match envelope.success {
        Field::Value(true) => {}
        Field::Value(false) => {
            let codes = envelope.codes();
            return Err(ApiFailure { codes: codes.clone(), ..fail(classify(status, &codes)) });
        }
        Field::Absent | Field::Wrong => return Err(fail(FailureReason::Decode)),
    }
    let list = find_list(envelope, tunnel_type).map_err(fail)?;
    Ok(decode_members(&list, tunnel_type))
}

/// Distinguishes damaged JSON from a body that was never meant to be JSON.
fn classify_invalid_json(body: &[u8]) -> FailureReason {
    match body.trim_ascii_start().first() {
        Some(b'{' | b'[') => FailureReason::Decode,
        _ => FailureReason::NotJson,
    }
}

/// Returns whether the JSON is an object. serde also accepts a list of the field values in order.
fn is_object(json: &[u8]) -> bool {
    json.trim_ascii_start().starts_with(b"{")
}

/// Returns the raw members of the list. An absent list is empty; a value that is not a list is an error.
fn find_list(envelope: Envelope<'_>, tunnel_type: TunnelType) -> Result<Vec<&RawValue>, FailureReason> {
    let lists = match envelope.result {
        Field::Value(Object(lists)) => lists,
        Field::Absent => return Ok(Vec::new()),
        Field::Wrong => return Err(FailureReason::Decode),
    };
    let list = match tunnel_type {
        TunnelType::Ipsec => lists.ipsec_tunnels,
        TunnelType::Gre => lists.gre_tunnels,
    };
    match list {
        Field::Value(List(members)) => Ok(members),
        Field::Absent => Ok(Vec::new()),
        Field::Wrong => Err(FailureReason::Decode),
    }
}

fn decode_members(members: &[&RawValue], tunnel_type: TunnelType) -> TunnelListing {
    let mut listing = TunnelListing { tunnels: Vec::with_capacity(members.len()), ..TunnelListing::default() };
    let mut seen = HashSet::with_capacity(members.len());
    for (index, raw) in members.iter().enumerate() {
        match decode_tunnel(raw, tunnel_type, &mut listing.unknown) {
            Ok(tunnel) if seen.insert(tunnel.id.clone()) => listing.tunnels.push(Arc::new(tunnel)),
            Ok(Tunnel { id, .. }) => {
                listing.rejected.push(RejectedMember { reason: RejectReason::DuplicateId, index, id: Some(id) });
            }
            Err((reason, id)) => listing.rejected.push(RejectedMember { reason, index, id }),
        }
    }
    listing.tunnels.sort_unstable_by(|a, b| (&a.name, &a.id).cmp(&(&b.name, &b.id)));
    listing
}

fn decode_tunnel(
    raw: &RawValue,
    tunnel_type: TunnelType,
    unknown: &mut Vec<KnownField>,
) -> Result<Tunnel, (RejectReason, Option<TunnelId>)> {
    if !is_object(raw.get().as_bytes()) {
        return Err((RejectReason::Malformed, None));
    }
    // The error is dropped, because its text may quote a value.
    let wire: wire::Tunnel<'_> = serde_json::from_str(raw.get()).map_err(|_| (RejectReason::Malformed, None))?;
    let id = match &wire.id {
        Field::Value(Text(text)) if is_valid_id(text) => TunnelId::new(&**text),
        Field::Value(Text(text)) if text.is_empty() => return Err((RejectReason::MissingId, None)),
        Field::Absent => return Err((RejectReason::MissingId, None)),
        Field::Value(_) | Field::Wrong => return Err((RejectReason::Malformed, None)),
    };
    let name = match &wire.name {
        Field::Value(Text(text)) if !text.is_empty() => Box::from(&**text),
        Field::Value(_) | Field::Absent => return Err((RejectReason::MissingName, Some(id))),
        Field::Wrong => return Err((RejectReason::Malformed, Some(id))),
    };
    Ok(FieldReader { unknown }.tunnel(id, name, wire, tunnel_type))
}

/// Returns whether the text consists of printable ASCII without spaces, so that two different ids never look the same.
fn is_valid_id(text: &str) -> bool {
    !text.is_empty() && text.len() <= MAX_ID_LENGTH && text.bytes().all(|byte| byte.is_ascii_graphic())
}

#[cfg(test)]
mod tests;
