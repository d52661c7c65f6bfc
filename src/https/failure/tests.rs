use std::{net::SocketAddr, time::Duration};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};

use super::*;
use crate::https;

/// What a client reports of this URL, and the reason.
async fn failure(url: &str, timeout: Duration) -> (String, FailureReason) {
    let client = https::build(|| https::builder(true).timeout(timeout)).unwrap();
    let request = async { client.get(url).send().await?.bytes().await };
    let error = request.await.unwrap_err();
    let server = server_of(&url.parse().unwrap());
    (describe_error(&error, &server), classify_error(&error))
}

/// Answers one connection with these bytes, whatever the request is, and closes it.
async fn server(answer: &'static [u8]) -> (SocketAddr, impl Future<Output = ()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let serve = async move {
        let (mut client, _) = listener.accept().await.unwrap();
        let _ = client.read(&mut [0; 4096]).await;
        let _ = client.write_all(answer).await;
    };
    (address, serve)
}

const PATIENCE: Duration = Duration::from_mins(1);

#[tokio::test]
async fn each_broken_connection_is_one_sentence_that_names_the_server() {
    for (scheme, answer, expected) in [
        ("http", &b""[..], "SERVER closed the connection before the end of the response"),
        (
            "http",
            b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhunter2",
            "SERVER closed the connection before the end of the response",
        ),
        ("http", b"SSH-2.0-hunter2\r\n\r\n", "SERVER does not answer with HTTP"),
        ("https", b"HTTP/1.1 400 Bad Request\r\n\r\nhunter2", "SERVER does not speak TLS"),
        ("https", b"", "SERVER closed the connection before the end of the response"),
    ] {
        let (address, serve) = server(answer).await;
        let url = format!("{scheme}://{address}/hunter2?token=hunter2");
        let ((sentence, reason), ()) = tokio::join!(failure(&url, PATIENCE), serve);
        assert_eq!(sentence, expected.replace("SERVER", &address.to_string()), "{scheme} {answer:?}");
        assert_eq!(reason, FailureReason::Connect, "{sentence}");
    }
}

#[tokio::test]
async fn a_refused_connection_names_the_server() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let (sentence, reason) = failure(&format!("http://{address}/hunter2"), PATIENCE).await;
    assert_eq!((sentence, reason), (format!("connection refused by {address}"), FailureReason::Connect));
}

#[tokio::test]
async fn a_server_that_does_not_answer_is_a_timeout() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (sentence, reason) = failure(&format!("http://{address}/"), Duration::from_millis(100)).await;
    let expected = format!("no complete response from {address} within the timeout");
    assert_eq!((sentence, reason), (expected, FailureReason::Timeout));
}

#[tokio::test]
async fn a_name_that_cannot_be_resolved_is_reported_with_the_cause() {
    // A label of more than 63 characters fails without a question to a name server.
    let name = format!("{}.invalid", "x".repeat(64));
    let (sentence, reason) = failure(&format!("http://{name}/"), PATIENCE).await;
    assert!(sentence.starts_with(&format!("cannot resolve the name of {name}:80")), "{sentence}");
    assert!(!sentence.contains("lookup") && sentence.ends_with(')'), "{sentence}");
    assert_eq!(reason, FailureReason::Connect);
}

#[test]
fn a_certificate_that_is_refused_is_described_by_what_is_wrong_with_it() {
    for (error, expected) in [
        (CertificateError::Expired, "the certificate of api.example:443 has expired"),
        (CertificateError::UnknownIssuer, "the certificate of api.example:443 is signed by an unknown CA"),
        (CertificateError::NotValidForName, "the certificate of api.example:443 is for another name"),
        (CertificateError::NotValidYet, "the certificate of api.example:443 is not valid yet; check the clock"),
        (CertificateError::BadEncoding, "the certificate of api.example:443 is not accepted: BadEncoding"),
    ] {
        assert_eq!(describe_tls(&rustls::Error::InvalidCertificate(error), "api.example:443"), expected);
    }
    let alert = rustls::Error::AlertReceived(rustls::AlertDescription::HandshakeFailure);
    assert_eq!(describe_tls(&alert, "api.example:443"), "api.example:443 refused TLS: HandshakeFailure");
}
