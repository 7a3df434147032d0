//! A bind (and, for TCP and unix streams, a listen) that somebody wants.

use crate::address::Address;

/// A bind that somebody wants: socket(), these options, bind(), and listen() where the type has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// The address asked for. Port 0 asks the kernel to choose one.
    pub address: Address,
    /// `SO_REUSEADDR` set before bind().
    pub reuseaddr: bool,
    /// `SO_REUSEPORT` set before bind().
    pub reuseport: bool,
    /// `IPV6_V6ONLY` set before bind(); means nothing for `AF_INET`.
    pub v6only: bool,
    /// The effective uid of the caller.
    pub uid: u32,
    /// Whether the caller has `CAP_NET_BIND_SERVICE` in the user namespace that owns the network
    /// namespace.
    pub net_bind_service: bool,
    /// `IP_FREEBIND`, `IPV6_FREEBIND` or `IP_TRANSPARENT`: an address that is on no interface is fine.
    pub freebind: bool,
}

impl Attempt {
    /// A plain bind by root: no option set.
    pub const fn plain(address: Address) -> Attempt {
        Attempt {
            address,
            reuseaddr: false,
            reuseport: false,
            v6only: false,
            uid: 0,
            net_bind_service: true,
            freebind: false,
        }
    }
}
