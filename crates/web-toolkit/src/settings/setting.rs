//! A setting, what can be wrong with it, and the message about a key that its section does not have.
//!
//! No message quotes a value that looks like a secret.

use std::{
    borrow::Cow,
    fmt,
    path::{Path, PathBuf},
    sync::Arc,
};

use crate::text::shown;

/// A line of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Position {
    pub(super) file: Arc<str>,
    pub(super) line: u64,
}

/// What is wrong with one setting, in one line. Never holds a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake {
    /// `None` for a flag or an environment variable.
    pub(super) position: Option<Position>,
    pub(super) what: String,
}

impl Mistake {
    /// A setting that is missing or has a value that must not be quoted.
    pub fn unquoted(name: &str, rule: impl fmt::Display) -> Self {
        Self { position: None, what: format!("`{name}` {rule}") }
    }
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(Position { file, line }) = &self.position {
            write!(f, "{file}: line {line}: ")?;
        }
        f.write_str(&self.what)
    }
}

/// Every mistake of a configuration, one line each: first flags and variables, then the file in its order.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
pub struct ConfigError(pub(super) Vec<Mistake>);

impl ConfigError {
    pub fn mistakes(&self) -> &[Mistake] {
        &self.0
    }
}

impl From<Mistake> for ConfigError {
    fn from(mistake: Mistake) -> Self {
        Self(vec![mistake])
    }
}

/// Whether a text could be a secret or contain one, so that no message may quote it: 20 or more characters that all
/// occur in tokens, a [token](has_token) anywhere in the text, or a URL with a password.
pub fn looks_like_secret(text: &str) -> bool {
    let is_word = text.len() >= SHORTEST_TOKEN && text.chars().all(|c| is_token_character(c) || c == '.');
    is_word || has_token(text) || text.split_once("://").is_some_and(|(_, rest)| rest.contains('@'))
}

/// Whether a part of the text looks random: 20 or more characters in which letters, capitals and digits alternate
/// often, unlike in a word, a path or a host name. True for UUIDs, too.
pub fn has_token(text: &str) -> bool {
    text.split(|c| !is_token_character(c)).any(|part| part.len() >= SHORTEST_TOKEN && changes(part) >= LEAST_CHANGES)
}

/// Length in characters; the tokens and keys of Cloudflare have 37 or more.
const SHORTEST_TOKEN: usize = 20;

/// In 32 hexadecimal digits, 15 changes are expected; fewer than 6 occur in one of 1,000.
const LEAST_CHANGES: usize = 6;

fn is_token_character(c: char) -> bool {
    c.is_ascii_alphanumeric() || "-_~+=".contains(c)
}

/// How often a character has another kind than the one before it: small letter, capital or digit.
fn changes(text: &str) -> usize {
    let kind = |byte: u8| (byte.is_ascii_digit(), byte.is_ascii_uppercase());
    text.as_bytes()
        .windows(2)
        .filter(|pair| pair.iter().all(u8::is_ascii_alphanumeric) && kind(pair[0]) != kind(pair[1]))
        .count()
}

/// Replaces each part between backquotes that contains a [token](has_token) by its length.
pub(super) fn without_quoted_tokens(text: String) -> String {
    if !has_token(&text) {
        return text;
    }
    let hidden = |part: &str| format!("({} characters, not shown)", part.chars().count());
    let parts = text.split('`').enumerate().map(|(n, part)| match (n % 2, has_token(part)) {
        (0, _) => part.to_owned(),
        (_, true) => hidden(part),
        (_, false) => format!("`{part}`"),
    });
    parts.collect()
}

/// A single value, and where it comes from.
#[derive(Debug, Clone)]
pub struct Setting {
    /// As the operator writes it: `--poll.interval`, `CLOUDFLARE_EMAIL`, or `poll.interval` in the file.
    pub name: Cow<'static, str>,
    pub text: String,
    pub(super) position: Option<Position>,
}

impl Setting {
    /// From the command line or the environment.
    pub fn from_flag(flag: impl Into<Cow<'static, str>>, text: &str) -> Self {
        Self { name: flag.into(), text: text.to_owned(), position: None }
    }

    /// The same place with another name.
    #[must_use]
    pub fn with_name(&self, name: impl Into<Cow<'static, str>>) -> Self {
        Self { name: name.into(), ..self.clone() }
    }

    /// The same place with another value.
    #[must_use]
    pub fn with_text(&self, text: impl Into<String>) -> Self {
        Self { text: text.into(), ..self.clone() }
    }

    pub fn trimmed(&self) -> &str {
        self.text.trim()
    }

    /// The line in the file; 0 for a flag or an environment variable.
    pub fn line(&self) -> u64 {
        self.position.as_ref().map_or(0, |position| position.line)
    }

    pub fn is_in_file(&self) -> bool {
        self.position.is_some()
    }

