//! The operations of the tunnels API on one account.
//!
//! With `validate_only` all checks are made and nothing changes; the answer shows what would be, and says `false` where the
//! real one says that something was modified or deleted.

use hyper::StatusCode;
use rand::{
    RngExt as _,
    distr::{Alphanumeric, SampleString as _},
    rngs::StdRng,
};
use serde_json::{Map, Value, json};
use web_toolkit::clock::Moment;

use super::{
    kind::{Form, Kind},
    reply::Refusal,
    store::{Account, Candidate},
    tunnel::{self, Tunnel},
    validate::{self, Context, Draft, Rule},
};

/// What an operation needs besides its account. Results are JSON text.
pub(super) struct Turn<'a> {
    pub now: Moment,
    pub form: Form,
    pub strict: bool,
    pub validate_only: bool,
    pub body: &'a [u8],
    pub rng: &'a mut StdRng,
}

pub(super) type Outcome = Result<String, Refusal>;

impl Turn<'_> {
    pub(super) fn list(&self, account: &mut Account, kind: Kind) -> String {
        format!("{{\"{}\":[{}]}}", kind.collection(), account.list(kind, self.form))
    }

    pub(super) fn get(&self, account: &mut Account, kind: Kind, id: &str) -> Outcome {
        exists(account, kind, id)?;
        let tunnel = account.get_mut(id).ok_or_else(|| Refusal::no_such_tunnel(kind))?;
        Ok(format!("{{\"{}\":{}}}", kind.item(), tunnel.json(self.form)))
    }

    pub(super) fn create(&mut self, account: &mut Account, kind: Kind) -> Outcome {
        let draft = self.draft(account, kind, &self.object()?, "")?;
        broken_rules(account.check(&[Candidate { id: None, config: &draft.config, at: "" }]))?;
        let mut tunnel = Tunnel::new(self.new_id(), draft.config, self.now);
        if draft.psk {
            tunnel.psk_was_set(self.now);
        }
        let json = tunnel.json(self.form).to_owned();
        if !self.validate_only {
            account.insert(tunnel);
        }
        Ok(json)
    }

    pub(super) fn update(&mut self, account: &mut Account, kind: Kind, id: &str) -> Outcome {
        exists(account, kind, id)?;
        let draft = self.draft(account, kind, &self.object()?, "")?;
        broken_rules(account.check(&[Candidate { id: Some(id), config: &draft.config, at: "" }]))?;
        let tunnels = self.apply(account, vec![(id.to_owned(), draft)]);
        Ok(format!("{{\"modified\":{},\"modified_{}\":{tunnels}}}", !self.validate_only, kind.item()))
    }

    pub(super) fn update_many(&mut self, account: &mut Account, kind: Kind) -> Outcome {
        let body = self.object()?;
        let collection = kind.collection();
        let pointer = format!("/{collection}");
        let list = match body.get(collection) {
            None | Some(Value::Null) => {
                return Err(broken(Rule::Required, &pointer, format!("{collection} is required")));
            }
            Some(Value::Array(list)) => list,
            Some(_) => return Err(broken(Rule::Type, &pointer, format!("{collection} must be a list"))),
        };
        let mut drafts: Vec<(String, Draft)> = Vec::with_capacity(list.len());
        let mut errors = Vec::new();
        for (position, item) in list.iter().enumerate() {
            match self.item(account, kind, item, &format!("{pointer}/{position}")) {
                Ok((id, _)) if drafts.iter().any(|(other, _)| *other == id) => {
                    let message = "the same tunnel stands twice in one update";
                    errors.push(Rule::Duplicate.error(format!("{pointer}/{position}/id"), message));
                }
                Ok(draft) => drafts.push(draft),
                Err(refusal) if refusal.status == StatusCode::NOT_FOUND => return Err(refusal),
                Err(refusal) => errors.extend(refusal.errors),
            }
        }
        broken_rules(errors)?;
        let at: Vec<String> = (0..drafts.len()).map(|position| format!("{pointer}/{position}")).collect();
        let candidates = drafts.iter().zip(&at);
        let candidates: Vec<_> =
            candidates.map(|((id, draft), at)| Candidate { id: Some(id), config: &draft.config, at }).collect();
        broken_rules(account.check(&candidates))?;
        let tunnels = self.apply(account, drafts);
        Ok(format!("{{\"modified\":{},\"modified_{collection}\":[{tunnels}]}}", !self.validate_only))
    }

    /// One element of an update of many.
    fn item(&self, account: &Account, kind: Kind, item: &Value, at: &str) -> Result<(String, Draft), Refusal> {
        let fields = item.as_object().ok_or_else(|| broken(Rule::Type, at, "must be an object"))?;
        let pointer = format!("{at}/id");
        let id = match fields.get("id") {
            None | Some(Value::Null) => return Err(broken(Rule::Required, &pointer, "id is required")),
            Some(id) => id.as_str().ok_or_else(|| broken(Rule::Type, &pointer, "id must be a string"))?,
        };
        if account.of_kind(kind, id).is_none() {
            let mut refusal = Refusal::no_such_tunnel(kind);
            for error in &mut refusal.errors {
                error.pointer = Some(pointer.clone());
            }
            return Err(refusal);
        }
        Ok((id.to_owned(), self.draft(account, kind, fields, at)?))
    }

    /// Carries checked updates out, or only shows them; answers with the tunnels, commas between them.
    fn apply(&self, account: &mut Account, drafts: Vec<(String, Draft)>) -> String {
        let ids: Vec<(String, bool)> = drafts.iter().map(|(id, draft)| (id.clone(), draft.psk)).collect();
        let updates = drafts.into_iter().map(|(id, draft)| (id, draft.config)).collect();
        let mut preview;
        let account = if self.validate_only {
            preview = account.clone();
            &mut preview
        } else {
            account
        };
        account.apply(updates, |tunnel, config| tunnel.update(config, self.now));
        let mut shown = Vec::with_capacity(ids.len());
        for (id, psk) in ids {
            let Some(tunnel) = account.get_mut(&id) else { continue };
            if psk {
                tunnel.psk_was_set(self.now);
            }
            shown.push(tunnel.json(self.form).to_owned());
        }
        shown.join(",")
    }

    pub(super) fn delete(&self, account: &mut Account, kind: Kind, id: &str) -> Outcome {
        exists(account, kind, id)?;
        let gone = if self.validate_only { account.get(id).cloned() } else { account.remove(id) };
        let mut gone = gone.ok_or_else(|| Refusal::no_such_tunnel(kind))?;
        let deleted = !self.validate_only;
        Ok(format!("{{\"deleted\":{deleted},\"deleted_{}\":{}}}", kind.item(), gone.json(self.form)))
    }

    /// The key is in this answer and nowhere else, this process's memory included.
    pub(super) fn generate_psk(&mut self, account: &mut Account, id: &str) -> Outcome {
        exists(account, Kind::Ipsec, id)?;
        if self.validate_only {
            return Ok(json!({"ipsec_tunnel_id": id}).to_string());
        }
        let tunnel = account.get_mut(id).ok_or_else(|| Refusal::no_such_tunnel(Kind::Ipsec))?;
        tunnel.psk_was_set(self.now);
        let psk = Alphanumeric.sample_string(self.rng, 32);
        let metadata = json!({"last_generated_on": tunnel::time(self.now.wall)});
        Ok(json!({"ipsec_tunnel_id": id, "psk": psk, "psk_metadata": metadata}).to_string())
    }

    fn object(&self) -> Result<Map<String, Value>, Refusal> {
        match serde_json::from_slice(self.body) {
            Ok(Value::Object(fields)) => Ok(fields),
            Ok(_) => Err(broken(Rule::Type, "", "the body must be an object")),
            Err(error) => Err(Refusal::malformed_json(&error)),
        }
    }

    fn draft(&self, account: &Account, kind: Kind, body: &Map<String, Value>, at: &str) -> Result<Draft, Refusal> {
        let context = Context { kind, account: account.id(), strict: self.strict, form: Some(self.form) };
        validate::draft(context, body, at).map_err(|errors| Refusal::new(StatusCode::BAD_REQUEST, errors))
    }

    fn new_id(&mut self) -> String {
        format!("{:032x}", self.rng.random::<u128>())
    }
}

fn broken(rule: Rule, pointer: &str, message: impl Into<String>) -> Refusal {
    Refusal::new(StatusCode::BAD_REQUEST, vec![rule.error(pointer, message)])
}

fn broken_rules(errors: Vec<super::reply::ApiError>) -> Result<(), Refusal> {
    if errors.is_empty() { Ok(()) } else { Err(Refusal::new(StatusCode::BAD_REQUEST, errors)) }
}

fn exists(account: &Account, kind: Kind, id: &str) -> Result<(), Refusal> {
    account.of_kind(kind, id).map(|_| ()).ok_or_else(|| Refusal::no_such_tunnel(kind))
}
