//! Reads YAML, and JSON with it. The only place that knows the YAML crate's options: its errors would print the lines
//! around a mistake, secrets included.

mod node;

use serde::de::DeserializeOwned;
use serde_saphyr::{Error, Spanned, options::NonFiniteFloatPolicy};

pub use self::node::{Key, Node, Value};
use self::node::{Raw, as_written};

/// Where text is wrong, and how, in one line.
#[derive(Debug)]
pub struct Mistake {
    pub line: u64,
    pub what: String,
}

/// Where a file is wrong, and how.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{file}: line {line}: {what}")]
pub struct YamlError {
    file: String,
    line: u64,
    what: String,
}

impl Mistake {
    /// With the file's name.
    pub fn of(self, file: &str) -> YamlError {
        YamlError { file: file.to_owned(), line: self.line, what: self.what }
    }
}

/// Reads one document; a mistake is one line that never repeats more than the offending word.
pub fn read<T: DeserializeOwned>(text: &str) -> Result<T, Mistake> {
    let options = serde_saphyr::options! { with_snippet: false };
    serde_saphyr::from_str_with_options(text, options).map_err(|error| Mistake {
        line: error.location().map_or(1, |location| location.line()),
        what: error.without_snippet().to_string(),
    })
}

/// Reads one document as it is written, whatever its shape. An empty one is [`Value::Empty`].
///
/// # Errors
/// It is no YAML, has more than one document, or names a key twice. No part of the text is repeated but the key that is given twice.
pub fn tree(text: &str) -> Result<Node, Mistake> {
    // What would be no number is text all the same.
    let options =
        serde_saphyr::options! { with_snippet: false, non_finite_float_policy: NonFiniteFloatPolicy::PassThrough };
    match serde_saphyr::from_str_with_options::<Spanned<Raw>>(text, options) {
        Ok(raw) => Ok(as_written(raw, text)),
        Err(error) => Err(Mistake {
            line: error.location().map_or(1, |location| location.line()),
            what: discreet(error.without_snippet(), text),
        }),
    }
}

/// What is wrong, unless that would quote the text: what is quoted may be a secret.
fn discreet(error: &Error, text: &str) -> String {
    const LONGEST_QUOTE: usize = 12;
    if let Error::DuplicateMappingKey { key: Some(key), .. } = error {
        return format!("`{key}` is given twice");
    }
    let message = error.to_string();
    let what = message.rsplit_once(" at line ").map_or(message.as_str(), |(what, _)| what);
    let words = text.split(|c: char| c.is_whitespace() || "\"':,[]{}".contains(c));
    let quotes = words.filter(|word| word.len() >= LONGEST_QUOTE).any(|word| what.contains(word));
    if quotes { "cannot be read as YAML".to_owned() } else { what.replace('\n', " ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The document in one line, keys and lines included.
    fn drawn(node: &Node) -> String {
        let value = match &node.value {
            Value::Empty => "-".to_owned(),
            Value::Text(text) => format!("{text:?}"),
            Value::List(list) => format!("[{}]", list.iter().map(drawn).collect::<Vec<_>>().join(", ")),
            Value::Map(map) => {
                let entries = map.iter().map(|(key, node)| format!("{}@{} = {}", key.name, key.line, drawn(node)));
                format!("{{{}}}", entries.collect::<Vec<_>>().join(", "))
            }
        };
        format!("{value}@{}", node.line)
    }

    #[test]
    fn scalars_are_taken_as_they_are_written() {
        for (text, value) in [
            ("0815", "0815"),
            ("1e3", "1e3"),
            ("12345678901234567890123456789012", "12345678901234567890123456789012"),
            ("00000000000000000000000000000001", "00000000000000000000000000000001"),
            ("12345678e12345678901234567890123", "12345678e12345678901234567890123"),
            ("-5", "-5"),
            ("0x10", "0x10"),
            ("yes", "yes"),
            ("off", "off"),
            (".inf", ".inf"),
            ("1s   # a comment", "1s"),
            ("2001:db8::1", "2001:db8::1"),
            ("\"12\"", "12"),
            ("'yes'", "yes"),
            ("müller", "müller"),
        ] {
            let document = format!("# ü\nkey: {text}\n");
            assert_eq!(drawn(&tree(&document).unwrap()), format!("{{key@2 = {value:?}@2}}@2"), "{text}");
        }
    }

    #[test]
    fn values_know_their_line_and_keep_their_order() {
        let text = "a:\n  - 1\n  - b: ~\n    c:\nz: [on, x]\nd: {e: 5}\n";
        assert_eq!(
            drawn(&tree(text).unwrap()),
            r#"{a@1 = ["1"@2, {b@3 = -@3, c@4 = -@4}@3]@2, z@5 = ["on"@5, "x"@5]@5, d@6 = {e@6 = "5"@6}@6}@1"#
        );
    }

    #[test]
    fn an_alias_is_the_value_that_it_names() {
        let drawn = drawn(&tree("a: &x 0010\nb: *x\n").unwrap());
        assert_eq!(drawn, r#"{a@1 = "0010"@1, b@2 = "0010"@1}@1"#);
    }

    #[test]
    fn an_empty_document_is_empty() {
        for text in ["", "# nothing but words\n", "~\n", "---\n"] {
            assert!(matches!(tree(text).unwrap().value, Value::Empty), "{text:?}");
        }
    }

    #[test]
    fn a_mistake_has_its_line_and_repeats_nothing() {
        const SECRET: &str = "s3cr3t-0123456789abcdef";
        for (text, line) in [
            ("a: 1\nb: \"SECRET\n", 2),
            ("a: 1\n  b: SECRET\n", 2),
            ("a: [SECRET\n", 1),
            ("a: *SECRET\n", 1),
            ("a: !SECRET x\nb: {SECRET\n", 2),
            ("a: @SECRET\n", 1),
            ("a: `SECRET`\n", 1),
            ("a: %SECRET\n- SECRET\n", 1),
            ("a: 1\n\tb: SECRET\n", 2),
            ("a: \"\\qSECRET\"\n", 1),
            ("SECRET: 1\n---\nSECRET: 2\n", 2),
            ("a: 1\nSECRET\n", 2),
            ("? [SECRET]\n: 1\n", 1),
            ("? {a: SECRET}\n: 1\n", 1),
            ("a: !!int SECRET\n", 1),
            ("a: !!binary SECRET\n", 1),
            ("<<: SECRET\n", 1),
        ] {
            let Err(mistake) = tree(&text.replace("SECRET", SECRET)) else { continue };
            assert!(!mistake.what.contains(SECRET) && !mistake.what.contains('\n'), "{text:?}: {}", mistake.what);
            assert!(mistake.line.abs_diff(line) <= 1, "{text:?}: line {}: {}", mistake.line, mistake.what);
        }
    }

    #[test]
    fn a_key_that_is_given_twice_is_named() {
        let Err(mistake) = tree("a:\n  b: 1\n  c: 2\n  b: 3\n") else { panic!("accepted") };
        assert_eq!((mistake.line, mistake.what.as_str()), (4, "`b` is given twice"));
    }

    #[test]
    fn a_bomb_of_aliases_is_refused() {
        let line = |n: usize| format!("a{n}: &a{n} [{}]\n", vec![format!("*a{}", n - 1); 10].join(", "));
        let text: String = std::iter::once("a0: &a0 [x]\n".to_owned()).chain((1..12).map(line)).collect();
        assert!(tree(&text).is_err());
        assert!(tree(&"[".repeat(100_000)).is_err());
    }
}
