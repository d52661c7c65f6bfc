//! The operations of the tunnels API: from method and path to an operation, and from an operation to its result.
//!
//! With `validate_only` all checks are made and nothing changes. The result then shows what would be, with `false` for
//! `modified` or `deleted`.

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
    response::{ApiError, ErrorResponse},
    spec::{ApiTime, TunnelKind},
    store::{self, Candidate, StoredAccount, StoredTunnel},
    validate::{self, BodyRule, ValidTunnel, ValidationContext},
};

/// Path prefix of the real API.
pub(crate) const MOUNT: &str = "/client/v4";

/// The result as JSON text, without the envelope.
pub(crate) type OperationResult = Result<String, ErrorResponse>;

/// One operation of the API.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ApiOperation<'a> {
    /// Path below [`MOUNT`].
    path: &'a str,
    /// `None` only for `/user/tokens/verify`.
    account: Option<&'a str>,
    action: ApiAction<'a>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ApiAction<'a> {
    VerifyToken,
    List(TunnelKind),
    Create(TunnelKind),
    UpdateMany(TunnelKind),
    Get(TunnelKind, &'a str),
    Update(TunnelKind, &'a str),
    Delete(TunnelKind, &'a str),
    GeneratePsk(&'a str),
}

impl<'a> ApiOperation<'a> {
    /// Finds the operation for a path below [`MOUNT`], or the error that the real API returns for an unknown path or
    /// method.
    pub(crate) fn route(method: &Method, path: &'a str) -> Result<Self, ErrorResponse> {
        let segments: Vec<&str> = path.split('/').collect();
        let wrong_method = |allow| Err(ErrorResponse::method_not_allowed(method, allow));
        let kind = |segment| TunnelKind::from_collection(segment).ok_or_else(|| ErrorResponse::no_route(path));
        let (account, action) = match *segments {
            ["", "user", "tokens", "verify"] => match *method {
                Method::GET => (None, ApiAction::VerifyToken),
                _ => return wrong_method("GET"),
            },
            ["", "accounts", account, "tokens", "verify"] => match *method {
                Method::GET => (Some(account), ApiAction::VerifyToken),
                _ => return wrong_method("GET"),
            },
            ["", "accounts", account, "magic", collection] => match (kind(collection)?, method) {
                (kind, &Method::GET) => (Some(account), ApiAction::List(kind)),
                (kind, &Method::POST) => (Some(account), ApiAction::Create(kind)),
                (kind, &Method::PUT) => (Some(account), ApiAction::UpdateMany(kind)),
                _ => return wrong_method("GET, POST, PUT"),
            },
            ["", "accounts", account, "magic", collection, id] => match (kind(collection)?, method) {
                (kind, &Method::GET) => (Some(account), ApiAction::Get(kind, id)),
                (kind, &Method::PUT) => (Some(account), ApiAction::Update(kind, id)),
                (kind, &Method::DELETE) => (Some(account), ApiAction::Delete(kind, id)),
                _ => return wrong_method("GET, PUT, DELETE"),
            },
            ["", "accounts", account, "magic", "ipsec_tunnels", id, "psk_generate"] => match *method {
                Method::POST => (Some(account), ApiAction::GeneratePsk(id)),
                _ => return wrong_method("POST"),
            },
            _ => return Err(ErrorResponse::no_route(path)),
        };
        Ok(Self { path, account, action })
    }

    /// The kind of tunnel that the operation reads or changes.
    pub(crate) const fn kind(&self) -> Option<TunnelKind> {
        match self.action {
            ApiAction::VerifyToken => None,
            ApiAction::List(kind)
            | ApiAction::Create(kind)
            | ApiAction::UpdateMany(kind)
            | ApiAction::Get(kind, _)
            | ApiAction::Update(kind, _)
            | ApiAction::Delete(kind, _) => Some(kind),
            ApiAction::GeneratePsk(_) => Some(TunnelKind::Ipsec),
        }
    }

    pub(crate) fn run(&self, accounts: &mut [StoredAccount], mut context: OperationContext<'_>) -> OperationResult {
        let Some(account) = self.account else { return Ok(verified_token()) };
        let account = self.find_account(accounts, account)?;
        match self.action {
            ApiAction::VerifyToken => Ok(verified_token()),
            ApiAction::List(kind) => Ok(context.list(account, kind)),
            ApiAction::Create(kind) => context.create(account, kind),
            ApiAction::UpdateMany(kind) => context.update_many(account, kind),
            ApiAction::Get(kind, id) => Ok(context.get(self.find_tunnel(account, kind, id)?)),
            ApiAction::Update(kind, id) => {
                self.find_tunnel(account, kind, id)?;
                context.update(account, kind, id)
            }
            ApiAction::Delete(kind, id) => {
                let tunnel = self.find_tunnel(account, kind, id)?.clone();
                Ok(context.delete(account, tunnel))
            }
            ApiAction::GeneratePsk(id) => Ok(context.generate_psk(self.find_tunnel(account, TunnelKind::Ipsec, id)?)),
        }
    }

    fn find_account<'s>(
        &self,
        accounts: &'s mut [StoredAccount],
        id: &str,
    ) -> Result<&'s mut StoredAccount, ErrorResponse> {
        self.check_id(id)?;
        match accounts.iter_mut().find(|account| account.id() == id) {
            Some(account) if account.onboarded() => Ok(account),
            Some(_) => Err(ErrorResponse::not_onboarded()),
            None => Err(ErrorResponse::no_access_to_account()),
        }
    }

    fn find_tunnel<'s>(
        &self,
        account: &'s mut StoredAccount,
        kind: TunnelKind,
        id: &str,
    ) -> Result<&'s mut StoredTunnel, ErrorResponse> {
        self.check_id(id)?;
        let tunnel = account.get_mut(id).filter(|tunnel| tunnel.spec().kind() == kind);
        tunnel.ok_or_else(|| ErrorResponse::no_such_tunnel(kind))
    }

    /// The API's gateway does not route malformed identifiers.
    fn check_id(&self, id: &str) -> Result<(), ErrorResponse> {
        if store::is_id(id) { Ok(()) } else { Err(ErrorResponse::no_route(self.path)) }
    }
}

