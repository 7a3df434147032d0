//! The options that getsockopt cannot tell, since no process has the socket open or the caller may not
//! touch the one that has: a BPF iterator reads them, where the caller is root.
//!
//! It costs milliseconds, so it is asked only when the rule names such a fact, and then once for all
//! sockets of the port. Not here: the iterator itself (`inuse_kernel::bpf`).

use inuse_kernel::bpf::{TcpOptions, each_tcp_options};
use inuse_kernel::{Error, Netns};
use inuse_rules::snapshot::Sysctls;
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
        let mut wanting = Wanting::of(snapshot, port);
        let read = each_tcp_options(netns, port, &mut |read| wanting.take(&mut snapshot.sockets, &read));
        wanting.settle(&mut snapshot.sockets);
        match read {
            // What an ordinary user may not see is said where it decides.
            Ok(()) | Err(Error::Denied { .. }) => {}
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

/// The rows of a port that want their options.
struct Wanting {
    /// Those of one socket, by its cookie, which it has since it was listed.
    own: Vec<(u64, usize)>,
    /// Those that stand for many.
    many: Vec<Many>,
    client_ports: Sysctls,
}

/// A row that stands for many sockets, and what is found of them: as many of each kind of options.
struct Many {
    index: usize,
    found: BTreeMap<[bool; 3], (u64, TcpOptions)>,
}

impl Wanting {
    fn of(snapshot: &Snapshot, port: u16) -> Wanting {
        let (mut own, mut many) = (Vec::new(), Vec::new());
        for (index, socket) in snapshot.sockets.iter().enumerate() {
            if tcp_port(socket) != Some(port) || !wants(socket) {
            } else if socket.alike > 0 {
                many.push(Many { index, found: BTreeMap::new() });
            } else if socket.cookie != 0 {
                own.push((socket.cookie, index));
            }
        }
        own.sort_unstable();
        Wanting { own, many, client_ports: snapshot.sysctls.clone() }
    }

    /// Takes in what was read of one socket.
    fn take(&mut self, sockets: &mut [Socket], read: &TcpOptions) {
        let cookie = read.cookie.unwrap_or(0);
        if let Ok(at) = self.own.binary_search_by_key(&cookie, |own| own.0) {
            if let Some(socket) = self.own.get(at).and_then(|own| sockets.get_mut(own.1)) {
                socket.options = options(read);
            }
            return;
        }
        let from_client = |remote: Option<SocketAddr>| {
            remote.is_some_and(|remote| self.client_ports.ephemeral(remote.port()))
        };
        let one_of = |row: &Socket| {
            (row.state, row.inet()) == (read.state, Some((Transport::Tcp, read.local, read.device)))
                && from_client(row.remote) == from_client(read.remote)
        };
        for many in &mut self.many {
            let Some(row) = sockets.get(many.index).filter(|row| one_of(row)) else { continue };
            let kind = [read.reuseaddr, read.reuseport, read.v6only];
            let (count, example) = many.found.entry(kind).or_insert((0, *read));
            *count += 1;
            if cookie == row.cookie {
                *example = *read;
            }
        }
    }

    /// Gives each row that stands for many what was found of them: a row for each kind of options.
    fn settle(self, sockets: &mut Vec<Socket>) {
        for Many { index, found } in self.many {
            let Some(row) = sockets.get(index).cloned() else { continue };
            for (nth, (count, read)) in found.into_values().enumerate() {
                let kind = Socket {
                    remote: read.remote,
                    cookie: read.cookie.unwrap_or(0),
                    options: options(&read),
                    alike: u32::try_from(count - 1).unwrap_or(u32::MAX),
                    ..row.clone()
                };
                match sockets.get_mut(index).filter(|_| nth == 0) {
                    Some(row) => *row = kind,
                    None => sockets.push(kind),
                }
            }
        }
    }
}

fn options(read: &TcpOptions) -> Options {
    Options {
        reuseaddr: Some(read.reuseaddr),
        reuseport: Some(read.reuseport),
        v6only: Some(read.v6only),
        learned: Learned::Bpf,
    }
}
