//! The segments that really pass a stage's loopback: a packet(7) socket beside the actors.
//!
//! It reads TCP headers of IPv4 and IPv6 and nothing else, bounded, from bytes that may hold anything.

use crate::sys::sockopt;
use rustix::net::{AddressFamily, Protocol, RecvFlags, SocketFlags, SocketType, recv, socket_with};
use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::num::NonZeroU32;
use std::os::fd::OwnedFd;

/// linux/if_packet.h
const SOL_PACKET: i32 = 263;
const PACKET_IGNORE_OUTGOING: i32 = 23;
/// linux/if_ether.h
const ETH_P_ALL: u16 = 3;
/// The most segments that are told at once.
const MOST: usize = 60;
/// Headers with every option, and no need for what follows.
const HEADERS: usize = 256;

/// The flags of a TCP header that tell the story of a connection, by their bits.
const FLAGS: [(u8, &str); 4] = [(0x02, "SYN"), (0x01, "FIN"), (0x04, "RST"), (0x10, "ACK")];

/// One TCP segment that was seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Segment {
    /// Who sent it.
    pub from: SocketAddr,
    /// To whom.
    pub to: SocketAddr,
    /// Its flags: `SYN`, `SYN+ACK`, `FIN+ACK`, `RST`, `ACK`.
    pub flags: String,
    /// Bytes of data in it.
    pub bytes: u32,
}

impl fmt::Display for Segment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Segment { from, to, flags, bytes } = self;
        write!(f, "{from} -> {to} {flags}")?;
        if *bytes > 0 { write!(f, ", {bytes} bytes") } else { Ok(()) }
    }
}

/// An open tap.
pub(super) struct Tap(OwnedFd);

impl Tap {
    /// Opens one in the calling process's network namespace; needs `CAP_NET_RAW` there.
    pub(super) fn open() -> io::Result<Tap> {
        let protocol = NonZeroU32::new(u32::from(ETH_P_ALL.to_be())).map(Protocol::from_raw);
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        // Datagrams: without the link's header.
        let socket = socket_with(AddressFamily::PACKET, SocketType::DGRAM, flags, protocol)?;
        // On loopback every packet goes out and comes in; once is enough.
        sockopt::set_int(&socket, SOL_PACKET, PACKET_IGNORE_OUTGOING, 1)?;
        Ok(Tap(socket))
    }

    /// What has passed since the last time.
    pub(super) fn drain(&self) -> Vec<Segment> {
        let mut segments = Vec::new();
        let mut bytes = [0; HEADERS];
        while let Ok((got, _)) = recv(&self.0, &mut bytes[..], RecvFlags::TRUNC) {
            let packet = bytes.get(..got).unwrap_or(&bytes);
            segments.extend(parse(packet).filter(|_| segments.len() < MOST));
        }
        segments
    }
}

/// The TCP segment in an IP packet, if it is one.
fn parse(packet: &[u8]) -> Option<Segment> {
    let at = |index: usize| packet.get(index).copied();
    let word = |index: usize| Some(u16::from_be_bytes([at(index)?, at(index + 1)?]));
    let (from, to, header, length) = match at(0)? >> 4 {
        4 if at(9)? == 6 => {
            let ip = |from: usize| {
                Some(IpAddr::V4(Ipv4Addr::from(<[u8; 4]>::try_from(packet.get(from..from + 4)?).ok()?)))
            };
            let header = usize::from(at(0)? & 15) * 4;
            (ip(12)?, ip(16)?, header, usize::from(word(2)?).checked_sub(header)?)
        }
        6 if at(6)? == 6 => {
            let ip = |from: usize| {
                Some(IpAddr::V6(Ipv6Addr::from(<[u8; 16]>::try_from(packet.get(from..from + 16)?).ok()?)))
            };
            (ip(8)?, ip(24)?, 40, usize::from(word(4)?))
        }
        _ => return None,
    };
    let own = usize::from(at(header + 12)? >> 4) * 4;
    let bits = at(header + 13)?;
    let flags: Vec<&str> = FLAGS.iter().filter(|(bit, _)| bits & bit != 0).map(|(_, name)| *name).collect();
    Some(Segment {
        from: SocketAddr::new(from, word(header)?),
        to: SocketAddr::new(to, word(header + 2)?),
        flags: flags.join("+"),
        bytes: u32::try_from(length.saturating_sub(own)).ok()?,
    })
}

/// A segment as a word of a message.
pub(super) fn to_word(segment: &Segment) -> String {
    let Segment { from, to, flags, bytes } = segment;
    format!("{from} {to} {flags} {bytes}")
}

/// The segment that such a word is.
pub(super) fn from_word(word: &str) -> Option<Segment> {
    let mut fields = word.split(' ');
    let mut next = || fields.next();
    Some(Segment {
        from: next()?.parse().ok()?,
        to: next()?.parse().ok()?,
        flags: next()?.to_owned(),
        bytes: next()?.parse().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An IPv4 packet with a TCP segment of those flags and that many bytes.
    fn packet(flags: u8, bytes: u8) -> Vec<u8> {
        let mut packet = vec![0x45, 0, 0, 40 + bytes, 0, 0, 0, 0, 64, 6, 0, 0, 127, 0, 0, 1, 127, 0, 0, 2];
        packet.extend([0x9c, 0x40, 0x1f, 0x90, 0, 0, 0, 1, 0, 0, 0, 0, 0x50, flags, 0, 0, 0, 0, 0, 0]);
        packet.extend(vec![b'x'; bytes.into()]);
        packet
    }

    #[test]
    fn flags_and_lengths_are_read() {
        let check = |flags, bytes, expect: &str| {
            let segment = parse(&packet(flags, bytes)).unwrap();
            assert_eq!(segment.to_string(), format!("127.0.0.1:40000 -> 127.0.0.2:8080 {expect}"));
            assert_eq!(from_word(&to_word(&segment)), Some(segment));
        };
        check(0x02, 0, "SYN");
        check(0x12, 0, "SYN+ACK");
        check(0x11, 0, "FIN+ACK");
        check(0x18, 100, "ACK, 100 bytes");
        check(0x04, 0, "RST");
    }

    #[test]
    fn broken_packets_are_no_segments() {
        let whole = packet(0x02, 0);
        for length in 0..34 {
            assert_eq!(parse(&whole[..length]), None, "{length}");
        }
        let mut udp = whole.clone();
        udp[9] = 17;
        assert_eq!(parse(&udp), None);
        let mut short = whole.clone();
        short[3] = 3;
        assert_eq!(parse(&short), None);
        assert_eq!(parse(&[0xff; 64]), None);
    }
}
