//! What stands in a certificate: until when it holds, and whose it is.

use std::net::IpAddr;

use jiff::Timestamp;
use x509_cert::{
    Certificate,
    der::{Decode as _, Encode as _},
    ext::pkix::{SubjectAltName, name::GeneralName},
    time::Time,
};

/// The time in which a certificate holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Validity {
    pub not_before: Timestamp,
    pub not_after: Timestamp,
}

/// A certificate that could be read.
pub(super) struct Parsed(Certificate);

impl Parsed {
    /// `None` where the bytes are no certificate.
    pub(super) fn from_der(der: &[u8]) -> Option<Self> {
        Certificate::from_der(der).ok().map(Self)
    }

    pub(super) fn validity(&self) -> Validity {
        let validity = self.0.tbs_certificate().validity();
        Validity { not_before: timestamp(validity.not_before), not_after: timestamp(validity.not_after) }
    }

    /// The key with its algorithm, in DER.
    pub(super) fn public_key(&self) -> Vec<u8> {
        self.0.tbs_certificate().subject_public_key_info().to_der().unwrap_or_default()
    }

    /// Its subject alternative names: DNS names, IP addresses, e-mail addresses and URIs. None where it has none or they cannot be read.
    pub(super) fn names(&self) -> Vec<String> {
        let extension = self.0.tbs_certificate().get_extension::<SubjectAltName>();
        let Ok(Some((_, names))) = extension else { return Vec::new() };
        names.0.iter().filter_map(text).collect()
    }
}

/// The last second that can be told stands for those after it.
fn timestamp(time: Time) -> Timestamp {
    let seconds = i64::try_from(time.to_unix_duration().as_secs()).ok();
    seconds.and_then(|seconds| Timestamp::from_second(seconds).ok()).unwrap_or(Timestamp::MAX)
}

fn text(name: &GeneralName) -> Option<String> {
    match name {
        GeneralName::DnsName(text) | GeneralName::Rfc822Name(text) | GeneralName::UniformResourceIdentifier(text) => {
            Some(text.to_string())
        }
        GeneralName::IpAddress(octets) => address(octets.as_bytes()).map(|address| address.to_string()),
        _ => None,
    }
}

fn address(octets: &[u8]) -> Option<IpAddr> {
    <[u8; 4]>::try_from(octets).map(IpAddr::from).or_else(|_| <[u8; 16]>::try_from(octets).map(IpAddr::from)).ok()
}
