//! connect() without a port of one's own: the kernel chooses one (`__inet_hash_connect`).
//!
//! A port that any bind() holds is passed over, whatever the address; one that only connects hold is
//! shared as long as the four addresses and ports differ. The error of an exhausted range is
//! EADDRNOTAVAIL, never EADDRINUSE. Datagram sockets are bound first (`inet_autobind`) and fail with
//! EAGAIN.

use super::ephemeral::tried;
use super::newcomer::Newcomer;
use super::{ephemeral, ok, refused, unknown};
use crate::address::{Address, Transport, same_ip};
use crate::attempt::Attempt;
use crate::snapshot::Snapshot;
use crate::socket::{Socket, State};
use crate::verdict::{Call, Errno, Fact, Outcome, Rule, Verdict};
use alloc::vec;
use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};

/// A connect() by a socket that has no port yet: never bound, or bound to an address with
/// `IP_BIND_ADDRESS_NO_PORT`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Connect {
    /// TCP or UDP.
    pub transport: Transport,
    /// The source address, bound or chosen by routing.
    pub source: IpAddr,
    /// Where it connects to.
    pub remote: SocketAddr,
    /// Interface index of `SO_BINDTODEVICE`, 0 for none.
    pub device: u32,
    /// `SO_REUSEADDR`; counts for datagram sockets only, as do the next three.
    pub reuseaddr: bool,
    /// `SO_REUSEPORT`.
    pub reuseport: bool,
    /// `IPV6_V6ONLY`.
    pub v6only: bool,
    /// The caller's effective uid.
    pub uid: u32,
}

/// Whether the kernel finds a port for that connect.
///
/// Cost: linear in the sockets of the snapshot.
pub fn judge_connect(snapshot: &Snapshot, connect: &Connect) -> Verdict {
    if connect.transport == Transport::Udp {
        return datagram(snapshot, connect);
    }
    let Some(range) = snapshot.sysctls.local_port_range else {
        return unknown(Errno::EADDRNOTAVAIL, vec![Fact::LocalPortRange], vec![]);
    };
    if !snapshot.coverage.whole.contains(&Transport::Tcp) {
        return unknown(Errno::EADDRNOTAVAIL, vec![Fact::Everything(Transport::Tcp)], vec![]);
    }
    let mut open: Vec<Way> = vec![Way::Free; 1 << 16];
    let mut by = Vec::new();
    for (index, old) in snapshot.sockets.iter().enumerate() {
        let Some((Transport::Tcp, local, _)) = old.inet() else { continue };
        let way = way(old, local, connect);
        if (range.0..=range.1).contains(&local.port()) && way != Way::Free {
            by.push(index);
            let mark = &mut open[usize::from(local.port())];
            *mark = (*mark).max(way);
        }
    }
    let ways = tried(Transport::Tcp, range).filter(|&port| !snapshot.sysctls.reserves(port));
    match ways.map(|port| open[usize::from(port)]).min() {
        Some(Way::Free) => ok(),
        Some(Way::Perhaps) => unknown(Errno::EADDRNOTAVAIL, vec![Fact::PortHistory], by),
        Some(Way::Taken) | None => {
            refused(Errno::EADDRNOTAVAIL, Call::Connect, Rule::NoFreePortToConnect, by)
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Way {
    Free,
    Perhaps,
    Taken,
}

/// How one old socket leaves its port to a connect().
fn way(old: &Socket, local: SocketAddr, connect: &Connect) -> Way {
    if matches!(old.state, State::Listen | State::Bound) || old.bound_explicitly == Some(true) {
        return Way::Taken;
    }
    // `inet_match`: a socket without a device meets every one, another only its own.
    let device = old.inet().map_or(0, |(_, _, device)| device);
    let pair = (device == 0 || device == connect.device)
        && same_ip(local.ip(), connect.source)
        && old
            .remote
            .is_some_and(|r| same_ip(r.ip(), connect.remote.ip()) && r.port() == connect.remote.port());
    match old.state {
        State::SynRecv => Way::Free,
        // Recycled or not: that depends on timestamps and on its age.
        State::TimeWait if pair => Way::Perhaps,
        _ if pair => Way::Taken,
        // Given its port by connect(), or accepted from a listener, whose bind() keeps the port from
        // every connect() until its last connection is gone: the row does not say.
        _ => Way::Perhaps,
    }
}

/// `inet_autobind`: a bind to the wildcard and port 0, whose failure comes back as EAGAIN.
fn datagram(snapshot: &Snapshot, connect: &Connect) -> Verdict {
    let local = SocketAddr::new(
        match connect.remote {
            SocketAddr::V4(_) => core::net::Ipv4Addr::UNSPECIFIED.into(),
            SocketAddr::V6(_) => core::net::Ipv6Addr::UNSPECIFIED.into(),
        },
        0,
    );
    let mut attempt = Attempt::plain(Address::udp(local));
    attempt.uid = connect.uid;
    attempt.reuseaddr = connect.reuseaddr;
    attempt.reuseport = connect.reuseport;
    attempt.v6only = connect.v6only;
    let mut verdict =
        ephemeral::judge(snapshot, Transport::Udp, &Newcomer::new(&attempt, local, connect.device));
    match &mut verdict.outcome {
        Outcome::Ok => {}
        Outcome::Refused(refusal) => {
            (refusal.errno, refusal.at) = (Errno::EAGAIN, Call::Connect);
        }
        Outcome::Unknown { possible, .. } => {
            for errno in possible.iter_mut().flatten() {
                *errno = Errno::EAGAIN;
            }
        }
    }
    verdict
}
