//! The part of PromQL that the rules need: the series that a query selects, their ranges, and the functions around
//! them.
//!
//! Prometheus itself checks that a query is valid.

/// One selector of a query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Selector {
    pub(super) name: String,
    /// The text between the braces.
    pub(super) matchers: String,
    /// The text between the brackets.
    pub(super) range: Option<String>,
    /// The functions and aggregations around it, from the outside in.
    pub(super) inside: Vec<String>,
}

/// Keywords that are followed by a list of labels.
const LABEL_LISTS: [&str; 6] = ["by", "without", "on", "ignoring", "group_left", "group_right"];
const OPERATORS: [&str; 5] = ["and", "or", "unless", "bool", "offset"];

/// All selectors of a query, in the order of the query.
///
/// # Panics
/// The query's brackets do not match.
pub(super) fn selectors(expr: &str) -> Vec<Selector> {
    let mut found: Vec<Selector> = Vec::new();
    let mut calls: Vec<String> = Vec::new();
    let mut word = String::new();
    let mut rest = expr;
    while let Some(c) = rest.chars().next() {
        let length = rest.find(|c: char| !is_word(c)).unwrap_or(rest.len());
        if length > 0 {
            let next = &rest[..length];
            rest = &rest[length..];
            if LABEL_LISTS.contains(&next) {
                rest = after_labels(rest);
            } else if is_metric(next, rest) {
                found.push(Selector { name: next.into(), matchers: String::new(), range: None, inside: calls.clone() });
            } else {
                word = if is_call(next, rest) { next.to_owned() } else { String::new() };
            }
            continue;
        }
        match c {
            '(' => calls.push(std::mem::take(&mut word)),
            ')' => drop(calls.pop().unwrap_or_else(|| panic!("a `)` too many in {expr}"))),
            '{' | '[' => {
                let close = if c == '{' { '}' } else { ']' };
                let end = closing(rest, close).unwrap_or_else(|| panic!("no `{close}` in {expr}"));
                let text = rest[1..end].to_owned();
                let last = found.last_mut().unwrap_or_else(|| panic!("`{c}` without a series in {expr}"));
                if c == '{' {
                    last.matchers = text;
                } else {
                    last.range = Some(text);
                }
                rest = &rest[end..];
            }
            _ => {}
        }
        rest = &rest[rest.chars().next().map_or(0, char::len_utf8)..];
    }
    assert!(calls.is_empty(), "a `)` is missing in {expr}");
    for selector in &mut found {
        selector.inside.retain(|call| !call.is_empty());
    }
    found
}

fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '_' | ':' | '$' | '.')
}

fn is_metric(word: &str, after: &str) -> bool {
    is_name(word) && !is_call(word, after)
}

/// A function is followed by its arguments. An aggregation may have its labels first.
fn is_call(word: &str, after: &str) -> bool {
    const AGGREGATIONS: [&str; 7] = ["sum", "min", "max", "avg", "count", "topk", "bottomk"];
    is_name(word) && (after.trim_start().starts_with('(') || AGGREGATIONS.contains(&word))
}

fn is_name(word: &str) -> bool {
    word.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') && !OPERATORS.contains(&word)
}

/// The text after a list of labels. The list may be missing, for example after a plain `group_left`.
fn after_labels(rest: &str) -> &str {
    let start = rest.trim_start();
    if !start.starts_with('(') {
        return rest;
    }
    start.find(')').map_or("", |end| &start[end + 1..])
}

/// The position of the closing bracket; brackets in strings do not count.
fn closing(text: &str, close: char) -> Option<usize> {
    let mut quoted = false;
    let mut escaped = false;
    text.char_indices().find_map(|(at, c)| {
        let ends = c == close && !quoted;
        if c == '"' && !escaped {
            quoted = !quoted;
        }
        escaped = c == '\\' && !escaped;
        ends.then_some(at)
    })
}

#[test]
fn finds_selectors_with_their_ranges_and_functions() {
    let found = |expr: &str| -> Vec<[String; 4]> {
        let show = |s: Selector| [s.name, s.matchers, s.range.unwrap_or_default(), s.inside.join(" ")];
        selectors(expr).into_iter().map(show).collect()
    };
    let table: [(&str, &[[&str; 4]]); 8] = [
        ("up", &[["up", "", "", ""]]),
        (
            "sum by (a, b) (rate(x_total{j=~\"$j\"}[$__rate_interval]))",
            &[["x_total", "j=~\"$j\"", "$__rate_interval", "sum rate"]],
        ),
        ("sum(rate(x_total[5m])) by (le)", &[["x_total", "", "5m", "sum rate"]]),
        ("topk($limit, a{x=\"}\\\"]\"}) and on (k) b", &[["a", "x=\"}\\\"]\"", "", "topk"], ["b", "", "", ""]]),
        ("avg_over_time(a{}[$__range] @ end())", &[["a", "", "$__range", "avg_over_time"]]),
        ("(1000 * a) * ignoring (v) group_left (v) (b == 1)", &[["a", "", "", ""], ["b", "", "", ""]]),
        (
            "histogram_quantile(0.99, sum by (le) (rate(h_bucket[1m])))",
            &[["h_bucket", "", "1m", "histogram_quantile sum rate"]],
        ),
        ("time() - min(a == bool 0)", &[["a", "", "", "min"]]),
    ];
    for (expr, expected) in table {
        assert_eq!(found(expr), expected, "{expr}");
    }
}
