//! The rules for the body of a request that creates or updates a tunnel, as the API reference states them.
//!
//! All errors of a body are reported at once; each has a code, a message and a pointer to the field. The rules that
//! depend on other tunnels of the account (unique names, custom FQDNs) are in [`super::store`].

use std::{cell::RefCell, net::IpAddr, ops::RangeInclusive, str::FromStr};

use ipnet::{Ipv4Net, Ipv6Net};
use secrecy::SecretString;
use serde_json::{Map, Value};

use super::{
    response::{ApiError, BodyRule},
    spec::{BgpSpec, HealthCheckSpec, KindOptions, TargetForm, TunnelKind, TunnelSpec},
};

/// What the rules depend on besides the body.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ValidationContext<'a> {
    pub kind: TunnelKind,
    pub account: &'a str,
    /// Interface addresses must be private.
    pub strict: bool,
    /// Required format of `health_check.target`; `None` accepts both.
    pub form: Option<TargetForm>,
}

/// A valid body.
#[derive(Debug, Clone)]
pub(crate) struct ValidTunnel {
    pub spec: TunnelSpec,
    /// The body contains a pre-shared key. The sandbox does not use the key and does not store it.
    pub psk: bool,
}

/// Validates the body of a create or an update. `at` is the pointer to the body in the request.
pub(crate) fn validate_body(
    context: ValidationContext<'_>,
    body: &Map<String, Value>,
    at: &str,
) -> Result<ValidTunnel, Vec<ApiError>> {
    read_body(body, at, |body| read_tunnel(context, body))
}

/// Reads a body and collects its errors. `at` is the pointer to the body in the request.
pub(crate) fn read_body<T>(
    body: &Map<String, Value>,
    at: &str,
    read: impl FnOnce(&FieldReader<'_>) -> Option<T>,
) -> Result<T, Vec<ApiError>> {
    let errors = BodyErrors::default();
    let value = read(&FieldReader { fields: body, at: at.to_owned(), errors: &errors });
    let errors = errors.into_inner();
    value.filter(|_| errors.is_empty()).ok_or(errors)
}

/// Returns `None` if a required field is missing or invalid. Every field is read before the first `?`, so that all
/// errors are found.
fn read_tunnel(context: ValidationContext<'_>, body: &FieldReader<'_>) -> Option<ValidTunnel> {
    let (kind, names) = (context.kind, context.kind.names());
    let name = read_name(kind, body);
    let cloudflare_endpoint = body.require(names.cloudflare_endpoint).address(names.cloudflare_endpoint);
    if kind == TunnelKind::Gre {
        body.require(names.customer_endpoint);
    }
    let customer_endpoint = body.address(names.customer_endpoint);
    let interface_address = read_interface_address(context.strict, body);
    let interface_address6 = read_interface_address6(body);
    let description = body.text("description").map(str::to_owned);
    let automatic_return_routing = body.flag("automatic_return_routing").unwrap_or(false);
    let health_check = read_health_check(context.form, body.nested("health_check").as_ref());
    let bgp = body.nested("bgp").and_then(|bgp| read_bgp(&bgp));
    let psk = if kind == TunnelKind::Ipsec { body.text("psk") } else { None };
    if psk == Some("") {
        body.reject("psk", BodyRule::Psk, "psk must not be empty");
    }
    let options = read_options(context, body);
    let spec = TunnelSpec {
        name: name?,
        cloudflare_endpoint: cloudflare_endpoint?,
        customer_endpoint,
        interface_address: interface_address?,
        interface_address6,
        description,
        automatic_return_routing,
        health_check,
        bgp,
        options,
    };
    Some(ValidTunnel { spec, psk: psk.is_some() })
}

/// "The name cannot contain spaces or special characters, must be 15 characters or less" (GRE: it becomes the name of
/// a network interface).
fn read_name(kind: TunnelKind, body: &FieldReader<'_>) -> Option<String> {
    let name = body.require("name").text("name")?;
    if kind == TunnelKind::Gre {
        if !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-') {
            let rule = "name of a GRE tunnel cannot contain spaces or special characters";
            body.reject("name", BodyRule::NameCharacters, rule);
        }
        if name.chars().count() > 15 {
            body.reject("name", BodyRule::NameLength, "name of a GRE tunnel must be 15 characters or less");
        }
    }
    Some(name.to_owned())
}

