//! A lower bound for probing: one socket, of the same kind as that of the prober, that sends and receives with as few
//! system calls as possible, and does nothing else.

use std::{
    io::{IoSlice, IoSliceMut},
    net::SocketAddr,
    os::fd::AsRawFd as _,
    thread,
    time::{Duration, Instant},
};

use nix::sys::socket::{MsgFlags, MultiHeaders, SockaddrStorage, recvmmsg, sendmmsg};
use socket2::{Domain, Protocol, SockFilter, Socket, Type};
use web_toolkit::clock;

use super::{Result, measure, probe::address};

/// Packets per system call.
const BATCH: usize = 4;

/// Time between two wake-ups, like in the prober.
const GRID: Duration = Duration::from_millis(2);

/// CPU time of one ping in microseconds and the number of missing replies. `None` without permission to ping.
pub(crate) fn run(size: usize, seconds: u64) -> Result<Option<(f64, f64)>> {
    let Some(socket) = open()? else { return Ok(None) };
    let addresses: Vec<SockaddrStorage> = (0..size).map(|n| SocketAddr::from((address(n), 0)).into()).collect();
    let (before, began) = (measure::cpu_so_far(), clock::now().instant);
    let mut replies = 0;
    let mut sent = 0;
    let goal = size * usize::try_from(seconds)?;
    while sent < goal {
        replies += receive(&socket)?;
        let due = due(began, size).min(goal);
        while sent < due {
            let first = sent % size;
            let batch = &addresses[first..(first + BATCH.min(due - sent)).min(size)];
            sent += send(&socket, batch)?;
            replies += receive(&socket)?;
        }
        // All wake-ups are on the grid, and those without a ping are left out.
        let gap = Duration::from_secs(1) / u32::try_from(size)?;
        thread::sleep(GRID.max(gap));
    }
    thread::sleep(Duration::from_millis(100));
    replies += receive(&socket)?;
    let cpu = measure::cpu_so_far().saturating_sub(before);
    Ok(Some((measure::per(cpu, sent) / 1e3, (sent - replies) as f64)))
}

/// Opens a datagram socket if the kernel permits it, otherwise a raw socket that receives only echo replies.
fn open() -> Result<Option<Socket>> {
    let of_type = |kind| Socket::new(Domain::IPV4, kind, Some(Protocol::ICMPV4));
    let socket = match (of_type(Type::DGRAM), of_type(Type::RAW)) {
        (Ok(socket), _) => socket,
        (_, Ok(socket)) => {
            // Accepts packets with an ICMP type of 0, the first byte after the IP header.
            socket.attach_filter(&[
                SockFilter::new(0xb1, 0, 0, 0),
                SockFilter::new(0x50, 0, 0, 0),
                SockFilter::new(0x15, 0, 1, 0),
                SockFilter::new(0x06, 0, 0, u32::MAX),
                SockFilter::new(0x06, 0, 0, 0),
            ])?;
            socket
        }
        _ => return Ok(None),
    };
    socket.set_recv_buffer_size(8 << 20)?;
    Ok(Some(socket))
}

/// An echo request with its checksum (RFC 1071).
fn packet() -> [u8; 64] {
    let mut packet = [0x6d; 64];
    packet[..8].copy_from_slice(&[8, 0, 0, 0, 0xbe, 0xef, 0, 1]);
    let words = packet.chunks_exact(2).map(|word| u32::from(u16::from_be_bytes([word[0], word[1]])));
    let sum: u32 = words.sum();
    let checksum = !u16::try_from((sum & 0xffff) + (sum >> 16)).unwrap_or(u16::MAX);
    packet[2..4].copy_from_slice(&checksum.to_be_bytes());
    packet
}

/// Number of pings that are due, at one per second and address.
fn due(began: Instant, size: usize) -> usize {
    let elapsed = clock::now().instant.saturating_duration_since(began);
    1 + usize::try_from(elapsed.as_micros()).unwrap_or(usize::MAX).saturating_mul(size) / 1_000_000
}

fn send(socket: &Socket, addresses: &[SockaddrStorage]) -> Result<usize> {
    let packet = packet();
    let slices = [[IoSlice::new(&packet)]; BATCH];
    let addresses: Vec<_> = addresses.iter().copied().map(Some).collect();
    let mut headers = MultiHeaders::preallocate(BATCH, None);
    let sent =
        sendmmsg(socket.as_raw_fd(), &mut headers, &slices[..addresses.len()], &addresses, [], MsgFlags::MSG_DONTWAIT)?;
    Ok(sent.count())
}

fn receive(socket: &Socket) -> Result<usize> {
    let mut count = 0;
    loop {
        let mut buffers = [[0; 128]; BATCH];
        let mut slices = buffers.each_mut().map(|buffer| [IoSliceMut::new(buffer)]);
        let mut headers = MultiHeaders::<SockaddrStorage>::preallocate(BATCH, None);
        match recvmmsg(socket.as_raw_fd(), &mut headers, &mut slices, MsgFlags::MSG_DONTWAIT, None) {
            Ok(messages) => count += messages.count(),
            Err(nix::errno::Errno::EAGAIN) => return Ok(count),
            Err(error) => return Err(error.into()),
        }
    }
}
