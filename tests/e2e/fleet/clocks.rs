//! Wrong and jumping clocks. The wall clock of an agent comes from a library that is loaded before the C library.

use std::{
    fs,
    path::PathBuf,
    process::Command,
    time::{SystemTime, UNIX_EPOCH},
};

use super::{World, agent, await_names, url};
use crate::support::{SOON, eventually, exporter::Exporter, http, tools};

/// Adds the seconds in the file `CLOCK_OFFSET` to the wall clock.
const SHIM: &str = r#"
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

int clock_gettime(clockid_t id, struct timespec *now) {
    static int (*real)(clockid_t, struct timespec *);
    if (!real) real = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
    int result = real(id, now);
    if (id == CLOCK_REALTIME) {
        long offset = 0;
        FILE *file = fopen(getenv("CLOCK_OFFSET"), "r");
        if (file) {
            if (fscanf(file, "%ld", &offset) != 1) offset = 0;
            fclose(file);
        }
        now->tv_sec += offset;
    }
    return result;
}
"#;

/// A wall clock that a test sets.
struct Clock {
    library: PathBuf,
    offset: PathBuf,
}

impl Clock {
    /// `None` without a C compiler.
    fn new(world: &World) -> Option<Self> {
        let compiler = tools::tool("cc")?;
        let source = world.write("clock.c", SHIM);
        let [library, offset] = ["clock.so", "offset"].map(|name| PathBuf::from(world.path(name)));
        let status =
            Command::new(compiler).args(["-shared", "-fPIC", "-o"]).arg(&library).args([&source, "-ldl"]).status();
        assert!(status.is_ok_and(|status| status.success()), "the library does not compile");
        let clock = Self { library, offset };
        clock.set(0);
        Some(clock)
    }

    /// Sets the clock to `seconds` after the right time.
    fn set(&self, seconds: i64) {
        let new = self.offset.with_extension("new");
        fs::write(&new, seconds.to_string()).expect("a file of our own");
        fs::rename(new, &self.offset).expect("a file of our own");
    }

    fn for_command<'c>(&self, command: &'c mut Command) -> &'c mut Command {
        command.env("LD_PRELOAD", &self.library).env("CLOCK_OFFSET", &self.offset)
    }
}

#[expect(clippy::disallowed_methods, reason = "compared with the clock of another process")]
fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("a time").as_secs_f64()
}

fn await_stale(agent: &Exporter, stale: bool, what: &str) {
    let (wanted, other) = if stale { ("true", "false") } else { ("false", "true") };
    eventually(what, SOON, || {
        let tunnels = http::text(agent.address, "/api/v1/tunnels");
        let is_so =
            tunnels.contains(&format!("\"stale\":{wanted}")) && !tunnels.contains(&format!("\"stale\":{other}"));
        if is_so { Ok(()) } else { Err(format!("{tunnels}\n{}", agent.process.said())) }
    });
}

#[test]
fn the_clock_of_an_agent_does_not_decide_what_is_stale() {
    let world = World::new();
    let Some(clock) = Clock::new(&world) else { return };
    let hub = world.hub(&[]);
    let mut command = agent(&[url(hub.address)]);
    let state = format!("--state.directory={}", world.path("state"));
    let flags = ["--probe", "--poll.interval=1s", "--poll.stale-after=8s", &state];
    let start = |command: &mut Command| Exporter::start(clock.for_command(command.args(flags)));
    for offset in [3_600, -3_600] {
        clock.set(offset);
        let mut agent = start(&mut agent(&[url(hub.address)]));
        await_names(&agent, &["fra-1", "fra-2"]);
        await_stale(&agent, false, "fresh reports");
        let shown = agent.samples().value("inventory_confirmed_timestamp_seconds", &[]).expect("a time");
        assert!((shown - now() - offset as f64).abs() < 600.0, "the time is that of the agent: {shown}");
        clock.set(-offset);
        // Several requests after the jump.
        let before = agent.samples().value("inventory_requests_total", &[("code", "304")]).unwrap_or_default();
        agent.await_page("three requests", SOON, |page| {
            let count = page.value("inventory_requests_total", &[("code", "304")]).unwrap_or_default();
            (count >= before + 3.0).then_some(())
        });
        await_stale(&agent, false, "reports that are fresh after the jump");
        agent.process.signal("TERM");
        assert!(agent.process.ended(SOON).status.success());
    }
    clock.set(-3_600);
    let mut agent = start(&mut command);
    await_names(&agent, &["fra-1", "fra-2"]);
    await_stale(&agent, false, "fresh reports");
    drop(hub);
    clock.set(-7_200);
    await_stale(&agent, true, "reports that are stale although the clock was set back");
    agent.process.assert_running();
}
