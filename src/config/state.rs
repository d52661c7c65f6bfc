//! Where the state is kept over a restart.

use std::path::PathBuf;

use web_toolkit::{
    keys,
    settings::{SettingsReader, has_token},
    yaml::Node,
};

use super::{flags::StateFlags, inputs::Inputs};

/// A directory for the state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StateLocation {
    pub directory: PathBuf,
    /// Whether the operator set it. Otherwise it comes from the service manager or the image, and the exporter runs
    /// without it if it cannot be used.
    pub required: bool,
}

keys! { pub(super) struct StateKeys { directory } }

impl StateLocation {
    /// The flag, then its variable, then the key, then the first directory that the service manager created. An empty
    /// text means none.
    pub(super) fn read(
        flags: &StateFlags,
        reader: &mut SettingsReader,
        node: Node<StateKeys>,
        inputs: &Inputs,
    ) -> Option<Self> {
        let keys = reader.section("state", node);
        if let Some(setting) = reader.one(("state.directory", flags.directory.as_deref(), keys.directory)) {
            if setting.trimmed().is_empty() {
                return None;
            }
            let directory = setting.path();
            if directory.exists() && !directory.is_dir() {
                reader.report(setting.mistake("must be a directory"));
            } else if !directory.exists() && has_token(setting.trimmed()) {
                reader.report(setting.mistake("does not exist and looks like a secret; create the directory first"));
            }
            return Some(Self { directory, required: true });
        }
        // systemd.exec(5): several directories are separated by colons.
        let created = inputs.variable("STATE_DIRECTORY")?;
        let first = created.trimmed().split(':').next().filter(|first| !first.is_empty())?;
        Some(Self { directory: first.into(), required: false })
    }
}