/// "A 31-bit prefix (/31 in CIDR notation) supporting two hosts"; the live API also accepts a /30.
pub(crate) fn read_interface_address(strict: bool, body: &FieldReader<'_>) -> Option<Ipv4Net> {
    const KEY: &str = "interface_address";
    let expected = "must be an IPv4 prefix of length 31 or 30";
    let net = body.require(KEY).parsed::<Ipv4Net>(KEY, BodyRule::InterfacePrefix, expected)?;
    let host = net.addr();
    match net.prefix_len() {
        30 if host == net.network() || host == net.broadcast() => {
            let rule = "interface_address must be a usable host of its /30, not its network or broadcast address";
            body.reject(KEY, BodyRule::InterfaceHost, rule);
        }
        30 | 31 => {}
        _ => body.reject(KEY, BodyRule::InterfacePrefix, &format!("{KEY} {expected}")),
    }
    // The ranges of RFC 1918, which the reference names.
    if strict && !host.is_private() {
        let rule = "interface_address must be in 10.0.0.0/8, 172.16.0.0/12 or 192.168.0.0/16";
        body.reject(KEY, BodyRule::InterfacePrivate, rule);
    }
    Some(net)
}

/// "A 127 bit IPV6 prefix [...] with the address being the first IP of the subnet".
pub(crate) fn read_interface_address6(body: &FieldReader<'_>) -> Option<Ipv6Net> {
    const KEY: &str = "interface_address6";
    let net = body.parsed::<Ipv6Net>(KEY, BodyRule::InterfacePrefix6, "must be an IPv6 prefix of length 127")?;
    if net.prefix_len() != 127 {
        body.reject(KEY, BodyRule::InterfacePrefix6, "interface_address6 must be an IPv6 prefix of length 127");
    } else if net.addr() != net.network() {
        body.reject(KEY, BodyRule::InterfacePrefix6, "interface_address6 must be the first address of its /127");
    }
    Some(net)
}

pub(crate) fn read_health_check(form: Option<TargetForm>, check: Option<&FieldReader<'_>>) -> HealthCheckSpec {
    let mut read = HealthCheckSpec::default();
    let Some(check) = check else { return read };
    read.enabled = check.flag("enabled").unwrap_or(read.enabled);
    read.rate = check.choice("rate", &["low", "mid", "high"]).unwrap_or(read.rate);
    read.check_type = check.choice("type", &["reply", "request"]).unwrap_or(read.check_type);
    read.direction = check.choice("direction", &["unidirectional", "bidirectional"]).unwrap_or(read.direction);
    read.saved_target = read_target(form, check);
    read
}

/// "Must be in object form if the x-magic-new-hc-target header is set to true and string form if \[it\] is absent or
/// set to false"; the empty string selects the calculated default; `effective` is ignored.
fn read_target(form: Option<TargetForm>, check: &FieldReader<'_>) -> Option<IpAddr> {
    const KEY: &str = "target";
    match (check.value(KEY)?, form) {
        (Value::Object(_), None | Some(TargetForm::Object)) => return check.nested(KEY)?.address("saved"),
        (Value::String(_), None | Some(TargetForm::Text)) => return check.address(KEY),
        (Value::Object(_), _) => {
            let rule = "target must be a string when x-magic-new-hc-target is absent or false";
            check.reject(KEY, BodyRule::TargetForm, rule);
        }
        (Value::String(_), _) => {
            let rule = "target must be an object when x-magic-new-hc-target is true";
            check.reject(KEY, BodyRule::TargetForm, rule);
        }
        _ => check.reject(KEY, BodyRule::Type, "target must be a string or an object"),
    }
    None
}

