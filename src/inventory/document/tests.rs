use super::*;

fn reason(text: &str) -> FailureReason {
    decode(text).unwrap_err().reason
}

const WHOLE: &str = r#"{"version": 1, "news": true,
    "collections": [
        {"account": "acme", "collection": "ipsec_tunnels", "state": "succeeded", "more": 1},
        {"account": "acme", "collection": "gre_tunnels", "state": "failed", "reason": "on_strike",
         "last_success": "2026-11-21T10:00:00Z"},
        {"account": "acme", "collection": "interconnects", "state": "succeeded"}],
    "tunnels": [
        {"account": "acme", "id": "2", "name": "fra-2", "type": "ipsec", "site": "fra", "customer_endpoint": "not an address"},
        {"account": "acme", "id": "1", "name": "fra-1", "type": "ipsec", "interface_address": "10.0.0.0/31"},
        {"account": "acme", "id": "1", "name": "again", "type": "ipsec"},
        {"account": "acme", "id": "3", "type": "ipsec"},
        {"account": "globex", "id": "1", "name": "foreign", "type": "ipsec"},
        {"account": "acme", "id": "9", "name": "new", "type": "interconnect"},
        {"account": "acme", "id": "4", "name": "gre", "type": "gre",
         "bgp_status": {"state": "dreaming", "fsm_state": "established"}}]}"#;

#[test]
fn an_inventory_is_decoded_and_what_is_unknown_is_ignored() {
    let inventory = decode(WHOLE).unwrap();
    let list = |tunnel_type| &inventory.lists[&(AccountName::new("acme"), tunnel_type)];
    let names = |list: &HubList| list.tunnels.iter().map(|tunnel| tunnel.name.to_string()).collect::<Vec<_>>();
    let (ipsec, gre) = (list(TunnelType::Ipsec), list(TunnelType::Gre));
    assert_eq!((inventory.lists.len(), inventory.tunnels(), inventory.is_complete()), (2, 3, false));
    assert_eq!((names(ipsec), names(gre)), (vec!["fra-1".into(), "fra-2".into()], vec!["gre".into()]));
    assert_eq!(ipsec.sites.get(&TunnelId::new("2")).map(|site| &**site), Some("fra"));
    assert_eq!((gre.state, gre.is_known()), (PollState::Failed(FailureReason::Server), true));
    assert_eq!(inventory.lists.values().map(|list| list.rejected.total()).sum::<u64>(), 1);
    assert_eq!(ipsec.tunnels[1].customer_endpoint.to_string(), "not an address");
}

#[test]
fn what_is_no_inventory_is_a_failure_with_a_reason() {
    for (text, expected) in [
        ("", FailureReason::NotJson),
        ("<html>{}</html>", FailureReason::NotJson),
        ("{]", FailureReason::NotJson),
        ("{}", FailureReason::Decode),
        ("[1]", FailureReason::NotJson),
        (r#"{"version": 1}"#, FailureReason::Decode),
        (r#"{"version": 1, "collections": [], "tunnels": {}}"#, FailureReason::Decode),
        (&WHOLE[..WHOLE.len() - 40], FailureReason::Decode),
    ] {
        assert_eq!(reason(text), expected, "{text}");
    }
    let newer = decode(r#"{"version": 2, "tunnels": "elsewhere"}"#).unwrap_err();
    assert_eq!(newer.to_string(), "decode: the hub sends version 2; update this agent");
}
