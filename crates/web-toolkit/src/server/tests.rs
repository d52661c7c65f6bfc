use std::{
    net::SocketAddr,
    sync::atomic::{AtomicUsize, Ordering},
};

use hyper::body::Bytes;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use super::*;

/// A server on a free port that answers every request with `hello` after `delay`.
struct Running {
    at: SocketAddr,
    stop: CancellationToken,
    tasks: JoinSet<()>,
    requests: Arc<AtomicUsize>,
}

fn start(limits: Limits, delay: Duration) -> Running {
    start_with("hello", limits, delay)
}

fn start_with(body: impl Into<Bytes>, limits: Limits, delay: Duration) -> Running {
    let body = body.into();
    let bound = bind(&["127.0.0.1:0".parse().unwrap()]).unwrap();
    let at = bound[0].local_addr();
    let stop = CancellationToken::new();
    let requests = Arc::new(AtomicUsize::new(0));
    let seen = Arc::clone(&requests);
    let service = move |_request| {
        seen.fetch_add(1, Ordering::SeqCst);
        let body = body.clone();
        async move {
            tokio::time::sleep(delay).await;
            Response::new(full(body))
        }
    };
    let mut tasks = JoinSet::new();
    let options = ServerOptions { limits, ..ServerOptions::default() };
    tasks.spawn(serve(options, bound, stop.clone(), service));
    Running { at, stop, tasks, requests }
}

async fn connect(at: SocketAddr) -> TcpStream {
    TcpStream::connect(at).await.unwrap()
}

async fn connect_from(source: &str, to: SocketAddr) -> TcpStream {
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind(format!("{source}:0").parse().unwrap()).unwrap();
    socket.connect(to).await.unwrap()
}

