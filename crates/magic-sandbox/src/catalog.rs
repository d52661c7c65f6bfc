//! A collection of resources without state besides their settings: routes and interconnects.

use std::fmt;

use jiff::Timestamp;
use serde::{Serialize, Serializer, ser::SerializeMap};
use serde_json::{Map, Value, value};

use super::{
    response::ApiError,
    spec::{ApiTime, TargetForm},
    validate::{self, FieldReader},
};

/// The names and the error of a collection.
#[derive(Debug)]
pub(crate) struct ItemNames {
    /// Key of the list in bodies.
    pub list: &'static str,
    /// Key of a single resource in bodies.
    pub item: &'static str,
    /// Code and message of the error 404.
    pub not_found: (u32, &'static str),
}

/// What the rules of a resource depend on besides its body.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SettingsContext {
    /// Interface addresses must be private.
    pub strict: bool,
    /// Required format of `health_check.target`; `None` accepts both.
    pub form: Option<TargetForm>,
}

impl SettingsContext {
    /// Stories may use any addresses and both formats.
    pub(crate) const STORY: Self = Self { strict: false, form: None };
}

/// The settings of a resource, as a client sends them.
pub(crate) trait Settings: Clone + fmt::Debug {
    const NAMES: ItemNames;

    /// Reads the body of a create or an update. Returns `None` if a required field is missing or invalid; every field
    /// is read before that, so that all errors are reported.
    fn read(context: SettingsContext, body: &FieldReader<'_>) -> Option<Self>;

    /// Adds the fields of a body to `map`.
    fn serialize_fields<M: SerializeMap>(&self, form: TargetForm, map: &mut M) -> Result<(), M::Error>;

    /// The complete body after an update with `fields`, with the target in `form`. By default, omitted fields are
    /// reset.
    fn updated_body(&self, _form: TargetForm, fields: &Map<String, Value>) -> Map<String, Value> {
        fields.clone()
    }

    /// The name, if it must be unique among all tunnels of the account.
    fn unique_name(&self) -> Option<&str> {
        None
    }

    /// What stories call the resource.
    fn label(&self) -> String;

    /// The body that would create this resource.
    fn request_body(&self, form: TargetForm) -> Map<String, Value> {
        let body = value::Serializer.serialize_map(None).and_then(|mut map| {
            self.serialize_fields(form, &mut map)?;
            SerializeMap::end(map)
        });
        match body {
            Ok(Value::Object(body)) => body,
            _ => Map::new(),
        }
    }

    /// Validates a complete body. `at` is the pointer to it in the request.
    fn validate(context: SettingsContext, body: &Map<String, Value>, at: &str) -> Result<Self, Vec<ApiError>> {
        validate::read_body(body, at, |body| Self::read(context, body))
    }
}

/// A resource of an account.
#[derive(Debug, Clone)]
pub(crate) struct StoredItem<S> {
    pub id: String,
    spec: S,
    created: Timestamp,
    modified: Timestamp,
}

impl<S: Settings> StoredItem<S> {
    pub(crate) fn new(id: String, spec: S, now: Timestamp) -> Self {
        Self { id, spec, created: now, modified: now }
    }

    pub(crate) fn spec(&self) -> &S {
        &self.spec
    }

    /// Applies a client's update.
    pub(crate) fn update(&mut self, spec: S, now: Timestamp) {
        self.spec = spec;
        self.modified = now;
    }

    /// Applies a story event.
    pub(crate) fn replace(&mut self, spec: S) {
        self.spec = spec;
    }

    /// The resource as the API shows it.
    pub(crate) fn json(&self, form: TargetForm) -> String {
        serde_json::to_string(&ItemJson { item: self, form }).unwrap_or_default()
    }
}

struct ItemJson<'a, S> {
    item: &'a StoredItem<S>,
    form: TargetForm,
}

impl<S: Settings> Serialize for ItemJson<'_, S> {
    fn serialize<Z: Serializer>(&self, serializer: Z) -> Result<Z::Ok, Z::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("id", &self.item.id)?;
        self.item.spec.serialize_fields(self.form, &mut map)?;
        map.serialize_entry("created_on", &ApiTime(self.item.created))?;
        map.serialize_entry("modified_on", &ApiTime(self.item.modified))?;
        map.end()
    }
}

/// The resources of one collection, in the order of creation.
#[derive(Debug, Clone)]
pub(crate) struct Catalog<S>(Vec<StoredItem<S>>);

impl<S> Default for Catalog<S> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<S: Settings> Catalog<S> {
    pub(crate) fn iter(&self) -> impl Iterator<Item = &StoredItem<S>> {
        self.0.iter()
    }

    pub(crate) fn get_mut(&mut self, id: &str) -> Option<&mut StoredItem<S>> {
        self.0.iter_mut().find(|item| item.id == id)
    }

    pub(crate) fn insert(&mut self, item: StoredItem<S>) {
        self.0.push(item);
    }

    /// Removes the resources with these ids.
    pub(crate) fn remove(&mut self, ids: &[String]) {
        self.0.retain(|item| !ids.contains(&item.id));
    }

    /// The elements of a list, as JSON text separated by commas.
    pub(crate) fn list_json(&self, form: TargetForm) -> String {
        self.0.iter().map(|item| item.json(form)).collect::<Vec<_>>().join(",")
    }

    /// The same resources, created at `now`.
    pub(crate) fn created_at(&self, now: Timestamp) -> Self {
        let items = self.0.iter().map(|item| StoredItem::new(item.id.clone(), item.spec.clone(), now));
        Self(items.collect())
    }

    /// Gives the resources that still exist their settings in `initial`, unless their name is taken.
    pub(crate) fn restore(&mut self, initial: &Self, is_taken: impl Fn(&str) -> bool) {
        for StoredItem { id, spec, .. } in &initial.0 {
            let taken = spec.unique_name().is_some_and(|name| self.has_name(name, Some(id)) || is_taken(name));
            if let Some(item) = self.get_mut(id).filter(|_| !taken) {
                item.replace(spec.clone());
            }
        }
    }

    pub(crate) fn ids_with_label(&self, label: &str) -> Vec<String> {
        self.0.iter().filter(|item| item.spec.label() == label).map(|item| item.id.clone()).collect()
    }

    /// Whether a resource other than `id` has this name.
    pub(crate) fn has_name(&self, name: &str, id: Option<&str>) -> bool {
        self.0.iter().any(|item| Some(item.id.as_str()) != id && item.spec.unique_name() == Some(name))
    }
}
