//! A real browser: Chromium, controlled through its `WebDriver`.
//!
//! It resolves loopback addresses only. Its folder is deleted when it is dropped.

use std::{net::SocketAddr, process::Command};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde_json::{Value, json};

use super::{SOON, eventually, exporter::Process, free_address, http, tools};

/// A window of the browser.
pub(crate) struct Browser {
    driver: SocketAddr,
    session: String,
    process: Process,
    _folder: tempfile::TempDir,
}

const FLAGS: [&str; 12] = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
    "--force-color-profile=srgb",
    "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.*",
];

impl Browser {
    /// `None` where Chromium or its driver is not installed.
    pub(crate) fn start() -> Option<Self> {
        let (driver, chromium) = (tools::tool("chromedriver")?, tools::tool("chromium")?);
        let folder = tempfile::tempdir().expect("a temporary folder");
        // The driver listens on 127.0.0.1 only.
        let address = SocketAddr::from(([127, 0, 0, 1], free_address().port()));
        let mut command = Command::new(driver);
        let process = Process::start(command.arg(format!("--port={}", address.port())).env("HOME", folder.path()));
        eventually("the driver of the browser to be ready", SOON, || match http::get(address, "/status") {
            Ok(reply) if reply.status == 200 => Ok(()),
            other => Err(format!("{other:?}; its output:\n{}", process.said())),
        });
        let profile = format!("--user-data-dir={}", folder.path().join("profile").display());
        let flags: Vec<&str> = FLAGS.into_iter().chain([&*profile]).collect();
        let capabilities = json!({ "capabilities": { "alwaysMatch": {
            "goog:chromeOptions": { "binary": chromium, "args": flags },
            "goog:loggingPrefs": { "browser": "ALL" },
        } } });
        let mut browser = Self { driver: address, session: String::new(), process, _folder: folder };
        let session = browser.ask("POST", "/session", &capabilities);
        session["sessionId"].as_str().expect("a session").clone_into(&mut browser.session);
        browser.resize(1280, 900);
        Some(browser)
    }

    fn ask(&self, method: &str, path: &str, body: &Value) -> Value {
        let headers = [("Content-Type", "application/json")];
        let body = if method == "POST" { body.to_string() } else { String::new() };
        let reply = http::send(self.driver, method, path, &headers, &body);
        let reply = reply.unwrap_or_else(|error| panic!("{method} {path}: {error}"));
        let answer: Value = serde_json::from_str(&reply.text()).expect("JSON from the driver");
        assert_eq!(reply.status, 200, "{method} {path} {body}: {answer}\n{}", self.process.said());
        answer["value"].clone()
    }

    fn command(&self, path: &str, body: &Value) -> Value {
        self.ask("POST", &format!("/session/{}/{path}", self.session), body)
    }

    /// A command of Chromium's own protocol.
    fn chromium(&self, command: &str, parameters: &Value) -> Value {
        self.command("goog/cdp/execute", &json!({ "cmd": command, "params": parameters }))
    }

    pub(crate) fn open(&self, address: SocketAddr, path: &str) {
        self.command("url", &json!({ "url": format!("http://{address}{path}") }));
    }

    /// Runs a function body in the page and returns its result. Works even if the scripts of the page are switched off.
    pub(crate) fn run(&self, script: &str) -> Value {
        self.command("execute/sync", &json!({ "script": script, "args": [] }))
    }

    /// The visible text of each element that a CSS selector matches.
    pub(crate) fn texts(&self, selector: &str) -> Vec<String> {
        let script = format!("return [...document.querySelectorAll({})].map(e => e.innerText)", json!(selector));
        serde_json::from_value(self.run(&script)).expect("texts")
    }

    /// Waits until a script returns `true`.
    pub(crate) fn until(&self, what: &str, script: &str) {
        eventually(what, SOON, || match self.run(script) {
            Value::Bool(true) => Ok(()),
            other => Err(format!("{other}; the page says:\n{}", self.run("return document.body.innerText"))),
        });
    }

    /// Types into the first element that a selector matches; `\u{e007}` is the key Enter.
    pub(crate) fn keys(&self, selector: &str, text: &str) {
        let found = self.command("element", &json!({ "using": "css selector", "value": selector }));
        let element = found.as_object().and_then(|object| object.values().next()).and_then(Value::as_str);
        let element = element.unwrap_or_else(|| panic!("{selector}: {found}"));
        self.command(&format!("element/{element}/value"), &json!({ "text": text }));
    }

    /// Clicks on the first element that a selector matches.
    pub(crate) fn click(&self, selector: &str) {
        self.run(&format!("document.querySelector({}).click()", json!(selector)));
    }

    pub(crate) fn resize(&self, width: u32, height: u32) {
        let metrics = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": false });
        self.chromium("Emulation.setDeviceMetricsOverride", &metrics);
    }

    /// Sets the preferred color scheme: `light` or `dark`.
    pub(crate) fn prefer(&self, scheme: &str) {
        let features = json!({ "features": [{ "name": "prefers-color-scheme", "value": scheme }] });
        self.chromium("Emulation.setEmulatedMedia", &features);
    }

    /// Sets the time zone of the reader.
    pub(crate) fn move_to(&self, zone: &str) {
        self.chromium("Emulation.setTimezoneOverride", &json!({ "timezoneId": zone }));
    }

    /// Switches off the scripts of pages that are opened from now on.
    pub(crate) fn without_scripts(&self) {
        self.chromium("Emulation.setScriptExecutionDisabled", &json!({ "value": true }));
    }

    /// The lines on the console since the last call: errors of scripts, missing files, violations of the page's policy.
    pub(crate) fn console(&self) -> Vec<String> {
        let lines = self.command("se/log", &json!({ "type": "browser" }));
        let lines = lines.as_array().expect("lines").iter();
        lines.map(|line| format!("{}: {}", line["level"], line["message"])).collect()
    }

    /// A screenshot as PNG.
    pub(crate) fn picture(&self) -> Vec<u8> {
        let picture = self.chromium("Page.captureScreenshot", &json!({ "format": "png", "optimizeForSpeed": false }));
        BASE64_STANDARD.decode(picture["data"].as_str().expect("a picture")).expect("base64")
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        if self.session.is_empty() {
            return;
        }
        // The driver ends the browser together with its session. Its own process is killed afterwards.
        drop(http::request(self.driver, "DELETE", &format!("/session/{}", self.session), &[]));
    }
}
