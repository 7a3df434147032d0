//! Which cause fits, and which others fit besides.
//!
//! Each socket in the way gets every name that fits it. Sockets that bound the port themselves count
//! before connections, and those before what nobody owns: who stops a server does not care about its
//! connections. Among the names of the sockets that count, the published precedence decides
//! ([`Cause::ALL`]); a name for an overlap of addresses counts only where it fits all of them.

use super::{programs, who};
use crate::address::{Address, Transport, is_wildcard, same_ip, v4_part};
use crate::attempt::Attempt;
use crate::cause::Cause;
use crate::known;
use crate::owner::{Holding, NoOwner, Ownership, Process};
use crate::snapshot::{FileKind, PathFact, Snapshot};
use crate::socket::{Socket, State};
use crate::verdict::{Errno, Outcome, Rule, Verdict};
use alloc::collections::BTreeMap;
use alloc::vec;
use alloc::vec::Vec;
use core::net::SocketAddr;

/// The names that fit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Naming {
    /// *The* cause.
    pub cause: Cause,
    /// The others, by precedence.
    pub also: Vec<Cause>,
    /// The sockets on account of which the cause got its name, by index into the snapshot.
    pub primary: Vec<usize>,
}

/// Names the situation.
pub(super) fn name(snapshot: &Snapshot, attempt: &Attempt, verdict: &Verdict) -> Naming {
    let alone = |cause| Naming { cause, also: vec![], primary: vec![] };
    match &verdict.outcome {
        Outcome::Ok => bindable(snapshot, attempt),
        Outcome::Refused(refusal) if matches!(attempt.address, Address::Unix { .. }) => {
            unix(snapshot, refusal.errno, &refusal.by)
        }
        Outcome::Refused(refusal) => match refusal.rule {
            Rule::PrivilegedPort => alone(Cause::Privileged),
            Rule::NoFreePort | Rule::NoFreePortToConnect => alone(Cause::EphemeralExhausted),
            _ if refusal.by.is_empty() => alone(Cause::NotLocal),
            _ => inet(snapshot, attempt, &refusal.by),
        },
        Outcome::Unknown { by, .. } if by.is_empty() => alone(Cause::Unknown),
        Outcome::Unknown { by, .. } => inet(snapshot, attempt, by),
    }
}

/// Nothing is in the way; but somebody may answer there all the same.
fn bindable(snapshot: &Snapshot, attempt: &Attempt) -> Naming {
    let mut names = Vec::new();
    if !snapshot.elsewhere.is_empty() {
        names.push(Cause::OtherNetns);
    }
    if split_brain(snapshot, attempt) {
        names.push(Cause::SplitBrain);
    }
    let cause = names.first().copied().unwrap_or(Cause::Free);
    Naming { cause, also: names.into_iter().skip(1).collect(), primary: vec![] }
}

/// Several servers listen on the port, on different addresses or by SO_REUSEPORT.
fn split_brain(snapshot: &Snapshot, attempt: &Attempt) -> bool {
    let Some((transport, wanted, _)) = attempt.address.inet() else { return false };
    let mut first: Option<&Socket> = None;
    snapshot.sockets.iter().any(|old| {
        let serves = old.state == State::Listen || old.state == State::Unconn;
        if !serves || !old.inet().is_some_and(|(t, l, _)| t == transport && l.port() == wanted.port()) {
            return false;
        }
        let Some(other) = first else {
            first = Some(old);
            return false;
        };
        // Two sockets of one program are one server.
        let pids = |socket: &Socket| socket.owners.holdings().iter().map(|h| h.pid).collect::<Vec<_>>();
        let (a, b) = (pids(old), pids(other));
        !a.is_empty() && !b.is_empty() && !a.iter().any(|pid| b.contains(pid))
    })
}

