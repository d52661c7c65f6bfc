//! The program under test as a child process that does not outlive its test.

use std::{
    io::{BufRead as _, BufReader, Read},
    net::{SocketAddr, TcpStream},
    path::Path,
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Arc, Mutex},
    thread::{self, JoinHandle},
    time::Duration,
};

use super::{SOON, eventually, free_address, http, samples::Samples};

pub(crate) const TOKEN: &str = "e2e-token-7f3a9c51d2";
pub(crate) const ACCOUNT: &str = "0123456789abcdef0123456789abcdef";

/// The program with an empty environment, so that nothing configures it by accident.
pub(crate) fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_magic-tunnel-exporter"));
    command.env_clear().env("RUST_BACKTRACE", "1");
    command
}

/// The exit status and the output of a process.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) status: ExitStatus,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// Runs the program to its end. Panics if it takes longer than [`SOON`].
pub(crate) fn run(command: &mut Command) -> Ended {
    Process::start(command).ended(SOON)
}

/// A child process. Its output is collected while it runs. Killed when dropped. A failing test prints the output.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    stdout: Said,
    stderr: Said,
}

/// A stream of output: the text so far, and the thread that reads it.
#[derive(Debug)]
struct Said {
    text: Arc<Mutex<String>>,
    reader: Option<JoinHandle<()>>,
}

impl Said {
    fn collect(stream: impl Read + Send + 'static) -> Self {
        let text = Arc::<Mutex<String>>::default();
        let shared = Arc::clone(&text);
        let reader = thread::spawn(move || {
            let mut stream = BufReader::new(stream);
            let mut line = Vec::new();
            while stream.read_until(b'\n', &mut line).is_ok_and(|n| n > 0) {
                shared.lock().expect("the text").push_str(&String::from_utf8_lossy(&line));
                line.clear();
            }
        });
        Self { text, reader: Some(reader) }
    }

    fn so_far(&self) -> String {
        self.text.lock().expect("the text").clone()
    }

    fn all(&mut self) -> String {
        self.reader.take().into_iter().for_each(|reader| reader.join().expect("the reader of a stream"));
        self.so_far()
    }
}

impl Process {
    pub(crate) fn start(command: &mut Command) -> Self {
        Self::start_with(Stdio::null(), command)
    }

    pub(crate) fn start_with(stdin: Stdio, command: &mut Command) -> Self {
        command.stdin(stdin).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|e| panic!("{command:?}: {e}"));
        let stdout = Said::collect(child.stdout.take().expect("a piped stdout"));
        let stderr = Said::collect(child.stderr.take().expect("a piped stderr"));
        Self { child, stdout, stderr }
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// The output so far, standard output first.
    pub(crate) fn said(&self) -> String {
        format!("{}{}", self.stdout.so_far(), self.stderr.so_far())
    }

    /// The standard output so far.
    pub(crate) fn printed(&self) -> String {
        self.stdout.so_far()
    }

    pub(crate) fn assert_running(&mut self) {
        if let Some(status) = self.child.try_wait().expect("the state of a child") {
            panic!("it ended with {status}; its output:\n{}{}", self.stdout.all(), self.stderr.all());
        }
    }

    /// Sends a signal by name: `INT`, `TERM`, `HUP`.
    pub(crate) fn signal(&self, name: &str) {
        let kill = format!("kill -{name} {}", self.id());
        assert!(Command::new("sh").args(["-c", &kill]).status().expect("sh").success(), "{kill}");
    }

    /// Waits for the process to end by itself.
    pub(crate) fn ended(mut self, within: Duration) -> Ended {
        let status = eventually("the process to end", within, || {
            self.child
                .try_wait()
                .expect("the state of a child")
                .ok_or_else(|| format!("it is running; its output:\n{}", self.said()))
        });
        Ended { status, stdout: self.stdout.all(), stderr: self.stderr.all() }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
        if thread::panicking() {
            #[expect(clippy::print_stderr, reason = "shown by the test harness when the test fails")]
            {
                eprintln!("--- output of process {}:\n{}", self.id(), self.said());
            }
        }
    }
}

/// A running exporter and where it listens.
#[derive(Debug)]
pub(crate) struct Exporter {
    pub(crate) process: Process,
    pub(crate) address: SocketAddr,
}

impl Exporter {
    /// Starts `command` on a free address, and waits until it serves.
    pub(crate) fn start(command: &mut Command) -> Self {
        let mut exporter = Self::launch(command);
        exporter.await_healthy();
        exporter
    }

    /// Starts `command` on a free address, and waits until its port is open.
    pub(crate) fn launch(command: &mut Command) -> Self {
        let address = free_address();
        let process = Process::start(command.arg(format!("--web.listen-address={address}")));
        let mut exporter = Self { process, address };
        eventually("the port to be open", SOON, || {
            exporter.process.assert_running();
            TcpStream::connect(address).map(drop).map_err(|error| error.to_string())
        });
        exporter
    }

    /// `demo` with its sandbox on a free address.
    pub(crate) fn demo() -> Self {
        Self::start(program().arg("demo").arg(format!("--sandbox.listen-address={}", free_address())))
    }

    /// `serve` on an API of this machine, polled every second; `token_file` contains its token.
    pub(crate) fn serve(api: SocketAddr, token_file: &Path, extra: &[&str]) -> Self {
        Self::start(
            program()
                .args(["serve", "--cloudflare.account-id", ACCOUNT, "--poll.interval=1s", "--poll.timeout=3s"])
                .arg("--cloudflare.api-token-file")
                .arg(token_file)
                .arg(format!("--cloudflare.api-url=http://{api}/client/v4"))
                .args(extra),
        )
    }

    fn await_healthy(&mut self) {
        eventually("the exporter to serve", SOON, || {
            self.process.assert_running();
            match http::get(self.address, "/-/healthy") {
                Ok(reply) if reply.status == 200 => Ok(()),
                other => Err(format!("{other:?}")),
            }
        });
    }

    pub(crate) fn samples(&self) -> Samples {
        Samples::parse(&http::text(self.address, "/metrics"))
    }

    /// Waits until `check` returns a value for the page of metrics. Panics with the last page otherwise.
    pub(crate) fn await_page<T>(
        &mut self,
        what: &str,
        within: Duration,
        mut check: impl FnMut(&Samples) -> Option<T>,
    ) -> T {
        eventually(what, within, || {
            self.process.assert_running();
            let page = http::text(self.address, "/metrics");
            check(&Samples::parse(&page)).ok_or(page)
        })
    }

    /// Waits until every collection has been polled.
    pub(crate) fn await_ready(&self) {
        eventually("the exporter to be ready", SOON, || match http::get(self.address, "/-/ready") {
            Ok(reply) if reply.status == 200 => Ok(()),
            other => Err(format!("{other:?}")),
        });
    }
}

/// A file with the token and a line break at the end.
pub(crate) fn token_file(folder: &tempfile::TempDir) -> std::path::PathBuf {
    let file = folder.path().join("token");
    std::fs::write(&file, format!("{TOKEN}\n")).expect("a file in a temporary folder");
    file
}
