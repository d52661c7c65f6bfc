//! Reads YAML, and JSON with it. The only place that knows the YAML crate's options: its errors would print the lines
//! around a mistake, secrets included.

use serde::de::DeserializeOwned;

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
