use proptest::prelude::*;
use serde_json::json;

use super::*;

const ACCOUNT: &str = "0123456789abcdef0123456789abcdef";

fn ipsec() -> Value {
    json!({"name": "IPsec 1", "cloudflare_endpoint": "203.0.113.1", "interface_address": "10.0.0.0/31"})
}

fn gre() -> Value {
    json!({
        "name": "GRE_1",
        "cloudflare_gre_endpoint": "203.0.113.1",
        "customer_gre_endpoint": "198.51.100.1",
        "interface_address": "10.0.0.0/31",
    })
}

/// Sets the field at `pointer` and creates the objects on the way. Null removes it.
fn with(mut body: Value, pointer: &str, value: Value) -> Value {
    let mut place = &mut body;
    for key in pointer.trim_start_matches('/').split('/') {
        place = &mut place[key];
    }
    *place = value;
    body
}

fn check(context: ValidationContext<'_>, body: &Value) -> Result<ValidTunnel, Vec<ApiError>> {
    validate_body(context, body.as_object().unwrap(), "")
}

fn context_of(kind: TunnelKind) -> ValidationContext<'static> {
    ValidationContext { kind, account: ACCOUNT, strict: false, form: Some(TargetForm::Text) }
}

fn fqdn_of(label: &str, account: &str) -> Value {
    json!(format!("{label}.{account}.custom.ipsec.cloudflare.com"))
}

/// Field, invalid value, and the rule that it breaks.
fn invalid_values(kind: TunnelKind) -> Vec<(String, Value, BodyRule)> {
    let mut rows = vec![];
    let mut row = |field: &str, value: Value, rule: BodyRule| rows.push((field.to_owned(), value, rule));
    let mut required = vec!["/name", "/interface_address"];
    match kind {
        TunnelKind::Ipsec => required.push("/cloudflare_endpoint"),
        TunnelKind::Gre => required.extend(["/cloudflare_gre_endpoint", "/customer_gre_endpoint"]),
    }
    for field in required {
        row(field, Value::Null, BodyRule::Required);
        row(field, json!(""), BodyRule::Required);
        row(field, json!(7), BodyRule::Type);
        row(field, json!(["a"]), BodyRule::Type);
    }
    for endpoint in [kind.names().cloudflare_endpoint, kind.names().customer_endpoint] {
        for address in ["203.0.113", "203.0.113.256", "host.example.net", "203.0.113.1/32", " 203.0.113.1"] {
            row(&format!("/{endpoint}"), json!(address), BodyRule::Address);
        }
    }
    for prefix in ["10.0.0.0", "10.0.0.0/32", "10.0.0.0/29", "10.0.0.0/0", "10.0.0.0/33", "2001:db8::/127", "x"] {
        row("/interface_address", json!(prefix), BodyRule::InterfacePrefix);
    }
    for host in ["10.0.0.4/30", "10.0.0.7/30"] {
        row("/interface_address", json!(host), BodyRule::InterfaceHost);
    }
    for prefix in ["2001:db8::1/127", "2001:db8::/126", "2001:db8::/128", "2001:db8::", "10.0.0.0/31", "x"] {
        row("/interface_address6", json!(prefix), BodyRule::InterfacePrefix6);
    }
    row("/interface_address6", json!(6), BodyRule::Type);
    row("/description", json!(1), BodyRule::Type);
    row("/automatic_return_routing", json!("yes"), BodyRule::Type);
    row("/health_check", json!("on"), BodyRule::Type);
    row("/health_check/enabled", json!(1), BodyRule::Type);
    for (field, value) in [("rate", "medium"), ("type", "icmp"), ("direction", "both"), ("rate", "MID")] {
        row(&format!("/health_check/{field}"), json!(value), BodyRule::Choice);
        row(&format!("/health_check/{field}"), json!(3), BodyRule::Type);
    }
    row("/health_check/target", json!({"saved": ""}), BodyRule::TargetForm);
    row("/health_check/target", json!(4), BodyRule::Type);
    row("/health_check/target", json!("somewhere"), BodyRule::Address);
    row("/bgp", json!(65000), BodyRule::Type);
    for asn in [json!(-1), json!(4_294_967_296_u64), json!(65000.5)] {
        row("/bgp/customer_asn", asn, BodyRule::Asn);
    }
    row("/bgp/customer_asn", json!("65000"), BodyRule::Type);
    rows
}

