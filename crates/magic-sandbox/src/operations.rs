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
    items::{self, ItemCall, ItemKind},
    request::ApiRequest,
    response::{ApiResponse, BodyRule, ErrorResponse},
    spec::{ApiTime, TunnelKind},
    store::{self, Candidate, StoredAccount, StoredTunnel},
    token::{TokenOwner, TokenState},
    validate::{self, ValidTunnel, ValidationContext},
};

/// Path prefix of the real API.
pub(crate) const MOUNT: &str = "/client/v4";

/// By default, the result as JSON text without the envelope.
pub(crate) type OperationResult<T = String> = Result<T, ErrorResponse>;

/// The part of the API that an operation belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ApiSection {
    Token,
    Items(ItemKind),
    Tunnels(TunnelKind),
}

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
    /// A collection of routes or interconnects.
    Items(ItemKind),
    Item(ItemKind, &'a str),
    Collection(TunnelKind),
    Tunnel(TunnelKind, &'a str),
    PskGenerator(&'a str),
}

impl ApiResource<'_> {
    const fn methods(self) -> &'static str {
        match self {
            Self::TokenStatus => "GET",
            Self::Items(ItemKind::Route) => "GET, POST, PUT, DELETE",
            // Interconnects are created and deleted by another API.
            Self::Items(ItemKind::Interconnect) | Self::Item(ItemKind::Interconnect, _) => "GET, PUT",
            Self::Collection(_) => "GET, POST, PUT",
            Self::Tunnel(..) | Self::Item(ItemKind::Route, _) => "GET, PUT, DELETE",
            Self::PskGenerator(_) => "POST",
        }
    }
}

impl<'a> ApiOperation<'a> {
    /// Finds the operation for a path below [`MOUNT`], or the error that the real API returns for an unknown path or
    /// method.
    pub(crate) fn route(method: &'a Method, path: &'a str) -> Result<Self, ErrorResponse> {
        let segments: Vec<&str> = path.split('/').collect();
        let items = ItemKind::from_collection;
        let kind = |segment| TunnelKind::from_collection(segment).ok_or_else(|| ErrorResponse::no_route(path));
        let (account, resource) = match *segments {
            ["", "user", "tokens", "verify"] => (None, ApiResource::TokenStatus),
            ["", "accounts", account, "tokens", "verify"] => (Some(account), ApiResource::TokenStatus),
            ["", "accounts", account, "magic", collection] => match items(collection) {
                Some(kind) => (Some(account), ApiResource::Items(kind)),
                None => (Some(account), ApiResource::Collection(kind(collection)?)),
            },
            ["", "accounts", account, "magic", collection, id] => match items(collection) {
                Some(kind) => (Some(account), ApiResource::Item(kind, id)),
                None => (Some(account), ApiResource::Tunnel(kind(collection)?, id)),
            },
            ["", "accounts", account, "magic", "ipsec_tunnels", id, "psk_generate"] => {
                (Some(account), ApiResource::PskGenerator(id))
            }
            _ => return Err(ErrorResponse::no_route(path)),
        };
        ErrorResponse::check_method(method, resource.methods())?;
        Ok(Self { method, path, account, resource })
    }

    pub(crate) const fn section(&self) -> ApiSection {
        match self.resource {
            ApiResource::TokenStatus => ApiSection::Token,
            ApiResource::Items(kind) | ApiResource::Item(kind, _) => ApiSection::Items(kind),
            ApiResource::Collection(kind) | ApiResource::Tunnel(kind, _) => ApiSection::Tunnels(kind),
            ApiResource::PskGenerator(_) => ApiSection::Tunnels(TunnelKind::Ipsec),
        }
    }

