//! A hundred thousand rows in forty bytes each.
//!
//! Not here: what a row means ([`Row`]), and which are wanted.

use super::{Protocol, Row};
use inuse_rules::owner::NoOwner;
use inuse_rules::{Address, State, Transport, UnixKind, UnixName};
use std::cmp::Ordering;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};

/// Rows, which are taken apart when they go in and put together when they come out.
#[derive(Clone, Debug, Default)]
pub struct Rows {
    packed: Vec<Packed>,
    /// IPv6 addresses, many of them several times.
    v6: Vec<Ipv6Addr>,
    /// Names of unix sockets.
    names: Vec<(UnixKind, UnixName)>,
}

/// What kind of addresses a row has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Family {
    V4(Transport),
    V6(Transport),
    Unix,
}

#[derive(Clone, Copy, Debug)]
struct Packed {
    /// An IPv4 address; of another family, its place among the addresses or names.
    local: u32,
    remote: u32,
    local_port: u16,
    /// 0 where it is not connected.
    remote_port: u16,
    device: u32,
    /// `idiag_inode` and `udiag_ino` have no more bits.
    inode: u32,
    /// The highest is none: it is no user's.
    uid: u32,
    recv_q: u32,
    send_q: u32,
    place: u16,
    family: Family,
    state: State,
    no_owner: Option<NoOwner>,
}

impl Packed {
    fn protocol(&self) -> Protocol {
        match self.family {
            Family::V4(Transport::Tcp) | Family::V6(Transport::Tcp) => Protocol::Tcp,
            Family::V4(Transport::Udp) | Family::V6(Transport::Udp) => Protocol::Udp,
            Family::Unix => Protocol::Unix,
        }
    }
}

impl Rows {
    /// Adds a row.
    pub fn push(&mut self, row: Row) {
        let remote = row.remote.filter(|remote| remote.port() != 0);
        let (family, local, local_port, device) = match row.address {
            Address::Inet { transport, local: SocketAddr::V4(local), device } => {
                (Family::V4(transport), u32::from(*local.ip()), local.port(), device)
            }
            Address::Inet { transport, local: SocketAddr::V6(local), device } => {
                (Family::V6(transport), self.address(*local.ip()), local.port(), device)
            }
            Address::Unix { kind, name } => (Family::Unix, self.name(kind, name), 0, 0),
        };
        let remote_ip = match remote.map(|remote| remote.ip()) {
            None => 0,
            Some(IpAddr::V4(ip)) => u32::from(ip),
            Some(IpAddr::V6(ip)) => self.address(ip),
        };
        self.packed.push(Packed {
            local,
            remote: remote_ip,
            local_port,
            remote_port: remote.map_or(0, |remote| remote.port()),
            device,
            inode: u32::try_from(row.inode).unwrap_or(0),
            uid: row.uid.unwrap_or(u32::MAX),
            recv_q: row.recv_q,
            send_q: row.send_q,
            place: row.place,
            family,
            state: row.state,
            no_owner: row.no_owner,
        });
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.packed.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.packed.is_empty()
    }

    /// One of them.
    pub fn get(&self, at: usize) -> Option<Row> {
        self.packed.get(at).map(|packed| self.row(packed))
    }

    /// All of them, in their order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = Row> {
        self.packed.iter().map(|packed| self.row(packed))
    }

    /// Gives the unix socket of a row another name.
    pub(super) fn rename(&mut self, at: usize, new: UnixName) {
        let Some(Packed { family: Family::Unix, local, .. }) = self.packed.get(at) else { return };
        let kind = self.names.get(*local as usize).map_or(UnixKind::Stream, |(kind, _)| *kind);
        let local = self.name(kind, new);
        self.packed[at].local = local;
    }

    /// Keeps so many.
    pub(super) fn truncate(&mut self, most: usize) {
        self.packed.truncate(most);
    }

    /// Keeps those that are wanted.
    pub(super) fn retain(&mut self, mut wanted: impl FnMut(&Row) -> bool) {
        let mut packed = std::mem::take(&mut self.packed);
        packed.retain(|packed| wanted(&self.row(packed)));
        self.packed = packed;
    }

    /// Sorts them by protocol, port and address.
    pub(super) fn sort(&mut self) {
        let mut packed = std::mem::take(&mut self.packed);
        packed.sort_unstable_by(|a, b| self.compare(a, b));
        self.packed = packed;
    }

    /// By protocol, port and address; then by what tells rows of one address apart. Most differ in the first of these.
    fn compare(&self, a: &Packed, b: &Packed) -> Ordering {
        let unix = |packed: &Packed| packed.family == Family::Unix;
        let ip = |packed: &Packed| (!unix(packed)).then(|| self.ip(packed.family, packed.local));
        let name = |packed: &Packed| self.names.get(packed.local as usize).filter(|_| unix(packed));
        let remote = |packed: &Packed| {
            let ip = (packed.remote_port != 0).then(|| self.ip(packed.family, packed.remote));
            (ip, packed.remote_port)
        };
        let port = (a.protocol(), a.local_port).cmp(&(b.protocol(), b.local_port));
        port.then_with(|| ip(a).cmp(&ip(b)))
            .then(a.device.cmp(&b.device))
            .then_with(|| name(a).cmp(&name(b)))
            .then((a.place, a.state).cmp(&(b.place, b.state)))
            .then_with(|| remote(a).cmp(&remote(b)))
            .then(a.inode.cmp(&b.inode))
    }

    fn row(&self, packed: &Packed) -> Row {
        let end = |address, port| match self.ip(packed.family, address) {
            IpAddr::V6(ip) => {
                let scope = if ip.is_unicast_link_local() { packed.device } else { 0 };
                SocketAddrV6::new(ip, port, 0, scope).into()
            }
            ip => SocketAddr::new(ip, port),
        };
        let address = match packed.family {
            Family::V4(transport) | Family::V6(transport) => {
                let local = end(packed.local, packed.local_port);
                Address::Inet { transport, local, device: packed.device }
            }
            Family::Unix => {
                let named = self.names.get(packed.local as usize).cloned();
                let (kind, name) = named.unwrap_or((UnixKind::Stream, UnixName::Unnamed));
                Address::Unix { kind, name }
            }
        };
        Row {
            address,
            remote: (packed.remote_port != 0).then(|| end(packed.remote, packed.remote_port)),
            inode: packed.inode.into(),
            uid: (packed.uid != u32::MAX).then_some(packed.uid),
            recv_q: packed.recv_q,
            send_q: packed.send_q,
            place: packed.place,
            state: packed.state,
            no_owner: packed.no_owner,
        }
    }

    fn ip(&self, family: Family, address: u32) -> IpAddr {
        match family {
            Family::V6(_) => self.v6.get(address as usize).copied().unwrap_or(Ipv6Addr::UNSPECIFIED).into(),
            _ => Ipv4Addr::from(address).into(),
        }
    }

    /// The place of an address: rows of one server come one after another.
    fn address(&mut self, ip: Ipv6Addr) -> u32 {
        let before = self.v6.len().saturating_sub(LOOKED_BACK);
        place(&mut self.v6, before, ip)
    }

    /// The place of a name; most sockets have none.
    fn name(&mut self, kind: UnixKind, name: UnixName) -> u32 {
        let before = self.names.len().saturating_sub(LOOKED_BACK);
        place(&mut self.names, before, (kind, name))
    }
}