/// Invalid values of fields in `bgp`, which has a required field.
fn invalid_bgp_values() -> Vec<(&'static str, Value, BodyRule)> {
    let mut rows = vec![
        ("/bgp/customer_asn", Value::Null, BodyRule::Required),
        ("/bgp/md5_key", json!(""), BodyRule::Md5Key),
        ("/bgp/md5_key", json!(5), BodyRule::Type),
        ("/bgp/extra_prefixes", json!("10.0.0.0/8"), BodyRule::Type),
        ("/bgp/extra_prefixes", json!([8]), BodyRule::Type),
        ("/bgp/extra_prefixes/0", json!(["10.0.0.0/99"]), BodyRule::ExtraPrefix),
        ("/bgp/extra_prefixes/1", json!(["10.0.0.0/8", "here"]), BodyRule::ExtraPrefix),
    ];
    for wrong in ["a\nb", "a\"b", "a\u{b}b", "a\rb", "a\tb", "a\u{c}b", "a?b", "é", "a\u{7f}"] {
        rows.push(("/bgp/md5_key", json!(wrong), BodyRule::Md5Key));
    }
    rows
}

fn invalid_ipsec_values() -> Vec<(&'static str, Value, BodyRule)> {
    let mut rows = vec![
        ("/replay_protection", json!(0), BodyRule::Type),
        ("/allow_null_cipher", json!("no"), BodyRule::Type),
        ("/psk", json!(""), BodyRule::Psk),
        ("/psk", json!(1), BodyRule::Type),
        ("/custom_remote_identities", json!("a"), BodyRule::Type),
        ("/custom_remote_identities/fqdn_id", json!(1), BodyRule::Type),
    ];
    let other = "f".repeat(32);
    let long = "a".repeat(64);
    for (label, account) in
        [("", ACCOUNT), ("-a", ACCOUNT), ("a.b", ACCOUNT), ("a_b", ACCOUNT), ("a", &*other), (&*long, ACCOUNT)]
    {
        rows.push(("/custom_remote_identities/fqdn_id", fqdn_of(label, account), BodyRule::FqdnForm));
    }
    for text in
        ["a", &format!("a.{ACCOUNT}.custom.ipsec.cloudflare.net"), &format!("{ACCOUNT}.custom.ipsec.cloudflare.com")]
    {
        rows.push(("/custom_remote_identities/fqdn_id", json!(text), BodyRule::FqdnForm));
    }
    rows
}

fn invalid_gre_values() -> Vec<(&'static str, Value, BodyRule)> {
    let mut rows = vec![("/name", json!("sixteen-letters-"), BodyRule::NameLength)];
    for name in ["GRE 1", "GRE.1", "GRE/1", "Grün", "a\"b", "a\nb"] {
        rows.push(("/name", json!(name), BodyRule::NameCharacters));
    }
    for mtu in [json!(575), json!(0), json!(-1), json!(65_536), json!(1400.5)] {
        rows.push(("/mtu", mtu, BodyRule::Mtu));
    }
    for ttl in [json!(0), json!(256), json!(-1)] {
        rows.push(("/ttl", ttl, BodyRule::Ttl));
    }
    rows.extend([("/mtu", json!("1400"), BodyRule::Type), ("/ttl", json!(true), BodyRule::Type)]);
    rows
}

fn expect_error(context: ValidationContext<'_>, body: &Value, pointer: &str, rule: BodyRule) {
    let errors = check(context, body).map(|valid| valid.spec.name).unwrap_err();
    let found: Vec<_> = errors.iter().map(|error| (error.code, error.pointer.as_deref().unwrap())).collect();
    assert_eq!(found, [(rule as u32, pointer)], "{body}");
    assert!(!errors[0].message.is_empty());
}

#[test]
fn every_rule_of_both_kinds_is_enforced_with_its_pointer() {
    for (kind, body) in [(TunnelKind::Ipsec, ipsec()), (TunnelKind::Gre, gre())] {
        check(context_of(kind), &body).unwrap();
        for (field, value, rule) in invalid_values(kind) {
            expect_error(context_of(kind), &with(body.clone(), &field, value), &field, rule);
        }
        let body = with(body, "/bgp/customer_asn", json!(65000));
        check(context_of(kind), &body).unwrap();
        for (field, value, rule) in invalid_bgp_values() {
            let list = field.strip_prefix("/bgp/extra_prefixes/").map_or(field, |_| "/bgp/extra_prefixes");
            expect_error(context_of(kind), &with(body.clone(), list, value), field, rule);
        }
    }
}

