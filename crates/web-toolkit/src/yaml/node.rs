//! A document as it was written: every scalar is text, for `0815`, `on` and `1e3` mean what their key says, and every value knows its
//! line. Nothing here prints a value, for it may be a secret.

use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, SeqAccess, Visitor},
};
use serde_saphyr::{Location, Spanned};

/// A value, and the line on which it begins, from 1.
#[derive(Debug, Clone)]
pub struct Node {
    pub line: u64,
    pub value: Value,
}

/// What stands at a place.
#[derive(Clone)]
pub enum Value {
    /// Nothing, `~` or `null`.
    Empty,
    Text(String),
    List(Vec<Node>),
    /// In the order of the document; keys are unique.
    Map(Vec<(Key, Node)>),
}

/// A key, and the line on which it stands.
#[derive(Debug, Clone)]
pub struct Key {
    pub line: u64,
    pub name: String,
}

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Empty => "Empty",
            Self::Text(_) => "Text(…)",
            Self::List(_) => "List(…)",
            Self::Map(_) => "Map(…)",
        })
    }
}

/// What the YAML crate reads. It has taken `0815` for a number already; the text is still where it was found.
pub(super) enum Raw {
    Empty,
    Typed,
    Text(String),
    List(Vec<Spanned<Raw>>),
    Map(Vec<(Spanned<String>, Spanned<Raw>)>),
}

/// The document with its scalars as they stand in `text`.
pub(super) fn as_written(raw: Spanned<Raw>, text: &str) -> Node {
    let line = raw.defined.line();
    let value = match raw.value {
        Raw::Empty => Value::Empty,
        Raw::Typed => Value::Text(source(raw.defined, text).to_owned()),
        Raw::Text(text) => Value::Text(text),
        Raw::List(list) => Value::List(list.into_iter().map(|raw| as_written(raw, text)).collect()),
        Raw::Map(map) => Value::Map(
            map.into_iter()
                .map(|(key, raw)| (Key { line: key.defined.line(), name: key.value }, as_written(raw, text)))
                .collect(),
        ),
    };
    Node { line, value }
}

/// The characters from which a scalar was read.
fn source(location: Location, text: &str) -> &str {
    let span = location.span();
    let range = span.byte_offset().zip(span.byte_len()).and_then(|(from, length)| {
        let from = usize::try_from(from).ok()?;
        text.get(from..from.checked_add(usize::try_from(length).ok()?)?)
    });
    range.unwrap_or_default().trim()
}

impl<'de> Deserialize<'de> for Raw {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(RawVisitor)
    }
}

struct RawVisitor;

impl<'de> Visitor<'de> for RawVisitor {
    type Value = Raw;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Raw, E> {
        Ok(Raw::Empty)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Raw, E> {
        Ok(Raw::Typed)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Raw, E> {
        Ok(Raw::Typed)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Raw, E> {
        Ok(Raw::Typed)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Raw, E> {
        Ok(Raw::Typed)
    }

    fn visit_str<E>(self, text: &str) -> Result<Raw, E> {
        Ok(Raw::Text(text.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Raw, A::Error> {
        let mut members = Vec::new();
        while let Some(member) = list.next_element()? {
            members.push(member);
        }
        Ok(Raw::List(members))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Raw, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = map.next_entry()? {
            entries.push(entry);
        }
        Ok(Raw::Map(entries))
    }
}
