//! A world for tests that moves when it is told to and is asked without a socket.

use std::time::Duration;

use hyper::Method;
use serde_json::Value;
use web_toolkit::clock::Moment;

use super::{
    Settings, Story,
    kind::Form,
    world::{Answer, Call, Credentials, World},
};

pub(super) struct Rehearsal {
    pub world: World,
    pub now: Moment,
    pub account: String,
    pub form: Form,
}

impl Rehearsal {
    pub(super) fn new(settings: Settings) -> Self {
        let now = web_toolkit::clock::now();
        let world = World::new(settings, now);
        let account = world.accounts[0].id().to_owned();
        Self { world, now, account, form: Form::Object }
    }

    /// One account without tunnels.
    pub(super) fn empty() -> Self {
        Self::new(Settings { story: Story::empty(), ..Settings::default() })
    }

    pub(super) fn pass(&mut self, time: Duration) {
        self.now = self.now.after(time);
    }

    pub(super) fn call(&self, method: &Method, path: &str, body: &str) -> Call {
        let (path, query) = path.split_once('?').unwrap_or((path, ""));
        Call {
            method: method.clone(),
            path: path.to_owned(),
            query: query.to_owned(),
            credentials: Credentials::Token("token".into()),
            form: self.form,
            body: body.to_owned().into(),
        }
    }

    pub(super) fn answer(&mut self, call: &Call) -> Answer {
        self.world.answer(call, self.now)
    }

    /// Asks any path.
    pub(super) fn ask(&mut self, method: &Method, path: &str, body: &str) -> (u16, Value) {
        let call = self.call(method, path, body);
        let reply = self.answer(&call).reply;
        (reply.status.as_u16(), serde_json::from_slice(&reply.body).unwrap())
    }

    /// Asks a path below the account's `magic/`.
    pub(super) fn magic(&mut self, method: &Method, path: &str, body: &Value) -> (u16, Value) {
        let path = format!("/client/v4/accounts/{}/magic/{path}", self.account);
        self.ask(method, &path, &body.to_string())
    }

    /// The result of an operation that must succeed.
    pub(super) fn done(&mut self, method: &Method, path: &str, body: &Value) -> Value {
        let (status, mut answer) = self.magic(method, path, body);
        assert_eq!((status, &answer["success"]), (200, &Value::Bool(true)), "{method} {path}: {answer}");
        answer["result"].take()
    }

    pub(super) fn list(&mut self, collection: &str) -> Vec<Value> {
        let mut result = self.done(&Method::GET, collection, &Value::Null);
        match result[collection].take() {
            Value::Array(list) => list,
            other => panic!("{collection} is no list: {other}"),
        }
    }
}
