//! Which socket is the same as which: what a bind names, and the key under which a socket is kept.
//!
//! What the caller of bind(2) wrote is bytes of its memory and anything may be in it; it is read here as
//! `__sys_bind` and the families' own functions read it, and what they would refuse is no name.
//!
//! Not here: reading the memory (`handler`).

use inuse_kernel::seccomp;
use inuse_rules::address::UnixName;
use inuse_rules::{Address, Transport, UnixKind};
use rustix::fd::AsFd;
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrAny, SocketAddrUnix, SocketType, getsockname, sockopt};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};

/// `sizeof(struct sockaddr_storage)`: the kernel takes no longer address.
pub(super) const LONGEST: usize = 128;
/// `sizeof(struct sockaddr_un)`, and where its path begins.
const UNIX_LONGEST: usize = 110;
const UNIX_PATH: usize = 2;

/// What a bind names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Name {
    Inet(SocketAddr),
    /// As written: relative to the caller's working directory, or absolute.
    Path(Vec<u8>),
    Abstract(Vec<u8>),
}

impl Name {
    /// Reads a `struct sockaddr` of that length; `None` for another family and for what the kernel refuses.
    pub(super) fn parse(bytes: &[u8]) -> Option<Name> {
        let family = u16::from_ne_bytes(bytes.get(..2)?.try_into().ok()?);
        let port = || Some(u16::from_be_bytes(bytes.get(2..4)?.try_into().ok()?));
        match i32::from(family) {
            // inet_bind_sk: a v4 bind may leave the family out, with the wildcard address only.
            libc::AF_INET | libc::AF_UNSPEC if bytes.len() >= 16 => {
                let ip = Ipv4Addr::from(<[u8; 4]>::try_from(bytes.get(4..8)?).ok()?);
                let may = i32::from(family) == libc::AF_INET || ip.is_unspecified();
                may.then_some(Name::Inet(SocketAddrV4::new(ip, port()?).into()))
            }
            // SIN6_LEN_RFC2133: the scope may be missing.
            libc::AF_INET6 if bytes.len() >= 24 => {
                let ip = Ipv6Addr::from(<[u8; 16]>::try_from(bytes.get(8..24)?).ok()?);
                let scope = bytes.get(24..28).and_then(|b| b.try_into().ok()).map_or(0, u32::from_ne_bytes);
                Some(Name::Inet(SocketAddrV6::new(ip, port()?, 0, scope).into()))
            }
            libc::AF_UNIX if bytes.len() <= UNIX_LONGEST => match bytes.get(UNIX_PATH..)? {
                // The kernel chooses a name.
                [] => None,
                [0, name @ ..] => Some(Name::Abstract(name.to_vec())),
                path => Some(Name::Path(path.split(|&b| b == 0).next()?.to_vec())),
            },
            _ => None,
        }
    }

    fn of(address: &SocketAddrAny) -> Option<Name> {
        if address.address_family() == AddressFamily::UNIX {
            let unix = SocketAddrUnix::try_from(address.clone()).ok()?;
            return match (unix.abstract_name(), unix.path_bytes()) {
                (Some(name), _) => Some(Name::Abstract(name.to_vec())),
                (None, Some(path)) => Some(Name::Path(path.split(|&b| b == 0).next()?.to_vec())),
                (None, None) => None,
            };
        }
        SocketAddr::try_from(address.clone()).ok().map(Name::Inet)
    }

    pub(super) fn port(&self) -> Option<u16> {
        match self {
            Name::Inet(local) => Some(local.port()),
            _ => None,
        }
    }
}

/// The kind of a socket, as far as it is kept at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// TCP, or MPTCP.
    Tcp,
    Udp,
    Unix(UnixKind),
}

/// What must be equal for two sockets to stand for the same: namespace, protocol, name, device and V6ONLY.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Key {
    pub(super) netns: u64,
    pub(super) kind: Kind,
    /// MPTCP is another protocol than TCP, and a program that wants the one does not want the other.
    pub(super) protocol: i32,
    pub(super) name: Name,
    pub(super) device: u32,
    pub(super) v6only: bool,
}

