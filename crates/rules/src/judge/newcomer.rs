//! The socket that wants the address, as the kernel sees it at the moment of the check.

use crate::address::{needs_scope, v4_part};
use crate::attempt::Attempt;
use core::net::{IpAddr, Ipv4Addr, SocketAddr};

/// The socket that wants the address.
pub(super) struct Newcomer {
    pub(super) ip: IpAddr,
    /// The address as IPv4, for `AF_INET` and for mapped addresses.
    pub(super) v4: Option<Ipv4Addr>,
    /// The *effective* V6ONLY: `__inet6_bind` forces it on for a real IPv6 address.
    pub(super) v6only: bool,
    /// The bound device; the scope of a link-local address overrides it (`__inet6_bind`).
    pub(super) device: u32,
    pub(super) reuseaddr: bool,
    pub(super) reuseport: bool,
    pub(super) uid: u32,
}

impl Newcomer {
    pub(super) fn new(attempt: &Attempt, local: SocketAddr, device: u32) -> Newcomer {
        let ip = local.ip();
        let v4 = v4_part(ip);
        let scope = match local {
            SocketAddr::V6(v6) if needs_scope(ip) => v6.scope_id(),
            _ => 0,
        };
        Newcomer {
            ip,
            v4,
            v6only: ip.is_ipv6() && v4.is_none() && (attempt.v6only || !ip.is_unspecified()),
            device: if scope == 0 { device } else { scope },
            reuseaddr: attempt.reuseaddr,
            reuseport: attempt.reuseport,
            uid: attempt.uid,
        }
    }

    /// `inet_use_bhash2_on_bind`: whether the address is a concrete one.
    pub(super) fn concrete(&self) -> bool {
        match self.v4 {
            Some(v4) => !v4.is_unspecified(),
            None => !self.ip.is_unspecified(),
        }
    }

    /// Whether two bound devices keep the sockets apart.
    pub(super) fn other_device(&self, device: u32) -> bool {
        self.device != 0 && device != 0 && self.device != device
    }
}
