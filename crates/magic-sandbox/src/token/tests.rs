use std::time::Duration;

use hyper::Method;
use serde_json::{Value, json};

use super::*;
use crate::{SandboxSettings, Story, request::PresentedCredentials, testing::TestApi};

const USER: &str = "/client/v4/user/tokens/verify";
const DAY: Duration = Duration::from_hours(24);

fn story(token: &str) -> TestApi {
    let story = format!("token: {token}\naccounts:\n  - name: lab\n  - {{name: bare, onboarded: false}}\n");
    TestApi::with_story(Story::parse("token.yml", &story).unwrap())
}

fn of_account(api: &TestApi) -> String {
    format!("/client/v4/accounts/{}/tokens/verify", api.account)
}

fn verify(api: &mut TestApi, path: &str) -> (u16, Value) {
    api.send(&Method::GET, path, "")
}

#[test]
fn an_active_token_has_a_message_and_its_expiry() {
    let mut api = story("{expires: '2027-01-01T00:00:00Z'}");
    for path in [USER.to_owned(), of_account(&api)] {
        let (status, body) = verify(&mut api, &path);
        assert_eq!((status, &body["result"]["status"]), (200, &json!("active")));
        assert_eq!(body["result"]["expires_on"], "2027-01-01T00:00:00.000000Z");
        assert_eq!(body["messages"][0]["code"], 10000);
    }
    let (_, body) = verify(&mut story("{}"), USER);
    assert!(body["result"].get("expires_on").is_none());
}

#[test]
fn a_token_expires_on_time_and_then_only_its_verification_answers() {
    let mut api = story("{expires: 10d}");
    api.advance_clock(9 * DAY + Duration::from_secs(24 * 3600 - 1));
    assert_eq!(verify(&mut api, USER).1["result"]["status"], "active");
    api.list("gre_tunnels");

    api.advance_clock(Duration::from_secs(1));
    let (status, body) = verify(&mut api, USER);
    assert_eq!((status, &body["result"]["status"], &body["messages"]), (200, &json!("expired"), &json!([])));
    let (status, body) = api.send_magic(&Method::GET, "gre_tunnels", &Value::Null);
    assert_eq!((status, &body["errors"][0]["code"]), (401, &json!(10000)));
}

#[test]
fn a_disabled_token_is_refused_but_a_key_is_not() {
    let mut api = story("{status: disabled}");
    assert_eq!(verify(&mut api, USER).1["result"]["status"], "disabled");
    assert_eq!(api.send_magic(&Method::GET, "routes", &Value::Null).0, 401);
    let mut request = api.request(&Method::GET, &format!("/client/v4/accounts/{}/magic/routes", api.account), "");
    request.credentials = PresentedCredentials::Key("key".into());
    assert_eq!(api.respond(&request).status, 200);
}

#[test]
fn the_owner_of_the_token_decides_which_path_verifies_it() {
    for (owner, user, account) in [("user", 200, 401), ("account", 401, 200)] {
        let mut api = story(&format!("{{owner: {owner}}}"));
        let path = of_account(&api);
        assert_eq!((verify(&mut api, USER).0, verify(&mut api, &path).0), (user, account), "{owner}");
    }
    let (_, body) = verify(&mut story("{owner: account}"), USER);
    assert_eq!(
        (&body["errors"][0]["code"], &body["errors"][0]["message"]),
        (&json!(1000), &json!("Invalid API Token"))
    );
}

#[test]
fn a_wrong_token_is_invalid_and_an_unknown_account_unreachable() {
    let token = Some("right".to_owned().into());
    let mut api = TestApi::new(SandboxSettings { token, story: Story::empty(), ..SandboxSettings::default() });
    let (status, body) = verify(&mut api, USER);
    assert_eq!((status, &body["errors"][0]["code"]), (401, &json!(1000)));
    let mut api = story("{}");
    let (status, body) = verify(&mut api, &format!("/client/v4/accounts/{}/tokens/verify", "0".repeat(32)));
    assert_eq!((status, &body["errors"][0]["code"]), (403, &json!(9109)));
    // An account without the product can have a token, too.
    let bare = api.world.accounts[1].id.clone();
    assert_eq!(verify(&mut api, &format!("/client/v4/accounts/{bare}/tokens/verify")).0, 200);
}

#[test]
fn the_token_can_be_set() {
    let mut api = TestApi::empty();
    let (status, body) = api.send(&Method::PUT, "/sandbox/token", r#"{"expires": "3d", "owner": "user"}"#);
    assert_eq!(status, 200);
    assert_eq!(verify(&mut api, USER).1["result"], body);
    let expected = ApiTime(api.now.after(3 * DAY).wall);
    assert_eq!(body["expires_on"], json!(expected));
    assert_eq!(api.send(&Method::GET, "/sandbox/token", "").1, body);
    for wrong in ["[]", r#"{"status": "lost"}"#, r#"{"expires": "soon"}"#, r#"{"color": 1}"#] {
        assert_eq!(api.send(&Method::PUT, "/sandbox/token", wrong).0, 400, "{wrong}");
    }
    assert_eq!(verify(&mut api, USER).1["result"], body);
}

#[test]
fn the_setting_overrides_the_expiry_of_the_story() {
    let parsed = Story::parse("token.yml", "token: {expires: 10d, owner: user}\naccounts:\n  - name: lab\n").unwrap();
    let token_expiry = Some("2030-01-01T00:00:00Z".parse().unwrap());
    let mut api = TestApi::new(SandboxSettings { story: parsed, token_expiry, ..SandboxSettings::default() });
    let (_, body) = verify(&mut api, USER);
    assert_eq!(body["result"]["expires_on"], "2030-01-01T00:00:00.000000Z");
    let account = of_account(&api);
    assert_eq!(verify(&mut api, &account).0, 401, "the owner is that of the story");
    assert!("soon".parse::<TokenExpiry>().unwrap_err().contains("10d"));
}

#[test]
fn an_event_changes_the_token_and_the_next_period_restores_it() {
    let text = "
period: 60s
accounts:
  - name: lab
events:
  - {at: 20s, say: the token is disabled, token: {status: disabled}}
";
    let mut api = TestApi::with_story(Story::parse("token.yml", text).unwrap());
    let mut status = |seconds| {
        api.advance_clock(Duration::from_secs(seconds));
        verify(&mut api, USER).1["result"]["status"].clone()
    };
    assert_eq!([status(19), status(1), status(39), status(1)], ["active", "disabled", "disabled", "active"]);
}