fn unix(snapshot: &Snapshot, errno: Errno, by: &[usize]) -> Naming {
    let base = match (&snapshot.path, errno) {
        (_, Errno::EOPNOTSUPP) => Cause::ReuseportMismatch,
        (_, Errno::EACCES | Errno::EROFS) => Cause::Denied,
        (_, Errno::ENOENT | Errno::ENOTDIR | Errno::ELOOP) => Cause::NotLocal,
        (Some(PathFact::Exists { kind: FileKind::Socket, file }), _) => {
            let elsewhere = snapshot.elsewhere.iter().any(|e| e.socket.file == Some(*file));
            match by.is_empty() && !elsewhere {
                true if snapshot.coverage.unix_everywhere => Cause::UnixStale,
                // Whoever serves it may live where nobody looked.
                true => Cause::OwnerHidden,
                false => Cause::UnixLive,
            }
        }
        (Some(PathFact::Exists { .. }), _) => Cause::UnixNotASocket,
        _ => Cause::UnixLive,
    };
    let mut names = vec![base];
    if base == Cause::OwnerHidden {
        names.push(Cause::UnixStale);
    }
    if base == Cause::UnixLive {
        for old in by.iter().filter_map(|&index| snapshot.sockets.get(index)) {
            owner_names(snapshot, old, &mut names);
        }
        if by.is_empty() {
            names.push(Cause::OtherNetns);
        }
    }
    names.sort();
    names.dedup();
    // Another namespace is where the server of a path may be; it is never why the path is taken.
    if let Some(first) = names.iter().position(|&name| name != Cause::OtherNetns) {
        names[..=first].rotate_right(1);
    }
    Naming { cause: names[0], also: names[1..].to_vec(), primary: by.to_vec() }
}

fn inet(snapshot: &Snapshot, attempt: &Attempt, by: &[usize]) -> Naming {
    let rows: Vec<(usize, &Socket)> =
        by.iter().filter_map(|&index| Some((index, snapshot.sockets.get(index)?))).collect();
    let first = rows.iter().map(|(_, old)| Weight::of(old)).min();
    let (counting, rest): (Vec<_>, Vec<_>) =
        rows.into_iter().partition(|(_, old)| Some(Weight::of(old)) == first);
    let view = View::new(snapshot, attempt);
    let mut all: Vec<Cause> = counting.iter().flat_map(|(_, old)| view.names(old)).collect();
    let mut times: BTreeMap<Cause, usize> = BTreeMap::new();
    for cause in &all {
        *times.entry(*cause).or_default() += 1;
    }
    let fits_all = |cause: &Cause| times.get(cause) == Some(&counting.len());
    let everywhere_only =
        |cause: &Cause| matches!(cause, Cause::V6BlocksV4 | Cause::DualStack | Cause::WildcardVsSpecific);
    let cause = all.iter().copied().filter(|c| !everywhere_only(c) || fits_all(c)).min();
    all.extend(rest.iter().flat_map(|(_, old)| view.names(old)));
    if split_brain(snapshot, attempt) {
        all.push(Cause::SplitBrain);
    }
    all.sort();
    all.dedup();
    let cause = cause.unwrap_or(Cause::Unknown);
    all.retain(|&other| other != cause);
    Naming { cause, also: all, primary: counting.into_iter().map(|(index, _)| index).collect() }
}

/// How much a socket in the way counts for the name.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Weight {
    /// It was bound and listens, or could.
    BoundItself,
    /// A connection that a process has open.
    Connection,
    /// A connection that nobody has open and that still talks.
    Orphan,
    /// TIME_WAIT.
    Remains,
}

impl Weight {
    fn of(old: &Socket) -> Weight {
        match old.state {
            State::Listen | State::Bound | State::Unconn => Weight::BoundItself,
            State::TimeWait => Weight::Remains,
            _ if old.ownerless() => Weight::Orphan,
            _ => Weight::Connection,
        }
    }
}

/// What every socket of the port is named in the light of.
struct View<'a> {
    snapshot: &'a Snapshot,
    attempt: &'a Attempt,
    /// Who listens on the port.
    listeners: Vec<&'a Socket>,
    /// Whether a socket is bound to the port and does not listen.
    bound_beside: bool,
}

