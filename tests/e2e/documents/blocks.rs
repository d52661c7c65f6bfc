//! The fenced blocks of the documents.

use std::fs;

use crate::alerts::{repository, text};

/// The reasons for which a block of shell commands is not executed here: the word after `sh`.
pub(super) const REASONS: [&str; 5] = [
    // Compiles the program or runs its tests.
    "build",
    // Installs or runs the program with other software: packages, service managers, containers. See tests/packages.
    "install", // Needs an account at Cloudflare, or the Internet.
    "account", // Looks at the machine of the exporter and its network.
    "host",    // Runs on a router.
    "router",
];

/// The languages of blocks.
const LANGUAGES: [&str; 6] = ["", "ini", "promql", "sh", "text", "yaml"];

/// A fenced block.
#[derive(Debug)]
pub(super) struct Block {
    /// Number of its first line, from 1.
    pub(super) line: usize,
    /// The words after the fence: the language, and why the commands are not executed.
    info: String,
    /// Its lines, without the indentation of the fence.
    pub(super) text: String,
}

impl Block {
    pub(super) fn is_shell(&self) -> bool {
        self.info.split(' ').next() == Some("sh")
    }

    /// True if a test has to execute it.
    pub(super) fn is_executed(&self) -> bool {
        self.info == "sh"
    }

    pub(super) fn has_known_words(&self) -> bool {
        let reason = self.info.strip_prefix("sh ");
        reason.map_or_else(|| LANGUAGES.contains(&&*self.info), |reason| REASONS.contains(&reason))
    }
}

/// README.md and CONTRIBUTING.md, and everything in docs/.
pub(super) fn documents() -> Vec<String> {
    let folder = fs::read_dir(repository("docs")).expect("the folder of documents");
    let names = folder.filter_map(|entry| entry.expect("an entry").file_name().into_string().ok());
    let markdown = names.filter_map(|name| Some(format!("docs/{}.md", name.strip_suffix(".md")?)));
    ["README.md", "CONTRIBUTING.md", "SECURITY.md"].map(str::to_owned).into_iter().chain(markdown).collect()
}

/// The fenced blocks of a document, in their order.
pub(super) fn blocks(document: &str) -> Vec<Block> {
    let text = text(&repository(document));
    let mut blocks = Vec::new();
    let mut lines = text.lines().enumerate();
    while let Some((index, fence)) = lines.next() {
        let indentation = fence.len() - fence.trim_start().len();
        let Some(info) = fence.trim_start().strip_prefix("```") else { continue };
        let inside = lines.by_ref().map(|(_, line)| line).take_while(|line| !line.trim_start().starts_with("```"));
        let text = inside.flat_map(|line| [line.get(indentation..).unwrap_or_default(), "\n"]).collect();
        blocks.push(Block { line: index + 1, info: info.to_owned(), text });
    }
    blocks
}

/// Replaces each whole word.
pub(super) fn replace_words(text: &str, replacements: &[(&str, &str)]) -> String {
    let mut replaced = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let length = rest.find(|c: char| !is_part(c)).unwrap_or(rest.len()).max(first.len_utf8());
        let (word, next) = rest.split_at(length);
        replaced.push_str(replacements.iter().find(|(from, _)| *from == word).map_or(word, |(_, to)| to));
        rest = next;
    }
    replaced
}

fn is_part(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

#[test]
fn only_whole_words_are_replaced() {
    let replacements = [("NAME", "fra-1"), ("ACCOUNT_ID", "42"), ("ACCOUNT", "lab")];
    let replaced = replace_words("x=NAME \"/ACCOUNT_ID/ACCOUNT\" $WRITE_ACCOUNT RENAME é", &replacements);
    assert_eq!(replaced, "x=fra-1 \"/42/lab\" $WRITE_ACCOUNT RENAME é");
}
