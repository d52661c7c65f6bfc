//! The operations of the tunnels API: from method and path to an operation, and from an operation to its result.
//!
//! With `validate_only` all checks are made and nothing changes. The result then shows what would be, with `false` for
//! `modified` or `deleted`.

use std::slice;

use hyper::{Method, StatusCode};
use rand::{
    RngExt as _,
    distr::{Alphanumeric, SampleString as _},
    rngs::StdRng,
};
use serde_json::{Map, Value, json};
use web_toolkit::clock::Moment;

use super::{
    request::ApiRequest,
    response::{ApiError, BodyRule, ErrorResponse},
    spec::{ApiTime, TunnelKind},
    store::{self, Candidate, StoredAccount, StoredTunnel},
    validate::{self, ValidTunnel, ValidationContext},
};

/// Path prefix of the real API.
pub(crate) const MOUNT: &str = "/client/v4";

/// By default, the result as JSON text without the envelope.
pub(crate) type OperationResult<T = String> = Result<T, ErrorResponse>;

/// One operation of the API: a method on a resource.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ApiOperation<'a> {
    method: &'a Method,
    /// Path below [`MOUNT`].
    path: &'a str,
    /// `None` only for `/user/tokens/verify`.
    account: Option<&'a str>,
    resource: ApiResource<'a>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ApiResource<'a> {
    TokenStatus,
    Collection(TunnelKind),
    Tunnel(TunnelKind, &'a str),
    PskGenerator(&'a str),
}

impl ApiResource<'_> {
    const fn methods(self) -> &'static str {
        match self {
            Self::TokenStatus => "GET",
            Self::Collection(_) => "GET, POST, PUT",
            Self::Tunnel(..) => "GET, PUT, DELETE",
            Self::PskGenerator(_) => "POST",
        }
    }
}

impl<'a> ApiOperation<'a> {
    /// Finds the operation for a path below [`MOUNT`], or the error that the real API returns for an unknown path or
    /// method.
    pub(crate) fn route(method: &'a Method, path: &'a str) -> Result<Self, ErrorResponse> {
        let segments: Vec<&str> = path.split('/').collect();
        let kind = |segment| TunnelKind::from_collection(segment).ok_or_else(|| ErrorResponse::no_route(path));
        let (account, resource) = match *segments {
            ["", "user", "tokens", "verify"] => (None, ApiResource::TokenStatus),
            ["", "accounts", account, "tokens", "verify"] => (Some(account), ApiResource::TokenStatus),
            ["", "accounts", account, "magic", collection] => {
                (Some(account), ApiResource::Collection(kind(collection)?))
            }
            ["", "accounts", account, "magic", collection, id] => {
                (Some(account), ApiResource::Tunnel(kind(collection)?, id))
            }
            ["", "accounts", account, "magic", "ipsec_tunnels", id, "psk_generate"] => {
                (Some(account), ApiResource::PskGenerator(id))
            }
            _ => return Err(ErrorResponse::no_route(path)),
        };
        ErrorResponse::check_method(method, resource.methods())?;
        Ok(Self { method, path, account, resource })
    }

    /// The kind of tunnel that the operation reads or changes.
    pub(crate) const fn kind(&self) -> Option<TunnelKind> {
        match self.resource {
            ApiResource::TokenStatus => None,
            ApiResource::Collection(kind) | ApiResource::Tunnel(kind, _) => Some(kind),
            ApiResource::PskGenerator(_) => Some(TunnelKind::Ipsec),
        }
    }

    /// With `strict`, interface addresses must be private.
    pub(crate) fn run(
        &self,
        accounts: &mut [StoredAccount],
        request: &ApiRequest,
        now: Moment,
        strict: bool,
        rng: &mut StdRng,
    ) -> OperationResult {
        let account = self.account.map(|id| self.find_account(accounts, id)).transpose()?;
        let (Some(account), Some(kind)) = (account, self.kind()) else {
            return Ok(json!({"id": store::stable_id(&["token"]), "status": "active"}).to_string());
        };
        let mut context = OperationContext { request, kind, now, strict, rng };
        let (ApiResource::Tunnel(_, id) | ApiResource::PskGenerator(id)) = self.resource else {
            return match *self.method {
                Method::POST => context.create(account),
                Method::PUT => context.update_many(account),
                _ => Ok(context.list(account)),
            };
        };
        self.check_id(id)?;
        let tunnel = context.find(account, id)?;
        match *self.method {
            Method::POST => Ok(context.generate_psk(tunnel)),
            Method::PUT => context.update(account, id),
            Method::DELETE => {
                let tunnel = tunnel.clone();
                Ok(context.delete(account, tunnel))
            }
            _ => Ok(context.get(tunnel)),
        }
    }

