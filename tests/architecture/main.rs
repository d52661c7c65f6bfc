//! Checks what docs/ARCHITECTURE.md says about the sources and the compiler does not check: the ranks of the parts,
//! imports without circles, the size of files, and one meaning for each type name.
//!
//! The sources are read as text: comments are dropped, and every `crate::`, `super::` and `self::` path is resolved to
//! the file that owns it.

mod source;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use source::{Source, sources_of};

/// Parts of `src/`, lowest first. A part imports only parts of a lower rank.
const RANKS: [(&str, u8); 22] = [
    ("domain", 0),
    ("https", 1),
    ("privileges", 1),
    ("series", 1),
    ("telemetry", 1),
    ("agents", 2),
    ("cloudflare", 2),
    ("secret", 1),
    ("inventory", 2),
    ("poller", 3),
    ("prober", 3),
    ("snapshot", 4),
    ("correlate", 5),
    ("exposition", 5),
    ("state", 5),
    ("http", 6),
    ("config", 7),
    ("app", 8),
    ("cli", 9),
    ("fuzzing", 10),
    ("lib", 10),
    ("main", 10),
];

/// Maximum lines of a file without its tests.
const MAX_LINES: usize = 350;

/// Crates that only some files may name, so that they can be replaced there.
const NAMED_ONLY_IN: [(&str, &[&str]); 5] = [
    ("surge_ping", &["prober/client/icmp", "prober/batch/packet"]),
    ("reqwest", &["cloudflare", "https", "inventory/client"]),
    ("clap", &["cli", "config/flags"]),
    ("regex_lite", &["domain/sites"]),
    (
        "prometheus_client",
        &[
            "exposition",
            "series",
            "cloudflare/metrics",
            "app/reload",
            "state/metrics",
            "agents/metrics",
            "inventory/metrics",
        ],
    ),
];

/// Crates that the values of `domain` must not know.
const NOT_IN_DOMAIN: [&str; 6] = ["tokio", "hyper", "serde", "serde_json", "prometheus_client", "tracing"];

/// Files with types that mirror JSON and may share names with the domain.
const MIRRORS: [&str; 1] = ["cloudflare/wire"];

fn rank(part: &str) -> u8 {
    RANKS.iter().find(|(name, _)| *name == part).unwrap_or_else(|| panic!("`{part}` has no rank")).1
}

fn exporter() -> Vec<Source> {
    sources_of(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"))
}

fn workspace() -> [(&'static str, Vec<Source>); 3] {
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).join("crates");
    let of = |name: &str| sources_of(&crates.join(name).join("src"));
    [("src", exporter()), ("web-toolkit", of("web-toolkit")), ("magic-sandbox", of("magic-sandbox"))]
}

/// Imports of a part with a rank that is not lower.
fn wrong_ranks(sources: &[Source]) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for source in sources {
        for target in source.owners(sources) {
            let (own, other) = (source.part(), target.part());
            if own != other && rank(other) >= rank(own) {
                found.insert(format!("{} imports {}: `{other}` is not below `{own}`", source.path, target.path));
            }
        }
    }
    found
}

/// Files that import each other, directly or through others.
fn circles(sources: &[Source]) -> Vec<String> {
    let edges: BTreeMap<&str, BTreeSet<&str>> = sources
        .iter()
        .map(|source| (&*source.path, source.owners(sources).map(|target| &*target.path).collect()))
        .collect();
    let reaches = |from: &str, to: &str| {
        let (mut seen, mut next) = (BTreeSet::new(), vec![from]);
        while let Some(file) = next.pop() {
            for &target in edges.get(file).into_iter().flatten() {
                if target == to {
                    return true;
                }
                if seen.insert(target) {
                    next.push(target);
                }
            }
        }
        false
    };
    edges.keys().filter(|file| reaches(file, file)).map(|&file| file.to_owned()).collect()
}

