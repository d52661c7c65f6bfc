//! Sockets that a service manager opened before this program started (`sd_listen_fds(3)`).

use std::{io, net::TcpListener};

use listenfd::ListenFd;
use socket2::SockRef;

use super::address::Bound;

/// The service manager passed no usable sockets.
#[derive(Debug, thiserror::Error)]
pub enum InheritError {
    #[error("needs a socket from systemd, which passed none: start the .socket unit of this service")]
    Missing,
    #[error("needs listening TCP sockets: set `ListenStream=` to a port or an address, and `Accept=no`")]
    NotListening,
    #[error("cannot use a socket from systemd: {0}")]
    Unusable(io::Error),
}

/// Takes all sockets that were passed. Must be called before other threads exist, because it removes the variables from
/// the environment, and once, because later calls find none.
///
/// # Errors
/// There is none, or one of them does not listen for TCP connections.
pub fn inherit() -> Result<Vec<Bound>, InheritError> {
    let mut passed = ListenFd::from_env();
    if passed.len() == 0 {
        return Err(InheritError::Missing);
    }
    (0..passed.len()).map(|index| take(&mut passed, index)).collect()
}

fn take(passed: &mut ListenFd, index: usize) -> Result<Bound, InheritError> {
    let listener: TcpListener = passed.take_tcp_listener(index).ok().flatten().ok_or(InheritError::NotListening)?;
    if !SockRef::from(&listener).is_listener().unwrap_or(false) {
        return Err(InheritError::NotListening);
    }
    listener.set_nonblocking(true).and_then(|()| Bound::new(listener)).map_err(InheritError::Unusable)
}
