//! Executes the blocks of one document in their order.

use std::{collections::VecDeque, fs, net::SocketAddr, path::PathBuf, time::Duration};

use super::{
    blocks::{Block, blocks, replace_words},
    shell::Shell,
};
use crate::{
    network::{lab::Lab, namespace},
    support::{SOON, eventually, http, tools::tool},
};

/// Deadline of a result that passes through Prometheus.
const SHOWN: Duration = Duration::from_mins(3);

/// The programs that the documents use.
const TOOLS: [&str; 7] = ["bash", "curl", "jq", "prometheus", "promtool", "prometheus-alertmanager", "amtool"];

/// The blocks of a document that are not executed yet, and the shell for them.
pub(super) struct Story {
    document: &'static str,
    blocks: VecDeque<Block>,
    replacements: Vec<(&'static str, &'static str)>,
    shell: Shell,
    folder: PathBuf,
}

impl Story {
    /// Runs a test in a network namespace of its own, if the programs that the documents use are installed.
    pub(super) fn run(test: &str, story: fn(&mut Lab)) {
        if TOOLS.iter().all(|name| tool(name).is_some()) {
            namespace::run(test, story);
        }
    }

    pub(super) fn of(document: &'static str, lab: &Lab) -> Self {
        let blocks = blocks(document).into_iter().filter(Block::is_executed).collect();
        let folder = lab.folder().path().to_owned();
        Self { document, blocks, replacements: Vec::new(), shell: Shell::start(&folder), folder }
    }

    /// Replaces the words of the document that stand for values of the reader.
    pub(super) fn replace(&mut self, replacements: &[(&'static str, &'static str)]) {
        self.replacements = replacements.to_vec();
    }

    /// Replaces the address of Cloudflare's API by that of the simulated one.
    pub(super) fn redirect_to(&mut self, sandbox: &str) {
        for block in &mut self.blocks {
            block.text = block.text.replace("https://api.cloudflare.com/", &format!("http://{sandbox}/"));
        }
    }

    /// Writes a file to the folder `$TMPDIR` of the shell.
    pub(super) fn file(&self, name: &str, text: &str) {
        fs::write(self.folder.join(name), text).expect("a file of our own");
    }

    /// Executes commands that the document leaves to the reader.
    pub(super) fn prepare(&mut self, commands: &str) {
        let printed = self.shell.execute(commands);
        assert!(!printed.failed, "{commands}: {}", printed.text);
    }

    fn next(&mut self) -> Option<(String, String)> {
        let block = self.blocks.pop_front()?;
        let place = format!("{}:{}", self.document, block.line);
        Some((place, replace_words(&block.text, &self.replacements)))
    }

    /// The next block, which has this text.
    fn expect(&mut self, part: &str) -> (String, String) {
        let (place, block) = self.next().unwrap_or_else(|| panic!("{}: no block with {part}", self.document));
        assert!(block.contains(part), "{place}: expected a block with {part}:\n{block}");
        (place, block)
    }

    /// Executes the next block, which has this text. Returns its output.
    pub(super) fn executes(&mut self, part: &str) -> String {
        let (place, block) = self.expect(part);
        self.succeeds(&place, &block)
    }

    /// Repeats the next block, which has this text, until its output has `expected`.
    pub(super) fn prints(&mut self, part: &str, expected: &str) {
        let (place, block) = self.expect(part);
        eventually(&format!("{place} to print {expected}"), SHOWN, || {
            let printed = self.shell.execute(&block);
            if printed.text.contains(expected) { Ok(()) } else { Err(printed.text) }
        });
    }

    /// Executes the next block, which serves until it is interrupted, until a server responds.
    pub(super) fn serves(&mut self, part: &str, address: &str) {
        let (_, block) = self.expect(part);
        self.file("serves.sh", &block);
        self.prepare("bash -c \"$(cat \"$TMPDIR/serves.sh\")\" &");
        await_server(address);
        self.prepare("kill $! && wait $! || true");
    }

    /// Executes all remaining blocks. `check` gets the place, the commands and the output of each.
    pub(super) fn executes_the_rest(&mut self, check: fn(&str, &str, &str)) {
        while let Some((place, block)) = self.next() {
            let printed = self.succeeds(&place, &block);
            check(&place, &block, &printed);
        }
    }

    fn succeeds(&mut self, place: &str, block: &str) -> String {
        let printed = self.shell.execute(block);
        assert!(!printed.failed, "{place}: a command failed:\n{block}\nprinted:\n{}", printed.text);
        printed.text
    }

    /// # Panics
    /// A block was not executed.
    pub(super) fn ends(self) {
        let left: Vec<usize> = self.blocks.iter().map(|block| block.line).collect();
        assert!(left.is_empty(), "{}: the blocks in lines {left:?} were not executed", self.document);
    }
}

/// Waits until a server responds, whatever the status is.
pub(super) fn await_server(address: &str) {
    let address: SocketAddr = address.parse().expect("an address");
    eventually(&format!("a server on {address}"), SOON, || {
        http::get(address, "/").map(drop).map_err(|error| error.to_string())
    });
}