#[test]
fn every_rule_of_ipsec_alone_is_enforced() {
    for (field, value, rule) in invalid_ipsec_values() {
        expect_error(context_of(TunnelKind::Ipsec), &with(ipsec(), field, value), field, rule);
    }
}

#[test]
fn every_rule_of_gre_alone_is_enforced() {
    for (field, value, rule) in invalid_gre_values() {
        expect_error(context_of(TunnelKind::Gre), &with(gre(), field, value), field, rule);
    }
}

#[test]
fn valid_values_are_accepted() {
    let good = [
        ("/interface_address", json!("10.0.0.1/31")),
        ("/interface_address", json!("169.254.250.1/30")),
        ("/interface_address", json!("1.1.1.2/30")),
        ("/interface_address6", json!("2606:54c1:7:0:a9fe:12d2:1:200/127")),
        ("/interface_address6", json!("")),
        ("/description", json!("")),
        ("/health_check", Value::Null),
        ("/health_check/target", json!("")),
        ("/health_check/target", json!("203.0.113.7")),
        ("/health_check/rate", json!("high")),
        ("/bgp/customer_asn", json!(0)),
        ("/bgp/customer_asn", json!(4_294_967_295_u64)),
        ("/bgp", json!({"customer_asn": 1, "md5_key": "'!@#$%^&*()+[]{}<>/.,;:_-~`= |aZ9\\"})),
        ("/bgp", json!({"customer_asn": 1, "extra_prefixes": ["0.0.0.0/0", "2001:db8::/32"]})),
        ("/id", json!("read-only fields are ignored")),
        ("/bgp_status", json!({"state": "BGP_UP"})),
        ("/a_field_of_next_year", json!(1)),
    ];
    for (kind, body) in [(TunnelKind::Ipsec, ipsec()), (TunnelKind::Gre, gre())] {
        for (field, value) in &good {
            let body = with(body.clone(), field, value.clone());
            assert!(check(context_of(kind), &body).is_ok(), "{body}: {:?}", check(context_of(kind), &body));
        }
    }
    for (field, value) in [
        ("/name", json!("any \"name\"\\ of\nany length, with any character ☃")),
        ("/customer_endpoint", json!("")),
        ("/customer_endpoint", json!("2001:db8::1")),
        ("/custom_remote_identities/fqdn_id", json!("")),
        ("/custom_remote_identities/fqdn_id", fqdn_of("site-1", ACCOUNT)),
    ] {
        check(context_of(TunnelKind::Ipsec), &with(ipsec(), field, value)).unwrap();
    }
    for (field, value) in [("/name", json!("fifteen_letters")), ("/mtu", json!(576)), ("/ttl", json!(255))] {
        check(context_of(TunnelKind::Gre), &with(gre(), field, value)).unwrap();
    }
}

#[test]
fn strict_rejects_interface_addresses_outside_the_private_ranges() {
    let strict = |kind| ValidationContext { strict: true, ..context_of(kind) };
    for (address, private) in [
        ("10.255.255.254/31", true),
        ("172.16.0.0/31", true),
        ("172.31.255.254/31", true),
        ("192.168.0.1/30", true),
        ("9.255.255.254/31", false),
        ("172.15.255.254/31", false),
        ("172.32.0.0/31", false),
        ("192.169.0.0/31", false),
        ("169.254.0.0/31", false),
        ("192.0.2.0/31", false),
    ] {
        for (kind, body) in [(TunnelKind::Ipsec, ipsec()), (TunnelKind::Gre, gre())] {
            let body = with(body, "/interface_address", json!(address));
            check(context_of(kind), &body).unwrap();
            if private {
                check(strict(kind), &body).unwrap();
            } else {
                expect_error(strict(kind), &body, "/interface_address", BodyRule::InterfacePrivate);
            }
        }
    }
}

