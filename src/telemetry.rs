//! The log: logfmt or JSON lines on standard error, both with the keys `ts`, `level` and `msg`.

mod queue;

use std::{
    backtrace::{Backtrace, BacktraceStatus},
    fmt::{self, Debug},
    io::{self, Write as _},
    panic::{self, PanicHookInfo},
    sync::OnceLock,
    thread,
    time::Duration,
};

use serde_json::Value;
use tracing::{
    Event, Subscriber, error,
    field::{Field, Visit},
    level_filters::LevelFilter,
};
use tracing_subscriber::{
    filter::Targets,
    fmt::{FmtContext, FormatEvent, FormatFields, format::Writer},
    layer::SubscriberExt as _,
    registry::LookupSpan,
    util::SubscriberInitExt as _,
};
use web_toolkit::{clock, text::is_hidden};

use self::queue::Queue;
use crate::domain::label::label_enum;

label_enum! {
    /// Least severe events that are written (`--log.level`).
    pub enum LogLevel {
        Trace => "trace",
        Debug => "debug",
        Info => "info",
        Warn => "warn",
        Error => "error",
    }
}

label_enum! {
    /// How a line is written (`--log.format`).
    pub enum LogFormat {
        Logfmt => "logfmt",
        Json => "json",
    }
}

/// Crates of this program: only their events follow `--log.level`.
const OWN_CRATES: [&str; 3] = ["magic_tunnel_exporter", "web_toolkit", "magic_sandbox"];

/// Time for the last lines at the end of the program. A reader that is slower loses them.
const LAST_LINES: Duration = Duration::from_millis(500);

/// The queue of this process. Empty until [`init`].
static QUEUE: OnceLock<Queue> = OnceLock::new();

/// Sends every event and every panic of this program to standard error from now on, from a thread that calls
/// `on_thread_start` first. Called once.
///
/// # Errors
/// The thread cannot be started.
pub fn init(level: LogLevel, format: LogFormat, on_thread_start: fn()) -> io::Result<()> {
    let own = match level {
        LogLevel::Trace => LevelFilter::TRACE,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Error => LevelFilter::ERROR,
    };
    let queue = QUEUE.get_or_init(Queue::default);
    thread::Builder::new().name("log".into()).spawn(move || {
        on_thread_start();
        queue.write_to(io::stderr());
    })?;
    let lines = tracing_subscriber::fmt::layer().event_format(format).with_writer(move || Lines(queue));
    tracing_subscriber::registry().with(filter(own)).with(lines).init();
    panic::set_hook(Box::new(log_panic));
    Ok(())
}

/// Number of log lines so far that were not written.
pub fn dropped_lines() -> u64 {
    QUEUE.get().map_or(0, Queue::dropped)
}

/// Writes the last lines of the program, after those of the log. Waits at most half a second for a slow reader.
pub fn finish(last: &str) {
    match QUEUE.get() {
        Some(queue) => drop(queue.finish(last.as_bytes(), LAST_LINES)),
        // If standard error is closed, the exit code still reports the failure.
        None => drop(io::stderr().write_all(last.as_bytes())),
    }
}

/// Logs a panic. The default hook would write it itself, and could wait forever for the reader of standard error.
fn log_panic(panic: &PanicHookInfo<'_>) {
    let backtrace = Backtrace::capture();
    let text = if backtrace.status() == BacktraceStatus::Captured { &format!("\n{backtrace}") } else { "" };
    error!("{panic}{text}");
}

