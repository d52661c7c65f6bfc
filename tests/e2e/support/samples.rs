//! The page of metrics as samples. Accepts valid pages only; other tests check the page with strict parsers.

use std::{collections::BTreeMap, fmt::Write as _};

/// One sample line of the page.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Sample {
    pub(crate) name: String,
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) value: f64,
}

/// A scraped page.
#[derive(Debug)]
pub(crate) struct Samples(pub(crate) Vec<Sample>);

impl Samples {
    pub(crate) fn parse(page: &str) -> Self {
        let lines = page.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
        Self(lines.map(|line| sample(line).unwrap_or_else(|| panic!("no sample: {line}"))).collect())
    }

    /// All samples of a metric that have at least these labels; `name` is the name without the common prefix.
    pub(crate) fn all(&self, name: &str, labels: &[(&str, &str)]) -> Vec<&Sample> {
        let name = format!("cloudflare_magic_{name}");
        let fits = |sample: &&Sample| {
            sample.name == name && labels.iter().all(|(k, v)| sample.labels.get(*k).is_some_and(|value| value == v))
        };
        self.0.iter().filter(fits).collect()
    }

    /// The value of the only sample with these labels; `None` if there is none. Panics if there are several.
    pub(crate) fn value(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let found = self.all(name, labels);
        assert!(found.len() < 2, "{name} {labels:?} is not one series but {found:?}");
        found.first().map(|sample| sample.value)
    }
}

fn sample(line: &str) -> Option<Sample> {
    let name_end = line.find(['{', ' '])?;
    let (name, mut rest) = line.split_at(name_end);
    let mut labels = BTreeMap::new();
    if let Some(inside) = rest.strip_prefix('{') {
        rest = inside;
        while !rest.starts_with('}') {
            let (label, after) = rest.split_once("=\"")?;
            let (value, after) = unescape(after)?;
            labels.insert(label.to_owned(), value);
            rest = after.strip_prefix(',').unwrap_or(after);
        }
        rest = &rest[1..];
    }
    let value = rest.split_whitespace().next()?.replace("Inf", "inf").parse().ok()?;
    Some(Sample { name: name.to_owned(), labels, value })
}

/// A label value up to its closing quote, and the rest of the line.
fn unescape(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Some((value, &text[at + 1..])),
            '\\' => value.push(match chars.next()?.1 {
                'n' => '\n',
                other => other,
            }),
            c => value.push(c),
        }
    }
    None
}

/// The page without values: one line for each series, in the order of the page.
pub(crate) fn series_of(page: &str) -> String {
    let mut series = String::new();
    for sample in Samples::parse(page).0 {
        writeln!(series, "{} {:?}", sample.name, sample.labels).expect("writing to a string");
    }
    series
}

#[test]
fn reads_labels_with_quotes_backslashes_and_braces() {
    let samples = Samples::parse("# HELP a b\na{x=\"q\\\"}\\\\\\n\",y=\"\"} 2.5\nb 1e3\nc{le=\"+Inf\"} +Inf 17\n");
    let [a, b, c] = samples.0.as_slice() else { panic!("{samples:?}") };
    assert_eq!((a.labels["x"].as_str(), a.labels["y"].as_str(), a.value), ("q\"}\\\n", "", 2.5));
    assert_eq!((b.name.as_str(), b.value), ("b", 1000.0));
    assert_eq!((c.labels["le"].as_str(), c.value), ("+Inf", f64::INFINITY));
}
