//! The same port in other network namespaces: no conflict, but often the answer to "who is it, then?".
//!
//! Costly: it looks at every process, and enters every namespace that it finds. Asked only on demand.

use crate::error::{Error, privileged_remedy};
use crate::netns::{Netns, NetnsName};
use crate::seen::Seen;
use crate::sockdiag::{InetQuery, SockDiag, States, Walked};
use inuse_rules::snapshot::Elsewhere;
use inuse_rules::socket::FileId;
use inuse_rules::{BlindSpot, Socket, Transport};
use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;

/// How many namespaces to enter where the caller has no opinion.
pub const DEFAULT_LIMIT: usize = 64;

/// The listeners (for udp, the sockets) of that port in the namespaces of visible processes and of
/// ip-netns(8), other than `own`; at most `limit` namespaces are entered.
pub fn elsewhere(own: &Netns, transport: Transport, port: u16, limit: usize) -> Seen<Vec<Elsewhere>> {
    let query = InetQuery::listeners(transport, port);
    everywhere_else(own, limit, |diag, take| diag.inet(&query, take))
}

/// The unix sockets bound to that file in those namespaces: a path is served across them, while a list
/// of unix sockets shows one namespace only.
pub fn unix_elsewhere(own: &Netns, file: FileId, limit: usize) -> Seen<Vec<Elsewhere>> {
    everywhere_else(own, limit, |diag, take| {
        diag.unix(States::ALL, &mut |row| {
            if row.socket.file == Some(file) {
                take(row.socket);
            }
        })
    })
}

/// A network namespace that somebody lives in, or that ip-netns(8) keeps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Its inode, by which /proc/PID/ns/net names it.
    pub inode: u64,
    /// A way into it: its name where ip-netns(8) gave it one, else a process that lives there.
    pub name: NetnsName,
}

/// Every namespace of a visible process or of ip-netns(8), by inode; none is entered.
pub fn places() -> Seen<Vec<Place>> {
    let (candidates, unreadable) = candidates();
    let found = candidates.into_iter().map(|(inode, candidate)| Place { inode, name: candidate.name });
    Seen { found: found.collect(), blind: unseen(unreadable).into_iter().collect() }
}

/// Asks the same in each namespace that may be entered.
fn everywhere_else(
    own: &Netns,
    limit: usize,
    ask: impl Fn(&mut SockDiag, &mut dyn FnMut(Socket)) -> Result<Walked, Error>,
) -> Seen<Vec<Elsewhere>> {
    let mut found = Vec::new();
    let mut blind = Vec::new();
    let (mut candidates, unreadable) = candidates();
    if let Some(inode) = own.inode() {
        candidates.remove(&inode);
    }
    blind.extend(unseen(unreadable));
    if candidates.len() > limit {
        blind.push(BlindSpot {
            what: format!("{} of {} other network namespaces", candidates.len() - limit, candidates.len()),
            remedy: "name one with --netns".into(),
        });
    }
    let mut closed = 0;
    for (netns, candidate) in candidates.into_iter().take(limit) {
        let mut take = |socket| found.push(Elsewhere { netns, pid: candidate.pid, socket });
        let asked = Netns::open(&candidate.name)
            .and_then(|netns| SockDiag::open(&netns))
            .and_then(|mut diag| ask(&mut diag, &mut take));
        // One that ended meanwhile is no blind spot.
        let ended = matches!(asked, Err(Error::NotThere { .. } | Error::Gone { .. }));
        closed += usize::from(asked.is_err() && !ended);
    }
    if closed > 0 {
        let namespaces = if closed == 1 { "namespace" } else { "namespaces" };
        blind.push(BlindSpot {
            what: format!("the sockets of {closed} other network {namespaces}, which may not be entered"),
            remedy: privileged_remedy("root"),
        });
    }
    Seen { found, blind }
}

/// A way into a namespace.
struct Candidate {
    name: NetnsName,
    /// A process that lives there, 0 for none.
    pid: u32,
}

/// Processes that do not show where they live.
fn unseen(processes: usize) -> Option<BlindSpot> {
    let (noun, live) = if processes == 1 { ("process", "lives") } else { ("processes", "live") };
    (processes > 0).then(|| BlindSpot {
        what: format!("in which network namespace {processes} {noun} of other users {live}"),
        remedy: privileged_remedy("root"),
    })
}

/// The namespaces by inode, and how many processes do not show theirs.
fn candidates() -> (BTreeMap<u64, Candidate>, usize) {
    let mut candidates = BTreeMap::new();
    let mut unreadable = 0;
    for pid in names("/proc").filter_map(|name| name.parse().ok()) {
        match std::fs::metadata(format!("/proc/{pid}/ns/net")) {
            Ok(namespace) => {
                candidates.entry(namespace.ino()).or_insert(Candidate { name: NetnsName::Pid(pid), pid });
            }
            Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => unreadable += 1,
            // It ended meanwhile.
            Err(_) => {}
        }
    }
    for name in names("/run/netns") {
        if let Ok(namespace) = std::fs::metadata(format!("/run/netns/{name}")) {
            let named = candidates.entry(namespace.ino());
            named.or_insert(Candidate { name: NetnsName::Pid(0), pid: 0 }).name = NetnsName::Name(name);
        }
    }
    (candidates, unreadable)
}

/// The names in a directory that are text; none where it cannot be read.
fn names(directory: &str) -> impl Iterator<Item = String> {
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().into_string().ok())
}
