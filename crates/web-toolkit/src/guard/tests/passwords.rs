use std::{future::poll_fn, task::Poll};

use hyper::header::HeaderValue;
use proptest::prelude::*;

use super::super::*;

const COST: u32 = 4;

fn hash(password: &str) -> PasswordHash {
    bcrypt::hash(password, COST).unwrap().parse().unwrap()
}

fn users(list: &[(&str, &str)]) -> Users {
    Users::new(list.iter().map(|(user, password)| ((*user).to_owned(), hash(password))).collect()).unwrap()
}

fn credentials(user: &str, password: &str) -> BasicCredentials {
    BasicCredentials { user: user.to_owned(), password: password.into() }
}

async fn check(users: &Users, user: &str, password: &str) -> PasswordCheck {
    users.check_password(credentials(user, password), &Arc::new(Semaphore::new(1))).await
}

#[tokio::test]
async fn only_the_right_password_of_the_right_user_is_accepted() {
    use PasswordCheck::{Accepted, Refused};
    let users = users(&[("alice", "wonder"), ("bob", "builder"), ("empty", "")]);
    let table = [
        ("alice", "wonder", Accepted),
        ("alice", "wonder", Accepted),
        ("alice", "wonde", Refused),
        ("alice", "wonder ", Refused),
        ("alice", "builder", Refused),
        ("alice", "", Refused),
        ("bob", "builder", Accepted),
        ("Bob", "builder", Refused),
        ("", "", Refused),
        ("empty", "", Accepted),
        ("mallory", "wonder", Refused),
    ];
    for (user, password, expected) in table {
        assert_eq!(check(&users, user, password).await, expected, "{user}:{password}");
    }
}

#[tokio::test]
async fn a_password_is_compared_up_to_72_bytes_as_in_other_exporters() {
    let long = "x".repeat(72);
    let users = users(&[("alice", &long)]);
    assert_eq!(check(&users, "alice", &format!("{long}tail")).await, PasswordCheck::Accepted);
    assert_eq!(check(&users, "alice", &long[..71]).await, PasswordCheck::Refused);
    assert_eq!(check(&users, "alice", &"y".repeat(1 << 20)).await, PasswordCheck::Refused);
}

#[tokio::test]
async fn a_cached_password_needs_no_check_and_the_cache_is_bounded() {
    let users = users(&[("alice", "wonder")]);
    assert_eq!(check(&users, "alice", "wonder").await, PasswordCheck::Accepted);
    let full = Arc::new(Semaphore::new(0));
    assert_eq!(
        users.check_password(credentials("alice", "wonder"), &full).await,
        PasswordCheck::Accepted,
        "no permit is needed"
    );
    full.close();
    assert_eq!(
        users.check_password(credentials("alice", "wrong"), &full).await,
        PasswordCheck::Failed,
        "a wrong password is not cached"
    );
    for n in 0..1000 {
        users.cache.insert([n, n]);
    }
    assert!(users.cache.known.lock().len() <= MAX_CACHED);
}

#[tokio::test]
async fn a_check_is_completed_and_cached_after_the_client_disconnects() {
    let users = users(&[("alice", "wonder")]);
    let checks = Arc::new(Semaphore::new(1));
    // Polled once, so that it starts, then dropped, as when the client disconnects.
    let mut disconnected = Box::pin(users.check_password(credentials("alice", "wonder"), &checks));
    poll_fn(|cx| Poll::Ready(disconnected.as_mut().poll(cx).is_pending())).await;
    drop(disconnected);
    let _all_done = checks.acquire().await.unwrap();
    assert!(users.cache.contains(users.cache.hash_key(&credentials("alice", "wonder"), &users.hashes["alice"])));
}

#[test]
fn the_old_password_is_not_accepted_after_a_change() {
    let users = users(&[("alice", "wonder")]);
    let alice = credentials("alice", "wonder");
    let old = users.cache.hash_key(&alice, &users.hashes["alice"]);
    assert_eq!(old, users.cache.hash_key(&alice, &users.hashes["alice"]));
    assert_ne!(old, users.cache.hash_key(&alice, &hash("wonder")), "the same password under another salt");
}

#[test]
fn an_unknown_user_costs_as_much_as_the_known_user_with_the_highest_cost() {
    let costly: PasswordHash = bcrypt::hash("x", 6).unwrap().parse().unwrap();
    let users = Users::new([("a".to_owned(), hash("x")), ("b".to_owned(), costly)].into()).unwrap();
    assert_eq!(users.decoy.cost, 6);
    let decoy: PasswordHash = users.decoy.text.expose_secret().parse().unwrap();
    assert_eq!(decoy.cost, 6, "checking the decoy computes a real hash");
    assert!(Users::new(BTreeMap::new()).is_none());
}

#[test]
fn a_hash_is_validated_and_never_printed() {
    let right = bcrypt::hash("wonder", COST).unwrap();
    for version in ["$2a$", "$2b$", "$2x$", "$2y$"] {
        let text = right.replacen("$2b$", version, 1);
        let hash: PasswordHash = text.parse().unwrap();
        assert!(!format!("{hash:?}").contains(&text[7..]));
    }
    let with_cost = |cost: &str| right.replacen("$04$", &format!("${cost}$"), 1);
    let table = [
        (String::new(), PasswordHashError::NoHash),
        ("wonder".to_owned(), PasswordHashError::NoHash),
        (right[..59].to_owned(), PasswordHashError::NoHash),
        (format!("{right}x"), PasswordHashError::NoHash),
        (right.replacen("$2b$", "$1$", 1), PasswordHashError::NoHash),
        (right.replacen("$2b$", "$2z$", 1), PasswordHashError::NoHash),
        (format!("{}€", &right[..57]), PasswordHashError::NoHash),
        (with_cost("03"), PasswordHashError::NoHash),
        (with_cost("xx"), PasswordHashError::NoHash),
        (with_cost("17"), PasswordHashError::Costly),
        (with_cost("31"), PasswordHashError::Costly),
    ];
    for (text, error) in table {
        assert_eq!(text.parse::<PasswordHash>().unwrap_err(), error, "{text}");
    }
}

fn parse(value: &str) -> Option<(String, String)> {
    let headers = HeaderMap::from_iter([(AUTHORIZATION, HeaderValue::from_bytes(value.as_bytes()).ok()?)]);
    BasicCredentials::from_headers(&headers).map(|c| (c.user, c.password.expose_secret().to_owned()))
}

#[test]
fn everything_after_the_first_colon_is_the_password() {
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
        assert_eq!(parse(&format!("Basic {}", STANDARD.encode(text))), expected, "{text}");
        assert_eq!(
            parse(&format!("bAsIc  {} ", STANDARD.encode(text))),
            expected,
            "{text}, with other case and spaces"
        );
    }
}

#[test]
fn a_malformed_header_has_no_credentials() {
    assert!(BasicCredentials::from_headers(&HeaderMap::new()).is_none());
    let latin_1 = STANDARD.encode(b"j\xfcrgen:x");
    for value in ["", "Basic", "Basic ", "Basic !", "Bearer YWxpY2U6eA==", "YWxpY2U6eA==", &format!("Basic {latin_1}")]
    {
        assert_eq!(parse(value), None, "{value}");
    }
}

proptest! {
    #[test]
    fn any_header_is_parsed(value in "(Basic )?[ -~]{0,80}") {
        parse(&value);
    }
}
