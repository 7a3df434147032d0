//! Fetching what the rule says it lacks, one kind of fact at a time.
//!
//! Not here: which facts are wanted (the rule names them), and the evidence that a person wants besides
//! (`evidence`).

use super::Asker;
use inuse_kernel::sockdiag::{InetQuery, States, settled, sockets_of};
use inuse_kernel::version::kernel_version;
use inuse_kernel::{locality, options, owners, sysctl, unixpath};
use inuse_rules::address::{UnixName, is_wildcard, same_ip};
use inuse_rules::alike::Merger;
use inuse_rules::snapshot::{Depth, KernelVersion, PathFact};
use inuse_rules::socket::Learned;
use inuse_rules::{
    Address, Attempt, BlindSpot, Fact, Outcome, Ownership, Snapshot, Socket, State, Transport, infer, judge,
};
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// Options are read of at most this many sockets: each costs a duplicate and a few system calls.
const MOST_OPTIONS: usize = 1024;

impl Asker {
    /// The facts that every question needs, and that cost next to nothing.
    pub(super) fn begin(&mut self) -> Snapshot {
        self.owners_deadline = self.owners_within.and_then(|within| Instant::now().checked_add(within));
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let mut snapshot = Snapshot {
            taken_ms: u64::try_from(since.as_millis()).unwrap_or(u64::MAX),
            kernel: kernel_version(),
            netns: self.netns.inode(),
            asker: self.own_bind.then(std::process::id),
            asker_uid: Some(rustix::process::geteuid().as_raw()),
            ..Snapshot::default()
        };
        snapshot.coverage.one_chain = snapshot.kernel.as_ref().is_some_and(KernelVersion::dumps_one_chain);
        match sysctl::sysctls(&self.netns) {
            Ok(seen) => snapshot.sysctls = seen.into_found(&mut snapshot.blind),
            Err(error) => snapshot.blind_to(error.blind_spot()),
        }
        snapshot
    }

    /// Fetches these facts as far as they can be had; what cannot is a blind spot.
    pub(super) fn fetch(&mut self, snapshot: &mut Snapshot, attempt: &Attempt, facts: &[Fact]) {
        let address = &attempt.address;
        let mut about: BTreeSet<usize> = BTreeSet::new();
        for fact in facts {
            match fact {
                Fact::Listeners(transport, port) => {
                    let query = InetQuery::listeners(*transport, *port);
                    let depth = if *transport == Transport::Udp { Depth::Every } else { Depth::Listening };
                    self.rows(snapshot, &query, |s| (*transport, *port) == (s.0, s.1));
                    snapshot.coverage.ports.insert((*transport, *port), depth);
                }
                Fact::Sockets(transport, port) => self.port(snapshot, *transport, *port),
                Fact::Everything(transport) => {
                    self.rows(snapshot, &InetQuery::everything(*transport), |s| s.0 == *transport);
                    snapshot.coverage.whole.push(*transport);
                }
                Fact::Locality(ip, scope) => match locality::locality(&self.netns, *ip, *scope) {
                    Ok(locality) => _ = snapshot.locality.insert((*ip, *scope), locality),
                    Err(error) => snapshot.blind_to(error.blind_spot()),
                },
                Fact::Path => self.path(snapshot, attempt),
                Fact::UnixSockets => self.unix_sockets(snapshot, address),
                Fact::V6only(index) | Fact::Reuseaddr(index) | Fact::Reuseport(index) => {
                    about.insert(*index);
                }
                // The sysctls were read at the beginning; the others no interface shows.
                Fact::UnprivilegedPortStart
                | Fact::LocalPortRange
                | Fact::Uid(_)
                | Fact::ReuseportHistory
                | Fact::PortHistory
                | Fact::UdpOrder
                | Fact::UnixAccepted(_) => {}
            }
        }
        if about.is_empty() {
            return;
        }
        self.owners(snapshot, &about);
        learn_options(snapshot, &about);
        #[cfg(feature = "bpf")]
        super::bpf::learn_options(&self.netns, snapshot, &about);
    }

    /// Every socket of a port.
    pub(super) fn port(&mut self, snapshot: &mut Snapshot, transport: Transport, port: u16) {
        self.rows(snapshot, &InetQuery::port(transport, port), |s| (transport, port) == (s.0, s.1));
        snapshot.coverage.ports.insert((transport, port), Depth::Every);
        if transport == Transport::Tcp && !snapshot.coverage.bound_inactive {
            snapshot.blind_to(BlindSpot {
                what: format!(
                    "sockets bound to port {port} that do not listen: this kernel does not list them"
                ),
                remedy: "a kernel from 6.8 on lists them".into(),
            });
        }
    }

