//! The GraphQL Analytics API, as far as the exporter uses it: `POST /client/v4/graphql` with one of three documents.
//!
//! ```text
//! body -> document (which operation) -> variables (typed) -> answer (rows of the account's tunnels)
//! ```
//! This is not a GraphQL server: any other document is an error, so that a test notices when a query of the exporter
//! changes. What filters, order and limits of a document mean is in [`answer`].

mod answer;
mod document;
mod variables;

use hyper::StatusCode;
use jiff::Timestamp;
use serde_json::{Map, Value, json};

pub(crate) use self::{
    answer::{AnswerContext, Distortion},
    document::Operation,
};
use self::{document::find_operation, variables::Query};
use super::response::ApiResponse;

/// Path below the mount point of the API.
pub(crate) const PATH: &str = "/graphql";

/// An error in the form of the GraphQL API, which differs from that of the other paths.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct GraphqlError {
    pub status: StatusCode,
    pub message: String,
    /// `extensions.code`, which only some errors have.
    pub code: Option<String>,
    /// Names the part of the query that failed, with the alias last.
    pub path: Vec<String>,
    pub timestamp: Option<Timestamp>,
}

impl GraphqlError {
    pub(crate) fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self { status, message: message.into(), code: None, path: Vec::new(), timestamp: None }
    }

    fn bad_request(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, message)
    }

    /// A dataset that the account or the token cannot use.
    pub(crate) fn no_access_to_path() -> Self {
        Self::new(StatusCode::FORBIDDEN, "account does not have access to the path").with_code("FORBIDDEN")
    }

    /// The quota of queries is used up.
    pub(crate) fn budget_depleted() -> Self {
        let message = "rate limiter budget depleted, try again after 5 minutes";
        Self::new(StatusCode::TOO_MANY_REQUESTS, message).with_code("budget")
    }

    /// `alias` is the name of a list in the answer.
    fn at_alias(self, alias: &str) -> Self {
        Self { path: alias_path(alias), ..self }
    }

    fn with_code(self, code: &str) -> Self {
        Self { code: Some(code.to_owned()), ..self }
    }

    /// The element of `errors`.
    pub(crate) fn json(&self) -> Value {
        let mut error = json!({"message": self.message});
        if !self.path.is_empty() {
            error["path"] = json!(self.path);
        }
        if let Some(code) = &self.code {
            error["extensions"]["code"] = json!(code);
        }
        if let Some(timestamp) = self.timestamp {
            error["extensions"]["timestamp"] = json!(timestamp.to_string());
        }
        error
    }
}

/// The value of `path` in an error about `alias`. All its elements are strings, as in recorded bodies.
pub(crate) fn alias_path(alias: &str) -> Vec<String> {
    ["viewer", "accounts", "0", alias].map(str::to_owned).into()
}

impl From<GraphqlError> for ApiResponse {
    fn from(error: GraphqlError) -> Self {
        Self::json(error.status, &json!({"data": null, "errors": [error.json()]}))
    }
}

/// A request with a known document and variables of the right types.
#[derive(Debug)]
pub(crate) struct GraphqlRequest {
    operation: Operation,
    query: Query,
}

impl GraphqlRequest {
    /// Parses the body of a request.
    pub(crate) fn parse(body: &[u8]) -> Result<Self, GraphqlError> {
        let body: Map<String, Value> = serde_json::from_slice(body)
            .map_err(|error| GraphqlError::bad_request(format!("error parsing the request body: {error}")))?;
        let Some(Value::String(text)) = body.get("query") else {
            return Err(GraphqlError::bad_request("error parsing args: `query` must be a string"));
        };
        let operation = find_operation(text).map_err(GraphqlError::bad_request)?;
        match body.get("operationName") {
            None | Some(Value::Null) => {}
            Some(name) if name == operation.name() => {}
            Some(name) => return Err(GraphqlError::bad_request(format!("unknown operation named {name}"))),
        }
        let query = Query::parse(operation, body.get("variables")).map_err(GraphqlError::bad_request)?;
        Ok(Self { operation, query })
    }

    pub(crate) fn operation(&self) -> Operation {
        self.operation
    }
}

#[cfg(test)]
mod tests;
