//! The sandbox's own paths below `/sandbox`: overview, BGP status, faults and calls. They need no credentials.

use hyper::{Method, StatusCode};
use percent_encoding::percent_decode_str;
use serde_json::{Value, json};
use web_toolkit::clock::Moment;

use super::{
    faults::Faults,
    request::{ApiRequest, CallLog},
    response::{ApiResponse, ErrorResponse},
    session::SessionReport,
    store::StoredAccount,
    world::World,
};

/// Responds to a request that is not for the API.
pub(crate) fn respond(world: &mut World, request: &ApiRequest, now: Moment) -> ApiResponse {
    let segments: Vec<&str> = request.path.trim_matches('/').split('/').collect();
    let result = match *segments {
        ["sandbox"] => show_overview(world, request),
        ["sandbox", "accounts", account, "tunnels", tunnel, "bgp_status"] => {
            set_bgp_status(world, request, account, tunnel, now)
        }
        ["sandbox", "faults"] => handle_faults(&mut world.faults, request),
        ["sandbox", "calls"] => handle_calls(&mut world.calls, request),
        _ => Err(ErrorResponse::no_route(&request.path)),
    };
    result.map_or_else(ApiResponse::from, |body| ApiResponse::json(StatusCode::OK, &body))
}

fn show_overview(world: &World, request: &ApiRequest) -> Result<Value, ErrorResponse> {
    match request.method {
        Method::GET => Ok(json!({"accounts": world.accounts.iter().map(summarize_account).collect::<Value>()})),
        _ => Err(ErrorResponse::method_not_allowed(&request.method, "GET")),
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

fn handle_faults(faults: &mut Faults, request: &ApiRequest) -> Result<Value, ErrorResponse> {
    match request.method {
        Method::GET => {}
        Method::PUT => *faults = Faults::from_json(&request.body).map_err(bad_request)?,
        Method::DELETE => *faults = Faults::default(),
        _ => return Err(ErrorResponse::method_not_allowed(&request.method, "GET, PUT, DELETE")),
    }
    Ok(faults.json())
}

fn handle_calls(calls: &mut CallLog, request: &ApiRequest) -> Result<Value, ErrorResponse> {
    match request.method {
        Method::GET => {}
        Method::DELETE => *calls = CallLog::default(),
        _ => return Err(ErrorResponse::method_not_allowed(&request.method, "GET, DELETE")),
    }
    Ok(calls.json())
}

/// `tunnel` is an id or a percent-encoded name.
fn set_bgp_status(
    world: &mut World,
    request: &ApiRequest,
    account: &str,
    tunnel: &str,
    now: Moment,
) -> Result<Value, ErrorResponse> {
    if request.method != Method::PUT {
        return Err(ErrorResponse::method_not_allowed(&request.method, "PUT"));
    }
    let body: Value = serde_json::from_slice(&request.body).map_err(|error| ErrorResponse::malformed_json(&error))?;
    let report = SessionReport::parse(&body).map_err(bad_request)?;
    let found = world.find_account(account);
    let account = found.ok_or_else(|| not_found(format!("account `{account}` does not exist")))?;
    let name = percent_decode_str(tunnel).decode_utf8_lossy();
    let found = account.find(&name).map(|tunnel| tunnel.id().to_owned());
    let id = found.ok_or_else(|| not_found(format!("tunnel `{name}` does not exist")))?;
    if !account.set_report(&id, report, now) {
        return Err(bad_request(format!("tunnel `{name}` has no BGP; update it with `bgp` first")));
    }
    let status = account.get(&id).and_then(|tunnel| serde_json::to_value(tunnel.bgp_status()).ok());
    Ok(json!({"id": id, "bgp_status": status}))
}

fn bad_request(message: impl Into<String>) -> ErrorResponse {
    ErrorResponse::control(StatusCode::BAD_REQUEST, message)
}

fn not_found(message: impl Into<String>) -> ErrorResponse {
    ErrorResponse::control(StatusCode::NOT_FOUND, message)
}
