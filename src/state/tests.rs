use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use jiff::Timestamp;
use prometheus_client::encoding::text::encode_registry;
use proptest::prelude::*;
use tokio::{sync::watch, task::JoinSet, time};
use tokio_util::sync::CancellationToken;
use web_toolkit::clock::{self, Moment};

use super::{
    archive::Entry,
    format::{FormatError, decode, encode},
    *,
};
use crate::{
    agents::{AgentKey, AgentReport, Agents, ScrapeAddress},
    domain::{
        fixtures::tunnel,
        inventory::{AccountName, TunnelKey},
        label::Label as _,
        past::PastVerdict,
        probe::{Binding, ProbePath, SessionKey, SocketMode},
        tunnel::{TunnelId, TunnelType},
        verdict::{Evidence, Reported, Side, TunnelVerdict, Verdict, Verdicts},
    },
    exposition,
    prober::{board::ProbeBoard, histogram::Buckets, tally::Tally},
    snapshot::Judged,
};

mod history;

fn key(id: &str) -> TunnelKey {
    TunnelKey::new(&AccountName::new("acme"), &tunnel(id))
}

/// One tunnel with this verdict and the address `10.0.0.0`, which has answered.
fn judged(verdict: Verdict, changed: Moment) -> Judged {
    let evidence =
        Evidence { reported: Reported::None, edge: Reported::None, inside: Side::Silent, outside: Side::Answers };
    let verdict = TunnelVerdict { verdict, evidence, changed, changes: 0, why: "".into() };
    let tunnels = [(Arc::new(key("fra")), Arc::new(verdict))];
    let binding = Arc::new(Binding { mode: SocketMode::Raw, source: None, interface: Some("tun0".into()), dscp: 0 });
    let session = |last: u8| SessionKey { address: [10, 0, 0, last].into(), binding: Arc::clone(&binding) };
    let answered = Tally::new(Buckets::rtt()).with_past_reply(Some(changed.wall));
    let silent = Tally::new(Buckets::rtt());
    let sessions = [(session(0), Arc::new(answered)), (session(1), Arc::new(silent))];
    let board = ProbeBoard { sessions: sessions.into(), ..ProbeBoard::default() };
    Judged { board: Arc::new(board), verdicts: Arc::new(Verdicts { tunnels: tunnels.into() }), ..Judged::default() }
}

fn encoded(archive: &Archive) -> Vec<u8> {
    let mut text = Vec::new();
    encode(archive, &mut text).unwrap();
    text
}

fn archive(verdict: Verdict, now: Moment) -> Archive {
    let mut archive = Archive::default();
    archive.update(&judged(verdict, now), now.wall);
    archive
}

struct Folder {
    temporary: tempfile::TempDir,
}

impl Folder {
    fn new() -> Self {
        Self { temporary: tempfile::tempdir().unwrap() }
    }

    fn path(&self) -> PathBuf {
        self.temporary.path().join("state")
    }

    fn file(&self, name: &str) -> PathBuf {
        self.path().join(name)
    }

    fn open(&self) -> StateDirectory {
        StateDirectory::open(&self.path()).unwrap()
    }

