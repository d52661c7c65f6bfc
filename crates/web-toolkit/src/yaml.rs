//! Reads YAML, and JSON with it, into derived structs that keep line numbers.
//!
//! The struct of a mapping is declared with [`keys!`](crate::keys), and its fields are [`Node`]s.
//! Reading fails only if the text is not YAML: a value of the wrong shape, an unknown key and a repeated key are stored
//! in the field, so that [`crate::settings`] can report them together with wrong values.
//!
//! This is the only module that sets options of the YAML crate. The error messages of that crate can quote secrets.

use std::{collections::BTreeSet, fmt, iter, marker::PhantomData};

use serde::{
    Deserialize, Deserializer,
    de::{
        DeserializeSeed, IgnoredAny, IntoDeserializer as _, MapAccess, SeqAccess, Visitor,
        value::{Error as ValueError, MapDeserializer},
    },
    forward_to_deserialize_any,
};
use serde_saphyr::{
    Error, Location, Spanned,
    options::{DuplicateKeyPolicy, NonFiniteFloatPolicy},
};

/// Declares the struct of a section: `keys! { struct PollKeys { interval, overrides: OverrideKeys } }`. Each key
/// becomes a [`Node`]; the type after a key is the struct of its section, or of the members of its list.
#[macro_export]
macro_rules! keys {
    ($(#[$comment:meta])* $visibility:vis struct $name:ident { $($key:ident $(: $section:ty)?),+ $(,)? }) => {
        $(#[$comment])*
        #[derive(Default, ::serde::Deserialize)]
        #[serde(default)]
        $visibility struct $name { $($key: $crate::yaml::Node $(<$section>)?,)+ }
    };
}

/// The line of a mistake, and what is wrong there. Quotes nothing but keys.
#[derive(Debug)]
pub struct YamlError {
    pub line: u64,
    pub what: String,
}

/// Reads one document.
///
/// # Errors
/// The text is not YAML, has more than one document, or does not fit a field of `M` that is not a [`Node`].
pub fn read<'de, M: Deserialize<'de>>(text: &'de str) -> Result<Node<M>, YamlError> {
    let options = serde_saphyr::options! {
        with_snippet: false,
        // Both are passed on: `.inf` can be a name, and a repeated key is reported with all other mistakes.
        non_finite_float_policy: NonFiniteFloatPolicy::PassThrough,
        duplicate_keys: DuplicateKeyPolicy::LastWins,
    };
    serde_saphyr::from_str_with_options(text, options).map_err(|error| YamlError {
        line: error.location().map_or(1, |location| location.line()),
        what: without_quotes(error.without_snippet(), text),
    })
}

/// The message of `error`, or a general one if the message quotes a long word of `text`, which may be a secret.
fn without_quotes(error: &Error, text: &str) -> String {
    const LONGEST_QUOTE: usize = 12;
    let message = error.to_string();
    let what = message.rsplit_once(" at line ").map_or(message.as_str(), |(what, _)| what);
    let words = text.split(|c: char| c.is_whitespace() || "\"':,[]{}".contains(c));
    let quotes = words.filter(|word| word.len() >= LONGEST_QUOTE).any(|word| what.contains(word));
    if quotes { "cannot be read as YAML".to_owned() } else { what.replace('\n', " ") }
}

/// The keys of a struct that derives `Deserialize` with `#[serde(default)]`, in the order of its fields.
pub fn keys_of<M: for<'de> Deserialize<'de>>() -> &'static [&'static str] {
    let mut keys = Keys::default();
    let nothing = MapDeserializer::<_, ValueError>::new(iter::empty::<((), ())>());
    // The struct itself is of no interest.
    let _ = M::deserialize(Mapping { map: nothing, keys: &mut keys });
    keys.known
}

/// The value of a key, which may be absent, and the line on which it begins.
///
/// `M` is the struct of a mapping; without it, a mapping is the wrong shape.
pub struct Node<M = IgnoredAny> {
    location: Location,
    pub(crate) value: NodeValue<M>,
}

/// What the value of a key looks like.
#[derive(Default)]
pub(crate) enum NodeValue<M> {
    #[default]
    Absent,
    /// Nothing, `~` or `null`.
    Empty,
    /// `None`: the YAML crate parsed a number or a Boolean; [`Node::into_text`] restores the text.
    Text(Option<String>),
    List(Vec<Node<M>>),
    Mapping(M, Keys),
}

/// The keys of a mapping, and those that its struct cannot hold.
#[derive(Default)]
pub(crate) struct Keys {
    seen: BTreeSet<String>,
    /// Empty: all keys are.
    pub(crate) known: &'static [&'static str],
    /// Unknown or repeated keys, each with its line.
    pub(crate) refused: Vec<(u64, String)>,
}

