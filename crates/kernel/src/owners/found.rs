//! Who has each of many sockets open, in little room: an entry for each descriptor, and only what is no plain
//! holding in full.
//!
//! Not here: the search.

use super::hits::{Hit, Hits, holdings};
use super::walk::Place;
use inuse_rules::{Holding, Ownership};
use std::collections::BTreeMap;

/// Who has sockets open, by inode.
#[derive(Clone, Debug, Default)]
pub struct Owners {
    /// Sorted.
    held: Vec<Hit>,
    others: BTreeMap<u64, Ownership>,
}

impl Owners {
    pub(super) fn new(hits: Hits) -> Owners {
        let mut held = hits.into_sorted();
        held.shrink_to_fit();
        Owners { held, others: BTreeMap::new() }
    }

    /// Who has that socket open; [`Ownership::NotAsked`] for one that was not among those asked for.
    pub fn get(&self, inode: u64) -> Ownership {
        match self.hits(inode) {
            [] => self.others.get(&inode).cloned().unwrap_or_default(),
            hits => Ownership::Held(holdings(hits)),
        }
    }

    /// Whether a process has it in its table.
    pub fn is_held(&self, inode: u64) -> bool {
        !self.hits(inode).is_empty()
    }

    /// What is said of the sockets that no process has in its table.
    pub fn others(&self) -> &BTreeMap<u64, Ownership> {
        &self.others
    }

    /// Says who has a socket open.
    pub fn insert(&mut self, inode: u64, owner: Ownership) {
        self.held.retain(|hit| hit.inode != inode);
        match owner {
            Ownership::Held(holdings) => {
                let hit = |h: &Holding, fd| Hit::new(Place { pid: h.pid, tid: h.tid, fd }, inode, h.cloexec);
                self.held.extend(holdings.iter().flat_map(|h| h.fds.iter().map(move |&fd| hit(h, fd))));
                self.held.sort_unstable();
                self.others.remove(&inode);
            }
            other => _ = self.others.insert(inode, other),
        }
    }

    /// Adds what a later search found, which knows better.
    pub fn extend(&mut self, later: Owners) {
        for inode in later.others.keys() {
            self.others.remove(inode);
        }
        for hit in &later.held {
            self.others.remove(&hit.inode);
        }
        self.others.extend(later.others);
        self.held.extend(later.held);
        self.held.sort_unstable();
        self.held.dedup();
    }

    /// Turns the answer for every socket that has closed meanwhile into [`Ownership::Gone`]. `exists` asks
    /// sock_diag for the inode once more; without this a socket that closed during the search looks like one
    /// of the kernel's, or like a hidden one.
    pub fn settle(&mut self, exists: impl FnMut(u64) -> bool) {
        super::settle(&mut self.others, exists);
    }

    /// Every process that holds, carries or registered one of them, some more than once.
    pub fn pids(&self) -> impl Iterator<Item = u32> {
        let others = self.others.values().flat_map(|owner| owner.holdings()).map(|holding| holding.pid);
        self.held.iter().map(|hit| hit.pid).chain(others)
    }

    /// An entry for each socket.
    pub(super) fn into_map(self) -> BTreeMap<u64, Ownership> {
        let by_inode = self.held.chunk_by(|a, b| a.inode == b.inode);
        let held = by_inode.filter_map(|hits| Some((hits.first()?.inode, Ownership::Held(holdings(hits)))));
        let mut all: BTreeMap<u64, Ownership> = held.collect();
        all.extend(self.others);
        all
    }

    fn hits(&self, inode: u64) -> &[Hit] {
        let start = self.held.partition_point(|hit| hit.inode < inode);
        let rest = self.held.get(start..).unwrap_or_default();
        let end = rest.iter().take_while(|hit| hit.inode == inode).count();
        rest.get(..end).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn held(pid: u32, fds: &[u32]) -> Ownership {
        Ownership::Held(vec![Holding { pid, tid: None, fds: fds.to_vec(), cloexec: None }])
    }

    #[test]
    fn what_went_in_comes_out() {
        let mut owners = Owners::default();
        owners.insert(5, held(7, &[3, 4]));
        owners.insert(4, Ownership::Hidden);
        owners.insert(6, held(8, &[3]));
        let check = |owners: &Owners, inode, expect| assert_eq!(owners.get(inode), expect, "{inode}");
        check(&owners, 3, Ownership::NotAsked);
        check(&owners, 4, Ownership::Hidden);
        check(&owners, 5, held(7, &[3, 4]));
        check(&owners, 6, held(8, &[3]));
        assert!(owners.is_held(5) && !owners.is_held(4));
        assert_eq!(owners.pids().collect::<Vec<_>>(), [7, 7, 8]);

        let mut later = Owners::default();
        later.insert(4, held(9, &[1]));
        later.insert(2, Ownership::NotAsked);
        owners.extend(later);
        check(&owners, 4, held(9, &[1]));
        check(&owners, 6, held(8, &[3]));
        assert_eq!(owners.others().len(), 1);
        owners.settle(|_| false);
        check(&owners, 2, Ownership::Gone);
        assert_eq!(owners.into_map().into_keys().collect::<Vec<_>>(), [2, 4, 5, 6]);
    }
}
