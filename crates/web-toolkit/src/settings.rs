//! Checks settings from flags, environment variables and files, and collects all mistakes.
//!
//! A [`SettingsReader`] reads one file. Each check returns a usable value and records what is wrong, so that
//! [`SettingsReader::finish`] can report every mistake of the file in its order. No message quotes a value that
//! [looks like a secret](looks_like_secret).

mod setting;

use std::{borrow::Cow, collections::BTreeMap, fmt, ops::RangeInclusive, str::FromStr, sync::Arc, time::Duration};

pub use self::setting::{ConfigError, Layout, Mistake, Setting, flag_for, has_token, looks_like_secret};
use self::setting::{Position, without_quoted_tokens};
use crate::{
    text::shown,
    yaml::{self, Keys, Node, NodeValue, YamlError},
};

/// A key, the flag of the same name if it is set, and the value of the key in the file.
pub type Input<'a> = (&'static str, Option<&'a str>, Node);

/// Reads the settings of one file, and of the flags that override them.
#[derive(Debug, Default)]
pub struct SettingsReader {
    /// The name and the text of the file.
    source: Option<(Arc<str>, String)>,
    layout: Layout,
    mistakes: Vec<Mistake>,
}

/// Where mistakes come from: the file itself.
impl SettingsReader {
    /// Reads the text of `file` into `M`, the struct of its outermost mapping.
    ///
    /// # Errors
    /// The text is not YAML.
    pub fn open<M>(file: &str, text: impl Into<String>, layout: Layout) -> Result<(Self, M), ConfigError>
    where
        M: Default + for<'de> serde::Deserialize<'de>,
    {
        let text = text.into();
        let read = yaml::read::<M>(&text);
        let mut reader = Self { source: Some((file.into(), text)), layout, ..Self::default() };
        match read {
            Ok(Node { value: NodeValue::Mapping(root, keys), .. }) => {
                reader.refuse_keys("", keys);
                Ok((reader, root))
            }
            Ok(node) if node.is_empty() => Ok((reader, M::default())),
            Ok(node) => Err(reader.at(node.line(), "the file must begin with a key and a colon".to_owned()).into()),
            Err(error) => Err(reader.at(error.line, error.what).into()),
        }
    }

    /// The name of the file, if there is one.
    pub fn file(&self) -> Option<Arc<str>> {
        self.source.as_ref().map(|(file, _)| Arc::clone(file))
    }

    /// How many mistakes were found so far.
    pub fn mistakes(&self) -> usize {
        self.mistakes.len()
    }

    pub fn report(&mut self, mistake: Mistake) {
        self.mistakes.push(mistake);
    }

    /// Reports what is wrong with a mapping or a list that begins on `line`.
    pub fn report_at(&mut self, line: u64, name: &str, rule: impl fmt::Display) {
        let mistake = self.at(line, format!("`{name}` {rule}"));
        self.report(mistake);
    }

    /// Reports the mistakes, if there are any.
    pub fn check<T>(&mut self, result: Result<T, impl Into<ConfigError>>) -> Option<T> {
        result.map_err(|error| self.mistakes.extend(error.into().0)).ok()
    }

    /// Reports a mistake on a line of this file.
    pub fn check_line<T>(&mut self, result: Result<T, YamlError>) -> Option<T> {
        let result = result.map_err(|error| self.at(error.line, error.what));
        self.check(result)
    }

    /// Returns a value that is missing only after a mistake.
    ///
    /// # Errors
    /// As for [`finish`](Self::finish).
    pub fn finish_with<T>(self, value: Option<T>) -> Result<T, ConfigError> {
        self.finish().and_then(|()| value.ok_or(ConfigError(Vec::new())))
    }

    /// # Errors
    /// Every mistake that was reported. Those of files that this one names come last.
    pub fn finish(mut self) -> Result<(), ConfigError> {
        let file = self.file();
        self.mistakes.sort_by_key(|mistake| {
            mistake.position.as_ref().map(|position| (Some(&position.file) != file.as_ref(), position.line))
        });
        if self.mistakes.is_empty() { Ok(()) } else { Err(ConfigError(self.mistakes)) }
    }

    /// A mistake on a line of this file. Rules of other parts can quote values, so quoted tokens are hidden here.
    fn at(&self, line: u64, what: String) -> Mistake {
        Mistake { position: self.file().map(|file| Position { file, line }), what: without_quoted_tokens(what) }
    }

    fn refuse_keys(&mut self, section: &str, keys: Keys) {
        for (line, key) in keys.refused {
            let what = self.layout.refusal(section, &key, keys.known);
            let mistake = self.at(line, what);
            self.report(mistake);
        }
    }
}

/// Sections and values of the file.
impl SettingsReader {
    /// The keys of a section, which may be absent.
    pub fn section<M: Default>(&mut self, name: &str, node: Node<M>) -> M {
        if node.is_empty() { M::default() } else { self.mapping(name, node).unwrap_or_default() }
    }

    /// The members of a list of sections, each with its line.
    pub fn sections<M>(&mut self, name: &str, node: Node<M>) -> Vec<(u64, M)> {
        match node.value {
            NodeValue::Absent | NodeValue::Empty => Vec::new(),
            NodeValue::List(members) => {
                members.into_iter().filter_map(|node| Some((node.line(), self.mapping(name, node)?))).collect()
            }
            NodeValue::Text(_) | NodeValue::Mapping(..) => {
                self.report_at(node.line(), name, "must be a list: begin each member with `-`");
                Vec::new()
            }
        }
    }

