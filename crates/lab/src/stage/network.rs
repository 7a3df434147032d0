//! Two requests to rtnetlink(7): loopback up, and an address on it.
//!
//! Not here: any other interface; scenes stay on loopback.

use rustix::net::netlink::SocketAddrNetlink;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, recv, sendto, socket_with};
use std::io;
use std::net::IpAddr;

/// Loopback is interface 1 in every network namespace.
const LO: i32 = 1;

/// `ip link set lo up`.
pub(crate) fn loopback_up() -> io::Result<()> {
    // struct ifinfomsg
    let mut body = vec![0_u8; 4];
    body.extend(LO.to_ne_bytes());
    body.extend((libc::IFF_UP as u32).to_ne_bytes());
    body.extend((libc::IFF_UP as u32).to_ne_bytes());
    request(libc::RTM_NEWLINK, 0, &body)
}

/// `ip address add IP dev lo`, at once usable (`nodad`).
pub(crate) fn add_address(ip: IpAddr) -> io::Result<()> {
    let (family, bytes) = match ip {
        IpAddr::V4(v4) => (libc::AF_INET, v4.octets().to_vec()),
        IpAddr::V6(v6) => (libc::AF_INET6, v6.octets().to_vec()),
    };
    // struct ifaddrmsg
    let flags = if ip.is_ipv6() { libc::IFA_F_NODAD as u8 } else { 0 };
    let mut body = vec![family as u8, (bytes.len() * 8) as u8, flags, libc::RT_SCOPE_UNIVERSE];
    body.extend(LO.to_ne_bytes());
    for kind in [libc::IFA_LOCAL, libc::IFA_ADDRESS] {
        body.extend((bytes.len() as u16 + 4).to_ne_bytes());
        body.extend(kind.to_ne_bytes());
        body.extend(&bytes);
    }
    request(libc::RTM_NEWADDR, libc::NLM_F_CREATE as u16 | libc::NLM_F_EXCL as u16, &body)
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
    let mut answer = [0_u8; 512];
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