async fn wait_for_requests(server: &Running, count: usize) {
    while server.requests.load(Ordering::SeqCst) < count {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Reads until the server closes the connection; fails after 10 s.
async fn read_to_end(stream: &mut TcpStream) -> String {
    let mut text = Vec::new();
    let reading = tokio::time::timeout(Duration::from_secs(10), stream.read_to_end(&mut text));
    // Closing a connection with unread data resets it, which counts as closed.
    let _ = reading.await.expect("the server did not close the connection");
    String::from_utf8(text).unwrap()
}

/// One response with a body of five bytes.
async fn read_one(stream: &mut TcpStream) -> String {
    let mut text = String::new();
    while !text.ends_with("hello") {
        let mut buffer = [0; 1024];
        let read = tokio::time::timeout(Duration::from_secs(10), stream.read(&mut buffer)).await.unwrap().unwrap();
        assert_ne!(read, 0, "closed after {text:?}");
        text.push_str(std::str::from_utf8(&buffer[..read]).unwrap());
    }
    text
}

const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";

fn short() -> Limits {
    Limits { header_timeout: Duration::from_millis(200), ..Limits::default() }
}

#[tokio::test]
async fn a_client_that_sends_half_a_head_is_closed() {
    let server = start(short(), Duration::ZERO);
    let mut client = connect(server.at).await;
    client.write_all(b"GET / HT").await.unwrap();
    assert_eq!(read_to_end(&mut client).await, "");
    assert_eq!(server.requests.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn a_client_that_sends_nothing_is_closed() {
    let server = start(short(), Duration::ZERO);
    let mut client = connect(server.at).await;
    assert_eq!(read_to_end(&mut client).await, "");
}

#[tokio::test]
async fn a_client_that_sends_half_of_a_second_head_is_closed() {
    let server = start(short(), Duration::ZERO);
    let mut client = connect(server.at).await;
    client.write_all(REQUEST).await.unwrap();
    assert!(read_one(&mut client).await.starts_with("HTTP/1.1 200"));
    client.write_all(b"GET /again").await.unwrap();
    assert_eq!(read_to_end(&mut client).await, "");
}

#[tokio::test]
async fn a_connection_may_idle_for_longer_than_the_head_timeout() {
    let server = start(short(), Duration::ZERO);
    let mut client = connect(server.at).await;
    for _ in 0..2 {
        client.write_all(REQUEST).await.unwrap();
        assert!(read_one(&mut client).await.starts_with("HTTP/1.1 200"));
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    assert_eq!(server.requests.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn a_response_may_take_longer_than_the_head_timeout() {
    let server = start(short(), Duration::from_millis(600));
    let mut client = connect(server.at).await;
    client.write_all(REQUEST).await.unwrap();
    assert!(read_one(&mut client).await.starts_with("HTTP/1.1 200"));
}

#[tokio::test]
async fn an_idle_connection_is_closed_after_the_idle_timeout() {
    let server = start(Limits { idle_timeout: Duration::from_millis(300), ..Limits::default() }, Duration::ZERO);
    let mut client = connect(server.at).await;
    client.write_all(REQUEST).await.unwrap();
    assert!(read_to_end(&mut client).await.ends_with("hello"));
}

#[tokio::test]
async fn a_client_that_does_not_read_its_response_loses_its_slot() {
    let limits = Limits { connections: 1, write_timeout: Duration::from_millis(300), ..Limits::default() };
    // More than the socket buffers of both ends hold.
    let server = start_with(vec![b'a'; 64 * 1024 * 1024], limits, Duration::ZERO);
    let mut lazy = connect(server.at).await;
    lazy.write_all(REQUEST).await.unwrap();
    wait_for_requests(&server, 1).await;
    let mut next = connect_from("127.0.0.2", server.at).await;
    next.write_all(REQUEST).await.unwrap();
    let answered = tokio::time::timeout(Duration::from_secs(10), next.readable()).await;
    answered.expect("the slot of the lazy client is free again").unwrap();
}

#[tokio::test]
async fn a_head_that_is_too_long_gets_431() {
    let server = start(Limits::default(), Duration::ZERO);
    let mut client = connect(server.at).await;
    let head = format!("GET / HTTP/1.1\r\nHost: a\r\nX-Long: {}\r\n\r\n", "a".repeat(20_000));
    client.write_all(head.as_bytes()).await.unwrap();
    assert!(read_to_end(&mut client).await.starts_with("HTTP/1.1 431"));
    assert_eq!(server.requests.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn a_connection_that_does_not_speak_http_is_refused_and_closed() {
    let server = start(Limits::default(), Duration::ZERO);
    let mut client = connect(server.at).await;
    client.write_all(b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n").await.unwrap();
    let answer = read_to_end(&mut client).await;
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 400"), "{answer}");
    assert_eq!(server.requests.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn a_connection_beyond_the_limit_replaces_the_longest_idle_one() {
    let server = start(Limits { connections: 2, ..Limits::default() }, Duration::ZERO);
    let mut first = connect(server.at).await;
    first.write_all(REQUEST).await.unwrap();
    read_one(&mut first).await;
    let mut half = connect(server.at).await;
    half.write_all(b"GET / HTTP/1.1\r\nHo").await.unwrap();
    let mut newest = connect(server.at).await;
    newest.write_all(REQUEST).await.unwrap();
    assert!(read_one(&mut newest).await.starts_with("HTTP/1.1 200"));
    assert_eq!(read_to_end(&mut first).await, "");
    half.write_all(b"st: a\r\n\r\n").await.unwrap();
    assert!(read_one(&mut half).await.starts_with("HTTP/1.1 200"), "it was not the longest idle one");
}

#[tokio::test]
async fn a_response_is_sent_completely_while_others_want_its_slot() {
    let limits = Limits { connections: 8, ..Limits::default() };
    // More than the socket buffers of both ends hold, so that the response is in progress until it is read.
    let server = start_with(vec![b'a'; 16 * 1024 * 1024], limits, Duration::ZERO);
    let mut reader = connect(server.at).await;
    reader.write_all(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await.unwrap();
    wait_for_requests(&server, 1).await;
    let mut crowd = Vec::new();
    for _ in 0..50 {
        crowd.push(connect_from("127.0.0.2", server.at).await);
    }
    let mut newest = connect_from("127.0.0.3", server.at).await;
    newest.write_all(REQUEST).await.unwrap();
    newest.readable().await.unwrap();
    let answer = read_to_end(&mut reader).await;
    assert_eq!(answer.split_once("\r\n\r\n").unwrap().1.len(), 16 * 1024 * 1024);
}

#[tokio::test]
async fn a_client_that_closes_its_sending_direction_gets_the_response() {
    let server = start(Limits::default(), Duration::from_millis(100));
    let mut client = connect(server.at).await;
    client.write_all(REQUEST).await.unwrap();
    client.shutdown().await.unwrap();
    assert!(read_to_end(&mut client).await.ends_with("hello"));
}

#[tokio::test]
async fn every_request_is_checked_before_the_service_sees_it() {
    let server = start(Limits::default(), Duration::ZERO);
    for (head, status) in [
        ("GET / HTTP/1.1\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n", 400),
        ("POST / HTTP/1.1\r\nHost: a\r\nSec-Fetch-Site: cross-site\r\n", 403),
    ] {
        let mut client = connect(server.at).await;
        client.write_all(format!("{head}Connection: close\r\n\r\n").as_bytes()).await.unwrap();
        let answer = read_to_end(&mut client).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{head}: {answer}");
    }
    assert_eq!(server.requests.load(Ordering::SeqCst), 0);
}

#[test]
fn the_slots_follow_the_limit_on_descriptors() {
    let most = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    for (percent, expected) in [(50, most / 2), (20, most / 5)] {
        let connections = Limits::within_descriptors(percent, 0).connections as u64;
        assert!(connections == 512 || connections.abs_diff(expected) <= 1, "{connections} of {most}");
    }
    assert_eq!(getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX), most, "the limit is not raised without need");
    let connections = Limits::within_descriptors(50, 100).connections as u64;
    let raised = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    assert!(connections == 612 || connections.abs_diff(raised / 2) <= 1, "{connections} of {raised}");
}

#[tokio::test]
async fn stop_lets_a_request_in_flight_finish_and_closes_idle_connections() {
    let mut server = start(Limits::default(), Duration::from_millis(400));
    let mut idle = connect(server.at).await;
    idle.write_all(REQUEST).await.unwrap();
    read_one(&mut idle).await;
    let mut busy = connect(server.at).await;
    busy.write_all(REQUEST).await.unwrap();
    wait_for_requests(&server, 2).await;
    server.stop.cancel();
    assert_eq!(read_to_end(&mut idle).await, "");
    assert!(read_to_end(&mut busy).await.ends_with("hello"));
    server.tasks.join_next().await.unwrap().unwrap();
    assert!(TcpStream::connect(server.at).await.is_err(), "still listening");
}

#[tokio::test]
async fn stop_does_not_wait_longer_than_the_grace() {
    let grace = Duration::from_millis(300);
    let mut server = start(Limits { grace, ..Limits::default() }, Duration::from_hours(1));
    let mut busy = connect(server.at).await;
    busy.write_all(REQUEST).await.unwrap();
    wait_for_requests(&server, 1).await;
    server.stop.cancel();
    tokio::time::timeout(grace + Duration::from_secs(5), server.tasks.join_next()).await.expect("deadline missed");
    assert_eq!(read_to_end(&mut busy).await, "");
}

#[test]
fn listen_addresses_have_the_syntax_of_prometheus() {
    for good in [":9847", "127.0.0.1:9847", "[::1]:9847", "localhost:0", "exporter.example.net:65535", "[::]:80"] {
        assert_eq!(good.parse::<ListenAddress>().unwrap().to_string(), good);
    }
    for bad in [
        "",
        "9847",
        "127.0.0.1",
        ":",
        ":65536",
        ":-1",
        ":+1",
        "::1:9847",
        "[::1]",
        "[1.2.3.4]:1",
        "a b:1",
        "1.2.3:1",
        "[::1:1",
    ] {
        assert!(bad.parse::<ListenAddress>().is_err(), "{bad}");
    }
}

#[test]
fn a_port_in_use_is_one_sentence_with_one_reason() {
    let taken = bind(&["127.0.0.1:0".parse().unwrap()]).unwrap();
    let address = taken[0].local_addr().to_string().parse().unwrap();
    let error = bind(&[address]).unwrap_err();
    let expected =
        format!("cannot listen on {}: the port is already in use, perhaps by another exporter", taken[0].local_addr());
    assert_eq!(error.to_string(), expected);
    assert!(std::error::Error::source(&error).is_none(), "the reason would be printed twice");
}

#[test]
fn an_address_of_another_machine_is_one_sentence() {
    let error = bind(&["192.0.2.1:9847".parse().unwrap()]).unwrap_err();
    assert_eq!(error.to_string(), "cannot listen on 192.0.2.1:9847: this machine does not have the address");
}

#[tokio::test]
async fn without_a_host_every_address_is_bound() {
    let bound = bind(&[":0".parse().unwrap()]).unwrap();
    let port = bound[0].local_addr().port();
    TcpStream::connect(("127.0.0.1", port)).await.expect("IPv4 reaches the socket");
}

#[test]
fn a_listener_on_every_address_is_reached_over_loopback() {
    for (listens, reached) in [
        (":9847", &["127.0.0.1:9847", "[::1]:9847"][..]),
        ("0.0.0.0:9847", &["127.0.0.1:9847", "[::1]:9847"]),
        ("[::]:9847", &["127.0.0.1:9847", "[::1]:9847"]),
        ("192.0.2.1:80", &["192.0.2.1:80"]),
        ("[2001:db8::1]:80", &["[2001:db8::1]:80"]),
    ] {
        let addresses = listens.parse::<ListenAddress>().unwrap().resolve_local_destinations().unwrap();
        assert_eq!(addresses.iter().map(ToString::to_string).collect::<Vec<_>>(), reached, "{listens}");
    }
}
