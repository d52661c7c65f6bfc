//! Labels that are rendered once and stand in many samples.

use web_toolkit::text::shown;

use crate::domain::{inventory::AccountName, label::Label, tunnel::Tunnel};

/// Labels as a sample has them between its braces: `a="x",b="y"`. Escaped by construction.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Labels(String);

impl Labels {
    pub(super) const NONE: Self = Self(String::new());

    /// The labels that every series of a tunnel has.
    pub(super) fn of_tunnel(account: &AccountName, tunnel: &Tunnel) -> Self {
        Self::NONE
            .and("account", account.as_str())
            .and("tunnel_id", tunnel.id.as_str())
            .and("tunnel_name", &tunnel.name)
            .and("tunnel_type", tunnel.tunnel_type().as_str())
    }

    /// One label more. The value may be any text; it is [`shown`] and escaped.
    pub(super) fn and(mut self, name: &'static str, value: &str) -> Self {
        if !self.0.is_empty() {
            self.0.push(',');
        }
        self.0.push_str(name);
        self.0.push_str("=\"");
        escape(&mut self.0, &shown(value));
        self.0.push('"');
        self
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

/// Escapes a label value as both text formats ask (OpenMetrics 1.0, "ABNF", `escaped-string`).
fn escape(text: &mut String, value: &str) {
    for c in value.chars() {
        match c {
            '\\' => text.push_str("\\\\"),
            '"' => text.push_str("\\\""),
            '\n' => text.push_str("\\n"),
            _ => text.push(c),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Undoes the escaping of the text formats.
    fn unescape(text: &str) -> String {
        let mut plain = String::new();
        let mut chars = text.chars();
        while let Some(c) = chars.next() {
            match c {
                '\\' => match chars.next() {
                    Some('n') => plain.push('\n'),
                    Some(escaped @ ('\\' | '"')) => plain.push(escaped),
                    other => panic!("stray backslash before {other:?}"),
                },
                '"' => panic!("bare quotation mark"),
                _ => plain.push(c),
            }
        }
        plain
    }

    proptest! {
        #[test]
        fn any_text_comes_back_from_its_escaped_form_on_one_line(text in any::<String>()) {
            let mut escaped = String::new();
            escape(&mut escaped, &text);
            prop_assert!(!escaped.contains('\n'));
            prop_assert_eq!(unescape(&escaped), text);
        }
    }
}
