//! All state behind the sandbox's lock, and the response to one request: to the API or to a path below `/sandbox`.
//!
//! Nothing here does I/O except logging: the caller passes the time and the request, and sends the response.

mod control;

use std::{collections::BTreeSet, net::IpAddr, slice};

use hyper::StatusCode;
use rand::rngs::StdRng;
use secrecy::SecretString;
use tokio::sync::watch;
use tracing::{debug, info};
use web_toolkit::clock::Moment;

use super::{
    faults::{FaultCollection, Faults},
    graphql::{self, AnalyticsError, AnalyticsRequest, AnswerContext, Distortion, DocumentOperation},
    operations::{ApiOperation, MOUNT},
    request::{ApiRequest, CallLog, PresentedCredentials},
    response::{ApiResponse, ErrorResponse},
    store::{Candidate, StoredAccount, StoredTunnel},
    story::{self, AnalyticsLimits, Story, StoryAccount, StoryEvent, StoryPlayer, StoryStep, StoryTunnel},
    token::{TokenExpiry, TokenSettings, TokenState},
    validate::ValidTunnel,
};

/// What a sandbox is started with.
#[derive(Debug)]
pub struct SandboxSettings {
    /// The only accepted secret, either as bearer token or as key of an e-mail and key pair. `None` accepts any.
    pub token: Option<SecretString>,
    /// Reject interface addresses outside the private ranges. The API reference requires private ones, the live API
    /// does not.
    pub strict: bool,
    /// Number of generated tunnels in the first account of the story.
    pub tunnels: usize,
    pub story: Story,
    /// Faults in force from the start.
    pub faults: Faults,
    /// Expiry of the token; `None`: that of the story.
    pub token_expiry: Option<TokenExpiry>,
}

impl Default for SandboxSettings {
    fn default() -> Self {
        Self {
            token: None,
            strict: false,
            tunnels: 0,
            story: Story::demo(),
            faults: Faults::default(),
            token_expiry: None,
        }
    }
}

/// What a request to the API asks for.
enum ApiCall<'a> {
    Rest(ApiOperation<'a>),
    Graphql(AnalyticsRequest),
    /// An unknown path or method.
    Unknown(ErrorResponse),
    /// A document that the sandbox does not answer, or wrong variables.
    UnknownQuery(AnalyticsError),
}

impl<'a> ApiCall<'a> {
    /// `path` is the path below the mount point.
    fn route(request: &'a ApiRequest, path: &'a str) -> Self {
        if path != graphql::PATH {
            return ApiOperation::route(&request.method, path).map_or_else(Self::Unknown, Self::Rest);
        }
        match ErrorResponse::check_method(&request.method, "POST") {
            Ok(()) => AnalyticsRequest::parse(&request.body).map_or_else(Self::UnknownQuery, Self::Graphql),
            Err(error) => Self::Unknown(error),
        }
    }

    fn operation(&self) -> Option<DocumentOperation> {
        if let Self::Graphql(request) = self { Some(request.operation()) } else { None }
    }

    fn collection(&self) -> Option<FaultCollection> {
        match self {
            Self::Rest(operation) => Some(operation.section().into()),
            _ => self.operation().map(FaultCollection::from),
        }
    }
}

/// The state of the sandbox.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) accounts: Vec<StoredAccount>,
    pub(crate) faults: Faults,
    pub(crate) calls: CallLog,
    accepted: Option<SecretString>,
    initial_token: TokenSettings,
    token: TokenState,
    strict: bool,
    player: StoryPlayer,
    /// Addresses that the story has muted.
    muted: watch::Sender<BTreeSet<IpAddr>>,
    rng: StdRng,
}

