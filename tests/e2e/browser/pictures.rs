//! The pictures of README.md show the fixed story. `make pictures`, as root, installs their fonts and writes them to
//! docs/images/. It takes eleven minutes after the build, because the graphs show ten minutes.

use std::{env, fs, path::Path, thread, time::Duration};

use serde_json::{Value, json};

use super::{
    Browser,
    world::{self, Stage, World},
};
use crate::network::{lab::Lab, namespace};

/// Name, color scheme, width, height, and tunnel (`None`: the front page).
const PICTURES: [(&str, &str, u32, u32, Option<&str>); 4] = [
    ("overview-light", "light", 1280, 1080, None),
    ("overview-dark", "dark", 1280, 1080, None),
    ("tunnel", "light", 1280, 1080, Some("ams-ipsec-1")),
    ("phone", "light", 390, 844, None),
];

/// A network with delays and losses.
const NETWORK: Stage = Stage { alive: "10.77.4", flags: &[], unknown: "zrh-ipsec-1" };

fn pictures(world: &World) -> Option<Vec<(&'static str, Vec<u8>)>> {
    let browser = Browser::start()?;
    let take = |(name, scheme, width, height, tunnel): (_, _, _, _, Option<&str>)| {
        browser.resize(width, height);
        browser.prefer(scheme);
        browser.open(world.address(), &tunnel.map_or_else(|| "/".to_owned(), world::path_of));
        (name, browser.picture())
    };
    Some(PICTURES.into_iter().map(take).collect())
}

#[test]
fn pictures_of_the_story_show_something() {
    if env::var_os("MTE_PICTURES").is_some() {
        return namespace::run(concat!(module_path!(), "::pictures_of_the_story_show_something"), write);
    }
    let Some(pictures) = pictures(&World::settled()) else { return };
    for (name, picture) in pictures {
        assert!(picture.starts_with(b"\x89PNG") && picture.len() > 10_000, "{name}: {} bytes", picture.len());
    }
}

/// The last byte of an address, and its round-trip time in milliseconds.
const DELAYS: [(u8, f64); 9] =
    [(2, 9.0), (3, 31.0), (14, 33.0), (5, 18.0), (18, 19.0), (6, 24.0), (20, 26.0), (7, 38.0), (22, 41.0)];

/// The rules of the network for step `step` of ten seconds: the round-trip times vary, and Vienna loses packets for a
/// while.
fn weather(step: u8) -> Value {
    let rules = DELAYS.map(|(host, base)| {
        let wave = |period: f64| ((f64::from(step) + f64::from(host) * 7.0) / period).sin();
        let delay = base * (1.0 + 0.10 * wave(9.0) + 0.07 * wave(2.3) + 0.05 * wave(0.7));
        let loss = if host == 20 && (22..27).contains(&step) { 0.3 } else { 0.0 };
        let rule = json!({ "delay": delay / 1e3, "jitter": delay / 1e4, "loss": loss });
        (format!("{}.{host}", NETWORK.alive), rule)
    });
    Value::Object(rules.into_iter().collect())
}

fn write(lab: &mut Lab) {
    lab.rules(&weather(0));
    let world = World::settled_on(&NETWORK);
    for step in 0..62 {
        lab.rules(&weather(step));
        thread::sleep(Duration::from_secs(10));
    }
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/images");
    fs::create_dir_all(&folder).expect("a folder for pictures");
    for (name, picture) in pictures(&world).expect("a browser") {
        fs::write(folder.join(format!("{name}.png")), picture).expect("a file in docs/images");
    }
}
