//! Values of the file as text.

use jiff::Timestamp;

use crate::domain::label::Label;

/// `None` if the list does not contain the text, for example after a downgrade.
pub(super) fn labelled<T: Label>(text: &str) -> Option<T> {
    T::ALL.iter().copied().find(|label| label.as_str() == text)
}

/// `None` if the time is invalid as well.
pub(super) fn time(text: Option<String>) -> Option<Timestamp> {
    text.and_then(|text| text.parse().ok())
}
