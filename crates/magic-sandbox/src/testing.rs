//! A sandbox without sockets for tests, with a clock that the test sets.

use std::time::Duration;

use hyper::Method;
use serde_json::Value;
use web_toolkit::clock::Moment;

use super::{
    SandboxSettings, Story,
    request::{ApiRequest, PresentedCredentials},
    response::ApiResponse,
    spec::TargetForm,
    world::World,
};

pub(crate) struct TestApi {
    pub world: World,
    pub now: Moment,
    pub account: String,
    pub form: TargetForm,
}

impl TestApi {
    pub(crate) fn new(settings: SandboxSettings) -> Self {
        Self::starting_at(settings, web_toolkit::clock::now())
    }

    pub(crate) fn starting_at(settings: SandboxSettings, now: Moment) -> Self {
        let world = World::new(settings, now);
        let account = world.accounts[0].id.clone();
        Self { world, now, account, form: TargetForm::Object }
    }

    pub(crate) fn with_story(story: Story) -> Self {
        Self::new(SandboxSettings { story, ..SandboxSettings::default() })
    }

    /// One account without tunnels.
    pub(crate) fn empty() -> Self {
        Self::with_story(Story::empty())
    }

    pub(crate) fn advance_clock(&mut self, time: Duration) {
        self.now = self.now.after(time);
    }

    pub(crate) fn request(&self, method: &Method, path: &str, body: &str) -> ApiRequest {
        let (path, query) = path.split_once('?').unwrap_or((path, ""));
        ApiRequest {
            method: method.clone(),
            path: path.to_owned(),
            query: query.to_owned(),
            credentials: PresentedCredentials::Token("token".into()),
            form: self.form,
            body: body.to_owned().into(),
        }
    }

    pub(crate) fn respond(&mut self, request: &ApiRequest) -> ApiResponse {
        self.world.respond(request, self.now)
    }

    /// Status and JSON for any path.
    pub(crate) fn send(&mut self, method: &Method, path: &str, body: &str) -> (u16, Value) {
        let request = self.request(method, path, body);
        let response = self.respond(&request);
        (response.status.as_u16(), serde_json::from_slice(&response.body).unwrap())
    }

    /// Status and JSON for a path below the account's `magic/`.
    pub(crate) fn send_magic(&mut self, method: &Method, path: &str, body: &Value) -> (u16, Value) {
        let path = format!("/client/v4/accounts/{}/magic/{path}", self.account);
        self.send(method, &path, &body.to_string())
    }

    /// The result of a request that must succeed.
    pub(crate) fn expect_result(&mut self, method: &Method, path: &str, body: &Value) -> Value {
        let (status, mut response) = self.send_magic(method, path, body);
        assert_eq!((status, &response["success"]), (200, &Value::Bool(true)), "{method} {path}: {response}");
        response["result"].take()
    }

    pub(crate) fn list(&mut self, collection: &str) -> Vec<Value> {
        let mut result = self.expect_result(&Method::GET, collection, &Value::Null);
        match result[collection].take() {
            Value::Array(list) => list,
            other => panic!("{collection} is not a list: {other}"),
        }
    }
}
