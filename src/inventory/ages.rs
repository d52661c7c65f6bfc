//! Ages of the data in a response of a hub, as headers. They are durations, so that the clocks of hub and agent may
//! differ or jump. Fractions of a second are rounded up, so that no data seems newer than it is.

use std::{fmt, time::Duration};

use hyper::{
    HeaderMap,
    header::{AGE, HeaderName, HeaderValue},
};
use web_toolkit::text::shown;

use crate::domain::{dataset::Dataset, inventory::AccountName, label::Label as _, tunnel::TunnelType};

/// Header with a [`ListAge`] for each list that is not polled successfully. All others are not older than `Age`.
const LIST_AGE: HeaderName = HeaderName::from_static("mte-list-age");

/// Header with an [`EdgeAge`] for each account.
const EDGE_WINDOW: HeaderName = HeaderName::from_static("mte-edge-window");

/// Seconds, rounded up.
fn seconds(age: Duration) -> u64 {
    age.as_secs() + u64::from(age.subsec_nanos() > 0)
}

/// How old a response is. Durations only, so that the clocks of agent and hub may differ.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ReplyTimes {
    /// Time since Cloudflare confirmed the lists that succeeded (`Age`).
    pub age: Duration,
    /// The lists that are not polled successfully.
    pub lists: Vec<ListAge>,
    /// The health checks of the edge.
    pub edges: Vec<EdgeAge>,
}

impl ReplyTimes {
    /// Time since Cloudflare confirmed a list that is not polled successfully; `None` if the response does not state
    /// it.
    pub fn age_of(&self, account: &AccountName, tunnel_type: TunnelType) -> Option<Duration> {
        let is_same = |list: &&ListAge| list.account == *account && list.tunnel_type == tunnel_type;
        self.lists.iter().find(is_same).map(|list| list.age)
    }

    /// Adds the headers of a response.
    pub fn write(&self, headers: &mut HeaderMap) {
        fn joined<T: ToString>(members: &[T]) -> Option<HeaderValue> {
            let members: Vec<String> = members.iter().map(T::to_string).collect();
            Some(members.join(", ")).filter(|text| !text.is_empty()).and_then(|text| text.try_into().ok())
        }
        headers.insert(AGE, seconds(self.age).into());
        headers.extend(joined(&self.lists).map(|value| (LIST_AGE, value)));
        headers.extend(joined(&self.edges).map(|value| (EDGE_WINDOW, value)));
    }

    /// Reads the headers of a response; `None` without a valid `Age`.
    pub fn read(headers: &HeaderMap) -> Option<Self> {
        let text = |name: &HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
        Some(Self {
            age: Duration::from_secs(text(&AGE)?.trim().parse().ok()?),
            lists: text(&LIST_AGE).map(ListAge::parse_all).unwrap_or_default(),
            edges: text(&EDGE_WINDOW).map(EdgeAge::parse_all).unwrap_or_default(),
        })
    }
}

/// Time since Cloudflare confirmed a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListAge {
    pub account: AccountName,
    pub tunnel_type: TunnelType,
    pub age: Duration,
}

impl fmt::Display for ListAge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let collection = self.tunnel_type.dataset();
        write!(f, "age={}, collection={collection}, account={}", seconds(self.age), encoded(&self.account))
    }
}

impl ListAge {
    /// Parses the header. Members that are malformed or unknown are ignored.
    pub fn parse_all(header: &str) -> Vec<Self> {
        let read = |fields: &Fields| {
            let collection = fields.text("collection")?;
            let dataset = Dataset::ALL.iter().copied().find(|dataset| dataset.as_str() == collection)?;
            let tunnel_type = TunnelType::ALL.iter().copied().find(|of| of.dataset() == dataset)?;
            Some(Self { account: fields.account()?, tunnel_type, age: fields.duration("age")? })
        };
        groups(header, "age").iter().filter_map(read).collect()
    }
}

/// The time span that the edge's health checks of one account are about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EdgeAge {
    pub account: AccountName,
    /// Age of the begin of the time span.
    pub from: Duration,
    /// Age of its end.
    pub to: Duration,
    /// Age of the end from which the data is not used.
    pub stale_after: Duration,
}

