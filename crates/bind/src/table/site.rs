//! An address by which rows are asked for, and whether a socket is one of them.
//!
//! Who asks for an address wants to know who is there: the sockets of this address, and those of every address of
//! the machine, which take what comes to it. Not here: how an address is written (`inuse_rules::written`).

use inuse_kernel::unixpath::{absolute, path_fact};
use inuse_rules::snapshot::PathFact;
use inuse_rules::socket::FileId;
use inuse_rules::{Address, Socket, Transport, UnixKind, UnixName};
use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::os::unix::ffi::OsStringExt as _;

/// An address, or several.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Site {
    /// Local ports.
    Inet {
        /// Of this protocol, or of both.
        transport: Option<Transport>,
        /// At this address, or at any.
        ip: Option<IpAddr>,
        /// Of this interface, or 0.
        device: u32,
        /// The ports.
        ports: RangeInclusive<u16>,
    },
    /// A unix socket.
    Unix {
        /// Of this type, or of any.
        kind: Option<UnixKind>,
        /// Its name.
        name: UnixName,
        /// The file that stands there, whatever it was called when the socket was bound.
        file: Option<FileId>,
    },
}

impl Site {
    /// Local ports, at any address and of both protocols.
    pub const fn ports(ports: RangeInclusive<u16>) -> Site {
        Site::Inet { transport: None, ip: None, device: 0, ports }
    }

    /// A unix socket. A path is looked up, so that a symbolic link stands for the file behind it.
    pub fn unix(kind: Option<UnixKind>, name: UnixName) -> Site {
        let UnixName::Path(written) = &name else { return Site::Unix { kind, name, file: None } };
        let path = absolute(written).unwrap_or_else(|_| written.clone());
        let real = std::fs::canonicalize(std::ffi::OsString::from_vec(path.clone()));
        let path = real.map_or(path, |real| real.into_os_string().into_vec());
        let file = match path_fact(&path) {
            PathFact::Exists { file, .. } => Some(file),
            _ => None,
        };
        Site::Unix { kind, name: UnixName::Path(path), file }
    }

    /// Whether a socket is there.
    pub(super) fn fits(&self, socket: &Socket) -> bool {
        match (self, &socket.address) {
            (
                Site::Inet { transport, ip, device, ports },
                Address::Inet { transport: its, local, device: bound },
            ) => {
                transport.is_none_or(|transport| transport == *its)
                    && ports.contains(&local.port())
                    && (*device == 0 || *bound == 0 || device == bound)
                    && ip.is_none_or(|ip| takes(local.ip(), socket.options.v6only, ip))
            }
            (Site::Unix { kind, name, file }, Address::Unix { kind: its, name: bound }) => {
                kind.is_none_or(|kind| kind == *its)
                    && (name == bound || file.is_some() && socket.file == *file)
            }
            _ => false,
        }
    }
}

/// Whether a socket of that local address takes what comes to `ip`: IPv4 comes to the IPv6 wildcard too, unless
/// IPV6_V6ONLY is set there.
fn takes(local: IpAddr, v6only: Option<bool>, ip: IpAddr) -> bool {
    let ip = ip.to_canonical();
    match local.to_canonical() {
        local if local == ip => true,
        IpAddr::V4(local) => local.is_unspecified() && ip.is_ipv4(),
        IpAddr::V6(local) => local.is_unspecified() && (ip.is_ipv6() || v6only != Some(true)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use inuse_rules::State;

    fn site(transport: Option<Transport>, ip: &str, ports: RangeInclusive<u16>) -> Site {
        Site::Inet { transport, ip: Some(ip.parse().unwrap()), device: 0, ports }
    }

    #[track_caller]
    fn check(site: &Site, local: &str, expect: bool) {
        let socket = Socket::new(Address::tcp(local.parse().unwrap()), State::Listen);
        assert_eq!(site.fits(&socket), expect, "{site:?} {local}");
    }

    #[test]
    fn an_address_and_what_serves_it_from_every_address() {
        let loopback = site(None, "127.0.0.1", 80..=81);
        check(&loopback, "127.0.0.1:80", true);
        check(&loopback, "127.0.0.1:81", true);
        check(&loopback, "127.0.0.1:82", false);
        check(&loopback, "127.0.0.2:80", false);
        check(&loopback, "0.0.0.0:80", true);
        check(&loopback, "[::]:80", true);
        check(&loopback, "[::1]:80", false);
        check(&loopback, "[::ffff:127.0.0.1]:80", true);
        let six = site(Some(Transport::Tcp), "::1", 80..=80);
        check(&six, "[::1]:80", true);
        check(&six, "[::]:80", true);
        check(&six, "0.0.0.0:80", false);
        check(&site(None, "0.0.0.0", 80..=80), "[::]:80", true);
        check(&site(None, "0.0.0.0", 80..=80), "127.0.0.1:80", false);
        check(&site(None, "::", 80..=80), "0.0.0.0:80", false);
        check(&site(None, "::ffff:127.0.0.1", 80..=80), "127.0.0.1:80", true);
        check(&site(Some(Transport::Udp), "127.0.0.1", 80..=80), "127.0.0.1:80", false);
        check(&Site::ports(80..=80), "[::1]:80", true);
        check(&Site::ports(80..=80), "[::1]:81", false);
        check(&Site::unix(None, UnixName::Abstract(b"x".to_vec())), "[::1]:80", false);
    }

    #[test]
    fn ipv6_only_takes_no_ipv4() {
        let mut socket = Socket::new(Address::tcp("[::]:80".parse().unwrap()), State::Listen);
        socket.options.v6only = Some(true);
        assert!(!site(None, "127.0.0.1", 80..=80).fits(&socket));
        assert!(site(None, "::1", 80..=80).fits(&socket));
        socket.options.v6only = Some(false);
        assert!(site(None, "127.0.0.1", 80..=80).fits(&socket));
    }

    #[test]
    fn an_interface_differs_only_from_another() {
        let site = |device| Site::Inet { transport: None, ip: None, device, ports: 68..=68 };
        let check = |asked, bound, expect| {
            let local = "0.0.0.0:68".parse().unwrap();
            let address = Address::Inet { transport: Transport::Udp, local, device: bound };
            assert_eq!(site(asked).fits(&Socket::new(address, State::Unconn)), expect, "{asked} {bound}");
        };
        check(0, 2, true);
        check(2, 2, true);
        check(2, 0, true);
        check(2, 3, false);
    }

    #[test]
    fn a_unix_socket_by_its_name_its_type_or_its_file() {
        let path = |path: &str| UnixName::Path(path.as_bytes().to_vec());
        let mut socket = Socket::new(
            Address::Unix { kind: UnixKind::Datagram, name: path("/nonexistent/x.77.new") },
            State::Unconn,
        );
        let file = Some(FileId { dev: 1, ino: 2 });
        let check = |kind, name, own, socket: &Socket, expect| {
            let site = Site::Unix { kind, name, file: own };
            assert_eq!(site.fits(socket), expect, "{site:?}");
        };
        check(None, path("/nonexistent/x.77.new"), None, &socket, true);
        check(Some(UnixKind::Datagram), path("/nonexistent/x.77.new"), None, &socket, true);
        check(Some(UnixKind::Stream), path("/nonexistent/x.77.new"), None, &socket, false);
        check(None, path("/nonexistent/x"), None, &socket, false);
        check(None, path("/nonexistent/x"), file, &socket, false);
        socket.file = file;
        check(None, path("/nonexistent/x"), file, &socket, true);
        check(None, UnixName::Abstract(b"/nonexistent/x".to_vec()), None, &socket, false);
    }
}
