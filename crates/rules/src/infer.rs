//! What a living socket says about the remains beside it: the options of a TIME_WAIT show nowhere
//! without privilege, but those of its siblings may.
//!
//! Why it is safe: sockets that overlap on one port and do not use SO_REUSEPORT agree about
//! SO_REUSEADDR. A connection inherits its listener's option. And a listener that came while the
//! remains were there already was let in only because both had the option. So one living member that
//! was accepted, or listens, speaks for the rest. (A program that changes the option of a socket it has
//! bound breaks this; the row says by [`Learned::Sibling`] how it became known.)

use crate::address::{is_wildcard, same_ip, v4_part};
use crate::snapshot::{Snapshot, Sysctls};
use crate::socket::{Learned, Options, Socket, State};
use alloc::vec::Vec;
use core::net::IpAddr;

/// More living members of a server than this say nothing new.
const MOST_WITNESSES: usize = 64;

/// Fills in SO_REUSEADDR and SO_REUSEPORT of ownerless sockets from a living sibling.
pub fn from_siblings(snapshot: &mut Snapshot) {
    let sysctls = &snapshot.sysctls;
    let witnesses: Vec<Socket> = snapshot
        .sockets
        .iter()
        .filter(|socket| testifies(socket, sysctls))
        .take(MOST_WITNESSES)
        .cloned()
        .collect();
    for socket in &mut snapshot.sockets {
        if !socket.ownerless() || socket.options.reuseaddr.is_some() {
            continue;
        }
        let witness = witnesses.iter().find(|other| siblings(other, socket));
        if let Some(Options { reuseaddr: Some(reuseaddr), .. }) = witness.map(|other| other.options) {
            socket.options.reuseaddr = Some(reuseaddr);
            socket.options.reuseport = Some(false);
            socket.options.learned = Learned::Sibling;
        }
    }
}

/// Whether a socket's own options are known for sure, and it is a server's: it listens, or it is a
/// connection that came in from an ephemeral port. One that went out says nothing about a server.
fn testifies(socket: &Socket, sysctls: &Sysctls) -> bool {
    let came_in = match (socket.inet(), socket.remote) {
        (Some((_, local, _)), Some(remote)) => {
            sysctls.ephemeral(remote.port()) && !sysctls.ephemeral(local.port())
        }
        _ => false,
    };
    socket.options.learned == Learned::Getsockopt
        && socket.options.reuseport == Some(false)
        && (socket.state == State::Listen || came_in)
}

/// Same transport, port and device, and addresses that overlap whatever V6ONLY says.
fn siblings(a: &Socket, b: &Socket) -> bool {
    let (Some((ta, la, da)), Some((tb, lb, db))) = (a.inet(), b.inet()) else { return false };
    let covers =
        |ip: IpAddr, other: IpAddr| is_wildcard(ip) && v4_part(ip).is_some() == v4_part(other).is_some();
    let dual =
        |socket: &Socket, ip: IpAddr| ip == IpAddr::from([0u16; 8]) && socket.options.v6only == Some(false);
    ta == tb
        && la.port() == lb.port()
        && da == db
        && (same_ip(la.ip(), lb.ip())
            || covers(la.ip(), lb.ip())
            || covers(lb.ip(), la.ip())
            || dual(a, la.ip())
            || dual(b, lb.ip()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::address::Address;
    use alloc::vec;

    #[track_caller]
    fn check(witness: (&str, State, Option<bool>, Option<bool>), remains: &str, expect: Option<bool>) {
        let (local, state, reuseaddr, reuseport) = witness;
        let mut living = Socket::new(Address::tcp(local.parse().unwrap()), state);
        living.inode = 7;
        living.remote = (state != State::Listen).then(|| "127.0.0.1:40000".parse().unwrap());
        living.options = Options { reuseaddr, reuseport, v6only: Some(false), learned: Learned::Getsockopt };
        let dead = Socket::new(Address::tcp(remains.parse().unwrap()), State::TimeWait);
        let mut snapshot = Snapshot { sockets: vec![dead, living], ..Snapshot::default() };
        snapshot.sysctls.local_port_range = Some((32768, 60999));
        from_siblings(&mut snapshot);
        assert_eq!(snapshot.sockets[0].options.reuseaddr, expect);
    }

    #[test]
    fn a_living_sibling_speaks_for_the_remains() {
        let (yes, no) = (Some(true), Some(false));
        check(("0.0.0.0:80", State::Listen, yes, no), "127.0.0.1:80", yes);
        check(("127.0.0.1:80", State::Established, no, no), "127.0.0.1:80", no);
        check(("[::]:80", State::Listen, yes, no), "127.0.0.1:80", yes);
        check(("0.0.0.0:80", State::Listen, yes, yes), "127.0.0.1:80", None);
        check(("0.0.0.0:80", State::Listen, None, no), "127.0.0.1:80", None);
        check(("127.0.0.2:80", State::Listen, yes, no), "127.0.0.1:80", None);
        check(("0.0.0.0:81", State::Listen, yes, no), "127.0.0.1:80", None);
        // A connection that went out from this port is nobody's sibling.
        check(("127.0.0.1:40001", State::Established, yes, no), "127.0.0.1:40001", None);
    }
}
