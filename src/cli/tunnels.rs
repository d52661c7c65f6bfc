//! The command `tunnels`: what one look saw, printed, and in the exit code whether all is well.

use std::{
    io::{self, BufWriter, IsTerminal as _, Write as _},
    process::ExitCode,
};

use clap::ValueEnum;

use super::table;
use crate::{
    domain::{bgp::BgpState, dataset::PollState},
    http,
    snapshot::{Snapshot, filter::Filter},
};

/// Form of what is printed.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(super) enum Output {
    Table,
    Json,
}

/// Prints the tunnels to standard output.
///
/// # Errors
/// Standard output takes nothing.
pub(super) fn print(snapshot: &Snapshot, output: Output) -> anyhow::Result<ExitCode> {
    let stdout = io::stdout();
    // <https://no-color.org>
    let in_colour = stdout.is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let mut out = BufWriter::new(stdout.lock());
    let written = match output {
        Output::Table => table::write(snapshot, in_colour, &mut out),
        Output::Json => http::write_tunnels(snapshot, &Filter::default(), &mut out),
    };
    match written.and_then(|()| out.flush()) {
        // A reader such as head(1) that has seen enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {}
        written => written?,
    }
    Ok(if is_well(snapshot) { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Whether every list was read, no session is down and no tunnel needs attention.
fn is_well(snapshot: &Snapshot) -> bool {
    let down = |state| matches!(state, BgpState::Down | BgpState::Establishing);
    snapshot.datasets().all(|(.., status)| status.state == PollState::Succeeded)
        && snapshot.summary().needing_attention() == 0
        && !snapshot.rows().any(|row| row.status().is_some_and(|status| down(status.state)))
}
