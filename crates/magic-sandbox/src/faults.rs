//! What can go wrong on demand: which requests are hit ([`Faults::strike`]), and what becomes of their answer.
//!
//! A fault either replaces the answer (the operation is not carried out), spoils its body, or spoils its delivery.

mod parse;

use std::time::Duration;

use hyper::{Method, StatusCode};
use rand::{RngExt as _, rngs::StdRng};
use serde::Deserialize;
use serde_json::{Value, json};
use web_toolkit::{
    settings::{ConfigError, Layout, SettingsReader},
    yaml::{Node, YamlError, keys_of},
};

use super::{
    kind::Kind,
    reply::{Refusal, Reply},
};

/// Faults at one time; more is a mistake in a script.
const MOST: usize = 100;

/// One fault and the requests it hits. `{"collection": "gre_tunnels", "count": 3, "fault": {"status": {"code": 503}}}`
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    /// Absent: both collections and the checks of a token.
    collection: Option<Kind>,
    /// `GET`, `POST`, `PUT` or `DELETE`. Absent: all.
    #[serde(default, deserialize_with = "parse::method")]
    method: Option<Method>,
    /// How many requests it hits before it is over. Absent: all until it is cleared.
    #[serde(default, deserialize_with = "parse::count")]
    count: Option<u64>,
    /// The share of requests that it hits, from 0 to 1. Absent: every one.
    #[serde(default, deserialize_with = "parse::probability")]
    probability: Option<f64>,
    #[serde(rename = "fault")]
    effect: Effect,
}

/// What happens to a request that is hit.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum Effect {
    /// The answer comes later. Goes together with any other fault.
    #[serde(deserialize_with = "parse::duration")]
    Latency(Duration),
    /// This status, with this body or none.
    Status {
        #[serde(deserialize_with = "parse::status")]
        code: StatusCode,
        #[serde(default)]
        body: String,
    },
    /// 429, code 971. `retry_after` is what the header says: seconds or a date.
    RateLimited {
        #[serde(default, deserialize_with = "parse::header_value")]
        retry_after: Option<String>,
    },
    /// A page of some gateway.
    Html {
        #[serde(default = "bad_gateway", deserialize_with = "parse::status")]
        code: StatusCode,
    },
    /// 403 for want of a permission.
    Forbidden,
    /// Status 200 and `"success": false`.
    SuccessFalse,
    /// The first half of the body, with a content length to match.
    Truncated,
    /// Bytes that are no UTF-8 inside a string.
    InvalidUtf8,
    /// Numbers for names, strings for objects.
    WrongTypes,
    /// A result without its list.
    MissingList,
    /// Enum values that no reference knows.
    UnknownValue,
    /// One byte each so often.
    #[serde(deserialize_with = "parse::duration")]
    Drip(Duration),
    /// The connection breaks in the middle of the body.
    Reset,
    /// No answer at all.
    Silence,
    /// A body that never ends.
    Endless,
}

const fn bad_gateway() -> StatusCode {
    StatusCode::BAD_GATEWAY
}

/// How the bytes of an answer travel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Delivery {
    Whole,
    Drip(Duration),
    Reset,
    Silence,
    Endless,
}

