//! Linux capabilities of the threads.
//!
//! The main thread keeps the capabilities for sockets, because the prober's thread inherits them and opens sockets at
//! any time. All other threads, which parse, render and serve HTTP, drop all capabilities.

use std::io;

use rustix::thread::{
    CapabilitySet, CapabilitySets, capabilities, clear_ambient_capability_set, remove_capability_from_bounding_set,
    set_capabilities, set_no_new_privs,
};
use tracing::warn;

/// Capabilities for ICMP sockets and for listening on ports below 1024.
const SOCKET_CAPABILITIES: CapabilitySet = CapabilitySet::NET_RAW.union(CapabilitySet::NET_BIND_SERVICE);

/// Irrevocably drops all capabilities except those for sockets, in this thread and the threads that it starts.
///
/// # Errors
/// The kernel refuses, for example in a sandbox that forbids these system calls. Some capabilities may remain.
pub fn keep_socket_capabilities() -> io::Result<()> {
    set_no_new_privs(true)?;
    if capabilities(None)?.effective.contains(CapabilitySet::SETPCAP) {
        shrink_bounding_set();
    }
    limit_capabilities(SOCKET_CAPABILITIES)
}

/// Drops all capabilities of this thread. To be called by every new thread that opens no sockets.
pub fn drop_capabilities() {
    if let Err(error) = limit_capabilities(CapabilitySet::empty()) {
        warn!("cannot drop the capabilities of a thread: {error}");
    }
}

fn limit_capabilities(wanted: CapabilitySet) -> io::Result<()> {
    let kept = capabilities(None)?.permitted & wanted;
    clear_ambient_capability_set()?;
    let sets = CapabilitySets { effective: kept, permitted: kept, inheritable: CapabilitySet::empty() };
    Ok(set_capabilities(None, sets)?)
}

/// Limits the capabilities of child processes. Errors are ignored: the exporter starts no processes, and old kernels do
/// not know all capabilities.
fn shrink_bounding_set() {
    for (_, capability) in
        CapabilitySet::all().iter_names().filter(|(_, capability)| !SOCKET_CAPABILITIES.contains(*capability))
    {
        let _ = remove_capability_from_bounding_set(capability);
    }
}
