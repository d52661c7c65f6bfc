//! Cloudflare's own Python client, made for the real API, walks every operation of the sandbox (`tests/sdk/walk.py`).
//!
//! `make tools` prepares the virtual environment. Without it the test says so and passes; under `CI=true` that is a
//! failure.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use magic_sandbox::{Sandbox, Settings, Story};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use web_toolkit::clock;
use web_toolkit::server;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_official_client_walks_every_operation() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let python = root.join("target/sdk-venv/bin/python");
    if !root.join("target/sdk-venv/made-from.txt").exists() {
        assert_ne!(std::env::var("CI").as_deref(), Ok("true"), "no Python client: run `make tools` first");
        return println!("skipped: no Python client, run `make tools` first");
    }
    let bound = server::bind(&["127.0.0.1:0".parse().unwrap()]).unwrap();
    let url = format!("http://{}/client/v4", bound[0].local_addr());
    let settings =
        Settings { token: Some("sdk-token".to_owned().into()), story: Story::empty(), ..Settings::default() };
    let sandbox = Sandbox::new(settings, clock::now());
    let account = sandbox.account_ids().swap_remove(0);
    let stop = CancellationToken::new();
    let mut tasks = JoinSet::new();
    tasks.spawn(Arc::clone(&sandbox).run(bound, stop.clone()));

    let script = root.join("tests/sdk/walk.py");
    let walk = tokio::task::spawn_blocking(move || {
        let mut command = Command::new(python);
        command.arg(script).args([&url, &account, "sdk-token"]).env("NO_PROXY", "127.0.0.1").output()
    });
    let output = walk.await.unwrap().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    println!("{said}");
    stop.cancel();
    while tasks.join_next().await.is_some() {}
}
