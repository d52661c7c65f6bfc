//! Reads fields of a JSON object and collects the rules that they break.

use std::{cell::RefCell, net::IpAddr, ops::RangeInclusive, str::FromStr};

use serde_json::{Map, Value};

use crate::response::ApiError;

/// The rules that a body can break. The value is the code of the error. The reference documents no codes for these
/// rules, so they are the sandbox's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BodyRule {
    Required = 1101,
    Type = 1102,
    NameTaken = 1103,
    NameCharacters = 1104,
    NameLength = 1105,
    Address = 1106,
    InterfacePrefix = 1107,
    InterfaceHost = 1108,
    InterfacePrivate = 1109,
    InterfacePrefix6 = 1110,
    Md5Key = 1111,
    Mtu = 1112,
    Ttl = 1113,
    Asn = 1114,
    FqdnForm = 1115,
    FqdnTaken = 1116,
    Choice = 1117,
    TargetForm = 1118,
    ExtraPrefix = 1119,
    Psk = 1120,
    Duplicate = 1121,
}

impl BodyRule {
    /// `pointer` is an RFC 6901 pointer into the request body.
    pub(crate) fn error(self, pointer: impl Into<String>, message: impl Into<String>) -> ApiError {
        ApiError { pointer: Some(pointer.into()), ..ApiError::new(self as u32, message) }
    }
}

/// The errors of one body, in the order in which its fields are read.
pub(super) type BodyErrors = RefCell<Vec<ApiError>>;

/// An object in a body, and its pointer. A field that is null counts as absent.
#[derive(Debug)]
pub(super) struct FieldReader<'a> {
    fields: &'a Map<String, Value>,
    at: String,
    errors: &'a BodyErrors,
}

impl<'a> FieldReader<'a> {
    pub(super) fn new(fields: &'a Map<String, Value>, at: &str, errors: &'a BodyErrors) -> Self {
        Self { fields, at: at.to_owned(), errors }
    }

    pub(super) fn reject(&self, key: &str, rule: BodyRule, message: &str) {
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
    pub(super) fn require(&self, key: &str) -> &Self {
        if self.value(key).is_none_or(|value| value == "") {
            self.reject(key, BodyRule::Required, &format!("{key} is required"));
        }
        self
    }

    pub(super) fn value(&self, key: &str) -> Option<&'a Value> {
        self.fields.get(key).filter(|value| !value.is_null())
    }

    pub(super) fn text(&self, key: &str) -> Option<&'a str> {
        self.typed(key, "a string", Value::as_str)
    }

    pub(super) fn flag(&self, key: &str) -> Option<bool> {
        self.typed(key, "true or false", Value::as_bool)
    }

    pub(super) fn number(&self, key: &str, range: RangeInclusive<u64>, rule: BodyRule, message: &str) -> Option<u64> {
        let value = self.typed(key, "a number", |value| value.is_number().then_some(value))?;
        let number = value.as_u64().filter(|number| range.contains(number));
        if number.is_none() {
            self.reject(key, rule, message);
        }
        number
    }

    pub(super) fn choice(&self, key: &str, choices: &[&'static str]) -> Option<&'static str> {
        let text = self.text(key)?;
        let chosen = choices.iter().find(|choice| **choice == text).copied();
        if chosen.is_none() {
            self.reject(key, BodyRule::Choice, &format!("{key} must be one of {}", choices.join(", ")));
        }
        chosen
    }

    pub(super) fn nested(&self, key: &str) -> Option<FieldReader<'a>> {
        let fields = self.typed(key, "an object", Value::as_object)?;
        Some(FieldReader { fields, at: format!("{}/{key}", self.at), errors: self.errors })
    }

    /// The strings of a list. Other elements are reported and omitted.
    pub(super) fn texts(&self, key: &str) -> Vec<String> {
        const EXPECTED: &str = "a list of strings";
        let Some(list) = self.typed(key, EXPECTED, Value::as_array) else { return Vec::new() };
        if !list.iter().all(Value::is_string) {
            self.reject_type(key, EXPECTED);
        }
        list.iter().filter_map(Value::as_str).map(str::to_owned).collect()
    }

    /// Parses a string. An empty one counts as absent.
    pub(super) fn parsed<T: FromStr>(&self, key: &str, rule: BodyRule, expected: &str) -> Option<T> {
        let text = self.text(key).filter(|text| !text.is_empty())?;
        let parsed = text.parse().ok();
        if parsed.is_none() {
            self.reject(key, rule, &format!("{key} {expected}"));
        }
        parsed
    }

    pub(super) fn address(&self, key: &str) -> Option<IpAddr> {
        self.parsed(key, BodyRule::Address, "must be an IP address")
    }
}