/// The address of a bound socket; `None` for kinds that are not kept.
pub(in crate::hold) fn address_of(socket: impl AsFd) -> Option<Address> {
    Key::of(socket).ok().flatten().map(|key| key.address())
}

impl Key {
    /// The key that this socket would have, bound to that name. `None` for kinds that are not kept.
    pub(super) fn bound_to(socket: impl AsFd, name: Name) -> Result<Option<Key>, Errno> {
        let socket = socket.as_fd();
        let protocol = seccomp::protocol(socket)?;
        let domain = sockopt::socket_domain(socket)?;
        let inet = domain == AddressFamily::INET || domain == AddressFamily::INET6;
        let kind = match (sockopt::socket_type(socket)?, protocol) {
            (SocketType::STREAM, libc::IPPROTO_TCP | libc::IPPROTO_MPTCP) if inet => Kind::Tcp,
            (SocketType::DGRAM, libc::IPPROTO_UDP) if inet => Kind::Udp,
            (kind, _) if domain == AddressFamily::UNIX => match kind {
                SocketType::STREAM => Kind::Unix(UnixKind::Stream),
                SocketType::DGRAM => Kind::Unix(UnixKind::Datagram),
                SocketType::SEQPACKET => Kind::Unix(UnixKind::Seqpacket),
                _ => return Ok(None),
            },
            _ => return Ok(None),
        };
        let fits = match &name {
            Name::Inet(SocketAddr::V4(_)) => domain == AddressFamily::INET,
            Name::Inet(SocketAddr::V6(_)) => domain == AddressFamily::INET6,
            Name::Path(_) | Name::Abstract(_) => domain == AddressFamily::UNIX,
        };
        if !fits {
            return Ok(None);
        }
        let (mut device, mut v6only) = (seccomp::bound_device(socket), false);
        if let Name::Inet(SocketAddr::V6(local)) = &name {
            // The bind itself sets both: the device by a link-local scope, V6ONLY by an address.
            if local.scope_id() != 0 && local.ip().is_unicast_link_local() {
                device = local.scope_id();
            }
            v6only = !local.ip().is_unspecified() || sockopt::ipv6_v6only(socket)?;
        }
        Ok(Some(Key { netns: seccomp::netns_cookie(socket), kind, protocol, name, device, v6only }))
    }

    /// The key of a bound socket; `None` for one that is not, and for kinds that are not kept.
    pub(super) fn of(socket: impl AsFd) -> Result<Option<Key>, Errno> {
        let socket = socket.as_fd();
        match Name::of(&getsockname(socket)?) {
            Some(name) if name.port() != Some(0) => Key::bound_to(socket, name),
            _ => Ok(None),
        }
    }

    /// Whether the port is left to the kernel.
    pub(super) fn any_port(&self) -> bool {
        self.name.port() == Some(0)
    }

    /// The same without a port: what a bind that leaves the port to the kernel has in common with its result.
    pub(super) fn without_port(&self) -> Key {
        let mut key = self.clone();
        if let Name::Inet(local) = &mut key.name {
            local.set_port(0);
        }
        key
    }

