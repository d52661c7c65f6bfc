//! One thing that was checked, and what came of it.

use crate::domain::label::label_enum;

label_enum! {
    /// How bad it is.
    pub enum Level {
        Ok => "ok",
        /// It works, but should not stay so.
        Warn => "warn",
        /// `serve` would not do its work.
        Fail => "fail",
    }
}

label_enum! {
    /// What was checked.
    pub enum Subject {
        Configuration => "configuration",
        Secret => "secret",
        Token => "token",
        Clock => "clock",
        Permission => "permission",
        Icmp => "icmp",
        Listen => "listen",
        Web => "web",
    }
}

/// What came of one check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    pub level: Level,
    pub subject: Subject,
    /// Whose it is, where there may be several: an account.
    pub account: Option<String>,
    /// A sentence without a full stop.
    pub says: String,
    /// What to do about it.
    pub mend: Option<String>,
}

impl Finding {
    pub(super) fn ok(subject: Subject, account: Option<&str>, says: impl Into<String>) -> Self {
        Self { level: Level::Ok, subject, account: account.map(str::to_owned), says: says.into(), mend: None }
    }

    pub(super) fn warn(self, mend: impl Into<String>) -> Self {
        Self { level: Level::Warn, mend: Some(mend.into()), ..self }
    }

    pub(super) fn fail(self, mend: impl Into<String>) -> Self {
        Self { level: Level::Fail, mend: Some(mend.into()), ..self }
    }
}
