//! Sets of inodes, and the descriptors that were found for them: one small entry each, since there may be a
//! hundred thousand sockets.
//!
//! Not here: where descriptors come from (`walk`, `iterated`), and how they are grouped (`found`).

use super::walk::{Entry, Place};
use crate::process::fdinfo;
use crate::procfs;
use inuse_rules::Holding;
use std::collections::BTreeMap;
use std::num::NonZero;

/// Descriptors named in one holding; a process may have a million of one socket.
pub(super) const MOST_FDS: usize = 256;

/// So many entries are gathered before those too many for a holding are dropped.
const GATHERED: usize = 4096;

/// Bytes of an fdinfo that can hold its first lines, `pos:` and `flags:`.
const FLAGS_WITHIN: usize = 128;

/// A sorted set of inodes, quick to ask.
pub(super) struct Inodes(Vec<u64>);

impl Inodes {
    pub(super) fn new(inodes: impl Iterator<Item = u64>) -> Inodes {
        let mut sorted: Vec<u64> = inodes.collect();
        sorted.sort_unstable();
        sorted.dedup();
        Inodes(sorted)
    }

    pub(super) fn has(&self, inode: u64) -> bool {
        self.0.binary_search(&inode).is_ok()
    }

    #[cfg(feature = "bpf")]
    pub(super) fn sorted(&self) -> &[u64] {
        &self.0
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = u64> {
        self.0.iter().copied()
    }
}

/// A descriptor of a socket, in 24 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Hit {
    pub(super) inode: u64,
    pub(super) pid: u32,
    /// A thread's number is never 0.
    tid: Option<NonZero<u32>>,
    fd: u32,
    cloexec: Option<bool>,
}

impl Hit {
    pub(super) fn new(place: Place, inode: u64, cloexec: Option<bool>) -> Hit {
        Hit { inode, pid: place.pid, tid: place.tid.and_then(NonZero::new), fd: place.fd, cloexec }
    }

    #[cfg(feature = "bpf")]
    pub(super) fn place(&self) -> Place {
        Place { pid: self.pid, tid: self.tid.map(NonZero::get), fd: self.fd }
    }
}

/// The descriptors that were found.
#[derive(Default)]
pub(super) struct Hits {
    hits: Vec<Hit>,
    /// How many entries there may be before they are looked through for too many of one holding.
    most: usize,
    /// The table that was visited last, and how many descriptors of each socket it has.
    table: (u32, Option<u32>),
    counts: BTreeMap<u64, usize>,
}

impl Hits {
    /// Takes a descriptor down if it is of one of these sockets; with `cloexec` it is read whether it closes on
    /// exec.
    pub(super) fn take(&mut self, entry: &Entry<'_>, inodes: &Inodes, cloexec: bool) {
        if let Some(inode) = procfs::socket_inode(entry.link)
            && inodes.has(inode)
        {
            let closes = if cloexec && self.counts_less(entry.place, inode) {
                entry.info(FLAGS_WITHIN).ok().and_then(|info| fdinfo::close_on_exec(&info))
            } else {
                None
            };
            self.add(entry.place, inode, closes);
        }
    }

    /// Takes a descriptor down.
    pub(super) fn add(&mut self, place: Place, inode: u64, cloexec: Option<bool>) {
        if self.hits.len() >= self.most.max(GATHERED) {
            self.sort();
            self.most = self.hits.len() * 2;
        }
        self.hits.push(Hit::new(place, inode, cloexec));
    }

    /// Counts a descriptor, and says whether it is one of those that its holding names.
    fn counts_less(&mut self, place: Place, inode: u64) -> bool {
        if self.table != (place.pid, place.tid) {
            self.table = (place.pid, place.tid);
            self.counts.clear();
        }
        let count = self.counts.entry(inode).or_default();
        *count += 1;
        *count <= MOST_FDS
    }

    /// Adds what was found in the tables of other processes.
    pub(super) fn add_all(&mut self, others: Hits) {
        if self.hits.is_empty() {
            self.hits = others.hits;
        } else {
            self.hits.extend(others.hits);
        }
    }

