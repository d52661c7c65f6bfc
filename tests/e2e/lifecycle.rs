//! The program as seen by systemd, a container engine and the kernel.

use std::{
    fs,
    net::SocketAddr,
    os::unix::{
        fs::{PermissionsExt as _, chown},
        net::UnixDatagram,
    },
    time::Duration,
};

use crate::support::{
    SOON, eventually,
    exporter::{ACCOUNT, Exporter, program, run, token_file},
    free_address,
};

/// A service manager that receives messages.
struct Manager {
    socket: UnixDatagram,
    folder: tempfile::TempDir,
}

impl Manager {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let socket = UnixDatagram::bind(folder.path().join("notify")).expect("a socket");
        socket.set_read_timeout(Some(SOON)).expect("a timeout");
        Self { socket, folder }
    }

    /// The demo under this manager, with `watchdog` as the longest time between two keep-alive messages.
    fn start_demo(&self, watchdog: Duration) -> Exporter {
        let mut command = program();
        command
            .arg("demo")
            .arg(format!("--sandbox.listen-address={}", free_address()))
            .env("NOTIFY_SOCKET", self.folder.path().join("notify"))
            .env("WATCHDOG_USEC", watchdog.as_micros().to_string());
        Exporter::start(&mut command)
    }

    fn next(&self) -> String {
        let mut message = [0; 512];
        let length = self.socket.recv(&mut message).expect("a message from the program");
        String::from_utf8(message[..length].to_vec()).expect("text")
    }
}

#[test]
fn systemd_is_notified_of_ready_watchdog_and_stopping() {
    let manager = Manager::new();
    let demo = manager.start_demo(Duration::from_millis(900));
    let ready = manager.next();
    assert!(ready.starts_with("READY=1\nSTATUS=Polling 1 account, serving http://"), "{ready}");
    for _ in 0..3 {
        assert_eq!(manager.next(), "WATCHDOG=1\n");
    }
    demo.process.signal("TERM");
    let last = std::iter::repeat_with(|| manager.next()).find(|message| message != "WATCHDOG=1\n");
    assert_eq!(last.as_deref(), Some("STOPPING=1\n"));
    assert_eq!(demo.process.ended(SOON).status.code(), Some(0));
}

#[test]
fn systemd_is_notified_of_the_start_and_the_end_of_a_reload() {
    let manager = Manager::new();
    let mut demo = manager.start_demo(Duration::from_hours(1));
    manager.next();
    for _ in 0..2 {
        demo.process.signal("HUP");
        let begun = manager.next();
        let since = begun.strip_prefix("RELOADING=1\nMONOTONIC_USEC=").unwrap_or_else(|| panic!("{begun}"));
        assert!(since.trim_end().parse::<u64>().is_ok_and(|microseconds| microseconds > 0), "{begun}");
        assert!(manager.next().starts_with("READY=1\n"));
    }
    demo.process.assert_running();
}

#[test]
fn the_program_continues_without_its_service_manager() {
    let manager = Manager::new();
    let mut demo = manager.start_demo(Duration::from_millis(300));
    manager.next();
    drop(manager);
    demo.await_ready();
    demo.process.assert_running();
}

/// The values of `field` of each thread, with the thread's name.
fn of_threads(process: u32, field: &str) -> Vec<(String, String)> {
    let threads = fs::read_dir(format!("/proc/{process}/task")).expect("the threads of a process");
    let value = |status: &str, name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(&format!("{name}:")));
        line.unwrap_or_else(|| panic!("no {name} in {status}")).trim().to_owned()
    };
    // A thread that has ended in the meantime has no status.
    let statuses = threads.flatten().filter_map(|thread| fs::read_to_string(thread.path().join("status")).ok());
    statuses.map(|status| (value(&status, "Name"), value(&status, field))).collect()
}