    /// The names of all files.
    fn files(&self) -> Vec<String> {
        let names = fs::read_dir(self.path()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<_> = names.collect();
        names.sort();
        names
    }
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn what_is_written_is_read_again_and_only_the_user_can_read_it() {
    let (folder, now) = (Folder::new(), clock::now());
    let written = archive(Verdict::TunnelFault, now);
    let directory = folder.open();
    assert_eq!(directory.load(), Archive::default(), "there is no file yet");
    directory.write(&written).unwrap();
    directory.write(&written).unwrap();
    assert_eq!(directory.load(), written);
    assert_eq!(folder.files(), ["state.json"], "no temporary file is left");
    assert_eq!((mode(&folder.path()), mode(&folder.file("state.json"))), (0o700, 0o600));
    let path = ProbePath { address: [10, 0, 0, 0].into(), source: None, interface: Some("tun0".into()) };
    assert_eq!(written.past_replies(now), [(path, Some(now.wall))].into(), "the silent address is not stored");
    let past = PastVerdict { verdict: Verdict::TunnelFault, since: now.wall };
    assert_eq!(written.past_verdicts(now).tunnels, [(key("fra"), past)].into());
}

#[test]
fn a_file_that_cannot_be_used_is_set_aside_and_ignored() {
    let newer = r#"{"format": "magic-tunnel-exporter state", "version": 2, "tunnels": "another shape"}"#;
    let wrong = r#"{"format": "magic-tunnel-exporter state", "version": 1, "saved": "", "verdicts": "none"}"#;
    let half = &encoded(&archive(Verdict::Healthy, clock::now()))[..100];
    for content in [b"".as_slice(), b"\0\0\0\0", b"hunter2", b"[]", b"{}", newer.as_bytes(), wrong.as_bytes(), half] {
        let folder = Folder::new();
        let directory = folder.open();
        fs::write(folder.file("state.json"), content).unwrap();
        assert_eq!(directory.load(), Archive::default());
        assert_eq!(folder.files(), ["state.json.unusable"], "{content:?}");
        assert_eq!(fs::read(folder.file("state.json.unusable")).unwrap(), content);
        assert!(!decode(content).unwrap_err().to_string().contains("hunter2"));
        // The next one replaces it.
        directory.write(&Archive::default()).unwrap();
        fs::write(folder.file("state.json"), "worse").unwrap();
        directory.load();
        assert_eq!(fs::read(folder.file("state.json.unusable")).unwrap(), b"worse");
    }
}

#[test]
fn each_reason_for_not_using_a_file_is_distinct() {
    let of = |text: &str| decode(text.as_bytes()).unwrap_err();
    assert_eq!(of(r#"{"format": "magic-tunnel-exporter state", "version": 7}"#), FormatError::Newer(7));
    assert_eq!(of(r#"{"format": "another", "version": 1}"#), FormatError::Foreign);
    assert_eq!(of("{\n!"), FormatError::Corrupt { line: 2, column: 1 });
}

#[test]
fn a_file_of_more_than_64_mib_is_not_read() {
    let folder = Folder::new();
    let directory = folder.open();
    fs::File::create(folder.file("state.json")).unwrap().set_len((64 << 20) + 1).unwrap();
    assert_eq!(directory.load(), Archive::default());
    assert_eq!(folder.files(), ["state.json.unusable"]);
}

#[test]
fn sections_and_values_that_are_unknown_are_ignored() {
    let text = r#"{
        "format": "magic-tunnel-exporter state", "version": 1, "saved": "2026-10-05T09:00:00Z", "history": [1, 2],
        "targets": [
            {"address": "10.0.0.0", "colour": "red"},
            {"address": "nowhere"},
            {"address": "10.0.0.1", "source": "eth0"},
            {"address": "10.0.0.2", "last_reply": "yesterday"}
        ],
        "verdicts": [
            {"account": "acme", "tunnel_type": "ipsec", "tunnel_id": "fra", "verdict": "haunted",
             "since": "2026-10-05T09:00:00Z"},
            {"account": "acme", "tunnel_type": "carrier_pigeon", "tunnel_id": "fra", "verdict": "healthy",
             "since": "2026-10-05T09:00:00Z"},
            {"account": "acme", "tunnel_type": "ipsec", "tunnel_id": "par", "verdict": "healthy",
             "since": "2026-10-05T09:00:00Z"}
        ]
    }"#;
    let read = decode(text.as_bytes()).unwrap();
    let addresses: Vec<String> = read.replies.keys().map(|path| path.address.to_string()).collect();
    assert_eq!(addresses, ["10.0.0.0", "10.0.0.2"]);
    assert_eq!(read.verdicts.keys().collect::<Vec<_>>(), [&key("par")]);
    let empty = decode(br#"{"format": "magic-tunnel-exporter state", "version": 1, "saved": ""}"#).unwrap();
    assert_eq!(empty, Archive::default());
}

#[test]
fn a_failed_write_keeps_the_old_file() {
    let (folder, now) = (Folder::new(), clock::now());
    let directory = folder.open();
    let old = archive(Verdict::TunnelFault, now);
    directory.write(&old).unwrap();
    // A temporary file that cannot be replaced fails the write.
    fs::create_dir(folder.file("state.json.new")).unwrap();
    directory.write(&archive(Verdict::Healthy, now)).unwrap_err();
    assert_eq!(directory.load(), old);
    fs::remove_dir(folder.file("state.json.new")).unwrap();
    // The temporary file of a process that was killed while it wrote.
    fs::write(folder.file("state.json.new"), "half").unwrap();
    let new = archive(Verdict::Healthy, now);
    directory.write(&new).unwrap();
    assert_eq!((directory.load(), folder.files()), (new, vec!["state.json".to_owned()]));
}

#[test]
fn a_directory_that_cannot_be_used_is_refused_with_the_reason() {
    let folder = Folder::new();
    let file = folder.temporary.path().join("file");
    fs::write(&file, "").unwrap();
    let error = StateDirectory::open(&file).unwrap_err().to_string();
    assert!(error.starts_with("the state directory `") && error.contains("cannot be created: "), "{error}");
    // A file system that forbids new files, for every user.
    let error = StateDirectory::open(Path::new("/proc/self")).unwrap_err().to_string();
    assert!(error.contains("`/proc/self` cannot be written to: ") && error.contains("--state.directory"), "{error}");
    let _first = folder.open();
    let error = StateDirectory::open(&folder.path()).unwrap_err().to_string();
    assert!(error.contains("is in use by another exporter"), "{error}");
}

#[test]
fn a_directory_is_described_without_changing_it() {
    let (folder, now) = (Folder::new(), clock::now());
    let described = |after| describe(&folder.path(), now.after(Duration::from_secs(after)));
    assert!(described(0).unwrap().ends_with("does not exist; `serve` creates it"));
    assert!(!folder.path().exists());
    let directory = folder.open();
    assert!(described(0).unwrap().ends_with("can be written to, and holds no state yet"));
    directory.write(&archive(Verdict::TunnelFault, now)).unwrap();
    assert!(described(7).unwrap().ends_with("holds 1 tunnels and 1 targets, written 7 s ago"));
    fs::write(folder.file("state.json"), "x").unwrap();
    assert!(matches!(described(0), Err(StateProblem::File(_))));
    assert_eq!(folder.files(), ["state.json"]);
    for path in ["/proc/self/status", "/proc/self/status/missing"] {
        let described = describe(Path::new(path), now);
        assert!(matches!(described, Err(StateProblem::Directory(_))), "{described:?}");
    }
    assert!(describe(Path::new("missing/too"), now).is_ok(), "a relative path");
}

#[test]
fn entries_that_leave_the_inventory_are_kept_for_a_week() {
    let now = clock::now();
    let mut archive = archive(Verdict::TunnelFault, now);
    let nothing = Judged::default();
    for (hours, known) in [(1, 1), (24, 1), (7 * 24, 1), (7 * 24 + 2, 0)] {
        archive.update(&nothing, now.after(Duration::from_hours(hours)).wall);
        assert_eq!((archive.verdicts.len(), archive.replies.len()), (known, known), "after {hours} h");
    }
}

#[test]
fn an_entry_that_comes_back_is_no_longer_absent() {
    let now = clock::now();
    let mut archive = archive(Verdict::TunnelFault, now);
    archive.update(&Judged::default(), now.wall);
    assert!(archive.verdicts.values().all(|entry| entry.absent_since.is_some()));
    archive.update(&judged(Verdict::Healthy, now), now.wall);
    assert!(archive.verdicts.values().all(|entry| entry.absent_since.is_none()));
    assert!(archive.replies.values().all(|entry| entry.absent_since.is_none()));
}

#[test]
fn the_verdict_on_a_tunnel_that_was_absent_for_a_day_is_not_used() {
    let now = clock::now();
    let mut archive = archive(Verdict::TunnelFault, now);
    archive.update(&Judged::default(), now.wall);
    for (hours, known) in [(24, 1), (25, 0)] {
        let later = now.after(Duration::from_hours(hours));
        archive.update(&Judged::default(), later.wall);
        assert_eq!(archive.past_verdicts(later).tunnels.len(), known);
        assert_eq!(archive.past_replies(later).len(), 1, "an address that answered is known for longer");
    }
}

#[test]
fn a_reply_in_the_future_keeps_the_target_but_not_the_time() {
    let now = clock::now();
    let archive = archive(Verdict::TunnelFault, now.after(Duration::from_hours(1)));
    assert_eq!(archive.past_replies(now).into_values().collect::<Vec<_>>(), [None]);
    assert_eq!(archive.past_verdicts(now).tunnels.len(), 1);
}

/// A keeper of verdicts that the test publishes, in paused time.
struct Rehearsal {
    folder: Folder,
    judged: watch::Sender<Judged>,
    stop: CancellationToken,
    tasks: JoinSet<()>,
    registry: prometheus_client::registry::Registry,
}

impl Rehearsal {
    fn start() -> Self {
        let folder = Folder::new();
        let (judged, published) = watch::channel(Judged::default());
        let mut registry = exposition::registry();
        let metrics = StateMetrics::register(&mut registry);
        let keeper = StateKeeper::new(
            Arc::new(folder.open()),
            Archive::default(),
            published,
            (None, Agents::default()),
            metrics,
        );
        let (stop, mut tasks) = (CancellationToken::new(), JoinSet::new());
        tasks.spawn(keeper.run(stop.clone()));
        Self { folder, judged, stop, tasks, registry }
    }

    fn publish(&self, verdict: Verdict) {
        self.judged.send_replace(judged(verdict, clock::now()));
    }

    fn stored(&self) -> Option<Verdict> {
        let bytes = fs::read(self.folder.file("state.json")).ok()?;
        decode(&bytes).unwrap().verdicts.values().next().map(|entry| entry.value.verdict)
    }

    /// Waits in paused time, and for a write that has begun.
    async fn seconds(&self, count: u64) {
        time::sleep(Duration::from_secs(count)).await;
    }

    fn page(&self) -> String {
        let mut page = String::new();
        encode_registry(&mut page, &self.registry).unwrap();
        page
    }
}

#[tokio::test(start_paused = true)]
async fn a_change_is_written_within_a_minute_and_at_the_end() {
    let mut rehearsal = Rehearsal::start();
    rehearsal.publish(Verdict::Healthy);
    rehearsal.seconds(6).await;
    assert_eq!(rehearsal.stored(), Some(Verdict::Healthy));
    rehearsal.publish(Verdict::TunnelFault);
    rehearsal.seconds(50).await;
    assert_eq!(rehearsal.stored(), Some(Verdict::Healthy), "at most once a minute");
    rehearsal.seconds(10).await;
    assert_eq!(rehearsal.stored(), Some(Verdict::TunnelFault));
    rehearsal.publish(Verdict::Unreachable);
    rehearsal.seconds(1).await;
    rehearsal.stop.cancel();
    while rehearsal.tasks.join_next().await.is_some() {}
    assert_eq!(rehearsal.stored(), Some(Verdict::Unreachable));
}

#[tokio::test(start_paused = true)]
async fn a_write_that_fails_is_counted_and_tried_again() {
    let mut rehearsal = Rehearsal::start();
    let last_write = "\ncloudflare_magic_state_last_write_timestamp_seconds ";
    assert!(!rehearsal.page().contains(last_write), "{}", rehearsal.page());
    fs::create_dir(rehearsal.folder.file("state.json.new")).unwrap();
    rehearsal.publish(Verdict::Healthy);
    rehearsal.seconds(70).await;
    assert!(rehearsal.page().contains("cloudflare_magic_state_write_failures_total 2"), "{}", rehearsal.page());
    fs::remove_dir(rehearsal.folder.file("state.json.new")).unwrap();
    rehearsal.seconds(60).await;
    assert_eq!(rehearsal.stored(), Some(Verdict::Healthy));
    assert!(rehearsal.page().contains(last_write), "{}", rehearsal.page());
    rehearsal.stop.cancel();
    while rehearsal.tasks.join_next().await.is_some() {}
}

#[test]
fn ten_thousand_tunnels_take_a_few_megabytes() {
    let now = clock::now().wall;
    let entry = |value| Entry { value, absent_since: None };
    let target = |n: u32| ProbePath { address: n.to_be_bytes().into(), source: None, interface: None };
    let verdict = entry(PastVerdict { verdict: Verdict::ProberIsolated, since: now });
    let archive = Archive {
        inventory: None,
        agents: Vec::new(),
        saved: Some(now),
        replies: (0..30_000).map(|n| (target(n), Entry { value: Some(now), absent_since: None })).collect(),
        verdicts: (0..10_000).map(|n| (key(&format!("{n:032}")), verdict)).collect(),
        ..Archive::default()
    };
    let size = encoded(&archive).len();
    assert!(size < 6 << 20, "{size} bytes");
}

prop_compose! {
    fn any_time()(seconds in 0_i64..4_000_000_000, nanos in 0_i32..1_000_000_000) -> Timestamp {
        Timestamp::new(seconds, nanos).unwrap()
    }
}

prop_compose! {
    fn any_target()(
        address in any::<std::net::IpAddr>(), source in any::<Option<std::net::IpAddr>>(),
        interface in prop::option::of("\\PC{0,15}"), last in prop::option::of(any_time()),
        absent_since in prop::option::of(any_time()),
    ) -> (ProbePath, Entry<Option<Timestamp>>) {
        let interface = interface.map(Into::into);
        (ProbePath { address, source, interface }, Entry { value: last, absent_since })
    }
}

prop_compose! {
    fn any_verdict()(
        account in "\\PC{0,20}", id in "\\PC{0,20}", ipsec in any::<bool>(), verdict in 0..Verdict::ALL.len(),
        since in any_time(), absent_since in prop::option::of(any_time()),
    ) -> (TunnelKey, Entry<PastVerdict>) {
        let tunnel_type = if ipsec { TunnelType::Ipsec } else { TunnelType::Gre };
        let key = TunnelKey { account: AccountName::new(account), tunnel_type, id: TunnelId::new(id) };
        (key, Entry { value: PastVerdict { verdict: Verdict::ALL[verdict], since }, absent_since })
    }
}

prop_compose! {
    fn any_agent()(
        prober in "\\PC{1,20}", client in prop::option::of("\\PC{1,20}"), site in "\\PC{1,20}",
        version in prop::option::of("[0-9.]{1,9}"), seconds in any::<u32>(), scrape in any::<bool>(), seen in any_time(),
    ) -> (AgentReport, Timestamp) {
        let report = AgentReport {
            key: AgentKey { prober: prober.into(), client: client.map(Into::into) },
            sites: vec![site.into()],
            version: version.map(Into::into),
            vantage: None,
            interval: Duration::from_secs(seconds.into()),
            scrape: ScrapeAddress::parse("http://agent.example:9847/metrics").filter(|_| scrape),
            is_newest: None,
        };
        (report, seen)
    }
}

proptest! {
    #[test]
    fn every_archive_is_read_as_it_was_written(
        saved in any_time(),
        replies in prop::collection::vec(any_target(), 0..20),
        verdicts in prop::collection::vec(any_verdict(), 0..20),
        agents in prop::collection::vec(any_agent(), 0..20),
    ) {
        let replies: BTreeMap<_, _> = replies.into_iter().collect();
        let verdicts = verdicts.into_iter().collect();
        let archive = Archive { saved: Some(saved), replies, verdicts, agents, ..Archive::default() };
        prop_assert_eq!(decode(&encoded(&archive)).unwrap(), archive);
    }

    #[test]
    fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        prop_assert!(decode(&bytes).is_err());
    }

    #[test]
    fn a_damaged_file_is_read_or_refused(at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let mut bytes = encoded(&archive(Verdict::TunnelFault, clock::now()));
        let at = at.index(bytes.len());
        bytes[at] = byte;
        drop(decode(&bytes));
    }
}
