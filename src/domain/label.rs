//! Enums with a fixed label value for each variant.

/// An enum with a fixed label value for each variant.
///
/// A metric with such a label has one series per variant from the start, so that zero can be told apart from unknown.
pub trait Label: Copy + Eq + 'static {
    /// Every variant, in the order in which they are exported.
    const ALL: &'static [Self];

    /// Returns the label value. Renaming one breaks dashboards and alerts of users.
    fn as_str(self) -> &'static str;
}

/// Declares an enum that implements [`Label`] and `Display`: each variant is followed by its label value.
macro_rules! label_enum {
    (
        $(#[$meta:meta])*
        pub enum $name:ident { $( $(#[$doc:meta])* $variant:ident => $text:literal, )+ }
    ) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name { $( $(#[$doc])* $variant, )+ }

        impl $crate::domain::label::Label for $name {
            const ALL: &'static [Self] = &[ $( Self::$variant, )+ ];

            fn as_str(self) -> &'static str {
                match self { $( Self::$variant => $text, )+ }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str($crate::domain::label::Label::as_str(*self))
            }
        }
    };
}
pub(crate) use label_enum;
