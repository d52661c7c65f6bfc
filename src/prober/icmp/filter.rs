//! What a raw socket lets through, decided by the kernel.
//!
//! A raw ICMP socket is given every ICMP packet of the host. Most of them would only cost time, and a redirect would do
//! worse: it quotes the echo it is about, and so would be taken for the echo's end while the reply is still under way.

use socket2::SockFilter;

use crate::domain::probe::IpVersion;

// Operations of the classic Berkeley packet filter (linux/bpf_common.h).
/// Index register = 4 * (low half of the byte at k): the length of an IPv4 header.
const LDX_IP_HEADER_LENGTH: u16 = 0xb1;
/// Accumulator = the byte at index register + k.
const LD_BYTE_INDEXED: u16 = 0x50;
/// Accumulator = the byte at k.
const LD_BYTE: u16 = 0x30;
const JUMP_IF_EQUAL: u16 = 0x15;
const RETURN: u16 = 0x06;

const WHOLE_PACKET: u32 = u32::MAX;
const NOTHING: u32 = 0;

/// RFC 792: echo reply, destination unreachable, time exceeded. Redirects (5) are not among them.
const TYPES_V4: [u8; 3] = [0, 3, 11];
/// RFC 4443: echo reply, destination unreachable, packet too big, time exceeded. Redirects (137) are not among them.
const TYPES_V6: [u8; 4] = [129, 1, 2, 3];

/// The program for `SO_ATTACH_FILTER`. A packet too short to have a type is dropped.
pub(super) fn program(version: IpVersion) -> Vec<SockFilter> {
    match version {
        // The kernel hands over an IPv4 packet with its header, and an IPv6 packet without.
        IpVersion::V4 => {
            pass([SockFilter::new(LDX_IP_HEADER_LENGTH, 0, 0, 0), SockFilter::new(LD_BYTE_INDEXED, 0, 0, 0)], &TYPES_V4)
        }
        IpVersion::V6 => pass([SockFilter::new(LD_BYTE, 0, 0, 0)], &TYPES_V6),
    }
}

fn pass(load_type: impl IntoIterator<Item = SockFilter>, types: &[u8]) -> Vec<SockFilter> {
    let mut program: Vec<_> = load_type.into_iter().collect();
    let mut to_the_end = u8::try_from(types.len()).unwrap_or(u8::MAX);
    for &kind in types {
        // Over the remaining comparisons and the refusal.
        program.push(SockFilter::new(JUMP_IF_EQUAL, to_the_end, 0, u32::from(kind)));
        to_the_end -= 1;
    }
    program.push(SockFilter::new(RETURN, 0, 0, NOTHING));
    program.push(SockFilter::new(RETURN, 0, 0, WHOLE_PACKET));
    program
}
