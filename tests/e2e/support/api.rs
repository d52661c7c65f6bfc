//! An API with answers that a test controls, if necessary byte by byte.

use std::{
    io::{self, BufRead as _, BufReader, Read as _, Write as _},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use super::free_address;

/// A request of the exporter.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    /// `GET /client/v4/accounts/…`.
    pub(crate) line: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: String,
}

impl Request {
    pub(crate) fn collection(&self) -> &'static str {
        match () {
            () if self.body.contains("MteSettings") => "settings",
            () if self.body.contains("MteEdgeHealth") => "edge_health",
            () if self.body.contains("MteEdgeTraffic") => "edge_traffic",
            () if self.body.contains("MteEdgeColos") => "edge_colos",
            () if self.line.contains("/gre_tunnels") => "gre_tunnels",
            () if self.line.contains("/magic/routes ") => "routes",
            () if self.line.contains("/cf_interconnects ") => "cf_interconnects",
            () => "ipsec_tunnels",
        }
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }
}

/// Writes one answer to a connection. The connection is closed afterwards.
pub(crate) type Answer = Arc<dyn Fn(&Request, &mut Wire<'_>) -> io::Result<()> + Send + Sync>;

/// The connection of a request.
pub(crate) struct Wire<'a> {
    pub(crate) stream: &'a mut TcpStream,
    stop: &'a AtomicBool,
}

impl Wire<'_> {
    pub(crate) fn write(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        self.stream.write_all(bytes.as_ref())
    }

    /// Waits. Returns an error if the test has ended.
    pub(crate) fn pause(&self, time: Duration) -> io::Result<()> {
        thread::sleep(time);
        if self.stop.load(Ordering::Relaxed) { Err(io::ErrorKind::Interrupted.into()) } else { Ok(()) }
    }
}

/// A running API. Its threads end with it.
pub(crate) struct Api {
    pub(crate) address: SocketAddr,
    answer: Arc<Mutex<Answer>>,
    requests: Arc<Mutex<Vec<Request>>>,
    stop: Arc<AtomicBool>,
}

impl Api {
    pub(crate) fn start(answer: Answer) -> Self {
        Self::start_on(free_address(), answer)
    }

    pub(crate) fn start_on(address: SocketAddr, answer: Answer) -> Self {
        let listener = TcpListener::bind(address).expect("a free address");
        let api =
            Self { address, answer: Arc::new(Mutex::new(answer)), requests: Arc::default(), stop: Arc::default() };
        let (answer, requests, stop) = (Arc::clone(&api.answer), Arc::clone(&api.requests), Arc::clone(&api.stop));
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if stop.load(Ordering::Relaxed) {
                    return;
                }
                let answer = Arc::clone(&answer.lock().expect("the answer"));
                let (requests, stop) = (Arc::clone(&requests), Arc::clone(&stop));
                // A client that disconnects early and the end of the test are not failures.
                thread::spawn(move || drop(serve(stream, &answer, &requests, &stop)));
            }
        });
        api
    }

    /// Sets the answer, from the next request on.
    pub(crate) fn answer_with(&self, answer: Answer) {
        *self.answer.lock().expect("the answer") = answer;
    }

    /// All requests so far.
    pub(crate) fn requests(&self) -> Vec<Request> {
        self.requests.lock().expect("the requests").clone()
    }
}

impl Drop for Api {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        // Wakes the thread that accepts.
        drop(TcpStream::connect(self.address));
    }
}

fn serve(mut stream: TcpStream, answer: &Answer, requests: &Mutex<Vec<Request>>, stop: &AtomicBool) -> io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut next_line = || {
        let mut line = String::new();
        reader.read_line(&mut line).map(|_| line.trim_end().to_owned())
    };
    let line = next_line()?;
    let mut headers = Vec::new();
    loop {
        let header = next_line()?;
        if header.is_empty() {
            break;
        }
        let (name, value) = header.split_once(':').unwrap_or((&header, ""));
        headers.push((name.to_owned(), value.trim().to_owned()));
    }
    let mut request = Request { line, headers, body: String::new() };
    let length = request.header("content-length").and_then(|length| length.parse().ok()).unwrap_or_default();
    reader.take(length).read_to_string(&mut request.body)?;
    requests.lock().expect("the requests").push(request.clone());
    answer(&request, &mut Wire { stream: &mut stream, stop })?;
    stream.shutdown(Shutdown::Write)?;
    Ok(())
}

/// A complete answer with `Content-Length`.
pub(crate) fn answer(status: &str, headers: &str, body: impl AsRef<[u8]>) -> Answer {
    let body = body.as_ref().to_vec();
    let head = format!("HTTP/1.1 {status}\r\n{headers}Content-Length: {}\r\nConnection: close\r\n\r\n", body.len());
    Arc::new(move |_, wire| {
        wire.write(&head)?;
        wire.write(&body)
    })
}

/// A complete answer with the content type of JSON.
pub(crate) fn json(status: &str, body: impl AsRef<[u8]>) -> Answer {
    answer(status, "Content-Type: application/json; charset=UTF-8\r\n", body)
}

/// One answer for each collection of tunnels, and neither routes nor interconnects.
pub(crate) fn by_collection(ipsec: Answer, gre: Answer) -> Answer {
    let empty = r#"{"success":true,"errors":[],"messages":[],"result":{"routes":[],"interconnects":[]}}"#;
    let empty = json("200 OK", empty);
    Arc::new(move |request, wire| match request.collection() {
        "gre_tunnels" => gre(request, wire),
        "routes" | "cf_interconnects" => empty(request, wire),
        _ => ipsec(request, wire),
    })
}

/// `answer` for the collection `ipsec_tunnels`, a good list for the other one.
pub(crate) fn ipsec_only(answer: Answer) -> Answer {
    by_collection(answer, super::tunnels::gre_list(&[super::tunnels::gre("gre-1")]))
}
