//! What a bind names: protocol, IP and port (and device), or a unix name.
//!
//! Not here: how people *write* an address (that is `written`), and whether it exists on this machine
//! (that is a fact of the snapshot).

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::{self, Write as _};
use core::net::{IpAddr, Ipv4Addr, SocketAddr};

/// An IP protocol with ports. TCP and UDP ports are independent of each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Transport {
    /// `SOCK_STREAM`, `IPPROTO_TCP`.
    Tcp,
    /// `SOCK_DGRAM`, `IPPROTO_UDP`.
    Udp,
}

impl Transport {
    /// `tcp` or `udp`, as an address is written.
    pub const fn name(self) -> &'static str {
        match self {
            Transport::Tcp => "tcp",
            Transport::Udp => "udp",
        }
    }
}

/// The type of a unix socket. An abstract name belongs to one type: the three may share it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum UnixKind {
    /// `SOCK_STREAM`.
    Stream,
    /// `SOCK_DGRAM`.
    Datagram,
    /// `SOCK_SEQPACKET`.
    Seqpacket,
}

impl UnixKind {
    /// The kernel's constant for it, as `setsockopt` pages write it.
    pub const fn name(self) -> &'static str {
        match self {
            UnixKind::Stream => "SOCK_STREAM",
            UnixKind::Datagram => "SOCK_DGRAM",
            UnixKind::Seqpacket => "SOCK_SEQPACKET",
        }
    }

    /// The word before the colon, as an address is written.
    pub const fn scheme(self) -> &'static str {
        match self {
            UnixKind::Stream => "unix",
            UnixKind::Datagram => "unix-dgram",
            UnixKind::Seqpacket => "unix-seqpacket",
        }
    }
}

/// The name of a unix socket: bytes, since the kernel asks for nothing more (unix(7)).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum UnixName {
    /// A path in the file system, without the closing NUL.
    Path(Vec<u8>),
    /// An abstract name, without the leading NUL; its length is part of it.
    Abstract(Vec<u8>),
    /// Never bound.
    Unnamed,
}

/// What a bind names. The network namespace is that of the snapshot.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Address {
    /// An IP socket. The family is the socket's (`AF_INET6` for `::ffff:1.2.3.4`).
    Inet {
        /// TCP or UDP.
        transport: Transport,
        /// Address and port; for IPv6 with its scope.
        local: SocketAddr,
        /// Interface index of `SO_BINDTODEVICE`, 0 for none.
        device: u32,
    },
    /// A unix socket.
    Unix {
        /// The socket's type.
        kind: UnixKind,
        /// Its name.
        name: UnixName,
    },
}

impl Address {
    /// A TCP address without a device.
    pub const fn tcp(local: SocketAddr) -> Address {
        Address::Inet { transport: Transport::Tcp, local, device: 0 }
    }

    /// A UDP address without a device.
    pub const fn udp(local: SocketAddr) -> Address {
        Address::Inet { transport: Transport::Udp, local, device: 0 }
    }

    /// The IP part, if this is an IP address.
    pub const fn inet(&self) -> Option<(Transport, SocketAddr, u32)> {
        match self {
            Address::Inet { transport, local, device } => Some((*transport, *local, *device)),
            Address::Unix { .. } => None,
        }
    }

    /// The port, if this is an IP address.
    pub const fn port(&self) -> Option<u16> {
        match self {
            Address::Inet { local, .. } => Some(local.port()),
            Address::Unix { .. } => None,
        }
    }
}

/// The IPv4 address inside `::ffff:a.b.c.d`, or the IPv4 address itself.
pub fn v4_part(ip: IpAddr) -> Option<Ipv4Addr> {
    match ip {
        IpAddr::V4(v4) => Some(v4),
        IpAddr::V6(v6) => v6.to_ipv4_mapped(),
    }
}

/// Whether it is a wildcard: `0.0.0.0`, `::`, or `::ffff:0.0.0.0`.
pub fn is_wildcard(ip: IpAddr) -> bool {
    ip.to_canonical().is_unspecified()
}

/// Whether both are the same address, written as IPv4 or mapped into IPv6.
pub fn same_ip(a: IpAddr, b: IpAddr) -> bool {
    a.to_canonical() == b.to_canonical()
}

