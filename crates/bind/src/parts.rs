//! An address as socket(2) asks for it: its family, and its type of socket.

use inuse_rules::address::{Address, Transport, UnixKind};
use rustix::net::{AddressFamily, SocketType};

/// The address family.
pub(crate) fn family(address: &Address) -> AddressFamily {
    match address {
        Address::Inet { local, .. } if local.is_ipv4() => AddressFamily::INET,
        Address::Inet { .. } => AddressFamily::INET6,
        Address::Unix { .. } => AddressFamily::UNIX,
    }
}

/// The socket type.
pub(crate) fn socket_type(address: &Address) -> SocketType {
    match address {
        Address::Inet { transport: Transport::Tcp, .. } => SocketType::STREAM,
        Address::Inet { transport: Transport::Udp, .. } => SocketType::DGRAM,
        Address::Unix { kind, .. } => unix_type(*kind),
    }
}

/// The type of a unix socket.
pub(crate) fn unix_type(kind: UnixKind) -> SocketType {
    match kind {
        UnixKind::Stream => SocketType::STREAM,
        UnixKind::Datagram => SocketType::DGRAM,
        UnixKind::Seqpacket => SocketType::SEQPACKET,
    }
}
