use std::task::Poll;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use http_body_util::BodyExt as _;
use hyper::header::{AUTHORIZATION, CONTENT_SECURITY_POLICY};

use tokio::task::JoinSet;

use super::*;
use crate::passwords::PasswordHash;

const CHALLENGE: &str = "Basic realm=\"test\", charset=\"UTF-8\"";

/// A guard in front of a page with the text `page`.
fn guard(rules: RequestRules, open_health: bool) -> (watch::Sender<Arc<RequestRules>>, Guard) {
    let (sender, rules) = watch::channel(Arc::new(rules));
    (sender, Guard::new(rules, HeaderValue::from_static(CHALLENGE), open_health))
}

fn with_users(list: &[(&str, &str)]) -> Option<Users> {
    let hash = |password: &str| bcrypt::hash(password, 4).unwrap().parse().unwrap();
    Users::new(list.iter().map(|(user, password)| ((*user).to_owned(), hash(password))).collect())
}

fn with_headers(list: &[(&'static str, &'static str)]) -> HeaderMap {
    list.iter().map(|(name, value)| (name.parse().unwrap(), HeaderValue::from_static(value))).collect()
}

/// Requests `path` as `user`, which has the form `name:password`.
async fn ask(guard: &Guard, path: &str, user: Option<&str>) -> Response<Body> {
    let mut request = Request::new(());
    *request.uri_mut() = path.parse().unwrap();
    if let Some(user) = user {
        let value = format!("Basic {}", STANDARD.encode(user));
        request.headers_mut().insert(AUTHORIZATION, value.parse().unwrap());
    }
    let page = |_| async {
        let mut response = plain_text(StatusCode::OK, "page");
        response.headers_mut().insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static("from the page"));
        response
    };
    guard.clone().respond(request, page).await
}

async fn status(guard: &Guard, path: &str, user: Option<&str>) -> u16 {
    ask(guard, path, user).await.status().as_u16()
}

#[tokio::test]
async fn without_rules_every_request_is_allowed() {
    let (_rules, guard) = guard(RequestRules::default(), false);
    for user in [None, Some("alice:wonder")] {
        assert_eq!(status(&guard, "/metrics", user).await, 200);
    }
}

#[tokio::test]
async fn with_users_every_page_requires_a_password() {
    let (_rules, guard) = guard(RequestRules::new(with_users(&[("alice", "wonder")]), None, HeaderMap::new()), false);
    for path in ["/metrics", "/", "/-/healthy", "/-/ready", "/-/reload", "/nowhere"] {
        assert_eq!(status(&guard, path, None).await, 401, "{path}");
        assert_eq!(status(&guard, path, Some("alice:wrong")).await, 401, "{path}");
        assert_eq!(status(&guard, path, Some("alice:wonder")).await, 200, "{path}");
    }
}

#[tokio::test]
async fn the_401_response_does_not_depend_on_the_reason() {
    let (_rules, guard) = guard(RequestRules::new(with_users(&[("alice", "wonder")]), None, HeaderMap::new()), false);
    let mut answers = Vec::new();
    for user in [None, Some("alice:wrong"), Some("mallory:wonder"), Some("no colon")] {
        let response = ask(&guard, "/metrics", user).await;
        let headers = response.headers().clone();
        assert_eq!(headers[WWW_AUTHENTICATE], CHALLENGE);
        answers.push((response.status(), headers, response.into_body().collect().await.unwrap().to_bytes()));
    }
    assert!(answers.iter().all(|answer| *answer == answers[0]), "{answers:?}");
}

#[tokio::test]
async fn health_checks_can_be_exempt() {
    let once = RateLimit { interval: std::time::Duration::from_hours(1), burst: 1 };
    let rules = RequestRules::new(with_users(&[("alice", "wonder")]), Some(once), HeaderMap::new());
    let (_rules, guard) = guard(rules, true);
    for _ in 0..3 {
        assert_eq!(status(&guard, "/-/healthy", None).await, 200);
        assert_eq!(status(&guard, "/-/ready", None).await, 200);
    }
    assert_eq!(status(&guard, "/-/reload", None).await, 401, "it took the only token");
    assert_eq!(status(&guard, "/metrics", Some("alice:wonder")).await, 429);
}

#[tokio::test]
async fn configured_headers_are_on_every_response_and_replace_those_of_the_page() {
    let own = with_headers(&[("Content-Security-Policy", "from the operator"), ("X-Frame-Options", "deny")]);
    let (_rules, guard) = guard(RequestRules::new(with_users(&[("alice", "wonder")]), None, own), false);
    for user in [None, Some("alice:wonder")] {
        let response = ask(&guard, "/", user).await;
        let policies: Vec<_> = response.headers().get_all(CONTENT_SECURITY_POLICY).iter().collect();
        assert_eq!(policies, ["from the operator"]);
        assert_eq!(response.headers()["x-frame-options"], "deny");
    }
}

