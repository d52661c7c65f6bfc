//! Checks that the pages can be served at each address.

use std::slice;

use web_toolkit::server::{self, ListenAddress};

use super::result::{CheckResult, CheckSubject};
use crate::{app::healthcheck, config::Web};

pub(super) async fn check_listen_addresses(web: &Web) -> Vec<CheckResult> {
    if web.systemd_socket {
        return vec![CheckResult::ok(CheckSubject::Listen, "systemd passes the sockets, so no address is tested")];
    }
    let mut results = Vec::new();
    for address in &web.listen {
        results.push(check_listen_address(address).await);
    }
    results
}

/// Binds the address for a moment. If it is in use, asks the program there for its health, because `check` is often run beside `serve`.
async fn check_listen_address(address: &ListenAddress) -> CheckResult {
    const FIX: &str = "set another address with `--web.listen-address`, or stop the program that uses this one";
    let ok = |message: String| CheckResult::ok(CheckSubject::Listen, message);
    match server::bind(slice::from_ref(address)) {
        Ok(_) => ok(format!("{address} is free")),
        Err(error) if error.is_in_use() && healthcheck::is_running(address).await => {
            ok(format!("{address}: this exporter is running here"))
        }
        Err(error) => ok(error.to_string()).fail(FIX),
    }
}
