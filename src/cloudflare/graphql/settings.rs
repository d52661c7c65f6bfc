//! The limits of the datasets, which differ between accounts (`settings`).

use std::time::Duration;

use super::{
    body::{Missing, RowReader},
    wire::{Account, DatasetLimits},
};
use crate::{
    cloudflare::wire::{Field, Integer, List, Object, Text},
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

/// Reads the settings; the answer has no rows.
#[derive(Debug)]
pub(super) struct LimitsReader;

impl RowReader for LimitsReader {
    const LISTS: &'static [&'static str] = &[];

    type Output = EdgeSettings;

    fn add(&mut self, _: usize, _: Option<&[u8]>) -> Result<(), FailureReason> {
        Ok(())
    }

    fn finish(self, account: &Account<'_>, _: Missing) -> Result<EdgeSettings, FailureReason> {
        let Field::Value(Object(wire)) = &account.settings else { return Err(FailureReason::Decode) };
        Ok(EdgeSettings {
            health: read(&wire.magic_transit_tunnel_health_checks_adaptive_groups, HEALTH_FIELDS),
            traffic: read(&wire.magic_transit_network_analytics_adaptive_groups, TRAFFIC_FIELDS),
        })
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
    use crate::cloudflare::graphql::body::BodyReader;

    fn settings(health: &str) -> Result<EdgeSettings, FailureReason> {
        let body = format!(
            r#"{{"data":{{"viewer":{{"accounts":[{{"settings":{{
                "magicTransitTunnelHealthChecksAdaptiveGroups":{health},
                "magicTransitNetworkAnalyticsAdaptiveGroups":{{"enabled":true,"maxPageSize":500}}}}}}]}}}},"errors":null}}"#
        );
        let mut reader = BodyReader::new(LimitsReader);
        reader.push(body.as_bytes())?;
        reader.finish(200).map_err(|failure| failure.reason)
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
}
