//! The few rtnetlink(7) requests that prepare a private namespace: a veth pair, devices up, addresses.

use std::io;
use std::net::IpAddr;
use std::os::fd::OwnedFd;

use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, netdevice};

/// `struct ifaddrmsg`'s flag for an IPv6 address that is usable at once.
const NODAD: u8 = libc::IFA_F_NODAD as u8;
const IFLA_IFNAME: u16 = libc::IFLA_IFNAME;
const IFLA_LINKINFO: u16 = libc::IFLA_LINKINFO;
const IFLA_INFO_KIND: u16 = 1;
const IFLA_INFO_DATA: u16 = 2;
const VETH_INFO_PEER: u16 = 1;

/// A conversation with rtnetlink in the current network namespace.
#[derive(Debug)]
pub struct Route {
    socket: OwnedFd,
}

impl Route {
    /// Opens it.
    ///
    /// # Errors
    /// As for socket(2).
    pub fn open() -> io::Result<Route> {
        // No protocol is protocol 0: NETLINK_ROUTE.
        let flags = SocketFlags::CLOEXEC;
        Ok(Route { socket: rustix::net::socket_with(AddressFamily::NETLINK, SocketType::RAW, flags, None)? })
    }

    /// Makes a pair of devices that are each other's wire.
    ///
    /// # Errors
    /// What the kernel says; EOPNOTSUPP where it has no veth.
    pub fn make_pair(&self, name: &str, other: &str) -> io::Result<()> {
        let named = |name: &str| attribute(IFLA_IFNAME, &[name.as_bytes(), b"\0"].concat());
        let peer = [interface(0, 0), named(other)].concat();
        let data = attribute(IFLA_INFO_DATA, &attribute(VETH_INFO_PEER, &peer));
        let info = [attribute(IFLA_INFO_KIND, b"veth"), data].concat();
        let body = [interface(0, 0), named(name), attribute(IFLA_LINKINFO, &info)].concat();
        self.ask(libc::RTM_NEWLINK, libc::NLM_F_CREATE as u16, &body)
    }

    /// The interface index of that name.
    ///
    /// # Errors
    /// ENODEV where there is none.
    pub fn index(&self, name: &str) -> io::Result<u32> {
        Ok(netdevice::name_to_index(&self.socket, name)?)
    }

    /// Brings a device up.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn up(&self, index: u32) -> io::Result<()> {
        self.ask(libc::RTM_NEWLINK, 0, &interface(index, libc::IFF_UP as u32))
    }

    /// Adds an address; `tentative` leaves an IPv6 one to duplicate address detection.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn address(&self, index: u32, ip: IpAddr, prefix: u8, tentative: bool) -> io::Result<()> {
        let (family, octets) = match ip {
            IpAddr::V4(ip) => (libc::AF_INET, ip.octets().to_vec()),
            IpAddr::V6(ip) => (libc::AF_INET6, ip.octets().to_vec()),
        };
        let flags = if ip.is_ipv6() && !tentative { NODAD } else { 0 };
        // struct ifaddrmsg
        let head = [family as u8, prefix, flags, libc::RT_SCOPE_UNIVERSE];
        let address = [attribute(libc::IFA_ADDRESS, &octets), attribute(libc::IFA_LOCAL, &octets)].concat();
        let body = [&head[..], &index.to_ne_bytes(), &address].concat();
        self.ask(libc::RTM_NEWADDR, libc::NLM_F_CREATE as u16, &body)
    }

    /// Sends one request and waits for its acknowledgement.
    fn ask(&self, kind: u16, flags: u16, body: &[u8]) -> io::Result<()> {
        // struct nlmsghdr
        let mut message = Vec::with_capacity(16 + body.len());
        message.extend((16 + body.len() as u32).to_ne_bytes());
        message.extend(kind.to_ne_bytes());
        message.extend((libc::NLM_F_REQUEST as u16 | libc::NLM_F_ACK as u16 | flags).to_ne_bytes());
        message.extend([0; 8]);
        message.extend(body);
        rustix::net::send(&self.socket, &message, SendFlags::empty())?;
        let mut answer = [0_u8; 1024];
        let (length, _) = rustix::net::recv(&self.socket, &mut answer[..], RecvFlags::empty())?;
        // struct nlmsgerr: the error stands right behind the header, 0 for success.
        let errno = answer.get(..length).and_then(|a| a.get(16..20)).and_then(|e| e.try_into().ok());
        match errno.map(i32::from_ne_bytes) {
            Some(0) => Ok(()),
            Some(errno) => Err(io::Error::from_raw_os_error(errno.wrapping_neg())),
            None => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }
}

/// `struct ifinfomsg`, with these flags set and no other touched.
fn interface(index: u32, flags: u32) -> Vec<u8> {
    let mut head = vec![0_u8; 4];
    head.extend(index.to_ne_bytes());
    head.extend(flags.to_ne_bytes());
    head.extend(flags.to_ne_bytes());
    head
}

/// `struct rtattr` with its padding.
fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
    let mut bytes = (4 + value.len() as u16).to_ne_bytes().to_vec();
    bytes.extend(kind.to_ne_bytes());
    bytes.extend(value);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}
