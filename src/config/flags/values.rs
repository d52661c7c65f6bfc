//! What the values of flags can be, for the help and for the completions of shells.

use std::ffi::OsStr;

use clap::{
    Arg, Command,
    builder::{PossibleValue, StringValueParser, TypedValueParser},
};

use crate::domain::{label::Label, probe::ProbeTarget};

/// Text with a closed list of values, which the help and the completions of shells show. It parses any text, because
/// [`Config`](crate::config::Config) reports a wrong value of a flag, a variable and a key in the same way.
#[derive(Debug, Clone)]
pub(super) struct KnownValues(Vec<&'static str>);

impl KnownValues {
    pub(super) fn labels<T: Label>() -> Self {
        Self(T::ALL.iter().map(|label| label.as_str()).collect())
    }

    pub(super) fn targets() -> Self {
        let targets = ProbeTarget::ALL.iter().filter(|target| !target.is_extra());
        Self(targets.map(|target| target.as_str()).collect())
    }
}

impl TypedValueParser for KnownValues {
    type Value = String;

    fn parse_ref(&self, command: &Command, argument: Option<&Arg>, value: &OsStr) -> Result<String, clap::Error> {
        StringValueParser::new().parse_ref(command, argument, value)
    }

    fn possible_values(&self) -> Option<Box<dyn Iterator<Item = PossibleValue> + '_>> {
        Some(Box::new(self.0.iter().map(PossibleValue::new)))
    }
}

/// Makes an argument Boolean: `--flag` sets it, and `--flag=false` overrides a variable or the file.
pub(super) trait BooleanArg {
    fn boolean(self, without_value: &'static str) -> Self;
}

impl BooleanArg for Arg {
    fn boolean(self, without_value: &'static str) -> Self {
        let values = KnownValues(vec!["true", "false"]);
        let argument = self.value_name("BOOL").value_parser(values).hide_possible_values(true);
        argument.num_args(0..=1).require_equals(true).default_missing_value(without_value)
    }
}