impl fmt::Display for EdgeAge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [from, to, stale] = [self.from, self.to, self.stale_after].map(seconds);
        write!(f, "from={from}, to={to}, stale-after={stale}, account={}", encoded(&self.account))
    }
}

impl EdgeAge {
    /// Parses the header. Members that are malformed are ignored.
    pub fn parse_all(header: &str) -> Vec<Self> {
        let read = |fields: &Fields| {
            let [from, to, stale_after] = ["from", "to", "stale-after"].map(|key| fields.duration(key));
            Some(Self { account: fields.account()?, from: from?, to: to?, stale_after: stale_after? })
        };
        groups(header, "from").iter().filter_map(read).collect()
    }
}

/// The account as the body names it, in a form that a header can contain.
fn encoded(account: &AccountName) -> String {
    form_urlencoded::byte_serialize(shown(account.as_str()).as_bytes()).collect()
}

/// The fields of one member of a header.
#[derive(Debug, Default)]
struct Fields(Vec<(String, String)>);

impl Fields {
    fn text(&self, key: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| known == key).map(|(_, value)| &**value)
    }

    fn account(&self) -> Option<AccountName> {
        self.text("account").map(AccountName::new)
    }

    fn duration(&self, key: &str) -> Option<Duration> {
        // A larger age could not be subtracted from the time, and is as stale.
        const MOST: u64 = 10 * 365 * 24 * 3600;
        let seconds: u64 = self.text(key)?.parse().ok()?;
        Some(Duration::from_secs(seconds.min(MOST)))
    }
}

/// Splits a header into members, each of which begins with the field `first`.
fn groups(header: &str, first: &str) -> Vec<Fields> {
    let mut groups: Vec<Fields> = Vec::new();
    for field in header.split(',') {
        for (key, value) in form_urlencoded::parse(field.trim().as_bytes()) {
            if key == first {
                groups.push(Fields::default());
            }
            if let Some(Fields(fields)) = groups.last_mut() {
                fields.push((key.into_owned(), value.into_owned()));
            }
        }
    }
    groups
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn account(name: &str) -> AccountName {
        AccountName::new(name)
    }

    #[test]
    fn ages_of_several_accounts_share_a_header_whatever_their_names_are() {
        let names = ["acme", "a, from=1, b&c=d", "Grüße %"];
        let windows = names.map(|name| EdgeAge {
            account: account(name),
            from: 420 * SECOND,
            to: 120 * SECOND,
            stale_after: 900 * SECOND,
        });
        let header = windows.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        assert!(header.is_ascii() && header.starts_with("from=420, to=120, stale-after=900, account=acme, from="));
        assert_eq!(EdgeAge::parse_all(&header), windows);
        let lists = names.map(|name| ListAge { account: account(name), tunnel_type: TunnelType::Gre, age: SECOND });
        let header = lists.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        assert_eq!(ListAge::parse_all(&header), lists);
    }

    #[test]
    fn a_fraction_of_a_second_makes_an_age_older() {
        let age = |age| ListAge { account: account("acme"), tunnel_type: TunnelType::Ipsec, age }.to_string();
        assert_eq!(age(Duration::from_millis(4001)), "age=5, collection=ipsec_tunnels, account=acme");
        assert_eq!(age(Duration::from_secs(4)), "age=4, collection=ipsec_tunnels, account=acme");
    }

    #[test]
    fn malformed_members_are_ignored() {
        for header in ["", "from", "to=1", "from=x, to=2, stale-after=3, account=a", "from=1, to=2, account=a"] {
            assert_eq!(EdgeAge::parse_all(header), [], "{header}");
        }
        let header = "age=1, collection=news, account=a, age=2, collection=gre_tunnels, account=a, later=3";
        let expected = ListAge { account: account("a"), tunnel_type: TunnelType::Gre, age: 2 * SECOND };
        assert_eq!(ListAge::parse_all(header), [expected]);
        assert!(EdgeAge::parse_all(&format!("from=1, to={0}, stale-after={0}, account=a", u64::MAX))[0].to > SECOND);
    }
}
