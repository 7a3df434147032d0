//! What a person wants to see besides the verdict: every socket of the port, the other ends of its
//! connections, the processes behind them, and listeners in other network namespaces.

use super::Asker;
use super::facts::{bound_itself, learn_options};
use inuse_kernel::elsewhere::{self, Others};
use inuse_kernel::sockdiag::InetQuery;
use inuse_kernel::{owners, process};
use inuse_rules::snapshot::PathFact;
use inuse_rules::{Address, Attempt, Outcome, Ownership, Snapshot, Socket, State, Transport, judge};
use std::collections::{BTreeMap, BTreeSet};

/// Owners and other ends are looked up for at most this many connections that are not in the way.
const BYSTANDERS: usize = 32;
/// … and other ends for at most this many that are.
const MOST_PEERS: usize = 64;
/// Listeners are looked for at the other ends of connections to at most this many ports.
const REMOTE_PORTS: usize = 8;
/// Processes described in full.
const MOST_PROCESSES: usize = 64;

impl Asker {
    /// Every socket of the one port that attempts ask for, and of the other ends as many as are shown.
    pub(super) fn listed(&mut self, snapshot: &mut Snapshot, attempts: &[Attempt]) {
        if let Some((transport, local, _)) = attempts.first().and_then(|attempt| attempt.address.inet())
            && local.port() != 0
        {
            self.port(snapshot, transport, local.port());
            self.peers(snapshot, attempts, (transport, local.port()));
        }
    }

    /// Who has what is shown: in one search, since that costs as much for one socket as for all of them.
    pub(super) fn evidence(&mut self, snapshot: &mut Snapshot, attempts: &[Attempt]) {
        let shown = shown(snapshot, attempts);
        self.owners(snapshot, &shown);
        learn_options(snapshot, &shown.into_iter().filter(|&i| bound_itself(&snapshot.sockets[i])).collect());
        self.elsewhere(snapshot, attempts);
    }

    /// The other ends on this machine of the port's connections, and whoever listens at them.
    fn peers(&mut self, snapshot: &mut Snapshot, attempts: &[Attempt], (transport, port): (Transport, u16)) {
        let shown = shown(snapshot, attempts);
        let ends: Vec<&Socket> = shown
            .iter()
            .map(|&index| &snapshot.sockets[index])
            .filter(|socket| socket.remote.is_some() && socket.inet().is_some_and(|i| i.0 == transport))
            .take(MOST_PEERS)
            .collect();
        if ends.is_empty() {
            return;
        }
        let mut peers: Vec<Socket> = Vec::new();
        // What fails here costs evidence, never the verdict: the rows are judged alone.
        match transport {
            Transport::Tcp => {
                peers.extend(ends.iter().filter_map(|end| self.diag.other_end(end).ok().flatten()));
            }
            Transport::Udp => {
                let is_peer = |row: &Socket| {
                    ends.iter().any(|end| row.is_other_end_of(end) && row.cookie != end.cookie)
                };
                let _ = self.diag.inet(&InetQuery::peers(transport, port), &mut |row| {
                    if is_peer(&row) {
                        peers.push(row);
                    }
                });
            }
        }
        let remote_ports: BTreeSet<u16> = ends
            .iter()
            .filter(|end| !end.ownerless())
            .filter_map(|end| Some(end.remote?.port()))
            .take(REMOTE_PORTS)
            .collect();
        for remote in remote_ports {
            let _ = self.diag.inet(&InetQuery::listeners(transport, remote), &mut |row| {
                if row.state == State::Listen && remote != port {
                    peers.push(row);
                }
            });
        }
        snapshot.peers = peers;
    }

    /// The other network namespaces, opened at the first question about them.
    fn others(&mut self) -> &mut Others {
        self.others.get_or_insert_with(|| Others::open(&self.netns, elsewhere::DEFAULT_LIMIT))
    }