pub(crate) fn read_bgp(bgp: &FieldReader<'_>) -> Option<BgpSpec> {
    let asn_rule = "customer_asn must be a whole number from 0 to 4294967295";
    if bgp.value("customer_asn").is_none() {
        bgp.reject("customer_asn", BodyRule::Required, "customer_asn is required");
    }
    let customer_asn = bgp.number("customer_asn", 0..=u64::from(u32::MAX), BodyRule::Asn, asn_rule);
    let md5_key = bgp.text("md5_key");
    if md5_key == Some("") {
        bgp.reject("md5_key", BodyRule::Md5Key, "md5_key must be of non-zero length");
    } else if !md5_key.is_none_or(is_md5_key) {
        let rule =
            "md5_key may contain printable ASCII characters only, except the quotation mark and the question mark";
        bgp.reject("md5_key", BodyRule::Md5Key, rule);
    }
    let extra_prefixes = bgp.texts("extra_prefixes");
    for (position, prefix) in extra_prefixes.iter().enumerate() {
        if prefix.parse::<ipnet::IpNet>().is_err() {
            let rule = "each of extra_prefixes must be a prefix in CIDR notation";
            bgp.reject(&format!("extra_prefixes/{position}"), BodyRule::ExtraPrefix, rule);
        }
    }
    let import_filter_id = bgp.text("import_filter_id").map(str::to_owned);
    let export_filter_id = bgp.text("export_filter_id").map(str::to_owned);
    let md5_key = md5_key.map(SecretString::from);
    Some(BgpSpec { customer_asn: customer_asn?, extra_prefixes, md5_key, import_filter_id, export_filter_id })
}

/// "Of non-zero length [...] any printable ASCII character aside from [...] quotation mark [...] and the question
/// mark".
fn is_md5_key(key: &str) -> bool {
    key.bytes().all(|byte| (b' '..=b'~').contains(&byte) && byte != b'"' && byte != b'?')
}

fn read_options(context: ValidationContext<'_>, body: &FieldReader<'_>) -> KindOptions {
    match context.kind {
        TunnelKind::Ipsec => KindOptions::Ipsec {
            allow_null_cipher: body.flag("allow_null_cipher").unwrap_or(false),
            replay_protection: body.flag("replay_protection").unwrap_or(false),
            fqdn_id: body.nested("custom_remote_identities").and_then(|ids| read_fqdn_id(context.account, &ids)),
        },
        TunnelKind::Gre => KindOptions::Gre {
            mtu: body.number("mtu", 576..=65535, BodyRule::Mtu, "mtu must be at least 576").unwrap_or(1476),
            ttl: body.number("ttl", 1..=255, BodyRule::Ttl, "ttl must be from 1 to 255 hops").unwrap_or(64),
        },
    }
}

/// "Must be of the form `<custom label>.<account ID>.custom.ipsec.cloudflare.com`". The empty string counts as
/// absent.
fn read_fqdn_id(account: &str, ids: &FieldReader<'_>) -> Option<String> {
    let fqdn = ids.text("fqdn_id").filter(|fqdn| !fqdn.is_empty())?;
    let label = fqdn.strip_suffix(".custom.ipsec.cloudflare.com").and_then(|rest| rest.strip_suffix(account));
    let label = label.and_then(|rest| rest.strip_suffix('.'));
    if !label.is_some_and(is_dns_label) {
        let rule = format!("fqdn_id must be of the form <custom label>.{account}.custom.ipsec.cloudflare.com");
        ids.reject("fqdn_id", BodyRule::FqdnForm, &rule);
    }
    Some(fqdn.to_owned())
}

/// RFC 1123 section 2.1.
fn is_dns_label(label: &str) -> bool {
    let letters = label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    letters && (1..=63).contains(&label.len()) && !label.starts_with('-') && !label.ends_with('-')
}