/// Adds each line to the queue.
struct Lines(&'static Queue);

impl io::Write for Lines {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.0.push(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Other crates log warnings and errors only, because at finer levels they log whole packets, credentials included.
fn filter(own: LevelFilter) -> Targets {
    let others = own.min(LevelFilter::WARN);
    Targets::new().with_default(others).with_targets(OWN_CRATES.map(|name| (name, own)))
}

/// The fields of one event, in their order.
#[derive(Debug, Default)]
struct EventFields(Vec<(&'static str, Value)>);

impl EventFields {
    fn of_event(event: &Event<'_>) -> Self {
        let mut fields = Self::default();
        event.record(&mut fields);
        fields
    }

    /// Adds a text without [hidden](is_hidden) characters. Line breaks and tabs remain, because both formats escape
    /// them.
    fn push_text(&mut self, field: &Field, mut text: String) {
        text.retain(|c| matches!(c, '\n' | '\t') || !is_hidden(c));
        self.push(field, text);
    }

    fn push(&mut self, field: &Field, value: impl Into<Value>) {
        let name = if field.name() == "message" { "msg" } else { field.name() };
        self.0.push((name, value.into()));
    }
}

impl Visit for EventFields {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.push_text(field, format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.push_text(field, value.to_owned());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.push(field, value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.push(field, value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.push(field, value);
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.push(field, value);
    }
}

impl<S, N> FormatEvent<S, N> for LogFormat
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, _: &FmtContext<'_, S, N>, mut line: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let level = event.metadata().level().as_str().to_lowercase();
        let head = [("ts", format!("{:.3}", clock::now().wall).into()), ("level", level.into())];
        let fields = EventFields::of_event(event);
        let (open, between, close) = match self {
            Self::Logfmt => ("", " ", "\n"),
            Self::Json => ("{", ",", "}\n"),
        };
        let mut before = open;
        for (name, value) in head.into_iter().chain(fields.0) {
            line.write_str(before)?;
            match (self, &value) {
                (Self::Json, value) => write!(line, "\"{name}\":{value}")?,
                (Self::Logfmt, Value::String(text)) if is_bare(text) => write!(line, "{name}={text}")?,
                (Self::Logfmt, value) => write!(line, "{name}={value}")?,
            }
            before = between;
        }
        line.write_str(close)
    }
}

/// Whether logfmt needs no quotation marks around the text.
fn is_bare(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| !c.is_whitespace() && !c.is_control() && !matches!(c, '"' | '=' | '\\'))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use parking_lot::Mutex;

    use super::*;

    #[test]
    fn other_crates_never_log_below_warnings() {
        use tracing::Level;
        let trace = filter(LevelFilter::TRACE);
        for own in ["magic_tunnel_exporter", "magic_tunnel_exporter::poller::report", "web_toolkit::tls"] {
            assert!(trace.would_enable(own, &Level::TRACE), "{own}");
        }
        for other in ["hyper_util::client", "rustls", "reqwest::connect", "surge_ping"] {
            assert!(!trace.would_enable(other, &Level::INFO) && trace.would_enable(other, &Level::WARN), "{other}");
        }
        let error = filter(LevelFilter::ERROR);
        for crate_name in ["magic_tunnel_exporter", "hyper"] {
            assert!(!error.would_enable(crate_name, &Level::WARN), "{crate_name}");
            assert!(error.would_enable(crate_name, &Level::ERROR), "{crate_name}");
        }
    }

    /// Lines of this format, as written to the returned buffer.
    fn log_to_buffer(format: LogFormat, log: impl FnOnce()) -> String {
        let lines = Arc::new(Mutex::new(Vec::new()));
        let writer = Arc::clone(&lines);
        let layer = tracing_subscriber::fmt::layer()
            .event_format(format)
            .with_writer(move || Box::new(Buffer(Arc::clone(&writer))) as Box<dyn io::Write>);
        tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), log);
        String::from_utf8(lines.lock().clone()).unwrap()
    }

    struct Buffer(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Buffer {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn both_formats_have_the_same_keys_and_escape_every_value() {
        let log = || tracing::warn!(tunnel_name = "a\"b c\nd", tunnels = 7, up = false, "poll of {} failed", "acme");
        let json = log_to_buffer(LogFormat::Json, log);
        let line: Value = serde_json::from_str(&json).unwrap();
        assert_eq!(json.lines().count(), 1);
        assert_eq!(line["ts"].as_str().unwrap().len(), "2026-01-01T00:00:00.000Z".len());
        assert_eq!((&line["level"], &line["msg"]), (&"warn".into(), &"poll of acme failed".into()));
        assert_eq!(
            (&line["tunnel_name"], &line["tunnels"], &line["up"]),
            (&"a\"b c\nd".into(), &7.into(), &false.into())
        );
        let logfmt = log_to_buffer(LogFormat::Logfmt, log);
        let rest = r#" level=warn msg="poll of acme failed" tunnel_name="a\"b c\nd" tunnels=7 up=false"#;
        assert!(logfmt.starts_with("ts=2") && logfmt.trim_end().ends_with(rest), "{logfmt}");
    }

    #[test]
    fn hidden_characters_are_dropped_from_every_text() {
        let name = "f\u{1b}r\u{202e}a\u{200b}-\u{2028}1\u{e0041}\r";
        for format in [LogFormat::Logfmt, LogFormat::Json] {
            let line =
                log_to_buffer(format, || tracing::warn!(tunnel_name = name, shown = %name, "tunnel {name}\nis\tnew"));
            assert!(!line.trim_end().chars().any(is_hidden), "{line:?}");
            assert!(line.contains("fra-1") && line.contains(r"tunnel fra-1\nis\tnew"), "{line:?}");
        }
    }
}
