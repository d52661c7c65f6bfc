//! Wiring: turns a configuration into connected components and their long-lived tasks, and stops them in order.
//!
//! Sockets are bound before any task starts. All tasks are in one `JoinSet` and end when the token is cancelled. If a
//! task ends before that, the program exits, because an exporter that serves without polling would report old values.

mod check;
mod demo;
mod difference;
mod exporter;
mod healthcheck;
mod one_shot;
mod pollers;
mod reload;
mod service_manager;
mod shutdown;

pub use self::{
    check::{CheckResult, CheckScope, CheckStatus, run_checks},
    demo::{DemoCommand, run_sandbox},
    exporter::ServeCommand,
    healthcheck::request_health,
    one_shot::{poll_once, poll_repeatedly},
    shutdown::run_until_signal,
};
