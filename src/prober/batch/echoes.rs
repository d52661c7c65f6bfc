//! What a link sends and receives for: the sessions, or the watch of path MTUs.

use std::{net::IpAddr, time::Instant};

use jiff::Timestamp;
use web_toolkit::clock::Moment;

use super::packet::{EchoId, EchoPacket, ErrorReport};
use crate::domain::probe::{ProbeFailure, SocketMode};

/// Number of a link, see [`super::links`].
pub(super) type LinkId = usize;

/// An echo to send.
#[derive(Debug, Clone, Copy)]
pub(super) struct Outgoing<P = EchoPacket> {
    pub(super) slot: usize,
    pub(super) link: LinkId,
    pub(super) address: IpAddr,
    pub(super) packet: P,
}

/// When a packet arrived.
#[derive(Debug, Clone, Copy)]
pub(super) struct Arrival {
    /// When it was read.
    pub(super) read: Moment,
    /// When the socket had no packets for the last time.
    pub(super) not_before: Instant,
    /// When the kernel received it, by the wall clock.
    pub(super) stamp: Option<Timestamp>,
}

impl Arrival {
    /// Returns the time of arrival of the reply to an echo. The monotonic clock bounds it on both sides, because the
    /// wall clock may have been set.
    pub(super) fn instant(self, sent: Instant) -> Instant {
        let stamped = self.stamp.map_or(self.read.instant, |stamp| self.read.earlier(stamp).instant);
        stamped.max(self.not_before).max(sent).min(self.read.instant)
    }
}

/// The echoes of some links.
pub(super) trait Echoes {
    /// The kernel has accepted an echo in a system call from `before` to `after`.
    fn mark_sent(&mut self, slot: usize, before: Instant, after: Moment);

    /// The kernel has refused an echo.
    fn mark_failed(&mut self, slot: usize, failure: ProbeFailure, now: Moment);

    /// Handles a message that a link has received from `source`.
    fn receive(&mut self, link: LinkId, mode: SocketMode, source: IpAddr, data: &[u8], arrival: Arrival);

    /// Handles an error that quotes an echo.
    fn receive_error(&mut self, link: LinkId, mode: SocketMode, error: ErrorReport, id: &EchoId<'_>);

    /// Packets of this link were dropped until `at`.
    fn mark_overflow(&mut self, link: LinkId, at: Instant);
}
