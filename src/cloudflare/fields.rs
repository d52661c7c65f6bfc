//! From the fields of an API object to the values of a tunnel. A field that cannot be read is omitted and recorded by
//! name.

use std::{borrow::Cow, collections::BTreeMap, net::IpAddr};

use ipnet::IpNet;
use jiff::Timestamp;

use super::wire::{self, Field, Integer, Object, Text};
use crate::domain::{
    label::{Label, label_enum},
    tunnel::{
        BgpConfig, BgpState, BgpStatus, CheckDirection, CheckRate, CheckTarget, CheckType, FsmState, GreDetails,
        HealthCheck, InterconnectDetails, IpsecDetails, Speaker, Stated, Tunnel, TunnelDetails, TunnelId, TunnelType,
    },
};

/// 0001-01-01T00:00:00Z in Unix seconds.
const ZERO_TIME: i64 = -62_135_596_800;

label_enum! {
    /// A field that may have an unknown or invalid value. The label value is its path in the API.
    pub enum KnownField {
        AllowNullCipher => "allow_null_cipher",
        AutomaticReturnRouting => "automatic_return_routing",
        Bgp => "bgp",
        BgpCustomerAsn => "bgp.customer_asn",
        BgpExtraPrefixes => "bgp.extra_prefixes",
        BgpMd5Key => "bgp.md5_key",
        BgpStatus => "bgp_status",
        BgpStatusBgpState => "bgp_status.bgp_state",
        BgpStatusSpeaker => "bgp_status.speaker",
        BgpStatusState => "bgp_status.state",
        BgpStatusTcpEstablished => "bgp_status.tcp_established",
        BgpStatusUpdatedAt => "bgp_status.updated_at",
        CloudflareEndpoint => "cloudflare_endpoint",
        ColoName => "colo_name",
        CreatedOn => "created_on",
        CustomRemoteIdentities => "custom_remote_identities",
        CustomerEndpoint => "customer_endpoint",
        Description => "description",
        /// A row of the edge's data that contradicts another row, or with a name, number or time that cannot be read.
        EdgeRow => "edge_row",
        Gre => "gre",
        HealthCheck => "health_check",
        HealthCheckDirection => "health_check.direction",
        HealthCheckEnabled => "health_check.enabled",
        HealthCheckRate => "health_check.rate",
        HealthCheckTarget => "health_check.target",
        HealthCheckType => "health_check.type",
        InterfaceAddress => "interface_address",
        InterfaceAddress6 => "interface_address6",
        ModifiedOn => "modified_on",
        Mtu => "mtu",
        PskMetadata => "psk_metadata",
        ReplayProtection => "replay_protection",
        /// A result of Cloudflare's health checks other than `ok` and `timeout`.
        ResultStatus => "result_status",
        /// A member of the list of routes that is not an object.
        Route => "route",
        RouteNexthop => "route.nexthop",
        RoutePrefix => "route.prefix",
        RoutePriority => "route.priority",
        RouteScope => "route.scope",
        RouteWeight => "route.weight",
        Ttl => "ttl",
        Version => "version",
    }
}

/// Number of values that cannot be read, by field.
pub type UnknownValues = BTreeMap<KnownField, u64>;

/// Converts the fields of tunnels and records those that cannot be converted.
#[derive(Debug, Default)]
pub(super) struct TunnelReader {
    pub(super) unknown: UnknownValues,
    /// Bytes of all texts that were kept.
    pub(super) text_bytes: usize,
}

