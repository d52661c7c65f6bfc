//! `--web.systemd-socket`: the exporter serves on sockets that were open before it started.

use std::{
    io::{Read as _, Write as _},
    net::{TcpListener, TcpStream, UdpSocket},
    os::fd::OwnedFd,
    process::{Command, Stdio},
};

use crate::support::{
    SOON, eventually,
    exporter::{Process, program, run},
    free_address, http,
    tools::tool,
};

const PROGRAM: &str = env!("CARGO_BIN_EXE_magic-tunnel-exporter");

/// Starts the demo with this socket as the first one that systemd passes.
fn demo_on(socket: OwnedFd) -> Process {
    let pass = "exec 3<&0 </dev/null; LISTEN_FDS=1 LISTEN_PID=$$ exec \"$0\" \"$@\"";
    let mut shell = Command::new("sh");
    shell.env_clear().args(["-c", pass, PROGRAM, "demo", "--web.systemd-socket"]);
    shell.arg(format!("--sandbox.listen-address={}", free_address()));
    Process::start_with(Stdio::from(socket), &mut shell)
}

#[test]
fn a_request_that_was_sent_before_the_start_is_answered() {
    let listener = TcpListener::bind(free_address()).expect("a listener");
    let address = listener.local_addr().expect("its address");
    let mut early = TcpStream::connect(address).expect("a connection that the kernel queues");
    early.write_all(b"GET /-/healthy HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").expect("a request");
    early.set_read_timeout(Some(SOON)).expect("a timeout");
    let demo = demo_on(listener.into());
    let mut answer = String::new();
    early.read_to_string(&mut answer).unwrap_or_else(|error| panic!("{error}: {}", demo.said()));
    assert!(answer.starts_with("HTTP/1.1 200 ") && answer.contains("healthy"), "{answer}");
    assert!(http::text(address, "/metrics").contains("cloudflare_magic_exporter_build_info"));
    assert!(demo.said().contains(&format!("http://{address}/metrics")), "{}", demo.said());
}

#[test]
fn a_socket_that_does_not_listen_is_refused() {
    let udp = UdpSocket::bind(free_address()).expect("a socket");
    let listener = TcpListener::bind(free_address()).expect("a listener");
    let connected = TcpStream::connect(listener.local_addr().expect("its address")).expect("a connection");
    for socket in [OwnedFd::from(udp), connected.into()] {
        let ended = demo_on(socket).ended(SOON);
        assert_eq!(ended.status.code(), Some(64), "{ended:?}");
        let rule = "`web.systemd_socket` needs listening TCP sockets: set `ListenStream=`";
        assert!(ended.stderr.contains(rule) && ended.stderr.contains("`Accept=no`"), "{ended:?}");
    }
}

#[test]
fn without_a_socket_the_message_names_the_unit_that_is_missing() {
    // A socket that was passed to another process does not count.
    for variables in [&[][..], &[("LISTEN_FDS", "1"), ("LISTEN_PID", "1")]] {
        let mut demo = program();
        demo.args(["demo", "--web.systemd-socket"]).envs(variables.iter().copied());
        let ended = run(&mut demo);
        assert_eq!(ended.status.code(), Some(64), "{ended:?}");
        let sentence = "`web.systemd_socket` needs a socket from systemd, which passed none: start the .socket unit";
        assert!(ended.stderr.contains(sentence), "{ended:?}");
    }
}

#[test]
fn systemd_starts_the_exporter_at_the_first_request() {
    let Some(activate) = tool("systemd-socket-activate") else { return };
    let address = free_address();
    let mut command = Command::new(activate);
    command.args(["--listen", &address.to_string(), PROGRAM, "demo", "--web.systemd-socket"]);
    let mut demo = Process::start(command.arg(format!("--sandbox.listen-address={}", free_address())));
    eventually("an answer", SOON, || {
        demo.assert_running();
        match http::get(address, "/-/healthy") {
            Ok(reply) if reply.status == 200 => Ok(()),
            other => Err(format!("{other:?}")),
        }
    });
}
