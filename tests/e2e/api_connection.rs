//! The connection to the API: private CAs, unknown issuers and proxies, as the environment configures them.

use std::{
    fs,
    io::{self, Read, Write as _},
    net::{IpAddr, Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream},
    path::Path,
    process::Command,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use tokio_rustls::rustls::{
    ServerConfig, ServerConnection, StreamOwned,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
};

use crate::{
    secrets::everything_shown,
    support::{
        SOON,
        api::Api,
        eventually,
        exporter::{ACCOUNT, Ended, Exporter, TOKEN, program, run},
        free_address,
        samples::Samples,
        tunnels::all_is_well,
    },
    web_config::authority::{Authority, Pair},
};

/// A host that only the proxy can resolve.
const HOST: &str = "api.example";

const PROXY_USER: &str = "egress";
const PROXY_PASSWORD: &str = "s3cr3t:pr0xy@pass-5d20";
/// `PROXY_PASSWORD` as it is written in a URL.
const PROXY_PASSWORD_IN_URL: &str = "s3cr3t%3Apr0xy%40pass-5d20";

/// A TCP server with one thread per connection. It stops accepting when it is dropped.
struct Server {
    address: SocketAddr,
    stop: Arc<AtomicBool>,
}

impl Server {
    fn start(address: SocketAddr, serve: impl Fn(TcpStream) -> io::Result<()> + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind(address).expect("an address that only this test uses");
        let stop = Arc::<AtomicBool>::default();
        let (stopped, serve) = (Arc::clone(&stop), Arc::new(serve));
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if stopped.load(Ordering::Relaxed) {
                    return;
                }
                let serve = Arc::clone(&serve);
                // A refused certificate ends the connection with an error; the tests look at its effect instead.
                thread::spawn(move || stream.set_read_timeout(Some(SOON)).and_then(|()| serve(stream)));
            }
        });
        Self { address, stop }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        // Wakes the thread that accepts.
        drop(TcpStream::connect(self.address));
    }
}

/// The head of a request, byte by byte so that nothing after it is consumed.
fn read_head(stream: &mut impl Read) -> io::Result<String> {
    let (mut head, mut byte) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte)?;
        head.extend(byte);
    }
    String::from_utf8(head).map_err(io::Error::other)
}

/// A healthy API behind TLS. Its certificate names [`HOST`] and its own address, and is signed by a private CA.
struct TlsApi {
    api: Api,
    tls: Server,
    folder: tempfile::TempDir,
}

impl TlsApi {
    fn start() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        fs::create_dir(folder.path().join("certs")).expect("a folder");
        let (api, authority) = (Api::start(all_is_well()), Authority::new());
        for file in ["ca.pem", "certs/ca.pem"] {
            fs::write(folder.path().join(file), authority.certificate()).expect("a file in a temporary folder");
        }
        let (address, backend) = (free_address(), api.address);
        let IpAddr::V4(host) = address.ip() else { panic!("{address} is not IPv4") };
        let config = Arc::new(server_config(&authority, host));
        let tls = Server::start(address, move |stream| terminate(stream, &config, backend));
        Self { api, tls, folder }
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }

    fn url(&self) -> String {
        format!("https://{}/client/v4", self.tls.address)
    }

    /// The same server under an IPv4-mapped IPv6 address. The exporter uses proxies for it, but never for 127.0.0.0/8.
    fn mapped_url(&self) -> String {
        format!("https://[::ffff:{}]:{}/client/v4", self.tls.address.ip(), self.tls.address.port())
    }

    fn assert_never_asked(&self) {
        let requests = self.api.requests();
        assert!(requests.is_empty(), "the API was asked: {requests:?}");
    }
}