impl TunnelReader {
    pub(super) fn tunnel(
        &mut self,
        id: TunnelId,
        name: Box<str>,
        wire: wire::Tunnel<'_>,
        tunnel_type: TunnelType,
    ) -> Tunnel {
        use KnownField as F;
        let (cloudflare, customer) = match tunnel_type {
            TunnelType::Ipsec => (wire.cloudflare_endpoint, wire.customer_endpoint),
            TunnelType::Gre => (wire.cloudflare_gre_endpoint, wire.customer_gre_endpoint),
            TunnelType::Interconnect => {
                let gre = self.object(F::Gre, wire.gre);
                (gre.map_or(Field::Absent, |gre| gre.cloudflare_endpoint), Field::Absent)
            }
        };
        let details = match tunnel_type {
            TunnelType::Ipsec => TunnelDetails::Ipsec(IpsecDetails {
                replay_protection: self.value(F::ReplayProtection, wire.replay_protection),
                allow_null_cipher: self.value(F::AllowNullCipher, wire.allow_null_cipher),
                psk_generated_on: self
                    .object(F::PskMetadata, wire.psk_metadata)
                    .and_then(|psk| self.time(F::PskMetadata, psk.last_generated_on)),
                custom_identity: self
                    .object(F::CustomRemoteIdentities, wire.custom_remote_identities)
                    .and_then(|identities| self.value(F::CustomRemoteIdentities, identities.fqdn_id))
                    .is_some_and(|fqdn| fqdn.0),
            }),
            TunnelType::Gre => TunnelDetails::Gre(GreDetails {
                mtu: self.positive(F::Mtu, wire.mtu),
                ttl: self.positive(F::Ttl, wire.ttl),
            }),
            TunnelType::Interconnect => TunnelDetails::Interconnect(InterconnectDetails {
                data_center: self.kept_text(F::ColoName, wire.colo_name),
                version: self.kept_text(F::Version, wire.version),
                mtu: self.positive(F::Mtu, wire.mtu),
            }),
        };
        Tunnel {
            id,
            name,
            description: self.kept_text(F::Description, wire.description).unwrap_or_default(),
            cloudflare_endpoint: self.stated(F::CloudflareEndpoint, cloudflare, parse_ip),
            customer_endpoint: self.stated(F::CustomerEndpoint, customer, parse_ip),
            interface_address: self.stated(F::InterfaceAddress, wire.interface_address, parse_net),
            interface_address6: self.stated(F::InterfaceAddress6, wire.interface_address6, parse_net),
            automatic_return_routing: self.value(F::AutomaticReturnRouting, wire.automatic_return_routing),
            health_check: self.object(F::HealthCheck, wire.health_check).map(|check| self.health_check(check)),
            bgp: self.object(F::Bgp, wire.bgp).map(|bgp| self.bgp(bgp)),
            bgp_status: self.object(F::BgpStatus, wire.bgp_status).map(|status| self.bgp_status(status)),
            created_on: self.time(F::CreatedOn, wire.created_on),
            modified_on: self.time(F::ModifiedOn, wire.modified_on),
            details,
        }
    }

    fn health_check(&mut self, wire: wire::HealthCheck<'_>) -> HealthCheck {
        use KnownField as F;
        HealthCheck {
            enabled: self.value(F::HealthCheckEnabled, wire.enabled),
            check_type: self.variant(F::HealthCheckType, wire.check_type, CheckType::Unknown),
            direction: self.variant(F::HealthCheckDirection, wire.direction, CheckDirection::Unknown),
            rate: self.variant(F::HealthCheckRate, wire.rate, CheckRate::Unknown),
            target: self.target(wire.target),
        }
    }

    fn target(&mut self, wire: Field<wire::Target<'_>>) -> CheckTarget {
        const FIELD: KnownField = KnownField::HealthCheckTarget;
        match self.value(FIELD, wire) {
            None => CheckTarget::default(),
            Some(wire::Target::Text(text)) => {
                CheckTarget { saved: self.kept_text(FIELD, Field::Value(text)), effective: None }
            }
            Some(wire::Target::Object(target)) => CheckTarget {
                saved: self.kept_text(FIELD, target.saved),
                effective: self.kept_text(FIELD, target.effective),
            },
        }
    }

    fn bgp(&mut self, wire: wire::Bgp) -> BgpConfig {
        use KnownField as F;
        BgpConfig {
            customer_asn: self.integer(F::BgpCustomerAsn, wire.customer_asn),
            extra_prefixes: self.value(F::BgpExtraPrefixes, wire.extra_prefixes).map(|list| list.0.len()),
            md5: self.value(F::BgpMd5Key, wire.md5_key).is_some_and(|key| key.0),
        }
    }

    fn bgp_status(&mut self, wire: wire::BgpStatus<'_>) -> BgpStatus {
        use KnownField as F;
        let state = match self.text(F::BgpStatusState, wire.state) {
            Some(text) => self.known_or(F::BgpStatusState, parse_bgp_state(&text), BgpState::Unknown),
            None => BgpState::Unknown,
        };
        let fsm = match self.text(F::BgpStatusBgpState, wire.bgp_state) {
            Some(text) => self.known_or(F::BgpStatusBgpState, parse_fsm_state(&text), FsmState::Other),
            None => FsmState::None,
        };
        BgpStatus {
            state,
            fsm,
            tcp_established: self.value(F::BgpStatusTcpEstablished, wire.tcp_established),
            updated_at: self.time(F::BgpStatusUpdatedAt, wire.updated_at),
            cloudflare_speaker: self.speaker(wire.cf_speaker_ip, wire.cf_speaker_port),
            customer_speaker: self.speaker(wire.customer_speaker_ip, wire.customer_speaker_port),
        }
    }

    fn speaker(&mut self, ip: Field<Text<'_>>, port: Field<Integer>) -> Speaker {
        const FIELD: KnownField = KnownField::BgpStatusSpeaker;
        Speaker { ip: self.stated(FIELD, ip, parse_ip).value().copied(), port: self.integer(FIELD, port) }
    }

