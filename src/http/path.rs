//! Addresses of single tunnels: `/tunnels/{account}/{type}/{id}`, each part percent-encoded.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use crate::{
    domain::{
        inventory::{AccountName, TunnelKey},
        label::Label as _,
        tunnel::{TunnelId, TunnelType},
    },
    snapshot::Row,
};

/// RFC 3986 section 2.3: what is never encoded.
const RESERVED: AsciiSet = NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// The part of the address after `/tunnels/`.
pub(super) fn of(row: &Row<'_>) -> String {
    let tunnel = row.tunnel();
    let account = utf8_percent_encode(row.account.as_str(), &RESERVED);
    format!("{account}/{}/{}", tunnel.tunnel_type(), utf8_percent_encode(tunnel.id.as_str(), &RESERVED))
}

/// Whom the part after `/tunnels/` means; `None` where it is no such address.
pub(super) fn parse(rest: &str) -> Option<TunnelKey> {
    let mut parts = rest.split('/');
    let (account, tunnel_type, id) = (parts.next()?, parts.next()?, parts.next()?);
    let tunnel_type = TunnelType::ALL.iter().copied().find(|known| known.as_str() == tunnel_type)?;
    let decoded = |part| percent_decode_str(part).decode_utf8().ok().filter(|text| !text.is_empty());
    if parts.next().is_some() {
        return None;
    }
    Some(TunnelKey { account: AccountName::new(&*decoded(account)?), tunnel_type, id: TunnelId::new(&*decoded(id)?) })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::domain::{fixtures::tunnel, inventory::Entry, probe::Silence};

    #[test]
    fn what_is_no_address_of_a_tunnel_is_refused() {
        for rest in ["", "a", "a/gre", "a/gre/", "a/gre/1/2", "a/vpn/1", "/gre/1", "a/gre/%ff"] {
            assert_eq!(parse(rest), None, "{rest}");
        }
    }

    proptest! {
        #[test]
        fn an_address_leads_to_its_tunnel(account in ".{1,20}", id in ".{1,20}") {
            let entry = Entry { tunnel: tunnel(&id).into(), bgp_state_changes: 0, site: None };
            let account = AccountName::new(account);
            let row = Row { key: TunnelKey::new(&account, &entry.tunnel), account: &account, entry: &entry, fresh: true, confirmed: None, verdict: None, probes: None, silence: Silence::AfterAnswer };
            prop_assert!(of(&row).is_ascii());
            prop_assert_eq!(parse(&of(&row)), Some(TunnelKey::new(&account, &entry.tunnel)));
        }
    }
}
