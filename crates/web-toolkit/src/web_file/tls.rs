//! `tls_server_config`, with the certificates and keys that it names or contains.

use std::ops::RangeInclusive;

use crate::{
    file::{self, Content, Fingerprint, Fingerprints},
    keys,
    server::tls::{Chain, Clients, PemError, PrivateKey, Roots, TlsConfig, TlsError, Version},
    settings::{Mistake, Setting, SettingsReader},
    yaml::Node,
};

/// A certificate chain has a few KiB, a bundle of CAs some hundred.
const MOST_BYTES: u64 = 1 << 20;

keys! {
    pub(super) struct TlsKeys {
        cert, cert_file, key, key_file, client_ca, client_ca_file, client_auth_type, client_allowed_sans,
        min_version, max_version, cipher_suites, curve_preferences, prefer_server_cipher_suites,
    }
}

/// Reads the section.
pub(super) struct TlsReader<'r> {
    pub(super) reader: &'r mut SettingsReader,
    /// Whether every user of this machine can read the web configuration file.
    pub(super) world_readable: bool,
    /// The files that the section names, as they were before they were read.
    pub(super) files: Fingerprints,
    /// What is valid, but insecure or without effect.
    pub(super) remarks: Vec<String>,
}

/// One part of the material, from the key with the PEM text or the key with the path of a file.
type Part<T> = Option<(T, Setting)>;

impl TlsReader<'_> {
    /// `None`: the section does not configure TLS, or has a mistake.
    pub(super) fn read(&mut self, node: Node<TlsKeys>) -> Option<TlsConfig> {
        let (line, before) = (node.line(), self.reader.mistakes());
        let keys = self.reader.section("tls_server_config", node);
        let certificate = self.material("cert", keys.cert, keys.cert_file, Chain::from_pem);
        let key = self.material("key", keys.key, keys.key_file, PrivateKey::from_pem);
        let roots = self.material("client_ca", keys.client_ca, keys.client_ca_file, Roots::from_pem);
        let versions = self.versions(keys.min_version, keys.max_version);
        let policy = self.reader.value("tls_server_config.client_auth_type", keys.client_auth_type);
        let policy = policy.filter(|setting| !setting.trimmed().is_empty());
        let names = self.reader.values("tls_server_config.client_allowed_sans", keys.client_allowed_sans);
        for (name, node) in [
            ("cipher_suites", keys.cipher_suites),
            ("curve_preferences", keys.curve_preferences),
            ("prefer_server_cipher_suites", keys.prefer_server_cipher_suites),
        ] {
            if !node.is_empty() {
                self.remarks.push(format!("`tls_server_config.{name}` has no effect: the secure defaults are used"));
            }
        }
        if self.reader.mistakes() > before {
            return None;
        }
        let clients = clients(policy.as_ref(), &names.unwrap_or_default(), roots.as_ref());
        let (clients, remark) = self.reader.check(clients)?;
        if let Some((policy, remark)) = policy.as_ref().zip(remark) {
            self.remarks.push(format!("`tls_server_config.client_auth_type` is `{}`: it {remark}", policy.trimmed()));
        }
        let (chain, key, key_setting) = match (certificate, key) {
            (Some((chain, _)), Some((key, setting))) => (chain, key, setting),
            (None, None) if policy.is_none() => return None,
            (certificate, _) => {
                let missing = if certificate.is_none() { "cert_file" } else { "key_file" };
                let name = format!("tls_server_config.{missing}");
                self.reader.report_at(line, &name, "is missing, and TLS needs it");
                return None;
            }
        };
        let config = TlsConfig::new(&chain, &key, &versions, clients).map_err(|error| {
            let roots = roots.as_ref().filter(|_| error == TlsError::UnusableRoots);
            roots.map_or(&key_setting, |(_, setting)| setting).unquoted_mistake(error)
        });
        self.reader.check(config)
    }

    fn versions(&mut self, oldest: Node, newest: Node) -> RangeInclusive<Version> {
        let oldest = self.reader.value("tls_server_config.min_version", oldest);
        let newest = self.reader.value("tls_server_config.max_version", newest);
        let is_ancient = |setting: &Setting| matches!(setting.trimmed(), "TLS10" | "TLS11");
        if let Some(ancient) = oldest.as_ref().filter(|setting| is_ancient(setting)) {
            let (name, value) = (&ancient.name, ancient.trimmed());
            self.remarks.push(format!("`{name}` is `{value}`: TLS12 is the oldest version that is supported"));
        }
        let oldest = oldest.filter(|setting| !is_ancient(setting));
        let mut parse = |setting: Option<&Setting>| setting.and_then(|setting| self.reader.parse(setting));
        let first = parse(oldest.as_ref()).unwrap_or(Version::Tls12);
        let versions = first..=parse(newest.as_ref()).unwrap_or(Version::Tls13);
        if let Some(oldest) = oldest.filter(|_| versions.is_empty()) {
            self.reader.report(oldest.mistake("must not be above `max_version`"));
        }
        versions
    }

    /// What `parse` makes of the text of `inline`, or of the file that `by_path` names. `None`: both are absent or
    /// wrong.
    fn material<T>(
        &mut self,
        name: &str,
        inline: Node,
        by_path: Node,
        parse: fn(&[u8]) -> Result<T, PemError>,
    ) -> Part<T> {
        let is_set = |setting: &Setting| !setting.trimmed().is_empty();
        let text = self.reader.value(format!("tls_server_config.{name}"), inline).filter(is_set);
        let path = self.reader.value(format!("tls_server_config.{name}_file"), by_path).filter(is_set);
        let content = match (text, path) {
            (None, None) => return None,
            (Some(_), Some(path)) => Err(path.unquoted_mistake(format!("must not be set together with `{name}`"))),
            (Some(text), None) => {
                let bytes = text.text.clone().into_bytes();
                Ok((Content { bytes, world_readable: self.world_readable }, text))
            }
            (None, Some(path)) => self.read_file(&path).map(|content| (content, path)),
        };
        let parsed = content.and_then(|(content, setting)| {
            if name == "key" && content.world_readable {
                let remark = "can be read by every user of this machine: run `chmod o-r` on its file";
                self.remarks.push(format!("`{}` {remark}", setting.name));
            }
            let parsed = parse(&content.bytes).map_err(|error| setting.unquoted_mistake(error))?;
            Ok((parsed, setting))
        });
        self.reader.check(parsed)
    }

    fn read_file(&mut self, setting: &Setting) -> Result<Content, Mistake> {
        if setting.text.contains("-----BEGIN") || setting.text.contains('\n') {
            let rule = "must be a path: put the text itself into the same key without `_file`";
            return Err(setting.unquoted_mistake(rule));
        }
        let path = setting.path();
        self.files.insert(path.clone(), Fingerprint::read(&path));
        file::read(&path, MOST_BYTES).map_err(|error| setting.mistake(error))
    }
}

