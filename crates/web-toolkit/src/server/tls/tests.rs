use std::{net::SocketAddr, sync::Arc, time::Duration};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, SanType};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    sync::{Semaphore, watch},
    task::JoinSet,
};
use tokio_rustls::{
    TlsConnector,
    client::TlsStream,
    rustls::{
        ClientConfig, HandshakeKind, RootCertStore,
        crypto::ring,
        pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject as _},
    },
};
use tokio_util::sync::CancellationToken;

use super::*;
use crate::requester::Requester;
use crate::server::{Limits, ServerOptions, bind, full, serve};

const BOTH: RangeInclusive<Version> = Version::Tls12..=Version::Tls13;

type Authority = CertifiedIssuer<'static, KeyPair>;

fn authority() -> Authority {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

/// A PEM certificate with these names, and its PEM key.
fn signed(names: Vec<SanType>, authority: &Authority) -> (String, String) {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.subject_alt_names = names;
    (params.signed_by(&key, authority).unwrap().pem(), key.serialize_pem())
}

fn dns(name: &str) -> SanType {
    SanType::DnsName(name.try_into().unwrap())
}

fn config(authority: &Authority, versions: &RangeInclusive<Version>, clients: Clients) -> TlsConfig {
    let (certificate, key) = signed(vec![dns("localhost")], authority);
    let (chain, key) = (Chain::from_pem(certificate.as_bytes()), PrivateKey::from_pem(key.as_bytes()));
    TlsConfig::new(&chain.unwrap(), &key.unwrap(), versions, clients).unwrap()
}

fn roots(authority: &Authority) -> Roots {
    Roots::from_pem(authority.pem().as_bytes()).unwrap()
}

/// A server that answers every request with `hello`.
struct Server {
    at: SocketAddr,
    config: watch::Sender<Option<Arc<TlsConfig>>>,
    _tasks: JoinSet<()>,
}

fn start(config: TlsConfig, limits: Limits) -> Server {
    start_with(config, limits, |_| async { hyper::Response::new(full("hello")) })
}

fn start_with<S, F>(config: TlsConfig, limits: Limits, service: S) -> Server
where
    S: Fn(hyper::Request<hyper::body::Incoming>) -> F + Send + Sync + 'static,
    F: Future<Output = hyper::Response<crate::server::Body>> + Send + 'static,
{
    let bound = bind(&["127.0.0.1:0".parse().unwrap()]).unwrap();
    let at = bound[0].local_addr();
    let (sender, receiver) = watch::channel(Some(Arc::new(config)));
    let mut tasks = JoinSet::new();
    let options = ServerOptions { encryption: Encryption::new(receiver), limits, ..ServerOptions::default() };
    tasks.spawn(serve(options, bound, CancellationToken::new(), service));
    Server { at, config: sender, _tasks: tasks }
}

/// A client that trusts `authority` and presents the certificate `shows`.
fn client(authority: &Authority, shows: Option<&(String, String)>, newest: Version) -> ClientConfig {
    let mut trusted = RootCertStore::empty();
    trusted.add(authority.der().clone()).unwrap();
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let builder = builder
        .with_protocol_versions(&[if newest == Version::Tls12 { &TLS12 } else { &TLS13 }])
        .unwrap()
        .with_root_certificates(trusted);
    match shows {
        None => builder.with_no_client_auth(),
        Some((certificate, key)) => {
            let chain = vec![CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap()];
            builder.with_client_auth_cert(chain, PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap()).unwrap()
        }
    }
}

async fn connect(server: &Server, config: ClientConfig) -> std::io::Result<TlsStream<TcpStream>> {
    let tcp = TcpStream::connect(server.at).await?;
    TlsConnector::from(Arc::new(config)).connect(ServerName::try_from("localhost").unwrap(), tcp).await
}

/// Sends one request over a new connection. With TLS 1.3, a refused client notices it only when it reads.
async fn ask(server: &Server, config: ClientConfig) -> std::io::Result<String> {
    let mut stream = connect(server, config).await?;
    stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    Ok(answer)
}

/// Whether the server answers.
async fn answers(server: &Server, config: ClientConfig) -> bool {
    let asked = tokio::time::timeout(Duration::from_secs(10), ask(server, config))
        .await
        .expect("the server closes the connection");
    asked.is_ok_and(|answer| answer.ends_with("hello"))
}

#[tokio::test]
async fn versions_outside_the_configured_range_are_refused() {
    use Version::{Tls12, Tls13};
    let ca = authority();
    let table = [(Tls12, Tls13, true, true), (Tls13, Tls13, false, true), (Tls12, Tls12, true, false)];
    for (oldest, newest, speaks_12, speaks_13) in table {
        let versions = oldest..=newest;
        let server = start(config(&ca, &versions, Clients::All), Limits::default());
        assert_eq!(answers(&server, client(&ca, None, Tls12)).await, speaks_12, "{versions:?}");
        assert_eq!(answers(&server, client(&ca, None, Tls13)).await, speaks_13, "{versions:?}");
    }
}

#[tokio::test]
async fn only_clients_with_an_accepted_certificate_are_let_in() {
    let (ca, ours, foreign) = (authority(), authority(), authority());
    let prometheus = signed(vec![dns("prometheus.example")], &ours);
    let by_address = signed(vec![dns("other.example"), SanType::IpAddress("2001:db8::1".parse().unwrap())], &ours);
    let by_uri = signed(vec![SanType::URI("spiffe://example/prometheus".try_into().unwrap())], &ours);
    let by_mail = signed(vec![SanType::Rfc822Name("ops@example.net".try_into().unwrap())], &ours);
    let stranger = signed(vec![dns("stranger.example")], &ours);
    let nameless = signed(Vec::new(), &ours);
    let forged = signed(vec![dns("prometheus.example")], &foreign);
    let given = [
        None,
        Some(&prometheus),
        Some(&by_address),
        Some(&by_uri),
        Some(&by_mail),
        Some(&stranger),
        Some(&nameless),
        Some(&forged),
    ];

    let names = ["prometheus.example", "2001:db8::1", "spiffe://example/prometheus", "ops@example.net"];
    let by_name = Clients::Verified { roots: Some(roots(&ours)), names: names.map(str::to_owned).into() };
    let any = Clients::Verified { roots: Some(roots(&ours)), names: Vec::new() };
    let without_roots = Clients::Verified { roots: None, names: Vec::new() };
    let unverified = Clients::Unverified { names: Vec::new() };
    let unverified_by_name = Clients::Unverified { names: vec!["prometheus.example".to_owned()] };
    let if_given = Clients::VerifiedIfGiven { roots: roots(&ours) };
    let table = [
        (Clients::All, [true; 8]),
        (if_given, [true, true, true, true, true, true, true, false]),
        (without_roots, [false; 8]),
        (unverified, [false, true, true, true, true, true, true, true]),
        (unverified_by_name, [false, true, false, false, false, false, false, true]),
        (any, [false, true, true, true, true, true, true, false]),
        (by_name, [false, true, true, true, true, false, false, false]),
    ];
    for (clients, expected) in table {
        for version in [Version::Tls12, Version::Tls13] {
            let server = start(config(&ca, &BOTH, clients.clone()), Limits::default());
            for (shown, expected) in given.iter().zip(expected) {
                let answered = answers(&server, client(&ca, *shown, version)).await;
                assert_eq!(answered, expected, "{version:?}, {clients:?}, presented {:?}", shown.map(|pair| &pair.0));
            }
        }
    }
}

#[tokio::test]
async fn a_page_sees_the_names_of_a_certificate_only_if_its_issuer_was_verified() {
    let (ca, ours) = (authority(), authority());
    let fra = signed(vec![dns("fra.example")], &ours);
    let names = |request: hyper::Request<hyper::body::Incoming>| async move {
        let requester = request.extensions().get::<Requester>().cloned().unwrap_or_default();
        hyper::Response::new(full(format!("names {}", requester.certificate_names.join(","))))
    };
    let verified = Clients::Verified { roots: Some(roots(&ours)), names: Vec::new() };
    let if_given = Clients::VerifiedIfGiven { roots: roots(&ours) };
    let unverified = Clients::Unverified { names: Vec::new() };
    for (clients, shown, expected) in [
        (verified, Some(&fra), "names fra.example"),
        (if_given.clone(), Some(&fra), "names fra.example"),
        (if_given, None, "names "),
        (unverified, Some(&fra), "names "),
    ] {
        let server = start_with(config(&ca, &BOTH, clients.clone()), Limits::default(), names);
        let answer = ask(&server, client(&ca, shown, Version::Tls13)).await.unwrap();
        assert!(answer.ends_with(&format!("\r\n{expected}")), "{clients:?}: {answer}");
    }
}

/// Sends one request over a new connection. Returns how the session began.
async fn begin_session(server: &Server, config: &ClientConfig) -> std::io::Result<Option<HandshakeKind>> {
    let mut stream = connect(server, config.clone()).await?;
    stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await?;
    stream.read_to_string(&mut String::new()).await?;
    Ok(stream.get_ref().1.handshake_kind())
}

#[tokio::test]
async fn the_sessions_of_hundreds_of_clients_are_resumed() {
    let ca = authority();
    let server = start(config(&ca, &BOTH, Clients::All), Limits::default());
    for version in [Version::Tls12, Version::Tls13] {
        let clients: Vec<_> = (0..300).map(|_| client(&ca, None, version)).collect();
        for expected in [HandshakeKind::Full, HandshakeKind::Resumed] {
            for client in &clients {
                assert_eq!(begin_session(&server, client).await.unwrap(), Some(expected), "{version:?}");
            }
        }
    }
}

#[tokio::test]
async fn a_session_is_not_resumed_after_the_certificate_of_the_client_has_expired() {
    let ca = authority();
    let verified = Clients::Verified { roots: Some(roots(&ca)), names: Vec::new() };
    for version in [Version::Tls12, Version::Tls13] {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec!["fra.example".to_owned()]).unwrap();
        let soon = clock::now().wall.as_second() + 3;
        params.not_after = rcgen::date_time_ymd(1970, 1, 1) + Duration::from_secs(u64::try_from(soon).unwrap());
        let fra = (params.signed_by(&key, &ca).unwrap().pem(), key.serialize_pem());
        let server = start(config(&ca, &BOTH, verified.clone()), Limits::default());
        let client = client(&ca, Some(&fra), version);
        let mut begun = begin_session(&server, &client).await;
        while let Ok(Some(HandshakeKind::Full | HandshakeKind::Resumed)) = begun {
            assert!(clock::now().wall.as_second() < soon + 20, "still accepted");
            tokio::time::sleep(Duration::from_millis(100)).await;
            begun = begin_session(&server, &client).await;
        }
    }
}

