//! One answer of the GraphQL API: its lists of rows, and the errors that explain what is missing.
//!
//! A status of 200 does not mean success: `errors` can say why the data, or one list of it, is `null`.

use super::wire::{Account, Answer, Data, GraphqlError};
use crate::{
    cloudflare::{
        decode::is_object,
        error::ApiFailure,
        split::{ListPath, Splitter, classify_invalid_json},
        wire::{Field, List, Object, Text},
    },
    domain::dataset::FailureReason,
};

/// Maximum size of an answer in bytes after decompression: 10,000 rows of each list fit.
const MAX_BODY_SIZE: usize = 16 << 20;

/// Reads the rows of the answer to one query.
pub(super) trait RowReader {
    /// Names of the lists in the document.
    const LISTS: &'static [&'static str];

    /// Names in the document that can be missing without the rest.
    const PARTS: &'static [&'static str] = Self::LISTS;

    type Output;

    /// Adds a row of a list; `None` if it is too large to be decoded.
    ///
    /// # Errors
    /// The rows exceed a limit, or the body is damaged.
    fn add(&mut self, list: usize, row: Option<&[u8]>) -> Result<(), FailureReason>;

    /// Ends the answer.
    ///
    /// # Errors
    /// A list is missing that is required.
    fn finish(self, envelope: &Account<'_>, missing: Missing) -> Result<Self::Output, FailureReason>;
}

/// The parts that the answer does not contain, each with the reason.
pub(super) type Missing = Vec<(usize, FailureReason)>;

/// Decodes one body while it arrives.
#[derive(Debug)]
pub(super) struct BodyReader<R> {
    splitter: Splitter,
    /// Bytes received so far.
    size: usize,
    rows: R,
}

impl<R: RowReader> BodyReader<R> {
    pub(super) fn new(rows: R) -> Self {
        let path = ListPath { parents: &[Some("data"), Some("viewer"), Some("accounts"), None], lists: R::LISTS };
        Self { splitter: Splitter::new(path), size: 0, rows }
    }

    /// Decodes the rows that `piece` completes.
    ///
    /// # Errors
    /// The body is too large or damaged.
    pub(super) fn push(&mut self, piece: &[u8]) -> Result<(), FailureReason> {
        self.size = self.size.saturating_add(piece.len());
        if self.size > MAX_BODY_SIZE {
            return Err(FailureReason::TooLarge);
        }
        self.splitter.push(piece, |list, row| self.rows.add(list, row))
    }

    /// Ends the body of a response with this status.
    ///
    /// # Errors
    /// The body is not an answer, or has an error that concerns all of it.
    pub(super) fn finish(self, status: u16) -> Result<R::Output, ApiFailure> {
        let fail = |reason| ApiFailure { status: Some(status), ..ApiFailure::new(reason) };
        let body = self.splitter.finish().map_err(fail)?;
        let answer: Answer<'_> = serde_json::from_slice(&body).map_err(|_| fail(classify_invalid_json(&body)))?;
        if !is_object(&body) {
            return Err(fail(FailureReason::Decode));
        }
        let (account, missing) = answer.account::<R>(status).map_err(fail)?;
        self.rows.finish(&account, missing).map_err(fail)
    }
}

/// Decodes a whole body of a good response.
pub(super) fn read_whole<R: RowReader>(reader: R, body: &[u8]) -> Result<R::Output, ApiFailure> {
    let mut reader = BodyReader::new(reader);
    reader.push(body).map_err(ApiFailure::new)?;
    reader.finish(200)
}

/// Classifies a response with an error status.
pub(super) fn failure_of(status: u16, body: &[u8]) -> ApiFailure {
    let answer = serde_json::from_slice::<Answer<'_>>(body);
    let reason = answer.ok().and_then(|answer| answer.first_reason(status));
    let reason = reason.unwrap_or_else(|| classify_status(status));
    ApiFailure { status: Some(status), ..ApiFailure::new(reason) }
}

impl<'a> Answer<'a> {
    /// The account, and the parts that are missing or about which there is an error.
    fn account<R: RowReader>(self, status: u16) -> Result<(Account<'a>, Missing), FailureReason> {
        let first = self.first_reason(status);
        let Field::Value(List(errors)) = self.errors else {
            return Self::only_account(self.data, None).map(|account| with_missing::<R>(account, &[]));
        };
        let mut concerned = Vec::new();
        for Object(error) in &errors {
            let reason = error.reason(status);
            match R::PARTS.iter().position(|part| error.is_about(part)) {
                Some(part) => concerned.push((part, reason)),
                None => return Err(reason),
            }
        }
        Self::only_account(self.data, first).map(|account| with_missing::<R>(account, &concerned))
    }

