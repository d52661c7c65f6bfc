//! Reads the fields of a fault; every mistake is a sentence.

use std::time::Duration;

use hyper::{Method, StatusCode};
use serde::{Deserialize, Deserializer};
use serde_json::Value;

pub(super) fn duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(deserializer)?;
    let duration = humantime::parse_duration(&text);
    duration.map_err(|_| serde::de::Error::custom(format!("`{text}` is no duration: write 500ms, 1s or 2m")))
}

pub(super) fn status<'de, D: Deserializer<'de>>(deserializer: D) -> Result<StatusCode, D::Error> {
    let code = u16::deserialize(deserializer)?;
    let status = StatusCode::from_u16(code).ok().filter(|status| (200..600).contains(&status.as_u16()));
    status.ok_or_else(|| serde::de::Error::custom(format!("{code} is no status of an answer: it must be 200 to 599")))
}

pub(super) fn method<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Method>, D::Error> {
    let text = Option::<String>::deserialize(deserializer)?;
    let known = [Method::GET, Method::POST, Method::PUT, Method::DELETE];
    text.map(|text| {
        let method = known.into_iter().find(|method| method.as_str().eq_ignore_ascii_case(&text));
        method.ok_or_else(|| serde::de::Error::custom(format!("method must be GET, POST, PUT or DELETE, not `{text}`")))
    })
    .transpose()
}

pub(super) fn count<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    let count = Option::<u64>::deserialize(deserializer)?;
    if count == Some(0) {
        return Err(serde::de::Error::custom("count must be at least 1"));
    }
    Ok(count)
}

pub(super) fn probability<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<f64>, D::Error> {
    let share = Option::<f64>::deserialize(deserializer)?;
    match share {
        Some(share) if !(0.0..=1.0).contains(&share) => {
            Err(serde::de::Error::custom(format!("probability must be from 0 to 1, not {share}")))
        }
        share => Ok(share),
    }
}

/// A number of seconds or any text that can stand in a header.
pub(super) fn header_value<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    let text = match Option::<Value>::deserialize(deserializer)? {
        None | Some(Value::Null) => return Ok(None),
        Some(Value::String(text)) => text,
        Some(Value::Number(number)) => number.to_string(),
        Some(_) => return Err(serde::de::Error::custom("retry_after must be seconds or a date")),
    };
    if hyper::header::HeaderValue::from_str(&text).is_err() {
        return Err(serde::de::Error::custom("retry_after must be text that can stand in a header"));
    }
    Ok(Some(text))
}
