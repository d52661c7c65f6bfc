//! Reads fields out of a JSON object and collects what is wrong with them.

use std::{cell::RefCell, net::IpAddr, ops::RangeInclusive, str::FromStr};

use serde_json::{Map, Value};

use super::rule::Rule;
use crate::reply::ApiError;

/// All mistakes of one body, in the order of reading.
#[derive(Debug, Default)]
pub(super) struct Findings(RefCell<Vec<ApiError>>);

impl Findings {
    pub(super) fn into_errors(self) -> Vec<ApiError> {
        self.0.into_inner()
    }
}

/// One object of a body and where it stands. A field that is null counts as absent.
#[derive(Debug)]
pub(super) struct Reader<'a> {
    fields: &'a Map<String, Value>,
    at: String,
    findings: &'a Findings,
}

impl<'a> Reader<'a> {
    pub(super) fn new(fields: &'a Map<String, Value>, at: &str, findings: &'a Findings) -> Self {
        Self { fields, at: at.to_owned(), findings }
    }

    pub(super) fn wrong(&self, key: &str, rule: Rule, message: &str) {
        self.findings.0.borrow_mut().push(rule.error(format!("{}/{key}", self.at), message));
    }

    fn wrong_type(&self, key: &str, expected: &str) {
        self.wrong(key, Rule::Type, &format!("{key} must be {expected}"));
    }

    fn missing(&self, key: &str) {
        self.wrong(key, Rule::Required, &format!("{key} is required"));
    }

    pub(super) fn value(&self, key: &str) -> Option<&'a Value> {
        self.fields.get(key).filter(|value| !value.is_null())
    }

    pub(super) fn text(&self, key: &str) -> Option<&'a str> {
        let value = self.value(key)?;
        if !value.is_string() {
            self.wrong_type(key, "a string");
        }
        value.as_str()
    }

    /// The empty string is as good as none.
    pub(super) fn required_text(&self, key: &str) -> Option<&'a str> {
        match self.value(key) {
            None => {
                self.missing(key);
                None
            }
            Some(Value::String(text)) if text.is_empty() => {
                self.missing(key);
                None
            }
            Some(_) => self.text(key),
        }
    }

    pub(super) fn flag(&self, key: &str) -> Option<bool> {
        let value = self.value(key)?;
        if !value.is_boolean() {
            self.wrong_type(key, "true or false");
        }
        value.as_bool()
    }

    pub(super) fn number(&self, key: &str, range: RangeInclusive<u64>, rule: Rule, message: &str) -> Option<u64> {
        let value = self.value(key)?;
        if !value.is_number() {
            self.wrong_type(key, "a number");
            return None;
        }
        let number = value.as_u64().filter(|number| range.contains(number));
        if number.is_none() {
            self.wrong(key, rule, message);
        }
        number
    }

    pub(super) fn required_number(
        &self,
        key: &str,
        range: RangeInclusive<u64>,
        rule: Rule,
        message: &str,
    ) -> Option<u64> {
        if self.value(key).is_none() {
            self.missing(key);
        }
        self.number(key, range, rule, message)
    }

    pub(super) fn choice(&self, key: &str, choices: &[&'static str]) -> Option<&'static str> {
        let text = self.text(key)?;
        let chosen = choices.iter().find(|choice| **choice == text).copied();
        if chosen.is_none() {
            self.wrong(key, Rule::Choice, &format!("{key} must be one of {}", choices.join(", ")));
        }
        chosen
    }

    pub(super) fn nested(&self, key: &str) -> Option<Reader<'a>> {
        let value = self.value(key)?;
        if !value.is_object() {
            self.wrong_type(key, "an object");
        }
        let fields = value.as_object()?;
        Some(Reader { fields, at: format!("{}/{key}", self.at), findings: self.findings })
    }

    /// The strings of a list; other elements are mistakes and left out.
    pub(super) fn texts(&self, key: &str) -> Vec<String> {
        let Some(value) = self.value(key) else { return Vec::new() };
        let Some(list) = value.as_array() else {
            self.wrong_type(key, "a list of strings");
            return Vec::new();
        };
        if !list.iter().all(Value::is_string) {
            self.wrong_type(key, "a list of strings");
        }
        list.iter().filter_map(Value::as_str).map(str::to_owned).collect()
    }

    pub(super) fn parsed<T: FromStr>(&self, key: &str, rule: Rule, expected: &str) -> Option<T> {
        let text = self.text(key).filter(|text| !text.is_empty())?;
        let parsed = text.parse().ok();
        if parsed.is_none() {
            self.wrong(key, rule, &format!("{key} {expected}"));
        }
        parsed
    }

    pub(super) fn required_parsed<T: FromStr>(&self, key: &str, rule: Rule, expected: &str) -> Option<T> {
        self.required_text(key)?;
        self.parsed(key, rule, expected)
    }

    pub(super) fn address(&self, key: &str) -> Option<IpAddr> {
        self.parsed(key, Rule::Address, "must be an IP address")
    }

    pub(super) fn required_address(&self, key: &str) -> Option<IpAddr> {
        self.required_parsed(key, Rule::Address, "must be an IP address")
    }
}
