//! What is wrong with the arguments of a command line: one sentence with advice, without anything that may be a secret.

use clap::error::{ContextKind, ContextValue, ErrorKind};
use web_toolkit::settings::{has_token, looks_like_secret};

/// Describes an error of the arguments.
pub(super) fn describe(error: &clap::Error) -> String {
    let mut text = error.render().to_string();
    for (kind, value) in error.context() {
        for quoted in texts(value).iter().filter(|quoted| may_be_secret(kind, quoted)) {
            let length = quoted.chars().count();
            text = text.replace(&format!("'{quoted}'"), &format!("({length} characters, not shown)"));
        }
    }
    let first = text.lines().next().unwrap_or_default();
    let mut message = first.strip_prefix("error: ").unwrap_or(first).to_owned();
    if error.kind() == ErrorKind::MissingRequiredArgument {
        // clap lists them on the next lines.
        message = format!("{message} {}", context(error, ContextKind::InvalidArg).join(", "));
    }
    format!("{message}; {}", advice(error))
}

/// The values that are possible, what was probably meant, or where to look.
fn advice(error: &clap::Error) -> String {
    let known = context(error, ContextKind::ValidValue);
    let suggested = [ContextKind::SuggestedArg, ContextKind::SuggestedSubcommand, ContextKind::SuggestedValue];
    let suggested: Vec<String> =
        suggested.into_iter().flat_map(|kind| context(error, kind)).map(|name| format!("`{name}`")).collect();
    let mut advice = Vec::new();
    if !known.is_empty() {
        advice.push(format!("expected one of {}", known.join(", ")));
    }
    if !suggested.is_empty() {
        advice.push(format!("did you mean {}?", suggested.join(" or ")));
    }
    advice.extend(context(error, ContextKind::Suggested).into_iter().filter(|tip| tip.ends_with(" exists")));
    if advice.is_empty() {
        advice.push("run `magic-tunnel-exporter --help` for a list of flags".to_owned());
    }
    advice.join("; ")
}

fn context(error: &clap::Error, kind: ContextKind) -> Vec<String> {
    error.get(kind).map(texts).unwrap_or_default()
}

fn texts(value: &ContextValue) -> Vec<String> {
    match value {
        ContextValue::String(text) => vec![text.clone()],
        ContextValue::Strings(texts) => texts.clone(),
        ContextValue::StyledStrs(texts) => texts.iter().map(ToString::to_string).collect(),
        _ => Vec::new(),
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
