//! Cloudflare's own Python client calls every operation of the sandbox (`tests/sdk/walk.py`).
//!
//! `make tools` creates the virtual environment. Without it the test is skipped; with `CI=true` it fails.

use std::{path::Path, process::Command, sync::Arc};

use magic_sandbox::{Sandbox, SandboxSettings, Story};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use web_toolkit::{clock, server};

/// One of each interconnect of `walk.py`; the API cannot create them.
const STORY: &str = "
accounts:
  - name: sdk
    interconnects:
      - name: old
        version: '1.5'
        interface_address: 10.0.0.2/31
        health_check: {source: 198.41.199.225}
        bgp: {customer_asn: 65010, extra_prefixes: [10.0.0.0/8]}
      - {name: new, interface_address: 10.0.0.4/31, gre: {cloudflare_endpoint: 198.51.100.2}}
";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_official_client_can_call_every_operation() {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    let environment = package.join("../../target/sdk-venv");
    let python = environment.join("bin/python");
    if !environment.join("made-from.txt").exists() {
        assert_ne!(std::env::var("CI").as_deref(), Ok("true"), "no Python client; run `make tools` first");
        return println!("skipped: no Python client; run `make tools` first");
    }
    let bound = server::bind(&["127.0.0.1:0".parse().unwrap()]).unwrap();
    let url = format!("http://{}/client/v4", bound[0].local_addr());
    let token = Some("sdk-token".to_owned().into());
    let settings =
        SandboxSettings { token, story: Story::parse("sdk.yml", STORY).unwrap(), ..SandboxSettings::default() };
    let account = settings.story.accounts().next().unwrap().1.to_owned();
    let sandbox = Sandbox::new(settings, clock::now());
    let stop = CancellationToken::new();
    let mut tasks = JoinSet::new();
    tasks.spawn(Arc::clone(&sandbox).run(bound, stop.clone()));

    let script = package.join("tests/sdk/walk.py");
    let walk = tokio::task::spawn_blocking(move || {
        let mut command = Command::new(python);
        command.arg(script).args([&url, &account, "sdk-token"]).env("NO_PROXY", "127.0.0.1").output()
    });
    let output = walk.await.unwrap().unwrap();
    let printed = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{printed}{}", String::from_utf8_lossy(&output.stderr));
    println!("{printed}");
    stop.cancel();
    while tasks.join_next().await.is_some() {}
}
