//! What is wrong with the arguments of a command line: one sentence with advice, without anything that may be a secret.

use clap::error::{ContextKind, ContextValue};
use web_toolkit::settings::{has_token, looks_like_secret};

/// Describes an error of the arguments.
pub(super) fn describe(error: &clap::Error) -> String {
    let mut text = error.render().to_string();
    for (kind, quoted) in error.context().filter_map(|(kind, value)| Some((kind, as_text(value)?))) {
        if may_be_secret(kind, quoted) {
            let length = quoted.chars().count();
            text = text.replace(&format!("'{quoted}'"), &format!("({length} characters, not shown)"));
        }
    }
    let first = text.lines().next().unwrap_or_default();
    let message = first.strip_prefix("error: ").unwrap_or(first);
    let suggested = error.get(ContextKind::SuggestedArg).or_else(|| error.get(ContextKind::SuggestedSubcommand));
    let advice = match suggested.and_then(as_text) {
        Some(name) => format!("did you mean `{name}`?"),
        None => "run `magic-tunnel-exporter --help` for a list of flags".to_owned(),
    };
    format!("{message}; {advice}")
}

fn as_text(value: &ContextValue) -> Option<&str> {
    match value {
        ContextValue::String(text) => Some(text),
        ContextValue::Strings(texts) => texts.first().map(String::as_str),
        _ => None,
    }
}

/// Whether clap quotes what can be a misplaced token: an argument that is not a flag, or a text that looks like one.
fn may_be_secret(kind: ContextKind, quoted: &str) -> bool {
    match kind {
        ContextKind::InvalidSubcommand => true,
        ContextKind::InvalidArg => match quoted.strip_prefix('-') {
            Some(flag) => has_token(flag) || looks_like_secret(flag) && flag.contains(|c: char| c.is_ascii_digit()),
            None => !quoted.starts_with('<'),
        },
        ContextKind::InvalidValue => looks_like_secret(quoted),
        _ => false,
    }
}
