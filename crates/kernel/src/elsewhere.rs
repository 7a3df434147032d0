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

/// The other network namespaces of visible processes and of ip-netns(8), each opened once however much is asked.
pub struct Others {
    open: Vec<(u64, u32, SockDiag)>,
    /// How many may not be entered.
    closed: usize,
    blind: Vec<BlindSpot>,
}

impl Others {
    /// Enters those other than `own`, at most `limit` of them.
    pub fn open(own: &Netns, limit: usize) -> Others {
        let (mut candidates, unreadable) = candidates();
        if let Some(inode) = own.inode() {
            candidates.remove(&inode);
        }
        let mut others =
            Others { open: Vec::new(), closed: 0, blind: unseen(unreadable).into_iter().collect() };
        if candidates.len() > limit {
            let (more, all) = (candidates.len() - limit, candidates.len());
            others.blind.push(BlindSpot {
                what: format!("{more} of {all} other network namespaces"),
                remedy: "name one with --netns".into(),
            });
        }
        for (inode, candidate) in candidates.into_iter().take(limit) {
            match Netns::open(&candidate.name).and_then(|netns| SockDiag::open(&netns)) {
                Ok(diag) => others.open.push((inode, candidate.pid, diag)),
                Err(error) => others.closed += usize::from(!ended(&error)),
            }
        }
        others
    }

    /// The listeners (for udp, the sockets) of that port.
    pub fn listeners(&mut self, transport: Transport, port: u16) -> Seen<Vec<Elsewhere>> {
        let query = InetQuery::listeners(transport, port);
        self.ask(|diag, take| diag.inet(&query, take))
    }

    /// The unix sockets bound to that file: a path is served across namespaces, while a list of unix sockets
    /// shows one only.
    pub fn unix(&mut self, file: FileId) -> Seen<Vec<Elsewhere>> {
        self.ask(|diag, take| {
            diag.unix(States::ALL, &mut |row| {
                if row.socket.file == Some(file) {
                    take(row.socket);
                }
            })
        })
    }

    /// Asks the same in each of them.
    fn ask(
        &mut self,
        ask: impl Fn(&mut SockDiag, &mut dyn FnMut(Socket)) -> Result<Walked, Error>,
    ) -> Seen<Vec<Elsewhere>> {
        let mut found = Vec::new();
        let mut closed = self.closed;
        for (netns, pid, diag) in &mut self.open {
            let mut take = |socket| found.push(Elsewhere { netns: *netns, pid: *pid, socket });
            closed += usize::from(ask(diag, &mut take).is_err_and(|error| !ended(&error)));
        }
        let mut blind = self.blind.clone();
        if closed > 0 {
            let namespaces = if closed == 1 { "namespace" } else { "namespaces" };
            blind.push(BlindSpot {
                what: format!("the sockets of {closed} other network {namespaces}, which may not be entered"),
                remedy: privileged_remedy("root"),
            });
        }
        Seen { found, blind }
    }
}

/// A namespace that ended meanwhile is no blind spot.
fn ended(error: &Error) -> bool {
    matches!(error, Error::NotThere { .. } | Error::Gone { .. })
}

/// [`Others::listeners`] for one question.
pub fn elsewhere(own: &Netns, transport: Transport, port: u16, limit: usize) -> Seen<Vec<Elsewhere>> {
    Others::open(own, limit).listeners(transport, port)
}

/// [`Others::unix`] for one question.
pub fn unix_elsewhere(own: &Netns, file: FileId, limit: usize) -> Seen<Vec<Elsewhere>> {
    Others::open(own, limit).unix(file)
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
