//! The JSON around the results of the API.

use serde::{Deserialize, de::IgnoredAny};

use super::wire::{Field, Integer, List, Object};

/// Envelope of every response. Members of lists are decoded separately.
#[derive(Deserialize)]
pub(super) struct Envelope {
    #[serde(default)]
    pub(super) success: Field<bool>,
    #[serde(default)]
    pub(super) errors: Field<List<Object<ErrorInfo>>>,
    #[serde(default)]
    pub(super) result: Field<Object<Lists>>,
    #[serde(default)]
    pub(super) result_info: Field<Object<ResultInfo>>,
}

/// Member of `errors`. Its message is not read, because it may quote the request.
#[derive(Deserialize, Default)]
pub(super) struct ErrorInfo {
    #[serde(default)]
    pub(super) code: Field<Integer>,
}

/// `result` of the list operations.
#[derive(Deserialize)]
pub(super) struct Lists {
    #[serde(default)]
    pub(super) ipsec_tunnels: Field<List<IgnoredAny>>,
    #[serde(default)]
    pub(super) gre_tunnels: Field<List<IgnoredAny>>,
    #[serde(default)]
    pub(super) interconnects: Field<List<IgnoredAny>>,
    #[serde(default)]
    pub(super) routes: Field<List<IgnoredAny>>,
}

/// `result_info`: the API documents it for lists that are divided into pages.
#[derive(Deserialize)]
pub(super) struct ResultInfo {
    #[serde(default)]
    pub(super) total_count: Field<Integer>,
}