impl World {
    pub(crate) fn new(settings: SandboxSettings, now: Moment) -> Self {
        let SandboxSettings { token: accepted, strict, tunnels, story, faults, token_expiry } = settings;
        let expires = token_expiry.or(story.token.expires);
        let initial_token = TokenSettings { expires, ..story.token };
        let token = TokenState::new(initial_token, now.wall);
        let mut accounts = Vec::with_capacity(story.accounts.len());
        for (position, initial) in story.accounts.iter().enumerate() {
            let mut account = StoredAccount::new(initial.id.clone(), initial.onboarded);
            account.analytics = initial.analytics;
            account.routes = initial.routes.created_at(now.wall);
            account.interconnects = initial.interconnects.created_at(now.wall);
            let generated = if position == 0 { tunnels } else { 0 };
            story::generate_routes(&initial.id, generated, now.wall).for_each(|route| account.routes.insert(route));
            let generated = story::generate_tunnels(&initial.id, generated);
            for StoryTunnel { id, valid, report, edge } in initial.tunnels.iter().cloned().chain(generated) {
                // A tunnel of the story takes precedence over a generated one of the same name.
                if account.find_mut(&valid.spec.name).is_some() {
                    continue;
                }
                let mut tunnel = StoredTunnel::new(id, valid, now).with_past(edge);
                if let Some(report) = report {
                    tunnel.set_report(report, now);
                }
                account.insert(tunnel);
            }
            accounts.push(account);
        }
        let player = StoryPlayer::new(story, now);
        let calls = CallLog::default();
        let (muted, rng) = (watch::Sender::default(), rand::make_rng());
        Self { accounts, faults, calls, accepted, initial_token, token, strict, player, muted, rng }
    }

    pub(crate) fn muted(&self) -> watch::Receiver<BTreeSet<IpAddr>> {
        self.muted.subscribe()
    }

    /// Brings the story and the BGP sessions up to `now`.
    pub(crate) fn advance(&mut self, now: Moment) {
        while let Some((due, step)) = self.player.next_step(now) {
            match step {
                StoryStep::Restart => self.restart_story(due),
                StoryStep::Event(event) => self.apply_event(*event, due),
            }
        }
        for account in &mut self.accounts {
            account.advance(now);
        }
    }

    /// Time of the next step of the story.
    pub(crate) fn due(&self) -> Option<Moment> {
        self.player.due()
    }

    fn restart_story(&mut self, now: Moment) {
        info!("story: restarting from the beginning");
        self.muted.send_replace(BTreeSet::new());
        if self.player.story.events.iter().any(|event| event.token.is_some()) {
            self.token = TokenState::new(self.initial_token, now.wall);
        }
        for (account, initial) in self.accounts.iter_mut().zip(&self.player.story.accounts) {
            account.routes.restore(&initial.routes, |_| false);
            let (interconnects, names) = account.interconnects_and_names();
            interconnects.restore(&initial.interconnects, |name| names.contains_key(name));
            for StoryTunnel { id, valid, report, edge } in &initial.tunnels {
                let valid = ValidTunnel { spec: valid.spec.clone(), psk: false };
                let candidate = Candidate { id: Some(id.clone()), valid, at: String::new() };
                // A client may have given the tunnel's name to another tunnel; then the tunnel is not restored.
                if account.check(slice::from_ref(&candidate)).is_empty() {
                    account.apply(vec![candidate], |tunnel, initial| tunnel.replace(initial, now));
                }
                let Some(tunnel) = account.get_mut(id) else { continue };
                tunnel.set_edge(edge.clone(), now.wall);
                if let Some(report) = report {
                    tunnel.set_report(report.clone(), now);
                }
            }
        }
    }

    fn apply_event(&mut self, event: StoryEvent, now: Moment) {
        self.log_event(&event);
        if !event.mute.is_empty() || !event.unmute.is_empty() {
            self.muted.send_modify(|muted| {
                muted.extend(&event.mute);
                muted.retain(|address| !event.unmute.contains(address));
            });
        }
        if let Some(faults) = event.faults {
            self.faults = faults;
        }
        if let Some(token) = event.token {
            self.token = TokenState::new(token, now.wall);
        }
        if let Some((item, account)) =
            event.item.as_ref().and_then(|item| Some((item, self.accounts.get_mut(item.account)?)))
        {
            item.apply(&mut account.routes, &mut account.interconnects)
                .unwrap_or_else(|error| debug!("story: not changed: {error}"));
        }
        let Some((position, id)) = event.tunnel else { return };
        let Some(account) = self.accounts.get_mut(position) else { return };
        let owner = account.id.clone();
        // A client may have deleted the tunnel.
        let Some(tunnel) = account.get_mut(&id) else { return };
        if let Some(set) = &event.set {
            match story::patch_tunnel(&owner, tunnel.spec(), set) {
                // A story cannot rename a tunnel, so the account's index of names stays valid.
                Ok(valid) => tunnel.replace(valid, now),
                Err(error) => debug!("story: {}: tunnel not changed: {}", event.name, error.message),
            }
        }
        if let Some(set) = &event.edge {
            match story::patch_edge(&tunnel.edge().current(), set) {
                Ok(state) => tunnel.set_edge(Some(state), now.wall),
                Err(error) => debug!("story: {}: edge not changed: {error}", event.name),
            }
        }
        if let Some(report) = event.report {
            tunnel.set_report(report, now);
        }
    }

