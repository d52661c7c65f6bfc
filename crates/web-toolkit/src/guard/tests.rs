use base64::{Engine as _, engine::general_purpose::STANDARD};
use http_body_util::BodyExt as _;
use hyper::header::{AUTHORIZATION, CONTENT_SECURITY_POLICY};

use super::*;

/// A guard before a page that says `page`.
fn guard(rules: Rules, open_health: bool) -> (watch::Sender<Arc<Rules>>, Guard) {
    let (sender, rules) = watch::channel(Arc::new(rules));
    (sender, Guard::new(rules, open_health))
}

fn with_users(list: &[(&str, &str)]) -> Option<Users> {
    let hash = |password: &str| bcrypt::hash(password, 4).unwrap().parse().unwrap();
    Users::new(list.iter().map(|(user, password)| ((*user).to_owned(), hash(password))).collect())
}

fn with_headers(list: &[(&'static str, &'static str)]) -> HeaderMap {
    list.iter().map(|(name, value)| (name.parse().unwrap(), HeaderValue::from_static(value))).collect()
}

/// Asks for `path` as `user`, written as `name:password`.
async fn ask(guard: &Guard, path: &str, user: Option<&str>) -> Response<Body> {
    let mut request = Request::new(());
    *request.uri_mut() = path.parse().unwrap();
    if let Some(user) = user {
        let value = format!("Basic {}", STANDARD.encode(user));
        request.headers_mut().insert(AUTHORIZATION, value.parse().unwrap());
    }
    let page = |_| async {
        let mut response = text(StatusCode::OK, "page");
        response.headers_mut().insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static("the page's own"));
        response
    };
    guard.clone().respond(request, page).await
}

async fn status(guard: &Guard, path: &str, user: Option<&str>) -> u16 {
    ask(guard, path, user).await.status().as_u16()
}

#[tokio::test]
async fn without_rules_everybody_sees_everything() {
    let (_rules, guard) = guard(Rules::default(), false);
    for user in [None, Some("alice:wonder")] {
        assert_eq!(status(&guard, "/metrics", user).await, 200);
    }
}

#[tokio::test]
async fn with_users_each_page_asks_for_a_password() {
    let (_rules, guard) = guard(Rules::new(with_users(&[("alice", "wonder")]), None, HeaderMap::new()), false);
    for path in ["/metrics", "/", "/-/healthy", "/-/ready", "/-/reload", "/nowhere"] {
        assert_eq!(status(&guard, path, None).await, 401, "{path}");
        assert_eq!(status(&guard, path, Some("alice:wrong")).await, 401, "{path}");
        assert_eq!(status(&guard, path, Some("alice:wonder")).await, 200, "{path}");
    }
}

#[tokio::test]
async fn a_refusal_does_not_tell_why() {
    let (_rules, guard) = guard(Rules::new(with_users(&[("alice", "wonder")]), None, HeaderMap::new()), false);
    let mut answers = Vec::new();
    for user in [None, Some("alice:wrong"), Some("mallory:wonder"), Some("no colon")] {
        let response = ask(&guard, "/metrics", user).await;
        let headers = response.headers().clone();
        assert_eq!(headers[WWW_AUTHENTICATE], "Basic realm=\"magic-tunnel-exporter\", charset=\"UTF-8\"");
        answers.push((response.status(), headers, response.into_body().collect().await.unwrap().to_bytes()));
    }
    assert!(answers.iter().all(|answer| *answer == answers[0]), "{answers:?}");
}

#[tokio::test]
async fn health_can_be_left_open() {
    let once = Rate { interval: std::time::Duration::from_hours(1), burst: 1 };
    let rules = Rules::new(with_users(&[("alice", "wonder")]), Some(once), HeaderMap::new());
    let (_rules, guard) = guard(rules, true);
    for _ in 0..3 {
        assert_eq!(status(&guard, "/-/healthy", None).await, 200);
        assert_eq!(status(&guard, "/-/ready", None).await, 200);
    }
    assert_eq!(status(&guard, "/-/reload", None).await, 401, "it took the one token there was");
    assert_eq!(status(&guard, "/metrics", Some("alice:wonder")).await, 429);
}

#[tokio::test]
async fn headers_are_on_every_answer_and_stand_above_the_pages_own() {
    let own = with_headers(&[("Content-Security-Policy", "the operator's"), ("X-Frame-Options", "deny")]);
    let (_rules, guard) = guard(Rules::new(with_users(&[("alice", "wonder")]), None, own), false);
    for user in [None, Some("alice:wonder")] {
        let response = ask(&guard, "/", user).await;
        let policies: Vec<_> = response.headers().get_all(CONTENT_SECURITY_POLICY).iter().collect();
        assert_eq!(policies, ["the operator's"]);
        assert_eq!(response.headers()["x-frame-options"], "deny");
    }
}

#[tokio::test]
async fn new_rules_count_from_the_next_request_on() {
    let (rules, guard) = guard(Rules::default(), false);
    assert_eq!(status(&guard, "/", None).await, 200);
    rules.send_replace(Arc::new(Rules::new(with_users(&[("alice", "wonder")]), None, HeaderMap::new())));
    assert_eq!(status(&guard, "/", None).await, 401);
    assert_eq!(status(&guard, "/", Some("alice:wonder")).await, 200);
    rules.send_replace(Arc::new(Rules::new(with_users(&[("alice", "changed")]), None, HeaderMap::new())));
    assert_eq!(
        status(&guard, "/", Some("alice:wonder")).await,
        401,
        "the old password is forgotten with the old rules"
    );
    assert_eq!(status(&guard, "/", Some("alice:changed")).await, 200);
}

/// Whoever has shown a password once is not held up by those who guess.
#[tokio::test]
async fn guessing_does_not_hold_up_who_is_known() {
    let (_rules, guard) = guard(Rules::new(with_users(&[("alice", "wonder")]), None, HeaderMap::new()), false);
    assert_eq!(status(&guard, "/metrics", Some("alice:wonder")).await, 200);
    let _all_places = guard.checks.acquire().await.unwrap();
    assert_eq!(status(&guard, "/metrics", Some("alice:wonder")).await, 200);
    assert_eq!(status(&guard, "/metrics", None).await, 401, "nor does who shows none wait");
}
