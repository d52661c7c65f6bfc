//! Soak test of 30 minutes: thousands of tunnels are probed, polled and scraped, while tunnels are created and deleted,
//! the API has faults, and the configuration is reloaded every minute. Fails if memory, file descriptors or threads
//! grew, a counter decreased or disappeared, a reload failed, or a thread panicked.
//!
//! Run it with `make soak` or `cargo bench --bench soak -- [minutes] [tunnels]`. The last result is written to
//! `docs/BENCHMARKS.md`. All addresses are in 127.0.0.0/8, and the prober is bound to `lo`.

#![expect(clippy::print_stdout, reason = "a benchmark prints its report")]

mod counters;
mod figures;
mod http;
mod report;
mod stage;

use std::{process::ExitCode, thread, time::Duration};

use web_toolkit::clock;

use self::{counters::Counters, figures::Figures, stage::Stage};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

/// Parameters of a run.
#[derive(Debug, Clone, Copy)]
struct Plan {
    minutes: u64,
    tunnels: usize,
}

impl Plan {
    fn from_arguments() -> Self {
        let mut numbers = std::env::args().filter_map(|argument| argument.parse().ok());
        let minutes = numbers.next().unwrap_or(30);
        let tunnels = numbers.next().and_then(|number: u64| usize::try_from(number).ok()).unwrap_or(5_000);
        Self { minutes, tunnels }
    }
}

/// Results of a run.
#[derive(Debug, Default)]
struct Record {
    figures: Figures,
    counters: Counters,
    scrapes: u64,
    churned: u64,
    faults: u64,
    reloads: u64,
    /// Descriptions of all violated rules.
    broken: Vec<String>,
}

fn main() -> Result<ExitCode> {
    let plan = Plan::from_arguments();
    println!("{} tunnels, {} minutes; one line per minute", plan.tunnels, plan.minutes);
    let mut stage = Stage::start(plan.tunnels)?;
    let mut record = Record::default();
    let began = clock::now().instant;
    for second in 0..plan.minutes * 60 {
        let due = began + Duration::from_secs(second);
        thread::sleep(due.saturating_duration_since(clock::now().instant));
        step(second, plan, &mut stage, &mut record)?;
    }
    let said = stage.stop()?;
    record.broken.extend(figures::growth(&record.figures));
    record.broken.extend(said.lines().filter(|line| line.contains("panicked")).map(str::to_owned));
    report::publish(plan, &record)?;
    Ok(if record.broken.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Runs the actions of one second.
fn step(second: u64, plan: Plan, stage: &mut Stage, record: &mut Record) -> Result<()> {
    // 1 % of the tunnels per minute; each change creates one tunnel and deletes one.
    let each_minute = u64::try_from(plan.tunnels / 100)?.max(1);
    if second * each_minute / 60 != (second + 1) * each_minute / 60 {
        stage.churn()?;
        record.churned += 1;
    }
    match second % 60 {
        20 => {
            stage.fault()?;
            record.faults += 1;
        }
        35 => stage.clear_faults()?,
        50 => {
            record.reloads += 1;
            record.broken.extend(stage.reload()?);
        }
        _ => {}
    }
    if second.is_multiple_of(5) {
        record.scrapes += 1;
        record.broken.extend(record.counters.compare(&stage.scrape()?, stage.deleted()));
        record.figures.0.push(stage.process()?);
    }
    if second % 60 == 59 {
        println!("{}", report::line(second, record));
    }
    Ok(())
}
