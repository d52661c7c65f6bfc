//! The limits of the datasets, which differ between accounts (`settings`).

use std::time::Duration;

use super::{
    body::{Missing, RowReader, read_whole},
    wire::{Account, DatasetLimits, HEALTH_CHECKS, NETWORK_ANALYTICS},
};
use crate::{
    cloudflare::{
        ApiFailure,
        wire::{Field, Integer, List, Object, Text},
    },
    domain::dataset::FailureReason,
};

/// Maximum number of rows of one list in an answer.
const MAX_ROWS: u64 = 10_000;

/// Fields of the health checks that the exporter needs.
const HEALTH_FIELDS: &[&str] = &["count", "tunnelName", "resultStatus"];

/// Fields of the traffic that the exporter needs.
const TRAFFIC_FIELDS: &[&str] = &["bits", "packets", "ingressTunnelName", "egressTunnelName"];

/// The limits of one dataset. The default is that nothing is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct DatasetSettings {
    /// Whether the account or the token may not read the dataset, or one of its fields that the exporter needs.
    pub is_refused: bool,
    pub max_duration: Option<Duration>,
    pub max_page_size: Option<u64>,
}

impl DatasetSettings {
    /// The number of rows to ask for.
    pub fn limit(&self) -> u64 {
        self.max_page_size.filter(|&size| size > 0).map_or(MAX_ROWS, |size| size.min(MAX_ROWS))
    }

    /// The longest time span that may be asked for, at most `window`.
    pub fn window(&self, window: Duration) -> Duration {
        self.max_duration.filter(|longest| !longest.is_zero()).map_or(window, |longest| longest.min(window))
    }
}

/// The limits of both datasets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct EdgeSettings {
    pub health: DatasetSettings,
    pub traffic: DatasetSettings,
}

impl EdgeSettings {
    /// Decodes the body of a good response.
    ///
    /// # Errors
    /// The body is not an answer to the query of limits.
    pub fn read(body: &[u8]) -> Result<Self, ApiFailure> {
        read_whole(LimitsReader, body)
    }
}

/// Reads the settings; the answer has no rows.
#[derive(Debug)]
pub(super) struct LimitsReader;

impl RowReader for LimitsReader {
    const LISTS: &'static [&'static str] = &[];

    const PARTS: &'static [&'static str] = &[HEALTH_CHECKS, NETWORK_ANALYTICS];

    type Output = EdgeSettings;

    fn add(&mut self, _: usize, _: Option<&[u8]>) -> Result<(), FailureReason> {
        Ok(())
    }

    fn finish(self, account: &Account<'_>, missing: Missing) -> Result<EdgeSettings, FailureReason> {
        if !matches!(account.settings, Field::Value(_)) {
            return Err(missing.first().map_or(FailureReason::Decode, |(_, reason)| *reason));
        }
        let [health, traffic] = [(HEALTH_CHECKS, HEALTH_FIELDS), (NETWORK_ANALYTICS, TRAFFIC_FIELDS)]
            .map(|(name, needed)| read(account.limits(name), needed));
        let refuse = |part, limits: DatasetSettings| DatasetSettings {
            is_refused: limits.is_refused || missing.contains(&(part, FailureReason::NotEntitled)),
            ..limits
        };
        Ok(EdgeSettings { health: refuse(0, health), traffic: refuse(1, traffic) })
    }
}

fn read(wire: &Field<Object<DatasetLimits<'_>>>, needed: &[&str]) -> DatasetSettings {
    let Field::Value(Object(wire)) = wire else { return DatasetSettings::default() };
    let number = |field: &Field<Integer>| match field {
        Field::Value(Integer(number)) => Some(*number),
        Field::Absent | Field::Wrong => None,
    };
    DatasetSettings {
        is_refused: wire.enabled == Field::Value(false) || lacks_fields(&wire.available_fields, needed),
        max_duration: number(&wire.max_duration).map(Duration::from_secs),
        max_page_size: number(&wire.max_page_size),
    }
}

