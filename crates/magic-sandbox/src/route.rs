//! From method and path to an operation.

use hyper::Method;

use super::{kind::Kind, reply::Refusal};

/// Where the real API is mounted.
pub(super) const MOUNT: &str = "/client/v4";

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Route<'a> {
    /// The tunnels API, and the two checks of a token beside it.
    Api(Operation<'a>),
    /// The sandbox's own paths, which the real API does not have.
    Control(Control<'a>),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Operation<'a> {
    List(&'a str, Kind),
    Create(&'a str, Kind),
    UpdateMany(&'a str, Kind),
    Get(&'a str, Kind, &'a str),
    Update(&'a str, Kind, &'a str),
    Delete(&'a str, Kind, &'a str),
    GeneratePsk(&'a str, &'a str),
    /// `/user/tokens/verify`, and `/accounts/{account_id}/tokens/verify` for tokens of an account.
    VerifyToken(Option<&'a str>),
}

impl Operation<'_> {
    pub(super) const fn kind(&self) -> Option<Kind> {
        match self {
            Self::List(_, kind)
            | Self::Create(_, kind)
            | Self::UpdateMany(_, kind)
            | Self::Get(_, kind, _)
            | Self::Update(_, kind, _)
            | Self::Delete(_, kind, _) => Some(*kind),
            Self::GeneratePsk(..) => Some(Kind::Ipsec),
            Self::VerifyToken(_) => None,
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Control<'a> {
    /// `GET /sandbox`: accounts and tunnels at a glance.
    Overview,
    /// `PUT /sandbox/accounts/{account_id}/tunnels/{id or name}/bgp_status`.
    BgpStatus(&'a str, &'a str),
    ShowFaults,
    SetFaults,
    ClearFaults,
    ShowCalls,
    ForgetCalls,
}

/// The operation, or the refusal that the real API gives for a path or a method that is none.
pub(super) fn route<'a>(method: &Method, path: &'a str) -> Result<Route<'a>, Refusal> {
    if let Some(rest) = path.strip_prefix(MOUNT).filter(|rest| rest.starts_with('/')) {
        let segments: Vec<&str> = rest[1..].split('/').collect();
        return operation(method, rest, &segments).map(Route::Api);
    }
    let segments: Vec<&str> = path.trim_start_matches('/').trim_end_matches('/').split('/').collect();
    control(method, path, &segments).map(Route::Control)
}

fn operation<'a>(method: &Method, path: &str, segments: &[&'a str]) -> Result<Operation<'a>, Refusal> {
    let get = *method == Method::GET;
    let (post, put, delete) = (*method == Method::POST, *method == Method::PUT, *method == Method::DELETE);
    let wrong = |allow| Err(Refusal::method(method.as_str(), allow));
    match *segments {
        ["user", "tokens", "verify"] if get => Ok(Operation::VerifyToken(None)),
        ["accounts", account, "tokens", "verify"] if get => Ok(Operation::VerifyToken(Some(account))),
        ["user", "tokens", "verify"] | ["accounts", _, "tokens", "verify"] => wrong("GET"),
        ["accounts", account, "magic", collection] => {
            let kind = Kind::from_collection(collection).ok_or_else(|| Refusal::route(path))?;
            match () {
                () if get => Ok(Operation::List(account, kind)),
                () if post => Ok(Operation::Create(account, kind)),
                () if put => Ok(Operation::UpdateMany(account, kind)),
                () => wrong("GET, POST, PUT"),
            }
        }
        ["accounts", account, "magic", collection, id] => {
            let kind = Kind::from_collection(collection).ok_or_else(|| Refusal::route(path))?;
            match () {
                () if get => Ok(Operation::Get(account, kind, id)),
                () if put => Ok(Operation::Update(account, kind, id)),
                () if delete => Ok(Operation::Delete(account, kind, id)),
                () => wrong("GET, PUT, DELETE"),
            }
        }
        ["accounts", account, "magic", "ipsec_tunnels", id, "psk_generate"] if post => {
            Ok(Operation::GeneratePsk(account, id))
        }
        ["accounts", _, "magic", "ipsec_tunnels", _, "psk_generate"] => wrong("POST"),
        _ => Err(Refusal::route(path)),
    }
}

fn control<'a>(method: &Method, path: &str, segments: &[&'a str]) -> Result<Control<'a>, Refusal> {
    let wrong = |allow| Err(Refusal::method(method.as_str(), allow));
    match *segments {
        ["sandbox"] if *method == Method::GET => Ok(Control::Overview),
        ["sandbox"] => wrong("GET"),
        ["sandbox", "accounts", account, "tunnels", tunnel, "bgp_status"] if *method == Method::PUT => {
            Ok(Control::BgpStatus(account, tunnel))
        }
        ["sandbox", "accounts", _, "tunnels", _, "bgp_status"] => wrong("PUT"),
        ["sandbox", "faults"] => match *method {
            Method::GET => Ok(Control::ShowFaults),
            Method::PUT => Ok(Control::SetFaults),
            Method::DELETE => Ok(Control::ClearFaults),
            _ => wrong("GET, PUT, DELETE"),
        },
        ["sandbox", "calls"] => match *method {
            Method::GET => Ok(Control::ShowCalls),
            Method::DELETE => Ok(Control::ForgetCalls),
            _ => wrong("GET, DELETE"),
        },
        _ => Err(Refusal::route(path)),
    }
}
