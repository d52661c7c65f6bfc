//! Keeps the layout of `src/` as docs/ARCHITECTURE.md draws it.
//!
//! Reads the sources as text, without a compiler: a small lexer drops comments and literals, [`paths`] resolves every
//! `crate::`, `super::` and `self::` path to the file it names, and [`rules`] says which of them are out of place. Each
//! complaint tells the reader what to do. `examples.rs` breaks every rule once, so that none can stop biting unnoticed.

mod examples;
mod lexer;
mod paths;
mod rules;

use std::{
    fs,
    path::{Path, PathBuf},
};

use rules::Source;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every `.rs` file below `src/`, with its path relative to it.
fn sources() -> Vec<Source> {
    let src = root().join("src");
    let mut found = Vec::new();
    let mut folders = vec![src.clone()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display())) {
            let path = entry.expect("an entry of src/").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == "rs") {
                found.push(source(&src, &path));
            }
        }
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    found
}

fn source(src: &Path, path: &PathBuf) -> Source {
    let text = fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let relative = path.strip_prefix(src).expect("a path below src/");
    Source::new(relative.to_str().expect("a UTF-8 path"), &text)
}

#[test]
fn src_follows_the_drawing() {
    let sources = sources();
    assert!(sources.len() > 5, "found only {} files below src/: the test looks in the wrong place", sources.len());
    let complaints = rules::check(&sources);
    assert!(complaints.is_empty(), "\n\n{}\n", complaints.join("\n"));
}

/// The table of ranks in the document is the one that is enforced.
#[test]
fn the_document_draws_the_same_ranks() {
    let text = fs::read_to_string(root().join("docs/ARCHITECTURE.md")).expect("docs/ARCHITECTURE.md");
    let drawn: Vec<(String, u8)> = text
        .lines()
        .filter_map(|line| {
            let mut cells = line.strip_prefix('|')?.split('|').map(str::trim);
            let rank = cells.next()?.parse().ok()?;
            Some((rank, cells.next()?))
        })
        .flat_map(|(rank, parts): (u8, &str)| {
            parts.split(',').map(move |part| (part.trim().trim_matches('`').to_owned(), rank)).collect::<Vec<_>>()
        })
        .collect();
    let enforced: Vec<(String, u8)> = rules::RANKS.iter().map(|&(part, rank)| (part.to_owned(), rank)).collect();
    assert_eq!(drawn, enforced, "docs/ARCHITECTURE.md (left) and tests/architecture/rules.rs (right) name other ranks");
}