/// The certificate names [`HOST`] and this address, also in its IPv4-mapped form.
fn server_config(authority: &Authority, address: Ipv4Addr) -> ServerConfig {
    let addresses = [address.to_string(), address.to_ipv6_mapped().to_string()];
    let Pair { certificate, key } = authority.signs(&[HOST, &addresses[0], &addresses[1]]);
    let chain = vec![CertificateDer::from_pem_slice(certificate.as_bytes()).expect("a certificate")];
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).expect("a key");
    let builder = ServerConfig::builder().with_no_client_auth();
    builder.with_single_cert(chain, key).expect("a certificate with its key")
}

/// Passes one request to the plain API and its answer back.
fn terminate(client: TcpStream, config: &Arc<ServerConfig>, api: SocketAddr) -> io::Result<()> {
    let session = ServerConnection::new(Arc::clone(config)).map_err(io::Error::other)?;
    let mut tls = StreamOwned::new(session, client);
    let request = read_head(&mut tls)?;
    let mut backend = TcpStream::connect(api)?;
    backend.write_all(request.as_bytes())?;
    io::copy(&mut backend, &mut tls)?;
    tls.conn.send_close_notify();
    tls.flush()
}

/// A CONNECT proxy that asks for a password and resolves every name to one server.
struct Proxy {
    server: Server,
    /// The head of every request.
    requests: Arc<Mutex<Vec<String>>>,
}

impl Proxy {
    fn start(destination: SocketAddr) -> Self {
        let requests = Arc::<Mutex<Vec<String>>>::default();
        let seen = Arc::clone(&requests);
        let server = Server::start(free_address(), move |mut client| {
            let head = read_head(&mut client)?;
            seen.lock().expect("the requests").push(head.clone());
            tunnel(client, &head, destination)
        });
        Self { server, requests }
    }

    fn url(&self, password: &str) -> String {
        format!("http://{PROXY_USER}:{password}@{}", self.server.address)
    }

    fn requests(&self) -> Vec<String> {
        self.requests.lock().expect("the requests").clone()
    }
}

/// `Basic` credentials as they are sent to the proxy.
fn encoded_login() -> String {
    STANDARD.encode(format!("{PROXY_USER}:{PROXY_PASSWORD}"))
}

fn tunnel(mut client: TcpStream, head: &str, destination: SocketAddr) -> io::Result<()> {
    let expected = format!("proxy-authorization: Basic {}", encoded_login());
    let is_expected = |line: &str| line.eq_ignore_ascii_case(&expected) && line.ends_with(&encoded_login());
    if !head.lines().any(is_expected) {
        let refusal = "HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic realm=\"egress\"\r\n\
            Content-Length: 0\r\n\r\n";
        return client.write_all(refusal.as_bytes());
    }
    let mut server = TcpStream::connect(destination)?;
    client.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n")?;
    let (mut upload, mut to_server) = (client.try_clone()?, server.try_clone()?);
    thread::spawn(move || io::copy(&mut upload, &mut to_server).and_then(|_| to_server.shutdown(Shutdown::Write)));
    io::copy(&mut server, &mut client)?;
    client.shutdown(Shutdown::Write)
}

/// An exporter at log level trace that polls this API once a second.
fn exporter(url: &str, environment: &[(&str, &str)]) -> Exporter {
    Exporter::start(configure(&mut program(), url, environment))
}

fn configure<'c>(program: &'c mut Command, url: &str, environment: &[(&str, &str)]) -> &'c mut Command {
    program
        .args(["serve", "--poll.interval=1s", "--poll.timeout=3s", "--log.level=trace"])
        .args(["--cloudflare.account-id", ACCOUNT, "--cloudflare.api-url", url])
        .env("CLOUDFLARE_API_TOKEN", TOKEN)
        .envs(environment.iter().copied())
}

fn await_tunnels(exporter: &mut Exporter) {
    exporter.await_page("both tunnels", SOON, |page| (page.all("tunnel_info", &[]).len() == 2).then_some(()));
}

