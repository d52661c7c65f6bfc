//! Clients that guess passwords, come from other sites, or close half of their connection.

use std::{
    io::{Read as _, Write as _},
    net::{Ipv4Addr, Shutdown, SocketAddr, TcpStream},
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    thread,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};

use crate::{
    connection_attacks::{connect, show},
    support::{
        SOON, eventually,
        exporter::{Exporter, program, run},
        free_address, http, now,
    },
    web_config::{Folder, await_line},
};

/// A cost that other exporters recommend. One check takes a noticeable time, so that guesses fill a queue.
const COST: u32 = 10;

/// Sends a request with this password and returns the whole answer.
fn log_in(from: Ipv4Addr, to: SocketAddr, login: &str) -> std::io::Result<String> {
    let mut stream = connect(from, to)?;
    let login = STANDARD.encode(login);
    let head = format!("GET /metrics HTTP/1.1\r\nHost: a\r\nAuthorization: Basic {login}\r\nConnection: close\r\n\r\n");
    stream.write_all(head.as_bytes())?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

fn status_of(answer: &str) -> &str {
    answer.split(' ').nth(1).unwrap_or_default()
}

fn user_file(users: &[(&str, &str)]) -> String {
    let lines =
        users.iter().map(|(user, password)| format!("  {user}: {}\n", bcrypt::hash(password, COST).expect("a hash")));
    format!("basic_auth_users:\n{}", lines.collect::<String>())
}

/// A fair queue lets the scraper in after at most two checks of the guesses. Each user is new, so no password is
/// remembered.
#[test]
fn a_scraper_gets_in_while_another_address_guesses_passwords() {
    let folder = Folder::new();
    let users = ["u0", "u1", "u2", "u3", "u4"].map(|user| (user, "right"));
    let exporter = folder.demo(&user_file(&users), &[]);
    let (to, stop, refused) = (exporter.address, AtomicBool::new(false), AtomicUsize::new(0));
    let guess = |n: usize| {
        while !stop.load(Ordering::Relaxed) {
            let answer = log_in(Ipv4Addr::new(127, 77, 2, 1), to, &format!("u0:guess-{n}")).unwrap_or_default();
            if status_of(&answer) == "503" {
                assert!(answer.to_ascii_lowercase().contains("\r\nretry-after: 1\r\n"), "{answer}");
                refused.fetch_add(1, Ordering::Relaxed);
            }
        }
    };
    let times = thread::scope(|scope| {
        let guess = &guess;
        for n in 0..24 {
            scope.spawn(move || guess(n));
        }
        let scrapes = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            eventually("the queue to be full", SOON, || match refused.load(Ordering::Relaxed) {
                0 => Err("no guess was refused".to_owned()),
                count => Ok(count),
            });
            users.map(|(user, password)| {
                let start = now();
                let answer = log_in(Ipv4Addr::LOCALHOST, to, &format!("{user}:{password}")).expect("an answer");
                assert_eq!(status_of(&answer), "200", "{answer:.200}");
                now() - start
            })
        }));
        stop.store(true, Ordering::Relaxed);
        scrapes.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    });
    show(&format!("scrapes with passwords that are not remembered, while 24 clients guess: {times:?}"));
}

/// Every renewal of a certificate reloads the file, and the fleet must not pay for bcrypt again each time.
#[test]
fn a_reload_of_the_file_does_not_forget_passwords() {
    let folder = Folder::new();
    let file = user_file(&[("alice", "right")]);
    let mut exporter = folder.demo(&file, &[]);
    let to = exporter.address;
    assert_eq!(status_of(&log_in(Ipv4Addr::LOCALHOST, to, "alice:right").expect("an answer")), "200");
    folder.write("web.yml", &format!("{file}# renewed\n"));
    await_line(&mut exporter, &["reloaded the web configuration file"]);
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        // From the scraper's own address, so that its request would have to wait or be refused.
        for _ in 0..8 {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    drop(log_in(Ipv4Addr::LOCALHOST, to, "alice:guess"));
                }
            });
        }
        let answers: Vec<_> = (0..20).map(|_| log_in(Ipv4Addr::LOCALHOST, to, "alice:right")).collect();
        stop.store(true, Ordering::Relaxed);
        for answer in answers {
            assert_eq!(status_of(&answer.expect("an answer")), "200");
        }
    });
}

