//! From the body of a list operation to tunnels, while the body arrives.
//!
//! A list member without a valid id or name is rejected on its own. A field that cannot be read is treated as absent
//! and recorded. The memory does not depend on the body: members are decoded one by one, tunnels that did not change
//! share the memory of the previous list, and the list as a whole has limits.

use std::{
    collections::HashSet,
    hash::{Hash, Hasher},
    mem,
    sync::Arc,
};

use serde::de::IgnoredAny;

use super::{
    error::{ApiFailure, classify},
    fields::{TunnelReader, UnknownValues},
    split::{ListPath, Splitter, classify_invalid_json},
    wire::{self, Envelope, Field, List, Object, Text},
};
use crate::domain::{
    dataset::FailureReason,
    inventory::{InventoryEntry, RejectReason, RejectedMember, RejectedMembers},
    tunnel::{Tunnel, TunnelId, TunnelType},
};

/// Maximum size of a list in bytes after decompression: 100,000 tunnels with all fields fit.
const MAX_LIST_SIZE: usize = 128 << 20;

/// Maximum number of members of a list.
const MAX_MEMBERS: usize = 200_000;

/// Maximum memory of the tunnels of one list in bytes: 100,000 tunnels with all fields fit.
const MAX_TUNNEL_MEMORY: usize = 72 << 20;

/// Memory of one tunnel in bytes without its texts: the tunnel, its entries in collections, and the allocator's share.
const TUNNEL_MEMORY: usize = mem::size_of::<Tunnel>() + 128;

/// Maximum length of an id. The API documents 32 characters.
const MAX_ID_LENGTH: usize = 64;

/// The content of one list.
#[derive(Debug, Default)]
pub struct TunnelListing {
    /// Sorted by name, then id. Ids are unique.
    pub tunnels: Vec<Arc<Tunnel>>,
    pub rejected: RejectedMembers,
    /// Values that cannot be read.
    pub unknown: UnknownValues,
}

/// Decodes the complete body of a list operation with a success status.
///
/// # Errors
/// As [`ListDecoder::push`] and [`ListDecoder::finish`].
pub fn decode_list(body: &[u8], status: u16, tunnel_type: TunnelType) -> Result<TunnelListing, ApiFailure> {
    let mut decoder = ListDecoder::new(tunnel_type, Arc::default());
    decoder.push(body).map_err(ApiFailure::new)?;
    decoder.finish(status)
}

/// Decodes the body of one list operation with a success status.
#[derive(Debug)]
pub struct ListDecoder {
    splitter: Splitter,
    /// Bytes received so far.
    size: usize,
    members: Members,
}

impl ListDecoder {
    /// `known` is the last good list, sorted by name and id.
    pub fn new(tunnel_type: TunnelType, known: Arc<[InventoryEntry]>) -> Self {
        let lists: &[_] = match tunnel_type {
            TunnelType::Gre => &["gre_tunnels"],
            TunnelType::Ipsec => &["ipsec_tunnels"],
        };
        let path = ListPath { parents: &[Some("result")], lists };
        let members = Members {
            tunnel_type,
            known,
            count: 0,
            tunnels: HashSet::new(),
            rejected: RejectedMembers::default(),
            reader: TunnelReader::default(),
        };
        Self { splitter: Splitter::new(path), size: 0, members }
    }

    /// Decodes the members that `piece` completes.
    ///
    /// # Errors
    /// [`FailureReason::TooLarge`] if the list exceeds a limit. [`FailureReason::NotJson`] or
    /// [`FailureReason::Decode`] if the body cannot be the response of a list operation.
    pub fn push(&mut self, piece: &[u8]) -> Result<(), FailureReason> {
        self.size = self.size.saturating_add(piece.len());
        if self.size > MAX_LIST_SIZE {
            return Err(FailureReason::TooLarge);
        }
        self.splitter.push(piece, |_, member| self.members.add(member))
    }

