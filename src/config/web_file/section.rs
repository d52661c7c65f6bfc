//! A mapping of the file, taken apart key by key; what is left at the end is no key of ours.
//!
//! It is read as a tree that takes whatever stands there, so that no value ever gets into an error of the YAML reader.

use std::{collections::BTreeMap, fmt};

use serde::{
    Deserialize, Deserializer,
    de::{Error, MapAccess, SeqAccess, Visitor},
};

use super::super::check::ConfigError;

/// Any YAML.
#[derive(Clone, PartialEq, Eq)]
pub(super) enum Node {
    Nothing,
    Word(String),
    List(Vec<Node>),
    Map(BTreeMap<String, Node>),
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AnyNode)
    }
}

struct AnyNode;

impl<'de> Visitor<'de> for AnyNode {
    type Value = Node;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("YAML")
    }

    fn visit_unit<E: Error>(self) -> Result<Node, E> {
        Ok(Node::Nothing)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Node, E> {
        Ok(Node::Word(value.to_string()))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Node, E> {
        Ok(Node::Word(value.to_string()))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Node, E> {
        Ok(Node::Word(value.to_string()))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Node, E> {
        Ok(Node::Word(value.to_string()))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Node, E> {
        Ok(Node::Word(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Node, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(Node::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Node, A::Error> {
        let mut map = BTreeMap::new();
        while let Some((key, value)) = entries.next_entry()? {
            map.insert(key, value);
        }
        Ok(Node::Map(map))
    }
}

/// A mapping, and where it stands. A key with nothing behind it counts as one that is not there, as in Go.
pub(super) struct Section {
    name: &'static str,
    entries: BTreeMap<String, Node>,
}

impl Section {
    pub(super) fn top(node: Node) -> Result<Self, String> {
        Self::of("", node)?.ok_or(()).or_else(|()| Ok(Self { name: "", entries: BTreeMap::new() }))
    }

    fn of(name: &'static str, node: Node) -> Result<Option<Self>, String> {
        match node {
            Node::Nothing => Ok(None),
            Node::Map(entries) => Ok(Some(Self { name, entries })),
            Node::Word(_) | Node::List(_) if name.is_empty() => {
                Err("must be a mapping, with keys such as `tls_server_config:`".into())
            }
            Node::Word(_) | Node::List(_) => Err(format!("`{name}` must be a mapping of keys and values")),
        }
    }

    /// `key` as a sentence names it. All keys are written with the section that they stand in.
    fn take(&mut self, key: &'static str) -> Node {
        let own = key.rsplit_once('.').map_or(key, |(_, own)| own);
        self.entries.remove(own).unwrap_or(Node::Nothing)
    }

    pub(super) fn section(&mut self, key: &'static str) -> Result<Option<Self>, String> {
        Self::of(key, self.take(key))
    }

    pub(super) fn word(&mut self, key: &'static str) -> Result<Option<String>, String> {
        match self.take(key) {
            Node::Nothing => Ok(None),
            Node::Word(word) => Ok(Some(word)),
            Node::List(_) | Node::Map(_) => Err(format!("`{key}` must be a single value")),
        }
    }

    /// What `read` makes of a value that is no secret.
    pub(super) fn read<T>(
        &mut self,
        key: &'static str,
        read: impl FnOnce(&'static str, &str) -> Result<T, ConfigError>,
    ) -> Result<Option<T>, String> {
        let word = self.word(key)?;
        word.map(|word| read(key, &word).map_err(|error| error.to_string())).transpose()
    }

    /// Empty where the key is missing.
    pub(super) fn list(&mut self, key: &'static str) -> Result<Vec<String>, String> {
        let wrong = || format!("`{key}` must be a list of values");
        let items = match self.take(key) {
            Node::Nothing => Vec::new(),
            Node::List(items) => items,
            Node::Word(_) | Node::Map(_) => return Err(wrong()),
        };
        let word = |item| if let Node::Word(word) = item { Ok(word) } else { Err(wrong()) };
        items.into_iter().map(word).collect()
    }

    /// Every key with its single value, which may be empty.
    pub(super) fn words(self) -> Result<Vec<(String, String)>, String> {
        let name = self.name;
        let word = |(key, node)| match node {
            Node::Nothing => Ok((key, String::new())),
            Node::Word(word) => Ok((key, word)),
            _ => Err(format!("`{name}` must have a single value behind every key")),
        };
        self.entries.into_iter().map(word).collect()
    }

    /// # Errors
    /// A key that was not taken.
    pub(super) fn finish(self) -> Result<(), String> {
        let Some(key) = self.entries.into_keys().next() else { return Ok(()) };
        let place = if self.name.is_empty() { "the file".to_owned() } else { format!("`{}`", self.name) };
        match printable(&key) {
            Some(key) => Err(format!(
                "{place} has the key `{key}`, which is none of this exporter's (docs/WEB-CONFIG.md lists them)"
            )),
            None => Err(format!("{place} has a key which is none of this exporter's (docs/WEB-CONFIG.md lists them)")),
        }
    }
}

/// A key that looks like one; anything else may be a secret in the wrong place.
pub(super) fn printable(key: &str) -> Option<&str> {
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.@".contains(&byte);
    (key.len() <= 40 && key.bytes().all(is_name)).then_some(key)
}