/// All that hits one request.
#[derive(Debug, Default)]
pub(super) struct Strike {
    pub latency: Duration,
    effect: Option<Effect>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct List {
    faults: Vec<Fault>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct FileKeys {
    faults: Node<Fault>,
}

/// The faults in force, in the order given.
#[derive(Debug, Clone, Default)]
pub struct Faults(Vec<Fault>);

impl Faults {
    /// `{"faults": [...]}`, as `PUT /sandbox/faults` has it. The error is a sentence.
    pub fn from_json(text: &[u8]) -> Result<Self, String> {
        let list: List = serde_json::from_slice(text).map_err(|error| error.to_string())?;
        Self::new(list.faults)
    }

    /// Reads a YAML or JSON file in the same format; `name` is its name in errors.
    ///
    /// # Errors
    /// Every wrong key, or else the first wrong value.
    pub fn parse(name: &str, text: &str) -> Result<Self, ConfigError> {
        let layout = Layout { sections: vec![("faults", keys_of::<Fault>())], secrets: &[] };
        let (mut reader, file) = SettingsReader::open::<FileKeys>(name, text, layout)?;
        let faults = reader.sections("faults", file.faults).into_iter().map(|(_, fault)| fault);
        let faults = Self::new(faults.collect()).map_err(|what| YamlError { line: 1, what });
        let faults = reader.check_line(faults);
        reader.finish_with(faults)
    }

    pub(super) fn new(faults: Vec<Fault>) -> Result<Self, String> {
        if faults.len() > MOST {
            return Err(format!("at most {MOST} faults at one time, not {}", faults.len()));
        }
        Ok(Self(faults))
    }

    /// How many are in force.
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// Finds what hits a request and counts it. All latencies add up; of the others the first wins.
    pub(super) fn strike(&mut self, collection: Option<Kind>, method: &Method, rng: &mut StdRng) -> Strike {
        let mut strike = Strike::default();
        for fault in &mut self.0 {
            let latency = match fault.effect {
                Effect::Latency(latency) => Some(latency),
                _ => None,
            };
            let room = latency.is_some() || strike.effect.is_none();
            if !(room && fault.concerns(collection, method) && fault.hits(rng)) {
                continue;
            }
            match latency {
                Some(latency) => strike.latency = strike.latency.saturating_add(latency),
                None => strike.effect = Some(fault.effect.clone()),
            }
        }
        self.0.retain(|fault| fault.count != Some(0));
        strike
    }

    pub(super) fn json(&self) -> Value {
        let faults = self.0.iter().map(|fault| {
            json!({
                "fault": fault.effect.name(),
                "collection": fault.collection.map(Kind::collection),
                "method": fault.method.as_ref().map(Method::as_str),
                "count": fault.count,
                "probability": fault.probability,
            })
        });
        json!({"faults": faults.collect::<Value>()})
    }
}

impl Fault {
    fn concerns(&self, collection: Option<Kind>, method: &Method) -> bool {
        self.collection.is_none_or(|kind| Some(kind) == collection)
            && self.method.as_ref().is_none_or(|mine| mine == method)
    }

    fn hits(&mut self, rng: &mut StdRng) -> bool {
        if self.probability.is_some_and(|probability| !rng.random_bool(probability)) {
            return false;
        }
        if let Some(count) = &mut self.count {
            *count = count.saturating_sub(1);
        }
        true
    }
}

impl Effect {
    const fn name(&self) -> &'static str {
        match self {
            Self::Latency(_) => "latency",
            Self::Status { .. } => "status",
            Self::RateLimited { .. } => "rate_limited",
            Self::Html { .. } => "html",
            Self::Forbidden => "forbidden",
            Self::SuccessFalse => "success_false",
            Self::Truncated => "truncated",
            Self::InvalidUtf8 => "invalid_utf8",
            Self::WrongTypes => "wrong_types",
            Self::MissingList => "missing_list",
            Self::UnknownValue => "unknown_value",
            Self::Drip(_) => "drip",
            Self::Reset => "reset",
            Self::Silence => "silence",
            Self::Endless => "endless",
        }
    }
}

impl Strike {
    /// Name of the fault, for the list of calls.
    pub(super) fn name(&self) -> Option<&'static str> {
        let latency = (!self.latency.is_zero()).then_some("latency");
        self.effect.as_ref().map(Effect::name).or(latency)
    }

