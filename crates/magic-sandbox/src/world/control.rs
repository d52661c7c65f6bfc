//! The sandbox's own paths, below `/sandbox`.

use hyper::{Method, StatusCode};
use percent_encoding::percent_decode_str;
use serde_json::{Value, json};
use web_toolkit::clock::Moment;

use super::World;
use crate::{
    faults::Faults,
    request::{ApiRequest, CallLog},
    response::ErrorResponse,
    session::SessionReport,
    store::{StoredAccount, StoredTunnel},
    story,
    token::{TokenSettings, TokenState},
};

impl World {
    /// The sandbox's own paths. They need no credentials.
    pub(super) fn control(&mut self, request: &ApiRequest, now: Moment) -> Result<Value, ErrorResponse> {
        let segments: Vec<&str> = request.path.trim_matches('/').split('/').collect();
        let allow = |methods| ErrorResponse::check_method(&request.method, methods);
        match *segments {
            ["sandbox"] => {
                allow("GET")?;
                Ok(json!({"accounts": self.accounts.iter().map(summarize_account).collect::<Value>()}))
            }
            ["sandbox", "accounts", account, "tunnels", tunnel, "bgp_status"] => {
                allow("PUT")?;
                self.set_bgp_status(account, &percent_decode_str(tunnel).decode_utf8_lossy(), &request.body, now)
            }
            ["sandbox", "accounts", account, "tunnels", tunnel, "edge"] => {
                allow("PUT")?;
                self.set_edge(account, &percent_decode_str(tunnel).decode_utf8_lossy(), &request.body, now)
            }
            ["sandbox", "token"] => {
                allow("GET, PUT")?;
                if request.method == Method::PUT {
                    let settings = TokenSettings::parse(&Value::Object(request.object_body()?));
                    self.token = TokenState::new(settings.map_err(bad_request)?, now.wall);
                }
                Ok(self.token.json(now.wall))
            }
            ["sandbox", "faults"] => {
                allow("GET, PUT, DELETE")?;
                match request.method {
                    Method::PUT => self.faults = Faults::from_json(&request.body).map_err(bad_request)?,
                    Method::DELETE => self.faults = Faults::default(),
                    _ => {}
                }
                Ok(self.faults.json())
            }
            ["sandbox", "calls"] => {
                allow("GET, DELETE")?;
                if request.method == Method::DELETE {
                    self.calls = CallLog::default();
                }
                Ok(self.calls.json())
            }
            _ => Err(ErrorResponse::no_route(&request.path)),
        }
    }

    /// `tunnel` is an id or a name.
    fn set_bgp_status(
        &mut self,
        account: &str,
        tunnel: &str,
        body: &[u8],
        now: Moment,
    ) -> Result<Value, ErrorResponse> {
        let body: Value = serde_json::from_slice(body).map_err(|error| ErrorResponse::malformed_json(&error))?;
        let report = SessionReport::parse(&body).map_err(bad_request)?;
        let found = self.find_tunnel(account, tunnel)?;
        if !found.set_report(report, now) {
            return Err(bad_request(format!("tunnel `{tunnel}` has no BGP; update it with `bgp` first")));
        }
        Ok(json!({"id": found.id(), "bgp_status": found.bgp_status()}))
    }

    /// Changes the keys of the body in what the edge reports. `tunnel` is an id or a name.
    fn set_edge(&mut self, account: &str, tunnel: &str, body: &[u8], now: Moment) -> Result<Value, ErrorResponse> {
        let set = serde_json::from_slice(body).map_err(|error| ErrorResponse::malformed_json(&error))?;
        let found = self.find_tunnel(account, tunnel)?;
        let state = story::patch_edge(&found.edge().current(), &set).map_err(bad_request)?;
        found.set_edge(Some(state.clone()), now.wall);
        Ok(json!({"id": found.id(), "edge": state}))
    }

    /// `tunnel` is an id or a name.
    fn find_tunnel(&mut self, account: &str, tunnel: &str) -> Result<&mut StoredTunnel, ErrorResponse> {
        let found = self.accounts.iter_mut().find(|other| other.id == account);
        let account = found.ok_or_else(|| not_found(format!("account `{account}` does not exist")))?;
        account.find_mut(tunnel).ok_or_else(|| not_found(format!("tunnel `{tunnel}` does not exist")))
    }
}

fn summarize_account(account: &StoredAccount) -> Value {
    let tunnels = account.tunnels().map(|tunnel| {
        let spec = tunnel.spec();
        let state = tunnel.session().map(|session| session.state().as_str());
        json!({"id": tunnel.id(), "name": spec.name, "type": spec.kind().names().short, "bgp_state": state})
    });
    json!({"id": account.id, "tunnels": tunnels.collect::<Value>()})
}

fn bad_request(message: String) -> ErrorResponse {
    ErrorResponse::control(StatusCode::BAD_REQUEST, message)
}

fn not_found(message: String) -> ErrorResponse {
    ErrorResponse::control(StatusCode::NOT_FOUND, message)
}
