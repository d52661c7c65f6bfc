//! The payload of an echo: a keyed hash, so that a reply proves that its sender has seen this very echo.

use std::{fmt, net::IpAddr};

use ring::hmac;

/// Same size as that of ping(8): 64 bytes with the ICMP header.
pub(super) const PAYLOAD_SIZE: usize = 56;

/// Payload of one echo.
pub(super) type Payload = [u8; PAYLOAD_SIZE];

/// Bytes after the hash.
const FILL: u8 = 0x6d;

/// A random key that no other process has.
pub(super) struct Seal(hmac::Key);

impl Default for Seal {
    fn default() -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, &rand::random::<[u8; 32]>()))
    }
}

impl Seal {
    /// Returns the payload of the echo with this number of this session.
    pub(super) fn payload(&self, address: IpAddr, session: u64, number: u64) -> Payload {
        let mut payload = [FILL; PAYLOAD_SIZE];
        self.fill(&mut payload, address, session, number);
        payload
    }

    /// Returns the payload with another size. It ends like [`payload`](Self::payload), or contains only its beginning.
    pub(super) fn sized_payload(&self, size: usize, address: IpAddr, session: u64, number: u64) -> Vec<u8> {
        let mut payload = vec![FILL; size];
        self.fill(&mut payload, address, session, number);
        payload
    }

    fn fill(&self, payload: &mut [u8], address: IpAddr, session: u64, number: u64) {
        let mut hash = hmac::Context::with_key(&self.0);
        match address {
            IpAddr::V4(v4) => hash.update(&v4.octets()),
            IpAddr::V6(v6) => hash.update(&v6.octets()),
        }
        hash.update(&session.to_be_bytes());
        hash.update(&number.to_be_bytes());
        let hash = hash.sign();
        let size = hash.as_ref().len().min(payload.len());
        payload[..size].copy_from_slice(&hash.as_ref()[..size]);
    }
}

impl fmt::Debug for Seal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Seal")
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_echo_of_every_session_and_process_has_its_own_payload() {
        let addresses: [IpAddr; 2] = ["192.0.2.1".parse().unwrap(), "2001:db8::1".parse().unwrap()];
        let mut seen = BTreeSet::new();
        for seal in [Seal::default(), Seal::default()] {
            for address in addresses {
                for session in 0..10 {
                    for number in 0..10 {
                        assert!(seen.insert(seal.payload(address, session, number)));
                        assert_eq!(seal.payload(address, session, number), seal.payload(address, session, number));
                    }
                }
            }
        }
    }
}
