//! The sandbox's own paths under `/sandbox`: what is there, what BGP reports, faults, calls. They need no token.

use hyper::StatusCode;
use serde_json::{Value, json};
use web_toolkit::clock::Moment;

use super::{
    faults::Faults,
    kind::Kind,
    reply::{Refusal, Reply},
    route::Control,
    session::Report,
    store::Account,
    world::World,
};

impl World {
    pub(super) fn control(&mut self, control: &Control<'_>, body: &[u8], now: Moment) -> Result<Reply, Refusal> {
        let answer = match control {
            Control::Overview => json!({"accounts": self.accounts.iter().map(overview).collect::<Value>()}),
            Control::BgpStatus(account, tunnel) => self.set_bgp_status(account, tunnel, body, now)?,
            Control::ShowFaults => self.faults.json(),
            Control::SetFaults => {
                self.faults = Faults::from_json(body).map_err(Refusal::control)?;
                self.faults.json()
            }
            Control::ClearFaults => {
                self.faults = Faults::default();
                self.faults.json()
            }
            Control::ShowCalls => self.calls.json(),
            Control::ForgetCalls => {
                self.calls = super::calls::Calls::default();
                self.calls.json()
            }
        };
        Ok(Reply::json(StatusCode::OK, &answer))
    }

    fn set_bgp_status(&mut self, account: &str, tunnel: &str, body: &[u8], now: Moment) -> Result<Value, Refusal> {
        let body: Value = serde_json::from_slice(body).map_err(|error| Refusal::malformed_json(&error))?;
        let report = Report::parse(&body).map_err(Refusal::control)?;
        let found = self.accounts.iter_mut().find(|known| known.id() == account);
        let account = found.ok_or_else(|| Refusal::control_not_found(format!("there is no account `{account}`")))?;
        let id = account.find_id(&decoded(tunnel));
        let id = id.ok_or_else(|| Refusal::control_not_found(format!("there is no tunnel `{tunnel}`")))?;
        if !account.follow(&id, report, now) {
            return Err(Refusal::control(format!("tunnel `{tunnel}` has no BGP: update it with `bgp` first")));
        }
        let tunnel = account.get(&id);
        let status = tunnel.and_then(|tunnel| Some(tunnel.session()?.json(tunnel.config().interface_address)));
        let status: Option<Value> = status.and_then(|status| serde_json::from_str(&status).ok());
        Ok(json!({"id": id, "bgp_status": status}))
    }
}

/// What a person needs to find the way about.
fn overview(account: &Account) -> Value {
    let tunnels = account.tunnels().map(|tunnel| {
        let config = tunnel.config();
        let kind = match config.kind() {
            Kind::Ipsec => "ipsec",
            Kind::Gre => "gre",
        };
        let state = tunnel.session().map(|session| session.state().as_str());
        json!({"id": tunnel.id(), "name": config.name, "type": kind, "bgp_state": state})
    });
    json!({"id": account.id(), "tunnels": tunnels.collect::<Value>()})
}

/// A path segment without its percent escapes (RFC 3986 section 2.1); what is none stays.
fn decoded(segment: &str) -> String {
    let mut bytes = Vec::with_capacity(segment.len());
    let mut rest = segment.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        let escaped = (first == b'%').then(|| tail.get(..2)).flatten();
        let value = escaped.and_then(|hex| u8::from_str_radix(std::str::from_utf8(hex).ok()?, 16).ok());
        bytes.push(value.unwrap_or(first));
        rest = if value.is_some() { &tail[2..] } else { tail };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::decoded;

    #[test]
    fn names_in_paths_are_decoded() {
        for (escaped, name) in [("fra-1", "fra-1"), ("a%20b", "a b"), ("a%2", "a%2"), ("%zz", "%zz"), ("%C3%A9", "é")]
        {
            assert_eq!(decoded(escaped), name);
        }
    }
}
