//! What Prometheus' exporter-toolkit is for Go: the web side of an exporter, without a word about what it exports.
//!
//! [`server`] binds listen addresses and serves HTTP/1 within limits, in clear text or over TLS. [`web_file`] reads the
//! web configuration file, [`access`] keeps it current while the program runs, and [`guard`] enforces its passwords and
//! rate limit on each request. [`file`] and [`yaml`] read the files that an operator names, and [`settings`] checks their
//! values and those of flags; [`clock`] is the only module that reads a clock.

pub mod access;
pub mod answer;
pub mod clock;
pub mod file;
pub mod guard;
pub mod server;
pub mod settings;
pub mod text;
pub mod web_file;
pub mod yaml;
