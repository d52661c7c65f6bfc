//! JSON objects that are written field by field, without the fields that have no value.

use std::mem;

use serde::Serialize;

use crate::http::body::WholeText;

/// A JSON object that is written field by field.
pub(super) struct JsonObject<'a>(pub(super) &'a mut Vec<u8>);

impl JsonObject<'_> {
    pub(super) fn write(text: &mut Vec<u8>, add_fields: impl FnOnce(&mut JsonObject<'_>)) {
        text.push(b'{');
        add_fields(&mut JsonObject(text));
        text.push(b'}');
    }

    /// Adds a field. `None` is omitted.
    pub(super) fn add(&mut self, name: &str, value: impl Serialize) {
        let before = self.0.len();
        self.begin_field(name);
        let start = self.0.len();
        // Neither writing to a vector nor serializing text and numbers fails.
        let _ = serde_json::to_writer(&mut *self.0, &value);
        if &self.0[start..] == b"null" {
            self.0.truncate(before);
        }
    }

    pub(super) fn add_object(&mut self, name: &str, add_fields: impl FnOnce(&mut JsonObject<'_>)) {
        self.begin_field(name);
        JsonObject::write(self.0, add_fields);
    }

    pub(super) fn add_list<T>(
        &mut self,
        name: &str,
        members: impl IntoIterator<Item = T>,
        add_fields: impl Fn(&mut JsonObject<'_>, T),
    ) {
        self.begin_field(name);
        self.0.push(b'[');
        let mut follows = false;
        for member in members {
            separate(self.0, &mut follows);
            JsonObject::write(self.0, |object| add_fields(object, member));
        }
        self.0.push(b']');
    }

    pub(super) fn begin_field(&mut self, name: &str) {
        let mut follows = !self.0.ends_with(b"{");
        separate(self.0, &mut follows);
        for part in ["\"", name, "\":"] {
            self.0.extend_from_slice(part.as_bytes());
        }
    }
}

/// Writes a comma before every member but the first.
pub(super) fn separate(text: &mut Vec<u8>, follows: &mut bool) {
    if mem::replace(follows, true) {
        text.push(b',');
    }
}

/// An object on a line of its own.
pub(super) fn object_line(add_fields: impl FnOnce(&mut JsonObject<'_>)) -> WholeText {
    let mut text = Vec::new();
    JsonObject::write(&mut text, add_fields);
    text.push(b'\n');
    WholeText(text)
}
