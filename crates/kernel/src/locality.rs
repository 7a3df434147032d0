//! Whether an address may be bound here, as bind(2) itself asks.
//!
//! IPv4 (`inet_addr_type_table`): 0.0.0.0, the limited broadcast and multicast always; anything else when
//! the longest match in the *local* routing table is of type local, broadcast or multicast. That covers
//! 127.0.0.0/8, addresses of an interface that is down, and prefixes that a route calls local. The kernel
//! looks it up for us: `NETLINK_FIB_LOOKUP` runs that very lookup (net/ipv4/fib_frontend.c).
//!
//! IPv6 (`__inet6_bind`, `__ipv6_chk_addr_and_flags`): the address must be on an interface and not
//! tentative; a link-local one on the interface that is named.
//!
//! Not here: `ip_nonlocal_bind` and the socket options that waive it, and devices enslaved to a VRF,
//! which have a table of their own.

use crate::error::Error;
use crate::netlink::socket::Netlink;
use crate::netlink::wire::{Attributes, Request, array_at, u8_at, u32_at};
use crate::netns::Netns;
use inuse_rules::address::{is_wildcard, needs_scope, v4_part};
use inuse_rules::snapshot::Locality;
use rustix::io::Errno;
use rustix::net::netlink::FIB_LOOKUP;
use rustix::net::{AddressFamily, Protocol, SocketFlags, SocketType, netdevice, socket_with};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// `NETLINK_ROUTE` is protocol number 0: none named.
const ROUTE: Option<Protocol> = None;
/// `RT_TABLE_LOCAL`.
const LOCAL_TABLE: u8 = 255;
/// `RTN_LOCAL`, `RTN_BROADCAST`, `RTN_MULTICAST`.
const BINDABLE: [u8; 3] = [2, 3, 5];
/// Any message type will do for a lookup.
const LOOKUP: u16 = 0x10;
/// `RTM_GETADDR`.
const GETADDR: u16 = 22;
/// `IFA_ADDRESS`: the address, or the other end's where there is an `IFA_LOCAL`.
const IFA_ADDRESS: u16 = 1;
/// `IFA_LOCAL`.
const IFA_LOCAL: u16 = 2;
/// `IFA_FLAGS`: all 32 bits of them.
const IFA_FLAGS: u16 = 8;
/// `IFA_F_OPTIMISTIC`: usable although tentative.
const OPTIMISTIC: u32 = 0x04;
/// `IFA_F_DADFAILED`.
const DADFAILED: u32 = 0x08;
/// `IFA_F_TENTATIVE`.
const TENTATIVE: u32 = 0x40;
/// `RT_SCOPE_LINK` and `RT_SCOPE_HOST`: such an address counts on its own interface only.
const NARROW: [u8; 2] = [253, 254];
/// `AF_INET6`.
const AF_INET6: u8 = 10;

/// Whether bind() takes that address in that namespace. `scope_or_device` is the interface index of a
/// link-local address's scope, or of `SO_BINDTODEVICE`; 0 for none.
pub fn locality(netns: &Netns, ip: IpAddr, scope_or_device: u32) -> Result<Locality, Error> {
    if is_wildcard(ip) {
        return Ok(Locality::Local);
    }
    if needs_scope(ip) && scope_or_device == 0 {
        return Ok(Locality::NeedsScope);
    }
    if scope_or_device != 0 && interface_name(netns, scope_or_device)?.is_none() {
        return Ok(Locality::NoDevice);
    }
    match (v4_part(ip), ip) {
        (Some(v4), _) | (None, IpAddr::V4(v4)) => locality_v4(netns, v4),
        (None, IpAddr::V6(v6)) if v6.is_multicast() => Ok(Locality::Local),
        (None, IpAddr::V6(v6)) => locality_v6(netns, v6, scope_or_device),
    }
}

/// The index of the interface with that name in that namespace.
pub fn interface_index(netns: &Netns, name: &str) -> Result<Option<u32>, Error> {
    interface(netns, name, |socket| netdevice::name_to_index(socket, name))
}

/// The name of the interface with that index in that namespace.
pub fn interface_name(netns: &Netns, index: u32) -> Result<Option<String>, Error> {
    interface(netns, &index.to_string(), |socket| netdevice::index_to_name(socket, index))
}

