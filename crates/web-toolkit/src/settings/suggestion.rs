//! What to do about a key that a section does not have.

use super::setting::looks_like_secret;
use crate::text::shown;

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
