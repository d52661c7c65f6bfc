//! The web configuration file (`--web.config.file`): TLS, passwords, headers and a rate, in the format that Prometheus and its exporters
//! share.
//!
//! [`WebFile::load`] reads the file and all that it names and checks everything; what it returns can be served as it is. Nothing in the
//! file is trusted to be no secret: sentences about it name keys, and values only where a key's value cannot be one.

mod access;
mod section;
mod tls;

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use jiff::{Timestamp, Unit};

use self::section::Section;
use super::check::ConfigError;
use crate::{
    file::{self, FileError, Fingerprint, Fingerprints},
    http::guard::Rules,
    server::tls::{Clients, TlsConfig},
    yaml,
};

const KEY: &str = "--web.config.file";

/// With certificates and keys in the text itself it is still a small file.
const MOST_BYTES: u64 = 1 << 20;

/// A web configuration file that was read and holds together.
#[derive(Debug, Clone)]
pub struct WebFile {
    pub path: PathBuf,
    /// `None` where HTTP is served in the clear.
    pub tls: Option<Arc<TlsConfig>>,
    pub rules: Arc<Rules>,
    /// The file and those it names, as they looked when they were read.
    pub files: Fingerprints,
    /// Of what it is made, and that is no mistake but should not stay so. Each is a sentence.
    remarks: Vec<String>,
}

impl WebFile {
    /// Blocks.
    ///
    /// # Errors
    /// The first key whose value breaks a rule.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let wrong = |rule: String| ConfigError::new(KEY, path.display().to_string(), rule);
        let looks = Fingerprint::of(path);
        let content = file::read(path, MOST_BYTES).map_err(|error| wrong(error.to_string()))?;
        let text = String::from_utf8(content.bytes).map_err(|_| wrong(FileError::NotText.to_string()))?;
        let mut file = Self::parse(path, &text, content.world_readable).map_err(wrong)?;
        file.files.insert(path.to_owned(), looks);
        Ok(file)
    }

    fn parse(path: &Path, text: &str, world_readable: bool) -> Result<Self, String> {
        let folder = path.parent().unwrap_or(Path::new(""));
        let document = yaml::read(text).map_err(|mistake| format!("line {}: cannot be read as YAML", mistake.line))?;
        let mut document = Section::top(document)?;
        let mut found = tls::Found { world_readable, ..tls::Found::default() };
        let tls = document.section("tls_server_config")?.map(|section| tls::read(section, folder, &mut found));
        let tls = tls.transpose()?.flatten();
        let rules = access::read(&mut document, &mut found.remarks)?;
        document.finish()?;
        if tls.is_none() && rules.users().is_none() {
            found
                .remarks
                .push("neither TLS nor a password is asked for: anybody who reaches the port can read it".into());
        } else if tls.is_none() {
            found.remarks.push("passwords are asked for without TLS: they cross the network in the clear".into());
        }
        let tls = tls.map(Arc::new);
        Ok(Self { path: path.to_owned(), tls, rules: Arc::new(rules), files: found.files, remarks: found.remarks })
    }

    /// What an operator should know of a file that is in force.
    pub fn remarks(&self, now: Timestamp) -> Vec<String> {
        let expiry = self.tls.as_ref().and_then(|tls| out_of_time(tls, now));
        expiry.into_iter().chain(self.remarks.iter().cloned()).collect()
    }

    /// What `next` would no longer ask for, if that is something. A file that is being written can look like one that asks for less.
    pub fn weakened_by(&self, next: &Self) -> Option<&'static str> {
        match (&self.tls, &next.tls) {
            (Some(_), None) => return Some("it has no tls_server_config any more"),
            (Some(old), Some(new)) if proof(old.clients()) > proof(new.clients()) => {
                return Some("it asks less of the certificates of clients");
            }
            _ => {}
        }
        let passwords_end = self.rules.users().is_some() && next.rules.users().is_none();
        passwords_end.then_some("it has no basic_auth_users any more")
    }
}

/// How much clients have to prove.
fn proof(clients: &Clients) -> u8 {
    match clients {
        Clients::All => 0,
        Clients::VerifiedIfGiven { .. } => 1,
        Clients::Verified { names, .. } if names.is_empty() => 2,
        Clients::Verified { .. } => 3,
    }
}

/// Served all the same, as other exporters do: clients that do not check it go on to work, those that do say why they stop.
fn out_of_time(tls: &TlsConfig, now: Timestamp) -> Option<String> {
    let validity = tls.validity();
    let at = |time: Timestamp| time.round(Unit::Second).unwrap_or(time);
    if now > validity.not_after {
        return Some(format!("its certificate expired at {}: clients that check it refuse it", at(validity.not_after)));
    }
    let early = now < validity.not_before;
    early.then(|| {
        format!("its certificate holds only from {} on: clients that check it refuse it", at(validity.not_before))
    })
}

#[cfg(test)]
mod tests;
