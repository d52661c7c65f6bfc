//! From the body of a list operation to its members, while the body arrives: tunnels here, routes in
//! [`routes`](super::routes).
//!
//! A list member without a valid id or name is rejected on its own. A field that cannot be read is treated as absent
//! and recorded. The memory does not depend on the body: members are decoded one by one, tunnels that did not change
//! share the memory of the previous list, and the list as a whole has limits.

use std::{
    collections::HashSet,
    fmt,
    hash::{Hash, Hasher},
    mem,
    sync::Arc,
};

use serde::{Deserialize, de::IgnoredAny};

use super::{
    envelope::{Envelope, Lists, ResultInfo},
    error::{ApiFailure, classify},
    fields::{TunnelReader, UnknownValues},
    split::{ListPath, Splitter, classify_invalid_json},
    wire::{self, Field, List, Object, Text},
};
use crate::domain::{
    dataset::{Dataset, FailureReason},
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
    let mut decoder = ListDecoder::tunnels(tunnel_type, Arc::default());
    decoder.push(body).map_err(ApiFailure::new)?;
    decoder.finish(status)
}

/// A list operation.
#[derive(Debug, Clone, Copy)]
pub(super) enum ListOperation {
    Tunnels(TunnelType),
    Routes,
}

impl ListOperation {
    pub(super) const fn dataset(self) -> Dataset {
        match self {
            Self::Tunnels(tunnel_type) => tunnel_type.dataset(),
            Self::Routes => Dataset::Routes,
        }
    }

    /// Returns the last path segment of the operation.
    pub(super) const fn path_segment(self) -> &'static str {
        match self {
            Self::Tunnels(TunnelType::Gre) => "gre_tunnels",
            Self::Tunnels(TunnelType::Ipsec) => "ipsec_tunnels",
            Self::Tunnels(TunnelType::Interconnect) => "cf_interconnects",
            Self::Routes => "routes",
        }
    }

    /// Returns the key of the list.
    const fn key(self) -> &'static [&'static str] {
        match self {
            Self::Tunnels(TunnelType::Gre) => &["gre_tunnels"],
            Self::Tunnels(TunnelType::Ipsec) => &["ipsec_tunnels"],
            Self::Tunnels(TunnelType::Interconnect) => &["interconnects"],
            Self::Routes => &["routes"],
        }
    }

    fn take_from(self, lists: Lists) -> Field<List<IgnoredAny>> {
        match self {
            Self::Tunnels(TunnelType::Gre) => lists.gre_tunnels,
            Self::Tunnels(TunnelType::Ipsec) => lists.ipsec_tunnels,
            Self::Tunnels(TunnelType::Interconnect) => lists.interconnects,
            Self::Routes => lists.routes,
        }
    }
}

/// The members of a list that were decoded so far.
pub(super) trait Members: fmt::Debug + Send + 'static {
    type Listing: Send + 'static;

    /// Adds a member; `None` if it is too large to be decoded.
    fn add(&mut self, json: Option<&[u8]>) -> Result<(), FailureReason>;

    /// Number of all members.
    fn count(&self) -> usize;

    /// # Errors
    /// The members cannot be a list.
    fn into_listing(self) -> Result<Self::Listing, FailureReason>;
}

/// Decodes the body of one list operation with a success status.
#[derive(Debug)]
pub(super) struct ListDecoder<M> {
    kind: ListOperation,
    splitter: Splitter,
    /// Bytes received so far.
    size: usize,
    /// Whether the last good list had members.
    had_members: bool,
    members: M,
}

impl ListDecoder<TunnelMembers> {
    /// `known` is the last good list, sorted by name and id.
    pub(super) fn tunnels(tunnel_type: TunnelType, known: Arc<[InventoryEntry]>) -> Self {
        let had_members = !known.is_empty();
        let members = TunnelMembers {
            tunnel_type,
            known,
            count: 0,
            tunnels: HashSet::new(),
            rejected: RejectedMembers::default(),
            reader: TunnelReader::default(),
        };
        Self::new(ListOperation::Tunnels(tunnel_type), had_members, members)
    }
}

impl<M: Members> ListDecoder<M> {
    pub(super) fn new(kind: ListOperation, had_members: bool, members: M) -> Self {
        let path = ListPath { parents: &[Some("result")], lists: kind.key() };
        Self { kind, splitter: Splitter::new(path), size: 0, had_members, members }
    }

