//! The rules of the layout, and what to do about an offence.

use super::{
    lexer::{self, Token},
    paths::{self, Reference},
};

/// Parts of the program, lowest first. A part is a file of `src/` with the folder of the same name.
pub(crate) const RANKS: [(&str, u8); 23] = [
    ("domain", 0),
    ("clock", 1),
    ("file", 1),
    ("privileges", 1),
    ("series", 1),
    ("telemetry", 1),
    ("yaml", 1),
    ("cloudflare", 2),
    ("secret", 2),
    ("server", 2),
    ("poller", 3),
    ("prober", 3),
    ("correlate", 3),
    ("history", 3),
    ("exposition", 4),
    ("overview", 4),
    ("sandbox", 4),
    ("http", 5),
    ("config", 6),
    ("app", 7),
    ("cli", 8),
    ("lib", 9),
    ("main", 9),
];

/// Lines of a file without its tests.
const LONGEST_FILE: usize = 350;

/// A crate that only some files may name, so that it can be replaced there and nowhere else.
struct NamedOnlyIn {
    name: &'static str,
    place: &'static str,
    allowed: fn(&Source) -> bool,
}

const NAMED_ONLY_IN: [NamedOnlyIn; 5] = [
    NamedOnlyIn { name: "surge_ping", place: "src/prober/icmp.rs", allowed: |s| s.path == "prober/icmp.rs" },
    NamedOnlyIn { name: "reqwest", place: "src/cloudflare*", allowed: |s| s.part() == "cloudflare" },
    NamedOnlyIn {
        name: "tokio_rustls",
        place: "src/server/tls*",
        allowed: |s| s.module.starts_with(&["server".to_owned(), "tls".to_owned()]),
    },
    NamedOnlyIn {
        name: "clap",
        place: "src/cli* and src/config/flags.rs",
        allowed: |s| s.part() == "cli" || s.module.starts_with(&["config".to_owned(), "flags".to_owned()]),
    },
    NamedOnlyIn {
        name: "prometheus_client",
        place: "src/exposition*, src/series.rs and the metrics.rs of a part",
        allowed: |s| ["exposition", "series"].contains(&s.part()) || s.path.ends_with("metrics.rs"),
    },
];

/// What plain values must not know.
const NOT_IN_DOMAIN: [&str; 7] =
    ["tokio", "tokio_util", "hyper", "serde", "serde_json", "prometheus_client", "tracing"];

/// One file of `src/`.
#[derive(Debug)]
pub(crate) struct Source {
    /// Below `src/`: `cloudflare/wire.rs`.
    pub(crate) path: String,
    pub(crate) module: Vec<String>,
    /// Whether only tests compile it.
    is_test: bool,
    has_head: bool,
    lines: usize,
    tokens: Vec<Token>,
}

impl Source {
    pub(crate) fn new(path: &str, text: &str) -> Self {
        Self {
            path: path.to_owned(),
            module: paths::module_of(path),
            is_test: false,
            has_head: text.starts_with("//!"),
            lines: text.lines().count(),
            tokens: lexer::tokens(text),
        }
    }

    pub(crate) fn part(&self) -> &str {
        self.module.first().map_or("lib", String::as_str)
    }

    /// The children that it declares for tests only: `#[cfg(test)] mod name;`.
    fn test_children(&self) -> Vec<Vec<String>> {
        let declared = |item: std::ops::Range<usize>| match &self.tokens[item] {
            [.., keyword, name, end] if keyword.is("mod") && end.is(";") => Some(name.text.clone()),
            _ => None,
        };
        let names = paths::test_items(&self.tokens).into_iter().filter_map(declared);
        names.map(|name| [self.module.clone(), vec![name]].concat()).collect()
    }

    fn lines_without_tests(&self) -> usize {
        let tests = paths::test_items(&self.tokens);
        let of_tests = tests.iter().map(|item| {
            let last = &self.tokens[item.end - 1];
            last.line + 1 - self.tokens[item.start].line
        });
        self.lines - of_tests.sum::<usize>()
    }

    /// Words outside tests.
    fn words(&self) -> impl Iterator<Item = &Token> {
        let tests = paths::test_items(&self.tokens);
        let production = move |at: &usize| !self.is_test && !tests.iter().any(|item| item.contains(at));
        (0..self.tokens.len()).filter(production).map(|at| &self.tokens[at]).filter(|token| token.is_word())
    }

    fn at(&self, line: usize) -> String {
        format!("src/{}:{line}", self.path)
    }
}

/// One sentence for every offence.
pub(crate) fn check(mut sources: Vec<Source>) -> Vec<String> {
    let for_tests: Vec<Vec<String>> = sources.iter().flat_map(Source::test_children).collect();
    for source in &mut sources {
        source.is_test = for_tests.iter().any(|test| source.module.starts_with(test));
    }
    let modules: Vec<&[String]> = sources.iter().map(|source| source.module.as_slice()).collect();
    let mut complaints = Vec::new();
    for source in &sources {
        complaints.extend(shape(source));
        complaints.extend(crates(source));
        for reference in paths::references(&source.module, &source.tokens) {
            complaints.extend(import(source, &reference, &modules));
        }
    }
    complaints.dedup();
    complaints
}

