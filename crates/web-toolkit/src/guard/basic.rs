//! The header of basic authentication (RFC 7617).

use base64::{Engine as _, engine::general_purpose::STANDARD};
use hyper::header::{AUTHORIZATION, HeaderMap};
use secrecy::SecretString;

/// What a client says it is. The header's size is bounded by the server.
#[derive(Debug)]
pub(super) struct Credentials {
    pub(super) user: String,
    pub(super) password: SecretString,
}

/// `None` where there are none, or none that can be read.
pub(super) fn credentials(headers: &HeaderMap) -> Option<Credentials> {
    let (scheme, encoded) = headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let decoded = String::from_utf8(STANDARD.decode(encoded.trim()).ok()?).ok()?;
    let (user, password) = decoded.split_once(':')?;
    Some(Credentials { user: user.to_owned(), password: password.into() })
}

#[cfg(test)]
mod tests {
    use hyper::header::HeaderValue;
    use proptest::prelude::*;
    use secrecy::ExposeSecret as _;

    use super::*;

    fn read(value: &str) -> Option<(String, String)> {
        let headers = HeaderMap::from_iter([(AUTHORIZATION, HeaderValue::from_bytes(value.as_bytes()).ok()?)]);
        credentials(&headers).map(|c| (c.user, c.password.expose_secret().to_owned()))
    }

    #[test]
    fn the_password_is_all_behind_the_first_colon() {
        let table = [
            ("alice:secret", Some(("alice", "secret"))),
            ("alice:a:b", Some(("alice", "a:b"))),
            ("alice:", Some(("alice", ""))),
            (":", Some(("", ""))),
            ("jürgen:schlüssel", Some(("jürgen", "schlüssel"))),
            ("alice", None),
            ("", None),
        ];
        for (text, expected) in table {
            let expected = expected.map(|(user, password)| (user.to_owned(), password.to_owned()));
            assert_eq!(read(&format!("Basic {}", STANDARD.encode(text))), expected, "{text}");
            assert_eq!(read(&format!("bAsIc  {} ", STANDARD.encode(text))), expected, "{text}, written otherwise");
        }
    }

    #[test]
    fn what_cannot_be_read_is_nobody() {
        assert!(credentials(&HeaderMap::new()).is_none());
        let latin_1 = STANDARD.encode(b"j\xfcrgen:x");
        for value in
            ["", "Basic", "Basic ", "Basic !", "Bearer YWxpY2U6eA==", "YWxpY2U6eA==", &format!("Basic {latin_1}")]
        {
            assert_eq!(read(value), None, "{value}");
        }
    }

    proptest! {
        #[test]
        fn any_header_is_read(value in "(Basic )?[ -~]{0,80}") {
            read(&value);
        }
    }
}
