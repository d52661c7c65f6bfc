//! Style sheet, script and icons of the pages. Each name contains a hash of the content, so clients can cache the files
//! forever.

use std::{
    hash::{DefaultHasher, Hash as _, Hasher as _},
    sync::LazyLock,
};

use hyper::body::Bytes;

use crate::{domain::label::Label as _, snapshot::rows::Concern};

/// A file below `/assets/`.
#[derive(Debug)]
pub(super) struct Asset {
    pub(super) name: String,
    pub(super) content_type: &'static str,
    pub(super) body: Bytes,
}

#[derive(Debug)]
struct Assets {
    style: Asset,
    script: Asset,
    /// One per [`Concern`], in that order.
    icons: Vec<Asset>,
}

static ASSETS: LazyLock<Assets> = LazyLock::new(|| Assets {
    style: Asset::new("style", "css", "text/css; charset=utf-8", include_str!("assets/style.css")),
    script: Asset::new("script", "js", "text/javascript; charset=utf-8", include_str!("assets/script.js")),
    icons: Concern::ALL.iter().map(|&concern| draw_icon(concern)).collect(),
});

impl Asset {
    fn new(stem: &str, extension: &str, content_type: &'static str, text: &str) -> Self {
        let mut hasher = DefaultHasher::new();
        text.hash(&mut hasher);
        let name = format!("{stem}-{:016x}.{extension}", hasher.finish());
        Self { name, content_type, body: Bytes::copy_from_slice(text.as_bytes()) }
    }
}

pub(super) fn style() -> &'static Asset {
    &ASSETS.style
}

pub(super) fn script() -> &'static Asset {
    &ASSETS.script
}

/// The icon of the browser tab, in the colour of the concern.
pub(super) fn icon(concern: Concern) -> &'static Asset {
    &ASSETS.icons[concern as usize]
}

/// Finds a file by its name.
pub(super) fn find_asset(name: &str) -> Option<&'static Asset> {
    let Assets { style, script, icons } = &*ASSETS;
    icons.iter().chain([style, script]).find(|asset| asset.name == name)
}

fn draw_icon(concern: Concern) -> Asset {
    let colour = match concern {
        Concern::Broken => "#d92d20",
        Concern::Suspect => "#dc8a0a",
        Concern::Unsure => "#7c879b",
        Concern::Fine => "#1b9e5a",
    };
    let text = include_str!("assets/icon.svg").replace("currentColor", colour);
    Asset::new(&format!("icon-{concern}"), "svg", "image/svg+xml", &text)
}
