//! `tls_server_config`.

use std::path::Path;

use super::{
    super::check::{ConfigError, parse, switch},
    section::Section,
};
use crate::{
    file::{self, Content, Fingerprint, Fingerprints},
    server::tls::{Chain, Clients, Key, PemError, Protocol, Roots, TlsConfig, TlsError},
};

/// A chain of certificates has a few KiB, a bundle of CAs some hundred.
const MOST_BYTES: u64 = 1 << 20;

/// What was come by while reading.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// Whether any user of this machine may read the file itself.
    pub(super) world_readable: bool,
    pub(super) files: Fingerprints,
    pub(super) remarks: Vec<String>,
}

/// `None` where the section says nothing that calls for TLS. Paths are relative to `folder`.
pub(super) fn read(mut section: Section, folder: &Path, found: &mut Found) -> Result<Option<TlsConfig>, String> {
    let mut material = Material { section: &mut section, folder, found };
    let certificate = material.of(&CERTIFICATE, Chain::from_pem)?;
    let key = material.of(&KEY, Key::from_pem)?;
    let roots = material.of(&CLIENT_CA, Roots::from_pem)?;
    let clients = clients(&mut section, roots)?;
    let protocol = protocol(&mut section)?;
    section.finish()?;
    let (chain, (key, key_name)) = match (certificate, key) {
        (Some((chain, _)), Some(key)) => (chain, key),
        (None, None) if matches!(clients, Clients::All) => return Ok(None),
        (None, _) => return Err("`tls_server_config.cert_file` is missing".into()),
        (_, None) => return Err("`tls_server_config.key_file` is missing".into()),
    };
    let config = TlsConfig::new(&chain, &key, &protocol, clients).map_err(|error| match error {
        TlsError::OtherKey | TlsError::UnusableKey => format!("`{key_name}` {error}"),
        TlsError::UnusableRoots => format!("`tls_server_config.client_ca_file` {error}"),
        TlsError::NothingLeft => format!("`tls_server_config.cipher_suites` {error}"),
    })?;
    Ok(Some(config))
}

/// The two keys that one thing may stand behind.
struct Place {
    inline: &'static str,
    by_path: &'static str,
    /// Whether others should not read it.
    secret: bool,
}

const CERTIFICATE: Place =
    Place { inline: "tls_server_config.cert", by_path: "tls_server_config.cert_file", secret: false };
const KEY: Place = Place { inline: "tls_server_config.key", by_path: "tls_server_config.key_file", secret: true };
const CLIENT_CA: Place =
    Place { inline: "tls_server_config.client_ca", by_path: "tls_server_config.client_ca_file", secret: false };

/// Certificates and keys, each from a file or in the text itself; what they are made into comes with the key that named them.
struct Material<'a> {
    section: &'a mut Section,
    folder: &'a Path,
    found: &'a mut Found,
}

type Read<T> = Result<Option<(T, &'static str)>, String>;

impl Material<'_> {
    fn of<T>(&mut self, place: &Place, make: fn(&[u8]) -> Result<T, PemError>) -> Read<T> {
        let Some((content, key)) = self.content(place)? else { return Ok(None) };
        if place.secret && content.world_readable {
            let remark = format!(
                "every user of this machine can read the file with the key of `{key}`: chmod o-r would mend it"
            );
            self.found.remarks.push(remark);
        }
        make(&content.bytes).map(|made| Some((made, key))).map_err(|error| format!("`{key}` {error}"))
    }

    fn content(&mut self, place: &Place) -> Read<Content> {
        let Place { inline, by_path, .. } = *place;
        let not_empty = |word: &String| !word.is_empty();
        let text = self.section.word(inline)?.filter(not_empty);
        let path = self.section.word(by_path)?.filter(not_empty);
        match (text, path) {
            (None, None) => Ok(None),
            (Some(_), Some(_)) => Err(format!("`{by_path}` must not stand beside `{inline}`: one of them is enough")),
            (Some(text), None) => {
                Ok(Some((Content { bytes: text.into_bytes(), world_readable: self.found.world_readable }, inline)))
            }
            (None, Some(path)) => self.file(by_path, &path).map(|content| Some((content, by_path))),
        }
    }

    fn file(&mut self, key: &'static str, path: &str) -> Result<Content, String> {
        if path.contains("-----BEGIN") || path.contains('\n') {
            return Err(format!("`{key}` must be a path: the text itself belongs behind the same key without `_file`"));
        }
        let path = self.folder.join(path);
        self.found.files.insert(path.clone(), Fingerprint::of(&path));
        file::read(&path, MOST_BYTES)
            .map_err(|error| ConfigError::new(key, path.display().to_string(), error.to_string()).to_string())
    }
}