    /// A tunnel has the same keys as in the log of the exporter.
    fn log_event(&self, StoryEvent { tunnel, name, say, .. }: &StoryEvent) {
        let known = tunnel.as_ref().and_then(|(position, id)| {
            let account = self.player.story.accounts.get(*position)?;
            Some((account, account.tunnels.iter().find(|tunnel| tunnel.id == *id)?))
        });
        let Some((StoryAccount { name: account, .. }, StoryTunnel { id, valid, .. })) = known else {
            return info!("story: {say}");
        };
        let tunnel_type = valid.spec.kind().names().short;
        info!(account, tunnel_type, tunnel_id = id, tunnel_name = name, "story: {name}: {say}");
    }

    pub(crate) fn respond(&mut self, request: &ApiRequest, now: Moment) -> ApiResponse {
        self.advance(now);
        match request.path.strip_prefix(MOUNT) {
            Some(path) => self.call_api(request, path, now),
            None => match self.control(request, now) {
                Ok(body) => ApiResponse::json(StatusCode::OK, &body),
                Err(error) => error.into(),
            },
        }
    }

    /// Responds to a request to the API. `path` is the path below the mount point.
    fn call_api(&mut self, request: &ApiRequest, path: &str, now: Moment) -> ApiResponse {
        let call = ApiCall::route(request, path);
        let operation = call.operation().map(DocumentOperation::name);
        let faults = self.faults.match_request(call.collection(), &request.method, &mut self.rng);
        let mut response = faults.replacement().unwrap_or_else(|| {
            // Without valid credentials even an unknown path is a 401, as in the real API.
            match self.check_credentials(&call, request, now) {
                Ok(()) => self.run(call, request, faults.distortion(), now),
                Err(error) => error.into(),
            }
        });
        faults.apply(&mut response);
        debug!(fault = faults.name(), "{} {}: {}", request.method, request.path, response.status.as_u16());
        self.calls.record(request, operation, response.status, faults.name(), now);
        response
    }

    /// The verification answers with its own error, and for a token that is not active, too.
    fn check_credentials(&self, call: &ApiCall<'_>, request: &ApiRequest, now: Moment) -> Result<(), ErrorResponse> {
        let checked = request.credentials.check(self.accepted.as_ref());
        let is_token = matches!(request.credentials, PresentedCredentials::Token(_));
        if call.collection() == Some(FaultCollection::Token) && is_token {
            return checked.map_err(|_| ErrorResponse::invalid_token());
        }
        checked?;
        if is_token && !self.token.is_active(now.wall) { Err(ErrorResponse::authentication()) } else { Ok(()) }
    }

    /// Carries out a request with valid credentials.
    fn run(&mut self, call: ApiCall<'_>, request: &ApiRequest, distortion: Distortion, now: Moment) -> ApiResponse {
        match call {
            ApiCall::Rest(operation) => {
                let response = operation.run(&mut self.accounts, self.token, request, now, self.strict, &mut self.rng);
                response.unwrap_or_else(ApiResponse::from)
            }
            ApiCall::Graphql(query) => {
                let AnalyticsLimits { delay, page_size } = self.player.story.analytics;
                let context = AnswerContext { now: now.wall, delay, page_size, distortion };
                match query.answer(&self.accounts, &context) {
                    Ok(body) => ApiResponse::new(StatusCode::OK, "application/json", body),
                    Err(error) => error.into(),
                }
            }
            ApiCall::Unknown(error) => error.into(),
            ApiCall::UnknownQuery(error) => AnalyticsError { timestamp: Some(now.wall), ..error }.into(),
        }
    }
}

#[cfg(test)]
mod tests;
