//! From the bytes of a list operation to tunnels: lenient in what it takes, exact in what it keeps.
//!
//! A member of the list that cannot be identified is [`Rejected`] alone. A field that cannot be read is left out, as if the API had not
//! stated it, and counted under its name.

use std::{collections::HashSet, net::IpAddr, sync::Arc};

use ipnet::IpNet;
use jiff::Timestamp;
use serde_json::value::RawValue;

use super::{
    error::{ApiFailure, reason_of},
    listing::{KnownField, Listing, Rejected},
    wire::{self, Envelope, Field, Integer, List, Object, Text},
};
use crate::domain::{
    bgp::{BgpConfig, BgpState, BgpStatus, FsmState, Speaker},
    dataset::FailureReason,
    health_check::{CheckType, Direction, HealthCheck, Rate, Target},
    inventory::RejectReason,
    label::Label,
    tunnel::{Gre, Ipsec, Kind, Stated, Tunnel, TunnelId, TunnelType},
};

/// Longer ids are no ids: the API's are of 32 characters.
const LONGEST_ID: usize = 64;

/// Reads the body of a list operation that was answered with success.
///
/// # Errors
/// The body is no JSON ([`FailureReason::NotJson`]), no envelope with a list ([`FailureReason::Decode`]), or an envelope that says
/// `success: false` (judged by its codes). Errors carry nothing of the body.
pub fn decode(body: &[u8], status: u16, tunnel_type: TunnelType) -> Result<Listing, ApiFailure> {
    let fail = |reason| ApiFailure { status: Some(status), ..ApiFailure::new(reason) };
    let envelope: Envelope<'_> = serde_json::from_slice(body).map_err(|_| fail(reason_of_damage(body)))?;
    if !is_object(body) {
        return Err(fail(FailureReason::Decode));
    }
    match envelope.success {
        Field::Value(true) => {}
        Field::Value(false) => {
            let codes = envelope.codes();
            return Err(ApiFailure { codes: codes.clone(), ..fail(reason_of(status, &codes)) });
        }
        Field::Absent | Field::Wrong => return Err(fail(FailureReason::Decode)),
    }
    let list = list_of(envelope, tunnel_type).map_err(fail)?;
    Ok(read_list(&list, tunnel_type))
}

/// A body that is not even meant to be JSON, as against one that was damaged on the way.
fn reason_of_damage(body: &[u8]) -> FailureReason {
    match body.trim_ascii_start().first() {
        Some(b'{' | b'[') => FailureReason::Decode,
        _ => FailureReason::NotJson,
    }
}

/// serde takes a list for an object whose members come in order; the API never means that.
fn is_object(json: &[u8]) -> bool {
    json.trim_ascii_start().starts_with(b"{")
}

/// The raw members of the list. A missing or null list has none; a list of another type is no list.
fn list_of(envelope: Envelope<'_>, tunnel_type: TunnelType) -> Result<Vec<&RawValue>, FailureReason> {
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

fn read_list(members: &[&RawValue], tunnel_type: TunnelType) -> Listing {
    let mut listing = Listing { tunnels: Vec::with_capacity(members.len()), ..Listing::default() };
    let mut seen = HashSet::with_capacity(members.len());
    for (index, raw) in members.iter().enumerate() {
        match read_tunnel(raw, tunnel_type, &mut listing.unknown) {
            Ok(tunnel) if seen.insert(tunnel.id.clone()) => listing.tunnels.push(Arc::new(tunnel)),
            Ok(Tunnel { id, .. }) => {
                listing.rejected.push(Rejected { reason: RejectReason::DuplicateId, index, id: Some(id) });
            }
            Err((reason, id)) => listing.rejected.push(Rejected { reason, index, id }),
        }
    }
    listing.tunnels.sort_unstable_by(|a, b| (&a.name, &a.id).cmp(&(&b.name, &b.id)));
    listing
}

fn read_tunnel(
    raw: &RawValue,
    tunnel_type: TunnelType,
    unknown: &mut Vec<KnownField>,
) -> Result<Tunnel, (RejectReason, Option<TunnelId>)> {
    if !is_object(raw.get().as_bytes()) {
        return Err((RejectReason::Malformed, None));
    }
    // The parser's error is dropped: its text may quote the value it stumbled over.
    let wire: wire::Tunnel<'_> = serde_json::from_str(raw.get()).map_err(|_| (RejectReason::Malformed, None))?;
    let id = match &wire.id {
        Field::Value(Text(text)) if is_id(text) => TunnelId::new(&**text),
        Field::Value(Text(text)) if text.is_empty() => return Err((RejectReason::MissingId, None)),
        Field::Absent => return Err((RejectReason::MissingId, None)),
        Field::Value(_) | Field::Wrong => return Err((RejectReason::Malformed, None)),
    };
    let name = match &wire.name {
        Field::Value(Text(text)) if !text.is_empty() => Box::from(&**text),
        Field::Value(_) | Field::Absent => return Err((RejectReason::MissingName, Some(id))),
        Field::Wrong => return Err((RejectReason::Malformed, Some(id))),
    };
    Ok(Reader { unknown }.tunnel(id, name, wire, tunnel_type))
}

/// Printable ASCII without spaces, so that no two ids look alike on the page.
fn is_id(text: &str) -> bool {
    !text.is_empty() && text.len() <= LONGEST_ID && text.bytes().all(|byte| byte.is_ascii_graphic())
}

/// Reads the fields of one tunnel and notes those it cannot read.
struct Reader<'u> {
    unknown: &'u mut Vec<KnownField>,
}

