//! One source file as text, and the paths in it.

use std::{fs, path::Path};

/// A `.rs` file that is not a test.
pub(crate) struct Source {
    /// Relative to `src/`.
    pub(crate) path: String,
    pub(crate) text: String,
    /// Without comments and without the tests at its end.
    pub(crate) code: String,
    module: Vec<String>,
}

/// All files below a folder, except tests.
pub(crate) fn sources_of(folder: &Path) -> Vec<Source> {
    let mut sources = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(&next).unwrap_or_else(|error| panic!("{}: {error}", next.display())) {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let relative = path.strip_prefix(folder).expect("a path below the folder").to_str().expect("UTF-8");
                let is_test = ["tests", "fixtures", "testing"].iter().any(|word| relative.contains(word));
                if !is_test {
                    sources.push(Source::new(relative, &fs::read_to_string(&path).expect("text")));
                }
            }
        }
    }
    sources.sort_by(|a, b| a.path.cmp(&b.path));
    sources
}

impl Source {
    pub(crate) fn new(path: &str, text: &str) -> Self {
        let (code, _) = text.split_once("#[cfg(test)]\nmod tests").unwrap_or((text, ""));
        let code = code.lines().map(|line| line.split_once("//").map_or(line, |(code, _)| code));
        let module = path.trim_end_matches(".rs").split('/').filter(|name| !["lib", "main"].contains(name));
        Self {
            path: path.to_owned(),
            text: text.to_owned(),
            code: code.collect::<Vec<_>>().join("\n").replace("(in crate::", "("),
            module: module.map(str::to_owned).collect(),
        }
    }

    pub(crate) fn part(&self) -> &str {
        self.module.first().map_or("lib", String::as_str)
    }

    /// Whether the code contains the word at the beginning of a path.
    pub(crate) fn names(&self, name: &str) -> bool {
        let found = |at: usize| self.code[..at].chars().last().is_none_or(|c| !is_word(c) && c != ':');
        let path = format!("{name}::");
        self.code.match_indices(&path).any(|(at, _)| found(at)) || self.code.contains(&format!("use {name};"))
    }

    /// Names of the types that the file defines, in their order.
    pub(crate) fn types(&self) -> Vec<String> {
        let name = |line: &str| {
            let line = line.trim_start();
            let line = line.strip_prefix("pub(").and_then(|rest| rest.split_once(") ")).map_or(line, |(_, rest)| rest);
            let line = line.strip_prefix("pub ").unwrap_or(line);
            let rest = ["struct ", "enum ", "trait "].iter().find_map(|word| line.strip_prefix(word))?;
            Some(rest.chars().take_while(|&c| is_word(c)).collect::<String>())
        };
        self.code.lines().filter_map(name).filter(|name| !name.is_empty()).collect()
    }

    /// The keys of each log line, without those after a text.
    pub(crate) fn log_keys(&self) -> Vec<Vec<&str>> {
        let macros = ["trace!(", "debug!(", "info!(", "warn!(", "error!("];
        let lines = macros.iter().flat_map(|name| self.code.split(name).skip(1));
        let key = |field| {
            let (key, _) = str::split_once(field, '=').unwrap_or((field, ""));
            key.trim().trim_start_matches(['%', '?'])
        };
        let fields = |line: &'_ str| line.split_once('"').map_or(line.len(), |(fields, _)| fields.len());
        lines.map(|line| line[..fields(line)].split(',').map(key).filter(|key| !key.is_empty()).collect()).collect()
    }

    /// The other files that own what this file names.
    pub(crate) fn owners<'a>(&'a self, sources: &'a [Source]) -> impl Iterator<Item = &'a Self> {
        let paths = self.paths();
        let owner = move |path: &Vec<String>| {
            let candidates = sources.iter().filter(|source| path.starts_with(&source.module));
            candidates.max_by_key(|source| source.module.len())
        };
        paths.into_iter().filter_map(move |path| owner(&path)).filter(|source| source.path != self.path)
    }

    /// Every path of the crate that the code names, from its root.
    fn paths(&self) -> Vec<Vec<String>> {
        let mut paths = Vec::new();
        for (at, _) in self.code.match_indices("::") {
            let root = self.code[..at].chars().rev().take_while(|&c| is_word(c)).count();
            let start = at - root;
            let is_head = self.code[..start].chars().last().is_none_or(|c| c != ':');
            let word = &self.code[start..at];
            let is_child = self.children().any(|child| child == word);
            if is_head && (["crate", "super", "self"].contains(&word) || is_child) {
                let end = self.code[start..].find(';').map_or(self.code.len(), |length| start + length);
                for path in expand(&self.code[start..end]) {
                    paths.extend(self.absolute(&path, is_child));
                }
            }
        }
        paths
    }

    fn children(&self) -> impl Iterator<Item = &str> {
        let lines = self.code.lines().map(str::trim).filter_map(|line| line.strip_suffix(';'));
        lines.filter_map(|line| line.rsplit_once("mod ").map(|(_, name)| name))
    }

    fn absolute(&self, path: &[String], is_child: bool) -> Option<Vec<String>> {
        let supers = path.iter().take_while(|name| *name == "super").count();
        let base = match path.first()?.as_str() {
            "crate" => return Some(path[1..].to_vec()),
            "self" => return Some([&self.module, &path[1..]].concat()),
            _ if is_child => return Some([&self.module, path].concat()),
            _ => self.module.len().checked_sub(supers)?,
        };
        Some([&self.module[..base], &path[supers..]].concat())
    }
}

/// The paths of `a::{b, c::{d, e}}` at the beginning of the text.
fn expand(text: &str) -> Vec<Vec<String>> {
    let mut paths = Vec::new();
    let (mut prefix, mut stack, mut name): (Vec<String>, Vec<usize>, String) = (Vec::new(), Vec::new(), String::new());
    let mut alias = false;
    for c in text.chars().chain([',']) {
        match c {
            _ if is_word(c) => name.push(c),
            ':' if name.is_empty() => {}
            ':' => prefix.push(std::mem::take(&mut name)),
            ' ' | '\n' => {
                alias |= !name.is_empty() && name != "self" && stack.is_empty();
            }
            '{' => stack.push(prefix.len()),
            ',' | '}' => {
                if !name.is_empty() {
                    let last = Some(std::mem::take(&mut name)).filter(|name| name != "self");
                    paths.push(prefix.iter().cloned().chain(last).collect());
                }
                if c == '}' {
                    stack.pop();
                }
                match stack.last() {
                    Some(&length) => prefix.truncate(length),
                    None => return paths,
                }
            }
            _ => break,
        }
        if alias {
            break;
        }
    }
    if !name.is_empty() {
        paths.push(prefix.into_iter().chain([name]).collect());
    }
    paths
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}
