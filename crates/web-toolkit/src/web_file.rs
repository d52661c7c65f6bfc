//! The web configuration file (`--web.config.file`): TLS, passwords, headers and a rate, in the format that Prometheus and its exporters
//! share.
//!
//! [`WebFile`] reads the file and all that it names and checks everything; what it returns can be served as it is. Sentences
//! name lines and keys, and values only where they cannot be secrets.

mod access;
mod material;
mod tls;

use std::{path::PathBuf, sync::Arc};

use jiff::{Timestamp, Unit};

use self::material::Material;
use super::{
    document,
    given::{ConfigError, Given},
};
use crate::{
    file::{self, FileError, Fingerprint, Fingerprints},
    guard::RequestRules,
    server::tls::{Clients, TlsConfig},
};

/// With certificates and keys in the text itself it is still a small file.
const MOST_BYTES: u64 = 1 << 20;

/// A web configuration file that was read and holds together.
#[derive(Debug, Clone)]
pub struct WebFile {
    /// Who named it.
    given: Given,
    /// `None` where HTTP is served in the clear.
    pub tls: Option<Arc<TlsConfig>>,
    pub rules: Arc<RequestRules>,
    /// The file and those it names, as they looked when they were read.
    pub files: Fingerprints,
    /// Of what it is made, and that is no mistake but should not stay so. Each is a sentence.
    remarks: Vec<String>,
}

impl WebFile {
    pub fn load(given: Given) -> Result<Self, ConfigError> {
        let path = given.path();
        let unreadable = |error: FileError| given.wrong(error.to_string());
        let looks = Fingerprint::read(&path);
        let content = file::read(&path, MOST_BYTES).map_err(unreadable)?;
        let text = String::from_utf8(content.bytes).map_err(|_| unreadable(FileError::NotText))?;
        let mut root = document::parse(&path.to_string_lossy(), &text)?;
        let mut material = Material::new(content.world_readable);
        let tls = tls::read(root.section("tls_server_config")?, &mut material)?;
        let rules = access::read(&mut root)?;
        root.finish()?;
        let remarks = [material.remarks, remarks(tls.is_some(), &rules)].concat();
        let files = material.files.into_iter().chain([(path, looks)]).collect();
        Ok(Self { given, tls: tls.map(Arc::new), rules: Arc::new(rules), files, remarks })
    }

    /// The same file as it is now. Blocks.
    ///
    /// # Errors
    /// The first key whose value breaks a rule.
    pub fn again(&self) -> Result<Self, ConfigError> {
        Self::load(self.given.clone())
    }

    pub fn path(&self) -> PathBuf {
        self.given.path()
    }

    /// What an operator should know of a file that is in force.
    pub fn warnings(&self, now: Timestamp) -> Vec<String> {
        let expiry = self.tls.as_ref().and_then(|tls| out_of_time(tls, now));
        expiry.into_iter().chain(self.remarks.iter().cloned()).collect()
    }

    /// The same without the time: what it is made of.
    pub fn remarks(&self) -> &[String] {
        &self.remarks
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

/// The same files in the same state make the same configuration.
impl PartialEq for WebFile {
    fn eq(&self, other: &Self) -> bool {
        self.path() == other.path() && self.files == other.files
    }
}

impl Eq for WebFile {}

fn remarks(has_tls: bool, rules: &RequestRules) -> Vec<String> {
    let remark = match (has_tls, rules.users().is_some()) {
        (true, _) => return Vec::new(),
        (false, true) => "passwords are asked for without TLS: they cross the network in the clear",
        (false, false) => "neither TLS nor a password is asked for: anybody who reaches the port can read it",
    };
    vec![remark.to_owned()]
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