    /// The keys and values of a mapping without fixed keys.
    pub fn pairs(&mut self, name: &str, node: Node<BTreeMap<String, Node>>) -> Vec<(String, Setting)> {
        let pairs = self.section(name, node).into_iter();
        let path = |key: &str| {
            if looks_like_secret(key) { name.to_owned() } else { format!("{name}.{}", shown(key)) }
        };
        pairs.filter_map(|(key, node)| self.value(path(&key), node).map(|setting| (key, setting))).collect()
    }

    fn mapping<M>(&mut self, name: &str, node: Node<M>) -> Option<M> {
        let NodeValue::Mapping(mapping, keys) = node.value else {
            self.report_at(node.line(), name, "must be a section: put its keys on the lines below it, indented");
            return None;
        };
        self.refuse_keys(name, keys);
        Some(mapping)
    }

    /// The flag, or else the value of the key of the same name.
    pub fn one(&mut self, (key, flag, node): Input<'_>) -> Option<Setting> {
        let written = self.value(key, node);
        flag.map(|text| Setting::from_flag(flag_for(key), text)).or(written)
    }

    /// The flags, or else the values of the key of the same name.
    pub fn many(&mut self, key: &'static str, flags: &[String], node: Node) -> Vec<Setting> {
        let written = self.values(key, node);
        if flags.is_empty() {
            return written.unwrap_or_default();
        }
        flags.iter().map(|text| Setting::from_flag(flag_for(key), text)).collect()
    }

    /// A single value.
    pub fn value(&mut self, key: impl Into<Cow<'static, str>>, node: Node) -> Option<Setting> {
        self.scalar(key.into(), node, "must be one value, not a list or a section")
    }

    /// A single value of a section that begins on `line`. `missing` says what a missing one is for.
    pub fn required(&mut self, line: u64, key: &'static str, node: Node, missing: &str) -> Option<Setting> {
        if matches!(node.value, NodeValue::Absent) {
            self.report_at(line, key, format_args!("is missing: {missing}"));
        }
        self.value(key, node)
    }

    /// A list, or one text with commas, as in a flag.
    pub fn values(&mut self, key: &'static str, node: Node) -> Option<Vec<Setting>> {
        if let NodeValue::List(members) = node.value {
            let rule = "must be a list of single values";
            return Some(members.into_iter().filter_map(|node| self.scalar(key.into(), node, rule)).collect());
        }
        let whole = self.scalar(key.into(), node, "must be a list or one value")?;
        Some(whole.text.split(',').map(|part| whole.with_text(part)).collect())
    }

    fn scalar(&mut self, name: Cow<'static, str>, node: Node, rule: &str) -> Option<Setting> {
        let line = node.line();
        match node.value {
            NodeValue::Absent => return None,
            NodeValue::Empty => self.report_at(line, &name, "has no value: set one, or remove the key"),
            NodeValue::List(_) | NodeValue::Mapping(..) => self.report_at(line, &name, rule),
            NodeValue::Text(_) => {
                let source = self.source.as_ref().map_or("", |(_, text)| text);
                let position = self.file().map(|file| Position { file, line });
                return Some(Setting { name, text: node.into_text(source), position });
            }
        }
        None
    }
}

/// Checks. A value that breaks a rule is reported and replaced by the default.
impl SettingsReader {
    /// Reports the error, if there is one, as the rule that `setting` breaks.
    pub fn accept<T, E: fmt::Display>(&mut self, setting: &Setting, result: Result<T, E>) -> Option<T> {
        result.map_err(|rule| self.report(setting.mistake(rule))).ok()
    }

    pub fn parse<T: FromStr<Err: fmt::Display>>(&mut self, setting: &Setting) -> Option<T> {
        self.accept(setting, setting.trimmed().parse())
    }

    /// From `least` to 24 hours.
    pub fn duration(&mut self, setting: &Setting, least: Duration) -> Option<Duration> {
        const MOST: Duration = Duration::from_hours(24);
        let result = match humantime::parse_duration(setting.trimmed()) {
            Ok(duration) if (least..=MOST).contains(&duration) => Ok(duration),
            Ok(_) => Err(format!("must be between {} and 24h", humantime::format_duration(least))),
            Err(_) => Err("must be a duration such as 30s, 5m or 1h".to_owned()),
        };
        self.accept(setting, result)
    }

    pub fn number<T>(&mut self, setting: &Setting, range: RangeInclusive<T>) -> Option<T>
    where
        T: FromStr + PartialOrd + fmt::Display,
    {
        let number = setting.trimmed().parse().ok().filter(|number| range.contains(number));
        let rule = || format!("must be a whole number from {} to {}", range.start(), range.end());
        self.accept(setting, number.ok_or_else(rule))
    }

    /// On or off. An empty value, as of a variable that is set to nothing, is the default.
    pub fn switch(&mut self, setting: Option<Setting>, default: bool) -> bool {
        let Some(setting) = setting.filter(|setting| !setting.trimmed().is_empty()) else { return default };
        let result = match setting.trimmed() {
            "true" | "1" | "yes" | "on" => Ok(true),
            "false" | "0" | "no" | "off" => Ok(false),
            _ => Err("must be true or false"),
        };
        self.accept(&setting, result).unwrap_or(default)
    }

    /// One of the words, each with what it stands for.
    pub fn choice<T>(
        &mut self,
        setting: &Setting,
        choices: impl Iterator<Item = (&'static str, T)> + Clone,
    ) -> Option<T> {
        let chosen = choices.clone().find(|(word, _)| *word == setting.trimmed());
        let rule = || format!("must be one of {}", choices.map(|(word, _)| word).collect::<Vec<_>>().join(", "));
        self.accept(setting, chosen.map(|(_, value)| value).ok_or_else(rule))
    }
}

#[cfg(test)]
mod tests;