/// Whether the list contains some of the needed fields and not all. A nested field is listed with its path, such as
/// `sum_bits`. A list without any of them has a format that is not known.
fn lacks_fields(available: &Field<List<Field<Text<'_>>>>, needed: &[&str]) -> bool {
    let Field::Value(List(available)) = available else { return false };
    let is_available = |field: &&&str| {
        available
            .iter()
            .any(|path| matches!(path, Field::Value(Text(path)) if path.rsplit(['_', '.']).next() == Some(**field)))
    };
    let found = needed.iter().filter(is_available).count();
    found > 0 && found < needed.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(health: &str) -> Result<EdgeSettings, FailureReason> {
        read_settings(
            &format!(r#"{{"{HEALTH_CHECKS}":{health},"{NETWORK_ANALYTICS}":{{"enabled":true,"maxPageSize":500}}}}"#),
            "null",
        )
    }

    fn read_settings(settings: &str, errors: &str) -> Result<EdgeSettings, FailureReason> {
        let body = format!(r#"{{"data":{{"viewer":{{"accounts":[{{"settings":{settings}}}]}}}},"errors":{errors}}}"#);
        EdgeSettings::read(body.as_bytes()).map_err(|failure| failure.reason)
    }

    #[test]
    fn limits_are_read_and_unknown_ones_are_left_open() {
        let minute = Duration::from_mins(1);
        for (health, refused, limit, window) in [
            (r#"{"enabled":true,"maxDuration":30,"maxPageSize":100,"notOlderThan":1}"#, false, 100, minute / 2),
            (r#"{"enabled":false}"#, true, 10_000, minute),
            ("null", false, 10_000, minute),
            (r#"{"enabled":null,"maxPageSize":-1,"maxDuration":"many"}"#, false, 10_000, minute),
            (r#"{"maxPageSize":0,"maxDuration":0}"#, false, 10_000, minute),
            (r#"{"maxPageSize":99999999}"#, false, 10_000, minute),
            (
                r#"{"availableFields":["count","dimensions_tunnelName","dimensions_resultStatus"]}"#,
                false,
                10_000,
                minute,
            ),
            (r#"{"availableFields":["count","dimensions_tunnelName"]}"#, true, 10_000, minute),
            (r#"{"availableFields":["a","b"]}"#, false, 10_000, minute),
            (r#"{"availableFields":[]}"#, false, 10_000, minute),
        ] {
            let settings = settings(health).unwrap();
            assert_eq!(settings.health.is_refused, refused, "{health}");
            assert_eq!((settings.health.limit(), settings.health.window(minute)), (limit, window), "{health}");
            assert_eq!(settings.traffic.limit(), 500);
        }
    }

    #[test]
    fn an_error_about_a_dataset_leaves_the_other() {
        let error = |message: &str, at: &str| {
            format!(r#"[{{"message":"{message}","path":["viewer","accounts","0","settings","{at}"]}}]"#)
        };
        let good = r#"{"enabled":true,"maxPageSize":500}"#;
        let body = format!(r#"{{"{HEALTH_CHECKS}":{good},"{NETWORK_ANALYTICS}":null}}"#);
        let denied = "account does not have access to the path";
        let limits = read_settings(&body, &error(denied, NETWORK_ANALYTICS)).unwrap();
        assert!(limits.traffic.is_refused && !limits.health.is_refused);
        assert_eq!(limits.health.limit(), 500);
        let limits = read_settings(&body, &error("internal server error", NETWORK_ANALYTICS)).unwrap();
        assert!(!limits.traffic.is_refused, "the limits are not known");
        assert_eq!(read_settings("null", &error(denied, HEALTH_CHECKS)), Err(FailureReason::NotEntitled));
        assert_eq!(read_settings(&body, &error(denied, "other")), Err(FailureReason::NotEntitled));
    }
}
