//! Untrusted text, prepared for logs, labels and pages.

use std::borrow::Cow;

/// Maximum number of characters shown of any untrusted text.
pub const LONGEST: usize = 128;

/// Removes [hidden](is_hidden) characters from `text` and cuts it to [`LONGEST`] characters.
pub fn shown(text: &str) -> Cow<'_, str> {
    // A text never has more characters than bytes.
    if text.len() <= LONGEST && !text.chars().any(is_hidden) {
        return Cow::Borrowed(text);
    }
    Cow::Owned(text.chars().filter(|&c| !is_hidden(c)).take(LONGEST).collect())
}

/// Whether a character is invisible or changes how others appear: the Unicode categories `Cc`, `Cf`, `Zl` and `Zp`, as
/// of Unicode 16. With such characters, two different texts can look the same, or one text like another one.
pub const fn is_hidden(c: char) -> bool {
    matches!(c,
        '\0'..='\x1f' | '\x7f'..='\u{9f}' // Cc
        | '\u{2028}' | '\u{2029}' // Zl, Zp
        // Cf
        | '\u{ad}' | '\u{600}'..='\u{605}' | '\u{61c}' | '\u{6dd}' | '\u{70f}' | '\u{890}'..='\u{891}' | '\u{8e2}'
        | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2064}'
        | '\u{2066}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{110bd}' | '\u{110cd}'
        | '\u{13430}'..='\u{1343f}' | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}' | '\u{e0001}'
        | '\u{e0020}'..='\u{e007f}'
    )
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use unicode_general_category::{GeneralCategory, get_general_category};

    use super::*;

    #[test]
    fn hidden_characters_are_dropped_and_the_rest_is_kept() {
        assert_eq!(shown("fra-1"), "fra-1");
        assert_eq!(shown("a\"b\\c\n\t\u{0}\u{7f}\u{85}d"), "a\"b\\cd");
        assert_eq!(shown("Zürich 東京"), "Zürich 東京");
        assert_eq!(shown("gpj\u{202e}exe"), "gpjexe");
        let invisible = ['\u{61c}', '\u{200b}', '\u{2028}', '\u{2029}', '\u{feff}', '\u{ad}', '\u{e0001}', '\u{e0041}'];
        for c in invisible {
            assert_eq!(shown(&format!("f{c}ra")), "fra", "U+{:04X}", u32::from(c));
        }
    }

    #[test]
    fn the_table_agrees_with_the_categories_of_every_character() {
        use GeneralCategory::{Control, Format, LineSeparator, ParagraphSeparator};
        for c in '\0'..=char::MAX {
            let category = get_general_category(c);
            let hidden = matches!(category, Control | Format | LineSeparator | ParagraphSeparator);
            assert_eq!(is_hidden(c), hidden, "U+{:04X} is {category:?}", u32::from(c));
        }
    }

    proptest! {
        #[test]
        fn the_result_is_short_and_visible(text in any::<String>()) {
            let shown = shown(&text);
            prop_assert!(shown.chars().count() <= LONGEST);
            prop_assert!(!shown.chars().any(is_hidden));
        }
    }
}
