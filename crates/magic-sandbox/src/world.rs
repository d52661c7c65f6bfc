//! All state behind the sandbox's lock, and the response to one API request.
//!
//! Nothing here does I/O except logging: the caller passes the time and the request, and sends the response.

use rand::rngs::StdRng;
use secrecy::SecretString;
use tracing::{debug, info};
use web_toolkit::clock::Moment;

use super::{
    faults::Faults,
    operations::{ApiOperation, OperationContext},
    request::{ApiRequest, CallLog},
    response::{ApiResponse, ErrorResponse},
    store::{Candidate, StoredAccount, StoredTunnel},
    story::{self, Story, StoryEvent, StoryPlayer, StoryStep},
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
}

impl Default for SandboxSettings {
    fn default() -> Self {
        Self { token: None, strict: false, tunnels: 0, story: Story::demo(), faults: Faults::default() }
    }
}

/// The state of the sandbox.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) accounts: Vec<StoredAccount>,
    pub(crate) faults: Faults,
    pub(crate) calls: CallLog,
    accepted: Option<SecretString>,
    strict: bool,
    player: StoryPlayer,
    rng: StdRng,
}

impl World {
    pub(crate) fn new(settings: SandboxSettings, now: Moment) -> Self {
        let SandboxSettings { token, strict, tunnels, story, faults } = settings;
        let mut accounts = Vec::with_capacity(story.accounts.len());
        for (position, initial) in story.accounts.iter().enumerate() {
            let mut account = StoredAccount::new(initial.id.clone(), initial.onboarded);
            let generated = if position == 0 { tunnels } else { 0 };
            let generated = story::generate_tunnels(&initial.id, generated);
            for tunnel in initial.tunnels.iter().cloned().chain(generated) {
                // A tunnel of the story takes precedence over a generated one of the same name.
                if account.find(&tunnel.spec.name).is_some() {
                    continue;
                }
                let valid = ValidTunnel { spec: tunnel.spec, psk: tunnel.psk };
                account.insert(StoredTunnel::new(tunnel.id.clone(), valid, now));
                if let Some(report) = tunnel.report {
                    account.set_report(&tunnel.id, report, now);
                }
            }
            accounts.push(account);
        }
        let player = StoryPlayer::new(story, now);
        let calls = CallLog::default();
        Self { accounts, faults, calls, accepted: token, strict, player, rng: rand::make_rng() }
    }

    pub(crate) fn find_account(&mut self, id: &str) -> Option<&mut StoredAccount> {
        self.accounts.iter_mut().find(|account| account.id == id)
    }

    /// Brings the story and the BGP sessions up to `now`.
    pub(crate) fn advance(&mut self, now: Moment) {
        while let Some(step) = self.player.next_step(now) {
            match step {
                StoryStep::Restart => self.restart_story(now),
                StoryStep::Event(event) => self.apply_event(*event, now),
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
        for (account, initial) in self.accounts.iter_mut().zip(&self.player.story.accounts) {
            for tunnel in &initial.tunnels {
                let candidate = Candidate { id: Some(&tunnel.id), spec: &tunnel.spec, at: "" };
                // A client may have given the tunnel's name to another tunnel; then the tunnel is not restored.
                if account.check(&[candidate]).is_empty() {
                    let valid = ValidTunnel { spec: tunnel.spec.clone(), psk: false };
                    account.apply(vec![(tunnel.id.clone(), valid)], |tunnel, initial| tunnel.replace(initial, now));
                }
                if let Some(report) = &tunnel.report {
                    account.set_report(&tunnel.id, report.clone(), now);
                }
            }
        }
    }

    fn apply_event(&mut self, event: StoryEvent, now: Moment) {
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
            // A client may have deleted the tunnel.
            let Some(spec) = account.get(&id).map(StoredTunnel::spec) else { return };
            match story::patch_tunnel(&account.id, spec, set) {
                Ok(valid) => account.apply(vec![(id.clone(), valid)], |tunnel, new| tunnel.replace(new, now)),
                Err(error) => debug!("story: {}: tunnel not changed: {}", event.name, error.message),
            }
        }
        if let Some(report) = event.report {
            account.set_report(&id, report, now);
        }
    }

    /// Responds to a request to the API. `path` is the path below the mount point.
    pub(crate) fn call_api(&mut self, request: &ApiRequest, path: &str, now: Moment) -> ApiResponse {
        let operation = ApiOperation::route(&request.method, path);
        let kind = operation.as_ref().ok().and_then(ApiOperation::kind);
        let faults = self.faults.match_request(kind, &request.method, &mut self.rng);
        let mut response = faults.replacement().unwrap_or_else(|| {
            let result = self.run_operation(operation, request, now);
            result.map_or_else(ApiResponse::from, |result| ApiResponse::success(&result))
        });
        faults.apply(&mut response);
        debug!(fault = faults.name(), "{} {}: {}", request.method, request.path, response.status.as_u16());
        self.calls.record(request, response.status, faults.name(), now);
        response
    }

    /// Checks the credentials first: without them even an unknown path is a 401, as in the real API.
    fn run_operation(
        &mut self,
        operation: Result<ApiOperation<'_>, ErrorResponse>,
        request: &ApiRequest,
        now: Moment,
    ) -> Result<String, ErrorResponse> {
        request.credentials.check(self.accepted.as_ref())?;
        let context = OperationContext { request, now, strict: self.strict, rng: &mut self.rng };
        operation?.run(&mut self.accounts, context)
    }
}

#[cfg(test)]
mod tests;
