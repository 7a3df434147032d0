//! Questions about tcp and udp sockets as bytes, and rows as bytes (net/ipv4/inet_diag.c,
//! include/uapi/linux/inet_diag.h).
//!
//! One question for both families: the old message type `TCPDIAG_GETSOCK` walks the table once for
//! `AF_UNSPEC`, where sock_diag's own would walk it twice; and only so do IPv4 and IPv6 rows come in the
//! table's one order, which decides for udp. With `INET_DIAG_REQ_PROTOCOL` (Linux 5.9) it answers for udp
//! as well.

use super::query::{InetQuery, state};
use crate::netlink::wire::{Attributes, Request, array_at, u8_at, u16_at, u32_at, u64_at};
use inuse_rules::owner::{NoOwner, Ownership};
use inuse_rules::socket::{Timer, TimerKind};
use inuse_rules::{Address, Socket, State, Transport, address};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};

/// `SOCK_DIAG_BY_FAMILY`.
const BY_FAMILY: u16 = 20;
/// `TCPDIAG_GETSOCK`: the message type that asks for every family at once.
const ANY_FAMILY: u16 = 18;
/// `INET_DIAG_REQ_BYTECODE`.
const BYTECODE: u16 = 1;
/// `INET_DIAG_REQ_PROTOCOL`.
const PROTOCOL: u16 = 3;
/// `INET_DIAG_SKV6ONLY`: the kernel sends it for IPv6 rows in LISTEN and CLOSE.
const SKV6ONLY: u16 = 11;
/// `INET_DIAG_CGROUP_ID` (Linux 5.9).
const CGROUP_ID: u16 = 21;
/// `AF_INET`.
pub(crate) const AF_INET: u8 = 2;
/// `AF_INET6`.
pub(crate) const AF_INET6: u8 = 10;
/// `INET_DIAG_NOCOOKIE`, twice: whichever socket it is.
pub(super) const NO_COOKIE: u64 = u64::MAX;
/// Bytes in `struct inet_diag_msg`.
const ROW: usize = 72;

const fn protocol(transport: Transport) -> u8 {
    match transport {
        Transport::Tcp => 6,
        Transport::Udp => 17,
    }
}

/// Both families in one walk.
pub(super) fn ask_any_family(query: &InetQuery, program: &[u8]) -> Request {
    let mut body = vec![0; 4];
    body.extend_from_slice(&identity(query.ports.header()));
    body.extend_from_slice(&query.states.bits().to_ne_bytes());
    body.extend_from_slice(&[0; 4]);
    let request = Request::dump(ANY_FAMILY, &body);
    let request = match query.transport {
        Transport::Tcp => request,
        Transport::Udp => request.attribute(PROTOCOL, &u32::from(protocol(query.transport)).to_ne_bytes()),
    };
    with_program(request, program)
}

/// One family.
pub(super) fn ask_family(family: u8, query: &InetQuery, program: &[u8]) -> Request {
    let mut body = vec![family, protocol(query.transport), 0, 0];
    body.extend_from_slice(&query.states.bits().to_ne_bytes());
    body.extend_from_slice(&identity(query.ports.header()));
    with_program(Request::dump(BY_FAMILY, &body), program)
}

/// One tcp socket by its addresses, ports, device and cookie.
pub(super) fn ask_exact(local: SocketAddr, remote: SocketAddr, device: u32, cookie: u64) -> Request {
    Request::one(BY_FAMILY, &exact(local, remote, device, cookie))
}

/// `struct inet_diag_req_v2` that names one tcp socket.
pub(super) fn exact(local: SocketAddr, remote: SocketAddr, device: u32, cookie: u64) -> Vec<u8> {
    let family = if local.is_ipv4() { AF_INET } else { AF_INET6 };
    let mut body = vec![family, protocol(Transport::Tcp), 0, 0];
    body.extend_from_slice(&u32::MAX.to_ne_bytes());
    body.extend_from_slice(&local.port().to_be_bytes());
    body.extend_from_slice(&remote.port().to_be_bytes());
    body.extend_from_slice(&address_bytes(local.ip()));
    body.extend_from_slice(&address_bytes(remote.ip()));
    body.extend_from_slice(&device.to_ne_bytes());
    body.extend_from_slice(&cookie_bytes(cookie));
    body
}

fn with_program(request: Request, program: &[u8]) -> Request {
    if program.is_empty() { request } else { request.attribute(BYTECODE, program) }
}

/// `struct inet_diag_sockid` with two ports and `INET_DIAG_NOCOOKIE`.
fn identity((local, remote): (u16, u16)) -> [u8; 48] {
    let mut id = [0; 48];
    id[0..2].copy_from_slice(&local.to_be_bytes());
    id[2..4].copy_from_slice(&remote.to_be_bytes());
    id[40..48].fill(0xff);
    id
}