impl<M> Node<M> {
    pub fn line(&self) -> u64 {
        self.location.line()
    }

    pub(crate) fn is_empty(&self) -> bool {
        matches!(self.value, NodeValue::Absent | NodeValue::Empty)
    }

    /// The text of a single value as it is written in `source`: `0815`, `on` and `1e3` are not converted.
    pub(crate) fn into_text(self, source: &str) -> String {
        if let NodeValue::Text(Some(text)) = self.value {
            return text;
        }
        let span = self.location.span();
        let bounds = span.byte_offset().zip(span.byte_len()).and_then(|(from, length)| {
            let from = usize::try_from(from).ok()?;
            source.get(from..from.checked_add(usize::try_from(length).ok()?)?)
        });
        bounds.unwrap_or_default().trim().to_owned()
    }
}

impl<M> Default for Node<M> {
    fn default() -> Self {
        Self { location: Location::UNKNOWN, value: NodeValue::Absent }
    }
}

/// The value may be a secret.
impl<M> fmt::Debug for Node<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Node").field("line", &self.line()).finish_non_exhaustive()
    }
}

impl<'de, M: Deserialize<'de>> Deserialize<'de> for Node<M> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Spanned { value, defined, .. } = Spanned::deserialize(deserializer)?;
        Ok(Self { location: defined, value })
    }
}

impl<'de, M: Deserialize<'de>> Deserialize<'de> for NodeValue<M> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NodeVisitor(PhantomData))
    }
}

struct NodeVisitor<M>(PhantomData<M>);

impl<'de, M: Deserialize<'de>> Visitor<'de> for NodeVisitor<M> {
    type Value = NodeValue<M>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(NodeValue::Empty)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
        Ok(NodeValue::Text(None))
    }

    fn visit_i64<E>(self, _: i64) -> Result<Self::Value, E> {
        Ok(NodeValue::Text(None))
    }

    fn visit_u64<E>(self, _: u64) -> Result<Self::Value, E> {
        Ok(NodeValue::Text(None))
    }

    fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> {
        Ok(NodeValue::Text(None))
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(NodeValue::Text(Some(text.to_owned())))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        iter::from_fn(|| list.next_element().transpose()).collect::<Result<_, _>>().map(NodeValue::List)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
        let mut keys = Keys::default();
        let mapping = M::deserialize(Mapping { map, keys: &mut keys })?;
        Ok(NodeValue::Mapping(mapping, keys))
    }
}

/// Passes a mapping on to a struct or a map, without the keys that it would refuse.
struct Mapping<'k, A> {
    map: A,
    keys: &'k mut Keys,
}

impl<'de, A: MapAccess<'de>> Deserializer<'de> for Mapping<'_, A> {
    type Error = A::Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, A::Error> {
        visitor.visit_map(self)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, A::Error> {
        self.keys.known = fields;
        visitor.visit_map(self)
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, A::Error> {
        visitor.visit_map(self.map)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
        newtype_struct seq tuple tuple_struct map enum identifier
    }
}

impl<'de, A: MapAccess<'de>> MapAccess<'de> for Mapping<'_, A> {
    type Error = A::Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, A::Error> {
        while let Some(key) = self.map.next_key::<Spanned<String>>()? {
            let known = self.keys.known;
            let is_known = known.is_empty() || known.contains(&key.value.as_str());
            if is_known && self.keys.seen.insert(key.value.clone()) {
                return seed.deserialize(key.value.into_deserializer()).map(Some);
            }
            self.map.next_value::<IgnoredAny>()?;
            self.keys.refused.push((key.defined.line(), key.value));
        }
        Ok(None)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, A::Error> {
        self.map.next_value_seed(seed)
    }
}

#[cfg(test)]
mod tests;
