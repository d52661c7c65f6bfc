//! The answer with the list of events.

use hyper::{HeaderMap, Response, StatusCode};
use web_toolkit::server::Body;

use super::{
    Http,
    api::{EventFormat, EventList, error_json},
    event_query::EventQuery,
    headers::{accepts_lines, answer_json, answer_lines},
};

impl Http {
    pub(super) async fn answer_events(&self, query: &str, headers: &HeaderMap) -> Response<Body> {
        match EventQuery::parse(query) {
            Ok(query) => self.answer_event_list(query, headers).await,
            Err(error) => {
                let open = move || (StatusCode::BAD_REQUEST, error_json(&error.to_string()));
                self.answer_encoded(headers, answer_json, open).await
            }
        }
    }

    async fn answer_event_list(&self, query: EventQuery, headers: &HeaderMap) -> Response<Body> {
        let default = if accepts_lines(headers) { EventFormat::Lines } else { EventFormat::Json };
        let format = query.format.unwrap_or(default);
        let answer = if format == EventFormat::Lines { answer_lines } else { answer_json };
        let snapshot = self.snapshot();
        let open = move || (StatusCode::OK, EventList::new(&snapshot, &query.filter, query.since, format));
        self.answer_encoded(headers, answer, open).await
    }
}