/// Waits for a failed poll and for a log line with all of `words`, then checks that no tunnel is shown.
fn await_refusal(exporter: &mut Exporter, words: &[&str]) {
    let failures = |page: &Samples| {
        let labels = [("collection", "ipsec_tunnels"), ("reason", "connect")];
        page.value("api_request_failures_total", &labels).filter(|&count| count >= 1.0)
    };
    exporter.await_page("a failure with reason connect", SOON, failures);
    eventually(&format!("a warning with {words:?}"), SOON, || {
        let said = exporter.process.said();
        let found =
            said.lines().any(|line| line.contains(" level=warn ") && words.iter().all(|word| line.contains(word)));
        if found { Ok(()) } else { Err(said) }
    });
    let page = exporter.samples();
    assert!(page.all("tunnel_info", &[]).is_empty(), "a tunnel is shown: {page:?}");
    for collection in ["ipsec_tunnels", "gre_tunnels"] {
        assert_eq!(page.value("collection_up", &[("collection", collection)]), Some(0.0), "{collection}");
    }
}

#[test]
fn a_private_ca_is_trusted_through_ssl_cert_file_and_ssl_cert_dir() {
    let api = TlsApi::start();
    for (variable, value) in [("SSL_CERT_FILE", api.path("ca.pem")), ("SSL_CERT_DIR", api.path("certs"))] {
        let mut exporter = exporter(&api.url(), &[(variable, &value)]);
        await_tunnels(&mut exporter);
        let failures = exporter.samples().all("api_request_failures_total", &[]).iter().map(|s| s.value).sum::<f64>();
        assert_eq!(failures, 0.0, "{variable}: {}", exporter.process.said());
    }
}

#[test]
fn a_private_ca_is_trusted_beside_files_that_hold_no_certificate() {
    let api = TlsApi::start();
    fs::write(Path::new(&api.path("certs/README")), "not a certificate\n").expect("a file in a temporary folder");
    fs::write(Path::new(&api.path("certs/broken.pem")), "-----BEGIN CERTIFICATE-----\n!\n").expect("a file");
    await_tunnels(&mut exporter(&api.url(), &[("SSL_CERT_DIR", &api.path("certs"))]));
}

#[test]
fn a_file_of_certificates_without_end_is_refused_at_the_start() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let large = folder.path().join("large.pem");
    fs::File::create(&large).and_then(|file| file.set_len((8 << 20) + 1)).expect("a file in a temporary folder");
    let large = large.display().to_string();
    for (path, rule) in [("/dev/zero", "must be a regular file"), (&*large, "must be at most 8192 KiB")] {
        let mut program = program();
        let ended = run(configure(&mut program, "https://api.example/client/v4", &[("SSL_CERT_FILE", path)]));
        assert_eq!(ended.status.code(), Some(1), "{ended:?}");
        assert!(ended.stderr.contains(&format!("SSL_CERT_FILE {rule}")), "{}", ended.stderr);
    }
}

#[test]
fn an_unknown_issuer_is_refused_before_anything_is_sent() {
    let api = TlsApi::start();
    let other = TlsApi::start();
    // The roots of the system, the roots that are compiled in because the folder is empty, and another private CA.
    let empty = tempfile::tempdir().expect("a temporary folder");
    let empty = empty.path().display().to_string();
    for environment in [&[][..], &[("SSL_CERT_DIR", &*empty)], &[("SSL_CERT_FILE", &*other.path("ca.pem"))]] {
        let mut exporter = exporter(&api.url(), environment);
        await_refusal(
            &mut exporter,
            &[
                "poll failed: connect: the certificate of ",
                " is signed by an unknown CA",
                "check DNS, proxies, certificates",
            ],
        );
        api.assert_never_asked();
    }
}

#[test]
fn a_certificate_for_another_host_is_refused() {
    let api = TlsApi::start();
    let proxy = Proxy::start(api.tls.address);
    let (ca, login) = (api.path("ca.pem"), proxy.url(PROXY_PASSWORD_IN_URL));
    let mut exporter = exporter("https://other.example/client/v4", &[("SSL_CERT_FILE", &ca), ("HTTPS_PROXY", &login)]);
    await_refusal(&mut exporter, &["poll failed: connect: the certificate of other.example:443 is for another name"]);
    api.assert_never_asked();
}

