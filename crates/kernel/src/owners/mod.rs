//! Who has these sockets open.
//!
//! The search goes from the likely to the rare, and each step only asks for what the steps before did
//! not find:
//!
//! 1. the table of open files of every process (one walk for all sockets; every holder is found);
//! 2. tables that belong to single threads, and those of processes whose main thread has exited;
//! 3. descriptors in flight: inside a unix socket as an undelivered `SCM_RIGHTS` message;
//! 4. files registered with an io_uring, which no table shows.
//!
//! What then has no owner gets the stated reason. (A thread may also sleep in a call on a descriptor that
//! was closed under it; that is a suspicion only, and told as a blind spot.)
//!
//! Not here: TIME_WAIT, orphans and what waits in an accept queue (they have no inode; sock_diag tells
//! them), whether the socket still exists (the caller asks sock_diag again, and [`settle`]s it), and what
//! kind of process a holder is (`process`).

mod call;
mod flight;
mod found;
mod hits;
#[cfg(feature = "bpf")]
mod iterated;
mod ring;
mod unseen;
mod walk;

pub use found::Owners;

use crate::procfs;
use crate::seen::Seen;
use hits::{Hits, Inodes};
use inuse_rules::owner::NoOwner;
use inuse_rules::{BlindSpot, Holding, Ownership};
use rustix::fd::OwnedFd;
use std::collections::BTreeMap;
use std::time::Instant;
use unseen::{Refused, View};
use walk::{Until, Walked};

/// A socket whose owner is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// Its inode in sockfs, never 0.
    pub inode: u64,
    /// Its uid as sock_diag reports it: says whose it probably is when that cannot be seen.
    pub uid: Option<u32>,
}

/// How thoroughly to search.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FindOptions {
    /// Whether to say for each holding if its descriptors are close-on-exec: one more file to read for
    /// each descriptor found.
    pub cloexec: bool,
    /// Whether to go on after the tables of processes (steps 2 to 4). Without them a socket that is in
    /// no table stays [`Ownership::NotAsked`], or [`Ownership::Hidden`] when some could not be read.
    pub beyond_processes: bool,
    /// When the search must be over, found or not. What was not found by then stays
    /// [`Ownership::NotAsked`], and a blind spot says how much was not searched; some holders of what was
    /// found may be missing as well.
    pub deadline: Option<Instant>,
    /// How to read the tables of open files.
    pub road: Road,
}

/// A way to read the tables of open files. Whatever is not found by the iterator is looked for in /proc.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Road {
    /// With the iterator where it may be used and is quicker, else in /proc.
    #[default]
    Quicker,
    /// In /proc.
    Proc,
    /// With a BPF iterator, where it may be used (the feature `bpf`; `CAP_BPF` and `CAP_PERFMON`; the first
    /// pid namespace).
    Iterator,
    /// With the one that kernels before 6.9 take: slower, and without a bound on the sockets of one process.
    OlderIterator,
}

impl Default for FindOptions {
    /// Everything, however long it takes.
    fn default() -> FindOptions {
        FindOptions { cloexec: true, beyond_processes: true, deadline: None, road: Road::Quicker }
    }
}

/// Finds who has these sockets open: an entry for each wanted inode that is not 0.
pub fn find(wanted: &[Wanted], options: &FindOptions) -> Seen<BTreeMap<u64, Ownership>> {
    let seen = find_all(&mut wanted.to_vec(), options);
    Seen { found: seen.found.into_map(), blind: seen.blind }
}

