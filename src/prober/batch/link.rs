//! The sockets of one IP version and one binding: the one that sends, and those that were replaced while replies to
//! their echoes may still arrive.

use std::{
    io,
    os::fd::AsFd as _,
    sync::Arc,
    time::{Duration, Instant},
};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use web_toolkit::clock;

use super::{
    drops::{self, DropWatch},
    echoes::{Arrival, Echoes, LinkId, Outgoing},
    packet::{self, ErrorReport},
    socket::{BatchSocket, SEND_BATCH, is_interrupted},
};
use crate::{
    domain::probe::{Binding, IpVersion, SocketMode},
    prober::{
        board::Sockets,
        slot::{EchoSocket, SocketPurpose, SocketSlot},
    },
};

/// Maximum number of receive calls before other sockets get their turn.
const MAX_READS: usize = 1_024;

/// Attempts to send a packet. ICMP errors for other echoes make a send on a datagram socket fail, once each.
const SEND_ATTEMPTS: usize = 8;

/// Maximum time to wait until the send buffer has room.
const SEND_WAIT: Duration = Duration::from_millis(5);

/// The sockets of one IP version and one binding.
pub(super) struct BatchLink {
    id: LinkId,
    sockets: Arc<Sockets>,
    slot: SocketSlot<OpenSocket>,
    /// With the time at which they are closed.
    replaced: Vec<(OpenSocket, Instant)>,
    /// Number of sessions.
    pub(super) sessions: usize,
}

/// An open socket and what was read from it.
struct OpenSocket {
    socket: BatchSocket,
    drops: DropWatch,
    inode: u64,
    capacity: usize,
    /// When it had no packets for the last time.
    empty_at: Instant,
}

impl EchoSocket for OpenSocket {
    fn open(version: IpVersion, binding: &Binding, purpose: SocketPurpose) -> io::Result<Self> {
        let socket = BatchSocket::open(version, binding, purpose)?;
        let (inode, capacity) = (rustix::fs::fstat(&socket)?.st_ino, socket.capacity());
        Ok(Self { socket, drops: DropWatch::default(), inode, capacity, empty_at: clock::now().instant })
    }

    fn mode(&self) -> SocketMode {
        self.socket.mode()
    }
}

impl BatchLink {
    pub(super) fn new(
        id: LinkId,
        version: IpVersion,
        binding: &Arc<Binding>,
        purpose: SocketPurpose,
        sockets: &Arc<Sockets>,
    ) -> Self {
        let slot = SocketSlot::new(version, binding, purpose, sockets);
        Self { id, sockets: Arc::clone(sockets), slot, replaced: Vec::new(), sessions: 0 }
    }

    /// Adds the open sockets to a poll.
    pub(super) fn add_to_poll<'a>(&'a self, polled: &mut Vec<PollFd<'a>>) {
        let open = self.slot.opened().into_iter().chain(self.replaced.iter().map(|(socket, _)| socket));
        polled.extend(open.map(|open| PollFd::from_borrowed_fd(open.socket.as_fd(), PollFlags::IN)));
    }

    /// Reads all packets that have arrived. Closes replaced sockets that are due.
    pub(super) fn read(&mut self, table: &mut impl Echoes, now: Instant) {
        if let Some(open) = self.slot.open_socket() {
            open.read(self.id, &self.sockets, table, now);
        }
        for (open, _) in &mut self.replaced {
            open.read(self.id, &self.sockets, table, now);
        }
        self.replaced.retain(|(_, until)| *until > now);
    }

    /// Opens a socket with a new identifier, if the current one is old enough. Keeps the old one for `timeout`.
    pub(super) fn renew(&mut self, now: Instant, timeout: Duration) {
        if self.replaced.is_empty()
            && let Some(old) = self.slot.renew(now)
        {
            self.replaced.push((old, now + timeout));
        }
    }

    /// Sends echoes of this link.
    pub(super) fn send<P: AsRef<[u8]>>(&mut self, echoes: &[Outgoing<P>], table: &mut impl Echoes, timeout: Duration) {
        let mut rest = echoes;
        let mut attempts = 0;
        while let Some(first) = rest.first() {
            let before = clock::now();
            let sent = match self.slot.socket(before.instant) {
                Ok(open) => open.send(rest),
                Err(failure) => {
                    table.mark_failed(first.slot, failure, before);
                    rest = &rest[1..];
                    continue;
                }
            };
            attempts += 1;
            match sent {
                Ok(count) => {
                    self.slot.mark_sent();
                    let (accepted, remaining) = rest.split_at(count.clamp(1, rest.len()));
                    let after = clock::now();
                    for echo in accepted {
                        table.mark_sent(echo.slot, before.instant, after);
                    }
                    rest = remaining;
                    attempts = 0;
                }
                Err(error) if attempts < SEND_ATTEMPTS && self.is_temporary(&error, attempts, table) => {}
                Err(error) => {
                    let (failure, old) = self.slot.handle_send_error(&error, before.instant);
                    self.replaced.extend(old.map(|old| (old, before.instant + timeout)));
                    table.mark_failed(first.slot, failure, before);
                    rest = &rest[1..];
                    attempts = 0;
                }
            }
        }
    }

    /// Returns whether the send may succeed at the next attempt: the buffer has room again, or the error belonged to
    /// another echo on the same datagram socket.
    fn is_temporary(&mut self, error: &io::Error, attempts: usize, table: &mut impl Echoes) -> bool {
        let Some(open) = self.slot.open_socket() else { return false };
        match error.kind() {
            io::ErrorKind::Interrupted => true,
            io::ErrorKind::WouldBlock => open.wait_until_writable(),
            // The first error may have found no place in the queue.
            _ => open.mode() == SocketMode::Dgram && (open.read_errors(self.id, table) || attempts == 1),
        }
    }

    /// Reads the ICMP errors of datagram sockets, which the kernel keeps apart from packets.
    pub(super) fn read_errors(&mut self, table: &mut impl Echoes) {
        let id = self.id;
        let open = self.slot.open_socket().into_iter().chain(self.replaced.iter_mut().map(|(socket, _)| socket));
        for socket in open {
            socket.read_errors(id, table);
        }
    }
}

