use super::*;

/// Collects the rows of two lists.
#[derive(Default)]
struct Rows(Vec<String>);

impl RowReader for Rows {
    const LISTS: &'static [&'static str] = &["results", "states"];

    type Output = (Vec<String>, Missing);

    fn add(&mut self, list: usize, row: Option<&[u8]>) -> Result<(), FailureReason> {
        self.0.push(format!("{list} {}", str::from_utf8(row.unwrap()).unwrap()));
        Ok(())
    }

    fn finish(self, _: &Account<'_>, missing: Missing) -> Result<Self::Output, FailureReason> {
        Ok((self.0, missing))
    }
}

fn read(body: &str) -> Result<(Vec<String>, Missing), FailureReason> {
    let mut reader = BodyReader::new(Rows::default());
    for piece in body.as_bytes().chunks(7) {
        reader.push(piece)?;
    }
    reader.finish(200).map_err(|failure| failure.reason)
}

fn answer(account: &str, errors: &str) -> String {
    format!(r#"{{"data":{{"viewer":{{"accounts":[{account}]}}}},"errors":{errors}}}"#)
}

#[test]
fn rows_are_read_with_and_without_an_empty_list_of_errors() {
    for errors in ["null", "[]"] {
        let body = answer(r#"{"results":[{"a":1},2],"states":[3]}"#, errors);
        let rows = ["0 {\"a\":1}", "0 2", "1 3"].map(str::to_owned).to_vec();
        assert_eq!(read(&body), Ok((rows, Vec::new())), "{errors}");
    }
    let body = r#"{"data":{"viewer":{"accounts":[{"results":[],"states":[]}]}}}"#;
    assert_eq!(read(body), Ok((Vec::new(), Vec::new())));
}

#[test]
fn an_answer_that_is_not_whole_is_a_failure() {
    use FailureReason::{Auth, Decode, NotJson};
    for (body, reason) in [
        ("<html>Bad gateway</html>", NotJson),
        ("", NotJson),
        ("[]", Decode),
        ("{}", Decode),
        (r#"{"data":null}"#, Decode),
        (r#"{"data":{"viewer":{"accounts":null}}}"#, Decode),
        (r#"{"data":{"viewer":{"accounts":[]}}}"#, Auth),
        (r#"{"data":{"viewer":{"accounts":[{"results":[1"#, Decode),
        (r#"{"data":{"viewer":{"accounts":[{"results":[]},{"results":[]}]}}}"#, Decode),
        (r#"{"data":{"viewer":{"accounts":[{"results":[1],"results":[2]}]}}}"#, Decode),
    ] {
        assert_eq!(read(body), Err(reason), "{body}");
    }
}

#[test]
fn an_error_about_a_list_leaves_the_others() {
    let error = r#"[{"message":"account does not have access to the path","path":["viewer","accounts",0,"states"]}]"#;
    for account in [r#"{"results":[1],"states":null}"#, r#"{"results":[1],"states":[2]}"#, r#"{"results":[1]}"#] {
        let (_, missing) = read(&answer(account, error)).unwrap();
        assert_eq!(missing, [(1, FailureReason::NotEntitled)], "{account}");
    }
    let (_, missing) = read(&answer(r#"{"results":null,"states":[]}"#, "null")).unwrap();
    assert_eq!(missing, [(0, FailureReason::Decode)], "a list can be missing without an error");
}

#[test]
fn an_error_without_a_list_concerns_all_of_them() {
    for error in [r#"[{"message":"internal server error"}]"#, "[null]", r#"[{"path":["viewer"]}]"#] {
        let body = answer(r#"{"results":[1],"states":[2]}"#, error);
        assert_eq!(read(&body), Err(FailureReason::Server), "{error}");
    }
}

#[test]
fn every_documented_error_has_a_reason() {
    use FailureReason::{Auth, NotEntitled, NotFound, Query, RateLimited, Server};
    for (status, message, code, reason) in [
        (200, "rate limiter budget depleted, try again after 5 minutes", "", RateLimited),
        (200, "rate limiter budget depleted", "budget", RateLimited),
        (429, "query consumed excessive resources, please try another one", "", RateLimited),
        (429, "in combination, your request queries too many nodes and zones", "", RateLimited),
        (200, "graphql: limit reached, please try again later", "", RateLimited),
        (400, "cannot request data older than 2678400s", "", Query),
        (400, "query time range is too large. Time range can't be wider than 86400s", "", Query),
        (400, "limit must be positive number and not greater than 10000", "", Query),
        (400, "number of fields can't be more than 30", "", Query),
        (400, "unknown field \"tunnelName\"", "", Query),
        (400, "error parsing args", "", Query),
        (401, "Unauthorized", "", Auth),
        (403, "not authorized for that account", "", Auth),
        (403, "account does not have access to the path", "FORBIDDEN", NotEntitled),
        (200, "no", "FORBIDDEN", Auth),
        (500, "Internal server error", "", Server),
        (503, "unable to execute query, please try again later", "", Server),
        (503, "too many queries in progress, please try again later", "", Server),
        (200, "something new", "", Server),
        (400, "something new", "", Query),
        (404, "something new", "", NotFound),
    ] {
        let body = format!(r#"{{"data":null,"errors":[{{"message":{message:?},"extensions":{{"code":"{code}"}}}}]}}"#);
        let failure = failure_of(status, body.as_bytes());
        assert_eq!((failure.reason, failure.status), (reason, Some(status)), "{message}");
        if status == 200 {
            assert_eq!(read(&body), Err(reason), "{message}");
        }
        assert!(!format!("{failure:?} {failure}").contains(message), "messages may quote the request");
    }
    for (status, reason) in [(400, Query), (401, Auth), (403, Auth), (404, NotFound), (429, RateLimited), (502, Server)]
    {
        assert_eq!(failure_of(status, b"<html>").reason, reason, "{status}");
    }
}

#[test]
fn a_body_has_a_limit() {
    let mut reader = BodyReader::new(Rows::default());
    let row = "1,".repeat(1 << 19);
    reader.push(br#"{"data":{"viewer":{"accounts":[{"results":["#).unwrap();
    let result = (0..20).try_for_each(|_| reader.push(row.as_bytes()));
    assert_eq!(result, Err(FailureReason::TooLarge));
}