/// So many entries before the last one are searched for the same.
const LOOKED_BACK: usize = 8;

fn place<T: PartialEq>(all: &mut Vec<T>, from: usize, new: T) -> u32 {
    let known = all.get(from..).and_then(|last| last.iter().position(|old| *old == new));
    let at = known.map_or(all.len(), |at| from + at);
    if known.is_none() {
        all.push(new);
    }
    u32::try_from(at).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use inuse_rules::Socket;

    fn inet(transport: Transport, local: &str, remote: Option<&str>, state: State, inode: u64) -> Row {
        let address = Address::Inet { transport, local: local.parse().unwrap(), device: 0 };
        let mut socket = Socket::new(address, state);
        socket.remote = remote.map(|remote| remote.parse().unwrap());
        (socket.inode, socket.uid) = (inode, Some(1000));
        (socket.recv_q, socket.send_q) = (7, 128);
        Row::new(socket, 3)
    }

    fn unix(kind: UnixKind, name: UnixName) -> Row {
        Row::new(Socket::new(Address::Unix { kind, name }, State::Listen), 0)
    }

    #[test]
    fn one_of_several_of_a_name_is_renamed() {
        let named = |name: &str| unix(UnixKind::Seqpacket, UnixName::Path(name.as_bytes().to_vec()));
        let mut rows = Rows::default();
        rows.push(named("/run/x.new"));
        rows.push(named("/run/x.new"));
        rows.rename(1, UnixName::Path(b"/run/x".to_vec()));
        rows.rename(2, UnixName::Unnamed);
        assert_eq!(rows.iter().collect::<Vec<_>>(), [named("/run/x.new"), named("/run/x")]);
    }

    #[test]
    fn forty_bytes() {
        assert_eq!(size_of::<Packed>(), 40);
    }

    #[test]
    fn what_went_in_comes_out_in_order() {
        let (tcp, udp) = (Transport::Tcp, Transport::Udp);
        let mut scoped = inet(tcp, "[::]:443", None, State::Listen, 12);
        let link_local = SocketAddrV6::new("fe80::1".parse().unwrap(), 443, 0, 2);
        scoped.address = Address::Inet { transport: tcp, local: link_local.into(), device: 2 };
        let mut hidden = inet(tcp, "0.0.0.0:81", Some("10.0.0.1:7"), State::TimeWait, 0);
        (hidden.uid, hidden.no_owner) = (None, Some(NoOwner::TimeWait));
        let sorted = [
            inet(tcp, "0.0.0.0:80", None, State::Listen, 1),
            inet(tcp, "127.0.0.1:80", Some("127.0.0.1:5"), State::Established, 9),
            inet(tcp, "127.0.0.1:80", Some("127.0.0.1:6"), State::Established, 8),
            inet(tcp, "[::]:80", None, State::Listen, 2),
            inet(tcp, "[::1]:80", Some("[::1]:5"), State::Established, 3),
            hidden,
            scoped,
            inet(udp, "0.0.0.0:53", None, State::Unconn, 4),
            unix(UnixKind::Stream, UnixName::Path(b"/run/a".to_vec())),
            unix(UnixKind::Stream, UnixName::Path(b"/run/b".to_vec())),
            unix(UnixKind::Stream, UnixName::Unnamed),
        ];
        let mut rows = Rows::default();
        sorted.iter().rev().cloned().for_each(|row| rows.push(row));
        rows.sort();
        assert_eq!(rows.iter().collect::<Vec<_>>(), sorted);
        rows.retain(|row| row.address.port() == Some(80));
        assert_eq!(rows.iter().collect::<Vec<_>>(), sorted[..5]);
        rows.rename(0, UnixName::Unnamed);
        assert_eq!(rows.iter().collect::<Vec<_>>(), sorted[..5], "no unix socket");
        assert_eq!((rows.len(), rows.get(5), rows.get(4)), (5, None, Some(sorted[4].clone())));
    }
}
