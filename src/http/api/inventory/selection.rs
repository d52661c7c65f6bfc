//! The part of the inventory that a request asks for.

use std::collections::BTreeSet;

use web_toolkit::text::{LONGEST, shown};

use crate::domain::inventory::AccountName;

/// Maximum number of sites and of accounts in one request.
const MOST: usize = 100;

/// Sites and accounts, combined with AND. An empty set does not filter.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub(in crate::http) struct Selection {
    pub(in crate::http) sites: BTreeSet<String>,
    pub(in crate::http) accounts: BTreeSet<String>,
}

impl Selection {
    /// Parses a query: `site` and `account`, each of which can be repeated, or `all=true`. Unknown keys were refused.
    ///
    /// # Errors
    /// One sentence: a value that is too long, or a request for everything that does not say so.
    pub(in crate::http) fn parse(query: &str) -> Result<Self, String> {
        let (mut selection, mut all) = (Self::default(), false);
        for (key, value) in form_urlencoded::parse(query.as_bytes()) {
            match &*key {
                "all" if value == "true" => all = true,
                "all" => return Err("`all` must be `true`".to_owned()),
                "site" => insert(&mut selection.sites, &key, &value)?,
                "account" => insert(&mut selection.accounts, &key, &value)?,
                _ => {}
            }
        }
        if all && !selection.sites.is_empty() {
            return Err("`all` and `site` cannot be combined; use only one of them".to_owned());
        }
        if !all && selection.sites.is_empty() && selection.accounts.is_empty() {
            return Err("name at least one `site` or `account`, or set `all=true` for every tunnel".to_owned());
        }
        Ok(selection)
    }

    pub(super) fn includes_account(&self, account: &AccountName) -> bool {
        self.accounts.is_empty() || self.accounts.contains(&*shown(account.as_str()))
    }
}

fn insert(values: &mut BTreeSet<String>, key: &str, value: &str) -> Result<(), String> {
    if value.is_empty() || value.chars().count() > LONGEST {
        return Err(format!("`{key}` must have 1 to {LONGEST} characters"));
    }
    values.insert(value.to_owned());
    if values.len() > MOST { Err(format!("`{key}` must not be repeated more than {MOST} times")) } else { Ok(()) }
}