#[tokio::test]
async fn new_rules_apply_from_the_next_request() {
    let (rules, guard) = guard(RequestRules::default(), false);
    assert_eq!(status(&guard, "/", None).await, 200);
    rules.send_replace(Arc::new(RequestRules::new(with_users(&[("alice", "wonder")]), None, HeaderMap::new())));
    assert_eq!(status(&guard, "/", None).await, 401);
    assert_eq!(status(&guard, "/", Some("alice:wonder")).await, 200);
    rules.send_replace(Arc::new(RequestRules::new(with_users(&[("alice", "changed")]), None, HeaderMap::new())));
    assert_eq!(status(&guard, "/", Some("alice:wonder")).await, 401, "the hash is another one");
    assert_eq!(status(&guard, "/", Some("alice:changed")).await, 200);
}

#[tokio::test]
async fn too_many_guesses_are_refused_at_once_and_delay_no_authenticated_client() {
    let hash: PasswordHash = bcrypt::hash("wonder", 10).unwrap().parse().unwrap();
    let users = Users::new([("alice".to_owned(), hash)].into());
    let (_rules, guard) = guard(RequestRules::new(users, None, HeaderMap::new()), false);
    assert_eq!(status(&guard, "/metrics", Some("alice:wonder")).await, 200);
    // More guesses than places at this cost, all at once.
    let mut guesses = JoinSet::new();
    for _ in 0..50 {
        let guard = guard.clone();
        guesses.spawn(async move { ask(&guard, "/metrics", Some("alice:guess")).await });
    }
    let guesses = guesses.join_all().await;
    let refused: Vec<_> = guesses.iter().filter(|response| response.status() == 503).collect();
    assert!(refused.len() >= 40, "{}", refused.len());
    assert!(refused.iter().all(|response| response.headers()[RETRY_AFTER] == "1"));
    assert!(guesses.iter().all(|response| [401, 503].contains(&response.status().as_u16())));
    assert_eq!(status(&guard, "/metrics", Some("alice:wonder")).await, 200);
    assert_eq!(status(&guard, "/metrics", None).await, 401, "a request without a password needs no check");
}

#[tokio::test]
async fn a_reload_does_not_forget_users_with_an_unchanged_hash() {
    let hash: PasswordHash = bcrypt::hash("wonder", 4).unwrap().parse().unwrap();
    let rules = || RequestRules::new(Users::new([("alice".to_owned(), hash.clone())].into()), None, HeaderMap::new());
    let (sender, guard) = guard(rules(), false);
    assert_eq!(status(&guard, "/", Some("alice:wonder")).await, 200);
    sender.send_replace(Arc::new(rules()));
    // While guesses fill the queue, only a remembered password is accepted at once.
    let guess = || Box::pin(ask(&guard, "/", Some("alice:guess")));
    let mut guesses: Vec<_> = (0..10).map(|_| guess()).collect();
    for guess in &mut guesses {
        // Waits in the queue, or is refused because the queue is full.
        let _answer = std::future::poll_fn(|cx| Poll::Ready(guess.as_mut().poll(cx))).await;
    }
    let scrape = tokio::time::timeout(std::time::Duration::ZERO, status(&guard, "/", Some("alice:wonder"))).await;
    assert_eq!(scrape.ok(), Some(200));
}

/// The user that the page sees.
async fn seen_user(guard: &Guard, user: &str) -> String {
    let mut request = Request::new(());
    request.headers_mut().insert(AUTHORIZATION, format!("Basic {}", STANDARD.encode(user)).parse().unwrap());
    let page = |request: Request<()>| async move {
        let requester = request.extensions().get::<Requester>().cloned().unwrap_or_default();
        plain_text(StatusCode::OK, requester.user.map_or_else(String::new, |user| user.to_string()))
    };
    let response = guard.clone().respond(request, page).await;
    String::from_utf8(response.into_body().collect().await.unwrap().to_bytes().into()).unwrap()
}

#[tokio::test]
async fn a_page_sees_a_user_only_if_the_password_was_checked() {
    let (_rules, protected) =
        guard(RequestRules::new(with_users(&[("alice", "wonder")]), None, HeaderMap::new()), false);
    assert_eq!(seen_user(&protected, "alice:wonder").await, "alice");
    let (_rules, open) = guard(RequestRules::default(), false);
    assert_eq!(seen_user(&open, "alice:anything").await, "");
}
