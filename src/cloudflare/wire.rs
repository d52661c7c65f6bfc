//! The JSON of the API. Every field may be absent or have an unexpected type.
//!
//! A value of an unexpected type becomes [`Field::Wrong`] instead of an error, so that it affects one field and not the
//! whole list. Secrets are reduced to [`IsSet`] during parsing and never stored.

use std::{borrow::Cow, fmt, marker::PhantomData};

use serde::{
    Deserialize, Deserializer,
    de::{Error, IgnoredAny, MapAccess, SeqAccess, Visitor, value::MapAccessDeserializer},
};

/// Tunnel of any type.
#[derive(Deserialize)]
pub(super) struct Tunnel<'a> {
    #[serde(default, borrow)]
    pub(super) id: Field<Text<'a>>,
    #[serde(default, borrow)]
    pub(super) name: Field<Text<'a>>,
    #[serde(default, borrow)]
    pub(super) description: Field<Text<'a>>,
    #[serde(default, borrow)]
    pub(super) cloudflare_endpoint: Field<Text<'a>>,
    #[serde(default, borrow)]
    pub(super) customer_endpoint: Field<Text<'a>>,
    #[serde(default, borrow)]
    pub(super) cloudflare_gre_endpoint: Field<Text<'a>>,
    #[serde(default, borrow)]
    pub(super) customer_gre_endpoint: Field<Text<'a>>,
    #[serde(default, borrow)]
    pub(super) interface_address: Field<Text<'a>>,
    #[serde(default, borrow)]
    pub(super) interface_address6: Field<Text<'a>>,
    #[serde(default)]
    pub(super) automatic_return_routing: Field<bool>,
    #[serde(default, borrow)]
    pub(super) health_check: Field<Object<HealthCheck<'a>>>,
    #[serde(default)]
    pub(super) bgp: Field<Object<Bgp>>,
    #[serde(default, borrow)]
    pub(super) bgp_status: Field<Object<BgpStatus<'a>>>,
    #[serde(default, borrow)]
    pub(super) created_on: Field<Text<'a>>,
    #[serde(default, borrow)]
    pub(super) modified_on: Field<Text<'a>>,
    #[serde(default)]
    pub(super) replay_protection: Field<bool>,
    #[serde(default)]
    pub(super) allow_null_cipher: Field<bool>,
    #[serde(default, borrow)]
    pub(super) psk_metadata: Field<Object<PskMetadata<'a>>>,
    #[serde(default)]
    pub(super) custom_remote_identities: Field<Object<Identities>>,
    #[serde(default)]
    pub(super) mtu: Field<Integer>,
    #[serde(default)]
    pub(super) ttl: Field<Integer>,
    #[serde(default, borrow)]
    pub(super) colo_name: Field<Text<'a>>,
    #[serde(default, borrow)]
    pub(super) version: Field<Text<'a>>,
    #[serde(default, borrow)]
    pub(super) gre: Field<Object<InterconnectGre<'a>>>,
}

/// `gre` of an interconnect.
#[derive(Deserialize)]
pub(super) struct InterconnectGre<'a> {
    #[serde(default, borrow)]
    pub(super) cloudflare_endpoint: Field<Text<'a>>,
}

#[derive(Deserialize)]
pub(super) struct HealthCheck<'a> {
    #[serde(default)]
    pub(super) enabled: Field<bool>,
    #[serde(default, borrow, rename = "type")]
    pub(super) check_type: Field<Text<'a>>,
    #[serde(default, borrow)]
    pub(super) direction: Field<Text<'a>>,
    #[serde(default, borrow)]
    pub(super) rate: Field<Text<'a>>,
    #[serde(default, borrow)]
    pub(super) target: Field<Target<'a>>,
}

/// `health_check.target`: an object if the API respects the header `x-magic-new-hc-target`, otherwise a string.
pub(super) enum Target<'a> {
    Text(Text<'a>),
    Object(TargetObject<'a>),
}

#[derive(Deserialize)]
pub(super) struct TargetObject<'a> {
    #[serde(default, borrow)]
    pub(super) effective: Field<Text<'a>>,
    #[serde(default, borrow)]
    pub(super) saved: Field<Text<'a>>,
}

#[derive(Deserialize)]
pub(super) struct Bgp {
    #[serde(default)]
    pub(super) customer_asn: Field<Integer>,
    #[serde(default)]
    pub(super) extra_prefixes: Field<List<IgnoredAny>>,
    #[serde(default)]
    pub(super) md5_key: Field<IsSet>,
}

#[derive(Deserialize)]
pub(super) struct BgpStatus<'a> {
    #[serde(default, borrow)]
    pub(super) state: Field<Text<'a>>,
    #[serde(default)]
    pub(super) tcp_established: Field<bool>,
    #[serde(default, borrow)]
    pub(super) updated_at: Field<Text<'a>>,
    #[serde(default, borrow)]
    pub(super) bgp_state: Field<Text<'a>>,
    #[serde(default, borrow)]
    pub(super) cf_speaker_ip: Field<Text<'a>>,
    #[serde(default)]
    pub(super) cf_speaker_port: Field<Integer>,
    #[serde(default, borrow)]
    pub(super) customer_speaker_ip: Field<Text<'a>>,
    #[serde(default)]
    pub(super) customer_speaker_port: Field<Integer>,
}

