//! The JSON of the answers, without their rows. Every field may be absent or have an unexpected type.

use std::borrow::Cow;

use serde::{Deserialize, de::IgnoredAny};

use crate::cloudflare::wire::{Field, Integer, List, Object, Shape, Text};

/// The whole answer, with empty lists.
#[derive(Deserialize)]
pub(super) struct Answer<'a> {
    #[serde(default, borrow)]
    pub(super) data: Field<Object<Data<'a>>>,
    #[serde(default, borrow)]
    pub(super) errors: Field<List<Object<GraphqlError<'a>>>>,
}

#[derive(Deserialize, Default)]
pub(super) struct Data<'a> {
    #[serde(default, borrow)]
    pub(super) viewer: Field<Object<Viewer<'a>>>,
}

#[derive(Deserialize, Default)]
pub(super) struct Viewer<'a> {
    #[serde(default, borrow)]
    pub(super) accounts: Field<List<Object<Account<'a>>>>,
}

/// The account of an answer, with empty lists.
#[derive(Deserialize, Default)]
pub(super) struct Account<'a> {
    #[serde(default)]
    results: Field<List<IgnoredAny>>,
    #[serde(default)]
    states: Field<List<IgnoredAny>>,
    #[serde(default)]
    minutes: Field<List<IgnoredAny>>,
    #[serde(default)]
    colos: Field<List<IgnoredAny>>,
    #[serde(default)]
    from_site: Field<List<IgnoredAny>>,
    #[serde(default)]
    to_site: Field<List<IgnoredAny>>,
    #[serde(default, borrow)]
    pub(super) settings: Field<Object<SettingsOfDatasets<'a>>>,
}

impl Account<'_> {
    /// Whether the answer contains the list, or the limits of the dataset, with this name.
    pub(super) fn has(&self, name: &str) -> bool {
        let list = match name {
            "results" => &self.results,
            "states" => &self.states,
            "minutes" => &self.minutes,
            "colos" => &self.colos,
            "from_site" => &self.from_site,
            "to_site" => &self.to_site,
            _ => return matches!(self.limits(name), Field::Value(_)),
        };
        matches!(list, Field::Value(_))
    }

    /// The limits of a dataset.
    pub(super) fn limits(&self, dataset: &str) -> &Field<Object<DatasetLimits<'_>>> {
        match &self.settings {
            Field::Value(Object(settings)) if dataset == HEALTH_CHECKS => {
                &settings.magic_transit_tunnel_health_checks_adaptive_groups
            }
            Field::Value(Object(settings)) if dataset == NETWORK_ANALYTICS => {
                &settings.magic_transit_network_analytics_adaptive_groups
            }
            _ => &Field::Absent,
        }
    }
}

/// Names of the datasets in the schema of the API.
pub(super) const HEALTH_CHECKS: &str = "magicTransitTunnelHealthChecksAdaptiveGroups";
pub(super) const NETWORK_ANALYTICS: &str = "magicTransitNetworkAnalyticsAdaptiveGroups";

/// Member of `errors`. The message is only classified, because it may quote the request.
#[derive(Deserialize, Default)]
pub(super) struct GraphqlError<'a> {
    #[serde(default, borrow)]
    pub(super) message: Field<Text<'a>>,
    #[serde(default, borrow)]
    pub(super) path: Field<List<Field<Text<'a>>>>,
    #[serde(default, borrow)]
    pub(super) extensions: Field<Object<Extensions<'a>>>,
}

#[derive(Deserialize, Default)]
pub(super) struct Extensions<'a> {
    #[serde(default, borrow)]
    pub(super) code: Field<Text<'a>>,
}

/// The field `settings` of an account.
#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase")]
pub(super) struct SettingsOfDatasets<'a> {
    #[serde(default, borrow)]
    pub(super) magic_transit_tunnel_health_checks_adaptive_groups: Field<Object<DatasetLimits<'a>>>,
    #[serde(default, borrow)]
    pub(super) magic_transit_network_analytics_adaptive_groups: Field<Object<DatasetLimits<'a>>>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase")]
pub(super) struct DatasetLimits<'a> {
    #[serde(default)]
    pub(super) enabled: Field<bool>,
    #[serde(default)]
    pub(super) max_duration: Field<Integer>,
    #[serde(default)]
    pub(super) max_page_size: Field<Integer>,
    #[serde(default, borrow)]
    pub(super) available_fields: Field<List<Field<Text<'a>>>>,
}

/// A finite number that is not negative, or a string with one.
#[derive(Clone, Copy)]
pub(super) struct Decimal(pub(super) f64);

impl<'de> Shape<'de> for Decimal {
    fn from_integer(value: u64) -> Option<Self> {
        Some(Self(value as f64))
    }

    fn from_float(value: f64) -> Option<Self> {
        (value.is_finite() && value >= 0.0).then_some(Self(value))
    }

    fn from_text(text: Cow<'de, str>) -> Option<Self> {
        text.parse().ok().and_then(Self::from_float)
    }
}