fn reload(at: SocketAddr, headers: &[(&str, &str)]) -> u16 {
    http::request(at, "POST", "/-/reload", headers).expect("an answer").status
}

fn demo(flags: &[&str]) -> Exporter {
    let mut command = program();
    command.arg("demo").arg(format!("--sandbox.listen-address={}", free_address())).args(flags);
    Exporter::start(&mut command)
}

#[test]
fn a_page_of_another_site_cannot_make_a_browser_reload_the_configuration() {
    let demo = demo(&["--web.enable-lifecycle"]);
    let own = format!("http://{}", demo.address);
    for (headers, expected) in [
        (&[][..], 200),
        (&[("Sec-Fetch-Site", "same-origin"), ("Origin", &own)], 200),
        (&[("Origin", &own)], 200),
        (&[("Sec-Fetch-Site", "cross-site"), ("Origin", "https://evil.example")], 403),
        (&[("Sec-Fetch-Site", "same-site")], 403),
        (&[("Origin", "https://evil.example")], 403),
        (&[("Origin", "null")], 403),
        (&[("Host", "a")], 400),
    ] {
        assert_eq!(reload(demo.address, headers), expected, "{headers:?}");
    }
    // A link on another site may lead here.
    let from_link = [("Sec-Fetch-Site", "cross-site"), ("Sec-Fetch-Mode", "navigate")];
    assert_eq!(http::request(demo.address, "GET", "/", &from_link).expect("an answer").status, 200);
}

/// A foreign name that resolves to the exporter (DNS rebinding) is refused; probes use the address of the exporter.
#[test]
fn with_a_list_of_hosts_other_names_are_refused() {
    let demo = demo(&["--web.hosts=exporter.example,exporter"]);
    let status = |host: &str| {
        let mut stream = TcpStream::connect(demo.address).expect("a connection");
        stream.set_read_timeout(Some(SOON)).expect("a timeout");
        let request = format!("GET /-/healthy HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).expect("a request");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("an answer");
        status_of(&answer).to_owned()
    };
    for host in ["exporter.example", "exporter:9847", "localhost", "10.1.2.3:9847", &demo.address.to_string()] {
        assert_eq!(status(host), "200", "{host}");
    }
    for host in ["evil.example", "exporter.example.evil.example:9847"] {
        assert_eq!(status(host), "421", "{host}");
    }
    let asked = run(program().args(["healthcheck", &format!("--web.listen-address={}", demo.address)]));
    assert!(asked.status.success(), "{asked:?}");
}

#[test]
fn a_client_that_has_closed_its_sending_direction_gets_the_page() {
    let demo = Exporter::demo();
    let mut stream = TcpStream::connect(demo.address).expect("a connection");
    stream.set_read_timeout(Some(SOON)).expect("a timeout");
    stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n").expect("a request");
    stream.shutdown(Shutdown::Write).expect("an open connection");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    assert!(answer.starts_with("HTTP/1.1 200 ") && answer.contains("cloudflare_magic_exporter_build_info"), "{answer}");
}

/// Another program has the port. The reason is named once, by `serve` and by `demo`.
#[test]
fn a_port_in_use_is_one_line_with_one_reason() {
    let taken = std::net::TcpListener::bind(free_address()).expect("a free address");
    let address = taken.local_addr().expect("an address");
    for flags in [
        vec![format!("--web.listen-address={address}"), format!("--sandbox.listen-address={}", free_address())],
        vec![format!("--sandbox.listen-address={address}"), format!("--web.listen-address={}", free_address())],
    ] {
        let ended = run(program().arg("demo").args(flags));
        assert_eq!(ended.status.code(), Some(1), "{ended:?}");
        let reason = format!("cannot listen on {address}: the port is already in use, perhaps by another exporter");
        assert!(ended.stderr.contains(&reason) && ended.stderr.lines().count() == 1, "{}", ended.stderr);
    }
    drop(taken);
}
