//! TLS and passwords of the built program, with curl, openssl and Prometheus as clients.

pub(crate) mod authority;
mod other_exporters;

use std::{
    fs,
    net::SocketAddr,
    path::PathBuf,
    process::{Command, Output},
    time::Duration,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use socket2::{Domain, Socket, Type};

use self::authority::{Authority, Pair};
use crate::{
    prometheus::Prometheus,
    sandbox::Sandbox,
    support::{
        SOON, eventually,
        exporter::{Exporter, program, run},
        free_address, http, tools,
    },
};

const NAME: &str = "exporter.example";
const USER: &str = "alice";
const PASSWORD: &str = "pa55w0rd-of-the-tests";

/// The bcrypt cost; low, so that a check is fast.
const COST: u32 = 4;

fn hash() -> String {
    bcrypt::hash(PASSWORD, COST).expect("a hash")
}

/// A folder with a web configuration file, the certificates that it names, and those of the clients.
pub(crate) struct Folder {
    folder: tempfile::TempDir,
    authority: Authority,
}

impl Folder {
    pub(crate) fn new() -> Self {
        let folder = Self { folder: tempfile::tempdir().expect("a temporary folder"), authority: Authority::new() };
        folder.write("ca.crt", &folder.authority.certificate());
        folder.write_pair("server", &folder.authority.signs(&[NAME]));
        folder.write_pair("client", &folder.authority.signs(&["prometheus.example"]));
        folder
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn shown(&self, name: &str) -> String {
        self.path(name).display().to_string()
    }

    /// Replaces a file atomically, as tools that renew certificates do.
    pub(crate) fn write(&self, name: &str, text: &str) {
        fs::write(self.path("new"), text).expect("a file in a temporary folder");
        fs::rename(self.path("new"), self.path(name)).expect("a file in a temporary folder");
    }

    fn write_pair(&self, name: &str, pair: &Pair) {
        self.write(&format!("{name}.crt"), &pair.certificate);
        self.write(&format!("{name}.key"), &pair.key);
    }

    /// Starts `demo` with this web configuration file.
    pub(crate) fn demo(&self, web_config: &str, extra: &[&str]) -> Exporter {
        self.write("web.yml", web_config);
        let mut command = program();
        command.arg("demo").arg(format!("--sandbox.listen-address={}", free_address())).args(extra);
        Exporter::launch(command.arg(format!("--web.config.file={}", self.shown("web.yml"))))
    }

    /// Fetches `/metrics` with curl, with these options in addition to those for TLS. `None` if curl is not installed.
    pub(crate) fn curl(&self, exporter: &Exporter, options: &[&str]) -> Option<Output> {
        let address = exporter.address;
        let resolve = format!("{NAME}:{}:{}", address.port(), address.ip());
        let mut curl = Command::new(tools::tool("curl")?);
        curl.args(["--silent", "--show-error", "--max-time", "20", "--cacert", &self.shown("ca.crt")]);
        curl.args(["--resolve", &resolve, "--write-out", "\n%{http_code} %{ssl_verify_result}\n"]).args(options);
        Some(tools::run(curl.arg(format!("https://{NAME}:{}/metrics", address.port())), ""))
    }
}

/// The last line of curl's output: the status, and 0 for a trusted certificate.
pub(crate) fn outcome(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).lines().last().unwrap_or_default().to_owned()
}

pub(crate) fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

pub(crate) const TLS: &str = "tls_server_config:\n  cert_file: server.crt\n  key_file: server.key\n";
const MUTUAL: &str = "  client_auth_type: RequireAndVerifyClientCert\n  client_ca_file: ca.crt\n  \
    client_allowed_sans: [prometheus.example]\n";

fn users() -> String {
    format!("basic_auth_users:\n  {USER}: {}\n", hash())
}

fn credentials() -> String {
    format!("{USER}:{PASSWORD}")
}

#[test]
fn curl_needs_a_certificate_and_a_password() {
    let folder = Folder::new();
    folder.write_pair("stranger", &folder.authority.signs(&["stranger.example"]));
    let exporter = folder.demo(&format!("{TLS}{MUTUAL}{}", users()), &[]);
    let shows = |name: &str| {
        [
            "--cert".to_owned(),
            folder.shown(&format!("{name}.crt")),
            "--key".into(),
            folder.shown(&format!("{name}.key")),
        ]
    };
    let curl = |options: &[&str]| folder.curl(&exporter, options);
    let (client, stranger) = (shows("client"), shows("stranger"));
    let (client, stranger) = (client.each_ref().map(String::as_str), stranger.each_ref().map(String::as_str));
    let right = credentials();

    let Some(page) = curl(&[&client[..], &["--user", &right]].concat()) else { return };
    assert_eq!(outcome(&page), "200 0", "{}", said(&page));
    assert!(said(&page).contains("cloudflare_magic_exporter_build_info"), "{}", said(&page));
    for wrong in ["alice:wrong", "mallory:wrong", "alice:"] {
        let refused = curl(&[&client[..], &["--user", wrong]].concat()).expect("curl");
        assert_eq!(outcome(&refused), "401 0", "{}", said(&refused));
    }
    assert_eq!(outcome(&curl(&client).expect("curl")), "401 0", "a certificate does not replace a password");
    for options in [&[][..], &stranger] {
        let refused = curl(&[options, &["--user", &right]].concat()).expect("curl");
        assert!(!refused.status.success() && outcome(&refused).starts_with("000"), "{}", said(&refused));
    }
    let distrustful = curl(&[&client[..], &["--user", &right, "--cacert", &folder.shown("stranger.crt")]].concat());
    assert_eq!(distrustful.expect("curl").status.code(), Some(60), "curl trusts only the given CA");
}

#[test]
fn openssl_negotiates_current_tls_versions_only() {
    let Some(openssl) = tools::tool("openssl") else { return };
    let folder = Folder::new();
    let exporter = folder.demo(TLS, &[]);
    let connect = |version: &str| {
        let mut client = Command::new(&openssl);
        client.args(["s_client", version, "-connect", &exporter.address.to_string(), "-servername", NAME]);
        tools::run(
            client.args(["-CAfile", &folder.shown("ca.crt"), "-verify_return_error", "-alpn", "h2,http/1.1"]),
            "",
        )
    };
    for (version, name) in [("-tls1_2", "TLSv1.2"), ("-tls1_3", "TLSv1.3")] {
        let said = said(&connect(version));
        for expected in [name, "Verify return code: 0 (ok)", "ALPN protocol: http/1.1"] {
            assert!(said.contains(expected), "{version}: no `{expected}` in:\n{said}");
        }
    }
    let old = connect("-tls1_1");
    assert!(!old.status.success(), "{}", said(&old));
}

#[test]
fn prometheus_scrapes_with_certificate_and_password() {
    let folder = Folder::new();
    let exporter = folder.demo(&format!("{TLS}{MUTUAL}{}", users()), &[]);
    let trust = format!("ca_file: '{}', server_name: {NAME}", folder.shown("ca.crt"));
    let shows = format!("cert_file: '{}', key_file: '{}'", folder.shown("client.crt"), folder.shown("client.key"));
    let targets = format!("static_configs: [{{ targets: ['{}'] }}]", exporter.address);
    let login = format!("basic_auth: {{ username: {USER}, password: '{PASSWORD}' }}");
    let jobs = [
        format!("{{ job_name: right, scheme: https, tls_config: {{ {trust}, {shows} }}, {login}, {targets} }}"),
        format!("{{ job_name: no_password, scheme: https, tls_config: {{ {trust}, {shows} }}, {targets} }}"),
        format!("{{ job_name: no_certificate, scheme: https, tls_config: {{ {trust} }}, {login}, {targets} }}"),
        format!("{{ job_name: in_the_clear, {login}, {targets} }}"),
    ];
    let config =
        format!("global: {{ scrape_interval: 1s, scrape_timeout: 1s }}\nscrape_configs: [{}]\n", jobs.join(", "));
    let Some(prometheus) = Prometheus::configured(&config) else { return };
    prometheus.await_query("up{job='right'} == 1", SOON, |found| found.len() == 1);
    prometheus.await_query("cloudflare_magic_tunnel_info{job='right'}", SOON, |found| !found.is_empty());
    prometheus.await_query("up{job!='right'} == 0", SOON, |found| found.len() == 3);
    // The result of the password check is cached: no scrape fails after the first.
    prometheus.await_query("count_over_time(up{job='right'}[1m]) > 5", SOON, |found| found.len() == 1);
    prometheus.await_query("min_over_time(up{job='right'}[1m]) == 1", SOON, |found| found.len() == 1);
}

/// Waits until a line of the log contains all of `words`. Returns the number of such lines.
pub(crate) fn await_line(exporter: &mut Exporter, words: &[&str]) -> usize {
    eventually(&format!("a line with {words:?}"), SOON, || {
        exporter.process.assert_running();
        let said = exporter.process.said();
        let lines = said.lines().filter(|line| words.iter().all(|word| line.contains(word))).count();
        if lines > 0 { Ok(lines) } else { Err(said) }
    })
}

#[test]
fn a_new_certificate_is_used_without_a_restart_and_a_bad_one_is_ignored() {
    let folder = Folder::new();
    let mut exporter = folder.demo(&format!("{TLS}{}", users()), &[]);
    let login = credentials();
    let Some(first) = folder.curl(&exporter, &["--user", &login]) else { return };
    assert_eq!(outcome(&first), "200 0", "{}", said(&first));

    // A new certificate without its key is an incomplete change: the previous pair stays active.
    let renewed = Folder::new();
    folder.write("server.crt", &renewed.authority.signs(&[NAME]).certificate);
    await_line(&mut exporter, &["stays in use", "key_file", "does not belong to the certificate"]);
    assert_eq!(outcome(&folder.curl(&exporter, &["--user", &login]).expect("curl")), "200 0");

    folder.write_pair("server", &renewed.authority.signs(&[NAME]));
    await_line(&mut exporter, &["reloaded the web configuration file"]);
    let by_new = renewed.curl(&exporter, &["--user", &login]).expect("curl");
    assert_eq!(outcome(&by_new), "200 0", "{}", said(&by_new));
    let by_old = folder.curl(&exporter, &["--user", &login]).expect("curl");
    assert_eq!(by_old.status.code(), Some(60), "{}", said(&by_old));

    // A file that is rewritten in place is empty first and incomplete afterwards.
    for half in ["", TLS] {
        folder.write("web.yml", half);
        await_line(
            &mut exporter,
            &["stays in use", "only a restart", if half.is_empty() { "tls_server_config" } else { "basic_auth_users" }],
        );
        assert_eq!(outcome(&renewed.curl(&exporter, &[]).expect("curl")), "401 0", "passwords are still asked for");
    }

    folder.write("web.yml", &format!("{TLS}{}", users().replace(USER, "bob")));
    eventually("the password of bob to be accepted", SOON, || {
        let output = renewed.curl(&exporter, &["--user", &format!("bob:{PASSWORD}")]).expect("curl");
        if outcome(&output) == "200 0" { Ok(()) } else { Err(said(&output)) }
    });
    assert_eq!(
        outcome(&renewed.curl(&exporter, &["--user", &login]).expect("curl")),
        "401 0",
        "alice is not in the file any more"
    );
    for words in [&["stays in use", "does not belong"][..], &["stays in use", "no longer has tls_server_config"]] {
        assert_eq!(await_line(&mut exporter, words), 1, "each problem is logged once");
    }
}

#[test]
fn a_wrong_file_ends_the_program_with_one_line() {
    let folder = Folder::new();
    folder.write("other.key", &folder.authority.signs(&[NAME]).key);
    for (text, words) in [
        ("tls_server_config: {cert_file: server.crt, key_file: other.key}\n", "does not belong to the certificate"),
        ("tls_server_config: {cert_file: nowhere.crt, key_file: server.key}\n", "nowhere.crt"),
        ("basic_auth_users: {alice: pa55w0rd-of-the-tests}\n", "must be a bcrypt hash"),
        ("tls_server_config: [\n", "line "),
    ] {
        folder.write("web.yml", text);
        for command in ["demo", "serve"] {
            let mut program = program();
            program.args([command, "--web.config.file", &folder.shown("web.yml")]);
            if command == "serve" {
                program.args(["--cloudflare.account-id", "a"]).env("CLOUDFLARE_API_TOKEN", "t");
            }
            let ended = run(&mut program);
            assert_eq!(ended.status.code(), Some(64), "{text}: {ended:?}");
            let named = format!("{}: line ", folder.shown("web.yml"));
            assert!(ended.stderr.contains(&named) && ended.stderr.contains(words), "{text}: {}", ended.stderr);
            assert!(ended.stderr.lines().count() == 1 && !ended.stderr.contains(PASSWORD), "{text}: {}", ended.stderr);
        }
    }
}

/// The status of `/metrics` with this password.
pub(crate) fn status(address: SocketAddr, path: &str, login: &str) -> u16 {
    let header = format!("Basic {}", STANDARD.encode(login));
    http::request(address, "GET", path, &[("Authorization", &header)]).expect("an answer").status
}

#[test]
fn passwords_work_without_tls_and_health_can_stay_open() {
    let folder = Folder::new();
    for (flag, health) in [(&[][..], 401), (&["--web.open-health"], 200)] {
        let exporter = folder.demo(&users(), flag);
        let at = exporter.address;
        assert_eq!(http::get(at, "/-/healthy").expect("an answer").status, health);
        assert_eq!(status(at, "/metrics", &credentials()), 200);
        assert_eq!(status(at, "/metrics", "alice:wrong"), 401);
        let huge = "x".repeat(1 << 20);
        // The connection may be reset before the answer is read, because the request is still being sent.
        let header = format!("Basic {}", STANDARD.encode(format!("{USER}:{huge}")));
        if let Ok(reply) = http::request(at, "GET", "/metrics", &[("Authorization", &header)]) {
            assert_eq!(reply.status, 431);
        }
        assert_eq!(status(at, "/metrics", &credentials()), 200);
    }
}

/// Reloading by HTTP needs the password like every other path, and applies the whole file or nothing.
#[test]
fn a_reload_needs_the_password_and_applies_the_whole_file_or_nothing() {
    let folder = Folder::new();
    let sandbox = Sandbox::start();
    folder.write("web.yml", &users());
    let file = format!("--web.config.file={}", folder.shown("web.yml"));
    let exporter = sandbox.watched(&folder.folder, &[&file, "--web.open-health", "--web.enable-lifecycle"]);
    let reload = |login: &str| {
        let header = format!("Basic {}", STANDARD.encode(login));
        http::request(exporter.address, "POST", "/-/reload", &[("Authorization", &header)]).expect("an answer")
    };
    assert_eq!(reload("alice:wrong").status, 401);
    assert_eq!(reload(&credentials()).status, 200);

    folder.write("web.yml", "basic_auth_users: {alice: wonder}\n");
    let refused = reload(&credentials());
    assert_eq!(refused.status, 500);
    assert!(refused.text().contains("`basic_auth_users.alice` must be a bcrypt hash"), "{}", refused.text());
    folder.write("web.yml", "");
    let refused = reload(&credentials());
    assert!(refused.status == 500 && refused.text().contains("only a restart can open access"), "{}", refused.text());

    folder.write("web.yml", &users().replace(USER, "bob"));
    // The file watcher may have removed alice before this request.
    assert!([200, 401].contains(&reload(&credentials()).status));
    assert_eq!(status(exporter.address, "/metrics", &credentials()), 401);
    assert_eq!(status(exporter.address, "/metrics", &format!("bob:{PASSWORD}")), 200);
}

#[test]
fn the_health_check_of_an_image_needs_neither_certificate_nor_password() {
    let folder = Folder::new();
    for text in [users(), TLS.to_owned(), format!("{TLS}{MUTUAL}{}", users())] {
        let exporter = folder.demo(&text, &[]);
        let asked = run(program().args(["healthcheck", &format!("--web.listen-address={}", exporter.address)]));
        assert!(asked.status.success(), "{text}\n{asked:?}");
    }
}

#[test]
fn no_secret_of_the_file_is_shown() {
    let folder = Folder::new();
    let pair = folder.authority.signs(&[NAME]);
    folder.write_pair("server", &pair);
    let hash = hash();
    let text = format!("{TLS}basic_auth_users:\n  {USER}: {hash}\n");
    let exporter = folder.demo(&text, &["--log.level=trace"]);
    let Some(_) = folder.curl(&exporter, &["--user", &credentials()]) else { return };
    for options in [
        &["--user", "alice:s3cr3t-guess"][..],
        &[],
        &["--cert", &folder.shown("client.crt"), "--key", &folder.shown("client.key")],
    ] {
        folder.curl(&exporter, options).expect("curl");
    }
    drop(http::get(exporter.address, "/metrics"));
    exporter.process.signal("TERM");
    let ended = exporter.process.ended(SOON);
    let said = format!("{}{}", ended.stdout, ended.stderr);
    assert!(said.contains("the client sent an HTTP request to an HTTPS port"), "the log level is trace:\n{said}");
    let header = STANDARD.encode(credentials());
    let key_lines = pair.key.lines().filter(|line| !line.starts_with("-----"));
    for secret in key_lines.chain([PASSWORD, "s3cr3t-guess", &hash[7..], &header]) {
        assert!(!said.contains(secret), "the log shows `{secret}`:\n{said}");
    }
}

/// More connections than the exporter accepts at once, and more than the kernel queues.
#[test]
fn ten_thousand_silent_connections_do_not_exhaust_the_exporter() {
    const CROWD: usize = 10_000;
    let folder = Folder::new();
    let mut exporter = folder.demo(TLS, &[]);
    let address = exporter.address.into();
    let knock = || {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
        socket.set_nonblocking(true)?;
        // The connection is in progress or waits for a place in the queue.
        let _ = socket.connect(&address);
        Ok::<_, std::io::Error>(socket)
    };
    // The limit on open files of this user may be lower.
    let crowd: Vec<Socket> = (0..CROWD).map_while(|_| knock().ok()).collect();
    assert!(crowd.len() > 600, "only {} sockets could be opened", crowd.len());
    let open_files = || fs::read_dir(format!("/proc/{}/fd", exporter.process.id())).map_or(0, Iterator::count);
    eventually("the exporter to be full", SOON, || {
        if open_files() > 512 { Ok(()) } else { Err(format!("{} files", open_files())) }
    });
    assert!(open_files() < 700, "{} open files: connections are not bounded", open_files());
    drop(crowd);
    exporter.process.assert_running();
    let Some(_) = tools::tool("curl") else { return };
    eventually("a scrape", Duration::from_mins(1), || {
        let output = folder.curl(&exporter, &[]).expect("curl");
        if outcome(&output) == "200 0" { Ok(()) } else { Err(said(&output)) }
    });
}
