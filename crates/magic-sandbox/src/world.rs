//! Everything behind the sandbox's one lock, and the answer to one request.
//!
//! Pure but for the log: the caller brings the time and the request, and delivers the answer.

use hyper::{Method, body::Bytes};
use rand::rngs::StdRng;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::json;
use tracing::{debug, info};
use web_toolkit::clock::Moment;

use super::{
    calls::{Calls, Entry},
    faults::{Delivery, Faults},
    kind::Form,
    operations::{Outcome, Turn as ApiTurn},
    reply::{Refusal, Reply},
    route::{self, MOUNT, Operation, Route},
    settings::Settings,
    store::{Account, Candidate},
    story::{self, Event, Player, Story, Turn},
    tunnel::Tunnel,
};

/// One request, read to its end. Not `Debug`: bodies carry keys.
pub(super) struct Call {
    pub method: Method,
    pub path: String,
    pub query: String,
    pub credentials: Credentials,
    pub form: Form,
    pub body: Bytes,
}

/// How a request says who it is from.
#[derive(Debug)]
pub(super) enum Credentials {
    None,
    /// An `Authorization` header that cannot be one.
    Malformed,
    Token(SecretString),
    /// `X-Auth-Email` and `X-Auth-Key`, both there.
    Key(SecretString),
}

impl Credentials {
    const fn name(&self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Malformed => "malformed",
            Self::Token(_) => "token",
            Self::Key(_) => "key",
        }
    }

    /// Where no secret is set, any that is not empty will do.
    fn check(&self, accepted: Option<&SecretString>) -> Result<(), Refusal> {
        let given = match self {
            Self::None => return Err(Refusal::authentication()),
            Self::Malformed => return Err(Refusal::malformed_token()),
            Self::Token(secret) | Self::Key(secret) => secret.expose_secret(),
        };
        let right = accepted.map_or(!given.is_empty(), |accepted| accepted.expose_secret() == given);
        if right { Ok(()) } else { Err(Refusal::authentication()) }
    }
}

/// What to send, when, and how.
pub(super) struct Answer {
    pub reply: Reply,
    pub latency: std::time::Duration,
    pub delivery: Delivery,
}

impl From<Reply> for Answer {
    fn from(reply: Reply) -> Self {
        Self { reply, latency: std::time::Duration::ZERO, delivery: Delivery::Whole }
    }
}

/// The state of the sandbox.
#[derive(Debug)]
pub(super) struct World {
    pub(super) accounts: Vec<Account>,
    pub(super) faults: Faults,
    pub(super) calls: Calls,
    accepted: Option<SecretString>,
    strict: bool,
    story: Story,
    player: Player,
    rng: StdRng,
}

impl World {
    pub(super) fn new(settings: Settings, now: Moment) -> Self {
        let player = Player::new(&settings.story, now);
        let mut world = Self {
            accounts: Vec::new(),
            faults: settings.faults,
            calls: Calls::default(),
            accepted: settings.token,
            strict: settings.strict,
            story: settings.story,
            player,
            rng: rand::make_rng(),
        };
        world.set_the_scene(settings.tunnels, now);
        world
    }

    fn set_the_scene(&mut self, generated: usize, now: Moment) {
        for plan in &self.story.accounts {
            let mut account = Account::new(plan.id.clone(), plan.onboarded);
            for plan in &plan.tunnels {
                let mut tunnel = Tunnel::new(plan.id.clone(), plan.config.clone(), now);
                if plan.psk {
                    tunnel.psk_was_set(now);
                }
                account.insert(tunnel);
                if let Some(report) = &plan.report {
                    account.follow(&plan.id, report.clone(), now);
                }
            }
            self.accounts.push(account);
        }
        if let Some(first) = self.accounts.first_mut() {
            super::generate::tunnels(first, generated, now);
        }
    }

    /// Brings everything up to `now`: the story, and the sessions that live by themselves.
    pub(super) fn advance(&mut self, now: Moment) {
        while let Some(turn) = self.player.next(now) {
            match turn {
                Turn::Restart => self.restart(now),
                Turn::Event(event) => self.happen(*event, now),
            }
        }
        for account in &mut self.accounts {
            account.advance(now);
        }
    }

    /// When the story goes on.
    pub(super) fn due(&self) -> Option<Moment> {
        self.player.due()
    }

    fn restart(&mut self, now: Moment) {
        info!("story: it begins again");
        for (account, plan) in self.accounts.iter_mut().zip(&self.story.accounts) {
            for plan in &plan.tunnels {
                let candidate = Candidate { id: Some(&plan.id), config: &plan.config, at: "" };
                // Somebody may have deleted the tunnel or given its name to another; then it stays so.
                if account.check(&[candidate]).is_empty() {
                    account.apply(vec![(plan.id.clone(), plan.config.clone())], Tunnel::replace);
                }
                if let Some(report) = &plan.report {
                    account.follow(&plan.id, report.clone(), now);
                }
            }
        }
    }