impl<'a> View<'a> {
    fn new(snapshot: &'a Snapshot, attempt: &'a Attempt) -> View<'a> {
        let on_the_port = |socket: &&Socket| socket.address.port() == attempt.address.port();
        let in_state =
            |state| snapshot.sockets.iter().filter(on_the_port).filter(move |socket| socket.state == state);
        View {
            snapshot,
            attempt,
            listeners: in_state(State::Listen).collect(),
            bound_beside: in_state(State::Bound).next().is_some(),
        }
    }

    /// Every name that fits one socket in the way.
    fn names(&self, old: &Socket) -> Vec<Cause> {
        let mut names = vec![self.state_name(old)];
        owner_names(self.snapshot, old, &mut names);
        overlap_names(self.attempt, old, &mut names);
        self.option_names(old, &mut names);
        names
    }

    /// The plain state, in the light of the other end. A connection of a server that still listens is
    /// part of that server.
    fn state_name(&self, old: &Socket) -> Cause {
        let served = |local| self.listeners.iter().any(|listener| serves(listener, local));
        match old.state {
            _ if matches!(old.inet(), Some((Transport::Udp, ..))) => Cause::Udp,
            State::Listen => Cause::Listener,
            State::Bound | State::Unconn => Cause::BoundNotListening,
            _ if !old.ownerless() && self_connected(old) => Cause::SelfConnect,
            _ if outgoing(self.snapshot, old) => Cause::EphemeralCollision,
            State::TimeWait => Cause::TimeWait,
            State::FinWait2 if old.ownerless() => Cause::FinWait2,
            _ if old.ownerless() => Cause::ClosingOrphan,
            _ if old.inet().is_some_and(|(_, local, _)| served(local)) => Cause::Listener,
            State::CloseWait => Cause::CloseWait,
            _ => Cause::EstablishedLeftover,
        }
    }

    /// Names for an option that decides: only where the attempt has that option, or as a side remark.
    fn option_names(&self, old: &Socket, names: &mut Vec<Cause>) {
        if self.attempt.reuseport && !old.mini {
            names.push(Cause::ReuseportMismatch);
        }
        let both_reuseaddr = self.attempt.reuseaddr && old.options.reuseaddr == Some(true);
        if both_reuseaddr && old.state == State::Listen && self.bound_beside {
            names.push(Cause::SecondListen);
        }
    }
}

/// Whether a connection went out from this port rather than came in to it. The kernel keeps no mark of
/// it that shows: somebody listening at the other end says so, and else the side whose port lies in
/// the ephemeral range is the client.
fn outgoing(snapshot: &Snapshot, old: &Socket) -> bool {
    let (Some((_, local, _)), Some(remote)) = (old.inet(), old.remote) else { return false };
    if snapshot.peers.iter().any(|peer| peer.state == State::Listen && serves(peer, remote)) {
        return true;
    }
    let ephemeral = |port| snapshot.sysctls.ephemeral(port);
    (ephemeral(local.port()) && !ephemeral(remote.port()))
        || (old.state == State::SynSent)
        || (!ephemeral(local.port()) && !ephemeral(remote.port()) && old.bound_explicitly == Some(true))
}

/// Whether a connection's two ends are one.
pub(super) fn self_connected(old: &Socket) -> bool {
    old.inet().is_some_and(|(_, local, _)| old.remote == Some(local))
}

/// Whether a listener answers for that address.
fn serves(listener: &Socket, at: SocketAddr) -> bool {
    listener.inet().is_some_and(|(_, local, _)| {
        local.port() == at.port() && (local.ip().is_unspecified() || same_ip(local.ip(), at.ip()))
    })
}

/// Names that come from who has it, or why nobody shows.
fn owner_names(snapshot: &Snapshot, old: &Socket, names: &mut Vec<Cause>) {
    match &old.owners {
        Ownership::InFlight { .. } => names.push(Cause::InFlight),
        Ownership::IoUring(_) => names.push(Cause::IoUringFile),
        Ownership::Nobody(NoOwner::Kernel) => names.push(Cause::KernelSocket),
        Ownership::Hidden | Ownership::Nobody(NoOwner::OtherPidNamespace) => names.push(Cause::OwnerHidden),
        Ownership::Gone => names.push(Cause::TearingDown),
        Ownership::Held(holdings) => held_names(snapshot, old, holdings, names),
        Ownership::NotAsked | Ownership::Nobody(_) => {}
    }
}

