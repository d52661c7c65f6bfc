//! The query of an address: which tunnels, in which order, which page of them. Read here, and written here for links.

use form_urlencoded::Serializer;
use web_toolkit::text::LONGEST;

use crate::{
    domain::{label::Label, tunnel::TunnelType, verdict::Verdict},
    snapshot::filter::{Filter, Order, VerdictFilter},
};

/// The word for every verdict that asks somebody to look.
pub(super) const ATTENTION: &str = "attention";

/// What a person asks the front page for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Query {
    pub(super) filter: Filter,
    pub(super) order: Order,
    /// The first page is 1.
    pub(super) page: usize,
}

/// A key with a value that breaks a rule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{key}` is `{value}`: {rule}")]
pub(super) struct QueryError {
    key: String,
    value: String,
    rule: String,
}

const OF_THE_FILTER: [&str; 4] = ["account", "type", "verdict", "search"];
const OF_THE_PAGE: [&str; 6] = ["account", "type", "verdict", "search", "sort", "page"];

impl Default for Query {
    fn default() -> Self {
        Self { filter: Filter::default(), order: Order::Trouble, page: 1 }
    }
}

impl Query {
    /// Reads the part of an address after `?`. An empty value, as a form sends it, counts as none.
    pub(super) fn parse(text: &str) -> Result<Self, QueryError> {
        Self::read(text, &OF_THE_PAGE)
    }

    fn read(text: &str, known: &[&str]) -> Result<Self, QueryError> {
        let mut query = Self::default();
        for (key, value) in form_urlencoded::parse(text.as_bytes()) {
            if !known.contains(&&*key) {
                let rule = format!("there is no such key; there are {}", known.join(", "));
                return Err(QueryError { key: brief(&key), value: brief(&value), rule });
            }
            if !value.is_empty() {
                let refused = |rule: String| QueryError { key: key.to_string(), value: brief(&value), rule };
                query.set(&key, &value).map_err(refused)?;
            }
        }
        Ok(query)
    }

    fn set(&mut self, key: &str, value: &str) -> Result<(), String> {
        match key {
            "account" => self.filter.account = Some(value.to_owned()),
            "type" => self.filter.tunnel_type = Some(member::<TunnelType>(value, &[])?),
            "verdict" if value == ATTENTION => self.filter.verdict = Some(VerdictFilter::Attention),
            "verdict" => self.filter.verdict = Some(VerdictFilter::Only(member::<Verdict>(value, &[ATTENTION])?)),
            "search" if value.chars().count() > LONGEST => {
                return Err(format!("must not be longer than {LONGEST} characters"));
            }
            "search" => value.trim().clone_into(&mut self.filter.search),
            "sort" => self.order = member(value, &[])?,
            _ => {
                let page = value.parse().ok().filter(|page| *page > 0);
                self.page = page.ok_or("must be a whole number from 1 on")?;
            }
        }
        Ok(())
    }

    /// The address of the front page that this query leads to, seen from there.
    pub(super) fn link(&self) -> String {
        let mut text = Serializer::new(String::from("?"));
        let Filter { account, tunnel_type, verdict, search } = &self.filter;
        if let Some(account) = account {
            text.append_pair("account", account);
        }
        if let Some(tunnel_type) = tunnel_type {
            text.append_pair("type", tunnel_type.as_str());
        }
        if let Some(verdict) = verdict {
            text.append_pair("verdict", word(*verdict));
        }
        if !search.is_empty() {
            text.append_pair("search", search);
        }
        if self.order != Order::Trouble {
            text.append_pair("sort", self.order.as_str());
        }
        if self.page > 1 {
            text.append_pair("page", &self.page.to_string());
        }
        let text = text.finish();
        if text == "?" { "./".to_owned() } else { text.replacen("?&", "?", 1) }
    }

    pub(super) fn with_order(&self, order: Order) -> Self {
        Self { order, page: 1, ..self.clone() }
    }

    pub(super) fn with_page(&self, page: usize) -> Self {
        Self { page, ..self.clone() }
    }
}

/// The filter that a program asks with; it gets all tunnels that pass, so that there is no order and no page.
pub(super) fn filter(text: &str) -> Result<Filter, QueryError> {
    Query::read(text, &OF_THE_FILTER).map(|query| query.filter)
}

/// The value of `verdict` in a query.
pub(super) fn word(wanted: VerdictFilter) -> &'static str {
    match wanted {
        VerdictFilter::Attention => ATTENTION,
        VerdictFilter::Only(verdict) => verdict.as_str(),
    }
}

fn member<T: Label>(value: &str, more: &[&str]) -> Result<T, String> {
    let known = T::ALL.iter().copied().find(|member| member.as_str() == value);
    known.ok_or_else(|| {
        let names: Vec<&str> = T::ALL.iter().map(|member| member.as_str()).chain(more.iter().copied()).collect();
        format!("must be one of {}", names.join(", "))
    })
}

fn brief(text: &str) -> String {
    web_toolkit::text::shown(text).into_owned()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_form_is_read_and_its_empty_fields_say_nothing() {
        let query = Query::parse("search=+fra+%C3%BC&account=&type=gre&verdict=bgp_fault&sort=rtt&page=3").unwrap();
        let filter = Filter {
            account: None,
            tunnel_type: Some(TunnelType::Gre),
            verdict: Some(VerdictFilter::Only(Verdict::BgpFault)),
            search: "fra ü".into(),
        };
        assert_eq!(query, Query { filter, order: Order::Rtt, page: 3 });
        assert_eq!(Query::parse("verdict=&page=&sort="), Ok(Query::default()));
    }

    #[test]
    fn a_wrong_value_is_told_its_rule() {
        for (text, sentence) in [
            ("type=vpn", "`type` is `vpn`: must be one of gre, ipsec"),
            ("page=0", "`page` is `0`: must be a whole number from 1 on"),
            ("page=-1", "`page` is `-1`: must be a whole number from 1 on"),
            ("sort=size", "`sort` is `size`: must be one of trouble, name, account, since, rtt, loss"),
            (
                "verdit=unknown",
                "`verdit` is `unknown`: there is no such key; there are account, type, verdict, search, sort, page",
            ),
            (
                "verdict=bad%0A",
                "`verdict` is `bad`: must be one of healthy, bgp_fault, tunnel_fault, unreachable, path_mismatch, \
                 reported_down, unknown, prober_isolated, attention",
            ),
        ] {
            assert_eq!(Query::parse(text).unwrap_err().to_string(), sentence);
        }
        assert!(Query::parse(&format!("search={}", "x".repeat(129))).is_err());
        assert!(filter("page=2").is_err(), "a program gets all of them");
    }

    proptest! {
        #[test]
        fn a_link_leads_to_its_query(account in "[^\u{0}]{1,12}", search in "[a-z<\"&=+%]{0,12}", page in 1_usize..99) {
            let mut query = Query { page, order: Order::Loss, ..Query::default() };
            query.filter.account = Some(account);
            query.filter.search = search;
            query.filter.verdict = Some(VerdictFilter::Attention);
            prop_assert_eq!(Query::parse(&query.link()[1..]), Ok(query));
        }

        #[test]
        fn any_query_is_answered(text in ".{0,60}") {
            let _ = Query::parse(&text);
        }
    }
}