    /// As it is written.
    pub(super) fn address(&self) -> Address {
        let unix_kind = match self.kind {
            Kind::Unix(kind) => kind,
            _ => UnixKind::Stream,
        };
        match &self.name {
            Name::Inet(local) => {
                let transport = if self.kind == Kind::Udp { Transport::Udp } else { Transport::Tcp };
                let scoped = matches!(local.ip(), IpAddr::V6(ip) if ip.is_unicast_link_local());
                Address::Inet { transport, local: *local, device: if scoped { 0 } else { self.device } }
            }
            Name::Path(path) => Address::Unix { kind: unix_kind, name: UnixName::Path(path.clone()) },
            Name::Abstract(name) => Address::Unix { kind: unix_kind, name: UnixName::Abstract(name.clone()) },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{TcpListener, UdpSocket};

    fn sockaddr(family: i32, rest: &[u8]) -> Vec<u8> {
        [&(family as u16).to_ne_bytes()[..], rest].concat()
    }

    #[test]
    fn what_the_kernel_takes_is_a_name() {
        let check = |bytes: &[u8], expect: Option<Name>| {
            assert_eq!(Name::parse(bytes), expect, "{}", bytes.escape_ascii());
        };
        let inet = |written: &str| Some(Name::Inet(written.parse().expect("written right")));
        let four = |family, ip: [u8; 4]| sockaddr(family, &[&[0x1f, 0x90], &ip[..], &[0; 8]].concat());
        check(&four(libc::AF_INET, [127, 0, 0, 1]), inet("127.0.0.1:8080"));
        check(&four(libc::AF_UNSPEC, [0; 4]), inet("0.0.0.0:8080"));
        check(&four(libc::AF_UNSPEC, [127, 0, 0, 1]), None);
        check(&four(libc::AF_INET, [127, 0, 0, 1])[..15], None);

        let six = sockaddr(libc::AF_INET6, &[&[0x1f, 0x90, 0, 0, 0, 0][..], &[0; 16], &[0; 4]].concat());
        check(&six, inet("[::]:8080"));
        check(&six[..24], inet("[::]:8080"));
        check(&six[..23], None);

        check(&sockaddr(libc::AF_UNIX, b"/run/x\0rubbish"), Some(Name::Path(b"/run/x".to_vec())));
        check(&sockaddr(libc::AF_UNIX, b"x"), Some(Name::Path(b"x".to_vec())));
        check(&sockaddr(libc::AF_UNIX, b"\0a\0b"), Some(Name::Abstract(b"a\0b".to_vec())));
        check(&sockaddr(libc::AF_UNIX, b""), None);
        check(&sockaddr(libc::AF_UNIX, &[b'x'; 109]), None);
        check(&sockaddr(libc::AF_VSOCK, &[0; 14]), None);
        check(&sockaddr(libc::AF_NETLINK, &[0; 10]), None);
        check(&[], None);
        check(&[1], None);
    }

    #[test]
    fn no_bytes_make_it_panic() {
        for length in 0..=LONGEST {
            for family in 0..=u8::MAX {
                for fill in [0, 1, 0xff] {
                    let mut bytes = vec![fill; length];
                    if let Some(first) = bytes.first_mut() {
                        *first = family;
                    }
                    let _ = Name::parse(&bytes);
                    if let Some(second) = bytes.get_mut(1) {
                        *second = 0;
                    }
                    let _ = Name::parse(&bytes);
                }
            }
        }
    }

    #[test]
    fn a_bound_socket_has_the_key_that_its_bind_asked_for() {
        for written in ["127.0.0.1:0", "[::1]:0", "[::]:0"] {
            let bound = TcpListener::bind(written).expect("loopback");
            let local = bound.local_addr().expect("bound");
            let family = if local.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
            let fresh = rustix::net::socket(family, SocketType::STREAM, None).expect("a socket");
            let asked = Key::bound_to(&fresh, Name::Inet(local)).expect("a socket").expect("kept");
            assert_eq!(Key::of(&bound), Ok(Some(asked.clone())));
            assert_eq!(Key::of(&fresh), Ok(None));
            assert_eq!(asked.address(), Address::tcp(local));
            assert!(asked.without_port().any_port() && !asked.any_port());
            if local.ip().is_unspecified() {
                sockopt::set_ipv6_v6only(&fresh, true).expect("unbound");
                assert_ne!(Key::bound_to(&fresh, Name::Inet(local)), Ok(Some(asked)), "V6ONLY counts there");
            }
        }
    }

    #[test]
    fn kinds_differ_and_some_are_not_kept() {
        let udp = UdpSocket::bind("127.0.0.1:0").expect("loopback");
        let tcp = TcpListener::bind("127.0.0.1:0").expect("loopback");
        let local = tcp.local_addr().expect("bound");
        assert_ne!(Key::bound_to(&udp, Name::Inet(local)), Key::of(&tcp));
        assert_eq!(Key::bound_to(&udp, Name::Path(b"/x".to_vec())), Ok(None));
        let netlink = rustix::net::socket(AddressFamily::NETLINK, SocketType::RAW, None).expect("a socket");
        assert_eq!(Key::bound_to(&netlink, Name::Inet(local)), Ok(None));
        let file = std::fs::File::open("/dev/null").expect("there");
        assert_eq!(Key::of(&file), Err(Errno::NOTSOCK));
    }
}
