//! Packets that the kernel dropped because the receive buffer was full. The echoes that they belong to did not fail on
//! the path.
//!
//! `SO_RXQ_OVFL` reports the drops with the next packet that is received. After a long backlog this may be too late for
//! the echoes in flight, so the number is also read from `/proc/net`.

use std::fs;

use crate::domain::probe::{IpVersion, SocketMode};

/// Size of a small packet as the kernel charges it to the receive buffer.
const SMALL_PACKET: usize = 768;

/// Drops of one socket.
#[derive(Debug, Default)]
pub(super) struct DropWatch {
    /// Number of drops so far, modulo 2^32.
    seen: u32,
    /// Drops that are not [taken](Self::finish_read) yet.
    new: u32,
    /// Charged bytes of the packets that were read since the socket had none.
    backlog: usize,
    /// Whether the previous backlog was large.
    was_full: bool,
}

impl DropWatch {
    /// A packet was read.
    pub(super) fn observe(&mut self, size: usize, drops: Option<u32>) {
        self.backlog += size.max(SMALL_PACKET);
        if let Some(drops) = drops {
            self.update(drops);
        }
    }

    fn update(&mut self, drops: u32) {
        self.new += drops.wrapping_sub(self.seen);
        self.seen = drops;
    }

    /// The socket has no packets any more. Returns the number of packets that it dropped because of a full buffer of
    /// `capacity` bytes. `current` reads the number of all drops.
    ///
    /// Raw sockets of IPv6 also drop packets with a wrong checksum. These do not count: without a large backlog the
    /// buffer was not full.
    pub(super) fn finish_read(&mut self, capacity: usize, current: impl FnOnce() -> Option<u32>) -> u32 {
        let is_full = self.backlog >= capacity / 4;
        if is_full && let Some(drops) = current() {
            self.update(drops);
        }
        let (new, was_full) = (std::mem::take(&mut self.new), std::mem::replace(&mut self.was_full, is_full));
        self.backlog = 0;
        if is_full || was_full { new } else { 0 }
    }
}

/// Reads the number of drops of the socket with this inode.
pub(super) fn read(version: IpVersion, mode: SocketMode, inode: u64) -> Option<u32> {
    let table = match (mode, version) {
        (SocketMode::Raw, IpVersion::V4) => "/proc/thread-self/net/raw",
        (SocketMode::Raw, IpVersion::V6) => "/proc/thread-self/net/raw6",
        (_, IpVersion::V4) => "/proc/thread-self/net/icmp",
        (_, IpVersion::V6) => "/proc/thread-self/net/icmp6",
    };
    find(&fs::read_to_string(table).ok()?, inode)
}

/// Finds the last column of the line with this inode, which is the tenth column.
fn find(table: &str, inode: u64) -> Option<u32> {
    let mut lines = table.lines().skip(1).map(str::split_ascii_whitespace);
    let line = lines.find(|columns| columns.clone().nth(9).and_then(|text| text.parse().ok()) == Some(inode))?;
    line.last()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const CAPACITY: usize = 100 * SMALL_PACKET;

    fn read_packets(watch: &mut DropWatch, count: usize, drops: Option<u32>) {
        for _ in 0..count {
            watch.observe(64, drops);
        }
    }

    #[test]
    fn drops_of_a_full_buffer_are_found_at_once_and_counted_once() {
        let mut watch = DropWatch::default();
        read_packets(&mut watch, 100, None);
        assert_eq!(watch.finish_read(CAPACITY, || Some(7)), 7);
        read_packets(&mut watch, 1, Some(7));
        assert_eq!(watch.finish_read(CAPACITY, || panic!("no backlog")), 0);
        read_packets(&mut watch, 50, Some(7));
        assert_eq!(watch.finish_read(CAPACITY, || Some(9)), 2);
    }

    #[test]
    fn drops_that_only_the_next_packet_reports_are_counted() {
        let mut watch = DropWatch::default();
        read_packets(&mut watch, 100, None);
        assert_eq!(watch.finish_read(CAPACITY, || None), 0, "/proc cannot be read");
        read_packets(&mut watch, 1, Some(3));
        assert_eq!(watch.finish_read(CAPACITY, || None), 3);
    }

    #[test]
    fn damaged_packets_are_no_overflow() {
        let mut watch = DropWatch::default();
        for drops in 1..10 {
            read_packets(&mut watch, 1, Some(drops));
            assert_eq!(watch.finish_read(CAPACITY, || panic!("no backlog")), 0);
        }
    }

    #[test]
    fn the_counter_may_wrap() {
        let mut watch = DropWatch { seen: u32::MAX, ..DropWatch::default() };
        read_packets(&mut watch, 100, Some(1));
        assert_eq!(watch.finish_read(CAPACITY, || None), 2);
    }

    #[test]
    fn the_table_of_the_kernel_is_read() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops
    1: 00000000:0001 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 4711 2 0000000000000000 12
    2: 00000000:0001 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 815 2 0000000000000000 0\n";
        assert_eq!(find(table, 4711), Some(12));
        assert_eq!(find(table, 815), Some(0));
        assert_eq!(find(table, 1), None);
    }
}