    /// Who serves the same port in the other protocol: no conflict, and often what was meant. Nothing rests on
    /// it, so what cannot be listed is no blind spot.
    pub(super) fn other_protocol(&mut self, snapshot: &mut Snapshot, address: &Address) {
        let Some((transport, local, _)) = address.inet().filter(|(_, local, _)| local.port() != 0) else {
            return;
        };
        let (other, state) = match transport {
            Transport::Tcp => (Transport::Udp, State::Unconn),
            Transport::Udp => (Transport::Tcp, State::Listen),
        };
        let query = InetQuery { states: States::of(&[state]), ..InetQuery::port(other, local.port()) };
        let rows = self.diag.inet_rows(&query);
        snapshot.sockets.extend(rows.into_iter().flat_map(|seen| seen.found.sockets));
    }

    /// Replaces the rows of the transport and port that `covered` names by fresh ones.
    fn rows(
        &mut self,
        snapshot: &mut Snapshot,
        query: &InetQuery,
        covered: impl Fn((Transport, u16)) -> bool,
    ) {
        let sysctls = snapshot.sysctls.clone();
        let mut rows = Merger::of_time_waits(&sysctls);
        let walked = settled(sockets_of(query.transport), || {
            rows.clear();
            self.diag.inet(query, &mut |row| rows.take(row))
        });
        match walked {
            Ok(seen) => {
                let walked = seen.into_found(&mut snapshot.blind);
                snapshot
                    .sockets
                    .retain(|socket| !socket.inet().is_some_and(|(t, local, _)| covered((t, local.port()))));
                snapshot.sockets.extend(rows.into_rows());
                if query.transport == Transport::Tcp {
                    snapshot.coverage.bound_inactive = walked.bound_inactive;
                }
            }
            Err(error) => snapshot.blind_to(error.blind_spot()),
        }
    }

    /// Which connections of the ports asked for them with bind(). The kernel tells in a walk through all
    /// connections of the machine, so it is asked only where that can matter.
    pub(super) fn explicit_ports(&mut self, snapshot: &mut Snapshot, asks: &[Attempt]) {
        let ports = asks.iter().filter_map(|ask| match ask.address.inet()? {
            (Transport::Tcp, local, _) if local.port() != 0 => Some(local.port()),
            _ => None,
        });
        for port in ports.collect::<BTreeSet<u16>>() {
            if !explicit_matters(snapshot, asks, port) {
                continue;
            }
            if let Ok(chosen) = self.diag.port_not_asked_for(&InetQuery::port(Transport::Tcp, port)) {
                let chosen: BTreeSet<u64> = chosen.into_iter().collect();
                for socket in snapshot.sockets.iter_mut().filter(|socket| connected_at(port, socket)) {
                    // One that is not among them may also have ended meanwhile.
                    socket.bound_explicitly = match chosen.contains(&socket.cookie) {
                        true => Some(false),
                        false => matches!(self.diag.get(socket), Ok(Some(_))).then_some(true),
                    };
                }
            }
        }
    }

    /// What stands at a unix path, and the sockets behind that file.
    fn path(&mut self, snapshot: &mut Snapshot, attempt: &Attempt) {
        let Address::Unix { name: UnixName::Path(path), .. } = &attempt.address else { return };
        let fact = match unixpath::path_fact_as(path, attempt.uid) {
            Ok(seen) => seen.into_found(&mut snapshot.blind),
            Err(error) => return snapshot.blind_to(error.blind_spot()),
        };
        if let PathFact::Exists { file, .. } = fact {
            let address = &attempt.address;
            self.unix_sockets(snapshot, address);
            unixpath::settle_device(path, file, &mut snapshot.sockets);
            snapshot.sockets.retain(|socket| socket.file == Some(file) || socket.address == *address);
        }
        snapshot.path = Some(fact);
    }

    /// The unix sockets that have this name; for a path, all that are bound to some file.
    fn unix_sockets(&mut self, snapshot: &mut Snapshot, address: &Address) {
        let Address::Unix { name, .. } = address else { return };
        match self.diag.unix_rows(States::ALL) {
            Ok(seen) => {
                let rows = seen.into_found(&mut snapshot.blind);
                snapshot.sockets = rows.into_iter().map(|row| row.socket).collect();
                snapshot.sockets.retain(|socket| match (&socket.address, name) {
                    (Address::Unix { .. }, UnixName::Path(_)) => socket.file.is_some(),
                    (Address::Unix { name: other, .. }, name) => other == name,
                    _ => false,
                });
                snapshot.coverage.unix = true;
            }
            Err(error) => snapshot.blind_to(error.blind_spot()),
        }
    }

