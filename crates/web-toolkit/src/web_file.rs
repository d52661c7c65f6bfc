//! The web configuration file (`--web.config.file`): TLS, passwords, headers and a rate limit, in the format that
//! Prometheus and its exporters share.
//!
//! [`WebFile`] reads the file and all files that it names. A `WebFile` is completely checked, so it can be used as it is.

mod rules;
mod tls;

use std::{collections::BTreeMap, path::PathBuf, sync::Arc};

use jiff::{Timestamp, Unit};
use serde::Deserialize;

use self::{
    rules::{HttpKeys, RateKeys},
    tls::{TlsKeys, TlsReader},
};
use crate::{
    file::{self, FileError, Fingerprint, Fingerprints},
    guard::RequestRules,
    server::tls::{Clients, TlsConfig},
    settings::{ConfigError, Layout, Setting, SettingsReader},
    yaml::{Node, keys_of},
};

/// With certificates and keys in the text itself it is still a small file.
const MOST_BYTES: u64 = 1 << 20;

#[derive(Default, Deserialize)]
#[serde(default)]
struct WebFileKeys {
    tls_server_config: Node<TlsKeys>,
    http_server_config: Node<HttpKeys>,
    basic_auth_users: Node<BTreeMap<String, Node>>,
    rate_limit: Node<RateKeys>,
}

fn layout() -> Layout {
    let sections = vec![
        ("tls_server_config", keys_of::<TlsKeys>()),
        ("http_server_config", keys_of::<HttpKeys>()),
        ("rate_limit", keys_of::<RateKeys>()),
    ];
    Layout { sections, secrets: &[] }
}

/// A web configuration file that was read and is valid.
#[derive(Debug, Clone)]
pub struct WebFile {
    /// The flag or the key with the path of the file.
    setting: Setting,
    /// `None`: HTTP is served without TLS.
    pub tls: Option<Arc<TlsConfig>>,
    pub rules: Arc<RequestRules>,
    /// The file and those it names, as they were before they were read.
    pub files: Fingerprints,
    /// Warnings about the file: valid, but insecure or without effect.
    remarks: Vec<String>,
}

impl WebFile {
    /// Reads the file that `setting` names. Blocks.
    ///
    /// # Errors
    /// Every mistake of the file.
    pub fn load(setting: Setting) -> Result<Self, ConfigError> {
        let path = setting.path();
        let seen = Fingerprint::read(&path);
        let content = file::read(&path, MOST_BYTES).map_err(|error| setting.mistake(error))?;
        let text = String::from_utf8(content.bytes).map_err(|_| setting.mistake(FileError::NotText))?;
        let (mut reader, keys) = SettingsReader::open::<WebFileKeys>(&path.to_string_lossy(), text, layout())?;
        let mut tls_reader = TlsReader {
            reader: &mut reader,
            world_readable: content.world_readable,
            files: [(path, seen)].into(),
            remarks: Vec::new(),
        };
        let tls = tls_reader.read(keys.tls_server_config).map(Arc::new);
        let TlsReader { files, mut remarks, .. } = tls_reader;
        let rules = rules::read(&mut reader, keys.http_server_config, keys.basic_auth_users, keys.rate_limit);
        reader.finish()?;
        remarks.extend(remark_on_access(tls.is_some(), &rules));
        Ok(Self { setting, tls, rules: Arc::new(rules), files, remarks })
    }

    /// Reads the same file again. Blocks.
    ///
    /// # Errors
    /// Every mistake of the file.
    pub fn reload(&self) -> Result<Self, ConfigError> {
        Self::load(self.setting.clone())
    }

    pub fn path(&self) -> PathBuf {
        self.setting.path()
    }

    /// Warnings about the file at the time `now`: valid, but insecure, without effect or expired.
    pub fn warnings(&self, now: Timestamp) -> Vec<String> {
        let expiry = self.tls.as_ref().and_then(|tls| remark_on_validity(tls, now));
        expiry.into_iter().chain(self.remarks.iter().cloned()).collect()
    }

    /// The warnings that do not depend on the time.
    pub fn remarks(&self) -> &[String] {
        &self.remarks
    }

    /// What `next` no longer requires of clients, if anything. A file that is being written can look like a weaker one.
    pub fn weakened_by(&self, next: &Self) -> Option<&'static str> {
        match (&self.tls, &next.tls) {
            (Some(_), None) => return Some("it no longer has tls_server_config"),
            (Some(old), Some(new)) if strictness(old.clients()) > strictness(new.clients()) => {
                return Some("it requires less of client certificates");
            }
            _ => {}
        }
        let passwords_end = self.rules.users().is_some() && next.rules.users().is_none();
        passwords_end.then_some("it no longer has basic_auth_users")
    }
}

/// Equal if the same files were read in the same state.
impl PartialEq for WebFile {
    fn eq(&self, other: &Self) -> bool {
        self.path() == other.path() && self.files == other.files
    }
}

impl Eq for WebFile {}

fn remark_on_access(has_tls: bool, rules: &RequestRules) -> Option<String> {
    let remark = match (has_tls, rules.users().is_some()) {
        (true, _) => return None,
        (false, true) => "passwords are required, but TLS is not: they cross the network in clear text",
        (false, false) => "neither TLS nor a password is required: everything that reaches the port can read it",
    };
    Some(remark.to_owned())
}

/// Orders policies by what clients have to prove.
fn strictness(clients: &Clients) -> u8 {
    match clients {
        Clients::All => 0,
        Clients::VerifiedIfGiven { .. } => 1,
        Clients::Verified { names, .. } if names.is_empty() => 2,
        Clients::Verified { .. } => 3,
    }
}

/// An expired certificate is served all the same, as other exporters do, because clients report the reason themselves.
fn remark_on_validity(tls: &TlsConfig, now: Timestamp) -> Option<String> {
    let validity = tls.validity();
    let at = |time: Timestamp| time.round(Unit::Second).unwrap_or(time);
    if now > validity.not_after {
        let expired = at(validity.not_after);
        return Some(format!("the certificate expired at {expired}: clients that verify it refuse to connect"));
    }
    let valid = at(validity.not_before);
    (now < validity.not_before)
        .then(|| format!("the certificate is not valid before {valid}: clients that verify it refuse to connect"))
}

#[cfg(test)]
mod tests;
