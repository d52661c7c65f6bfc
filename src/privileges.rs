//! Privileges of the process that it gives up, and those that it keeps.
//!
//! Capabilities belong to threads. The main thread keeps what opens sockets, for the prober opens its own whenever an address to
//! probe appears, and its thread is a child of the main thread. Threads that speak HTTP, parse or render have none.

use std::io;

use rustix::thread::{
    CapabilitySet, CapabilitySets, capabilities, clear_ambient_capability_set, remove_capability_from_bounding_set,
    set_capabilities, set_no_new_privs,
};
use tracing::warn;

/// ICMP sockets, and listening below port 1024.
const FOR_SOCKETS: CapabilitySet = CapabilitySet::NET_RAW.union(CapabilitySet::NET_BIND_SERVICE);

/// Keeps what opens sockets, of what there is, for this thread and those it will start. Nothing can win back what is given up.
///
/// # Errors
/// The kernel refused, as it may in a sandbox that forbids these calls; some privileges may be left.
pub fn keep_for_sockets() -> io::Result<()> {
    set_no_new_privs(true)?;
    if capabilities(None)?.effective.contains(CapabilitySet::SETPCAP) {
        shrink_bounding_set();
    }
    keep(FOR_SOCKETS)
}

/// Gives up what this thread has left. For the start of a thread that opens no sockets.
pub fn give_up_all() {
    if let Err(error) = keep(CapabilitySet::empty()) {
        warn!("a thread could not give up its privileges: {error}");
    }
}

fn keep(wanted: CapabilitySet) -> io::Result<()> {
    let kept = capabilities(None)?.permitted & wanted;
    clear_ambient_capability_set()?;
    let sets = CapabilitySets { effective: kept, permitted: kept, inheritable: CapabilitySet::empty() };
    Ok(set_capabilities(None, sets)?)
}

/// What a program started from here could have at most. We start none, so that a kernel that does not know one of these is no failure.
fn shrink_bounding_set() {
    for (_, capability) in CapabilitySet::all().iter_names().filter(|(_, one)| !FOR_SOCKETS.contains(*one)) {
        let _ = remove_capability_from_bounding_set(capability);
    }
}