    /// Nobody is in the way here: who listens there in another network namespace?
    fn elsewhere(&mut self, snapshot: &mut Snapshot, attempts: &[Attempt]) {
        let Some(first) = attempts.first() else { return };
        match (&first.address, &snapshot.path) {
            (Address::Inet { transport, local, .. }, _) => {
                let free = attempts.iter().any(|attempt| judge(snapshot, attempt).outcome == Outcome::Ok);
                if free && local.port() != 0 && snapshot.sockets.is_empty() {
                    let seen = self.others().listeners(*transport, local.port());
                    // A namespace that may not be entered takes nothing away from "free here".
                    snapshot.elsewhere = seen.found;
                }
            }
            (Address::Unix { .. }, Some(PathFact::Exists { file, .. }))
                if !snapshot.sockets.iter().any(|socket| socket.file == Some(*file)) =>
            {
                let seen = self.others().unix(*file);
                snapshot.coverage.unix_everywhere = snapshot.coverage.unix && seen.blind.is_empty();
                snapshot.elsewhere = seen.into_found(&mut snapshot.blind);
            }
            (Address::Unix { .. }, _) => {}
        }
        let wanted: Vec<_> = snapshot
            .elsewhere
            .iter()
            .map(|other| owners::Wanted { inode: other.socket.inode, uid: other.socket.uid })
            .collect();
        if !wanted.is_empty() {
            let found = owners::find(&wanted, &self.how_to_find()).found;
            for other in &mut snapshot.elsewhere {
                other.socket.owners = found.get(&other.socket.inode).cloned().unwrap_or_default();
            }
        }
    }
}

/// The sockets that a view shows: all that were bound themselves, all that are in the way of an
/// attempt, and some of the others.
fn shown(snapshot: &Snapshot, attempts: &[Attempt]) -> BTreeSet<usize> {
    let mut shown: BTreeSet<usize> = BTreeSet::new();
    for attempt in attempts {
        let plain = Attempt { reuseaddr: false, reuseport: false, ..attempt.clone() };
        shown.extend(judge(snapshot, attempt).by());
        shown.extend(judge(snapshot, &plain).by());
    }
    let wanted = attempts.first().and_then(|attempt| attempt.address.inet());
    let on_the_port = |socket: &Socket| match (socket.inet(), wanted) {
        (Some((a, local, _)), Some((b, wanted, _))) => a == b && local.port() == wanted.port(),
        _ => true,
    };
    let mut bystanders = BYSTANDERS;
    for (index, socket) in snapshot.sockets.iter().enumerate().filter(|(_, socket)| on_the_port(socket)) {
        if bound_itself(socket) {
            shown.insert(index);
        } else if bystanders > 0 && shown.insert(index) {
            bystanders -= 1;
        }
    }
    shown
}

/// Describes the processes behind everything that is shown.
pub(super) fn processes(snapshot: &mut Snapshot) {
    let (bound, connected) = snapshot.sockets.iter().partition::<Vec<_>, _>(|socket| bound_itself(socket));
    let elsewhere = snapshot.elsewhere.iter().map(|other| &other.socket);
    // Who bound the port comes first: it must be among those described, however many serve beside it.
    let sockets = bound.into_iter().chain(connected).chain(&snapshot.peers).chain(elsewhere);
    let mut pids: BTreeSet<u32> = BTreeSet::new();
    for holding in sockets.flat_map(|socket| socket.owners.holdings()) {
        if pids.len() == MOST_PROCESSES {
            break;
        }
        pids.insert(holding.pid);
    }
    let (mut described, mut ended) = (BTreeMap::new(), BTreeSet::new());
    for pid in pids {
        match process::read(pid) {
            Some(mut process) => {
                process::containers::name_published(&mut process);
                described.insert(pid, process);
            }
            None => _ = ended.insert(pid),
        }
    }
    snapshot.processes = described;
    // A holder that ended between the two looks is about to let go.
    for socket in &mut snapshot.sockets {
        if let Ownership::Held(holdings) = &socket.owners
            && holdings.iter().all(|holding| ended.contains(&holding.pid))
        {
            socket.owners = Ownership::Gone;
        }
    }
}
