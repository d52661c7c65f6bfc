//! The configuration file, section by section: whoever reads a section asks for its keys by name, and in the end a key that nobody asked
//! for is a mistake. A flag that was given stands in for the key of the same name.

use std::{path::Path, sync::Arc};

use super::given::{ConfigError, Given, Place, flag_of};
use crate::{
    file,
    text::shown,
    yaml::{self, Key, Node, Value},
};

/// Ten thousand overrides fit.
const MOST_BYTES: u64 = 1 << 20;

/// The flag that names the file.
const FLAG: &str = "--config.file";

/// The mapping under one key, or the whole file. Without a file all sections are empty.
#[derive(Debug)]
pub struct Section {
    /// `poll`, `tunnels.overrides`; empty for the whole file.
    path: String,
    place: Option<Place>,
    entries: Vec<(Key, Node)>,
    /// The keys that were asked for.
    known: Vec<&'static str>,
}

/// Reads the file. Blocks.
pub fn open(path: Option<&str>) -> Result<Section, ConfigError> {
    let Some(path) = path else { return Ok(Section::absent("")) };
    let text = file::read_text(Path::new(path), MOST_BYTES)
        .map_err(|error| ConfigError::new(FLAG, path, error.to_string()))?;
    parse(path, &text)
}

/// The text of the file at `path`, as a section.
pub fn parse(path: &str, text: &str) -> Result<Section, ConfigError> {
    let file = Arc::<str>::from(path);
    let node = yaml::tree(text)
        .map_err(|mistake| ConfigError::of_line(Place { file: Arc::clone(&file), line: mistake.line }, mistake.what))?;
    let place = Place { file, line: node.line };
    match node.value {
        Value::Empty => Ok(Section { place: Some(place), ..Section::absent("") }),
        Value::Map(entries) => Ok(Section { place: Some(place), entries, ..Section::absent("") }),
        Value::Text(_) | Value::List(_) => {
            Err(ConfigError::of_line(place, "the file must begin with a key and a colon"))
        }
    }
}

impl Section {
    fn absent(path: &str) -> Self {
        Self { path: path.to_owned(), place: None, entries: Vec::new(), known: Vec::new() }
    }

    /// Where the section begins, if it is there at all.
    pub fn place(&self) -> Option<&Place> {
        self.place.as_ref()
    }

    /// The full name of one of its keys.
    pub fn name(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }

    /// The flag, or else the key of the same name.
    pub fn one(&mut self, key: &'static str, flag: Option<&str>) -> Result<Option<Given>, ConfigError> {
        let written = self.text(key)?;
        Ok(flag.map(|text| Given::by_flag(flag_of(&self.name(key)), text)).or(written))
    }

    /// The flags, or else the members of the key of the same name.
    pub fn many(&mut self, key: &'static str, flags: &[String]) -> Result<Vec<Given>, ConfigError> {
        let written = self.texts(key)?;
        if flags.is_empty() {
            return Ok(written.unwrap_or_default());
        }
        Ok(flags.iter().map(|text| Given::by_flag(flag_of(&self.name(key)), text)).collect())
    }

    /// One value.
    pub fn text(&mut self, key: &'static str) -> Result<Option<Given>, ConfigError> {
        let Some(node) = self.take(key) else { return Ok(None) };
        self.given(key, node, "must be one value, not a list or a section").map(Some)
    }

    /// Several values: a list, or one text with commas, as for a flag. An empty list is none at all.
    pub fn texts(&mut self, key: &'static str) -> Result<Option<Vec<Given>>, ConfigError> {
        let Some(node) = self.take(key) else { return Ok(None) };
        if let Value::List(members) = node.value {
            let rule = "must be a list of single values";
            return members.into_iter().map(|node| self.given(key, node, rule)).collect::<Result<_, _>>().map(Some);
        }
        let whole = self.given(key, node, "must be a list or one value")?;
        let parts = whole.text.split(',').map(|part| Given { text: part.to_owned(), ..whole.clone() });
        Ok(Some(parts.collect()))
    }

    /// A section of this one; empty where it is missing.
    pub fn section(&mut self, key: &'static str) -> Result<Self, ConfigError> {
        match self.take(key) {
            None => Ok(Self::absent(&self.name(key))),
            Some(node) => self.mapping(key, node),
        }
    }

    /// A list of sections.
    pub fn sections(&mut self, key: &'static str) -> Result<Vec<Self>, ConfigError> {
        match self.take(key) {
            None | Some(Node { value: Value::Empty, .. }) => Ok(Vec::new()),
            Some(Node { value: Value::List(members), .. }) => {
                members.into_iter().map(|node| self.mapping(key, node)).collect()
            }
            Some(Node { line, .. }) => Err(self.wrong(key, line, "must be a list: begin each member with `-`")),
        }
    }

    /// All its keys, whatever they are called, each with one value.
    pub fn all(mut self) -> Result<Vec<(String, Given)>, ConfigError> {
        let entries = std::mem::take(&mut self.entries);
        let given = |(key, node): (Key, Node)| {
            self.given(&key.name, node, "must be one value, not a list or a section").map(|given| (key.name, given))
        };
        entries.into_iter().map(given).collect()
    }

    /// Refuses a key that one might expect here, without its value.
    pub fn refuse(&self, key: &'static str, rule: &str) -> Result<(), ConfigError> {
        let Some((key, _)) = self.entries.iter().find(|(written, _)| written.name == key) else { return Ok(()) };
        Err(self.wrong(&key.name, key.line, rule))
    }

    /// Every key that is left is one that nobody knows.
    pub fn finish(mut self) -> Result<(), ConfigError> {
        self.known.sort_unstable();
        self.only(&self.known)
    }

    /// Refuses every key but these, before a missing one is complained of.
    pub fn only(&self, known: &[&str]) -> Result<(), ConfigError> {
        let Some((key, _)) = self.entries.iter().find(|(key, _)| !known.contains(&key.name.as_str())) else {
            return Ok(());
        };
        let known: Vec<String> = known.iter().map(|key| format!("`{key}`")).collect();
        Err(self.wrong(&shown(&key.name), key.line, &format!("is no key here; there are {}", known.join(", "))))
    }

    fn take(&mut self, key: &'static str) -> Option<Node> {
        self.known.push(key);
        let at = self.entries.iter().position(|(written, _)| written.name == key)?;
        Some(self.entries.remove(at).1)
    }

    fn mapping(&self, key: &str, node: Node) -> Result<Self, ConfigError> {
        let entries = match node.value {
            Value::Empty => Vec::new(),
            Value::Map(entries) => entries,
            Value::Text(_) | Value::List(_) => {
                return Err(self.wrong(
                    key,
                    node.line,
                    "must be a section: put its keys on the lines below it, indented",
                ));
            }
        };
        Ok(Self { place: self.at(node.line), entries, ..Self::absent(&self.name(key)) })
    }

    fn given(&self, key: &str, node: Node, rule: &str) -> Result<Given, ConfigError> {
        match node.value {
            Value::Text(text) => Ok(Given { key: self.name(key).into(), text, place: self.at(node.line) }),
            Value::Empty => Err(self.wrong(key, node.line, "has no value: give it one, or take the key away")),
            Value::List(_) | Value::Map(_) => Err(self.wrong(key, node.line, rule)),
        }
    }

    fn wrong(&self, key: &str, line: u64, rule: &str) -> ConfigError {
        ConfigError::without_value(self.name(key), rule).at(self.at(line))
    }

    fn at(&self, line: u64) -> Option<Place> {
        self.place.as_ref().map(|place| Place { line, ..place.clone() })
    }
}