/// The same for many sockets, in little room: those wanted are sorted, each once.
pub fn find_all(wanted: &mut Vec<Wanted>, options: &FindOptions) -> Seen<Owners> {
    wanted.retain(|wanted| wanted.inode != 0);
    // Of what is wanted twice the one counts that says whose it is.
    wanted.sort_unstable_by_key(|wanted| (wanted.inode, std::cmp::Reverse(wanted.uid)));
    wanted.dedup_by_key(|wanted| wanted.inode);
    if wanted.is_empty() {
        return Seen::default();
    }
    let all = Inodes::new(wanted.iter().map(|wanted| wanted.inode));
    let listed = procfs::open_root().and_then(|root| Ok((walk::processes(&root)?, root)));
    let (mut pids, root) = match listed {
        Ok(listed) => listed,
        Err(error) => {
            let what = format!("owners of sockets: /proc cannot be read ({error})");
            let blind = vec![BlindSpot { what, remedy: "mount proc on /proc".to_owned() }];
            let mut found = Owners::default();
            all.iter().for_each(|inode| found.insert(inode, Ownership::Hidden));
            return Seen { found, blind };
        }
    };
    if options.deadline.is_some() {
        // Who is in the way of a new server was most likely started not long before it, or is that server itself.
        pids.reverse();
        let own = std::process::id();
        pids.sort_by_key(|pid| *pid != own);
    }
    let (hits, walked) = holders(&root, &pids, &all, options);
    let mut found = Owners::new(hits);
    let mut blind = unseen::foreign_proc(&root);
    let mut late = walked.unread.len();

    let missing = Inodes::new(all.iter().filter(|&inode| !found.is_held(inode)));
    if !missing.is_empty() {
        let sorted = Refused::sort(&root, &walked.refused);
        let mut beyond = Beyond::default();
        if options.beyond_processes {
            // Listed anew: a socket may have moved to a new process during the first walk.
            let mut readable = walk::processes(&root).unwrap_or(pids);
            readable.retain(|pid| !walked.refused.contains(pid));
            beyond = Beyond::search(&root, &readable, &sorted.threads_only, &missing, options);
        }
        late = late.max(beyond.walked.unread.len());
        let view = View::take(&root, sorted.hiding.into_iter().chain(beyond.walked.refused.iter().copied()));
        let mut unexplained = Vec::new();
        for inode in missing.iter() {
            let uid =
                wanted.binary_search_by_key(&inode, |wanted| wanted.inode).ok().and_then(|at| wanted[at].uid);
            let owner = beyond.owner(inode).unwrap_or_else(|| {
                unexplained.push(uid);
                let hidden = view.hides() && !view.is_own(uid);
                if late > 0 {
                    return Ownership::NotAsked;
                }
                beyond.suspects(hidden).unwrap_or_else(|| reason(&view, &beyond, options))
            });
            found.insert(inode, owner);
        }
        if !unexplained.is_empty() {
            blind.extend(view.blind(&unexplained));
            blind.extend(beyond.unread);
        }
    }
    blind.extend((late > 0).then(|| unseen::out_of_time(late)));
    Seen { found, blind }
}

/// Why a search by the quicker road goes through /proc alone: the reason for people, who may lack a privilege.
/// `None` where the iterator is used.
pub fn why_not_iterated() -> Option<String> {
    #[cfg(feature = "bpf")]
    {
        let root = procfs::open_root().ok()?;
        iterated::why_not(&root, &walk::processes(&root).ok()?)
    }
    #[cfg(not(feature = "bpf"))]
    Some("this program was built without it".to_owned())
}

/// Step 1, by the quicker road as far as it leads, and then in /proc.
fn holders(root: &OwnedFd, pids: &[u32], wanted: &Inodes, options: &FindOptions) -> (Hits, Walked) {
    #[cfg(feature = "bpf")]
    if let Some(mut hits) = iterated::in_tables(root, pids, wanted, options) {
        let missing = hits.missing(wanted);
        if missing.is_empty() {
            return (hits, Walked::default());
        }
        let (others, walked) = in_tables(root, pids, &missing, options);
        hits.add_all(others);
        return (hits, walked);
    }
    in_tables(root, pids, wanted, options)
}

