//! The command `check`: tests everything that `serve` needs, and suggests a fix for each problem.
//!
//! Changes nothing and leaves no socket open.

mod edge;
mod findings;
mod hub;
mod listen;
mod result;
mod routes;
mod rules;

use std::{collections::BTreeMap, path::Path, sync::Arc};

use anyhow::Context as _;
use jiff::{SignedDuration, Timestamp, Unit};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use web_toolkit::{
    clock::{self, Moment},
    server::tls::Validity,
    web_file::WebFile,
};

pub use self::result::{CheckResult, CheckStatus};
use self::{
    findings::check_findings,
    listen::check_listen_addresses,
    result::CheckSubject,
    rules::{TunnelsOfAccount, describe_sites, find_useless_rules, leave_out_every_tunnel},
};
use super::exporter::account_count;
use crate::{
    cloudflare::{self, ApiCredentials, ApiFailure, Client, TokenInfo, TunnelListing, VerifiedStatus},
    config::{Config, StateLocation},
    domain::{
        dataset::{Dataset, FailureReason},
        inventory::RejectedMembers,
        label::Label as _,
        tunnel::TunnelType,
    },
    exposition,
    poller::ApiAccount,
    prober::{self, settings::ProbeSettings},
    state::{self, StateProblem},
};

/// A certificate or token that expires within this time causes a warning.
const EXPIRES_SOON: SignedDuration = SignedDuration::from_hours(14 * 24);

/// Largest clock difference without a warning. A larger one distorts the ages and times on the page.
const MAX_SKEW: SignedDuration = SignedDuration::from_secs(30);

/// What is checked.
#[derive(Debug, Clone, Copy, Default)]
pub struct CheckScope {
    /// Whether the results include the findings on the configuration of the tunnels.
    pub findings: bool,
    /// Only what needs no network and no socket: the configuration and the files that it names.
    pub offline: bool,
}

/// Runs the checks, in the order in which `serve` depends on them. Takes as long as the slowest account.
///
/// # Errors
/// `stop` was cancelled first, or TLS for the API cannot be set up.
pub async fn run_checks(
    config: Config,
    scope: CheckScope,
    stop: CancellationToken,
) -> anyhow::Result<Vec<CheckResult>> {
    let mut results = vec![check_configuration(&config, scope)];
    results.extend(check_secrets(&config));
    if !scope.offline {
        results.extend(tokio::select! {
            () = stop.cancelled() => anyhow::bail!("stopped before all checks were done"),
            results = check_environment(&config, scope) => results?,
        });
    }
    results.extend(check_web_file(config.web.access.as_ref(), clock::now().wall));
    Ok(results)
}

/// Checks what needs the network, sockets or the state directory.
async fn check_environment(config: &Config, scope: CheckScope) -> anyhow::Result<Vec<CheckResult>> {
    let mut results = check_accounts(config, scope.findings).await?;
    if let Some(settings) = &config.inventory {
        results.extend(hub::check_hubs(settings).await);
    }
    results.extend(check_icmp_sockets(&config.probe));
    results.push(check_state(config.state.as_ref(), clock::now()));
    results.extend(check_listen_addresses(&config.web).await);
    Ok(results)
}

fn check_configuration(config: &Config, scope: CheckScope) -> CheckResult {
    let source = config.file.as_deref().map_or("flags and environment".to_owned(), |file| format!("`{file}`"));
    let rest = if scope.offline { "; offline, so that only files are tested" } else { "" };
    CheckResult::ok(CheckSubject::Configuration, format!("{source}, {}{rest}", account_count(config)))
}

/// Checks every file with a secret once.
fn check_secrets(config: &Config) -> Vec<CheckResult> {
    let files = config.accounts.iter().filter_map(|account| account.account.credentials.secret().file());
    let of_agent = config.inventory.iter().filter_map(|hub| hub.credentials.as_ref()?.secret().file());
    let files: BTreeMap<_, _> = files.chain(of_agent).collect();
    if files.is_empty() && config.inventory.is_some() {
        return vec![CheckResult::ok(CheckSubject::Secret, "none is sent to the hub")];
    }
    if files.is_empty() {
        return vec![CheckResult::ok(CheckSubject::Secret, "read from the environment")];
    }
    let check = |(path, world_readable): (&Path, bool)| {
        let path = path.display();
        if !world_readable {
            return CheckResult::ok(CheckSubject::Secret, format!("`{path}` can be read"));
        }
        CheckResult::ok(CheckSubject::Secret, format!("`{path}` can be read by every user of this machine"))
            .warn(format!("run `chmod o-r {path}`"))
    };
    files.into_iter().map(check).collect()
}