    fn happen(&mut self, event: Event, now: Moment) {
        match event.name.as_str() {
            "" => info!("story: {}", event.say),
            name => info!(tunnel.name = name, "story: {name}: {}", event.say),
        }
        if let Some(faults) = event.faults {
            self.faults = faults;
        }
        let Some((position, id)) = event.tunnel else { return };
        let Some(account) = self.accounts.get_mut(position) else { return };
        if let Some(set) = &event.set {
            let Some(config) = account.get(&id).map(Tunnel::config) else { return };
            match story::patched(account.id(), config, set) {
                Ok(draft) => account.apply(vec![(id.clone(), draft.config)], |tunnel, config| {
                    tunnel.replace(config);
                    if draft.psk {
                        tunnel.psk_was_set(now);
                    }
                }),
                Err(error) => debug!("story: {}: left as it is: {}", event.name, error.message),
            }
        }
        if let Some(report) = event.report {
            account.follow(&id, report, now);
        }
    }

    pub(super) fn answer(&mut self, call: &Call, now: Moment) -> Answer {
        self.advance(now);
        match route::route(&call.method, &call.path) {
            Ok(Route::Control(control)) => self.control(&control, &call.body, now).unwrap_or_else(Reply::from).into(),
            Ok(Route::Api(operation)) => self.api(Ok(operation), call, now),
            Err(refusal) if call.path.starts_with(MOUNT) => self.api(Err(refusal), call, now),
            Err(refusal) => Reply::from(refusal).into(),
        }
    }

    fn api(&mut self, operation: Result<Operation<'_>, Refusal>, call: &Call, now: Moment) -> Answer {
        let kind = operation.as_ref().ok().and_then(Operation::kind);
        let strike = self.faults.strike(kind, &call.method, &mut self.rng);
        let mut reply = strike.instead().unwrap_or_else(|| {
            let credentials = call.credentials.check(self.accepted.as_ref());
            let result = credentials.and(operation).and_then(|operation| self.operate(&operation, call, now));
            result.map_or_else(Reply::from, |result| Reply::result(&result))
        });
        strike.spoil(&mut reply);
        debug!(fault = strike.name(), "{} {}: {}", call.method, call.path, reply.status.as_u16());
        self.calls.record(Entry {
            at: now.wall,
            method: call.method.to_string(),
            path: call.path.clone(),
            query: call.query.clone(),
            credentials: call.credentials.name(),
            object_targets: call.form == Form::Object,
            status: reply.status.as_u16(),
            fault: strike.name(),
        });
        Answer { reply, latency: strike.latency, delivery: strike.delivery() }
    }

    fn operate(&mut self, operation: &Operation<'_>, call: &Call, now: Moment) -> Outcome {
        let path = call.path.strip_prefix(MOUNT).unwrap_or(&call.path);
        let mut turn = ApiTurn {
            now,
            form: call.form,
            strict: self.strict,
            validate_only: call.query.split('&').any(|pair| pair == "validate_only=true"),
            body: &call.body,
            rng: &mut self.rng,
        };
        let accounts = &mut self.accounts;
        match *operation {
            Operation::VerifyToken(account) => {
                if let Some(id) = account {
                    reach(accounts, id, path)?;
                }
                Ok(json!({"id": story::id(&["token"]), "status": "active"}).to_string())
            }
            Operation::List(account, kind) => Ok(turn.list(reach(accounts, account, path)?, kind)),
            Operation::Create(account, kind) => turn.create(reach(accounts, account, path)?, kind),
            Operation::UpdateMany(account, kind) => turn.update_many(reach(accounts, account, path)?, kind),
            Operation::Get(account, kind, id) => turn.get(reach(accounts, account, path)?, kind, shaped(id, path)?),
            Operation::Update(account, kind, id) => {
                turn.update(reach(accounts, account, path)?, kind, shaped(id, path)?)
            }
            Operation::Delete(account, kind, id) => {
                turn.delete(reach(accounts, account, path)?, kind, shaped(id, path)?)
            }
            Operation::GeneratePsk(account, id) => {
                turn.generate_psk(reach(accounts, account, path)?, shaped(id, path)?)
            }
        }
    }
}

/// The account of a request to the API.
fn reach<'a>(accounts: &'a mut [Account], id: &str, path: &str) -> Result<&'a mut Account, Refusal> {
    let id = shaped(id, path)?;
    match accounts.iter_mut().find(|account| account.id() == id) {
        Some(account) if account.onboarded() => Ok(account),
        Some(_) => Err(Refusal::not_onboarded()),
        None => Err(Refusal::account()),
    }
}

/// An identifier that the API's gateway lets through.
fn shaped<'a>(id: &'a str, path: &str) -> Result<&'a str, Refusal> {
    if is_id(id) { Ok(id) } else { Err(Refusal::route(path)) }
}

/// 32 hex digits.
pub(super) fn is_id(text: &str) -> bool {
    text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests;
