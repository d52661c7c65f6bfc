//! The query of the list of events.

use form_urlencoded::Serializer;
use jiff::Timestamp;

use super::{
    address::{Query, QueryError, parse_label, to_shown},
    api::EventFormat,
};
use crate::snapshot::rows::Filter;

/// Which events are listed, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct EventQuery {
    pub(super) filter: Filter,
    /// Only events after this time.
    pub(super) since: Timestamp,
    /// `None` if the query does not say.
    pub(super) format: Option<EventFormat>,
}

impl EventQuery {
    /// Parses the part of an address after `?`. Empty values are ignored.
    pub(super) fn parse(text: &str) -> Result<Self, QueryError> {
        let mut query = Self { filter: Filter::default(), since: Timestamp::MIN, format: None };
        let mut filter = Serializer::new(String::new());
        for (key, value) in form_urlencoded::parse(text.as_bytes()) {
            let own = match (&*key, &*value) {
                ("since" | "format", "") => Ok(()),
                ("since", time) => parse_time(time).map(|time| query.since = time),
                ("format", format) => parse_label(format, &[]).map(|format| query.format = Some(format)),
                _ => {
                    filter.append_pair(&key, &value);
                    Ok(())
                }
            };
            own.map_err(|rule| QueryError::InvalidValue { key: to_shown(&key), value: to_shown(&value), rule })?;
        }
        query.filter = Query::parse(&filter.finish())?.filter;
        Ok(query)
    }
}

fn parse_time(text: &str) -> Result<Timestamp, String> {
    let seconds = text.parse().ok().and_then(|seconds| Timestamp::from_second(seconds).ok());
    let time = seconds.or_else(|| text.parse().ok());
    time.ok_or_else(|| "must be a time such as 2026-01-31T12:00:00Z, or seconds since 1970".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_is_a_date_or_seconds() {
        for (text, millis) in [
            ("since=2026-11-21T23:07:12.123Z", 1_795_302_432_123),
            ("since=2026-11-22T00:07:12%2B01:00", 1_795_302_432_000),
            ("since=1795302432", 1_795_302_432_000),
        ] {
            assert_eq!(EventQuery::parse(text).unwrap().since.as_millisecond(), millis, "{text}");
        }
        let query = EventQuery::parse("since=&format=&account=&site=fra&search=a+b").unwrap();
        assert_eq!((query.since, query.format), (Timestamp::MIN, None));
        assert_eq!((query.filter.site.as_deref(), &*query.filter.search), (Some("fra"), "a b"));
        assert_eq!(EventQuery::parse("format=ndjson").unwrap().format, Some(EventFormat::Lines));
    }

    #[test]
    fn an_invalid_value_is_refused_with_its_rule() {
        for (text, part) in [
            ("since=yesterday", "`since` is `yesterday`: must be a time such as 2026-01-31T12:00:00Z"),
            ("since=99999999999999999", "must be a time"),
            ("format=xml", "`format` is `xml`: must be one of json, ndjson"),
            ("type=vpn", "must be one of"),
        ] {
            let sentence = EventQuery::parse(text).unwrap_err().to_string();
            assert!(sentence.contains(part), "{sentence}");
        }
    }
}
