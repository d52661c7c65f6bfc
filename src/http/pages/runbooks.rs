//! docs/RUNBOOKS.md as a page, so that it is at hand where nothing else can be reached.
//!
//! Reads what that file is written in and no more: headings, paragraphs, numbered lists; code, bold text and links in them.

use maud::{Markup, html};

use super::shell::Document;
use crate::snapshot::concern::Concern;

const TEXT: &str = include_str!("../../../docs/RUNBOOKS.md");

/// Draws the page.
pub(in crate::http) fn runbooks() -> Document {
    let body = html! {
        nav class="crumbs" aria-label="Way back" { a href="./" { "← All tunnels" } }
        article class="card runbooks" { @for block in blocks(TEXT) { (block.markup()) } }
    };
    Document { title: "Runbooks".to_owned(), concern: Concern::Unsure, root: "./", body }
}

#[derive(Debug, PartialEq, Eq)]
enum Block {
    /// Level and text.
    Heading(usize, String),
    Paragraph(String),
    List(Vec<String>),
}

impl Block {
    fn markup(&self) -> Markup {
        match self {
            Self::Heading(1, text) => html! { h1 { (inline(text)) } },
            Self::Heading(2, text) => html! { h2 id=(anchor(text)) { (inline(text)) } },
            Self::Heading(_, text) => html! { h3 id=(anchor(text)) { (inline(text)) } },
            Self::Paragraph(text) => html! { p { (inline(text)) } },
            Self::List(items) => html! { ol { @for item in items { li { (inline(item)) } } } },
        }
    }
}

/// A line that begins nothing of its own goes on with what is above it.
fn blocks(text: &str) -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut fresh = true;
    for line in text.lines().map(str::trim) {
        let heading = line.find(|c| c != '#').filter(|&level| level > 0);
        match (heading, item(line), blocks.last_mut()) {
            _ if line.is_empty() => {}
            (Some(level), ..) => blocks.push(Block::Heading(level, line[level..].trim().to_owned())),
            (_, Some(item), Some(Block::List(items))) => items.push(item.to_owned()),
            (_, Some(item), _) => blocks.push(Block::List(vec![item.to_owned()])),
            (_, _, Some(Block::Paragraph(above))) if !fresh => above.extend([" ", line]),
            (_, _, Some(Block::List(items))) if !fresh => {
                if let Some(above) = items.last_mut() {
                    above.extend([" ", line]);
                }
            }
            _ => blocks.push(Block::Paragraph(line.to_owned())),
        }
        fresh = line.is_empty();
    }
    blocks
}

/// What follows `1. `.
fn item(line: &str) -> Option<&str> {
    let (number, text) = line.split_once(". ")?;
    number.bytes().all(|byte| byte.is_ascii_digit()).then_some(text)
}

/// As the usual viewers of Markdown name a heading.
fn anchor(text: &str) -> String {
    text.to_lowercase().replace(' ', "-")
}

fn inline(text: &str) -> Markup {
    let cut = |open: &str, close: &str| {
        let (before, rest) = text.split_once(open)?;
        let (inside, after) = rest.split_once(close)?;
        Some((before, inside, after))
    };
    let candidates = [cut("`", "`"), cut("**", "**"), cut("[", ")"), cut("<http", ">")];
    let first = candidates.into_iter().enumerate().filter_map(|(kind, found)| Some((kind, found?)));
    let Some((kind, (before, inside, after))) = first.min_by_key(|(_, (before, ..))| before.len()) else {
        return html! { (text) };
    };
    html! {
        (before)
        @match kind {
            0 => code { (inside) },
            1 => strong { (inline(inside)) },
            2 => (link(inside)),
            _ => a href={ "http" (inside) } rel="noreferrer" { "http" (inside) },
        }
        (inline(after))
    }
}

/// `text](target`; only what is on this page can be followed.
fn link(inside: &str) -> Markup {
    let (text, target) = inside.split_once("](").unwrap_or((inside, ""));
    if target.starts_with('#') {
        html! { a href=(target) { (inline(text)) } }
    } else {
        inline(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        domain::{label::Label as _, verdict::Verdict},
        http::pages::words,
    };

    #[test]
    fn what_the_file_is_written_in_is_drawn() {
        let text = "# Top\n\nOne\ntwo.\n\n### AlertName\n**Do:**\n1. `a <b>` or\n   more\n2. [see](#other), <https://x.example/>\n\nEnd [file](../f.yml).";
        let drawn: Vec<String> = blocks(text).iter().map(|block| block.markup().into_string()).collect();
        assert_eq!(
            drawn,
            [
                "<h1>Top</h1>",
                "<p>One two.</p>",
                "<h3 id=\"alertname\">AlertName</h3>",
                "<p><strong>Do:</strong></p>",
                "<ol><li><code>a &lt;b&gt;</code> or more</li><li><a href=\"#other\">see</a>, \
                 <a href=\"https://x.example/\" rel=\"noreferrer\">https://x.example/</a></li></ol>",
                "<p>End file.</p>",
            ]
        );
    }

    #[test]
    fn the_runbook_of_every_verdict_is_there_and_every_link_leads_somewhere() {
        let drawn: String = blocks(TEXT).iter().map(|block| block.markup().into_string()).collect();
        let verdicts = Verdict::ALL.iter().filter_map(|&verdict| words::runbook(verdict));
        for heading in verdicts {
            assert!(drawn.contains(&format!("<h3 id=\"{}\">", anchor(heading))), "{heading}");
        }
        for link in drawn.split("href=\"#").skip(1) {
            let target = link.split('"').next().unwrap();
            assert!(drawn.contains(&format!("id=\"{target}\"")), "#{target}");
        }
        assert!(!drawn.contains("**") && !drawn.contains("]("), "nothing is left undrawn");
    }
}
