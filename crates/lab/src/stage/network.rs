//! Requests to rtnetlink(7): loopback up, an interface, an address.
//!
//! Not here: routes; whatever a scene connects to is an address of its own namespace.

use inuse_rules::scene::Device;
use rustix::net::netdevice::name_to_index;
use rustix::net::netlink::SocketAddrNetlink;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, recv, sendto, socket_with};
use std::io;
use std::net::IpAddr;

/// The length of a struct ifinfomsg.
const LINK: usize = 16;
/// linux/veth.h
const VETH_INFO_PEER: u16 = 1;
/// linux/if_link.h
const IFLA_VXLAN_ID: u16 = 1;
const IFLA_VXLAN_LOCAL: u16 = 4;
const IFLA_VXLAN_PORT: u16 = 15;

/// `ip link set lo up`. Loopback is interface 1 in every network namespace.
pub(crate) fn loopback_up() -> io::Result<()> {
    bring_up(1)
}

/// `ip link add NAME type KIND`, and up, with both ends of a cable.
pub(crate) fn add_interface(name: &str, device: Device) -> io::Result<()> {
    let other_end = format!("{name}-peer");
    let (kind, data) = match device {
        // The other end is described like an interface of its own.
        Device::Veth => {
            let described = [[0; LINK].to_vec(), attribute(libc::IFLA_IFNAME, other_end.as_bytes())];
            ("veth", attribute(VETH_INFO_PEER, &described.concat()))
        }
        Device::Vxlan(port) => (
            "vxlan",
            [
                attribute(IFLA_VXLAN_ID, &1_u32.to_ne_bytes()),
                attribute(IFLA_VXLAN_LOCAL, &[127, 0, 0, 1]),
                attribute(IFLA_VXLAN_PORT, &port.to_be_bytes()),
            ]
            .concat(),
        ),
    };
    let info = [attribute(libc::IFLA_INFO_KIND, kind.as_bytes()), attribute(libc::IFLA_INFO_DATA, &data)];
    let mut body = vec![0; LINK];
    body.extend(attribute(libc::IFLA_IFNAME, name.as_bytes()));
    body.extend(attribute(libc::IFLA_LINKINFO, &info.concat()));
    request(libc::RTM_NEWLINK, libc::NLM_F_CREATE as u16 | libc::NLM_F_EXCL as u16, &body)?;
    bring_up(index(name)?)?;
    match device {
        Device::Veth => bring_up(index(&other_end)?),
        Device::Vxlan(_) => Ok(()),
    }
}

/// `ip address add IP dev NAME`.
pub(crate) fn add_address(name: &str, ip: IpAddr) -> io::Result<()> {
    let (family, bytes) = match ip {
        IpAddr::V4(v4) => (libc::AF_INET, v4.octets().to_vec()),
        IpAddr::V6(v6) => (libc::AF_INET6, v6.octets().to_vec()),
    };
    // struct ifaddrmsg
    let mut body = vec![family as u8, (bytes.len() * 8) as u8, 0, libc::RT_SCOPE_UNIVERSE];
    body.extend(index(name)?.to_ne_bytes());
    body.extend(attribute(libc::IFA_LOCAL, &bytes));
    body.extend(attribute(libc::IFA_ADDRESS, &bytes));
    request(libc::RTM_NEWADDR, libc::NLM_F_CREATE as u16 | libc::NLM_F_EXCL as u16, &body)
}

/// The number of the interface of that name.
fn index(name: &str) -> io::Result<u32> {
    let socket = socket_with(AddressFamily::INET, SocketType::DGRAM, SocketFlags::CLOEXEC, None)?;
    Ok(name_to_index(&socket, name)?)
}

/// `ip link set dev up`.
fn bring_up(index: u32) -> io::Result<()> {
    let up = (libc::IFF_UP as u32).to_ne_bytes();
    request(libc::RTM_NEWLINK, 0, &[[0; 4], index.to_ne_bytes(), up, up].concat())
}

/// A struct rtattr and its padding.
fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(4 + value.len().next_multiple_of(4));
    bytes.extend((4 + value.len() as u16).to_ne_bytes());
    bytes.extend(kind.to_ne_bytes());
    bytes.extend(value);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

/// Sends one request and waits for its acknowledgement.
fn request(kind: u16, flags: u16, body: &[u8]) -> io::Result<()> {
    // No protocol is protocol 0: NETLINK_ROUTE.
    let socket = socket_with(AddressFamily::NETLINK, SocketType::RAW, SocketFlags::CLOEXEC, None)?;
    // struct nlmsghdr
    let mut message = Vec::with_capacity(16 + body.len());
    message.extend((16 + body.len() as u32).to_ne_bytes());
    message.extend(kind.to_ne_bytes());
    message.extend((libc::NLM_F_REQUEST as u16 | libc::NLM_F_ACK as u16 | flags).to_ne_bytes());
    message.extend([0; 8]);
    message.extend(body);
    sendto(&socket, &message, SendFlags::empty(), &SocketAddrNetlink::new(0, 0))?;
    let mut answer = [0_u8; 1024];
    let (_, length) = recv(&socket, &mut answer[..], RecvFlags::empty())?;
    // NLMSG_ERROR: the header, then a negative errno, 0 for success.
    match answer.get(..length).and_then(|got| got.get(16..20)).and_then(|errno| errno.try_into().ok()) {
        Some(errno) => match i32::from_ne_bytes(errno) {
            0 => Ok(()),
            errno => Err(io::Error::from_raw_os_error(errno.wrapping_neg())),
        },
        None => Err(io::ErrorKind::InvalidData.into()),
    }
}
