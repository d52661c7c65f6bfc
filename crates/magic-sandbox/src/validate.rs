//! The rules of a tunnel's body, as the API reference states them.
//!
//! All mistakes of a body are found at once; each carries a code, a sentence and a pointer to the field. Rules that
//! need the other tunnels of the account (unique names, custom FQDNs) are in [`super::store`].

mod reader;
mod rule;

use std::net::{IpAddr, Ipv4Addr};

use ipnet::{Ipv4Net, Ipv6Net};
use secrecy::SecretString;
use serde_json::{Map, Value};

use self::reader::{Findings, Reader};
pub(super) use self::rule::Rule;
use super::{
    kind::{Form, Kind},
    reply::ApiError,
    tunnel::{Bgp, Config, HealthCheck, Own},
};

/// What the rules depend on besides the body.
#[derive(Debug, Clone, Copy)]
pub(super) struct Context<'a> {
    pub kind: Kind,
    pub account: &'a str,
    /// Interface addresses must be private, too.
    pub strict: bool,
    /// The form `health_check.target` must have; `None` takes both.
    pub form: Option<Form>,
}

/// A body without mistakes.
#[derive(Debug)]
pub(super) struct Draft {
    pub config: Config,
    /// A pre-shared key was given. The sandbox has no use for the key itself and does not keep it.
    pub psk: bool,
}

/// Checks the body of a create or an update. `at` is the pointer of the body in the request.
pub(super) fn draft(context: Context<'_>, body: &Map<String, Value>, at: &str) -> Result<Draft, Vec<ApiError>> {
    let findings = Findings::default();
    let draft = read(context, &Reader::new(body, at, &findings));
    let errors = findings.into_errors();
    match draft {
        Some(draft) if errors.is_empty() => Ok(draft),
        _ => Err(errors),
    }
}

/// `None` where a required field is missing or wrong; the reader knows why. Everything is read before the first `?`, so that
/// nothing goes unmentioned.
fn read(context: Context<'_>, body: &Reader<'_>) -> Option<Draft> {
    let kind = context.kind;
    let name = name(kind, body);
    let cloudflare_endpoint = body.required_address(kind.cloudflare_endpoint());
    let customer_endpoint = match kind {
        Kind::Ipsec => body.address(kind.customer_endpoint()),
        Kind::Gre => body.required_address(kind.customer_endpoint()),
    };
    let interface_address = interface_address(context.strict, body);
    let interface_address6 = interface_address6(body);
    let description = body.text("description").map(str::to_owned);
    let automatic_return_routing = body.flag("automatic_return_routing").unwrap_or(false);
    let health_check = health_check(context.form, body.nested("health_check").as_ref());
    let bgp = body.nested("bgp").and_then(|bgp| read_bgp(&bgp));
    let psk = kind == Kind::Ipsec && psk(body);
    let own = own(context, body);
    let config = Config {
        name: name?,
        cloudflare_endpoint: cloudflare_endpoint?,
        customer_endpoint,
        interface_address: interface_address?,
        interface_address6,
        description,
        automatic_return_routing,
        health_check,
        bgp,
        own,
    };
    Some(Draft { config, psk })
}

/// "The name cannot contain spaces or special characters, must be 15 characters or less" (GRE: it becomes the name of
/// a network interface).
fn name(kind: Kind, body: &Reader<'_>) -> Option<String> {
    let name = body.required_text("name")?;
    if kind == Kind::Gre {
        if !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-') {
            let rule = "name of a GRE tunnel cannot contain spaces or special characters";
            body.wrong("name", Rule::NameCharacters, rule);
        }
        if name.chars().count() > 15 {
            body.wrong("name", Rule::NameLength, "name of a GRE tunnel must be 15 characters or less");
        }
    }
    Some(name.to_owned())
}

/// "A 31-bit prefix (/31 in CIDR notation) supporting two hosts"; the live API takes /30 too.
fn interface_address(strict: bool, body: &Reader<'_>) -> Option<Ipv4Net> {
    const KEY: &str = "interface_address";
    let net =
        body.required_parsed::<Ipv4Net>(KEY, Rule::InterfacePrefix, "must be an IPv4 prefix of length 31 or 30")?;
    let host = net.addr();
    match net.prefix_len() {
        30 if host == net.network() || host == net.broadcast() => {
            let rule = "interface_address must be a usable host of its /30, not its network or broadcast address";
            body.wrong(KEY, Rule::InterfaceHost, rule);
        }
        30 | 31 => {}
        _ => body.wrong(KEY, Rule::InterfacePrefix, "interface_address must be an IPv4 prefix of length 31 or 30"),
    }
    if strict && !is_private(host) {
        let rule = "interface_address must be in 10.0.0.0/8, 172.16.0.0/12 or 192.168.0.0/16";
        body.wrong(KEY, Rule::InterfacePrivate, rule);
    }
    Some(net)
}

/// The three ranges that the reference names (RFC 1918).
fn is_private(address: Ipv4Addr) -> bool {
    address.is_private()
}

/// "A 127 bit IPV6 prefix [...] with the address being the first IP of the subnet".
fn interface_address6(body: &Reader<'_>) -> Option<Ipv6Net> {
    const KEY: &str = "interface_address6";
    let net = body.parsed::<Ipv6Net>(KEY, Rule::InterfacePrefix6, "must be an IPv6 prefix of length 127")?;
    if net.prefix_len() != 127 {
        body.wrong(KEY, Rule::InterfacePrefix6, "interface_address6 must be an IPv6 prefix of length 127");
    } else if net.addr() != net.network() {
        body.wrong(KEY, Rule::InterfacePrefix6, "interface_address6 must be the first address of its /127");
    }
    Some(net)
}