    fn find_account<'s>(&self, accounts: &'s mut [StoredAccount], id: &str) -> OperationResult<&'s mut StoredAccount> {
        self.check_id(id)?;
        match accounts.iter_mut().find(|account| account.id == id) {
            Some(account) if account.onboarded => Ok(account),
            Some(_) => Err(ErrorResponse::not_onboarded()),
            None => Err(ErrorResponse::no_access_to_account()),
        }
    }

    /// The API's gateway does not route malformed identifiers.
    fn check_id(&self, id: &str) -> Result<(), ErrorResponse> {
        if store::is_id(id) { Ok(()) } else { Err(ErrorResponse::no_route(self.path)) }
    }
}

/// What an operation on tunnels needs besides its account.
struct OperationContext<'a> {
    request: &'a ApiRequest,
    kind: TunnelKind,
    now: Moment,
    strict: bool,
    rng: &'a mut StdRng,
}

impl OperationContext<'_> {
    fn find<'s>(&self, account: &'s mut StoredAccount, id: &str) -> OperationResult<&'s mut StoredTunnel> {
        let tunnel = account.get_mut(id).filter(|tunnel| tunnel.spec().kind() == self.kind);
        tunnel.ok_or_else(|| ErrorResponse::no_such_tunnel(self.kind))
    }

    fn list(&self, account: &mut StoredAccount) -> String {
        format!("{{\"{}\":[{}]}}", self.kind.names().collection, account.list_json(self.kind, self.request.form))
    }

    fn get(&self, tunnel: &mut StoredTunnel) -> String {
        let item = self.kind.names().item;
        format!("{{\"{item}\":{}}}", tunnel.json(self.request.form))
    }

    fn create(&mut self, account: &mut StoredAccount) -> OperationResult {
        let valid = self.validate(account, &self.parse_body()?, "")?;
        let candidate = Candidate { id: None, valid, at: String::new() };
        reject_if_any(account.check(slice::from_ref(&candidate)))?;
        let mut tunnel = StoredTunnel::new(format!("{:032x}", self.rng.random::<u128>()), candidate.valid, self.now);
        let json = tunnel.json(self.request.form).to_owned();
        if !self.request.validate_only() {
            account.insert(tunnel);
        }
        Ok(json)
    }

    fn update(&self, account: &mut StoredAccount, id: &str) -> OperationResult {
        let valid = self.validate(account, &self.parse_body()?, "")?;
        let updates = vec![Candidate { id: Some(id.to_owned()), valid, at: String::new() }];
        let (modified, tunnels) = (!self.request.validate_only(), self.apply(account, updates)?);
        Ok(format!("{{\"modified\":{modified},\"modified_{}\":{tunnels}}}", self.kind.names().item))
    }

    fn update_many(&self, account: &mut StoredAccount) -> OperationResult {
        let updates = self.read_updates(account, &self.parse_body()?)?;
        let (modified, tunnels) = (!self.request.validate_only(), self.apply(account, updates)?);
        Ok(format!("{{\"modified\":{modified},\"modified_{}\":[{tunnels}]}}", self.kind.names().collection))
    }

    /// Reads and validates the body of an update of many.
    fn read_updates(&self, account: &StoredAccount, body: &Map<String, Value>) -> OperationResult<Vec<Candidate>> {
        let collection = self.kind.names().collection;
        let pointer = format!("/{collection}");
        let list = match body.get(collection) {
            None | Some(Value::Null) => {
                return Err(reject(BodyRule::Required, &pointer, format!("{collection} is required")));
            }
            Some(Value::Array(list)) => list,
            Some(_) => return Err(reject(BodyRule::Type, &pointer, format!("{collection} must be a list"))),
        };
        let mut updates: Vec<Candidate> = Vec::with_capacity(list.len());
        let mut errors = Vec::new();
        for (position, element) in list.iter().enumerate() {
            match self.read_update(account, element, format!("{pointer}/{position}")) {
                Ok(update) if updates.iter().any(|other| other.id == update.id) => {
                    let message = "the same tunnel occurs twice in one update";
                    errors.push(BodyRule::Duplicate.error(format!("{}/id", update.at), message));
                }
                Ok(update) => updates.push(update),
                Err(error) if error.status == StatusCode::NOT_FOUND => return Err(error),
                Err(error) => errors.extend(error.errors),
            }
        }
        reject_if_any(errors)?;
        Ok(updates)
    }

    /// Reads one element of an update of many. `at` is its pointer.
    fn read_update(&self, account: &StoredAccount, element: &Value, at: String) -> OperationResult<Candidate> {
        let fields = element.as_object().ok_or_else(|| reject(BodyRule::Type, &at, "must be an object"))?;
        let pointer = format!("{at}/id");
        let id = match fields.get("id") {
            None | Some(Value::Null) => return Err(reject(BodyRule::Required, &pointer, "id is required")),
            Some(id) => id.as_str().ok_or_else(|| reject(BodyRule::Type, &pointer, "id must be a string"))?,
        };
        if account.get(id).is_none_or(|tunnel| tunnel.spec().kind() != self.kind) {
            let mut error = ErrorResponse::no_such_tunnel(self.kind);
            error.errors.iter_mut().for_each(|error| error.pointer = Some(pointer.clone()));
            return Err(error);
        }
        let valid = self.validate(account, fields, &at)?;
        Ok(Candidate { id: Some(id.to_owned()), valid, at })
    }

    /// Applies updates, to a copy with `validate_only`. Returns the tunnels, separated by commas.
    fn apply(&self, account: &mut StoredAccount, updates: Vec<Candidate>) -> OperationResult {
        reject_if_any(account.check(&updates))?;
        let mut preview = self.request.validate_only().then(|| account.clone());
        let account = preview.as_mut().unwrap_or(account);
        let ids: Vec<String> = updates.iter().filter_map(|update| update.id.clone()).collect();
        account.apply(updates, |tunnel, new| tunnel.update(new, self.now));
        let tunnels = ids.iter().filter_map(|id| Some(account.get_mut(id)?.json(self.request.form).to_owned()));
        Ok(tunnels.collect::<Vec<_>>().join(","))
    }

    fn delete(&self, account: &mut StoredAccount, mut tunnel: StoredTunnel) -> String {
        let deleted = !self.request.validate_only();
        if deleted {
            account.remove(tunnel.id());
        }
        let item = self.kind.names().item;
        format!("{{\"deleted\":{deleted},\"deleted_{item}\":{}}}", tunnel.json(self.request.form))
    }

    /// The key is in this response only; it is not stored.
    fn generate_psk(&mut self, tunnel: &mut StoredTunnel) -> String {
        if self.request.validate_only() {
            return json!({"ipsec_tunnel_id": tunnel.id()}).to_string();
        }
        tunnel.set_psk_time(self.now);
        let psk = Alphanumeric.sample_string(self.rng, 32);
        let metadata = json!({"last_generated_on": ApiTime(self.now.wall)});
        json!({"ipsec_tunnel_id": tunnel.id(), "psk": psk, "psk_metadata": metadata}).to_string()
    }

    fn parse_body(&self) -> OperationResult<Map<String, Value>> {
        match serde_json::from_slice(&self.request.body) {
            Ok(Value::Object(fields)) => Ok(fields),
            Ok(_) => Err(reject(BodyRule::Type, "", "the body must be an object")),
            Err(error) => Err(ErrorResponse::malformed_json(&error)),
        }
    }

    fn validate(&self, account: &StoredAccount, body: &Map<String, Value>, at: &str) -> OperationResult<ValidTunnel> {
        let form = Some(self.request.form);
        let context = ValidationContext { kind: self.kind, account: &account.id, strict: self.strict, form };
        validate::validate_body(context, body, at).map_err(ErrorResponse::invalid_body)
    }
}

fn reject(rule: BodyRule, pointer: &str, message: impl Into<String>) -> ErrorResponse {
    ErrorResponse::invalid_body(vec![rule.error(pointer, message)])
}

fn reject_if_any(errors: Vec<ApiError>) -> Result<(), ErrorResponse> {
    if errors.is_empty() { Ok(()) } else { Err(ErrorResponse::invalid_body(errors)) }
}