fn wrong_shape(source: &Source) -> Vec<String> {
    let mut found = Vec::new();
    if !source.text.starts_with("//!") {
        found.push(format!("{}: must begin with `//!`: what the file owns, and what feeds it", source.path));
    }
    if source.path.ends_with("mod.rs") {
        found.push(format!("{}: a module `x` lives in `x.rs`, its children in `x/`", source.path));
    }
    let lines = source.code.lines().count();
    if lines > MAX_LINES {
        found.push(format!("{}: {lines} lines without tests, the maximum is {MAX_LINES}", source.path));
    }
    found
}

fn wrong_crates(source: &Source) -> Vec<String> {
    let stem = source.path.trim_end_matches(".rs");
    let misplaced = NAMED_ONLY_IN
        .iter()
        .filter(|(name, places)| source.names(name) && !places.iter().any(|place| stem.starts_with(place)))
        .map(|(name, places)| format!("{}: `{name}` is named only in {}", source.path, places.join(", ")));
    let in_domain = NOT_IN_DOMAIN
        .iter()
        .filter(|name| source.part() == "domain" && source.names(name))
        .map(|name| format!("{}: the domain does not know `{name}`", source.path));
    misplaced.chain(in_domain).collect()
}

/// The keys that identify a tunnel in the log.
const TUNNEL_KEYS: [&str; 4] = ["account", "tunnel_type", "tunnel_id", "tunnel_name"];

/// Log lines that identify a tunnel in another way.
fn wrong_log_keys(source: &Source) -> Vec<String> {
    let names_other = |key: &&str| {
        let about_tunnel = key.contains("tunnel") && *key != "tunnels" && !TUNNEL_KEYS.contains(key);
        about_tunnel || ["id", "name", "key", "type", "kind", "message"].contains(key)
    };
    let is_wrong = |keys: &Vec<&str>| {
        let is_partial = keys.contains(&"tunnel_name") && !TUNNEL_KEYS.iter().all(|key| keys.contains(key));
        is_partial || keys.iter().any(names_other)
    };
    let found = source.log_keys().into_iter().filter(is_wrong);
    found.map(|keys| format!("{}: {keys:?}: a tunnel is identified by {TUNNEL_KEYS:?}", source.path)).collect()
}

#[test]
fn the_log_identifies_a_tunnel_by_the_same_four_keys_everywhere() {
    let sources: Vec<Source> = workspace().into_iter().flat_map(|(_, sources)| sources).collect();
    let found: Vec<String> = sources.iter().flat_map(wrong_log_keys).collect();
    assert_eq!(found, [""; 0]);
    let complete = |source: &Source| source.log_keys().iter().any(|keys| TUNNEL_KEYS.iter().all(|k| keys.contains(k)));
    let with_tunnels: Vec<&str> =
        sources.iter().filter(|source| complete(source)).map(|source| &*source.path).collect();
    assert_eq!(with_tunnels, ["correlate.rs", "poller/tracked_list.rs", "world.rs"], "the keys of a line are found");
}

#[test]
fn a_part_imports_only_lower_parts() {
    let sources = exporter();
    assert!(sources.len() > 40, "only {} files: the test looks in the wrong place", sources.len());
    assert_eq!(wrong_ranks(&sources), BTreeSet::new());
}

#[test]
fn no_files_import_each_other() {
    for (name, sources) in workspace() {
        assert_eq!(circles(&sources), [""; 0], "{name}");
    }
}

#[test]
fn every_file_has_a_head_and_one_topic() {
    for (name, sources) in workspace() {
        let found: Vec<String> = sources.iter().flat_map(wrong_shape).collect();
        assert_eq!(found, [""; 0], "{name}");
    }
}

#[test]
fn replaceable_crates_are_named_in_one_place() {
    let found: Vec<String> = exporter().iter().flat_map(wrong_crates).collect();
    assert_eq!(found, [""; 0]);
}

#[test]
fn the_web_toolkit_has_no_word_about_tunnels() {
    let [_, (_, sources), _] = workspace();
    let words = ["tunnel", "cloudflare", "bgp", "magic"];
    let named = |source: &&Source| words.iter().any(|word| source.code.to_lowercase().contains(word));
    assert_eq!(sources.iter().filter(named).map(|source| &source.path).collect::<Vec<_>>(), [""; 0]);
}

