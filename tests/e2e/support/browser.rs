//! A real browser: Debian's Chromium, told what to do through its `WebDriver`.
//!
//! It is kept off every network but the loopback, and its folder goes away with it.

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
        // The driver listens on 127.0.0.1 alone.
        let address = SocketAddr::from(([127, 0, 0, 1], free_address().port()));
        let mut command = Command::new(driver);
        let process = Process::start(command.arg(format!("--port={}", address.port())).env("HOME", folder.path()));
        eventually("the driver of the browser to be ready", SOON, || match http::get(address, "/status") {
            Ok(reply) if reply.status == 200 => Ok(()),
            other => Err(format!("{other:?}; it said:\n{}", process.said())),
        });
        let profile = format!("--user-data-dir={}", folder.path().join("profile").display());
        let flags: Vec<&str> = FLAGS.into_iter().chain([&*profile]).collect();
        let wishes = json!({ "capabilities": { "alwaysMatch": {
            "goog:chromeOptions": { "binary": chromium, "args": flags },
            "goog:loggingPrefs": { "browser": "ALL" },
        } } });
        let mut browser = Self { driver: address, session: String::new(), process, _folder: folder };
        let session = browser.ask("POST", "/session", &wishes);
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

    /// What a function body returns in the page. The driver's own scripts run even where the page's may not.
    pub(crate) fn run(&self, script: &str) -> Value {
        self.command("execute/sync", &json!({ "script": script, "args": [] }))
    }

    /// The text of every element that a CSS selector finds, as it is seen.
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

    /// Types into the element that a selector finds; `\u{e007}` is the key Enter.
    pub(crate) fn keys(&self, selector: &str, text: &str) {
        let found = self.command("element", &json!({ "using": "css selector", "value": selector }));
        let element = found.as_object().and_then(|object| object.values().next()).and_then(Value::as_str);
        let element = element.unwrap_or_else(|| panic!("{selector}: {found}"));
        self.command(&format!("element/{element}/value"), &json!({ "text": text }));
    }

    /// Clicks on the element that a selector finds.
    pub(crate) fn click(&self, selector: &str) {
        self.run(&format!("document.querySelector({}).click()", json!(selector)));
    }

    pub(crate) fn resize(&self, width: u32, height: u32) {
        let metrics = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": false });
        self.chromium("Emulation.setDeviceMetricsOverride", &metrics);
    }

    /// `light` or `dark`, as the system of the user prefers.
    pub(crate) fn prefer(&self, scheme: &str) {
        let features = json!({ "features": [{ "name": "prefers-color-scheme", "value": scheme }] });
        self.chromium("Emulation.setEmulatedMedia", &features);
    }

    /// Switches the scripts of pages off, for those that are opened from now on.
    pub(crate) fn without_scripts(&self) {
        self.chromium("Emulation.setScriptExecutionDisabled", &json!({ "value": true }));
    }

    /// What the console of the pages has said since this was asked last: errors of scripts, files that did not come, and offences
    /// against the policy of the page.
    pub(crate) fn console(&self) -> Vec<String> {
        let lines = self.command("se/log", &json!({ "type": "browser" }));
        let lines = lines.as_array().expect("lines").iter();
        lines.map(|line| format!("{}: {}", line["level"], line["message"])).collect()
    }

    /// A picture of what the window shows, as PNG.
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
        // The driver ends the browser with its session, and its own process is killed afterwards.
        drop(http::request(self.driver, "DELETE", &format!("/session/{}", self.session), &[]));
    }
}