fn interface<T: Send>(
    netns: &Netns,
    object: &str,
    ask: impl FnOnce(&rustix::fd::OwnedFd) -> rustix::io::Result<T> + Send,
) -> Result<Option<T>, Error> {
    let found = netns.inside(|| {
        let flags = SocketFlags::CLOEXEC;
        ask(&socket_with(AddressFamily::UNIX, SocketType::DGRAM, flags, None)?)
    })?;
    match found {
        Ok(found) => Ok(Some(found)),
        Err(Errno::NODEV | Errno::NXIO | Errno::INVAL | Errno::NAMETOOLONG) => Ok(None),
        Err(errno) => Err(Error::new("look up", format!("the interface {object}"), errno)),
    }
}

fn locality_v4(netns: &Netns, ip: Ipv4Addr) -> Result<Locality, Error> {
    if ip.is_broadcast() || ip.is_multicast() {
        return Ok(Locality::Local);
    }
    let object = "a route in the local table";
    let answer = Netlink::open(netns, Some(FIB_LOOKUP))?.ask(object, lookup(ip), answer)?;
    Ok(if answer { Locality::Local } else { Locality::NotLocal })
}

/// `struct fib_result_nl` with only the question filled in.
fn lookup(ip: Ipv4Addr) -> Request {
    let mut body = [0; 20];
    body[..4].copy_from_slice(&ip.octets());
    body[10] = LOCAL_TABLE;
    Request::one(LOOKUP, &body)
}

/// `struct fib_result_nl` with the answer: whether bind() takes the type of the route that was found. In a
/// namespace where no interface was ever set up there is no local table, and the kernel then takes every
/// address for a broadcast.
fn answer(payload: &[u8]) -> Option<bool> {
    let kind = u8_at(payload, 14)?;
    let errno = u32_at(payload, 16)?.cast_signed().saturating_neg();
    Some((errno == 0 && BINDABLE.contains(&kind)) || errno == Errno::NOENT.raw_os_error())
}

fn locality_v6(netns: &Netns, ip: Ipv6Addr, device: u32) -> Result<Locality, Error> {
    let mut found = Locality::NotLocal;
    let request = Request::dump(GETADDR, &[AF_INET6, 0, 0, 0, 0, 0, 0, 0]);
    Netlink::open(netns, ROUTE)?.dump("the IPv6 addresses", request, &mut |_, payload| {
        if let Some(assigned) = assigned(payload)
            && assigned.ip == ip
            && (device == 0 || device == assigned.device || !assigned.narrow)
        {
            found = better(found, assigned.state);
        }
    })?;
    Ok(found)
}

/// An IPv6 address on an interface.
struct Assigned {
    ip: Ipv6Addr,
    device: u32,
    /// Link or host scope.
    narrow: bool,
    state: Locality,
}

/// Reads `struct ifaddrmsg` and its attributes.
fn assigned(payload: &[u8]) -> Option<Assigned> {
    if u8_at(payload, 0)? != AF_INET6 {
        return None;
    }
    let mut flags = u32::from(u8_at(payload, 2)?);
    let narrow = NARROW.contains(&u8_at(payload, 3)?);
    let device = u32_at(payload, 4)?;
    let (mut address, mut local) = (None, None);
    for (kind, value) in Attributes::new(payload.get(8..)?) {
        match kind {
            IFA_ADDRESS => address = array_at::<16>(value, 0),
            IFA_LOCAL => local = array_at::<16>(value, 0),
            IFA_FLAGS => flags = u32_at(value, 0).unwrap_or(flags),
            _ => {}
        }
    }
    let state = match flags {
        flags if flags & TENTATIVE == 0 || flags & OPTIMISTIC != 0 => Locality::Local,
        flags if flags & DADFAILED != 0 => Locality::DadFailed,
        _ => Locality::Tentative,
    };
    Some(Assigned { ip: local.or(address)?.into(), device, narrow, state })
}

/// Of two assignments of one address, the one that lets a bind pass, or will sooner.
fn better(one: Locality, other: Locality) -> Locality {
    let rank = |locality| match locality {
        Locality::Local => 3,
        Locality::Tentative => 2,
        Locality::DadFailed => 1,
        _ => 0,
    };
    if rank(other) > rank(one) { other } else { one }
}
