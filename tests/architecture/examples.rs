//! Every rule broken once, and what keeps close to a rule without breaking it.

use super::rules::{self, Source};

/// A small program in which every import is in place.
const HOUSE: [(&str, &str); 17] = [
    ("lib.rs", "//! The house.\npub mod domain;"),
    ("main.rs", "//! Starts it.\nuse magic_tunnel_exporter::cli;"),
    ("cli.rs", "//! Commands."),
    ("clock.rs", "//! Reads the clock."),
    ("domain.rs", "//! Values."),
    ("domain/tunnel.rs", "//! A tunnel.\nuse super::{label::Label, moment};"),
    ("domain/label.rs", "//! Labels."),
    ("domain/moment.rs", "//! Time."),
    ("cloudflare.rs", "//! The client.\nuse wire::Envelope;\nmod wire;"),
    ("cloudflare/wire.rs", "//! JSON.\nuse super::decode;\nuse crate::{clock, domain::{tunnel::{self, Tunnel}, *}};"),
    ("cloudflare/decode.rs", "//! JSON to values.\nuse super::super::domain::tunnel;"),
    ("cloudflare/decode/reader.rs", "//! One member."),
    ("cloudflare/wire/ipsec.rs", "//! One kind."),
    ("poller.rs", "//! Polls.\n#[cfg(test)]\nmod tests { use super::*; fn f() { reqwest::get() } }"),
    ("prober.rs", "//! Probes.\n#[cfg(test)]\nmod tests;"),
    ("exposition.rs", "//! The page.\nfn f() -> crate::domain::tunnel::Tunnel { prometheus_client::g() }"),
    ("sandbox.rs", "//! The copy.\nuse crate::domain::moment::Moment;"),
];

/// The house with one file replaced or added.
fn complaints(file: &str, text: &str) -> Vec<String> {
    let others = HOUSE.iter().filter(|(path, _)| *path != file).map(|&(path, text)| Source::new(path, text));
    let sources: Vec<Source> = others.chain([Source::new(file, text)]).collect();
    rules::check(sources)
}

#[test]
fn the_house_is_in_order() {
    assert_eq!(complaints("domain.rs", "//! Values."), [""; 0]);
}

