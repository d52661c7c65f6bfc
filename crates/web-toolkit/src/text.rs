//! Text from outside, made fit to be shown.

use std::borrow::Cow;

/// No more characters of any text from outside are shown.
pub const LONGEST: usize = 128;

/// `text` without control characters, at most [`LONGEST`] characters of it: what logs, labels and pages show.
pub fn shown(text: &str) -> Cow<'_, str> {
    // Fewer bytes than the limit are never more characters.
    if text.len() <= LONGEST && !text.chars().any(is_hidden) {
        return Cow::Borrowed(text);
    }
    Cow::Owned(text.chars().filter(|&c| !is_hidden(c)).take(LONGEST).collect())
}

/// Control characters, and the marks that turn the direction of the text around them.
fn is_hidden(c: char) -> bool {
    c.is_control() || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn control_characters_are_dropped_and_the_rest_is_kept() {
        assert_eq!(shown("fra-1"), "fra-1");
        assert_eq!(shown("a\"b\\c\n\t\u{0}\u{7f}\u{85}d"), "a\"b\\cd");
        assert_eq!(shown("Zürich 東京"), "Zürich 東京");
        assert_eq!(shown("gpj\u{202e}exe"), "gpjexe");
    }

    proptest! {
        #[test]
        fn what_is_shown_is_short_and_printable(text in any::<String>()) {
            let shown = shown(&text);
            prop_assert!(shown.chars().count() <= LONGEST);
            prop_assert!(!shown.chars().any(char::is_control));
        }
    }
}