fn address_bytes(ip: IpAddr) -> [u8; 16] {
    match ip {
        IpAddr::V4(v4) => {
            let mut bytes = [0; 16];
            bytes[..4].copy_from_slice(&v4.octets());
            bytes
        }
        IpAddr::V6(v6) => v6.octets(),
    }
}

/// `idiag_cookie`: the low half first, whatever the byte order of the host.
pub(super) fn cookie_bytes(cookie: u64) -> [u8; 8] {
    let mut bytes = [0; 8];
    bytes[..4].copy_from_slice(&(cookie as u32).to_ne_bytes());
    bytes[4..].copy_from_slice(&((cookie >> 32) as u32).to_ne_bytes());
    bytes
}

pub(super) fn cookie_at(row: &[u8], at: usize) -> Option<u64> {
    Some(u64::from(u32_at(row, at)?) | u64::from(u32_at(row, at + 4)?) << 32)
}

/// Reads `struct inet_diag_msg` and its attributes; `None` where it is too short, or of a family or state
/// that we do not know.
pub(super) fn row(transport: Transport, row: &[u8]) -> Option<Socket> {
    let family = u8_at(row, 0)?;
    let state = state(u8_at(row, 1)?, transport == Transport::Tcp)?;
    let timer = u8_at(row, 2)?;
    let device = u32_at(row, 40)?;
    let end = |address_at, port_at| socket_addr(family, row, address_at, port_at, device);
    let local = end(8, 4)?;
    let remote = end(24, 6)?;
    let attributes = row.get(ROW..)?;
    let inode = u32_at(row, 68)?.into();

    let mut socket = Socket::new(Address::Inet { transport, local, device }, state);
    socket.remote = (remote.port() != 0).then_some(remote);
    socket.mini = timer == 3;
    socket.inode = inode;
    socket.cookie = cookie_at(row, 44)?;
    socket.timer = timer_of(timer, u32_at(row, 52)?);
    socket.recv_q = u32_at(row, 56)?;
    socket.send_q = u32_at(row, 60)?;
    // For requests and small time-wait sockets the kernel writes 0 without meaning root.
    socket.uid = if socket.mini || state == State::SynRecv { None } else { Some(u32_at(row, 64)?) };
    if matches!(local, SocketAddr::V6(_)) && address::v4_part(local.ip()).is_some() {
        socket.options.v6only = Some(false);
    }
    for (kind, value) in Attributes::new(attributes) {
        match kind {
            SKV6ONLY if family == AF_INET6 && socket.options.v6only.is_none() => {
                socket.options.v6only = u8_at(value, 0).map(|set| set != 0);
            }
            CGROUP_ID => socket.cgroup = u64_at(value, 0).unwrap_or(0),
            _ => {}
        }
    }
    socket.owners = ownership(&socket);
    Some(socket)
}

fn socket_addr(family: u8, row: &[u8], address_at: usize, port_at: usize, device: u32) -> Option<SocketAddr> {
    let port = u16_at(row, port_at).map(u16::from_be)?;
    match family {
        AF_INET => Some(SocketAddr::new(Ipv4Addr::from(array_at::<4>(row, address_at)?).into(), port)),
        AF_INET6 => {
            let ip = Ipv6Addr::from(array_at::<16>(row, address_at)?);
            let scope = if ip.is_unicast_link_local() { device } else { 0 };
            Some(SocketAddrV6::new(ip, port, 0, scope).into())
        }
        _ => None,
    }
}

fn timer_of(kind: u8, left_ms: u32) -> Option<Timer> {
    let kind = match kind {
        1 => TimerKind::Retransmit,
        2 => TimerKind::Keepalive,
        3 => TimerKind::TimeWait,
        4 => TimerKind::Probe,
        _ => return None,
    };
    Some(Timer { kind, left_ms })
}

/// What the row itself proves about its owner. A tcp socket without an inode is in nobody's table: the
/// process closed it, or accept() has not yet given it to one.
fn ownership(socket: &Socket) -> Ownership {
    let Some((Transport::Tcp, ..)) = socket.inet() else { return Ownership::NotAsked };
    if socket.inode != 0 {
        return Ownership::NotAsked;
    }
    match socket.state {
        State::TimeWait => Ownership::Nobody(NoOwner::TimeWait),
        State::FinWait1 | State::FinWait2 | State::Closing | State::LastAck => {
            Ownership::Nobody(NoOwner::Orphan)
        }
        State::SynRecv => Ownership::Nobody(NoOwner::Request),
        State::Established | State::CloseWait => Ownership::Nobody(NoOwner::AcceptQueue),
        State::SynSent | State::Listen | State::Bound | State::Unconn => Ownership::NotAsked,
    }
}
