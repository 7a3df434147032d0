//! The options that getsockopt cannot tell, since no process has the socket open or the caller may not
//! touch the one that has: a BPF iterator reads them, where the caller is root.
//!
//! It costs milliseconds, so it is asked only when the rule names such a fact, and then once for all
//! sockets of the port. Not here: the iterator itself (`inuse_kernel::bpf`).

use inuse_kernel::bpf::{TcpOptions, tcp_options};
use inuse_kernel::{Error, Netns};
use inuse_rules::socket::Learned;
use inuse_rules::{Options, Snapshot, Socket, State, Transport};
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

/// Reads what is still missing, or was only inferred, of these sockets; and with it the same of every
/// other socket of their ports.
pub(super) fn learn_options(netns: &Netns, snapshot: &mut Snapshot, about: &BTreeSet<usize>) {
    let wanting = about.iter().filter_map(|&index| snapshot.sockets.get(index)).filter(|s| wants(s));
    let ports: BTreeSet<u16> = wanting.filter_map(tcp_port).collect();
    for port in ports {
        match tcp_options(netns, port) {
            Ok(rows) => fill(&mut snapshot.sockets, port, &rows),
            // What an ordinary user may not see is said where it decides.
            Err(Error::Denied { .. }) => {}
            Err(error) => snapshot.blind_to(error.blind_spot()),
        }
    }
}

/// Whether the iterator would show this socket, and knows better what is known of it. What getsockopt
/// said is the same fact; what a sibling said is a conclusion.
fn wants(socket: &Socket) -> bool {
    // A socket that is only bound is in no list that the iterator walks.
    socket.state != State::Bound
        && match socket.options.learned {
            Learned::NotYet | Learned::Sibling => true,
            Learned::Getsockopt | Learned::Bpf | Learned::Probe => has_gaps(socket),
        }
}

fn has_gaps(socket: &Socket) -> bool {
    let Options { reuseaddr, reuseport, v6only, .. } = socket.options;
    reuseaddr.is_none() || reuseport.is_none() || v6only.is_none()
}

fn tcp_port(socket: &Socket) -> Option<u16> {
    match socket.inet() {
        Some((Transport::Tcp, local, _)) => Some(local.port()),
        _ => None,
    }
}

/// Gives each socket of the port what its row says.
fn fill(sockets: &mut [Socket], port: u16, rows: &[TcpOptions]) {
    let by_cookie: BTreeMap<u64, &TcpOptions> =
        rows.iter().filter_map(|row| Some((row.cookie?, row))).collect();
    let by_ends: BTreeMap<(SocketAddr, Option<SocketAddr>, u32), &TcpOptions> = rows
        .iter()
        .filter(|row| row.cookie.is_none())
        .map(|row| ((row.local, row.remote, row.device), row))
        .collect();
    for socket in sockets.iter_mut().filter(|socket| tcp_port(socket) == Some(port) && wants(socket)) {
        let Some((_, local, device)) = socket.inet() else { continue };
        let row = by_cookie.get(&socket.cookie).or_else(|| by_ends.get(&(local, socket.remote, device)));
        if let Some(row) = row {
            socket.options = Options {
                reuseaddr: Some(row.reuseaddr),
                reuseport: Some(row.reuseport),
                v6only: Some(row.v6only),
                learned: Learned::Bpf,
            };
        }
    }
}