    /// Finds who has these sockets open, in one search for all of them. One that seems to be the
    /// kernel's own is looked at again: it may just have closed.
    pub(super) fn owners(&mut self, snapshot: &mut Snapshot, about: &BTreeSet<usize>) {
        let open: Vec<usize> = about
            .iter()
            .copied()
            .filter(|&index| {
                snapshot
                    .sockets
                    .get(index)
                    .is_some_and(|socket| socket.inode != 0 && socket.owners == Ownership::NotAsked)
            })
            .collect();
        let wanted: Vec<owners::Wanted> = open
            .iter()
            .map(|&index| &snapshot.sockets[index])
            .chain(snapshot.peers.iter().filter(|peer| peer.inode != 0 && peer.owners == Ownership::NotAsked))
            .map(|socket| owners::Wanted { inode: socket.inode, uid: socket.uid })
            .collect();
        if wanted.is_empty() {
            return;
        }
        let seen = owners::find(&wanted, &self.how_to_find());
        seen.blind.into_iter().for_each(|spot| snapshot.blind_to(spot));
        let mut found = seen.found;
        owners::settle(&mut found, |inode| {
            let socket =
                open.iter().map(|&index| &snapshot.sockets[index]).find(|socket| socket.inode == inode);
            !matches!(socket.map(|socket| self.diag.get(socket)), Some(Ok(None)))
        });
        let owner_of = |socket: &Socket| found.get(&socket.inode).cloned().unwrap_or_default();
        for index in open {
            snapshot.sockets[index].owners = owner_of(&snapshot.sockets[index]);
        }
        for peer in &mut snapshot.peers {
            if peer.owners == Ownership::NotAsked {
                peer.owners = owner_of(peer);
            }
        }
    }

    /// Everything about owners, in the time that is allowed.
    pub(super) fn how_to_find(&self) -> owners::FindOptions {
        owners::FindOptions { deadline: self.owners_deadline, ..owners::FindOptions::default() }
    }
}

/// Whether it can matter which connections of the port asked for it with bind(): one may have gone out from
/// this port, or a verdict turns on it. What came in to a listener was given its port by that.
fn explicit_matters(snapshot: &mut Snapshot, asks: &[Attempt], port: u16) -> bool {
    let listeners = snapshot.sockets.iter().filter(|socket| socket.state == State::Listen);
    let served: Vec<SocketAddr> =
        listeners.filter_map(|socket| Some(socket.inet()?.1)).filter(|at| at.port() == port).collect();
    let came_in = |socket: &Socket| {
        let Some(((_, local, _), remote)) = socket.inet().zip(socket.remote) else { return false };
        let serves = |at: &SocketAddr| is_wildcard(at.ip()) || same_ip(at.ip(), local.ip());
        snapshot.sysctls.ephemeral(remote.port()) && served.iter().any(serves)
    };
    let mut connections = snapshot.sockets.iter().filter(|socket| connected_at(port, socket)).peekable();
    if connections.peek().is_none() {
        return false;
    }
    if connections.any(|socket| !came_in(socket)) {
        return true;
    }
    // If it makes no difference whether none or all of them did, it makes none which.
    let mut outcomes = |all: Option<bool>| -> Vec<Outcome> {
        for socket in snapshot.sockets.iter_mut().filter(|socket| connected_at(port, socket)) {
            socket.bound_explicitly = all;
        }
        asks.iter().map(|ask| judge(snapshot, ask).outcome).collect()
    };
    outcomes(Some(true)) != outcomes(None)
}

/// Whether it is a connection from or to this local tcp port, which a process has or had.
fn connected_at(port: u16, socket: &Socket) -> bool {
    matches!(socket.inet(), Some((Transport::Tcp, local, _)) if local.port() == port)
        && socket.remote.is_some()
        && !socket.mini
}

/// Reads the options of these sockets where somebody has them open and the caller may; then lets them
/// speak for the remains beside them.
pub(super) fn learn_options(snapshot: &mut Snapshot, about: &BTreeSet<usize>) {
    for &index in about.iter().take(MOST_OPTIONS) {
        let Some(socket) = snapshot.sockets.get(index) else { continue };
        if socket.options.learned != Learned::NotYet || socket.inet().is_none() {
            continue;
        }
        let Ownership::Held(holdings) = &socket.owners else { continue };
        let cookie = (socket.cookie != 0).then_some(socket.cookie);
        let mut refused = None;
        let mut read = None;
        for holding in holdings {
            match options::read(holding, socket.inode, cookie) {
                Ok(live) => {
                    read = Some(live);
                    break;
                }
                Err(why) => refused = Some(why.blind_spot(holding.pid)),
            }
        }
        if let Some(live) = read {
            snapshot.sockets[index].options = live.into();
        } else if let Some(spot) = refused {
            snapshot.blind_to(spot);
        }
    }
    if about.len() > MOST_OPTIONS {
        let what = format!("the options of {} more sockets on this port", about.len() - MOST_OPTIONS);
        snapshot.blind_to(BlindSpot { what, remedy: "ask for one address of the port".into() });
    }
    infer::from_siblings(snapshot);
}

/// Whether a socket was bound itself and so decides before any connection does.
pub(super) fn bound_itself(socket: &Socket) -> bool {
    matches!(socket.state, State::Listen | State::Bound | State::Unconn)
}
