//! The operations on the resources of a [`Catalog`].
//!
//! With `validate_only` all checks are made and nothing changes, as for tunnels.

use hyper::{Method, StatusCode};
use rand::{RngExt as _, rngs::StdRng};
use serde_json::{Map, Value};
use web_toolkit::clock::Moment;

use super::{
    catalog::{Catalog, Settings, SettingsContext, StoredItem},
    request::ApiRequest,
    response::{BodyRule, ErrorResponse},
};

/// The collections of resources without state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum ItemKind {
    Route,
    Interconnect,
}

impl ItemKind {
    pub(crate) fn from_collection(segment: &str) -> Option<Self> {
        match segment {
            "routes" => Some(Self::Route),
            "cf_interconnects" => Some(Self::Interconnect),
            _ => None,
        }
    }

    /// Key of an event.
    pub(crate) const fn story_key(self) -> &'static str {
        match self {
            Self::Route => "route",
            Self::Interconnect => "interconnect",
        }
    }
}

type ItemResult<T = String> = Result<T, ErrorResponse>;

/// One request for the resources of a catalog.
pub(crate) struct ItemCall<'a> {
    pub request: &'a ApiRequest,
    /// `None`: the collection.
    pub id: Option<&'a str>,
    pub now: Moment,
    pub strict: bool,
    /// Whether a tunnel has this name.
    pub is_taken: &'a dyn Fn(&str) -> bool,
}

/// An element of an update of many: id, complete settings, and the pointer to it in the request.
type Update<S> = (String, S, String);

impl ItemCall<'_> {
    /// Returns the result as JSON text. The method is one that the resource has.
    pub(crate) fn run<S: Settings>(&self, items: &mut Catalog<S>, rng: &mut StdRng) -> ItemResult {
        let Some(id) = self.id else {
            return match self.request.method {
                Method::POST => self.create(items, rng),
                Method::PUT => self.update_many(items),
                Method::DELETE => self.delete_many(items),
                _ => Ok(format!("{{\"{}\":[{}]}}", S::NAMES.list, items.list_json(self.request.form))),
            };
        };
        let item = items.get_mut(id).ok_or_else(not_found::<S>)?;
        match self.request.method {
            Method::PUT => self.update(items, id),
            Method::DELETE => {
                let json = item.json(self.request.form);
                Ok(format!(
                    "{{\"deleted\":{},\"deleted_{}\":{json}}}",
                    self.remove(items, &[id.to_owned()]),
                    S::NAMES.item
                ))
            }
            _ => Ok(format!("{{\"{}\":{}}}", S::NAMES.item, item.json(self.request.form))),
        }
    }

    fn create<S: Settings>(&self, items: &mut Catalog<S>, rng: &mut StdRng) -> ItemResult {
        let spec = self.validate::<S>(&self.request.object_body()?, "")?;
        let item = StoredItem::new(format!("{:032x}", rng.random::<u128>()), spec, self.now.wall);
        let json = item.json(self.request.form);
        if !self.request.validate_only() {
            items.insert(item);
        }
        Ok(json)
    }

    fn update<S: Settings>(&self, items: &mut Catalog<S>, id: &str) -> ItemResult {
        let update = self.read_update(items, id, &self.request.object_body()?, String::new())?;
        let item = self.apply(items, vec![update])?;
        Ok(format!("{{\"modified\":{},\"modified_{}\":{item}}}", !self.request.validate_only(), S::NAMES.item))
    }

    fn update_many<S: Settings>(&self, items: &mut Catalog<S>) -> ItemResult {
        let updates = self.read_updates(items, &self.request.object_body()?)?;
        let list = self.apply(items, updates)?;
        Ok(format!("{{\"modified\":{},\"modified_{}\":[{list}]}}", !self.request.validate_only(), S::NAMES.list))
    }

    fn read_updates<S: Settings>(
        &self,
        items: &mut Catalog<S>,
        body: &Map<String, Value>,
    ) -> ItemResult<Vec<Update<S>>> {
        let (pointer, list) = listed(body, S::NAMES.list)?;
        let (mut updates, mut errors) = (Vec::<Update<S>>::with_capacity(list.len()), Vec::new());
        for (position, element) in list.iter().enumerate() {
            let at = format!("{pointer}/{position}");
            let update = identified(element, &at).and_then(|(fields, id)| self.read_update(items, id, fields, at));
            match update {
                Ok((id, _, at)) if updates.iter().any(|(other, ..)| *other == id) => {
                    let message = format!("the same {} occurs twice in one update", S::NAMES.item);
                    errors.push(BodyRule::Duplicate.error(format!("{at}/id"), message));
                }
                Ok(update) => updates.push(update),
                Err(error) if error.status == StatusCode::NOT_FOUND => return Err(error),
                Err(error) => errors.extend(error.errors),
            }
        }
        ErrorResponse::check_body(errors)?;
        Ok(updates)
    }

    /// Reads and validates one update. `at` is the pointer to it in the request.
    fn read_update<S: Settings>(
        &self,
        items: &mut Catalog<S>,
        id: &str,
        fields: &Map<String, Value>,
        at: String,
    ) -> ItemResult<Update<S>> {
        let Some(item) = items.get_mut(id) else {
            let mut error = not_found::<S>();
            error.errors.iter_mut().for_each(|error| error.pointer = Some(format!("{at}/id")));
            return Err(error);
        };
        let spec = self.validate(&item.spec().updated_body(self.request.form, fields), &at)?;
        Ok((id.to_owned(), spec, at))
    }

    /// Applies all updates or none, to a copy with `validate_only`. Returns the resources, separated by commas. Names
    /// are checked after all updates, so that two resources can swap theirs.
    fn apply<S: Settings>(&self, items: &mut Catalog<S>, updates: Vec<Update<S>>) -> ItemResult {
        let mut changed = items.clone();
        let (mut shown, mut places) = (Vec::with_capacity(updates.len()), Vec::with_capacity(updates.len()));
        for (id, spec, at) in updates {
            let Some(item) = changed.get_mut(&id) else { continue };
            item.update(spec, self.now.wall);
            shown.push(item.json(self.request.form));
            places.push((id, item.spec().unique_name().map(str::to_owned), at));
        }
        let taken = places.iter().filter(|(id, name, _)| {
            name.as_ref().is_some_and(|name| changed.has_name(name, Some(id)) || (self.is_taken)(name))
        });
        let message = "name cannot be shared with another tunnel";
        let errors = taken.map(|(.., at)| BodyRule::NameTaken.error(format!("{at}/name"), message));
        ErrorResponse::check_body(errors.collect())?;
        if !self.request.validate_only() {
            *items = changed;
        }
        Ok(shown.join(","))
    }

    /// Without a body, all resources are deleted. The reference has no parameters for this operation; older clients
    /// send the list of the resources.
    fn delete_many<S: Settings>(&self, items: &mut Catalog<S>) -> ItemResult {
        let ids = if self.request.body.is_empty() {
            items.iter().map(|item| item.id.clone()).collect()
        } else {
            read_ids(items, &self.request.object_body()?)?
        };
        let deleted = items.iter().filter(|item| ids.contains(&item.id)).map(|item| item.json(self.request.form));
        let list = deleted.collect::<Vec<_>>().join(",");
        Ok(format!("{{\"deleted\":{},\"deleted_{}\":[{list}]}}", self.remove(items, &ids), S::NAMES.list))
    }

    /// Returns whether the resources were removed.
    fn remove<S: Settings>(&self, items: &mut Catalog<S>, ids: &[String]) -> bool {
        let removes = !self.request.validate_only();
        if removes {
            items.remove(ids);
        }
        removes
    }

    fn validate<S: Settings>(&self, body: &Map<String, Value>, at: &str) -> ItemResult<S> {
        let context = SettingsContext { strict: self.strict, form: Some(self.request.form) };
        S::validate(context, body, at).map_err(ErrorResponse::invalid_body)
    }
}