/// The errors of one body, in the order in which its fields are read.
type BodyErrors = RefCell<Vec<ApiError>>;

/// An object in a body, and its pointer. A field that is null counts as absent.
#[derive(Debug)]
pub(crate) struct FieldReader<'a> {
    fields: &'a Map<String, Value>,
    at: String,
    errors: &'a BodyErrors,
}

impl<'a> FieldReader<'a> {
    pub(crate) fn reject(&self, key: &str, rule: BodyRule, message: &str) {
        self.errors.borrow_mut().push(rule.error(format!("{}/{key}", self.at), message));
    }

    fn reject_type(&self, key: &str, expected: &str) {
        self.reject(key, BodyRule::Type, &format!("{key} must be {expected}"));
    }

    /// Returns the field converted by `convert`. `expected` names the type that `convert` accepts.
    fn typed<T>(&self, key: &str, expected: &str, convert: impl FnOnce(&'a Value) -> Option<T>) -> Option<T> {
        let converted = convert(self.value(key)?);
        if converted.is_none() {
            self.reject_type(key, expected);
        }
        converted
    }

    /// Reports a field that is absent or an empty string.
    pub(crate) fn require(&self, key: &str) -> &Self {
        if self.value(key).is_none_or(|value| value == "") {
            self.reject(key, BodyRule::Required, &format!("{key} is required"));
        }
        self
    }

    pub(crate) fn value(&self, key: &str) -> Option<&'a Value> {
        self.fields.get(key).filter(|value| !value.is_null())
    }

    pub(crate) fn text(&self, key: &str) -> Option<&'a str> {
        self.typed(key, "a string", Value::as_str)
    }

    pub(crate) fn flag(&self, key: &str) -> Option<bool> {
        self.typed(key, "true or false", Value::as_bool)
    }

    pub(crate) fn number(&self, key: &str, range: RangeInclusive<u64>, rule: BodyRule, message: &str) -> Option<u64> {
        let value = self.typed(key, "a number", |value| value.is_number().then_some(value))?;
        let number = value.as_u64().filter(|number| range.contains(number));
        if number.is_none() {
            self.reject(key, rule, message);
        }
        number
    }

    pub(crate) fn choice(&self, key: &str, choices: &[&'static str]) -> Option<&'static str> {
        let text = self.text(key)?;
        let chosen = choices.iter().find(|choice| **choice == text).copied();
        if chosen.is_none() {
            self.reject(key, BodyRule::Choice, &format!("{key} must be one of {}", choices.join(", ")));
        }
        chosen
    }

    pub(crate) fn nested(&self, key: &str) -> Option<FieldReader<'a>> {
        let fields = self.typed(key, "an object", Value::as_object)?;
        Some(FieldReader { fields, at: format!("{}/{key}", self.at), errors: self.errors })
    }

    /// The strings of a list. Other elements are reported and omitted.
    pub(crate) fn texts(&self, key: &str) -> Vec<String> {
        const EXPECTED: &str = "a list of strings";
        let Some(list) = self.typed(key, EXPECTED, Value::as_array) else { return Vec::new() };
        if !list.iter().all(Value::is_string) {
            self.reject_type(key, EXPECTED);
        }
        list.iter().filter_map(Value::as_str).map(str::to_owned).collect()
    }

    /// Parses a string. An empty one counts as absent.
    pub(crate) fn parsed<T: FromStr>(&self, key: &str, rule: BodyRule, expected: &str) -> Option<T> {
        let text = self.text(key).filter(|text| !text.is_empty())?;
        let parsed = text.parse().ok();
        if parsed.is_none() {
            self.reject(key, rule, &format!("{key} {expected}"));
        }
        parsed
    }

    pub(crate) fn address(&self, key: &str) -> Option<IpAddr> {
        self.parsed(key, BodyRule::Address, "must be an IP address")
    }
}

#[cfg(test)]
mod tests;