#[test]
fn every_offence_is_found_and_named() {
    let long = format!("//! Long.\n{}", "const A: u8 = 0;\n".repeat(350));
    let table: [(&str, &str, &str); 30] = [
        // Upwards, sideways, and through every way to write a path.
        (
            "domain/tunnel.rs",
            "//! x\nuse crate::cloudflare::Client;",
            "src/domain/tunnel.rs:2: `crate::cloudflare::Client` has rank 2",
        ),
        ("cloudflare.rs", "//! x\nuse crate::poller;", "has rank 3, `cloudflare` has rank 2"),
        ("poller.rs", "//! x\nuse crate::prober::Target;", "has rank 3, `poller` has rank 3"),
        ("prober.rs", "//! x\nfn f() { crate::poller::g() }", "import only from lower ranks"),
        ("prober.rs", "//! x\nuse super::poller::Poller;", "`crate::poller::Poller` has rank 3"),
        ("prober.rs", "//! x\nuse crate::{domain::tunnel, poller::{self, A}};", "`crate::poller` has rank 3"),
        (
            "prober.rs",
            "//! x\nuse crate::{domain::{label as l, tunnel}, exposition::*};",
            "`crate::exposition` has rank 4",
        ),
        ("prober.rs", "//! x\nmod a { mod b { use super::super::super::poller::X; } }", "`crate::poller::X`"),
        ("prober.rs", "//! x\nmacro_rules! m { () => { $crate::exposition::f() } }", "`crate::exposition::f`"),
        ("prober.rs", "//! x\n#[cfg(test)]\nmod tests { use crate::exposition; }", "has rank 4, `prober` has rank 3"),
        ("prober.rs", "//! x\nuse magic_tunnel_exporter::sandbox;", "`crate::sandbox` has rank 4"),
        ("prober.rs", "//! x\nuse crate::Shortcut;", "`crate::Shortcut` is in no file below src/"),
        // Inside one part.
        ("cloudflare/wire.rs", "//! x\nuse super::Client;", "is the parent, which knows its children"),
        ("cloudflare/wire.rs", "//! x\nuse crate::cloudflare::*;", "is the parent"),
        (
            "cloudflare/wire/ipsec.rs",
            "//! x\nuse crate::cloudflare::decode::reader::f;",
            "is in another folder of this part",
        ),
        // Crates.
        ("prober.rs", "//! x\nuse surge_ping::Client;", "`surge_ping` is named only in src/prober/icmp.rs"),
        ("poller.rs", "//! x\nfn f(e: reqwest::Error) {}", "`reqwest` is named only in src/cloudflare*"),
        ("config.rs", "//! x\nuse clap::Parser;", "`clap` is named only in src/cli* and src/config/flags.rs"),
        ("poller.rs", "//! x\nuse prometheus_client::registry::Registry;", "`prometheus_client` is named only in"),
        ("domain/tunnel.rs", "//! x\nuse tokio::time::Instant;", "the domain does not know `tokio`"),
        ("domain/tunnel.rs", "//! x\n#[serde(rename = \"a\")]\nstruct A;", "the domain does not know `serde`"),
        ("sandbox.rs", "//! x\nuse crate::cloudflare::wire::Envelope;", "the sandbox writes its JSON on its own"),
        ("sandbox/store.rs", "//! x\nuse crate::domain::tunnel::Tunnel;", "the sandbox writes its JSON on its own"),
        // Files.
        ("prober/mod.rs", "//! x", "a module `x` lives in `x.rs`"),
        ("prober.rs", "use std::fmt;", "src/prober.rs: must begin with `//!`"),
        ("prober.rs", &long, "has 351 lines without its tests, 350 is the most"),
        ("poller/tests.rs", "use super::*;", "src/poller/tests.rs: must begin with `//!`"),
        ("helpers.rs", "//! x", "`helpers` has no rank"),
        ("prober.rs", "//! x\n#[path = \"elsewhere.rs\"]\nmod a;", "src/prober.rs:2: `#[path]` hides a file"),
        ("prober.rs", "//! x\n#[cfg(test)]\nuse a::B;\nuse surge_ping::C;", "src/prober.rs:4: `surge_ping`"),
    ];
    for (file, text, expected) in table {
        let found = complaints(file, text);
        assert!(
            found.iter().any(|c| c.contains(expected)),
            "{file} with\n{text}\nshould give {expected:?}, not {found:?}"
        );
    }
}

#[test]
fn what_only_looks_like_an_offence_is_left_alone() {
    let long_tests = format!("//! x\n#[cfg(test)]\nmod tests {{\n{}}}", "const A: u8 = 0;\n".repeat(400));
    let table: [(&str, &str); 14] = [
        ("prober.rs", "//! Is handed to crate::poller.\n/* use crate::poller; */ const A: &str = \"crate::poller\";"),
        ("prober.rs", "//! x\npub(crate) struct A; impl A { fn f(&self) { self.poller() } }"),
        ("prober.rs", "//! x\nuse std::{fmt, poller::exposition};"),
        ("prober.rs", "//! x\nmod a { pub(super) struct B; }\nuse self::a::B;"),
        ("cloudflare/wire/ipsec.rs", "//! x\nuse crate::cloudflare::decode;"),
        ("cloudflare/wire.rs", "//! x\npub(in crate::cloudflare) struct A;"),
        ("prober/icmp.rs", "//! x\nuse surge_ping::Client;"),
        ("prober/tests.rs", "use super::*;\nuse crate::prober::session::Session;"),
        ("prober/metrics.rs", "//! x\nuse prometheus_client::registry::Registry;"),
        ("config/flags.rs", "//! x\nuse clap::Args;"),
        ("config/flags/probe.rs", "//! x\nuse clap::Args;"),
        ("prober/tests.rs", "use super::*;\nfn f() { prometheus_client::encoding::text::encode() }"),
        ("prober.rs", &long_tests),
        ("main.rs", "//! x\nfn main() { magic_tunnel_exporter::cli::run() }"),
    ];
    for (file, text) in table {
        assert_eq!(complaints(file, text), [""; 0], "{file} with\n{text}");
    }
}