    /// The only account of the answer. An account that the token may not read is not in the list.
    fn only_account(data: Field<Object<Data<'a>>>, why: Option<FailureReason>) -> Result<Account<'a>, FailureReason> {
        let damaged = why.unwrap_or(FailureReason::Decode);
        let Field::Value(Object(Data { viewer: Field::Value(Object(viewer)) })) = data else { return Err(damaged) };
        let Field::Value(List(mut accounts)) = viewer.accounts else { return Err(damaged) };
        match (accounts.pop(), accounts.is_empty()) {
            (Some(Object(account)), true) => Ok(account),
            (Some(_), false) => Err(FailureReason::Decode),
            (None, _) => Err(why.unwrap_or(FailureReason::Auth)),
        }
    }

    fn first_reason(&self, status: u16) -> Option<FailureReason> {
        let Field::Value(List(errors)) = &self.errors else { return None };
        errors.first().map(|Object(error)| error.reason(status))
    }
}

/// Adds the missing parts. One that an error is about is not used, even if the answer contains some of it.
fn with_missing<'a, R: RowReader>(
    account: Account<'a>,
    concerned: &[(usize, FailureReason)],
) -> (Account<'a>, Missing) {
    let missing = R::PARTS.iter().enumerate().filter_map(|(index, part)| {
        let reason = concerned.iter().find(|(other, _)| *other == index).map(|(_, reason)| *reason);
        reason.or_else(|| (!account.has(part)).then_some(FailureReason::Decode)).map(|reason| (index, reason))
    });
    let missing = missing.collect();
    (account, missing)
}

impl GraphqlError<'_> {
    /// Whether the path of the error contains the name of a part.
    fn is_about(&self, name: &str) -> bool {
        let Field::Value(List(path)) = &self.path else { return false };
        path.iter().any(|part| matches!(part, Field::Value(Text(part)) if part == name))
    }

    fn reason(&self, status: u16) -> FailureReason {
        let text = |field: &Field<Text<'_>>| match field {
            Field::Value(Text(text)) => text.to_ascii_lowercase(),
            Field::Absent | Field::Wrong => String::new(),
        };
        let code = match &self.extensions {
            Field::Value(Object(extensions)) => text(&extensions.code),
            Field::Absent | Field::Wrong => String::new(),
        };
        classify_message(&text(&self.message), &code).unwrap_or_else(|| classify_status(status))
    }
}

/// Parts of messages that Cloudflare documents (GraphQL Analytics API, "Error responses") or that were seen, in lower
/// case.
const MESSAGES: &[(&str, FailureReason)] = &[
    ("budget depleted", FailureReason::RateLimited),
    ("limit reached", FailureReason::RateLimited),
    ("excessive resources", FailureReason::RateLimited),
    ("too many nodes", FailureReason::RateLimited),
    ("not authorized for that account", FailureReason::Auth),
    ("unauthorized", FailureReason::Auth),
    ("authentication", FailureReason::Auth),
    ("does not have access to the path", FailureReason::NotEntitled),
    ("data older than", FailureReason::Query),
    ("time range is too large", FailureReason::Query),
    ("limit must be positive", FailureReason::Query),
    ("number of fields", FailureReason::Query),
    ("unknown field", FailureReason::Query),
    ("unknown arg", FailureReason::Query),
    ("unknown enum", FailureReason::Query),
    ("cannot query field", FailureReason::Query),
    ("parsing", FailureReason::Query),
    ("too many queries", FailureReason::Server),
    ("unable to execute", FailureReason::Server),
    ("internal server error", FailureReason::Server),
];

fn classify_message(message: &str, code: &str) -> Option<FailureReason> {
    let by_message = MESSAGES.iter().find(|(part, _)| message.contains(part)).map(|(_, reason)| *reason);
    by_message.or(match code {
        "budget" => Some(FailureReason::RateLimited),
        "forbidden" => Some(FailureReason::Auth),
        _ => None,
    })
}

const fn classify_status(status: u16) -> FailureReason {
    match status {
        400 | 422 => FailureReason::Query,
        401 | 403 => FailureReason::Auth,
        404 => FailureReason::NotFound,
        429 => FailureReason::RateLimited,
        _ => FailureReason::Server,
    }
}

#[cfg(test)]
mod tests;
