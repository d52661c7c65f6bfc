//! A shell that executes the blocks of one document, so that variables and background jobs last from block to block.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use crate::{
    alerts::repository,
    network::{lab::Lab, namespace},
    support::{eventually, exporter::Process, tools::tool},
};

/// Deadline of one block.
const EXECUTED: Duration = Duration::from_mins(2);

/// Executes `0.sh`, `1.sh` and so on as they appear. Each has its output in `0.out`, and `0.done` has a 1 if a command
/// failed.
const LOOP: &str = r#"
trap '_failed=1' ERR
_block=0
while :; do
    if [ -e "$TMPDIR/$_block.sh" ]; then
        _failed=0
        . "$TMPDIR/$_block.sh" </dev/null >"$TMPDIR/$_block.out" 2>&1
        echo "$_failed" >"$TMPDIR/new" && mv "$TMPDIR/new" "$TMPDIR/$_block.done"
        _block=$((_block + 1))
    else
        sleep 0.05
    fi
done
"#;

/// A running shell in the root of the repository, where `magic-tunnel-exporter` is the program under test. Everything
/// that it started ends with it.
pub(super) struct Shell {
    process: Process,
    folder: PathBuf,
    executed: usize,
}

/// What a block printed.
pub(super) struct Printed {
    pub(super) text: String,
    /// True if a command of the block failed.
    pub(super) failed: bool,
}

impl Shell {
    pub(super) fn start(folder: &Path) -> Self {
        let ours = Path::new(env!("CARGO_BIN_EXE_magic-tunnel-exporter")).parent().expect("a folder").to_owned();
        let path = env::var_os("PATH").unwrap_or_default();
        let path = env::join_paths([ours].into_iter().chain(env::split_paths(&path))).expect("a PATH");
        // The shell is the first process of its process namespace, so that all others end with it.
        let mut shell = Command::new("unshare");
        shell.args(["--pid", "--fork", "--kill-child", "bash", "-c", LOOP]).current_dir(repository(""));
        shell.env_clear().env("PATH", path).env("TMPDIR", folder).env("HOME", folder).env("LC_ALL", "C.UTF-8");
        Self { process: Process::start(&mut shell), folder: folder.to_owned(), executed: 0 }
    }

    /// Executes these commands and waits for their end.
    pub(super) fn execute(&mut self, commands: &str) -> Printed {
        let path = |end: &str| self.folder.join(format!("{}.{end}", self.executed));
        let read = |end: &str| fs::read_to_string(path(end)).unwrap_or_default();
        fs::write(path("new"), commands).expect("a file of our own");
        fs::rename(path("new"), path("sh")).expect("a file of our own");
        let failed = eventually(commands, EXECUTED, || match read("done").trim() {
            "" => Err(read("out")),
            failed => Ok(failed != "0"),
        });
        self.process.assert_running();
        let text = read("out");
        self.executed += 1;
        Printed { text, failed }
    }
}

#[test]
fn variables_last_and_a_failed_command_is_noticed_wherever_it_is() {
    fn story(lab: &mut Lab) {
        let mut shell = Shell::start(lab.folder().path());
        assert!(!shell.execute("for n in 1 2; do X=$n; done; false || true").failed);
        let printed = shell.execute("false\necho \"$X\"");
        assert_eq!((printed.text.as_str(), printed.failed), ("2\n", true));
    }
    if tool("bash").is_some() {
        let name = "variables_last_and_a_failed_command_is_noticed_wherever_it_is";
        namespace::run(&format!("{}::{name}", module_path!()), story);
    }
}
