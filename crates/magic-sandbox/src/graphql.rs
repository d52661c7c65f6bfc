//! The GraphQL Analytics API, as far as the exporter uses it: `POST /client/v4/graphql` with one of four documents.
//!
//! ```text
//! body -> document (which operation) -> variables (typed) -> answer (rows of the account's tunnels)
//! ```
//! This is not a GraphQL server: any other document is an error, so that a test notices when a query of the exporter
//! changes. What filters, order and limits of a document mean is in [`answer`].

mod answer;
mod document;
mod error;
mod rows;
mod variables;

use serde_json::{Map, Value};

pub(crate) use self::{
    answer::{AnswerContext, Distortion},
    document::DocumentOperation,
    error::{AnalyticsError, alias_path},
};
use self::{document::find_operation, variables::TypedVariables};
use super::store::StoredAccount;

/// Path below the mount point of the API.
pub(crate) const PATH: &str = "/graphql";

/// A request with a known document and variables of the right types.
#[derive(Debug)]
pub(crate) struct AnalyticsRequest {
    operation: DocumentOperation,
    query: TypedVariables,
}

impl AnalyticsRequest {
    /// Parses the body of a request.
    pub(crate) fn parse(body: &[u8]) -> Result<Self, AnalyticsError> {
        let body: Map<String, Value> = serde_json::from_slice(body)
            .map_err(|error| AnalyticsError::bad_request(format!("error parsing the request body: {error}")))?;
        let Some(Value::String(text)) = body.get("query") else {
            return Err(AnalyticsError::bad_request("error parsing args: `query` must be a string"));
        };
        let operation = find_operation(text).map_err(AnalyticsError::bad_request)?;
        match body.get("operationName") {
            None | Some(Value::Null) => {}
            Some(name) if name == operation.name() => {}
            Some(name) => return Err(AnalyticsError::bad_request(format!("unknown operation named {name}"))),
        }
        let query = TypedVariables::parse(operation, body.get("variables")).map_err(AnalyticsError::bad_request)?;
        Ok(Self { operation, query })
    }

    /// Returns the body of the answer as JSON text.
    pub(crate) fn answer(&self, accounts: &[StoredAccount], context: &AnswerContext) -> Result<String, AnalyticsError> {
        let answer = answer::answer_account(&self.query, accounts, context);
        answer.map_err(|error| AnalyticsError { timestamp: Some(context.now), ..error })
    }

    pub(crate) fn operation(&self) -> DocumentOperation {
        self.operation
    }
}

#[cfg(test)]
mod tests;