    /// Says that the value breaks `rule`, and quotes it unless it looks like a secret.
    pub fn mistake(&self, rule: impl fmt::Display) -> Mistake {
        if looks_like_secret(self.trimmed()) {
            return self.measured_mistake(rule);
        }
        let (name, value) = (&self.name, shown(&self.text));
        Mistake { position: self.position.clone(), what: format!("`{name}` is `{value}`: {rule}") }
    }

    /// Says that the value breaks `rule`, and quotes only its length.
    pub fn measured_mistake(&self, rule: impl fmt::Display) -> Mistake {
        self.unquoted_mistake(format!("({} characters, not shown): {rule}", self.trimmed().chars().count()))
    }

    /// Says that the setting breaks `rule`, without its value.
    pub fn unquoted_mistake(&self, rule: impl fmt::Display) -> Mistake {
        Mistake { position: self.position.clone(), ..Mistake::unquoted(&self.name, rule) }
    }

    /// The name of another key, as a flag if this setting is a flag.
    pub fn name_like_this(&self, key: &str) -> String {
        if self.is_in_file() { key.to_owned() } else { flag_for(key) }
    }

    /// The path of a file. In a file it is relative to the folder of that file.
    pub fn path(&self) -> PathBuf {
        let path = Path::new(self.trimmed());
        match self.position.as_ref().and_then(|position| Path::new(&*position.file).parent()) {
            Some(folder) => folder.join(path),
            None => path.to_owned(),
        }
    }
}

/// `--poll.stale-after` for `poll.stale_after`.
pub fn flag_for(key: &str) -> String {
    format!("--{}", key.replace('_', "-"))
}

/// The sections of a kind of file, and the keys that belong there.
#[derive(Debug, Clone, Default)]
pub struct Layout {
    /// The path of each section and its keys, as [`keys_of`](crate::yaml::keys_of) lists them.
    pub sections: Vec<(&'static str, &'static [&'static str])>,
    /// Keys of secrets that must not be in the file, each with the key that names a file for them.
    pub secrets: &'static [(&'static str, &'static str)],
}

impl Layout {
    /// The message about a `key` that `section`, with these `known` keys, refuses.
    pub(super) fn refusal(&self, section: &str, key: &str, known: &[&str]) -> String {
        let path = if section.is_empty() { shown(key).into_owned() } else { format!("{section}.{}", shown(key)) };
        if let Some((_, instead)) = self.secrets.iter().find(|(secret, _)| *secret == key) {
            return format!(
                "`{path}` must not be in this file: write the secret to a file of its own and set `{instead}`"
            );
        }
        let name = match looks_like_secret(key) {
            false => format!("`{path}`"),
            true if section.is_empty() => format!("({} characters, not shown)", key.len()),
            true => format!("({} characters, not shown) in `{section}`", key.len()),
        };
        if known.is_empty() || known.contains(&key) {
            return format!("key {name} is given twice");
        }
        format!("unknown key {name}; {}", self.suggestion(section, key, known))
    }

    fn suggestion(&self, section: &str, key: &str, known: &[&str]) -> String {
        let underscored = key.replace('-', "_");
        if known.contains(&underscored.as_str()) {
            return format!("use underscores: `{underscored}`");
        }
        if let Some(near) = nearest(key, known) {
            return format!("did you mean `{near}`?");
        }
        if let Some(advice) = self.nesting(section, &underscored) {
            return advice;
        }
        let known: Vec<String> = known.iter().map(|key| format!("`{key}`")).collect();
        format!("expected one of {}", known.join(", "))
    }

    /// Names the other sections that have `key`, which can start with the name of its section: `poll_interval`.
    fn nesting(&self, section: &str, key: &str) -> Option<String> {
        let others = || self.sections.iter().filter(|(home, _)| *home != section);
        let homes = others().filter(|(_, keys)| keys.contains(&key)).map(|(home, _)| format!("`{home}`"));
        let homes: Vec<String> = homes.collect();
        if !homes.is_empty() {
            return Some(format!("nest it under {}", homes.join(" or ")));
        }
        others().find_map(|(home, keys)| {
            let key = key.strip_prefix(home)?.strip_prefix(['.', '_'])?;
            keys.contains(&key).then(|| format!("nest `{key}` under `{home}`"))
        })
    }
}

/// The word that is at most two edits away, but not an altogether different one.
fn nearest<'a>(word: &str, known: &[&'a str]) -> Option<&'a str> {
    const MOST_EDITS: usize = 2;
    let distances = known.iter().map(|known| (strsim::osa_distance(word, known), *known));
    let (edits, near) = distances.min_by_key(|(edits, _)| *edits)?;
    (edits <= MOST_EDITS && edits < near.chars().count().min(word.chars().count())).then_some(near)
}
