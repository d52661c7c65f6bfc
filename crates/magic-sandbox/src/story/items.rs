//! Routes and interconnects of a story, and the events that change them.

use jiff::Timestamp;
use serde_json::{Map, Value};
use web_toolkit::yaml::YamlError;

use super::entries::{Fields, wrong_field};
use crate::{
    catalog::{Catalog, Settings, SettingsContext, StoredItem},
    interconnects::InterconnectSpec,
    items::ItemKind,
    patch::merge_patch,
    response::ApiError,
    routes::RouteSpec,
    spec::TargetForm,
    store::stable_id,
};

/// Changed fields of a route or of an interconnect.
#[derive(Clone)]
pub(crate) struct ItemEvent {
    /// Position of the account.
    pub account: usize,
    kind: ItemKind,
    id: String,
    set: Map<String, Value>,
}

impl ItemEvent {
    /// Finds the only route or interconnect with this label: `10.0.0.0/8 via 10.1.1.1`, or a name. `catalogs` are those
    /// of the accounts at these positions.
    pub(super) fn find<'a>(
        kind: ItemKind,
        label: &str,
        catalogs: impl Iterator<Item = (usize, &'a Catalog<RouteSpec>, &'a Catalog<InterconnectSpec>)>,
        set: Map<String, Value>,
    ) -> Result<Self, String> {
        let key = kind.story_key();
        let found = catalogs.flat_map(|(position, routes, interconnects)| {
            let ids = match kind {
                ItemKind::Route => routes.ids_with_label(label),
                ItemKind::Interconnect => interconnects.ids_with_label(label),
            };
            ids.into_iter().map(move |id| (position, id))
        });
        let mut found = found.collect::<Vec<_>>();
        match (found.pop(), found.is_empty()) {
            (Some((account, id)), true) => Ok(Self { account, kind, id, set }),
            (None, _) => Err(format!("events.{key}: unknown {key} `{label}`")),
            _ => Err(format!("events.{key}: `{label}` matches several of them")),
        }
    }

    /// Does nothing if a client has deleted the resource.
    pub(crate) fn apply(
        &self,
        routes: &mut Catalog<RouteSpec>,
        interconnects: &mut Catalog<InterconnectSpec>,
    ) -> Result<(), String> {
        let patched = match self.kind {
            ItemKind::Route => patch(routes, &self.id, &self.set),
            ItemKind::Interconnect => patch(interconnects, &self.id, &self.set),
        };
        patched.map_err(|error| {
            let path = error.pointer.unwrap_or_default().trim_start_matches('/').replace('/', ".");
            format!("events.set.{path}: {}", error.message)
        })
    }
}

fn patch<S: Settings>(items: &mut Catalog<S>, id: &str, set: &Map<String, Value>) -> Result<(), ApiError> {
    let Some(item) = items.get_mut(id) else { return Ok(()) };
    let mut body = item.spec().request_body(TargetForm::Object);
    merge_patch(&mut body, set);
    item.replace(validate(&body)?);
    Ok(())
}

/// Returns the first error that the API would report.
fn validate<S: Settings>(body: &Map<String, Value>) -> Result<S, ApiError> {
    S::validate(SettingsContext::STORY, body, "").map_err(|errors| {
        let unnamed = ApiError::new(0, "the body is not valid");
        errors.into_iter().next().unwrap_or(unnamed)
    })
}

/// Checks the routes or the interconnects of an account. `section` is their key in the file.
pub(super) fn check<S: Settings>(
    section: &str,
    account: &str,
    entries: &[(u64, Fields)],
) -> Result<Catalog<S>, YamlError> {
    let mut items = Catalog::default();
    for (line, fields) in entries {
        let body: Map<_, _> = fields.iter().map(|(key, value)| (key.clone(), value.value.clone())).collect();
        let wrong = |pointer: &str, rule: &str| wrong_field(section, *line, fields, pointer, rule);
        let spec = validate::<S>(&body);
        let spec = spec.map_err(|error| wrong(&error.pointer.unwrap_or_default(), &error.message))?;
        if spec.unique_name().is_some_and(|name| items.has_name(name, None)) {
            return Err(wrong("name", "name cannot be shared with another tunnel"));
        }
        // Several routes can have one prefix and next hop, for example with different scopes.
        let label = spec.label();
        let number = items.ids_with_label(&label).len().to_string();
        items.insert(StoredItem::new(stable_id(&[section, account, &label, &number]), spec, Timestamp::UNIX_EPOCH));
    }
    Ok(items)
}

#[cfg(test)]
mod tests;
