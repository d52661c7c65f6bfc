//! JSON merge patches, which change some fields of a resource.

use serde_json::{Map, Value};

/// Applies a JSON merge patch (RFC 7396): objects are merged, null removes a field, other values replace it.
pub(crate) fn merge_patch(fields: &mut Map<String, Value>, patch: &Map<String, Value>) {
    for (key, value) in patch {
        match (fields.get_mut(key), value) {
            (_, Value::Null) => {
                fields.remove(key);
            }
            (Some(Value::Object(inner)), Value::Object(patch)) => merge_patch(inner, patch),
            _ => {
                fields.insert(key.clone(), value.clone());
            }
        }
    }
}