impl Reader<'_> {
    fn tunnel(&mut self, id: TunnelId, name: Box<str>, wire: wire::Tunnel<'_>, tunnel_type: TunnelType) -> Tunnel {
        use KnownField as F;
        let (cloudflare, customer) = match tunnel_type {
            TunnelType::Ipsec => (wire.cloudflare_endpoint, wire.customer_endpoint),
            TunnelType::Gre => (wire.cloudflare_gre_endpoint, wire.customer_gre_endpoint),
        };
        let kind = match tunnel_type {
            TunnelType::Ipsec => Kind::Ipsec(Ipsec {
                replay_protection: self.plain(F::ReplayProtection, wire.replay_protection),
                allow_null_cipher: self.plain(F::AllowNullCipher, wire.allow_null_cipher),
                psk_generated_on: self
                    .object(F::PskMetadata, wire.psk_metadata)
                    .and_then(|psk| self.time(F::PskMetadata, psk.last_generated_on)),
                custom_identity: self
                    .object(F::CustomRemoteIdentities, wire.custom_remote_identities)
                    .and_then(|identities| self.plain(F::CustomRemoteIdentities, identities.fqdn_id))
                    .is_some_and(|fqdn| fqdn.0),
            }),
            TunnelType::Gre => {
                Kind::Gre(Gre { mtu: self.positive(F::Mtu, wire.mtu), ttl: self.positive(F::Ttl, wire.ttl) })
            }
        };
        Tunnel {
            id,
            name,
            description: self.text(F::Description, wire.description).unwrap_or_default(),
            cloudflare_endpoint: self.stated(F::CloudflareEndpoint, cloudflare, parse_ip),
            customer_endpoint: self.stated(F::CustomerEndpoint, customer, parse_ip),
            interface_address: self.stated(F::InterfaceAddress, wire.interface_address, parse_net),
            interface_address6: self.stated(F::InterfaceAddress6, wire.interface_address6, parse_net),
            automatic_return_routing: self.plain(F::AutomaticReturnRouting, wire.automatic_return_routing),
            health_check: self.object(F::HealthCheck, wire.health_check).map(|check| self.health_check(check)),
            bgp: self.object(F::Bgp, wire.bgp).map(|bgp| self.bgp(bgp)),
            bgp_status: self.object(F::BgpStatus, wire.bgp_status).map(|status| self.bgp_status(status)),
            created_on: self.time(F::CreatedOn, wire.created_on),
            modified_on: self.time(F::ModifiedOn, wire.modified_on),
            kind,
        }
    }

    fn health_check(&mut self, wire: wire::HealthCheck<'_>) -> HealthCheck {
        use KnownField as F;
        HealthCheck {
            enabled: self.plain(F::HealthCheckEnabled, wire.enabled),
            check_type: self.member(F::HealthCheckType, wire.check_type, CheckType::Unknown),
            direction: self.member(F::HealthCheckDirection, wire.direction, Direction::Unknown),
            rate: self.member(F::HealthCheckRate, wire.rate, Rate::Unknown),
            target: self.target(wire.target),
        }
    }

    fn target(&mut self, wire: Field<wire::Target<'_>>) -> Target {
        const FIELD: KnownField = KnownField::HealthCheckTarget;
        match self.plain(FIELD, wire) {
            None => Target::default(),
            Some(wire::Target::Text(text)) => Target { saved: self.text(FIELD, Field::Value(text)), effective: None },
            Some(wire::Target::Object(target)) => {
                Target { saved: self.text(FIELD, target.saved), effective: self.text(FIELD, target.effective) }
            }
        }
    }

    fn bgp(&mut self, wire: wire::Bgp) -> BgpConfig {
        use KnownField as F;
        BgpConfig {
            customer_asn: self.narrow(F::BgpCustomerAsn, wire.customer_asn),
            extra_prefixes: self.plain(F::BgpExtraPrefixes, wire.extra_prefixes).map(|list| list.0.len()),
            md5: self.plain(F::BgpMd5Key, wire.md5_key).is_some_and(|key| key.0),
        }
    }

    fn bgp_status(&mut self, wire: wire::BgpStatus<'_>) -> BgpStatus {
        use KnownField as F;
        let state = match self.text(F::BgpStatusState, wire.state) {
            Some(text) => self.known(F::BgpStatusState, bgp_state(&text), BgpState::Unknown),
            None => BgpState::Unknown,
        };
        let fsm = match self.text(F::BgpStatusBgpState, wire.bgp_state) {
            Some(text) => self.known(F::BgpStatusBgpState, fsm_state(&text), FsmState::Other),
            None => FsmState::None,
        };
        BgpStatus {
            state,
            fsm,
            tcp_established: self.plain(F::BgpStatusTcpEstablished, wire.tcp_established),
            updated_at: self.time(F::BgpStatusUpdatedAt, wire.updated_at),
            cloudflare_speaker: self.speaker(wire.cf_speaker_ip, wire.cf_speaker_port),
            customer_speaker: self.speaker(wire.customer_speaker_ip, wire.customer_speaker_port),
        }
    }

    fn speaker(&mut self, ip: Field<Text<'_>>, port: Field<Integer>) -> Speaker {
        const FIELD: KnownField = KnownField::BgpStatusSpeaker;
        Speaker { ip: self.stated(FIELD, ip, parse_ip).value().copied(), port: self.narrow(FIELD, port) }
    }

    /// The value as it is; another type is noted.
    fn plain<T>(&mut self, field: KnownField, value: Field<T>) -> Option<T> {
        match value {
            Field::Absent => None,
            Field::Value(value) => Some(value),
            Field::Wrong => {
                self.unknown.push(field);
                None
            }
        }
    }

    fn object<T>(&mut self, field: KnownField, value: Field<Object<T>>) -> Option<T> {
        self.plain(field, value).map(|object| object.0)
    }

    /// `known`, or `otherwise` with a note.
    fn known<T>(&mut self, field: KnownField, known: Option<T>, otherwise: T) -> T {
        known.unwrap_or_else(|| {
            self.unknown.push(field);
            otherwise
        })
    }

    /// Text; `""` means that nothing is set.
    fn text(&mut self, field: KnownField, value: Field<Text<'_>>) -> Option<Box<str>> {
        self.plain(field, value).filter(|text| !text.0.is_empty()).map(|text| text.0.into())
    }

    /// A member of a closed list by its label.
    fn member<T: Label>(&mut self, field: KnownField, value: Field<Text<'_>>, otherwise: T) -> Option<T> {
        let text = self.text(field, value)?;
        let known =
            T::ALL.iter().copied().find(|member| *member != otherwise && member.as_str().eq_ignore_ascii_case(&text));
        Some(self.known(field, known, otherwise))
    }

    fn narrow<T: TryFrom<u64>>(&mut self, field: KnownField, value: Field<Integer>) -> Option<T> {
        let number = self.plain(field, value)?.0;
        let narrow = T::try_from(number).ok();
        self.known(field, narrow.map(Some), None)
    }

    /// A number that is never zero in a real tunnel; the API's placeholders are.
    fn positive(&mut self, field: KnownField, value: Field<Integer>) -> Option<u32> {
        self.narrow(field, value).filter(|&number| number > 0)
    }

    /// RFC 3339 with any offset and any fraction; the zero time `0001-01-01T00:00:00Z` means "never".
    fn time(&mut self, field: KnownField, value: Field<Text<'_>>) -> Option<Timestamp> {
        let text = self.text(field, value)?;
        let time: Option<Timestamp> = text.parse().ok();
        self.known(field, time.map(Some), None).filter(|time| time.as_second() > ZERO_TIME)
    }

    fn stated<T>(&mut self, field: KnownField, value: Field<Text<'_>>, parse: fn(&str) -> Option<T>) -> Stated<T> {
        let Some(text) = self.text(field, value) else { return Stated::Absent };
        if let Some(value) = parse(&text) {
            return Stated::Value(value);
        }
        self.unknown.push(field);
        Stated::Unparsable(text)
    }
}