impl OpenSocket {
    fn send<P: AsRef<[u8]>>(&mut self, echoes: &[Outgoing<P>]) -> io::Result<usize> {
        let packets: Vec<_> = echoes.iter().take(SEND_BATCH).map(|echo| (echo.address, echo.packet.as_ref())).collect();
        self.socket.send(&packets)
    }

    /// Reads packets until there are none. `now` is before the first read.
    fn read(&mut self, link: LinkId, sockets: &Sockets, table: &mut impl Echoes, now: Instant) {
        for _ in 0..MAX_READS {
            match self.read_some(link, table) {
                Ok(true) => {}
                Ok(false) => break,
                Err(error) if is_interrupted(&error) => {}
                // Reading the error clears it.
                Err(_) => drop(self.read_errors(link, table)),
            }
        }
        self.empty_at = now;
        let (version, mode, inode) = (self.socket.version(), self.socket.mode(), self.inode);
        let dropped = self.drops.finish_read(self.capacity, || drops::read(version, mode, inode));
        if dropped > 0 {
            sockets.count_drops(version, dropped.into());
            table.mark_overflow(link, clock::now().instant);
        }
    }

    fn read_some(&mut self, link: LinkId, table: &mut impl Echoes) -> io::Result<bool> {
        let (mode, not_before, drops) = (self.socket.mode(), self.empty_at, &mut self.drops);
        let mut read = None;
        self.socket.receive(|received| {
            drops.observe(received.data.len(), received.drops);
            let read = *read.get_or_insert_with(clock::now);
            let arrival = Arrival { read, not_before, stamp: received.stamp };
            table.receive(link, mode, received.source, received.data, arrival);
        })
    }

    fn wait_until_writable(&self) -> bool {
        let mut polled = [PollFd::new(&self.socket, PollFlags::OUT)];
        let timeout = Timespec::try_from(SEND_WAIT).ok();
        poll(&mut polled, timeout.as_ref()).is_ok_and(|ready| ready > 0)
    }

    /// Reads the ICMP errors of a datagram socket. Returns whether there were any.
    fn read_errors(&mut self, link: LinkId, table: &mut impl Echoes) -> bool {
        let version = self.socket.version();
        let mut any = false;
        for _ in 0..MAX_READS {
            let found = self.socket.receive_error(|error| {
                let report = ErrorReport::new(version, error.icmp_type, error.code, error.next_mtu);
                if let (Some(report), Some(id)) = (report, packet::decode_quoted(error.target, error.quoted)) {
                    table.receive_error(link, SocketMode::Dgram, report, &id);
                }
            });
            if !found.is_ok_and(|found| found) {
                break;
            }
            any = true;
        }
        any
    }
}

#[cfg(test)]
mod tests;