#[test]
fn the_header_selects_the_form_of_the_target() {
    let text = with(ipsec(), "/health_check/target", json!("203.0.113.7"));
    let object = with(ipsec(), "/health_check/target", json!({"saved": "203.0.113.7", "effective": "ignored"}));
    let context = |form| ValidationContext { form, ..context_of(TunnelKind::Ipsec) };
    let saved = |form, body| check(context(form), body).unwrap().spec.health_check.saved_target.unwrap().to_string();
    assert_eq!(saved(Some(TargetForm::Text), &text), "203.0.113.7");
    assert_eq!(saved(Some(TargetForm::Object), &object), "203.0.113.7");
    assert_eq!(saved(None, &text), "203.0.113.7");
    assert_eq!(saved(None, &object), "203.0.113.7");
    expect_error(context(Some(TargetForm::Object)), &text, "/health_check/target", BodyRule::TargetForm);
    expect_error(context(Some(TargetForm::Text)), &object, "/health_check/target", BodyRule::TargetForm);
    let nonsense = with(ipsec(), "/health_check/target", json!({"saved": "nonsense"}));
    expect_error(context(Some(TargetForm::Object)), &nonsense, "/health_check/target/saved", BodyRule::Address);
}

#[test]
fn all_errors_of_a_body_are_reported_at_once() {
    let body = json!({"name": "a name that is too long", "interface_address": "x", "bgp": {"md5_key": "?"}});
    let errors = check(context_of(TunnelKind::Gre), &body).map(|valid| valid.spec.name).unwrap_err();
    let pointers: Vec<_> = errors.iter().map(|error| error.pointer.as_deref().unwrap()).collect();
    let expected = [
        "/name",
        "/name",
        "/cloudflare_gre_endpoint",
        "/customer_gre_endpoint",
        "/interface_address",
        "/bgp/customer_asn",
        "/bgp/md5_key",
    ];
    assert_eq!(pointers, expected);
}

/// Valid values, nearly valid ones, and arbitrary ones.
fn any_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,20}".prop_map(Value::from),
        "[0-9]{1,3}\\.0\\.0\\.[0-9]{1,3}(/(30|31|32))?".prop_map(Value::from),
        "2001:db8::[0-9a-f]{0,4}(/127)?".prop_map(Value::from),
        prop::sample::select(vec!["", "low", "mid", "request", "bidirectional"]).prop_map(Value::from),
    ];
    leaf.prop_recursive(2, 8, 3, |inner| {
        let keys = prop::sample::select(vec![
            "customer_asn",
            "md5_key",
            "enabled",
            "rate",
            "type",
            "target",
            "saved",
            "fqdn_id",
        ]);
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
            prop::collection::hash_map(keys, inner, 0..4)
                .prop_map(|fields| fields.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()),
        ]
    })
}

proptest! {
    /// Every body is either accepted or rejected with errors. An accepted tunnel is accepted again as it is shown.
    #[test]
    fn any_body_is_accepted_or_rejected(
        gre_kind in any::<bool>(),
        changes in prop::collection::vec(
            (
                prop::sample::select(vec![
                    "name", "cloudflare_endpoint", "cloudflare_gre_endpoint", "customer_endpoint", "customer_gre_endpoint",
                    "interface_address", "interface_address6", "description", "automatic_return_routing", "health_check", "bgp",
                    "custom_remote_identities", "psk", "mtu", "ttl", "replay_protection", "allow_null_cipher",
                ]),
                any_value(),
            ),
            0..4,
        ),
    ) {
        let (kind, mut body) = if gre_kind { (TunnelKind::Gre, gre()) } else { (TunnelKind::Ipsec, ipsec()) };
        for (field, value) in changes {
            body[field] = value;
        }
        let context = ValidationContext { form: None, ..context_of(kind) };
        match check(context, &body) {
            Ok(valid) => {
                let shown = valid.spec.request_body();
                let again = super::validate_body(context, &shown, "");
                prop_assert!(again.is_ok(), "{:?}: {:?}", shown, again);
                prop_assert_eq!(again.map(|valid| valid.spec.request_body()).unwrap_or_default(), shown);
            }
            Err(errors) => {
                prop_assert!(!errors.is_empty());
                prop_assert!(errors.iter().all(|error| error.pointer.is_some() && error.code >= 1100));
            }
        }
    }
}