fn held_names(snapshot: &Snapshot, old: &Socket, holdings: &[Holding], names: &mut Vec<Cause>) {
    let processes: Vec<&Process> =
        holdings.iter().filter_map(|holding| snapshot.processes.get(&holding.pid)).collect();
    let any = |test: fn(&Process) -> bool| processes.iter().any(|process| test(process));
    if any(who::is_service_manager) {
        names.push(Cause::SocketUnit);
    }
    // A runtime's own API is no container's port.
    let own = |process: &Process| {
        let inet = old.inet();
        inet.is_some_and(|(transport, local, _)| {
            known::holder(who::program(process), transport, local.port()).is_some()
        })
    };
    if processes.iter().any(|process| process.publishes.is_some() && !own(process)) {
        names.push(Cause::ContainerProxy);
    }
    if any(who::is_forwarder) {
        names.push(Cause::Forwarded);
    }
    if holdings.iter().all(|holding| holding.tid.is_some()) {
        names.push(Cause::ThreadFdTable);
    }
    if !processes.is_empty() && processes.iter().all(|process| matches!(process.state, b'T' | b't')) {
        names.push(Cause::Suspended);
    }
    if snapshot.asker.is_some_and(|asker| holdings.iter().any(|holding| holding.pid == asker)) {
        names.push(Cause::OwnProcess);
    }
    if Weight::of(old) == Weight::BoundItself && !processes.is_empty() {
        if holdings.iter().all(|holding| heir(snapshot, old, holding)) {
            names.push(Cause::ListenerInherited);
        } else if outlived(&processes) {
            names.push(Cause::WorkersOutlivedMaster);
        }
    }
}

/// Whether a process has most likely inherited the socket rather than made it.
///
/// It must be a program that does not listen by itself (a shell, `sleep`, `tail` …), or another
/// program than the eldest process that shares the socket; and its descriptor must have come through
/// exec, which close-on-exec would have prevented.
pub fn heir(snapshot: &Snapshot, socket: &Socket, holding: &Holding) -> bool {
    if holding.cloexec == Some(true) {
        return false;
    }
    let process = |pid| snapshot.processes.get(&pid);
    let Some(this) = process(holding.pid) else { return false };
    if programs::never_listens(applet(this)) {
        return true;
    }
    let sharers = socket.owners.holdings().iter().filter_map(|other| process(other.pid));
    let eldest = sharers.min_by_key(|other| (other.start_ticks, other.pid));
    eldest.is_some_and(|eldest| {
        eldest.pid != this.pid && eldest.exe.is_some() && this.exe.is_some() && eldest.exe != this.exe
    })
}

/// The program by name; of busybox, which is many, the one that it was called as.
fn applet(process: &Process) -> &[u8] {
    let program = who::program(process);
    if program != b"busybox" {
        return program;
    }
    let mut words = process.cmdline.iter().filter_map(|word| word.rsplit(|&b| b == b'/').next());
    words.find(|&word| word != b"busybox").unwrap_or(program)
}

/// Several holders of one socket, none of them the parent of another, all handed to init when their
/// parent died.
fn outlived(processes: &[&Process]) -> bool {
    processes.len() > 1
        && processes.iter().all(|process| {
            process.pid != 1
                && (process.ppid == 1
                    || process.ancestry.first().is_some_and(|parent| parent.comm == b"systemd"))
        })
}

/// Names for addresses that differ and still overlap.
fn overlap_names(attempt: &Attempt, old: &Socket, names: &mut Vec<Cause>) {
    let (Some((_, wanted, _)), Some((_, local, _))) = (attempt.address.inet(), old.inet()) else { return };
    let (new, there) = (wanted.ip(), local.ip());
    let speaks_v4 = |ip| v4_part(ip).is_some();
    if speaks_v4(new) != speaks_v4(there) {
        if is_wildcard(there) || is_wildcard(new) && speaks_v4(there) {
            if Weight::of(old) == Weight::BoundItself {
                names.push(Cause::DualStack);
            }
        } else if speaks_v4(new) {
            names.push(Cause::V6BlocksV4);
        }
    } else if is_wildcard(new) != is_wildcard(there) && Weight::of(old) == Weight::BoundItself {
        names.push(Cause::WildcardVsSpecific);
    }
}