fn read_ids<S: Settings>(items: &mut Catalog<S>, body: &Map<String, Value>) -> ItemResult<Vec<String>> {
    let (pointer, list) = listed(body, S::NAMES.list)?;
    let ids = list.iter().enumerate().map(|(position, element)| {
        let (_, id) = identified(element, &format!("{pointer}/{position}"))?;
        items.get_mut(id).map(|item| item.id.clone()).ok_or_else(not_found::<S>)
    });
    ids.collect()
}

fn not_found<S: Settings>() -> ErrorResponse {
    let (code, message) = S::NAMES.not_found;
    ErrorResponse::single(StatusCode::NOT_FOUND, code, message)
}

/// The list `key` in the body of a request for many resources, and the pointer to it.
pub(crate) fn listed<'a>(body: &'a Map<String, Value>, key: &str) -> ItemResult<(String, &'a Vec<Value>)> {
    let pointer = format!("/{key}");
    match body.get(key) {
        None | Some(Value::Null) => {
            Err(ErrorResponse::invalid_field(BodyRule::Required, &pointer, format!("{key} is required")))
        }
        Some(Value::Array(list)) => Ok((pointer, list)),
        Some(_) => Err(ErrorResponse::invalid_field(BodyRule::Type, &pointer, format!("{key} must be a list"))),
    }
}

/// The fields and the id of one element of such a list. `at` is the pointer to it.
pub(crate) fn identified<'a>(element: &'a Value, at: &str) -> ItemResult<(&'a Map<String, Value>, &'a str)> {
    let wrong = |rule, pointer: &str, message| ErrorResponse::invalid_field(rule, pointer, message);
    let fields = element.as_object().ok_or_else(|| wrong(BodyRule::Type, at, "must be an object"))?;
    let pointer = format!("{at}/id");
    match fields.get("id") {
        None | Some(Value::Null) => Err(wrong(BodyRule::Required, &pointer, "id is required")),
        Some(Value::String(id)) => Ok((fields, id)),
        Some(_) => Err(wrong(BodyRule::Type, &pointer, "id must be a string")),
    }
}

#[cfg(test)]
mod tests;