/// 0001-01-01T00:00:00Z in Unix seconds.
const ZERO_TIME: i64 = -62_135_596_800;

fn parse_ip(text: &str) -> Option<IpAddr> {
    text.trim().parse().ok()
}

/// A prefix with its host part; an address without a length stands for itself alone.
fn parse_net(text: &str) -> Option<IpNet> {
    let text = text.trim();
    text.parse().ok().or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from))
}

/// `BGP_UP` and its like; the provider for Terraform compares without case, so both are seen.
fn bgp_state(text: &str) -> Option<BgpState> {
    let known = [("BGP_UP", BgpState::Up), ("BGP_ESTABLISHING", BgpState::Establishing), ("BGP_DOWN", BgpState::Down)];
    known.into_iter().find(|(name, _)| name.eq_ignore_ascii_case(text)).map(|(_, state)| state)
}

/// The six states of RFC 4271 section 8.2.2, however they are spaced and cased.
fn fsm_state(text: &str) -> Option<FsmState> {
    let letters = text.replace([' ', '_', '-'], "");
    let states = FsmState::ALL.iter().copied().filter(|state| !matches!(state, FsmState::Other | FsmState::None));
    states.into_iter().find(|state| state.as_str().eq_ignore_ascii_case(&letters))
}

#[cfg(test)]
mod tests;
