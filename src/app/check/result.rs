//! The result of one check.

use crate::domain::label::label_enum;

label_enum! {
    /// The outcome of one check.
    pub enum CheckStatus {
        Ok => "ok",
        /// `serve` works, but the problem should be fixed.
        Warn => "warn",
        /// `serve` would not work.
        Fail => "fail",
    }
}

label_enum! {
    /// What one check tests.
    pub enum CheckSubject {
        Configuration => "configuration",
        Secret => "secret",
        Token => "token",
        Clock => "clock",
        Permission => "permission",
        Finding => "finding",
        Edge => "edge",
        Icmp => "icmp",
        State => "state",
        Listen => "listen",
        Web => "web",
        /// The hub of an agent.
        Inventory => "inventory",
    }
}

/// The result of one check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckResult {
    pub status: CheckStatus,
    pub subject: CheckSubject,
    /// Set if the check is about one account.
    pub account: Option<String>,
    /// A sentence without a trailing period.
    pub message: String,
    /// How to fix the problem.
    pub fix: Option<String>,
}

impl CheckResult {
    pub(super) fn ok(subject: CheckSubject, message: impl Into<String>) -> Self {
        Self { status: CheckStatus::Ok, subject, account: None, message: message.into(), fix: None }
    }

    pub(super) fn for_account(self, account: &str) -> Self {
        Self { account: Some(account.to_owned()), ..self }
    }

    pub(super) fn warn(self, fix: impl Into<String>) -> Self {
        Self { status: CheckStatus::Warn, fix: Some(fix.into()), ..self }
    }

    pub(super) fn fail(self, fix: impl Into<String>) -> Self {
        Self { status: CheckStatus::Fail, fix: Some(fix.into()), ..self }
    }
}
