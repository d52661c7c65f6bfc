//! The web side of a Prometheus exporter, independent of what it exports: what Prometheus' exporter-toolkit is for Go.
//!
//! [`server`] binds listen addresses and serves HTTP/1 within limits, in cleartext or over TLS. [`web_file`] reads the
//! web configuration file, [`access`] reloads it while the program runs, and [`guard`] enforces its [`passwords`] and
//! rate limit on each request; a page finds the proven [`requester`] in the extensions of its request. [`scrape`]
//! respects the timeout of Prometheus. [`mod@file`] and [`yaml`] read the files that an operator names, and [`settings`]
//! checks their values and those of flags. [`bucket`] limits rates. [`clock`] is the only module that reads a clock.

pub mod access;
pub mod bucket;
pub mod clock;
pub mod file;
pub mod guard;
pub mod passwords;
pub mod requester;
pub mod scrape;
pub mod server;
pub mod settings;
pub mod text;
pub mod web_file;
pub mod yaml;
