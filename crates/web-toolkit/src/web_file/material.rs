//! Certificates and keys, each from a file or in the text itself.

use super::super::{
    document::Section,
    given::{ConfigError, Given},
};
use crate::{
    file::{self, Content, Fingerprint, Fingerprints},
    server::tls::PemError,
};

/// A chain of certificates has a few KiB, a bundle of CAs some hundred.
const MOST_BYTES: u64 = 1 << 20;

/// The two keys that one thing may stand behind.
pub(super) struct Place {
    pub(super) inline: &'static str,
    pub(super) by_path: &'static str,
    /// Whether others should not read it.
    pub(super) secret: bool,
}

/// Reads what the file names, and keeps what was come by.
#[derive(Debug)]
pub(super) struct Material {
    /// Whether any user of this machine may read the file itself.
    world_readable: bool,
    pub(super) files: Fingerprints,
    pub(super) remarks: Vec<String>,
}

impl Material {
    pub(super) fn new(world_readable: bool) -> Self {
        Self { world_readable, files: Fingerprints::new(), remarks: Vec::new() }
    }

    /// What `make` makes of it, and the key that gave it; `None` where neither key is there.
    pub(super) fn read<T>(
        &mut self,
        section: &mut Section,
        place: &Place,
        make: fn(&[u8]) -> Result<T, PemError>,
    ) -> Result<Option<(T, Given)>, ConfigError> {
        let not_empty = |given: &Given| !given.trimmed().is_empty();
        let text = section.text(place.inline)?.filter(not_empty);
        let path = section.text(place.by_path)?.filter(not_empty);
        let (content, given) = match (text, path) {
            (None, None) => return Ok(None),
            (Some(_), Some(path)) => {
                let beside = format!("must not stand beside `{}`: one of them is enough", place.inline);
                return Err(path.secretly_wrong(beside));
            }
            (Some(text), None) => {
                let bytes = text.text.clone().into_bytes();
                (Content { bytes, world_readable: self.world_readable }, text)
            }
            (None, Some(path)) => (self.content(&path)?, path),
        };
        if place.secret && content.world_readable {
            let mend = "can be read by every user of this machine: `chmod o-r` on its file would mend it";
            self.remarks.push(format!("`{}` {mend}", given.key));
        }
        let whole = make(&content.bytes).map_err(|error| given.secretly_wrong(error.to_string()))?;
        Ok(Some((whole, given)))
    }

    fn content(&mut self, given: &Given) -> Result<Content, ConfigError> {
        if given.text.contains("-----BEGIN") || given.text.contains('\n') {
            let rule = "must be a path: the text itself belongs behind the same key without `_file`";
            return Err(given.secretly_wrong(rule));
        }
        let path = given.path();
        self.files.insert(path.clone(), Fingerprint::read(&path));
        file::read(&path, MOST_BYTES).map_err(|error| given.wrong(error.to_string()))
    }
}
