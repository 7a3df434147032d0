//! The kernel's announcements that a tcp or udp socket was freed: the groups `SKNLGRP_INET*_DESTROY` of
//! sock_diag(7), which anybody may join (`sock_diag_broadcast_destroy` in net/core/sock_diag.c).
//!
//! A socket is announced after it has given up its port. One that becomes a TIME_WAIT is announced at that
//! moment; the end of the TIME_WAIT itself is not, nor is its destruction. The state in the message is
//! always CLOSE, so nothing is read from it: every message is only a reason to look again.

use super::filter;
use crate::error::Error;
use crate::netns::Netns;
use crate::sys::attach_filter;
use inuse_rules::Transport;
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::io::Errno;
use rustix::net::netlink::{SOCK_DIAG, SocketAddrNetlink};
use rustix::net::{AddressFamily, RecvFlags, SocketFlags, SocketType, bind, recv, socket_with};

/// What is being done, in words.
const ACT: &str = "subscribe to";
/// To what.
const OBJECT: &str = "the end of sockets";
/// `SKNLGRP_INET_TCP_DESTROY` and `SKNLGRP_INET6_TCP_DESTROY`, groups 1 and 3, as bits.
const TCP: u32 = 1 << 0 | 1 << 2;
/// `SKNLGRP_INET_UDP_DESTROY` and `SKNLGRP_INET6_UDP_DESTROY`, groups 2 and 4, as bits.
const UDP: u32 = 1 << 1 | 1 << 3;

/// A subscription to the end of sockets.
pub struct Closings {
    fd: OwnedFd,
}

impl Closings {
    /// Subscribes to the end of sockets with these local ports in that namespace.
    ///
    /// The kernel runs a filter on the port before it wakes anybody, so connections of other ports cost
    /// the subscriber nothing.
    pub fn open(netns: &Netns, ports: &[(Transport, u16)]) -> Result<Closings, Error> {
        let fail = |errno| Error::new(ACT, OBJECT, errno);
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let fd = netns
            .inside(|| socket_with(AddressFamily::NETLINK, SocketType::RAW, flags, Some(SOCK_DIAG)))?
            .map_err(fail)?;
        // Before the subscription, so that nothing comes unfiltered.
        attach_filter::attach(&fd, &filter::local_ports(ports.iter().map(|(_, port)| *port)))
            .map_err(fail)?;
        let groups = ports.iter().fold(0, |groups, (transport, _)| {
            groups
                | match transport {
                    Transport::Tcp => TCP,
                    Transport::Udp => UDP,
                }
        });
        // A netlink address, not one of the network: it names the groups.
        bind(&fd, &SocketAddrNetlink::new(0, groups)).map_err(fail)?;
        Ok(Closings { fd })
    }

    /// Takes away every announcement that is there. True when there was one, or when some were lost.
    pub fn drain(&self) -> bool {
        let mut any = false;
        loop {
            // What a message says beyond the port is not needed, so it may be cut.
            match recv(&self.fd, [0u8; 32].as_mut_slice(), RecvFlags::DONTWAIT) {
                Ok(_) | Err(Errno::NOBUFS) => any = true,
                Err(Errno::INTR) => {}
                Err(_) => return any,
            }
        }
    }
}

impl AsFd for Closings {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}
