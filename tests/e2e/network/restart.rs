//! Restarts during an outage: the exporter has a state directory, so that a dead tunnel stays dead.

use std::{fs, net::SocketAddr, path::PathBuf, process::Command, sync::Arc, time::Duration};

use serde_json::Value;

use super::{
    ENDPOINT, INSIDE, in_time,
    lab::{Lab, QUICK, api, await_verdict, list, sum, tunnel, verdict},
    namespace, target,
};
use crate::{
    alerting::Delivering,
    support::{
        SOON,
        api::{Answer, Api},
        eventually,
        exporter::{ACCOUNT, Exporter, Process, TOKEN, program},
        free_address,
        samples::Samples,
    },
};

/// Deadline of a write of the state, which happens at most once a minute.
const WRITTEN: Duration = Duration::from_mins(2);

/// An exporter that is restarted on the same address with the same flags.
struct Restarted {
    address: SocketAddr,
    api: SocketAddr,
    directory: PathBuf,
    flags: Vec<String>,
}

impl Restarted {
    fn new(lab: &Lab, api: &Api) -> Self {
        let directory = lab.folder().path().join("state");
        let flags = vec![format!("--state.directory={}", directory.display())];
        Self { address: free_address(), api: api.address, directory, flags }
    }

    fn command(&self) -> Command {
        let mut command = program();
        command
            .args(["serve", "--cloudflare.account-id", ACCOUNT, "--poll.interval=1s", "--poll.timeout=5s"])
            .args(QUICK)
            .args(&self.flags)
            .arg(format!("--cloudflare.api-url=http://{}/client/v4", self.api))
            .arg(format!("--web.listen-address={}", self.address))
            .env("CLOUDFLARE_API_TOKEN", TOKEN);
        command
    }

    fn start(&self) -> Exporter {
        Exporter { process: Process::start(&mut self.command()), address: self.address }
    }

    /// Starts and waits until `fra` is healthy.
    fn start_healthy(&self) -> Exporter {
        let mut exporter = self.start();
        await_first_page(&mut exporter);
        await_verdict(&mut exporter, "fra", "healthy");
        exporter
    }

    /// Waits until the state file contains `text`.
    fn await_stored(&self, text: &str) {
        let file = self.directory.join("state.json");
        eventually(&format!("{text} in the state file"), WRITTEN, || {
            let stored = fs::read_to_string(&file).map_err(|error| error.to_string())?;
            if stored.contains(text) { Ok(()) } else { Err(stored) }
        });
    }
}

/// Waits for the first page.
fn await_first_page(exporter: &mut Exporter) {
    let address = exporter.address;
    eventually("the exporter to serve", SOON, || {
        exporter.process.assert_running();
        crate::support::http::get(address, "/metrics").map(drop).map_err(|error| error.to_string())
    });
}

/// A tunnel with static routes: Cloudflare reports nothing about it.
fn fra() -> Value {
    tunnel("fra", ENDPOINT, "10.77.0.0/31", "", None)
}

/// Waits until the inside of `fra` has a settled state. On the way no page may show another verdict than `expected`.
fn await_settled(exporter: &mut Exporter, expected: &str, reachable: f64) -> Samples {
    exporter.await_page("a settled state", SOON, |page| {
        if let Some((verdict, _)) = verdict(page, "fra") {
            assert_eq!(verdict, expected, "before the probes have settled");
        }
        page.value("tunnel_reachable", &[("tunnel_name", "fra")])
            .filter(|value| *value == reachable)
            .map(|_| Samples(page.0.clone()))
    })
}

/// Waits until the inside of `fra` is probed. Returns about the time of the first echo in Unix seconds.
fn await_first_echo(exporter: &mut Exporter) -> f64 {
    exporter.await_page("the first echo", SOON, |page| {
        (sum(page, "tunnel_probe_requests_total", &target("fra", "interface_address")) > 0.0).then_some(())
    });
    unix_time()
}

#[expect(clippy::disallowed_methods, reason = "compared with timestamps of another process")]
fn unix_time() -> f64 {
    let time = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    time.expect("a time after 1970").as_secs_f64()
}

