//! Site rules: they derive the site of a tunnel from its name or description.

use std::sync::Arc;

use regex_lite::{Regex, RegexBuilder};
use web_toolkit::text::shown;

use super::{
    label::{Label as _, label_enum},
    tunnel::Tunnel,
};

/// The group of a pattern that captures the site.
const GROUP: &str = "site";

label_enum! {
    /// The text of a tunnel that a [`SiteRule`] searches.
    pub enum SiteSource {
        Name => "name",
        Description => "description",
    }
}

/// A regular expression with a group named `site`.
#[derive(Debug, Clone)]
pub struct SitePattern(Regex);

/// Why a text is not a [`SitePattern`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SitePatternError {
    #[error("must not be longer than {} characters", SitePattern::MAX_CHARS)]
    TooLong,
    #[error("must be a regular expression: {0}")]
    Invalid(String),
    #[error("must contain a group named `{GROUP}`, for example `^(?<{GROUP}>[a-z]+)-`")]
    NoGroup,
}

impl SitePattern {
    pub const MAX_CHARS: usize = 1_000;

    /// Maximum size of the compiled expression in bytes. The time of a search is proportional to it.
    const MAX_COMPILED: usize = 64 << 10;

    /// Compiles the expression.
    ///
    /// # Errors
    /// The text is too long, is not a regular expression, is too large when compiled, or has no group named `site`.
    pub fn new(text: &str) -> Result<Self, SitePatternError> {
        if text.chars().count() > Self::MAX_CHARS {
            return Err(SitePatternError::TooLong);
        }
        let compiled = RegexBuilder::new(text).size_limit(Self::MAX_COMPILED).build();
        let pattern = compiled.map_err(|error| SitePatternError::Invalid(error.to_string()))?;
        if !pattern.capture_names().any(|name| name == Some(GROUP)) {
            return Err(SitePatternError::NoGroup);
        }
        Ok(Self(pattern))
    }

    /// Returns the captured site. `None` if the text does not match or the group is empty.
    fn capture<'t>(&self, text: &'t str) -> Option<&'t str> {
        let site = self.0.captures(text)?.name(GROUP)?.as_str().trim();
        (!site.is_empty()).then_some(site)
    }
}

impl PartialEq for SitePattern {
    fn eq(&self, other: &Self) -> bool {
        self.0.as_str() == other.0.as_str()
    }
}

impl Eq for SitePattern {}

/// Derives the site of a tunnel from one of its texts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SiteRule {
    pub from: SiteSource,
    pub pattern: SitePattern,
}

impl SiteRule {
    /// Returns the site that the text of the tunnel contains.
    ///
    /// The text is searched as pages and labels show it: without invisible characters, and limited in length. Therefore
    /// the site is printable, and the time of a search is bounded.
    pub fn site(&self, tunnel: &Tunnel) -> Option<Arc<str>> {
        let text = match self.from {
            SiteSource::Name => &tunnel.name,
            SiteSource::Description => &tunnel.description,
        };
        self.pattern.capture(&shown(text)).map(Arc::from)
    }
}

impl std::fmt::Display for SiteRule {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.from.as_str(), self.pattern.0.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::{super::fixtures::tunnel, *};

    fn site(from: SiteSource, pattern: &str, tunnel: &Tunnel) -> Option<String> {
        let rule = SiteRule { from, pattern: SitePattern::new(pattern).unwrap() };
        rule.site(tunnel).map(|site| site.to_string())
    }

    #[test]
    fn a_rule_captures_the_site_from_the_name_or_the_description() {
        let fra = Tunnel { description: "Frankfurt am Main, first circuit".into(), ..tunnel("fra-1") };
        for (from, pattern, expected) in [
            (SiteSource::Name, "^(?<site>[a-z]+)-", Some("fra")),
            (SiteSource::Name, "(?P<site>[0-9]+)$", Some("1")),
            (SiteSource::Name, "^(?<site>[A-Z]+)-", None),
            (SiteSource::Name, "(?i)^(?<site>[A-Z]+)-", Some("fra")),
            (SiteSource::Description, "^(?<site>[^,]+),", Some("Frankfurt am Main")),
            (SiteSource::Description, "^(?<site>[^,]*), second", None),
            // A group that takes no part in the match, and one that captures only blanks.
            (SiteSource::Name, "(?<site>x)|fra", None),
            (SiteSource::Description, "am(?<site> )", None),
        ] {
            assert_eq!(site(from, pattern, &fra).as_deref(), expected, "{from} {pattern}");
        }
    }

    #[test]
    fn a_site_contains_no_invisible_characters_and_is_bounded() {
        let hostile = tunnel(&format!("fr\u{202e}a\n\u{7}-{}", "x".repeat(100_000)));
        assert_eq!(site(SiteSource::Name, "^(?<site>.+)-", &hostile).as_deref(), Some("fra"));
        let all = site(SiteSource::Name, "(?<site>.*)", &hostile).unwrap();
        assert_eq!(all.chars().count(), web_toolkit::text::LONGEST);
    }

    #[test]
    fn a_pattern_needs_the_group_and_a_bounded_size() {
        let rejected = |text: &str| SitePattern::new(text).unwrap_err().to_string();
        let no_group = "must contain a group named `site`, for example `^(?<site>[a-z]+)-`";
        assert_eq!(rejected("^([a-z]+)-"), no_group);
        assert_eq!(rejected("^(?<Site>[a-z]+)-"), no_group);
        assert_eq!(rejected(""), no_group);
        assert_eq!(rejected(&"x".repeat(1_001)), "must not be longer than 1000 characters");
        for text in ["^(?<site>[a-z+-", "(?<site>(a{900}){900})", "(?<site>a)\\1", "(?<site>a)(?=b)"] {
            assert!(rejected(text).starts_with("must be a regular expression: "), "{text}");
        }
    }

    #[test]
    fn a_pattern_that_defeats_backtracking_is_searched_in_linear_time() {
        // A backtracking engine needs 2^128 steps, so that this test would not end.
        let victim = tunnel(&"a".repeat(100_000));
        assert_eq!(site(SiteSource::Name, "^(?<site>(a+)+)b$", &victim), None);
    }

    #[test]
    fn rules_with_the_same_pattern_are_equal_and_show_it() {
        let rule = |pattern: &str| SiteRule { from: SiteSource::Name, pattern: SitePattern::new(pattern).unwrap() };
        assert_eq!(rule("^(?<site>[a-z]+)"), rule("^(?<site>[a-z]+)"));
        assert_ne!(rule("^(?<site>[a-z]+)"), rule("(?<site>[a-z]+)$"));
        assert_eq!(rule("(?<site>x)").to_string(), "name: (?<site>x)");
    }
}