    /// Ends the body of a response with this HTTP status.
    ///
    /// # Errors
    /// [`FailureReason::NotJson`] if the body is not JSON, [`FailureReason::Decode`] if it is not the whole list, and
    /// the reason of its error codes if it contains `success: false`. Errors contain no part of the body.
    pub fn finish(self, status: u16) -> Result<TunnelListing, ApiFailure> {
        let fail = |reason| ApiFailure { status: Some(status), ..ApiFailure::new(reason) };
        let had_tunnels = !self.members.known.is_empty();
        if status != 200 && had_tunnels {
            return Err(fail(FailureReason::Decode));
        }
        let body = self.splitter.finish().map_err(fail)?;
        let envelope: Envelope = serde_json::from_slice(&body).map_err(|_| fail(classify_invalid_json(&body)))?;
        if !is_object(&body) {
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
        check_list(envelope, self.members.tunnel_type, self.members.count, had_tunnels).map_err(fail)?;
        Ok(self.members.into_listing())
    }
}

/// Returns whether the JSON is an object. serde also accepts a list of the field values in order.
pub(super) fn is_object(json: &[u8]) -> bool {
    json.trim_ascii_start().starts_with(b"{")
}

/// Checks that the `count` members are the whole list. An absent list is empty if there were no tunnels before.
fn check_list(
    envelope: Envelope,
    tunnel_type: TunnelType,
    count: usize,
    had_tunnels: bool,
) -> Result<(), FailureReason> {
    let list = match envelope.result {
        Field::Value(Object(lists)) => match tunnel_type {
            TunnelType::Ipsec => lists.ipsec_tunnels,
            TunnelType::Gre => lists.gre_tunnels,
        },
        Field::Absent => Field::Absent,
        Field::Wrong => Field::Wrong,
    };
    let is_whole = match list {
        // Members in the envelope mean that the splitter did not recognize the list.
        Field::Value(List(members)) => members.is_empty(),
        Field::Absent => !had_tunnels,
        Field::Wrong => false,
    };
    let total = match envelope.result_info {
        Field::Value(Object(wire::ResultInfo { total_count: Field::Value(total) })) => total.0,
        _ => 0,
    };
    if is_whole && total <= count as u64 { Ok(()) } else { Err(FailureReason::Decode) }
}

/// The members decoded so far.
#[derive(Debug)]
struct Members {
    tunnel_type: TunnelType,
    known: Arc<[InventoryEntry]>,
    /// Number of all members.
    count: usize,
    tunnels: HashSet<ById>,
    rejected: RejectedMembers,
    reader: TunnelReader,
}

/// Why a member is rejected, and its id if it is valid.
type Rejection = (RejectReason, Option<TunnelId>);

impl Members {
    /// Adds a member; `None` if it is too large to be decoded.
    fn add(&mut self, json: Option<&[u8]>) -> Result<(), FailureReason> {
        let index = self.count;
        self.count += 1;
        let decoded = match json {
            Some(json) => self.decode(json)?,
            None => Err((RejectReason::Malformed, None)),
        };
        if let Err((reason, id)) = decoded.and_then(|tunnel| self.insert(tunnel)) {
            self.rejected.add(RejectedMember { reason, index, id });
        }
        let memory = self.tunnels.len() * TUNNEL_MEMORY + self.reader.text_bytes;
        if self.count > MAX_MEMBERS || memory > MAX_TUNNEL_MEMORY { Err(FailureReason::TooLarge) } else { Ok(()) }
    }

    fn insert(&mut self, tunnel: Tunnel) -> Result<(), Rejection> {
        let key = (&tunnel.name, &tunnel.id);
        let position = self.known.binary_search_by(|entry| (&entry.tunnel.name, &entry.tunnel.id).cmp(&key));
        let unchanged = position.ok().map(|position| &self.known[position].tunnel).filter(|known| ***known == tunnel);
        let tunnel = unchanged.map_or_else(|| Arc::new(tunnel), Arc::clone);
        if self.tunnels.insert(ById(Arc::clone(&tunnel))) {
            return Ok(());
        }
        Err((RejectReason::DuplicateId, Some(tunnel.id.clone())))
    }

    /// Decodes a member. The outer error means that the body is damaged, the inner one that the member is rejected.
    fn decode(&mut self, json: &[u8]) -> Result<Result<Tunnel, Rejection>, FailureReason> {
        let text = str::from_utf8(json).map_err(|_| FailureReason::Decode)?;
        if is_object(json)
            && let Ok(wire) = serde_json::from_str(text)
        {
            return Ok(self.read(wire));
        }
        // The error is dropped, because its text may quote a value.
        serde_json::from_str::<IgnoredAny>(text).map_err(|_| FailureReason::Decode)?;
        Ok(Err((RejectReason::Malformed, None)))
    }

    fn read(&mut self, wire: wire::Tunnel<'_>) -> Result<Tunnel, Rejection> {
        let id = match &wire.id {
            Field::Value(Text(text)) if is_valid_id(text) => TunnelId::new(self.reader.keep(text)),
            Field::Value(Text(text)) if text.is_empty() => return Err((RejectReason::MissingId, None)),
            Field::Absent => return Err((RejectReason::MissingId, None)),
            Field::Value(_) | Field::Wrong => return Err((RejectReason::Malformed, None)),
        };
        let name = match &wire.name {
            Field::Value(Text(text)) if !text.is_empty() => self.reader.keep(text),
            Field::Value(_) | Field::Absent => return Err((RejectReason::MissingName, Some(id))),
            Field::Wrong => return Err((RejectReason::Malformed, Some(id))),
        };
        Ok(self.reader.tunnel(id, name, wire, self.tunnel_type))
    }

    fn into_listing(self) -> TunnelListing {
        let mut tunnels: Vec<Arc<Tunnel>> = self.tunnels.into_iter().map(|ById(tunnel)| tunnel).collect();
        tunnels.sort_unstable_by(|a, b| (&a.name, &a.id).cmp(&(&b.name, &b.id)));
        TunnelListing { tunnels, rejected: self.rejected, unknown: self.reader.unknown }
    }
}

/// Returns whether the text consists of printable ASCII without spaces, so that two different ids never look the same.
fn is_valid_id(text: &str) -> bool {
    !text.is_empty() && text.len() <= MAX_ID_LENGTH && text.bytes().all(|byte| byte.is_ascii_graphic())
}

/// A tunnel in a set of tunnels with different ids.
#[derive(Debug)]
struct ById(Arc<Tunnel>);

impl Hash for ById {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.id.hash(state);
    }
}

impl PartialEq for ById {
    fn eq(&self, other: &Self) -> bool {
        self.0.id == other.0.id
    }
}

impl Eq for ById {}

#[cfg(test)]
mod tests;
