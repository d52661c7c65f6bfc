//! The pictures of README.md, taken of the fixed story: `MTE_PICTURES=1 cargo test --test e2e pictures` writes them to docs/images/.

use std::{env, fs, path::Path, time::Duration};

use super::{
    Browser,
    world::{self, World},
};
use crate::support::{eventually, http};

/// Name, color scheme, width and height, tunnel (or the front page).
const PICTURES: [(&str, &str, u32, u32, Option<&str>); 4] = [
    ("overview-light", "light", 1280, 900, None),
    ("overview-dark", "dark", 1280, 900, None),
    ("tunnel", "light", 1280, 900, Some("ams-ipsec-1")),
    ("phone", "light", 390, 844, None),
];

/// Until the graphs have something to show.
const LONG_ENOUGH: Duration = Duration::from_mins(11);

#[test]
fn pictures_of_the_story_show_something() {
    let asked = env::var_os("MTE_PICTURES").is_some();
    let Some(browser) = Browser::start() else { return };
    let world = World::settled();
    if asked {
        await_history(&world);
    }
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/images");
    for (name, scheme, width, height, tunnel) in PICTURES {
        browser.resize(width, height);
        browser.prefer(scheme);
        browser.open(world.address(), &tunnel.map_or_else(|| "/".to_owned(), world::path_of));
        let picture = browser.picture();
        assert!(picture.starts_with(b"\x89PNG") && picture.len() > 10_000, "{name}: {} bytes", picture.len());
        if asked {
            fs::create_dir_all(&folder).expect("a folder for pictures");
            fs::write(folder.join(format!("{name}.png")), picture).expect("a file in docs/images");
        }
    }
}

/// Waits until ten minutes of round-trip times were taken down.
fn await_history(world: &World) {
    eventually("a full history", LONG_ENOUGH, || {
        let answer = http::text(world.address(), "/api/v1/tunnels?search=waw-ipsec-1");
        let answer: serde_json::Value = serde_json::from_str(&answer).expect("JSON");
        let replies = answer["tunnels"][0]["probes"]["targets"][0]["recent"]["replies"].as_u64();
        // Five echoes a second.
        if replies >= Some(2_940) { Ok(()) } else { Err(format!("{replies:?} replies")) }
    });
}
