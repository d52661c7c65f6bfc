//! The built program against real ones: what a user starts, scrapes, stops, and what a hostile API does to it.
//!
//! These tests know the program from outside only: flags, endpoints, metrics, exit codes. They use addresses of their own in
//! 127.0.0.0/8, wait for what they expect with a generous deadline, and never for a fixed time. A test that needs a program
//! which is not installed says so and passes; under `CI=true` it fails (see `scripts/test-tools`).

#![expect(clippy::float_cmp, reason = "samples are compared with the exact values that were put in")]

mod alerting;
mod alerts;
mod api_connection;
mod bad_api;
mod browser;
mod check;
mod command_line;
mod dashboards;
mod demo;
mod faults;
mod json_api;
mod lifecycle;
mod network;
mod page;
mod prometheus;
mod reference;
mod reload;
mod sandbox;
mod secrets;
mod support;
mod tunnels;
mod web_config;
