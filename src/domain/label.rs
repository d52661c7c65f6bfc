//! Closed lists whose members are label values.

/// An enum whose every member has a fixed name on the page.
///
/// A family with such a label has one series for each member from the start, so that "zero" and "not known" stay apart.
pub trait Label: Copy + Eq + 'static {
    /// Every member, in the order in which the page lists them.
    const ALL: &'static [Self];

    /// The label value. Renaming one breaks dashboards and alerts of users.
    fn as_str(self) -> &'static str;
}

/// Declares an enum that is a [`Label`]: each member is followed by its label value.
macro_rules! label_enum {
    (
        $(#[$meta:meta])*
        pub enum $name:ident { $( $(#[$doc:meta])* $member:ident => $text:literal, )+ }
    ) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name { $( $(#[$doc])* $member, )+ }

        impl $crate::domain::label::Label for $name {
            const ALL: &'static [Self] = &[ $( Self::$member, )+ ];

            fn as_str(self) -> &'static str {
                match self { $( Self::$member => $text, )+ }
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