/// Works with all privileges (root) and with none.
#[test]
fn only_threads_that_open_sockets_keep_capabilities() {
    const NET_RAW: u64 = 1 << 13;
    const FOR_SOCKETS: u64 = NET_RAW | 1 << 10; // and NET_BIND_SERVICE
    let bits = |text: &str| u64::from_str_radix(text, 16).expect("a set of capabilities");
    let demo = Exporter::demo();
    demo.await_ready();
    let own = of_threads(std::process::id(), "CapEff");
    let given = bits(&own[0].1) & FOR_SOCKETS;
    for field in ["CapEff", "CapPrm"] {
        // A new thread may not have dropped its inherited capabilities yet.
        eventually("every thread to hold only the capabilities it needs", SOON, || {
            let threads = of_threads(demo.process.id(), field);
            let fits = |(name, set): &(String, String)| {
                let opens_sockets = ["prober", "prober-io", "magic-tunnel-ex"].contains(&name.as_str());
                bits(set) == if opens_sockets { given } else { 0 }
            };
            let probes = threads.iter().any(|(name, _)| name == "prober");
            if probes && threads.iter().all(fits) { Ok(()) } else { Err(format!("{field}: {threads:?}")) }
        });
    }
    for field in ["CapInh", "CapAmb"] {
        assert!(of_threads(demo.process.id(), field).iter().all(|(_, set)| bits(set) == 0), "{field}");
    }
    assert!(of_threads(demo.process.id(), "NoNewPrivs").iter().all(|(_, value)| value == "1"));
    if given & NET_RAW != 0 {
        assert!(of_threads(demo.process.id(), "CapBnd").iter().all(|(_, set)| bits(set) & !FOR_SOCKETS == 0));
    }
}

/// Before, root read the file at the start with a privilege that it then dropped, so that every later read failed.
#[test]
fn as_root_a_file_that_only_another_user_may_read_fails_at_the_start() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let token = token_file(&folder);
    let config = folder.path().join("config.yml");
    fs::write(&config, format!("accounts: [{{id: {ACCOUNT}, api_token_file: token}}]\n")).expect("a file");
    let refused = |command: &str, flags: &[&str]| {
        let ended = run(program().arg(command).arg("--cloudflare.api-url=http://127.0.0.1:9/client/v4").args(flags));
        assert_eq!((ended.status.code(), &*ended.stdout), (Some(64), ""), "{command}: {}", ended.stderr);
        ended.stderr
    };
    let token_flag = format!("--cloudflare.api-token-file={}", token.display());
    let by_flag = ["--cloudflare.account-id", ACCOUNT, &token_flag];
    let config_flag = format!("--config.file={}", config.display());
    fs::set_permissions(&token, fs::Permissions::from_mode(0o600)).expect("a file of our own");
    if chown(&token, Some(65534), None).is_err() {
        return println!("skipped: only root can give a file to another user");
    }
    for command in ["check", "serve"] {
        for flags in [&by_flag[..], &[&config_flag]] {
            let said = refused(command, flags);
            assert!(said.contains("api-token-file") || said.contains("api_token_file"), "{said}");
            assert!(said.contains("Permission denied") && said.contains("root needs permission, too"), "{said}");
        }
    }
    chown(&token, Some(0), None).expect("root gives a file to itself");
    fs::set_permissions(&config, fs::Permissions::from_mode(0o600)).expect("a file of our own");
    chown(&config, Some(65534), None).expect("root gives a file away");
    assert!(refused("check", &[&config_flag]).contains("`--config.file`"));
}

fn healthcheck(address: SocketAddr) -> crate::support::exporter::Ended {
    run(program().arg("healthcheck").env("MTE_WEB_LISTEN_ADDRESS", address.to_string()))
}

#[test]
fn the_health_check_of_a_container_is_the_program_itself() {
    let demo = Exporter::demo();
    let ended = healthcheck(demo.address);
    assert_eq!((ended.status.code(), &*ended.stdout, &*ended.stderr), (Some(0), "", ""), "no output");

    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("config.yml");
    fs::write(&file, format!("web:\n  listen_address: \"{}\"\n", demo.address)).expect("a file");
    let ended = run(program().arg("healthcheck").env("MTE_CONFIG_FILE", &file));
    assert_eq!(ended.status.code(), Some(0), "the address of the file: {}", ended.stderr);

    let unused = free_address();
    let ended = healthcheck(unused);
    assert_eq!(ended.status.code(), Some(1));
    assert_eq!(ended.stderr.lines().count(), 1, "{}", ended.stderr);
    assert!(ended.stderr.contains(&format!("no exporter answers on {unused}")), "{}", ended.stderr);

    let ended = run(program().args(["healthcheck", "--web.listen-address=nonsense"]));
    assert_eq!(ended.status.code(), Some(64), "{}", ended.stderr);
}
