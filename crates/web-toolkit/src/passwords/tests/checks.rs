use std::{
    future::{Future as _, poll_fn},
    net::IpAddr,
    task::Poll,
};

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

fn peer(last: u8) -> Peer {
    Peer::from(IpAddr::from([192, 0, 2, last]))
}

async fn check(users: &Users, user: &str, password: &str) -> PasswordCheck {
    PasswordChecker::default().check(users, credentials(user, password), peer(1)).await
}

fn key(memory: &PasswordMemory, user: &str, password: &str, hash: &PasswordHash) -> [u64; 2] {
    memory.key(user, password, hash.text.expose_secret())
}

fn remembers(checker: &PasswordChecker, users: &Users, user: &str, password: &str) -> bool {
    checker.memory.contains(user, key(&checker.memory, user, password, &users.hashes[user]))
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
async fn a_remembered_password_needs_no_turn() {
    let (users, checker) = (users(&[("alice", "wonder")]), PasswordChecker::default());
    assert_eq!(checker.check(&users, credentials("alice", "wonder"), peer(1)).await, PasswordCheck::Accepted);
    let _only_turn = checker.usual.turn(peer(2), Places::USUAL).await.unwrap();
    assert_eq!(checker.check(&users, credentials("alice", "wonder"), peer(1)).await, PasswordCheck::Accepted);
    assert!(!remembers(&checker, &users, "alice", "wrong"));
}

#[tokio::test]
async fn a_peer_with_too_many_guesses_is_refused_at_once_and_delays_no_other() {
    let (users, checker) = (users(&[("alice", "wonder")]), PasswordChecker::default());
    let turn = checker.usual.turn(peer(1), Places::USUAL).await.unwrap();
    let mut guesses: Vec<_> = (0..Places::for_cost(COST).of_peer)
        .map(|_| Box::pin(checker.check(&users, credentials("alice", "guess"), peer(1))))
        .collect();
    for guess in &mut guesses {
        assert!(poll_fn(|cx| Poll::Ready(guess.as_mut().poll(cx))).await.is_pending());
    }
    assert_eq!(checker.check(&users, credentials("alice", "guess"), peer(1)).await, PasswordCheck::Busy);
    let mut scrape = Box::pin(checker.check(&users, credentials("alice", "wonder"), peer(2)));
    assert!(poll_fn(|cx| Poll::Ready(scrape.as_mut().poll(cx))).await.is_pending());
    drop(turn);
    let (first, second, scrape) = tokio::join!(guesses.remove(0), guesses.remove(0), scrape);
    assert_eq!([first, second, scrape], [PasswordCheck::Refused, PasswordCheck::Refused, PasswordCheck::Accepted]);
}

/// With its real cost, a check of this user would take 20 seconds.
#[tokio::test]
async fn a_user_with_a_costly_hash_delays_no_other_user() {
    let costly = PasswordHash { cost: 18, ..hash("slow") };
    let users = Users::new([("alice".to_owned(), hash("wonder")), ("bob".to_owned(), costly)].into()).unwrap();
    let checker = PasswordChecker::default();
    let turn = checker.costly.turn(peer(2), Places::USUAL).await.unwrap();
    assert_eq!(checker.check(&users, credentials("alice", "wonder"), peer(1)).await, PasswordCheck::Accepted);
    assert_eq!(checker.check(&users, credentials("mallory", "wonder"), peer(1)).await, PasswordCheck::Refused);
    drop(turn);
    let _usual = checker.usual.turn(peer(2), Places::USUAL).await.unwrap();
    assert_eq!(checker.check(&users, credentials("bob", "slow"), peer(1)).await, PasswordCheck::Accepted);
}

#[tokio::test]
async fn a_check_is_completed_and_remembered_after_the_client_disconnects() {
    let (users, checker) = (users(&[("alice", "wonder")]), PasswordChecker::default());
    // Polled once, so that it starts, then dropped, as when the client disconnects.
    let mut disconnected = Box::pin(checker.check(&users, credentials("alice", "wonder"), peer(1)));
    poll_fn(|cx| Poll::Ready(disconnected.as_mut().poll(cx).is_pending())).await;
    drop(disconnected);
    let _all_done = checker.usual.turn(peer(1), Places::USUAL).await.unwrap();
    assert!(remembers(&checker, &users, "alice", "wonder"));
}

/// A fleet has a thousand users, and every renewal of a certificate reloads the file.
#[tokio::test]
async fn a_thousand_users_stay_remembered_when_the_file_is_reloaded() {
    let checker = PasswordChecker::default();
    // One hash for all, because computing a thousand takes too long.
    let (same, other) = (hash("wonder"), hash("changed"));
    let file = |changed: &str| {
        let hashes = (0..1000).map(|n| format!("user-{n}")).map(|name| {
            let hash = if name == changed { &other } else { &same };
            (name, hash.clone())
        });
        Users::new(hashes.collect()).unwrap()
    };
    let before = file("");
    for name in before.hashes.keys() {
        let key = key(&checker.memory, name, "wonder", &before.hashes[name]);
        checker.memory.insert(name, key, 1000, |_| true);
    }
    let after = file("user-7");
    let remembered = after.hashes.keys().filter(|name| remembers(&checker, &after, name, "wonder")).count();
    assert_eq!(remembered, 999, "all but the one with a new hash");
    assert_eq!(checker.check(&after, credentials("user-7", "wonder"), peer(1)).await, PasswordCheck::Refused);
}

#[test]
fn the_memory_is_bounded_per_user() {
    let memory = PasswordMemory::default();
    memory.insert("bob", [0, 0], 2, |_| true);
    for n in 0..1000 {
        memory.insert("alice", [n, n], 2, |_| true);
    }
    assert!(memory.contains("bob", [0, 0]), "the passwords of one user do not displace those of another");
    assert!(memory.contains("alice", [999, 999]));
    assert_eq!(memory.size(), (2, 5));
    memory.insert("carol", [1, 1], 2, |name| name != "alice");
    assert_eq!(memory.size(), (2, 2), "alice is no longer a user");
}

#[test]
fn the_old_password_is_not_accepted_after_a_change() {
    let (users, memory) = (users(&[("alice", "wonder")]), PasswordMemory::default());
    let old = key(&memory, "alice", "wonder", &users.hashes["alice"]);
    assert_eq!(old, key(&memory, "alice", "wonder", &users.hashes["alice"]));
    assert_ne!(old, key(&memory, "alice", "wonder", &hash("wonder")), "the same password under another salt");
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
fn a_costly_user_does_not_make_guesses_of_unknown_users_costly() {
    let with_cost = |cost: u32| PasswordHash { text: "".into(), cost };
    let decoy = |costs: &[u32]| {
        let hashes = costs.iter().map(|cost| (cost.to_string(), with_cost(*cost))).collect();
        Users::new(hashes).unwrap().decoy.cost
    };
    assert_eq!([decoy(&[10, 12, 18]), decoy(&[16]), decoy(&[20, 18])], [12, 16, 18]);
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
        String::new(),
        "wonder".to_owned(),
        right[..59].to_owned(),
        format!("{right}x"),
        right.replacen("$2b$", "$1$", 1),
        right.replacen("$2b$", "$2z$", 1),
        format!("{}€", &right[..57]),
        with_cost("03"),
        with_cost("xx"),
        with_cost("32"),
        with_cost("99"),
    ];
    for text in table {
        assert_eq!(text.parse::<PasswordHash>().unwrap_err(), PasswordHashError, "{text}");
    }
    assert_eq!(with_cost("31").parse::<PasswordHash>().unwrap().cost(), 31);
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
