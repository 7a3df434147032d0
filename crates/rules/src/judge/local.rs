//! The checks that come before any other socket is looked at: is the address ours, may this user have
//! the port. Follows `__inet_bind` (net/ipv4/af_inet.c) and `__inet6_bind` (net/ipv6/af_inet6.c),
//! which check in different orders: IPv4 asks for the address first, IPv6 for the port.

use super::newcomer::Newcomer;
use super::{refused, unknown};
use crate::address::Transport;
use crate::address::needs_scope;
use crate::attempt::Attempt;
use crate::snapshot::{Locality, Snapshot};
use crate::verdict::{Call, Errno, Fact, Rule, Verdict};
use alloc::vec;
use core::net::{IpAddr, SocketAddr};

/// The verdict, if one of these checks makes it (or lacks the fact for it).
pub(super) fn judge(
    snapshot: &Snapshot,
    attempt: &Attempt,
    transport: Transport,
    local: SocketAddr,
    new: &Newcomer,
) -> Option<Verdict> {
    let refuse = |errno, rule| Some(refused(errno, Call::Bind, rule, vec![]));
    let IpAddr::V6(v6) = new.ip else {
        return locality(snapshot, attempt, new).or_else(|| privilege(snapshot, attempt, local.port()));
    };
    if transport == Transport::Tcp && v6.is_multicast() {
        return refuse(Errno::EINVAL, Rule::Multicast);
    }
    if let Some(verdict) = privilege(snapshot, attempt, local.port()) {
        return Some(verdict);
    }
    if new.v4.is_some() && attempt.v6only {
        return refuse(Errno::EINVAL, Rule::MappedV6only);
    }
    if needs_scope(new.ip) && new.device == 0 {
        return refuse(Errno::EINVAL, Rule::NeedsScope);
    }
    locality(snapshot, attempt, new)
}

/// `inet_port_requires_bind_service`. Port 0 asks for no particular port and passes.
fn privilege(snapshot: &Snapshot, attempt: &Attempt, port: u16) -> Option<Verdict> {
    if port == 0 || attempt.net_bind_service {
        return None;
    }
    match snapshot.sysctls.unprivileged_port_start {
        // Above every default, and nothing in /proc readable: a wrong guess would need an
        // administrator who raised the start and hid it.
        None if port >= 1024 => None,
        None => Some(unknown(Errno::EACCES, vec![Fact::UnprivilegedPortStart], vec![])),
        Some(start) if port < start => Some(refused(Errno::EACCES, Call::Bind, Rule::PrivilegedPort, vec![])),
        Some(_) => None,
    }
}

/// `inet_addr_valid_or_nonlocal`, `ipv6_chk_addr`.
fn locality(snapshot: &Snapshot, attempt: &Attempt, new: &Newcomer) -> Option<Verdict> {
    let any = if new.v4.is_some() { !new.concrete() } else { new.ip.is_unspecified() };
    let nonlocal =
        if new.v4.is_some() { snapshot.sysctls.nonlocal_bind_v4 } else { snapshot.sysctls.nonlocal_bind_v6 };
    let refuse = |errno, rule| Some(refused(errno, Call::Bind, rule, vec![]));
    match snapshot.locality.get(&(new.ip, new.device)) {
        Some(Locality::Local) => None,
        Some(Locality::NoDevice) => refuse(Errno::ENODEV, Rule::NoDevice),
        Some(Locality::NeedsScope) => refuse(Errno::EINVAL, Rule::NeedsScope),
        _ if any || attempt.freebind || nonlocal == Some(true) => None,
        Some(Locality::NotLocal) => refuse(Errno::EADDRNOTAVAIL, Rule::NotLocal),
        Some(Locality::Tentative | Locality::DadFailed) => refuse(Errno::EADDRNOTAVAIL, Rule::Tentative),
        None => Some(unknown(Errno::EADDRNOTAVAIL, vec![Fact::Locality(new.ip, new.device)], vec![])),
    }
}