/// The tables of processes in /proc, shared among threads.
fn in_tables(root: &OwnedFd, pids: &[u32], wanted: &Inodes, options: &FindOptions) -> (Hits, Walked) {
    let mut parts: Vec<Hits> = (0..walk::workers(pids.len())).map(|_| Hits::default()).collect();
    let visitors =
        parts.iter_mut().map(|hits| move |entry: &walk::Entry<'_>| hits.take(entry, wanted, options.cloexec));
    let walked = walk::tables(root, pids, Until(options.deadline), visitors);
    let mut hits = Hits::default();
    parts.into_iter().for_each(|part| hits.add_all(part));
    (hits, walked)
}

/// Turns the answer for every socket that has closed meanwhile into [`Ownership::Gone`]. `exists` asks
/// sock_diag for the inode once more; without this a socket that closed during the search looks like one
/// of the kernel's, or like a hidden one.
pub fn settle(found: &mut BTreeMap<u64, Ownership>, mut exists: impl FnMut(u64) -> bool) {
    for (&inode, owner) in found {
        if !matches!(owner, Ownership::Held(_)) && !exists(inode) {
            *owner = Ownership::Gone;
        }
    }
}

/// Why a socket has no owner after all that.
fn reason(view: &View, beyond: &Beyond, options: &FindOptions) -> Ownership {
    if view.hides() || !beyond.unread.is_empty() {
        Ownership::Hidden
    } else if !options.beyond_processes {
        Ownership::NotAsked
    } else if view.first_namespace() {
        Ownership::Nobody(NoOwner::Kernel)
    } else {
        Ownership::Nobody(NoOwner::OtherPidNamespace)
    }
}

/// What is known after the tables of processes.
#[derive(Default)]
struct Beyond {
    held: BTreeMap<u64, Vec<Holding>>,
    flights: flight::Proofs,
    rings: ring::Rings,
    /// How the walks went.
    walked: Walked,
    /// What holds sockets open and could not be looked into.
    unread: Vec<BlindSpot>,
}

impl Beyond {
    /// Steps 2 to 4 among these processes, and among the threads of those without a main thread. The tables
    /// of processes are walked once more, for their unix sockets and rings.
    fn search(
        root: &OwnedFd,
        pids: &[u32],
        threads_only: &[u32],
        missing: &Inodes,
        options: &FindOptions,
    ) -> Beyond {
        let until = Until(options.deadline);
        let mut hits = Hits::default();
        let mut flights = flight::Flights::default();
        let mut rings = ring::Rings::default();
        let mut visit = |entry: &walk::Entry<'_>| {
            if let Some(inode) = procfs::socket_inode(entry.link) {
                hits.take(entry, missing, options.cloexec);
                flights.visit(entry, inode);
            } else if entry.link == ring::LINK {
                rings.visit(entry, missing);
            }
        };
        let mut walked = walk::tables(root, pids, until, [&mut visit]);
        let all = [pids, threads_only].concat();
        walked.add(walk::threads(root, &all, until, &mut visit));
        let held = hits.into_holdings();
        let flights = flights.prove(missing);
        let mut unread: Vec<BlindSpot> = rings.unread().into_iter().collect();
        unread.extend(call::on_closed_descriptors(root, &all, until));
        Beyond { held, flights, rings, walked, unread }
    }

    /// The owner of a socket, where it was seen.
    fn owner(&self, inode: u64) -> Option<Ownership> {
        let held = || self.held.get(&inode).cloned().map(Ownership::Held);
        let flight = || {
            let carriers = self.flights.carriers(inode)?;
            Some(Ownership::InFlight { carriers, proven: true })
        };
        let ring = || self.rings.registered(inode).map(Ownership::IoUring);
        held().or_else(flight).or_else(ring)
    }

    /// Who may carry it, unless the hidden processes are the likelier answer.
    fn suspects(&self, hidden: bool) -> Option<Ownership> {
        let carriers = self.flights.suspects().to_vec();
        (!hidden && !carriers.is_empty()).then_some(Ownership::InFlight { carriers, proven: false })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_closed_meanwhile_is_gone() {
        let held = Ownership::Held(vec![Holding { pid: 1, tid: None, fds: vec![3], cloexec: None }]);
        let mut found = BTreeMap::from([
            (1, held.clone()),
            (2, Ownership::Nobody(NoOwner::Kernel)),
            (3, Ownership::Hidden),
            (4, Ownership::Hidden),
        ]);
        let mut asked = Vec::new();
        settle(&mut found, |inode| {
            asked.push(inode);
            inode == 4
        });
        assert_eq!(asked, [2, 3, 4], "who was seen with it needs no second look");
        let expect = [(1, held), (2, Ownership::Gone), (3, Ownership::Gone), (4, Ownership::Hidden)];
        assert_eq!(found, BTreeMap::from(expect));
    }

    #[test]
    fn a_search_whose_time_is_over_says_so() {
        let options = FindOptions { deadline: Some(Instant::now()), ..FindOptions::default() };
        let seen = find(&[Wanted { inode: 1, uid: None }], &options);
        assert_eq!(seen.found, BTreeMap::from([(1, Ownership::NotAsked)]));
        assert!(seen.blind.iter().any(|spot| spot.what.contains("time was over")), "{:?}", seen.blind);
    }

    #[test]
    fn nothing_wanted_is_nothing_found() {
        assert_eq!(find(&[], &FindOptions::default()), Seen::default());
        assert_eq!(find(&[Wanted { inode: 0, uid: Some(0) }], &FindOptions::default()), Seen::default());
    }
}