    /// With `strict`, interface addresses must be private.
    pub(crate) fn run(
        &self,
        accounts: &mut [StoredAccount],
        token: TokenState,
        request: &ApiRequest,
        now: Moment,
        strict: bool,
        rng: &mut StdRng,
    ) -> OperationResult<ApiResponse> {
        let account = self.account.map(|id| self.find_account(accounts, id)).transpose()?;
        let (account, kind) = match (self.section(), account) {
            (ApiSection::Token, account) => {
                let owner = if account.is_some() { TokenOwner::Account } else { TokenOwner::User };
                return Ok(token.verify(owner, now.wall));
            }
            (_, None) => return Err(ErrorResponse::no_route(self.path)),
            (_, Some(account)) if !account.onboarded => return Err(ErrorResponse::not_onboarded()),
            (ApiSection::Items(kind), Some(account)) => {
                let result = self.run_on_items(kind, account, request, (now, strict), rng);
                return result.map(|result| ApiResponse::success(&result));
            }
            (ApiSection::Tunnels(kind), Some(account)) => (account, kind),
        };
        let context = OperationContext { request, kind, now, strict, rng };
        self.run_on_tunnels(context, account).map(|result| ApiResponse::success(&result))
    }

    fn run_on_items(
        &self,
        kind: ItemKind,
        account: &mut StoredAccount,
        request: &ApiRequest,
        (now, strict): (Moment, bool),
        rng: &mut StdRng,
    ) -> OperationResult {
        let id = if let ApiResource::Item(_, id) = self.resource { Some(id) } else { None };
        id.map_or(Ok(()), |id| self.check_id(id))?;
        let call = |is_taken| ItemCall { request, id, now, strict, is_taken };
        match kind {
            ItemKind::Route => call(&|_| false).run(&mut account.routes, rng),
            ItemKind::Interconnect => {
                let (interconnects, names) = account.interconnects_and_names();
                call(&|name| names.contains_key(name)).run(interconnects, rng)
            }
        }
    }

    fn run_on_tunnels(&self, mut context: OperationContext<'_>, account: &mut StoredAccount) -> OperationResult {
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
        accounts.iter_mut().find(|account| account.id == id).ok_or_else(ErrorResponse::no_access_to_account)
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
        let valid = self.validate(account, &self.request.object_body()?, "")?;
        let candidate = Candidate { id: None, valid, at: String::new() };
        ErrorResponse::check_body(account.check(slice::from_ref(&candidate)))?;
        let mut tunnel = StoredTunnel::new(format!("{:032x}", self.rng.random::<u128>()), candidate.valid, self.now);
        let json = tunnel.json(self.request.form).to_owned();
        if !self.request.validate_only() {
            account.insert(tunnel);
        }
        Ok(json)
    }

    fn update(&self, account: &mut StoredAccount, id: &str) -> OperationResult {
        let valid = self.validate(account, &self.request.object_body()?, "")?;
        let updates = vec![Candidate { id: Some(id.to_owned()), valid, at: String::new() }];
        let (modified, tunnels) = (!self.request.validate_only(), self.apply(account, updates)?);
        Ok(format!("{{\"modified\":{modified},\"modified_{}\":{tunnels}}}", self.kind.names().item))
    }

    fn update_many(&self, account: &mut StoredAccount) -> OperationResult {
        let updates = self.read_updates(account, &self.request.object_body()?)?;
        let (modified, tunnels) = (!self.request.validate_only(), self.apply(account, updates)?);
        Ok(format!("{{\"modified\":{modified},\"modified_{}\":[{tunnels}]}}", self.kind.names().collection))
    }

    /// Reads and validates the body of an update of many.
    fn read_updates(&self, account: &StoredAccount, body: &Map<String, Value>) -> OperationResult<Vec<Candidate>> {
        let collection = self.kind.names().collection;
        let (pointer, list) = items::listed(body, collection)?;
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
        ErrorResponse::check_body(errors)?;
        Ok(updates)
    }

    /// Reads one element of an update of many. `at` is its pointer.
    fn read_update(&self, account: &StoredAccount, element: &Value, at: String) -> OperationResult<Candidate> {
        let (fields, id) = items::identified(element, &at)?;
        let pointer = format!("{at}/id");
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
        ErrorResponse::check_body(account.check(&updates))?;
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

    fn validate(&self, account: &StoredAccount, body: &Map<String, Value>, at: &str) -> OperationResult<ValidTunnel> {
        let form = Some(self.request.form);
        let context = ValidationContext { kind: self.kind, account: &account.id, strict: self.strict, form };
        validate::validate_body(context, body, at).map_err(ErrorResponse::invalid_body)
    }
}