    /// The value of a field; a value of the wrong type is recorded.
    pub(super) fn value<T>(&mut self, field: KnownField, value: Field<T>) -> Option<T> {
        match value {
            Field::Absent => None,
            Field::Value(value) => Some(value),
            Field::Wrong => {
                self.record(field);
                None
            }
        }
    }

    pub(super) fn object<T>(&mut self, field: KnownField, value: Field<Object<T>>) -> Option<T> {
        self.value(field, value).map(|object| object.0)
    }

    /// The value if it is known; otherwise the field is recorded and `otherwise` returned.
    fn known_or<T>(&mut self, field: KnownField, known: Option<T>, otherwise: T) -> T {
        known.unwrap_or_else(|| {
            self.record(field);
            otherwise
        })
    }

    pub(super) fn record(&mut self, field: KnownField) {
        *self.unknown.entry(field).or_default() += 1;
    }

    /// The text of a field; `""` counts as absent.
    pub(super) fn text<'t>(&mut self, field: KnownField, value: Field<Text<'t>>) -> Option<Cow<'t, str>> {
        self.value(field, value).map(|text| text.0).filter(|text| !text.is_empty())
    }

    /// The same text with memory of its own.
    pub(super) fn kept_text(&mut self, field: KnownField, value: Field<Text<'_>>) -> Option<Box<str>> {
        self.text(field, value).map(|text| self.keep(&text))
    }

    pub(super) fn keep(&mut self, text: &str) -> Box<str> {
        self.text_bytes += text.len();
        text.into()
    }

    /// The variant of a label enum; case is ignored.
    fn variant<T: Label>(&mut self, field: KnownField, value: Field<Text<'_>>, otherwise: T) -> Option<T> {
        let text = self.text(field, value)?;
        let known = T::ALL
            .iter()
            .copied()
            .find(|variant| *variant != otherwise && variant.as_str().eq_ignore_ascii_case(&text));
        Some(self.known_or(field, known, otherwise))
    }

    /// An integer within the range of `T`.
    pub(super) fn integer<T: TryFrom<u64>>(&mut self, field: KnownField, value: Field<Integer>) -> Option<T> {
        let number = self.value(field, value)?.0;
        self.known_or(field, T::try_from(number).ok().map(Some), None)
    }

    /// An integer for which the API uses 0 as "not set".
    fn positive(&mut self, field: KnownField, value: Field<Integer>) -> Option<u32> {
        self.integer(field, value).filter(|&number| number > 0)
    }

    /// An RFC 3339 timestamp with any offset and fraction. The zero time `0001-01-01T00:00:00Z` counts as absent.
    fn time(&mut self, field: KnownField, value: Field<Text<'_>>) -> Option<Timestamp> {
        let text = self.text(field, value)?;
        let time: Option<Timestamp> = text.parse().ok();
        self.known_or(field, time.map(Some), None).filter(|time| time.as_second() > ZERO_TIME)
    }

    /// An address or prefix; invalid text is kept and recorded.
    pub(super) fn stated<T>(
        &mut self,
        field: KnownField,
        value: Field<Text<'_>>,
        parse: fn(&str) -> Option<T>,
    ) -> Stated<T> {
        let Some(text) = self.text(field, value) else { return Stated::Absent };
        if let Some(value) = parse(&text) {
            return Stated::Value(value);
        }
        self.record(field);
        Stated::Unparsable(self.keep(&text))
    }
}

pub(super) fn parse_ip(text: &str) -> Option<IpAddr> {
    text.trim().parse().ok()
}

/// Parses a prefix and keeps its host part. An address without a length is a prefix of one host.
pub(super) fn parse_net(text: &str) -> Option<IpNet> {
    let text = text.trim();
    text.parse().ok().or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from))
}

/// Parses `bgp_status.state`. Case is ignored, as in Cloudflare's Terraform provider.
fn parse_bgp_state(text: &str) -> Option<BgpState> {
    let known = [("BGP_UP", BgpState::Up), ("BGP_ESTABLISHING", BgpState::Establishing), ("BGP_DOWN", BgpState::Down)];
    known.into_iter().find(|(name, _)| name.eq_ignore_ascii_case(text)).map(|(_, state)| state)
}

/// Parses one of the six states of RFC 4271 section 8.2.2. Case, spaces, hyphens and underscores are ignored.
fn parse_fsm_state(text: &str) -> Option<FsmState> {
    let letters = text.replace([' ', '_', '-'], "");
    let states = FsmState::ALL.iter().copied().filter(|state| !matches!(state, FsmState::Other | FsmState::None));
    states.into_iter().find(|state| state.as_str().eq_ignore_ascii_case(&letters))
}