/// Checks all accounts in parallel, and then the rules about their tunnels. The results keep the order of the accounts.
async fn check_accounts(config: &Config, findings: bool) -> anyhow::Result<Vec<CheckResult>> {
    // The registry is dropped, because these metrics are not scraped.
    let metrics = cloudflare::Metrics::register(&mut exposition::registry());
    let mut checks = JoinSet::new();
    for (index, account) in config.accounts.iter().enumerate() {
        let settings = cloudflare::ClientSettings { url: account.url.clone(), timeout: config.poll.timeout };
        let client = Client::new(&settings, metrics.clone())?;
        let edge = config.edge_of(account);
        let (with_routes, interconnects) = (config.routes.is_some(), config.interconnects);
        let account = account.account.clone();
        checks.spawn(async move {
            let (mut results, lists) = check_account(&client, &account, interconnects).await;
            if with_routes {
                results.push(routes::check(&client, &account, &lists).await);
            }
            if let Some(settings) = edge {
                results.extend(edge::check(&client, &account, &settings).await);
            }
            (index, (results, lists))
        });
    }
    let mut accounts = BTreeMap::new();
    while let Some(checked) = checks.join_next().await {
        accounts.extend([checked.context("a check failed")?]);
    }
    let (results, lists): (Vec<_>, Vec<_>) = accounts.into_values().unzip();
    let lists = lists.concat();
    let mut results: Vec<_> = results.into_iter().flatten().chain(check_rules(config, &lists)).collect();
    if findings {
        results.extend(check_findings(config, &lists, clock::now().wall));
    }
    Ok(results)
}

/// A warning for each rule that matches no tunnel, and if no tunnel is left, and the number of sites.
fn check_rules(config: &Config, lists: &[TunnelsOfAccount]) -> Vec<CheckResult> {
    let ok = |message: String| CheckResult::ok(CheckSubject::Configuration, message);
    let useless = find_useless_rules(config, lists).into_iter().map(|rule| ok(rule.to_string()).warn(rule.remedy()));
    let all_left_out = leave_out_every_tunnel(config, lists)
        .map(|message| ok(message).warn("correct the patterns, which have to match whole names, or remove them"));
    useless.chain(all_left_out).chain(describe_sites(config, lists).map(ok)).collect()
}

/// Checks the token, the clock and the permission to read each list. Sends one request for each list, and one for the
/// token, or two if the token belongs to the account instead of a user.
async fn check_account(
    client: &Client,
    account: &ApiAccount,
    interconnects: bool,
) -> (Vec<CheckResult>, Vec<TunnelsOfAccount>) {
    let (credentials, _) = account.credentials.credentials();
    let verified = client.verify_any_token(&credentials, &account.id).await;
    let mut results = vec![match credentials {
        ApiCredentials::Token(_) => check_token(&verified.token, clock::now().wall),
        ApiCredentials::Key { .. } => {
            CheckResult::ok(CheckSubject::Token, "an API key; it does not expire and has all permissions of its user")
                .warn("use a token; `Magic WAN Read` or `Magic Transit Read` is sufficient")
        }
    }];
    results.extend(verified.ahead.map(check_clock));
    let mut lists = Vec::new();
    let is_polled = |of: &&TunnelType| interconnects || **of != TunnelType::Interconnect;
    for &tunnel_type in TunnelType::ALL.iter().filter(is_polled) {
        let listing = client.list_tunnels(&credentials, account.in_requests(), tunnel_type, Arc::default()).await;
        results.push(check_permission(tunnel_type.dataset(), listing.as_ref()));
        let tunnels = listing.map(|listing| listing.tunnels);
        lists.extend(tunnels.map(|tunnels| TunnelsOfAccount { account: account.name.clone(), tunnel_type, tunnels }));
    }
    (results.into_iter().map(|result| result.for_account(account.name.as_str())).collect(), lists)
}

fn check_token(token: &Result<TokenInfo, ApiFailure>, now: Timestamp) -> CheckResult {
    let ok = |message: String| CheckResult::ok(CheckSubject::Token, message);
    let token = match token {
        Ok(token) => token,
        Err(failure) if failure.reason == FailureReason::Auth => {
            return ok(format!("the API rejects the token ({failure})"))
                .fail("create a new token, and store it where the exporter reads it");
        }
        Err(failure) => return ok(format!("the token cannot be verified ({failure})")).fail(failure.remedy()),
    };
    match (token.status, token.expires_on) {
        (VerifiedStatus::Active, None) => ok("active, does not expire".into()),
        (VerifiedStatus::Active, Some(end)) if end <= now => {
            ok(format!("expired at {}", to_second(end))).fail("create a new token, or extend this one")
        }
        (VerifiedStatus::Active, Some(end)) if end.duration_since(now) < EXPIRES_SOON => {
            ok(format!("active, expires at {}", to_second(end)))
                .warn("create a new token before that; the exporter uses it without a restart")
        }
        (VerifiedStatus::Active, Some(end)) => ok(format!("active, expires at {}", to_second(end))),
        (status, _) => {
            ok(format!("the API reports that the token is {status}")).fail("create a new token, or enable this one")
        }
    }
}

