//! docs/RUNBOOKS.md as a page, so that it is available when nothing else can be reached.

use maud::{Markup, PreEscaped, html};
use pulldown_cmark::{Event, Options, Parser, Tag, TagEnd, html::push_html};

use super::document::Document;
use crate::snapshot::rows::Concern;

const TEXT: &str = include_str!("../../../docs/RUNBOOKS.md");

/// Draws the page.
pub(in crate::http) fn draw_runbooks() -> Document {
    let body = html! {
        nav class="crumbs" aria-label="Breadcrumb" { a href="./" { "← All tunnels" } }
        article class="card runbooks" { (render_markdown(TEXT)) }
    };
    Document { title: "Runbooks".to_owned(), concern: Concern::Unsure, root: "./", body }
}

fn render_markdown(text: &str) -> Markup {
    let mut events = read_events(text);
    add_anchors(&mut events);
    add_scopes(&mut events);
    let mut html = String::new();
    push_html(&mut html, events.into_iter());
    PreEscaped(html)
}

/// Parses the text. Raw HTML becomes text. Links to other files become text, because the server does not have these
/// files.
fn read_events(text: &str) -> Vec<Event<'_>> {
    let mut in_link = false;
    let events = Parser::new_ext(text, Options::ENABLE_TABLES).filter_map(move |event| match event {
        Event::Html(html) | Event::InlineHtml(html) => Some(Event::Text(html)),
        Event::Start(Tag::Link { ref dest_url, .. }) => {
            in_link = ["#", "https://"].iter().any(|prefix| dest_url.starts_with(prefix));
            in_link.then_some(event)
        }
        Event::End(TagEnd::Link) => in_link.then_some(event),
        Event::Start(Tag::Image { .. }) | Event::End(TagEnd::Image) => None,
        _ => Some(event),
    });
    events.collect()
}

/// Gives each heading an id that is derived from its text.
fn add_anchors(events: &mut [Event<'_>]) {
    for index in 0..events.len() {
        let (head, rest) = events.split_at_mut(index + 1);
        if let Some(Event::Start(Tag::Heading { id, .. })) = head.last_mut() {
            let inside = rest.iter().take_while(|event| !matches!(event, Event::End(TagEnd::Heading(_))));
            let text: String = inside.filter_map(text_of).collect();
            *id = Some(anchor_of(&text).into());
        }
    }
}

/// Marks the head of each column and row of a table, because screen readers announce them with each cell.
fn add_scopes(events: &mut [Event<'_>]) {
    const COLUMN: (&str, &str) = ("<th scope=\"col\">", "</th>");
    const ROW: (&str, &str) = ("<th scope=\"row\">", "</th>");
    const DATA: (&str, &str) = ("<td>", "</td>");
    let mut cell = COLUMN;
    for event in events {
        match event {
            Event::Start(Tag::TableHead) => cell = COLUMN,
            Event::Start(Tag::TableRow) => cell = ROW,
            Event::Start(Tag::TableCell) => *event = Event::Html(cell.0.into()),
            Event::End(TagEnd::TableCell) => {
                *event = Event::Html(cell.1.into());
                cell = if cell == COLUMN { COLUMN } else { DATA };
            }
            _ => {}
        }
    }
}

fn text_of<'a>(event: &'a Event<'_>) -> Option<&'a str> {
    match event {
        Event::Text(text) | Event::Code(text) => Some(text),
        _ => None,
    }
}

/// The same rule as on GitHub, for headings without punctuation.
fn anchor_of(heading: &str) -> String {
    heading.to_lowercase().replace(' ', "-")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        domain::{label::Label as _, verdict::Verdict},
        http::pages::words,
    };

    #[test]
    fn headings_lists_and_links_are_rendered() {
        let text = "# Top\n\nOne\ntwo.\n\n### Alert `Name`\n**Do:**\n1. `a <b>` or\n   more\n\
            2. [see](#other), <https://x.example/>\n\nEnd [file](../f.yml).";
        let lines = [
            "<h1 id=\"top\">Top</h1>",
            "<p>One\ntwo.</p>",
            "<h3 id=\"alert-name\">Alert <code>Name</code></h3>",
            "<p><strong>Do:</strong></p>",
            "<ol>",
            "<li><code>a &lt;b&gt;</code> or\nmore</li>",
            "<li><a href=\"#other\">see</a>, <a href=\"https://x.example/\">https://x.example/</a></li>",
            "</ol>",
            "<p>End file.</p>",
        ];
        assert_eq!(render_markdown(text).into_string().trim_end(), lines.join("\n"));
    }

    #[test]
    fn commands_keep_their_lines_and_tables_their_cells() {
        let text = "1. Ask:\n   ```sh\n   curl \"$X\" |\n       jq '.a <b>'\n   ```\n\n| you see | do |\n|---|---|\n| `a` | b |";
        let html = render_markdown(text).into_string();
        let parts = [
            "<pre><code class=\"language-sh\">curl \"$X\" |\n    jq '.a &lt;b&gt;'\n</code></pre>",
            "<thead><tr><th scope=\"col\">you see</th><th scope=\"col\">do</th></tr></thead>",
            "<tr><th scope=\"row\"><code>a</code></th><td>b</td></tr>",
        ];
        for part in parts {
            assert!(html.contains(part), "{part} is missing in {html}");
        }
    }

    #[test]
    fn raw_html_images_and_scripts_in_links_are_not_rendered() {
        let text = "<script>alert(1)</script>\n\nA <b onclick=x>c</b> ![d](https://e.example/f) [g](javascript:h)\n\n\
            <https://i.example/?\"j>";
        let html = render_markdown(text).into_string();
        for part in ["<script", "<b", "<img", "javascript:", "href=\"https://i.example/?\""] {
            assert!(!html.contains(part), "{part} in {html}");
        }
        assert!(html.contains("&lt;script&gt;alert(1)") && html.contains("d g</p>"), "{html}");
    }

    #[test]
    fn every_verdict_has_its_runbook_and_every_link_its_target() {
        let html = render_markdown(TEXT).into_string();
        for heading in Verdict::ALL.iter().filter_map(|&verdict| words::runbook_heading(verdict)) {
            assert!(html.contains(&format!("<h3 id=\"{}\">", anchor_of(heading))), "{heading}");
        }
        for link in html.split("href=\"#").skip(1) {
            let target = link.split('"').next().unwrap();
            assert!(html.contains(&format!("id=\"{target}\"")), "#{target}");
        }
        for mark in ["**", "](", "```", "|---"] {
            assert!(!html.contains(mark), "unrendered Markdown: {mark}");
        }
    }
}
