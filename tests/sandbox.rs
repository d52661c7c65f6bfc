//! The sandbox as its users meet it: over a socket.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use magic_tunnel_exporter::clock;
use magic_tunnel_exporter::sandbox::{Faults, Sandbox, Settings, Story};
use magic_tunnel_exporter::server;
use reqwest::{Client, Method, RequestBuilder, StatusCode};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

struct Running {
    at: SocketAddr,
    account: String,
    client: Client,
    stop: CancellationToken,
    tasks: JoinSet<()>,
}

fn start(settings: Settings) -> Running {
    let bound = server::bind(&["127.0.0.1:0".parse().unwrap()]).unwrap();
    let at = bound[0].local_addr();
    let sandbox = Sandbox::new(settings, clock::now());
    let account = sandbox.account_ids().swap_remove(0);
    let stop = CancellationToken::new();
    let mut tasks = JoinSet::new();
    tasks.spawn(Arc::clone(&sandbox).run(bound, stop.clone()));
    let client = Client::builder().timeout(Duration::from_secs(10)).no_proxy().build().unwrap();
    Running { at, account, client, stop, tasks }
}

fn empty() -> Settings {
    Settings { story: Story::empty(), ..Settings::default() }
}

impl Running {
    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, format!("http://{}{path}", self.at))
    }

    /// A request with a token to a path below the account's `magic/`.
    fn magic(&self, method: Method, path: &str) -> RequestBuilder {
        self.request(method, &format!("/client/v4/accounts/{}/magic/{path}", self.account)).bearer_auth("token")
    }

    async fn faults(&self, faults: Value) {
        let put = self.request(Method::PUT, "/sandbox/faults").body(json!({"faults": faults}).to_string());
        assert_eq!(put.send().await.unwrap().status(), 200);
    }
}

async fn answer(request: RequestBuilder) -> (StatusCode, Value) {
    let response = request.send().await.unwrap();
    let status = response.status();
    let body = response.bytes().await.unwrap();
    (status, serde_json::from_slice(&body).unwrap_or_else(|error| panic!("{error}: {body:?}")))
}

#[tokio::test]
async fn the_demo_lists_both_kinds_and_shows_details() {
    let demo = start(Settings::default());
    for (kind, item) in [("ipsec_tunnels", "ipsec_tunnel"), ("gre_tunnels", "gre_tunnel")] {
        let (status, list) = answer(demo.magic(Method::GET, kind)).await;
        assert_eq!((status, &list["success"]), (StatusCode::OK, &Value::Bool(true)));
        let first = &list["result"][kind][0];
        let (status, one) = answer(demo.magic(Method::GET, &format!("{kind}/{}", first["id"].as_str().unwrap()))).await;
        assert_eq!((status, &one["result"][item]), (StatusCode::OK, first));
    }
}

#[tokio::test]
async fn the_header_chooses_the_form_of_the_health_check_target() {
    let demo = start(Settings::default());
    let target = async |header: Option<&str>| {
        let request = demo.magic(Method::GET, "gre_tunnels");
        let request = match header {
            Some(value) => request.header("x-magic-new-hc-target", value),
            None => request,
        };
        answer(request).await.1["result"]["gre_tunnels"][0]["health_check"]["target"].clone()
    };
    assert_eq!(target(None).await, json!(""));
    assert_eq!(target(Some("false")).await, json!(""));
    assert_eq!(target(Some("true")).await, json!({"saved": "", "effective": "127.0.10.7"}));
}

#[tokio::test]
async fn a_token_and_the_older_pair_both_open_the_door() {
    let path = |sandbox: &Running| format!("/client/v4/accounts/{}/magic/gre_tunnels", sandbox.account);
    let open = start(empty());
    let locked = start(Settings { token: Some("right".to_owned().into()), ..empty() });
    for (sandbox, secret, status) in [(&open, "any", 200), (&locked, "right", 200), (&locked, "wrong", 401)] {
        let by_token = sandbox.request(Method::GET, &path(sandbox)).bearer_auth(secret);
        assert_eq!(answer(by_token).await.0, status, "token {secret}");
        let by_key = sandbox.request(Method::GET, &path(sandbox));
        let by_key = by_key.header("X-Auth-Email", "a@example.net").header("X-Auth-Key", secret);
        assert_eq!(answer(by_key).await.0, status, "key {secret}");
    }
    let (status, body) = answer(open.request(Method::GET, &path(&open))).await;
    assert_eq!((status.as_u16(), &body["errors"][0]["code"]), (401, &json!(10000)));
    let alone = open.request(Method::GET, &path(&open)).header("X-Auth-Key", "key without e-mail");
    assert_eq!(answer(alone).await.0, 401);
    let placeholder = open.request(Method::GET, &path(&open)).header("Authorization", "Bearer <your token>");
    let (status, body) = answer(placeholder).await;
    assert_eq!((status.as_u16(), &body["errors"][0]["code"]), (400, &json!(6003)));
    assert_eq!(body["errors"][0]["error_chain"][0]["code"], 6111);
}

#[tokio::test]
async fn somebody_says_what_bgp_reports() {
    let demo = start(Settings::default());
    let path = format!("/sandbox/accounts/{}/tunnels/waw-ipsec-1/bgp_status", demo.account);
    let put = demo.request(Method::PUT, &path).body(r#"{"state":"BGP_DOWN","bgp_state":"Active"}"#);
    assert_eq!(answer(put).await.0, 200);
    let (_, list) = answer(demo.magic(Method::GET, "ipsec_tunnels")).await;
    let tunnels = list["result"]["ipsec_tunnels"].as_array().unwrap().clone();
    let tunnel = tunnels.iter().find(|tunnel| tunnel["name"] == "waw-ipsec-1").unwrap();
    assert_eq!(tunnel["bgp_status"]["state"], "BGP_DOWN");
    assert_eq!(tunnel["bgp_status"]["bgp_state"], "Active");
    assert_eq!(tunnel["bgp_status"]["tcp_established"], false);
}

#[tokio::test]
async fn stop_ends_it_at_once() {
    let mut demo = start(Settings::default());
    answer(demo.magic(Method::GET, "gre_tunnels")).await;
    demo.stop.cancel();
    let ended = tokio::time::timeout(Duration::from_secs(2), demo.tasks.join_next()).await;
    ended.expect("it ends within two seconds").unwrap().unwrap();
}
