//! The variables of a request, checked against the types that the documents declare.

use jiff::Timestamp;
use serde_json::Value;

use super::document::DocumentOperation;
use crate::edge::AnswerWindow;

/// The variables of one operation.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum TypedVariables {
    Settings { account: String },
    EdgeHealth { account: String, window: AnswerWindow, after: String, limit: u64 },
    EdgeTraffic { account: String, window: AnswerWindow, limit: u64 },
    EdgeColos { account: String, window: AnswerWindow, after: String, limit: u64, colos: Vec<String> },
}

impl TypedVariables {
    /// Variables that the document does not declare are ignored, as the GraphQL specification says. The error is a
    /// message of the API.
    pub(super) fn parse(operation: DocumentOperation, variables: Option<&Value>) -> Result<Self, String> {
        let variables = VariableReader(variables.unwrap_or(&Value::Null));
        let account = variables.text("account")?;
        Ok(match operation {
            DocumentOperation::Settings => Self::Settings { account },
            DocumentOperation::EdgeHealth => Self::EdgeHealth {
                account,
                window: AnswerWindow { from: variables.time("from")?, to: variables.time("to")? },
                after: variables.text("after")?,
                limit: variables.number("limit")?,
            },
            DocumentOperation::EdgeTraffic => Self::EdgeTraffic {
                account,
                window: AnswerWindow { from: variables.time("bucket")?, to: variables.time("end")? },
                limit: variables.number("limit")?,
            },
            DocumentOperation::EdgeColos => Self::EdgeColos {
                account,
                window: AnswerWindow { from: variables.time("from")?, to: variables.time("to")? },
                after: variables.text("after")?,
                limit: variables.number("limit")?,
                colos: variables.texts("colos")?,
            },
        })
    }

    pub(super) fn account(&self) -> &str {
        match self {
            Self::Settings { account }
            | Self::EdgeHealth { account, .. }
            | Self::EdgeTraffic { account, .. }
            | Self::EdgeColos { account, .. } => account,
        }
    }
}

struct VariableReader<'a>(&'a Value);

impl<'a> VariableReader<'a> {
    /// Converts a variable, all of which are required. `expected` is its type.
    fn require<T>(
        &self,
        name: &str,
        expected: &str,
        convert: impl FnOnce(&'a Value) -> Option<T>,
    ) -> Result<T, String> {
        let value = self.0.get(name).filter(|value| !value.is_null());
        let value = value.ok_or_else(|| format!("variable `{name}` of type `{expected}!` is required"))?;
        convert(value).ok_or_else(|| format!("variable `{name}` must be of type `{expected}!`"))
    }

    fn text(&self, name: &str) -> Result<String, String> {
        self.require(name, "string", |value| value.as_str().map(str::to_owned))
    }

    fn texts(&self, name: &str) -> Result<Vec<String>, String> {
        let convert = |value: &Value| {
            value.as_array()?.iter().map(|member| member.as_str().map(str::to_owned)).collect::<Option<_>>()
        };
        self.require(name, "[string!]", convert)
    }

    fn time(&self, name: &str) -> Result<Timestamp, String> {
        self.require(name, "Time", |value| value.as_str()?.parse().ok())
    }

    fn number(&self, name: &str) -> Result<u64, String> {
        self.require(name, "uint64", Value::as_u64)
    }
}