const STRICT: &str = "RequireAndVerifyClientCert";

/// The policy of `client_auth_type`, and what an operator should know about it.
type Policy = (Clients, Option<&'static str>);

/// Accepts what `promtool check web-config` accepts. Without CAs, the other exporters verify client certificates with
/// the CAs of the operating system, which sign certificates for everything; here no certificate is valid then.
fn clients(policy: Option<&Setting>, names: &[Setting], roots: Option<&(Roots, Setting)>) -> Result<Policy, Mistake> {
    let word = policy.map_or("", Setting::trimmed);
    if let Some(name) = names.first().filter(|_| ![STRICT, "RequireAnyClientCert", "RequireClientCert"].contains(&word))
    {
        let rule = format!("needs `client_auth_type: {STRICT}`; otherwise the names are not verified");
        return Err(name.unquoted_mistake(rule));
    }
    let names = || names.iter().map(|name| name.trimmed().to_owned()).collect();
    let known_roots = roots.map(|(roots, _)| roots.clone());
    Ok(match (word, policy, roots) {
        ("" | "NoClientCert", _, None) => (Clients::All, None),
        ("" | "NoClientCert", _, Some((_, setting))) => {
            let rule = format!("needs `client_auth_type: {STRICT}`; otherwise clients are not asked for a certificate");
            return Err(setting.unquoted_mistake(rule));
        }
        ("RequestClientCert", ..) => (Clients::All, Some("has no effect: client certificates would not be verified")),
        ("VerifyClientCertIfGiven", _, Some((roots, _))) => (Clients::VerifiedIfGiven { roots: roots.clone() }, None),
        ("VerifyClientCertIfGiven", ..) => {
            (Clients::All, Some("has no effect without `client_ca_file`: no client is asked for a certificate"))
        }
        ("RequireAnyClientCert" | "RequireClientCert", ..) => {
            (Clients::Unverified { names: names() }, Some("accepts certificates of any issuer, which protects nothing"))
        }
        (STRICT, ..) => {
            let missing = "refuses every client without `client_ca_file`, the CA that signs their certificates";
            (Clients::Verified { roots: known_roots, names: names() }, roots.is_none().then_some(missing))
        }
        (_, Some(policy), _) => {
            return Err(policy.mistake(format!("must be NoClientCert, VerifyClientCertIfGiven or {STRICT}")));
        }
        (_, None, _) => (Clients::All, None),
    })
}