/// `__ipv6_addr_needs_scope_id`: link-local unicast, and interface- or link-local multicast.
pub fn needs_scope(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(_) => false,
        IpAddr::V6(v6) => {
            let [first, second, ..] = v6.octets();
            v6.is_unicast_link_local() || (first == 0xff && matches!(second & 0xf, 1 | 2))
        }
    }
}

impl fmt::Display for Address {
    /// The form that the command reads back: `tcp/0.0.0.0:80`, `udp/[::]:53`, `unix:/run/x`, `@name`, and
    /// for other types than streams `unix-dgram:/run/x`, `unix-seqpacket:@name`.
    /// Bytes that are not plain text are escaped (see [`escape`]).
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Address::Inet { transport, local, .. } => write!(f, "{}/{local}", transport.name()),
            Address::Unix { kind: UnixKind::Stream, name }
            | Address::Unix { name: name @ UnixName::Unnamed, .. } => name.fmt(f),
            Address::Unix { kind, name: UnixName::Path(path) } => {
                write!(f, "{}:{}", kind.scheme(), escape(path))
            }
            Address::Unix { kind, name: UnixName::Abstract(name) } => {
                write!(f, "{}:@{}", kind.scheme(), escape(name))
            }
        }
    }
}

impl fmt::Display for UnixName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            UnixName::Path(path) => write!(f, "unix:{}", escape(path)),
            UnixName::Abstract(name) => write!(f, "@{}", escape(name)),
            UnixName::Unnamed => f.write_str("(unnamed)"),
        }
    }
}

/// Bytes that somebody else chose, as text that cannot act on a terminal or mislead a reader:
/// control and bidirectional characters and everything that is not UTF-8 becomes `\u{..}` or `\xNN`,
/// and a backslash is doubled, so that the text stands for exactly one byte string.
pub fn escape(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                '\\' => out.push_str("\\\\"),
                '\n' => out.push_str("\\n"),
                '\t' => out.push_str("\\t"),
                '\r' => out.push_str("\\r"),
                c if deceives(c) => {
                    let _ = write!(out, "\\u{{{:x}}}", c as u32);
                }
                c => out.push(c),
            }
        }
        for byte in chunk.invalid() {
            let _ = write!(out, "\\x{byte:02x}");
        }
    }
    out
}

/// Whether a character can act on a terminal, reorder the line, or stand there unseen.
pub fn deceives(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(bytes: &[u8], expect: &str) {
        assert_eq!(escape(bytes), expect);
    }

    #[test]
    fn hostile_bytes_become_plain_text() {
        check(b"node", "node");
        check(b"a\x1b[31mb", "a\\u{1b}[31mb");
        check("\u{202e}gpj.exe".as_bytes(), "\\u{202e}gpj.exe");
        check(b"a\nb\tc\rd", "a\\nb\\tc\\rd");
        check(b"\xff\xfe ok", "\\xff\\xfe ok");
        check(b"back\\slash", "back\\\\slash");
        check("zürich 東".as_bytes(), "zürich 東");
        check("zero\u{200b}width".as_bytes(), "zero\\u{200b}width");
    }

    #[test]
    fn addresses_print_as_they_are_written() {
        let check = |a: Address, expect: &str| assert_eq!(alloc::format!("{a}"), expect);
        check(Address::tcp("0.0.0.0:80".parse().unwrap()), "tcp/0.0.0.0:80");
        check(Address::udp("[::1]:53".parse().unwrap()), "udp/[::1]:53");
        use UnixKind::{Datagram, Seqpacket, Stream};
        let path = |kind| Address::Unix { kind, name: UnixName::Path(b"/run/x.sock".to_vec()) };
        let name = |kind| Address::Unix { kind, name: UnixName::Abstract(b"a\0b".to_vec()) };
        check(path(Stream), "unix:/run/x.sock");
        check(path(Datagram), "unix-dgram:/run/x.sock");
        check(path(Seqpacket), "unix-seqpacket:/run/x.sock");
        check(name(Stream), "@a\\u{0}b");
        check(name(Datagram), "unix-dgram:@a\\u{0}b");
        check(name(Seqpacket), "unix-seqpacket:@a\\u{0}b");
        check(Address::Unix { kind: Datagram, name: UnixName::Unnamed }, "(unnamed)");
    }
}