stories! {
    fn a_dead_tunnel_stays_dead_with_its_time_when_the_exporter_is_stopped_and_started(lab) {
        let api = api(&[fra()]);
        lab.all(&[ENDPOINT, INSIDE], "reply");
        let restarted = Restarted::new(lab, &api);
        let mut exporter = restarted.start_healthy();
        lab.all(&[INSIDE], "silent");
        let died = await_verdict(&mut exporter, "fra", "tunnel_fault");
        let last_reply = [("tunnel_name", "fra"), ("probe_target", "interface_address")];
        let answered = exporter.samples().value("tunnel_probe_last_reply_timestamp_seconds", &last_reply);
        exporter.process.signal("TERM");
        assert!(exporter.process.ended(SOON).status.success());

        let mut exporter = restarted.start();
        await_first_page(&mut exporter);
        let page = await_settled(&mut exporter, "tunnel_fault", 0.0);
        assert_eq!(page.value("tunnel_probe_last_reply_timestamp_seconds", &last_reply), answered);
        assert_eq!(verdict(&page, "fra"), Some(("tunnel_fault".to_owned(), died)));
        assert_eq!(page.value("tunnel_verdict_changes_total", &[]), Some(0.0));
        // The state is not needed once the tunnel works.
        lab.all(&[INSIDE], "reply");
        await_verdict(&mut exporter, "fra", "healthy");
    }

    fn a_tunnel_that_dies_while_the_exporter_is_killed_is_dead_in_time(lab) {
        let api = api(&[fra()]);
        lab.all(&[ENDPOINT, INSIDE], "reply");
        let restarted = Restarted::new(lab, &api);
        let exporter = restarted.start_healthy();
        restarted.await_stored("\"10.77.0.0\"");
        exporter.process.signal("KILL");
        exporter.process.ended(SOON);
        lab.all(&[INSIDE], "silent");

        let mut exporter = restarted.start();
        await_first_page(&mut exporter);
        let first_echo = await_first_echo(&mut exporter);
        let died = await_verdict(&mut exporter, "fra", "tunnel_fault");
        in_time("tunnel_fault", first_echo, died);
        assert!(died > first_echo - 1.0, "it is the time of the new verdict");
    }

    fn without_a_usable_directory_the_exporter_says_so_or_runs_without_it(lab) {
        let api = api(&[fra()]);
        lab.all(&[ENDPOINT, INSIDE], "reply");
        let mut restarted = Restarted::new(lab, &api);
        restarted.flags = vec!["--state.directory=/proc/self".to_owned()];
        let ended = crate::support::exporter::run(&mut restarted.command());
        assert_eq!(ended.status.code(), Some(1), "{}", ended.stderr);
        let sentence = ended.stderr.lines().last().unwrap_or_default();
        assert!(sentence.contains("the state directory `/proc/self` cannot be written to"), "{sentence}");

        // A directory that the operator did not set.
        restarted.flags.clear();
        let mut command = restarted.command();
        let process = Process::start(command.env("STATE_DIRECTORY", "/proc/self:/tmp"));
        let mut exporter = Exporter { process, address: restarted.address };
        await_first_page(&mut exporter);
        await_verdict(&mut exporter, "fra", "healthy");
        assert!(exporter.process.said().contains("a restart will forget verdicts and first replies"));
        assert_eq!(exporter.samples().value("state_write_failures_total", &[]), None);
    }

    fn a_restart_during_an_outage_neither_resolves_the_page_nor_pages_again(lab) {
        let others = [("par", "10.77.0.2/31"), ("ams", "10.77.0.4/31"), ("waw", "10.77.0.6/31")];
        let others = others.map(|(name, prefix)| tunnel(name, ENDPOINT, prefix, "", None));
        let tunnels = [&[fra()], &others[..]].concat();
        let api = api(&tunnels);
        lab.all(&[ENDPOINT, INSIDE, "10.77.0.2", "10.77.0.4", "10.77.0.6"], "reply");
        let restarted = Restarted::new(lab, &api);
        let Some(delivering) = Delivering::start(&[restarted.address], lab.folder()) else { return };
        let mut exporter = restarted.start_healthy();
        lab.all(&[INSIDE], "silent");
        await_verdict(&mut exporter, "fra", "tunnel_fault");
        let paged = || {
            let all = delivering.receiver.deliveries().into_iter();
            let of_fra = all.filter(|one| one.to == "pager" && one.labels["tunnel_name"] == "fra");
            of_fra.map(|one| (one.labels["alertname"].clone(), one.firing))
        };
        eventually("a page", Duration::from_mins(3), || paged().next().ok_or_else(|| "none".to_owned()));
        restarted.await_stored("tunnel_fault");
        let before: Vec<_> = paged().collect();

        exporter.process.signal("KILL");
        exporter.process.ended(SOON);
        delivering.prometheus.await_query("up == 0", SOON, |found| found.len() == 1);
        // Some scrapes fall between the start and the first poll.
        api.answer_with(slow(list(&tunnels)));
        let mut exporter = restarted.start();
        await_first_page(&mut exporter);
        await_settled(&mut exporter, "tunnel_fault", 0.0);
        // Longer than the `for` of a page and the waits of a notification.
        let age = "time() - process_start_time_seconds{job='magic-tunnels'} > 40";
        delivering.prometheus.await_query(age, Duration::from_mins(3), |found| found.len() == 1);

        let firing = "count(ALERTS{alertstate='firing',severity='critical',tunnel_name='fra'}) or vector(0)";
        // It began to fire once, and fires. A window of a fixed length may begin before the alert.
        let began = delivering.prometheus.query(&format!("changes((({firing}) > bool 0)[10m:1s]) == 1 and ({firing}) > 0"));
        assert_eq!(began.len(), 1, "the alert was interrupted");
        let after: Vec<_> = paged().collect();
        assert_eq!(before, after, "a restart is not an event");
        let resolved = delivering.receiver.deliveries().into_iter().find(|one| !one.firing && one.to == "pager");
        assert!(resolved.is_none(), "{resolved:#?}");
    }
}

/// The same answer two seconds later.
fn slow(answer: Answer) -> Answer {
    Arc::new(move |request, wire| {
        wire.pause(Duration::from_secs(2))?;
        answer(request, wire)
    })
}