    /// Which of these no descriptor was found for.
    #[cfg(feature = "bpf")]
    pub(super) fn missing(&mut self, wanted: &Inodes) -> Inodes {
        self.sort();
        let found = |inode: &u64| self.hits.binary_search_by_key(inode, |hit| hit.inode).is_ok();
        Inodes(wanted.iter().filter(|inode| !found(inode)).collect())
    }

    /// How many there are.
    #[cfg(feature = "bpf")]
    pub(super) fn len(&self) -> usize {
        self.hits.len()
    }

    /// By inode, process, thread and number: those of one holding stand together, and no more than it names.
    pub(super) fn into_sorted(mut self) -> Vec<Hit> {
        self.sort();
        self.hits
    }

    fn sort(&mut self) {
        self.hits.sort_unstable();
        let mut last = None;
        let mut count = 0;
        self.hits.retain(|hit| {
            let holding = Some((hit.inode, hit.pid, hit.tid));
            count = if holding == last { count + 1 } else { 1 };
            last = holding;
            count <= MOST_FDS
        });
    }

    /// The holdings of each inode, by pid.
    pub(super) fn into_holdings(self) -> BTreeMap<u64, Vec<Holding>> {
        let hits = self.into_sorted();
        let by_inode = hits.chunk_by(|a, b| a.inode == b.inode);
        by_inode.filter_map(|hits| Some((hits.first()?.inode, holdings(hits)))).collect()
    }
}

/// The holdings of one socket, from its descriptors in their order.
pub(super) fn holdings(hits: &[Hit]) -> Vec<Holding> {
    let holdings = hits.chunk_by(|a, b| (a.pid, a.tid) == (b.pid, b.tid)).filter_map(|hits| {
        let first = hits.first()?;
        let cloexec = hits.iter().map(|hit| hit.cloexec).reduce(|a, b| Some(a? && b?)).flatten();
        let fds = hits.iter().map(|hit| hit.fd).collect();
        Some(Holding { pid: first.pid, tid: first.tid.map(NonZero::get), fds, cloexec })
    });
    holdings.collect()
}

/// A holding of one descriptor, of which close-on-exec was not read.
pub(super) fn holding(place: Place) -> Holding {
    Holding { pid: place.pid, tid: place.tid, fds: vec![place.fd], cloexec: None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn descriptors_make_holdings() {
        let mut hits = Hits::default();
        let at = |pid, tid, fd| Place { pid, tid, fd };
        hits.add(at(7, None, 5), 1, Some(true));
        hits.add(at(7, Some(8), 5), 1, Some(true));
        hits.add(at(7, None, 3), 1, Some(false));
        hits.add(at(6, None, 3), 1, None);
        hits.add(at(6, None, 3), 2, Some(true));
        let holding = |pid, tid, fds: &[u32], cloexec| Holding { pid, tid, fds: fds.to_vec(), cloexec };
        let expect = BTreeMap::from([
            (
                1,
                vec![
                    holding(6, None, &[3], None),
                    holding(7, None, &[3, 5], Some(false)),
                    holding(7, Some(8), &[5], Some(true)),
                ],
            ),
            (2, vec![holding(6, None, &[3], Some(true))]),
        ]);
        assert_eq!(hits.into_holdings(), expect);
    }

    #[test]
    fn a_descriptor_is_small() {
        assert_eq!(size_of::<Hit>(), 24);
    }

    #[test]
    fn a_million_descriptors_of_one_socket_take_no_room() {
        let mut hits = Hits::default();
        for fd in 0..1_000_000 {
            hits.add(Place { pid: 7, tid: None, fd }, 1, None);
            assert!(hits.hits.capacity() <= 2 * GATHERED);
        }
        hits.add(Place { pid: 8, tid: None, fd: 3 }, 1, None);
        let found = hits.into_holdings();
        assert_eq!(found[&1].iter().map(|h| h.fds.len()).collect::<Vec<_>>(), [MOST_FDS, 1]);
    }
}
