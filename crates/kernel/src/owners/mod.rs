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
//! What then has no owner gets the stated reason. Not here: TIME_WAIT, orphans and what waits in an
//! accept queue (they have no inode; sock_diag tells them), whether the socket still exists (ask
//! sock_diag again before believing [`NoOwner::Kernel`]), and what kind of process a holder is
//! (`process`).

mod flight;
mod hits;
mod ring;
mod unseen;
mod walk;

use crate::procfs;
use crate::seen::Seen;
use hits::{Hits, Inodes};
use inuse_rules::owner::NoOwner;
use inuse_rules::{BlindSpot, Ownership};
use std::collections::BTreeMap;

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
}

impl Default for FindOptions {
    /// Everything.
    fn default() -> FindOptions {
        FindOptions { cloexec: true, beyond_processes: true }
    }
}

/// Finds who has these sockets open: an entry for each wanted inode that is not 0.
pub fn find(wanted: &[Wanted], options: &FindOptions) -> Seen<BTreeMap<u64, Ownership>> {
    let all = Inodes::new(wanted.iter().map(|w| w.inode).filter(|&inode| inode != 0));
    let mut owners: BTreeMap<u64, Ownership> = all.iter().map(|inode| (inode, Ownership::NotAsked)).collect();
    if owners.is_empty() {
        return Seen::whole(owners);
    }
    let mut hits = Hits::default();
    let first = procfs::open_root().and_then(|root| {
        walk::processes(&root, |entry| hits.take(entry, &all, options.cloexec)).map(|w| (root, w))
    });
    let (root, walked) = match first {
        Ok(first) => first,
        Err(error) => {
            let blind = BlindSpot {
                what: format!("owners of sockets: /proc cannot be read ({error})"),
                remedy: "mount proc on /proc".to_owned(),
            };
            owners.values_mut().for_each(|owner| *owner = Ownership::Hidden);
            return Seen { found: owners, blind: vec![blind] };
        }
    };
    let missing = Inodes::new(all.iter().filter(|&inode| !hits.has(inode)));
    for (inode, holdings) in hits.into_holdings() {
        owners.insert(inode, Ownership::Held(holdings));
    }
    if missing.is_empty() {
        return Seen { found: owners, blind: unseen::foreign_proc(&root) };
    }

    let mut rest = Beyond::default();
    let mut refused_threads = Vec::new();
    if options.beyond_processes {
        // A second look at the tables of processes comes with it: it is needed for the carriers and
        // rings, and it catches a socket that moved during the first.
        let mut visit = |entry: &walk::Entry<'_>| rest.visit(entry, &missing, options.cloexec);
        let _ = walk::processes(&root, &mut visit);
        refused_threads = walk::threads(&root, &walked.pids, &mut visit);
    }
    let view = unseen::View::take(&root, &walked.refused, &refused_threads);
    let proofs = rest.flights.prove(&missing);
    let busy_rings = rest.rings.busy();

    let found = rest.hits.into_holdings();
    let mut hidden = Vec::new();
    for inode in missing.iter() {
        let uid = wanted.iter().find(|w| w.inode == inode).and_then(|w| w.uid);
        let suspects = proofs.suspects();
        let owner = if let Some(holdings) = found.get(&inode) {
            Ownership::Held(holdings.clone())
        } else if let Some(carriers) = proofs.carriers(inode) {
            Ownership::InFlight { carriers, proven: true }
        } else if let Some(rings) = rest.rings.registered(inode) {
            Ownership::IoUring(rings)
        } else if !suspects.is_empty() && (view.is_own(uid) || !view.hides()) {
            Ownership::InFlight { carriers: suspects.to_vec(), proven: false }
        } else if view.hides() {
            hidden.push(uid);
            Ownership::Hidden
        } else if !options.beyond_processes {
            Ownership::NotAsked
        } else if view.initial() {
            Ownership::Nobody(NoOwner::Kernel)
        } else {
            Ownership::Nobody(NoOwner::OtherPidNamespace)
        };
        owners.insert(inode, owner);
    }
    let mut blind = unseen::foreign_proc(&root);
    blind.extend(view.blind(&hidden));
    blind.extend(busy_rings);
    Seen { found: owners, blind }
}

/// What the second walk gathers.
#[derive(Default)]
struct Beyond {
    hits: Hits,
    flights: flight::Flights,
    rings: ring::Rings,
}

impl Beyond {
    fn visit(&mut self, entry: &walk::Entry<'_>, missing: &Inodes, cloexec: bool) {
        if let Some(inode) = procfs::socket_inode(entry.link) {
            self.hits.take(entry, missing, cloexec);
            self.flights.visit(entry, inode);
        } else if entry.link == ring::LINK {
            self.rings.visit(entry, missing);
        }
    }
}
