//! Untrusted text, prepared for logs, labels and pages.

use std::borrow::Cow;

/// Maximum number of characters shown of any untrusted text.
pub const LONGEST: usize = 128;

/// Removes control characters from `text` and cuts it to [`LONGEST`] characters.
pub fn shown(text: &str) -> Cow<'_, str> {
    // A text never has more characters than bytes.
    if text.len() <= LONGEST && !text.chars().any(is_hidden) {
        return Cow::Borrowed(text);
    }
    Cow::Owned(text.chars().filter(|&c| !is_hidden(c)).take(LONGEST).collect())
}

/// Control characters, and marks that change the direction of the surrounding text.
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
        fn the_result_is_short_and_printable(text in any::<String>()) {
            let shown = shown(&text);
            prop_assert!(shown.chars().count() <= LONGEST);
            prop_assert!(!shown.chars().any(char::is_control));
        }
    }
}
