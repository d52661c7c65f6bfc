//! Checks settings from flags, environment variables and files, and collects all mistakes.
//!
//! A [`SettingsReader`] reads one file. Each check returns a usable value and records what is wrong, so that
//! [`SettingsReader::finish`] can report every mistake of the file in its order. No message quotes a value that
//! [looks like a secret](looks_like_secret).

mod suggestion;

use std::{
    borrow::Cow,
    collections::BTreeMap,
    fmt,
    ops::RangeInclusive,
    path::{Path, PathBuf},
    str::FromStr,
    sync::Arc,
    time::Duration,
};

pub use self::suggestion::Layout;
use crate::{
    text::shown,
    yaml::{self, Keys, Node, NodeValue, YamlError},
};

/// A line of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Position {
    file: Arc<str>,
    line: u64,
}

/// What is wrong with one setting, in one line. Never holds a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake {
    /// `None` for a flag or an environment variable.
    position: Option<Position>,
    what: String,
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
pub struct ConfigError(Vec<Mistake>);

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

/// Whether a text could be a token: 20 or more characters, all of which occur in tokens.
pub fn looks_like_secret(text: &str) -> bool {
    const SHORTEST: usize = 20;
    text.len() >= SHORTEST && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.~+=".contains(&byte))
}

/// A single value, and where it comes from.
#[derive(Debug, Clone)]
pub struct Setting {
    /// As the operator writes it: `--poll.interval`, `CLOUDFLARE_EMAIL`, or `poll.interval` in the file.
    pub name: Cow<'static, str>,
    pub text: String,
    position: Option<Position>,
}

impl Setting {
    /// From the command line or the environment.
    pub fn from_flag(flag: impl Into<Cow<'static, str>>, text: &str) -> Self {
        Self { name: flag.into(), text: text.to_owned(), position: None }
    }

    /// The same place with another name.
    pub fn with_name(&self, name: impl Into<Cow<'static, str>>) -> Self {
        Self { name: name.into(), ..self.clone() }
    }

    /// The same place with another value.
    pub fn with_text(&self, text: impl Into<String>) -> Self {
        Self { text: text.into(), ..self.clone() }
    }

    pub fn trimmed(&self) -> &str {
        self.text.trim()
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
            let position = mistake.position.as_ref();
            (
                position.is_some_and(|position| Some(&position.file) != file.as_ref()),
                position.map(|position| position.line),
            )
        });
        if self.mistakes.is_empty() { Ok(()) } else { Err(ConfigError(self.mistakes)) }
    }

    fn at(&self, line: u64, what: String) -> Mistake {
        Mistake { position: self.file().map(|file| Position { file, line }), what }
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
        match node.value {
            NodeValue::Absent | NodeValue::Empty => M::default(),
            _ => self.mapping(name, node).unwrap_or_default(),
        }
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
        let path = |key: &str| match looks_like_secret(key) {
            true => name.to_owned(),
            false => format!("{name}.{}", shown(key)),
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
        match &node.value {
            NodeValue::Absent => return None,
            NodeValue::Empty => self.report_at(line, &name, "has no value: set one, or remove the key"),
            NodeValue::List(_) | NodeValue::Mapping(..) => self.report_at(line, &name, rule),
            NodeValue::Text(text) => {
                let source = self.source.as_ref().map_or("", |(_, text)| text);
                let text = text.as_deref().unwrap_or_else(|| node.source(source)).to_owned();
                return Some(Setting { name, text, position: self.file().map(|file| Position { file, line }) });
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