fn protocol(section: &mut Section) -> Result<Protocol, String> {
    let usual = Protocol::default();
    let protocol = Protocol {
        oldest: section.read("tls_server_config.min_version", parse)?.unwrap_or(usual.oldest),
        newest: section.read("tls_server_config.max_version", parse)?.unwrap_or(usual.newest),
        suites: each(section, "tls_server_config.cipher_suites")?,
        curves: each(section, "tls_server_config.curve_preferences")?,
        server_order: section
            .read("tls_server_config.prefer_server_cipher_suites", |key, text| switch(key, Some(text), true))?
            .unwrap_or(usual.server_order),
    };
    if protocol.oldest > protocol.newest {
        return Err("`tls_server_config.min_version` must not be above `tls_server_config.max_version`".into());
    }
    Ok(protocol)
}

fn each<T: std::str::FromStr<Err: std::fmt::Display>>(
    section: &mut Section,
    key: &'static str,
) -> Result<Vec<T>, String> {
    section.list(key)?.iter().map(|word| parse(key, word).map_err(|error| error.to_string())).collect()
}

const NAMES: &str = "tls_server_config.client_allowed_sans";
const POLICY: &str = "tls_server_config.client_auth_type";

fn clients(section: &mut Section, roots: Option<(Roots, &'static str)>) -> Result<Clients, String> {
    let policy = section.word(POLICY)?.unwrap_or_default();
    let names = section.list(NAMES)?;
    let roots = roots.map(|(roots, _)| roots);
    if !names.is_empty() && policy != "RequireAndVerifyClientCert" {
        return Err(format!("`{NAMES}` needs `{POLICY}: RequireAndVerifyClientCert`: nobody vouches for other names"));
    }
    match (policy.as_str(), roots) {
        ("" | "NoClientCert", None) => Ok(Clients::All),
        ("" | "NoClientCert", Some(_)) => Err(format!(
            "`tls_server_config.client_ca_file` needs `{POLICY}: RequireAndVerifyClientCert`, else nobody is asked for a certificate"
        )),
        ("VerifyClientCertIfGiven", Some(roots)) => Ok(Clients::VerifiedIfGiven { roots }),
        ("RequireAndVerifyClientCert", Some(roots)) => Ok(Clients::Verified { roots, names }),
        ("VerifyClientCertIfGiven" | "RequireAndVerifyClientCert", None) => Err(format!(
            "`{POLICY}` is `{policy}`: needs `tls_server_config.client_ca_file`, the CA that signs the certificates of clients"
        )),
        ("RequestClientCert" | "RequireAnyClientCert" | "RequireClientCert", _) => {
            let rule = "accepts certificates that nobody has signed, which protects nothing: use RequireAndVerifyClientCert or NoClientCert";
            Err(format!("`{POLICY}` is `{policy}`: {rule}"))
        }
        _ => {
            let rule = "must be NoClientCert, VerifyClientCertIfGiven or RequireAndVerifyClientCert";
            Err(format!("`{POLICY}` {rule}"))
        }
    }
}