fn check_clock(ahead: SignedDuration) -> CheckResult {
    let message = match ahead.as_secs() {
        0 => "clock is in sync with the API".to_owned(),
        seconds @ 1.. => format!("clock is {seconds} s ahead of the API"),
        seconds @ ..0 => format!("clock is {} s behind the API", -seconds),
    };
    let result = CheckResult::ok(CheckSubject::Clock, message);
    if ahead.abs() <= MAX_SKEW {
        return result;
    }
    result.warn("synchronize the clock with NTP; ages and times on the page depend on it")
}

fn check_permission(dataset: Dataset, listing: Result<&TunnelListing, &ApiFailure>) -> CheckResult {
    let ok = |message: String| CheckResult::ok(CheckSubject::Permission, message);
    match listing {
        Ok(TunnelListing { tunnels, rejected, .. }) => {
            let noun = if dataset == Dataset::Interconnects { "interconnect" } else { "tunnel" };
            let plural = if tunnels.len() == 1 { "" } else { "s" };
            let message = format!("{dataset} can be read: {} {noun}{plural}", tunnels.len());
            check_rejected(ok(message), rejected)
        }
        Err(failure) => {
            let fix = match failure.reason {
                FailureReason::Auth => "the token needs `Magic WAN Read` or `Magic Transit Read` on this account",
                _ => failure.remedy(),
            };
            let result = ok(format!("{dataset} cannot be read ({failure})"));
            if dataset.is_addition() { result.warn(dataset.remedy(failure.reason)) } else { result.fail(fix) }
        }
    }
}

/// Adds a warning if members of the list cannot be decoded.
fn check_rejected(result: CheckResult, rejected: &RejectedMembers) -> CheckResult {
    if rejected.total() == 0 {
        return result;
    }
    let first: Vec<String> = rejected.first().iter().map(ToString::to_string).collect();
    let message = format!("{}, and {} members that cannot be decoded: {rejected}", result.message, rejected.total());
    CheckResult { message, ..result }.warn(format!("report these to Cloudflare: {}", first.join(", ")))
}

/// Opens each socket that the prober would open.
fn check_icmp_sockets(settings: &ProbeSettings) -> Vec<CheckResult> {
    if !settings.enabled {
        return vec![CheckResult::ok(CheckSubject::Icmp, "probing is off, so no socket is needed")];
    }
    let check = |(version, binding)| match prober::try_open(settings.engine, version, &binding) {
        Ok(message) => CheckResult::ok(CheckSubject::Icmp, message),
        Err(refused) => {
            let result = CheckResult::ok(CheckSubject::Icmp, refused.message);
            if refused.is_unsupported { result.warn(refused.remedy) } else { result.fail(refused.remedy) }
        }
    };
    settings.bindings().into_iter().map(check).collect()
}

fn check_state(location: Option<&StateLocation>, now: Moment) -> CheckResult {
    const FIX: &str = "make it a directory that the user of the exporter can write to; a state that cannot be used is \
        renamed at the start";
    let ok = |message: String| CheckResult::ok(CheckSubject::State, message);
    let Some(location) = location else {
        return ok("no directory is set, so that a restart forgets verdicts and first replies".into());
    };
    match state::describe(&location.directory, now) {
        Ok(message) => ok(message),
        Err(StateProblem::File(message)) => ok(message).warn(FIX),
        Err(StateProblem::Directory(message)) if !location.required => ok(message).warn(FIX),
        Err(StateProblem::Directory(message)) => ok(message).fail(FIX),
    }
}

fn check_web_file(file: Option<&WebFile>, now: Timestamp) -> Vec<CheckResult> {
    let ok = |message: &str| CheckResult::ok(CheckSubject::Web, message);
    let Some(file) = file else { return vec![ok("pages are served without TLS and without a password")] };
    let mut results = Vec::new();
    results.extend(file.tls.as_ref().map(|tls| check_certificate(tls.validity(), now)));
    if file.rules.users().is_some() {
        results.push(ok("clients must send a password"));
    }
    results.extend(file.remarks().iter().map(|remark| ok(remark).warn("see docs/WEB-CONFIG.md")));
    results
}

fn check_certificate(validity: Validity, now: Timestamp) -> CheckResult {
    const RENEW: &str = "renew it; no restart is needed";
    let ok = |message: String| CheckResult::ok(CheckSubject::Web, message);
    let (start, end) = (to_second(validity.not_before), to_second(validity.not_after));
    if now < validity.not_before {
        return ok(format!("the certificate is not valid before {start}"))
            .fail("correct the clock, or use another certificate");
    }
    match validity.not_after.duration_since(now) {
        left if left.is_negative() => ok(format!("the certificate expired at {end}")).fail(RENEW),
        left if left < EXPIRES_SOON => ok(format!("the certificate expires at {end}")).warn(RENEW),
        _ => ok(format!("the certificate is valid until {end}")),
    }
}

fn to_second(time: Timestamp) -> Timestamp {
    time.round(Unit::Second).unwrap_or(time)
}

#[cfg(test)]
mod tests;