#[test]
fn a_type_name_has_one_meaning() {
    let mut places: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (name, sources) in workspace() {
        for source in sources.iter().filter(|source| !MIRRORS.iter().any(|mirror| source.path.starts_with(mirror))) {
            for defined in source.types() {
                places.entry(defined).or_default().push(format!("{name}/{}", source.path));
            }
        }
    }
    places.retain(|_, files| files.len() > 1);
    assert!(places.is_empty(), "{places:#?}");
}

#[test]
fn the_document_lists_the_same_ranks() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/ARCHITECTURE.md");
    let text = fs::read_to_string(path).expect("docs/ARCHITECTURE.md");
    let mut documented = BTreeMap::new();
    for line in text.lines() {
        let mut cells = line.trim_matches('|').split('|').map(str::trim);
        let Some(Ok(rank)) = cells.next().map(str::parse::<u8>) else { continue };
        for part in cells.next().unwrap_or_default().split(", ") {
            documented.insert(part.trim_matches('`').to_owned(), rank);
        }
    }
    let enforced = RANKS.iter().filter(|(_, rank)| *rank < 10);
    assert_eq!(documented, enforced.map(|&(part, rank)| (part.to_owned(), rank)).collect());
}

/// Each rule broken once, so that no rule can silently stop working.
#[test]
fn every_offence_is_found() {
    let with = |path: &str, text: &str| {
        let house = [("domain.rs", "//! x\npub mod label;"), ("domain/label.rs", "//! x"), ("poller.rs", "//! x")];
        let others = house.iter().filter(|(other, _)| *other != path);
        others.chain([&(path, text)]).map(|(path, text)| Source::new(path, text)).collect::<Vec<_>>()
    };
    for (path, text) in [
        ("domain/label.rs", "//! x\nuse crate::poller::Poller;"),
        ("domain/label.rs", "//! x\nuse super::super::poller;"),
        ("domain/label.rs", "//! x\nuse crate::{domain, poller::{self, A}};"),
        ("domain/label.rs", "//! x\nfn f() { crate::poller::g() }"),
    ] {
        assert_eq!(wrong_ranks(&with(path, text)).len(), 1, "{text}");
    }
    for text in ["//! See crate::poller.", "//! x\n#[cfg(test)]\nmod tests {\n    use crate::poller::X;\n}"] {
        assert_eq!(wrong_ranks(&with("domain/label.rs", text)), BTreeSet::new(), "{text}");
    }
    assert_eq!(circles(&with("domain/label.rs", "//! x")), [""; 0]);
    let mut circle = with("domain.rs", "//! x\nuse label::Label;\nmod label;");
    circle[0] = Source::new("domain/label.rs", "//! x\nuse super::Value;");
    assert_eq!(circles(&circle), ["domain.rs", "domain/label.rs"]);
    for (path, text) in [
        ("a.rs", "use std::fmt;"),
        ("a/mod.rs", "//! x"),
        ("a.rs", &*format!("//! x\n{}", "const A: u8 = 0;\n".repeat(MAX_LINES))),
    ] {
        assert_eq!(wrong_shape(&Source::new(path, text)).len(), 1, "{path}");
    }
    for (path, text) in [("poller.rs", "//! x\nuse reqwest::Client;"), ("domain.rs", "//! x\nuse tokio::time;")] {
        assert_eq!(wrong_crates(&Source::new(path, text)).len(), 1, "{text}");
    }
    for line in ["info!(tunnel_name, \"x\")", "warn!(account, tunnel = 1, \"x\")", "debug!(%name, \"x\")"] {
        assert_eq!(wrong_log_keys(&Source::new("a.rs", &format!("//! x\nfn f() {{ {line} }}"))).len(), 1, "{line}");
    }
    let source = Source::new("a.rs", "//! x\npub(crate) struct One<T>(T);\n    enum Two {}\npub trait Three {}");
    assert_eq!(source.types(), ["One", "Two", "Three"]);
}