    /// The answer that comes in place of the operation.
    pub(super) fn instead(&self) -> Option<Reply> {
        Some(match self.effect.as_ref()? {
            Effect::Status { code, body } => {
                let json = serde_json::from_str::<Value>(body).is_ok();
                let content_type = if json { "application/json" } else { "text/plain; charset=UTF-8" };
                Reply { content_type, ..Reply::json_text(*code, body.clone()) }
            }
            Effect::RateLimited { retry_after } => rate_limited(retry_after.clone()),
            Effect::Html { code } => {
                let page = "<html>\n<head><title>Bad gateway</title></head>\n<body>cloudflare</body>\n</html>\n";
                Reply { content_type: "text/html; charset=UTF-8", ..Reply::json_text(*code, page.to_owned()) }
            }
            Effect::Forbidden => Refusal::permission().into(),
            Effect::SuccessFalse => {
                let errors = json!([{"code": 1001, "message": "An unknown error has occurred"}]);
                let body = json!({"success": false, "errors": errors, "messages": [], "result": null});
                Reply::json(StatusCode::OK, &body)
            }
            _ => return None,
        })
    }

    /// Spoils the body of an answer.
    pub(super) fn spoil(&self, reply: &mut Reply) {
        match self.effect {
            Some(Effect::Truncated) => reply.body.truncate(reply.body.len() / 2),
            Some(Effect::InvalidUtf8) => spoil_text(&mut reply.body),
            Some(Effect::WrongTypes) => change(reply, wrong_types),
            Some(Effect::MissingList) => change(reply, |body| body["result"] = json!({})),
            Some(Effect::UnknownValue) => change(reply, unknown_values),
            _ => {}
        }
    }

    pub(super) fn delivery(&self) -> Delivery {
        match self.effect {
            Some(Effect::Drip(every)) => Delivery::Drip(every),
            Some(Effect::Reset) => Delivery::Reset,
            Some(Effect::Silence) => Delivery::Silence,
            Some(Effect::Endless) => Delivery::Endless,
            _ => Delivery::Whole,
        }
    }
}

fn rate_limited(retry_after: Option<String>) -> Reply {
    let errors = json!([{"code": 971, "message": "Please wait and consider throttling your request speed"}]);
    let body = json!({"success": false, "errors": errors, "messages": [], "result": null});
    let reply = Reply::json(StatusCode::TOO_MANY_REQUESTS, &body);
    match retry_after {
        Some(value) => reply.with_header("retry-after", value),
        None => reply,
    }
}

/// Puts a byte that UTF-8 never has (RFC 3629 section 1) into the first string of the body.
fn spoil_text(body: &mut Vec<u8>) {
    let at = body.iter().position(|byte| *byte == b'"').map_or(0, |quote| quote + 1);
    body.insert(at, 0xff);
}

fn change(reply: &mut Reply, how: impl FnOnce(&mut Value)) {
    if let Ok(mut body) = serde_json::from_slice(&reply.body) {
        how(&mut body);
        reply.body = body.to_string().into_bytes();
    }
}

/// Every object that has a tunnel's name, wherever it stands in the body.
fn each_tunnel(value: &mut Value, how: &mut impl FnMut(&mut Value)) {
    if value.get("name").is_some() {
        return how(value);
    }
    match value {
        Value::Array(list) => list.iter_mut().for_each(|element| each_tunnel(element, how)),
        Value::Object(fields) => fields.values_mut().for_each(|field| each_tunnel(field, how)),
        _ => {}
    }
}

fn wrong_types(body: &mut Value) {
    each_tunnel(body, &mut |tunnel| {
        tunnel["name"] = json!(42);
        tunnel["interface_address"] = json!(["10.0.0.0/31"]);
        tunnel["bgp"] = json!("yes");
        tunnel["health_check"] = json!(7);
    });
}

fn unknown_values(body: &mut Value) {
    each_tunnel(body, &mut |tunnel| {
        tunnel["health_check"]["rate"] = json!("ludicrous");
        tunnel["health_check"]["type"] = json!("handshake");
        tunnel["health_check"]["direction"] = json!("sideways");
        if tunnel.get("bgp_status").is_some() {
            tunnel["bgp_status"]["state"] = json!("BGP_DAMPENED");
            tunnel["bgp_status"]["bgp_state"] = json!("Dampened");
        }
    });
}

#[cfg(test)]
mod tests;
