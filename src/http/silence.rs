//! Links to the form of Alertmanager for a new silence, with the matchers filled in.

use std::str::FromStr;

use hyper::Uri;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

/// Matches the alerts of this program only.
const OWN_ALERTS: &str = "alertname=~\"MagicTunnel.+\"";

/// The address of the pages of Alertmanager, without the slash at its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AlertmanagerUrl(Box<str>);

/// Why a text is not the address of an Alertmanager.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be a URL such as https://alertmanager.example, without a user, a query and a fragment")]
pub struct InvalidAlertmanagerUrl;

impl FromStr for AlertmanagerUrl {
    type Err = InvalidAlertmanagerUrl;

    fn from_str(text: &str) -> Result<Self, InvalidAlertmanagerUrl> {
        let url: Uri = text.parse().map_err(|_| InvalidAlertmanagerUrl)?;
        let is_web = matches!(url.scheme_str(), Some("http" | "https"));
        let has_host = url.host().is_some_and(|host| !host.is_empty());
        // A page would show the user and the password.
        let is_plain = url.query().is_none() && !text.contains(['#', '@']);
        (is_web && has_host && is_plain).then(|| Self(text.trim_end_matches('/').into())).ok_or(InvalidAlertmanagerUrl)
    }
}

impl AlertmanagerUrl {
    /// The form for a silence of the alerts that have all of these labels.
    pub(super) fn new_silence(&self, labels: &[(&str, &str)]) -> String {
        let matchers = labels.iter().map(|(name, value)| format!("{name}=\"{}\"", escaped(value)));
        let matchers: Vec<_> = [OWN_ALERTS.to_owned()].into_iter().chain(matchers).collect();
        let filter = format!("{{{}}}", matchers.join(","));
        format!("{}/#/silences/new?filter={}", self.0, utf8_percent_encode(&filter, NON_ALPHANUMERIC))
    }
}

/// The text between the quotes of a matcher.
fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use percent_encoding::percent_decode_str;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn only_plain_web_addresses_are_accepted() {
        for (text, expected) in [
            ("https://alertmanager.example", Some("https://alertmanager.example")),
            ("http://localhost:9093/", Some("http://localhost:9093")),
            ("https://[2001:db8::1]/am/", Some("https://[2001:db8::1]/am")),
            ("javascript:alert(1)", None),
            ("ftp://alertmanager.example", None),
            ("alertmanager.example:9093", None),
            ("//alertmanager.example", None),
            ("/alertmanager", None),
            ("https://noc:hunter2@alertmanager.example", None),
            ("https://alertmanager.example/?a=b", None),
            ("https://alertmanager.example/#/alerts", None),
            ("https://alertmanager.example/\"><script>", None),
            ("https:// alertmanager.example", None),
            ("", None),
        ] {
            let url = text.parse::<AlertmanagerUrl>();
            assert_eq!(url.as_ref().ok().map(|url| &*url.0), expected, "{text}");
        }
    }

    #[test]
    fn the_form_has_the_matchers() {
        let url: AlertmanagerUrl = "http://localhost:9093".parse().unwrap();
        assert_eq!(
            url.new_silence(&[("tunnel_name", "fra-1")]),
            "http://localhost:9093/#/silences/new?filter=\
             %7Balertname%3D%7E%22MagicTunnel%2E%2B%22%2Ctunnel%5Fname%3D%22fra%2D1%22%7D"
        );
    }

    proptest! {
        #[test]
        fn a_name_cannot_leave_its_matcher(name in "\\PC{0,20}|[\"\\\\\n,{}&#%]{0,8}") {
            let url: AlertmanagerUrl = "http://localhost:9093".parse().unwrap();
            let link = url.new_silence(&[("tunnel_name", &name)]);
            let filter = link.strip_prefix("http://localhost:9093/#/silences/new?filter=").unwrap();
            prop_assert!(filter.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'%'));
            let decoded = percent_decode_str(filter).decode_utf8().unwrap();
            let quoted = decoded.strip_prefix("{alertname=~\"MagicTunnel.+\",tunnel_name=").unwrap();
            let quoted = quoted.strip_suffix('}').unwrap();
            // JSON has the same escapes, and accepts no quotation mark inside.
            let escaped: String = quoted.chars().filter(|c| !c.is_control()).collect();
            if escaped == quoted {
                prop_assert_eq!(serde_json::from_str::<String>(quoted).unwrap(), name);
            }
        }
    }
}