fn rank(part: &str) -> Option<u8> {
    RANKS.iter().find(|(name, _)| *name == part).map(|&(_, rank)| rank)
}

/// What a file looks like from outside.
fn shape(source: &Source) -> Vec<String> {
    let mut complaints = Vec::new();
    if rank(source.part()).is_none() {
        complaints.push(format!(
            "src/{}: `{}` has no rank: give it one in tests/architecture/rules.rs and in docs/ARCHITECTURE.md",
            source.path,
            source.part()
        ));
    }
    if source.path.ends_with("mod.rs") {
        complaints
            .push(format!("src/{}: a module `x` lives in `x.rs`, its children in `x/`: rename this file", source.path));
    }
    if !source.has_head && !source.is_test {
        complaints.push(format!(
            "src/{}: must begin with `//!`: say what the file owns, who feeds it and why it is like that",
            source.path
        ));
    }
    let lines = source.lines_without_tests();
    if !source.is_test && lines > LONGEST_FILE {
        complaints.push(format!(
            "src/{}: has {lines} lines without its tests, {LONGEST_FILE} is the most: cut it along its types",
            source.path
        ));
    }
    for window in source.tokens.windows(3) {
        if window[0].is("#") && window[1].is("[") && window[2].is("path") {
            complaints.push(format!(
                "{}: `#[path]` hides a file from this test: put it where its module says",
                source.at(window[2].line)
            ));
        }
    }
    complaints
}

/// Crates named where they do not belong.
fn crates(source: &Source) -> Vec<String> {
    let mut complaints = Vec::new();
    for word in source.words() {
        let at = source.at(word.line);
        for rule in NAMED_ONLY_IN.iter().filter(|rule| word.is(rule.name) && !(rule.allowed)(source)) {
            complaints.push(format!(
                "{at}: `{}` is named only in {}: give that file a function or type of ours and use it here",
                rule.name, rule.place
            ));
        }
        if source.part() == "domain" && NOT_IN_DOMAIN.contains(&word.text.as_str()) {
            complaints.push(format!(
                "{at}: the domain does not know `{}`: keep the value here, and put the trait or the I/O in the part that needs it",
                word.text
            ));
        }
    }
    complaints
}

/// A path that leads where the file may not go.
fn import(source: &Source, reference: &Reference, modules: &[&[String]]) -> Option<String> {
    let at = source.at(reference.line);
    let name = format!("crate::{}", reference.path.join("::"));
    // The file that owns what is named: the longest known module at the front of the path.
    let length = (0..=reference.path.len()).rev().find(|&n| modules.contains(&&reference.path[..n]))?;
    let target = &reference.path[..length];
    let Some(part) = target.first() else {
        let from_root = source.module.is_empty() || (source.module.len() == 1 && reference.path.is_empty());
        return (!from_root).then(|| format!("{at}: `{name}` is in no file below src/: name the file that owns it"));
    };
    if part == source.part() {
        return inside_part(source, reference, target).map(|reason| format!("{at}: `{name}` {reason}"));
    }
    if source.part() == "sandbox" && !source.is_test && !reference.in_test && foreign_to_sandbox(target) {
        return Some(format!(
            "{at}: `{name}`: the sandbox writes its JSON on its own, so that one misspelt field is not misspelt twice; \
             use types of its own"
        ));
    }
    let (own, other) = (rank(source.part())?, rank(part)?);
    (other >= own).then(|| {
        format!(
            "{at}: `{name}` has rank {other}, `{}` has rank {own}: import only from lower ranks; move what both need \
             down, or have app.rs hand it in",
            source.part()
        )
    })
}

/// The client's own types, and those it decodes into; a moment is only time.
fn foreign_to_sandbox(target: &[String]) -> bool {
    target[0] == "cloudflare" || (target[0] == "domain" && target.get(1).is_none_or(|child| child != "moment"))
}

/// Inside one part a file uses itself, its children, the files of its own folder and those of the folders around it, but never the file
/// whose child it is. Tests use the whole part.
fn inside_part(source: &Source, reference: &Reference, target: &[String]) -> Option<&'static str> {
    let own = source.module.as_slice();
    if source.is_test || reference.in_test || target.starts_with(own) {
        return None;
    }
    if own.starts_with(target) {
        return Some("is the parent, which knows its children: move what both need into a file beside this one");
    }
    let folder = &own[..own.len() - 1];
    let around = own.starts_with(&target[..target.len() - 1]);
    (!target.starts_with(folder) && !around).then_some("is in another folder of this part: let the parent hand it in")
}