#[test]
fn the_api_is_polled_through_a_proxy_with_a_password() {
    let api = TlsApi::start();
    let proxy = Proxy::start(api.tls.address);
    let (ca, login) = (api.path("ca.pem"), proxy.url(PROXY_PASSWORD_IN_URL));
    let url = format!("https://{HOST}/client/v4");
    let mut exporter = exporter(&url, &[("SSL_CERT_FILE", &ca), ("HTTPS_PROXY", &login)]);
    await_tunnels(&mut exporter);
    let requests = proxy.requests();
    assert!(!requests.is_empty() && requests.iter().all(|head| head.starts_with("CONNECT api.example:443 HTTP/1.1")));
    assert!(requests.iter().all(|head| !head.contains(TOKEN)), "the proxy must not see the token");
    assert!(api.api.requests().iter().all(|request| request.header("proxy-authorization").is_none()));
    assert_the_password_is_not_shown(exporter);
}

#[test]
fn a_proxy_that_refuses_the_password_is_a_failed_connection() {
    let api = TlsApi::start();
    let proxy = Proxy::start(api.tls.address);
    let (ca, login) = (api.path("ca.pem"), proxy.url(&format!("{PROXY_PASSWORD_IN_URL}-old")));
    let url = format!("https://{HOST}/client/v4");
    let mut exporter = exporter(&url, &[("SSL_CERT_FILE", &ca), ("HTTPS_PROXY", &login)]);
    await_refusal(
        &mut exporter,
        &["the proxy does not connect to api.example:443 (proxy authorization required)", "check DNS, proxies"],
    );
    api.assert_never_asked();
    assert_the_password_is_not_shown(exporter);
}

/// Looks for the password, as it is, in a URL and encoded, on every page and in the whole log.
fn assert_the_password_is_not_shown(exporter: Exporter) {
    let shown = everything_shown(&exporter);
    exporter.process.signal("TERM");
    let Ended { stdout, stderr, .. } = exporter.process.ended(SOON);
    let everything = format!("{shown}\n{stdout}\n{stderr}");
    assert!(stderr.contains(ACCOUNT), "a log is expected:\n{stderr}");
    for secret in [PROXY_PASSWORD, PROXY_PASSWORD_IN_URL, "pr0xy", &encoded_login(), TOKEN] {
        let line = everything.lines().find(|line| line.contains(secret));
        assert_eq!(line, None, "the secret {secret} is shown");
    }
}

#[test]
fn a_host_in_no_proxy_is_reached_directly() {
    let api = TlsApi::start();
    let proxy = Proxy::start(api.tls.address);
    let (ca, login) = (api.path("ca.pem"), proxy.url(PROXY_PASSWORD_IN_URL));
    let start = |no_proxy: &str| {
        let environment = [("SSL_CERT_FILE", &*ca), ("HTTPS_PROXY", &*login), ("NO_PROXY", no_proxy)];
        exporter(&api.mapped_url(), &environment)
    };
    await_tunnels(&mut start(&format!("other.example,::ffff:{}", api.tls.address.ip())));
    assert_eq!(proxy.requests(), Vec::<String>::new());

    let _running = start("other.example");
    eventually("a request to the proxy", SOON, || {
        if proxy.requests().is_empty() { Err("no request".to_owned()) } else { Ok(()) }
    });
}

#[test]
fn an_api_on_loopback_needs_no_exception_from_the_proxy() {
    let api = TlsApi::start();
    let proxy = Proxy::start(api.tls.address);
    let (ca, login) = (api.path("ca.pem"), proxy.url("wrong"));
    await_tunnels(&mut exporter(&api.url(), &[("SSL_CERT_FILE", &ca), ("HTTPS_PROXY", &login)]));
    assert_eq!(proxy.requests(), Vec::<String>::new());
}
