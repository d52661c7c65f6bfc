//! End-to-end tests of the built program together with other real programs.
//!
//! These tests use the program from the outside only: flags, endpoints, metrics, exit codes. Each test uses its own
//! addresses in 127.0.0.0/8 and waits for events with a generous deadline, so that many tests can run at the same time.
//! If a program that a test needs is not installed, the test prints a message and passes; with `CI=true` it fails (see
//! `scripts/test-tools`).

#![expect(clippy::float_cmp, reason = "samples are compared with the exact values that a test has set")]

mod alerting;
mod alerts;
mod api_connection;
mod bad_api;
mod browser;
mod check;
mod command_line;
mod connection_attacks;
mod dashboards;
mod demo;
mod documents;
mod edge;
mod events;
mod faults;
mod findings;
mod fleet;
mod graphql;
mod hostile_lists;
mod interconnects;
mod json_api;
mod lifecycle;
mod maintenance;
mod misplaced_secrets;
mod network;
mod page;
mod prometheus;
mod reference;
mod reload;
mod routes;
mod runbooks;
mod sandbox;
mod secrets;
mod sites;
mod socket_activation;
mod support;
mod token;
mod tunnels;
mod unread_log;
mod web_clients;
mod web_config;