fn verified_token() -> String {
    json!({"id": store::stable_id(&["token"]), "status": "active"}).to_string()
}

/// What an operation needs besides its account.
pub(crate) struct OperationContext<'a> {
    pub request: &'a ApiRequest,
    pub now: Moment,
    /// Interface addresses must be private.
    pub strict: bool,
    pub rng: &'a mut StdRng,
}

impl OperationContext<'_> {
    fn list(&self, account: &mut StoredAccount, kind: TunnelKind) -> String {
        format!("{{\"{}\":[{}]}}", kind.collection(), account.list_json(kind, self.request.form))
    }

    fn get(&self, tunnel: &mut StoredTunnel) -> String {
        let item = tunnel.spec().kind().item();
        format!("{{\"{item}\":{}}}", tunnel.json(self.request.form))
    }

    fn create(&mut self, account: &mut StoredAccount, kind: TunnelKind) -> OperationResult {
        let valid = self.validate(account, kind, &self.parse_body()?, "")?;
        reject_if_any(account.check(&[Candidate { id: None, spec: &valid.spec, at: "" }]))?;
        let id = format!("{:032x}", self.rng.random::<u128>());
        let mut tunnel = StoredTunnel::new(id, valid.spec, valid.psk, self.now);
        let json = tunnel.json(self.request.form).to_owned();
        if !self.request.validate_only() {
            account.insert(tunnel);
        }
        Ok(json)
    }

    fn update(&self, account: &mut StoredAccount, kind: TunnelKind, id: &str) -> OperationResult {
        let valid = self.validate(account, kind, &self.parse_body()?, "")?;
        reject_if_any(account.check(&[Candidate { id: Some(id), spec: &valid.spec, at: "" }]))?;
        let tunnels = self.apply(account, vec![(id.to_owned(), valid)]);
        let modified = !self.request.validate_only();
        Ok(format!("{{\"modified\":{modified},\"modified_{}\":{tunnels}}}", kind.item()))
    }

    fn update_many(&self, account: &mut StoredAccount, kind: TunnelKind) -> OperationResult {
        let body = self.parse_body()?;
        let collection = kind.collection();
        let updates = self.read_updates(account, kind, &body)?;
        let pointers: Vec<String> = (0..updates.len()).map(|position| format!("/{collection}/{position}")).collect();
        let candidates = updates.iter().zip(&pointers);
        let candidates: Vec<_> =
            candidates.map(|((id, valid), at)| Candidate { id: Some(id), spec: &valid.spec, at }).collect();
        reject_if_any(account.check(&candidates))?;
        let tunnels = self.apply(account, updates);
        let modified = !self.request.validate_only();
        Ok(format!("{{\"modified\":{modified},\"modified_{collection}\":[{tunnels}]}}"))
    }

    /// Id and new settings of every tunnel in the body of an update of many.
    fn read_updates(
        &self,
        account: &StoredAccount,
        kind: TunnelKind,
        body: &Map<String, Value>,
    ) -> Result<Vec<(String, ValidTunnel)>, ErrorResponse> {
        let collection = kind.collection();
        let pointer = format!("/{collection}");
        let list = match body.get(collection) {
            None | Some(Value::Null) => {
                return Err(reject(BodyRule::Required, &pointer, format!("{collection} is required")));
            }
            Some(Value::Array(list)) => list,
            Some(_) => return Err(reject(BodyRule::Type, &pointer, format!("{collection} must be a list"))),
        };
        let mut updates: Vec<(String, ValidTunnel)> = Vec::with_capacity(list.len());
        let mut errors = Vec::new();
        for (position, element) in list.iter().enumerate() {
            match self.read_update(account, kind, element, &format!("{pointer}/{position}")) {
                Ok((id, _)) if updates.iter().any(|(other, _)| *other == id) => {
                    let message = "the same tunnel occurs twice in one update";
                    errors.push(BodyRule::Duplicate.error(format!("{pointer}/{position}/id"), message));
                }
                Ok(update) => updates.push(update),
                Err(error) if error.status == StatusCode::NOT_FOUND => return Err(error),
                Err(error) => errors.extend(error.errors),
            }
        }
        reject_if_any(errors)?;
        Ok(updates)
    }

    /// One element of an update of many. `at` is its pointer.
    fn read_update(
        &self,
        account: &StoredAccount,
        kind: TunnelKind,
        element: &Value,
        at: &str,
    ) -> Result<(String, ValidTunnel), ErrorResponse> {
        let fields = element.as_object().ok_or_else(|| reject(BodyRule::Type, at, "must be an object"))?;
        let pointer = format!("{at}/id");
        let id = match fields.get("id") {
            None | Some(Value::Null) => return Err(reject(BodyRule::Required, &pointer, "id is required")),
            Some(id) => id.as_str().ok_or_else(|| reject(BodyRule::Type, &pointer, "id must be a string"))?,
        };
        if account.get(id).is_none_or(|tunnel| tunnel.spec().kind() != kind) {
            let mut error = ErrorResponse::no_such_tunnel(kind);
            error.errors.iter_mut().for_each(|error| error.pointer = Some(pointer.clone()));
            return Err(error);
        }
        Ok((id.to_owned(), self.validate(account, kind, fields, at)?))
    }

    /// Applies checked updates, to a copy with `validate_only`. Returns the tunnels, separated by commas.
    fn apply(&self, account: &mut StoredAccount, updates: Vec<(String, ValidTunnel)>) -> String {
        let ids: Vec<(String, bool)> = updates.iter().map(|(id, valid)| (id.clone(), valid.psk)).collect();
        let specs = updates.into_iter().map(|(id, valid)| (id, valid.spec)).collect();
        let mut preview;
        let account = if self.request.validate_only() {
            preview = account.clone();
            &mut preview
        } else {
            account
        };
        account.apply(specs, |tunnel, spec| tunnel.update(spec, self.now));
        let mut shown = Vec::with_capacity(ids.len());
        for (id, psk) in ids {
            let Some(tunnel) = account.get_mut(&id) else { continue };
            if psk {
                tunnel.set_psk_time(self.now);
            }
            shown.push(tunnel.json(self.request.form).to_owned());
        }
        shown.join(",")
    }

    fn delete(&self, account: &mut StoredAccount, mut tunnel: StoredTunnel) -> String {
        let deleted = !self.request.validate_only();
        if deleted {
            account.remove(tunnel.id());
        }
        let item = tunnel.spec().kind().item();
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

    fn parse_body(&self) -> Result<Map<String, Value>, ErrorResponse> {
        match serde_json::from_slice(&self.request.body) {
            Ok(Value::Object(fields)) => Ok(fields),
            Ok(_) => Err(reject(BodyRule::Type, "", "the body must be an object")),
            Err(error) => Err(ErrorResponse::malformed_json(&error)),
        }
    }

    fn validate(
        &self,
        account: &StoredAccount,
        kind: TunnelKind,
        body: &Map<String, Value>,
        at: &str,
    ) -> Result<ValidTunnel, ErrorResponse> {
        let form = Some(self.request.form);
        let context = ValidationContext { kind, account: account.id(), strict: self.strict, form };
        validate::validate_body(context, body, at).map_err(ErrorResponse::invalid_body)
    }
}

fn reject(rule: BodyRule, pointer: &str, message: impl Into<String>) -> ErrorResponse {
    ErrorResponse::invalid_body(vec![rule.error(pointer, message)])
}

fn reject_if_any(errors: Vec<ApiError>) -> Result<(), ErrorResponse> {
    if errors.is_empty() { Ok(()) } else { Err(ErrorResponse::invalid_body(errors)) }
}