    pub(super) fn kind(&self) -> ListOperation {
        self.kind
    }

    /// Decodes the members that `piece` completes.
    ///
    /// # Errors
    /// [`FailureReason::TooLarge`] if the list exceeds a limit. [`FailureReason::NotJson`] or
    /// [`FailureReason::Decode`] if the body cannot be the response of a list operation.
    pub(super) fn push(&mut self, piece: &[u8]) -> Result<(), FailureReason> {
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
    pub(super) fn finish(self, status: u16) -> Result<M::Listing, ApiFailure> {
        let fail = |reason| ApiFailure { status: Some(status), ..ApiFailure::new(reason) };
        if status != 200 && self.had_members {
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
        check_list(envelope, self.kind, self.members.count(), self.had_members).map_err(fail)?;
        self.members.into_listing().map_err(fail)
    }
}

/// Returns whether the JSON is an object. serde also accepts a list of the field values in order.
pub(super) fn is_object(json: &[u8]) -> bool {
    json.trim_ascii_start().starts_with(b"{")
}

/// Checks that the `count` members are the whole list. An absent list is empty if there were no members before.
fn check_list(envelope: Envelope, kind: ListOperation, count: usize, had_members: bool) -> Result<(), FailureReason> {
    let list = match envelope.result {
        Field::Value(Object(lists)) => kind.take_from(lists),
        Field::Absent => Field::Absent,
        Field::Wrong => Field::Wrong,
    };
    let is_whole = match list {
        // Members in the envelope mean that the splitter did not recognize the list.
        Field::Value(List(members)) => members.is_empty(),
        Field::Absent => !had_members,
        Field::Wrong => false,
    };
    let total = match envelope.result_info {
        Field::Value(Object(ResultInfo { total_count: Field::Value(total) })) => total.0,
        _ => 0,
    };
    if is_whole && total <= count as u64 { Ok(()) } else { Err(FailureReason::Decode) }
}

/// The tunnels decoded so far.
#[derive(Debug)]
pub(super) struct TunnelMembers {
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

impl Members for TunnelMembers {
    type Listing = TunnelListing;

    fn add(&mut self, json: Option<&[u8]>) -> Result<(), FailureReason> {
        let index = self.count;
        self.count += 1;
        let decoded = match json {
            Some(json) => parse_member(json)?.map_or(Err((RejectReason::Malformed, None)), |wire| self.read(wire)),
            None => Err((RejectReason::Malformed, None)),
        };
        if let Err((reason, id)) = decoded.and_then(|tunnel| self.insert(tunnel)) {
            self.rejected.add(RejectedMember { reason, index, id });
        }
        limit_members(self.count, self.tunnels.len() * TUNNEL_MEMORY + self.reader.text_bytes)
    }

    fn count(&self) -> usize {
        self.count
    }

    fn into_listing(self) -> Result<TunnelListing, FailureReason> {
        let mut tunnels: Vec<Arc<Tunnel>> = self.tunnels.into_iter().map(|ById(tunnel)| tunnel).collect();
        tunnels.sort_unstable_by(|a, b| (&a.name, &a.id).cmp(&(&b.name, &b.id)));
        Ok(TunnelListing { tunnels, rejected: self.rejected, unknown: self.reader.unknown })
    }
}

impl TunnelMembers {
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
}

/// Parses a member; `None` if it is not an object with the expected fields.
///
/// # Errors
/// The body is damaged.
pub(super) fn parse_member<'a, T: Deserialize<'a>>(json: &'a [u8]) -> Result<Option<T>, FailureReason> {
    let text = str::from_utf8(json).map_err(|_| FailureReason::Decode)?;
    if is_object(json)
        && let Ok(wire) = serde_json::from_str(text)
    {
        return Ok(Some(wire));
    }
    // The error is dropped, because its text may quote a value.
    serde_json::from_str::<IgnoredAny>(text).map_err(|_| FailureReason::Decode)?;
    Ok(None)
}

/// Limits the number of members and their memory in bytes.
pub(super) fn limit_members(count: usize, memory: usize) -> Result<(), FailureReason> {
    if count > MAX_MEMBERS || memory > MAX_TUNNEL_MEMORY { Err(FailureReason::TooLarge) } else { Ok(()) }
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
