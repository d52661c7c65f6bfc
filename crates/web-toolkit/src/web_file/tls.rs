//! `tls_server_config`.

use std::{fmt, str::FromStr};

use super::{
    super::{
        check::{parse, switch},
        document::Section,
        given::{ConfigError, Given},
    },
    material::{Material, Place},
};
use crate::server::tls::{Chain, Clients, PrivateKey, Protocol, Roots, TlsConfig, TlsError};

const CERTIFICATE: Place = Place { inline: "cert", by_path: "cert_file", secret: false };
const KEY: Place = Place { inline: "key", by_path: "key_file", secret: true };
const CLIENT_CA: Place = Place { inline: "client_ca", by_path: "client_ca_file", secret: false };

/// `None` where the section says nothing that calls for TLS.
pub(super) fn read(mut section: Section, material: &mut Material) -> Result<Option<TlsConfig>, ConfigError> {
    let certificate = material.read(&mut section, &CERTIFICATE, Chain::from_pem)?;
    let key = material.read(&mut section, &KEY, PrivateKey::from_pem)?;
    let roots = material.read(&mut section, &CLIENT_CA, Roots::from_pem)?;
    let clients = clients(&mut section, roots.as_ref())?;
    let suites = section.texts("cipher_suites")?.unwrap_or_default();
    let protocol = protocol(&mut section, &suites)?;
    let (place, name) = (section.place().cloned(), |key: &str| section.name(key));
    let missing = |key: &str| ConfigError::without_value(name(key), "is missing, and TLS needs it").at(place.clone());
    let (chain, (key, key_given)) = match (certificate, key) {
        (Some((chain, _)), Some(key)) => (chain, key),
        (None, None) if matches!(clients, Clients::All) => return section.finish().map(|()| None),
        (None, _) => return Err(missing("cert_file")),
        (_, None) => return Err(missing("key_file")),
    };
    section.finish()?;
    let config = TlsConfig::new(&chain, &key, &protocol, clients).map_err(|error| {
        let blamed = match error {
            TlsError::OtherKey | TlsError::UnusableKey => Some(&key_given),
            TlsError::UnusableRoots => roots.as_ref().map(|(_, given)| given),
            TlsError::NothingLeft => suites.first(),
        };
        blamed.unwrap_or(&key_given).secretly_wrong(error.to_string())
    })?;
    Ok(Some(config))
}

fn protocol(section: &mut Section, suites: &[Given]) -> Result<Protocol, ConfigError> {
    let usual = Protocol::default();
    let oldest = section.text("min_version")?;
    let newest = section.text("max_version")?;
    let protocol = Protocol {
        oldest: oldest.as_ref().map(parse).transpose()?.unwrap_or(usual.oldest),
        newest: newest.as_ref().map(parse).transpose()?.unwrap_or(usual.newest),
        suites: each(suites)?,
        curves: each(&section.texts("curve_preferences")?.unwrap_or_default())?,
        server_order: switch(section.text("prefer_server_cipher_suites")?.as_ref(), usual.server_order)?,
    };
    match oldest {
        Some(oldest) if protocol.oldest > protocol.newest => Err(oldest.wrong("must not be above `max_version`")),
        _ => Ok(protocol),
    }
}

fn each<T: FromStr<Err: fmt::Display>>(given: &[Given]) -> Result<Vec<T>, ConfigError> {
    given.iter().map(parse).collect()
}

fn clients(section: &mut Section, roots: Option<&(Roots, Given)>) -> Result<Clients, ConfigError> {
    const STRICT: &str = "`client_auth_type: RequireAndVerifyClientCert`";
    let policy = section.text("client_auth_type")?;
    let names = section.texts("client_allowed_sans")?.unwrap_or_default();
    let policy = policy.unwrap_or_else(|| Given::by_flag(section.name("client_auth_type"), ""));
    let word = policy.trimmed();
    if let Some(name) = names.first()
        && word != "RequireAndVerifyClientCert"
    {
        return Err(name.secretly_wrong(format!("needs {STRICT}: nobody vouches for other names")));
    }
    match (word, roots) {
        ("" | "NoClientCert", None) => Ok(Clients::All),
        ("" | "NoClientCert", Some((_, roots))) => {
            Err(roots.secretly_wrong(format!("needs {STRICT}, else nobody is asked for a certificate")))
        }
        ("VerifyClientCertIfGiven", Some((roots, _))) => Ok(Clients::VerifiedIfGiven { roots: roots.clone() }),
        ("RequireAndVerifyClientCert", Some((roots, _))) => {
            let names = names.iter().map(|given| given.trimmed().to_owned()).collect();
            Ok(Clients::Verified { roots: roots.clone(), names })
        }
        (word, _) => Err(policy.wrong(refusal(word))),
    }
}

/// Why this is no policy that can be followed as things stand.
fn refusal(policy: &str) -> &'static str {
    match policy {
        "VerifyClientCertIfGiven" | "RequireAndVerifyClientCert" => {
            "needs `client_ca_file`, the CA that signs the certificates of clients"
        }
        "RequestClientCert" | "RequireAnyClientCert" | "RequireClientCert" => {
            "accepts certificates that nobody has signed, which protects nothing: use RequireAndVerifyClientCert or NoClientCert"
        }
        _ => "must be NoClientCert, VerifyClientCertIfGiven or RequireAndVerifyClientCert",
    }
}