#[tokio::test]
async fn a_new_certificate_applies_to_new_connections_and_open_ones_stay() {
    let (old, new) = (authority(), authority());
    let server = start(config(&old, &BOTH, Clients::All), Limits::default());
    let mut open = connect(&server, client(&old, None, Version::Tls13)).await.unwrap();
    server.config.send_replace(Some(Arc::new(config(&new, &BOTH, Clients::All))));
    assert!(!answers(&server, client(&old, None, Version::Tls13)).await);
    assert!(answers(&server, client(&new, None, Version::Tls13)).await);
    open.write_all(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    open.read_to_string(&mut answer).await.unwrap();
    assert!(answer.ends_with("hello"));
}

#[tokio::test]
async fn a_client_that_is_no_longer_admitted_is_closed_after_its_response() {
    let (ca, other) = (authority(), authority());
    let prometheus = signed(vec![dns("prometheus.example")], &ca);
    let verified = |roots, name: &str| Clients::Verified { roots: Some(roots), names: vec![name.to_owned()] };
    let first = || config(&ca, &BOTH, verified(roots(&ca), "prometheus.example"));
    for (what, next, stays) in [
        ("a renewed server certificate", first(), true),
        ("another name", config(&ca, &BOTH, verified(roots(&ca), "grafana.example")), false),
        ("another CA", config(&ca, &BOTH, verified(roots(&other), "prometheus.example")), false),
        ("no client certificates", config(&ca, &BOTH, Clients::All), true),
    ] {
        let server = start(first(), Limits::default());
        let mut stream = connect(&server, client(&ca, Some(&prometheus), Version::Tls13)).await.unwrap();
        stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
        let mut answer = vec![0; 1024];
        assert_ne!(stream.read(&mut answer).await.unwrap(), 0);
        server.config.send_replace(Some(Arc::new(next)));
        if !stays {
            let closed = tokio::time::timeout(Duration::from_secs(10), stream.read_to_end(&mut answer)).await;
            drop(closed.expect("the server did not close the connection"));
            continue;
        }
        stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await.unwrap();
        answer.clear();
        stream.read_to_end(&mut answer).await.unwrap();
        assert!(answer.ends_with(b"hello"), "{what}");
    }
}

#[tokio::test]
async fn a_response_in_progress_is_completed_for_a_client_that_is_no_longer_admitted() {
    let ca = authority();
    let prometheus = signed(vec![dns("prometheus.example")], &ca);
    let verified = |name: &str| Clients::Verified { roots: Some(roots(&ca)), names: vec![name.to_owned()] };
    let (started, finish) = (Arc::new(Semaphore::new(0)), Arc::new(Semaphore::new(0)));
    let gates = (Arc::clone(&started), Arc::clone(&finish));
    let server = start_with(config(&ca, &BOTH, verified("prometheus.example")), Limits::default(), move |_| {
        let (started, finish) = gates.clone();
        async move {
            started.add_permits(1);
            let _finish = finish.acquire().await.unwrap();
            hyper::Response::new(full("hello"))
        }
    });
    let mut stream = connect(&server, client(&ca, Some(&prometheus), Version::Tls13)).await.unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    let _started = started.acquire().await.unwrap();
    server.config.send_replace(Some(Arc::new(config(&ca, &BOTH, verified("grafana.example")))));
    finish.add_permits(1);
    let mut answer = String::new();
    let closed = tokio::time::timeout(Duration::from_secs(10), stream.read_to_string(&mut answer)).await;
    closed.expect("the server did not close the connection").unwrap();
    assert!(answer.ends_with("hello"), "{answer}");
}

#[tokio::test]
async fn an_http_request_to_an_https_port_gets_a_readable_400() {
    let ca = authority();
    let server = start(config(&ca, &BOTH, Clients::All), Limits::default());
    let mut tcp = TcpStream::connect(server.at).await.unwrap();
    tcp.write_all(b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    tcp.read_to_string(&mut answer).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 400 Bad Request\r\n"), "{head}");
    assert_eq!(body, "this port requires HTTPS; use an https:// URL\n");
    assert!(head.contains(&format!("Content-Length: {}\r\n", body.len())), "{head}");
}

#[tokio::test]
async fn an_incomplete_handshake_times_out_and_blocks_no_other_client() {
    let ca = authority();
    let limits = Limits { header_timeout: Duration::from_millis(300), ..Limits::default() };
    let server = start(config(&ca, &BOTH, Clients::All), limits);
    let mut silent = TcpStream::connect(server.at).await.unwrap();
    let mut half = TcpStream::connect(server.at).await.unwrap();
    half.write_all(&[22, 3, 1, 2, 0, 1]).await.unwrap();
    let mut garbage = TcpStream::connect(server.at).await.unwrap();
    garbage.write_all(&[0; 64]).await.unwrap();
    assert!(answers(&server, client(&ca, None, Version::Tls13)).await);
    for stream in [&mut silent, &mut half, &mut garbage] {
        let ended = tokio::time::timeout(Duration::from_secs(10), stream.read_to_end(&mut Vec::new())).await;
        // Closed, or reset if bytes were left unread.
        let _ = ended.expect("the server did not close the connection");
    }
}

#[test]
fn the_validity_period_of_a_certificate_is_parsed() {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(vec!["a.example".to_owned()]).unwrap();
    params.not_before = rcgen::date_time_ymd(2024, 2, 29);
    params.not_after = rcgen::date_time_ymd(2061, 1, 1);
    let chain = Chain::from_pem(params.self_signed(&key).unwrap().pem().as_bytes()).unwrap();
    let validity = chain.validity;
    assert_eq!(validity.not_before.to_string(), "2024-02-29T00:00:00Z");
    assert_eq!(validity.not_after.to_string(), "2061-01-01T00:00:00Z", "times after 2049 have another encoding");
}