fn health_check(form: Option<Form>, check: Option<&Reader<'_>>) -> HealthCheck {
    let mut read = HealthCheck { enabled: true, rate: "mid", kind: "reply", direction: "bidirectional", saved: None };
    let Some(check) = check else { return read };
    read.enabled = check.flag("enabled").unwrap_or(read.enabled);
    read.rate = check.choice("rate", &["low", "mid", "high"]).unwrap_or(read.rate);
    read.kind = check.choice("type", &["reply", "request"]).unwrap_or(read.kind);
    read.direction = check.choice("direction", &["unidirectional", "bidirectional"]).unwrap_or(read.direction);
    read.saved = target(form, check);
    read
}

/// "Must be in object form if the x-magic-new-hc-target header is set to true and string form if \[it\] is absent or set
/// to false"; the empty string stands for the calculated default; `effective` is ignored.
fn target(form: Option<Form>, check: &Reader<'_>) -> Option<IpAddr> {
    const KEY: &str = "target";
    match (check.value(KEY)?, form) {
        (Value::String(_), Some(Form::Object)) => {
            let rule = "target must be an object when x-magic-new-hc-target is true";
            check.wrong(KEY, Rule::TargetForm, rule);
            None
        }
        (Value::Object(_), Some(Form::Text)) => {
            let rule = "target must be a string when x-magic-new-hc-target is absent or false";
            check.wrong(KEY, Rule::TargetForm, rule);
            None
        }
        (Value::Object(_), _) => check.nested(KEY)?.address("saved"),
        (Value::String(_), _) => check.address(KEY),
        _ => {
            check.wrong(KEY, Rule::Type, "target must be a string or an object");
            None
        }
    }
}

fn read_bgp(bgp: &Reader<'_>) -> Option<Bgp> {
    let asn_rule = "customer_asn must be a whole number from 0 to 4294967295";
    let customer_asn = bgp.required_number("customer_asn", 0..=u64::from(u32::MAX), Rule::Asn, asn_rule);
    let md5_key = bgp.text("md5_key");
    if let Some(rule) = md5_key.and_then(md5_mistake) {
        bgp.wrong("md5_key", Rule::Md5Key, rule);
    }
    let extra_prefixes = bgp.texts("extra_prefixes");
    for (position, prefix) in extra_prefixes.iter().enumerate() {
        if prefix.parse::<ipnet::IpNet>().is_err() {
            let rule = "each of extra_prefixes must be a prefix in CIDR notation";
            bgp.wrong(&format!("extra_prefixes/{position}"), Rule::ExtraPrefix, rule);
        }
    }
    let import_filter_id = bgp.text("import_filter_id").map(str::to_owned);
    let export_filter_id = bgp.text("export_filter_id").map(str::to_owned);
    let md5_key = md5_key.map(SecretString::from);
    Some(Bgp { customer_asn: customer_asn?, extra_prefixes, md5_key, import_filter_id, export_filter_id })
}

/// "Of non-zero length [...] any printable ASCII character aside from [...] quotation mark [...] and the question mark".
fn md5_mistake(key: &str) -> Option<&'static str> {
    if key.is_empty() {
        return Some("md5_key must be of non-zero length");
    }
    let allowed = |byte: u8| (b' '..=b'~').contains(&byte) && byte != b'"' && byte != b'?';
    (!key.bytes().all(allowed)).then_some(
        "md5_key may contain printable ASCII characters only, except the quotation mark and the question mark",
    )
}

fn psk(body: &Reader<'_>) -> bool {
    let psk = body.text("psk");
    if psk == Some("") {
        body.wrong("psk", Rule::Psk, "psk must not be empty");
    }
    psk.is_some()
}

fn own(context: Context<'_>, body: &Reader<'_>) -> Own {
    match context.kind {
        Kind::Ipsec => Own::Ipsec {
            allow_null_cipher: body.flag("allow_null_cipher").unwrap_or(false),
            replay_protection: body.flag("replay_protection").unwrap_or(false),
            fqdn_id: body.nested("custom_remote_identities").and_then(|ids| fqdn(context.account, &ids)),
        },
        Kind::Gre => Own::Gre {
            mtu: body.number("mtu", 576..=65535, Rule::Mtu, "mtu must be at least 576").unwrap_or(1476),
            ttl: body.number("ttl", 1..=255, Rule::Ttl, "ttl must be from 1 to 255 hops").unwrap_or(64),
        },
    }
}

/// "Must be of the form `<custom label>.<account ID>.custom.ipsec.cloudflare.com`". An empty one is none.
fn fqdn(account: &str, ids: &Reader<'_>) -> Option<String> {
    let fqdn = ids.text("fqdn_id").filter(|fqdn| !fqdn.is_empty())?;
    let label = fqdn.strip_suffix(".custom.ipsec.cloudflare.com").and_then(|rest| rest.strip_suffix(account));
    let label = label.and_then(|rest| rest.strip_suffix('.'));
    if !label.is_some_and(is_dns_label) {
        let rule = format!("fqdn_id must be of the form <custom label>.{account}.custom.ipsec.cloudflare.com");
        ids.wrong("fqdn_id", Rule::FqdnForm, &rule);
    }
    Some(fqdn.to_owned())
}

/// RFC 1123 section 2.1.
fn is_dns_label(label: &str) -> bool {
    let letters = label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    letters && (1..=63).contains(&label.len()) && !label.starts_with('-') && !label.ends_with('-')
}

#[cfg(test)]
mod tests;