#[derive(Deserialize)]
pub(super) struct PskMetadata<'a> {
    #[serde(default, borrow)]
    pub(super) last_generated_on: Field<Text<'a>>,
}

#[derive(Deserialize)]
pub(super) struct Identities {
    #[serde(default)]
    pub(super) fqdn_id: Field<IsSet>,
}

/// A field that may be absent, null, or of an unexpected type.
#[derive(Debug, PartialEq, Eq, Default)]
pub(super) enum Field<T> {
    #[default]
    Absent,
    Value(T),
    Wrong,
}

/// The JSON types that a value can be parsed from. Any other type results in [`Field::Wrong`].
pub(super) trait Shape<'de>: Sized {
    fn from_text(_: Cow<'de, str>) -> Option<Self> {
        None
    }

    fn from_bool(_: bool) -> Option<Self> {
        None
    }

    fn from_integer(_: u64) -> Option<Self> {
        None
    }

    fn from_float(_: f64) -> Option<Self> {
        None
    }

    fn from_map<A: MapAccess<'de>>(mut map: A) -> Result<Option<Self>, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(None)
    }

    fn from_seq<A: SeqAccess<'de>>(mut seq: A) -> Result<Option<Self>, A::Error> {
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(None)
    }
}

/// A string.
pub(super) struct Text<'a>(pub(super) Cow<'a, str>);

impl<'de: 'a, 'a> Shape<'de> for Text<'a> {
    fn from_text(text: Cow<'de, str>) -> Option<Self> {
        Some(Self(text))
    }
}

impl Shape<'_> for bool {
    fn from_bool(value: bool) -> Option<Self> {
        Some(value)
    }
}

/// A non-negative integer, or a string of digits.
#[derive(Clone, Copy)]
pub(super) struct Integer(pub(super) u64);

impl<'de> Shape<'de> for Integer {
    fn from_integer(value: u64) -> Option<Self> {
        Some(Self(value))
    }

    fn from_text(text: Cow<'de, str>) -> Option<Self> {
        text.parse().ok().map(Self)
    }
}

/// Whether a secret string is present and not empty.
pub(super) struct IsSet(pub(super) bool);

impl<'de> Shape<'de> for IsSet {
    fn from_text(text: Cow<'de, str>) -> Option<Self> {
        Some(Self(!text.is_empty()))
    }
}

/// An object.
pub(super) struct Object<T>(pub(super) T);

impl<'de, T: Deserialize<'de>> Shape<'de> for Object<T> {
    fn from_map<A: MapAccess<'de>>(map: A) -> Result<Option<Self>, A::Error> {
        T::deserialize(MapAccessDeserializer::new(map)).map(|value| Some(Self(value)))
    }
}

/// Members of `errors` are parsed as leniently as fields.
impl<'de, T: Deserialize<'de> + Default> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Field::deserialize(deserializer)? {
            Field::Value(object) => Ok(object),
            Field::Absent | Field::Wrong => Ok(Self(T::default())),
        }
    }
}

/// A list.
pub(super) struct List<T>(pub(super) Vec<T>);

impl<'de, T: Deserialize<'de>> Shape<'de> for List<T> {
    fn from_seq<A: SeqAccess<'de>>(mut seq: A) -> Result<Option<Self>, A::Error> {
        let mut members = Vec::new();
        while let Some(member) = seq.next_element()? {
            members.push(member);
        }
        Ok(Some(Self(members)))
    }
}

impl<'de: 'a, 'a> Shape<'de> for Target<'a> {
    fn from_text(text: Cow<'de, str>) -> Option<Self> {
        Some(Self::Text(Text(text)))
    }

    fn from_map<A: MapAccess<'de>>(map: A) -> Result<Option<Self>, A::Error> {
        TargetObject::deserialize(MapAccessDeserializer::new(map)).map(|value| Some(Self::Object(value)))
    }
}

impl<'de, T: Shape<'de>> Deserialize<'de> for Field<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(FieldVisitor(PhantomData))
    }
}

struct FieldVisitor<T>(PhantomData<T>);

impl<'de, T: Shape<'de>> Visitor<'de> for FieldVisitor<T> {
    type Value = Field<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON value")
    }

    fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
        Ok(Field::Absent)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Self::Value, E> {
        Ok(T::from_bool(value).into())
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Self::Value, E> {
        Ok(T::from_integer(value).into())
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<Self::Value, E> {
        Ok(Field::Wrong)
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Self::Value, E> {
        Ok(T::from_float(value).into())
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
        Ok(T::from_text(Cow::Owned(text.to_owned())).into())
    }

    fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(T::from_text(Cow::Borrowed(text)).into())
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
        T::from_map(map).map(Field::from)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<Self::Value, A::Error> {
        T::from_seq(seq).map(Field::from)
    }
}

impl<T> From<Option<T>> for Field<T> {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Wrong, Self::Value)
    }
}
