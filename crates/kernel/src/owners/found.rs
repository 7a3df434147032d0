//! Who has each of many sockets open, in little room: an entry for each descriptor, and for each other socket a
//! number that stands for what is said of it, which is the same for most.
//!
//! Not here: the search.

use super::hits::{Hit, Hits, holdings};
use super::walk::Place;
use inuse_rules::{Holding, Ownership};
use std::collections::BTreeMap;

/// So many answers before the last one are searched for the same.
const LOOKED_BACK: usize = 8;

/// Who has sockets open, by inode.
#[derive(Clone, Debug, Default)]
pub struct Owners {
    /// Sorted.
    held: Vec<Hit>,
    /// Sockets that no process has in its table, sorted, each with the place of its answer.
    others: Vec<(u64, u32)>,
    answers: Vec<Ownership>,
}

impl Owners {
    pub(super) fn new(hits: Hits) -> Owners {
        let mut held = hits.into_sorted();
        held.shrink_to_fit();
        Owners { held, ..Owners::default() }
    }

    /// Who has that socket open; [`Ownership::NotAsked`] for one that was not among those asked for.
    pub fn get(&self, inode: u64) -> Ownership {
        match self.hits(inode) {
            [] => self.other(inode).cloned().unwrap_or_default(),
            hits => Ownership::Held(holdings(hits)),
        }
    }

    /// Whether a process has it in its table.
    pub fn is_held(&self, inode: u64) -> bool {
        !self.hits(inode).is_empty()
    }

    /// The sockets that no process has in its table, and what is said of them.
    pub fn others(&self) -> impl ExactSizeIterator<Item = (u64, &Ownership)> {
        self.others.iter().map(|&(inode, answer)| (inode, self.answer(answer)))
    }

    /// What is said of a socket that no process has in its table.
    pub fn other(&self, inode: u64) -> Option<&Ownership> {
        let at = self.place(inode).ok()?;
        self.others.get(at).map(|&(_, answer)| self.answer(answer))
    }

    /// Says who has a socket open.
    pub fn insert(&mut self, inode: u64, owner: Ownership) {
        if self.is_held(inode) {
            self.held.retain(|hit| hit.inode != inode);
        }
        let place = self.place(inode);
        match (owner, place) {
            (Ownership::Held(holdings), place) => {
                let hit = |h: &Holding, fd| Hit::new(Place { pid: h.pid, tid: h.tid, fd }, inode, h.cloexec);
                self.held.extend(holdings.iter().flat_map(|h| h.fds.iter().map(move |&fd| hit(h, fd))));
                self.held.sort_unstable();
                if let Ok(at) = place {
                    self.others.remove(at);
                }
            }
            (other, Ok(at)) => self.others[at].1 = self.number(other),
            (other, Err(at)) => {
                let answer = self.number(other);
                self.others.insert(at, (inode, answer));
            }
        }
    }

    /// Adds what a later search found, which knows better.
    pub fn extend(&mut self, later: Owners) {
        self.others.retain(|&(inode, _)| later.other(inode).is_none() && !later.is_held(inode));
        for (inode, answer) in later.others() {
            let answer = self.number(answer.clone());
            self.others.push((inode, answer));
        }
        self.others.sort_unstable();
        self.held.extend(later.held);
        self.held.sort_unstable();
        self.held.dedup();
    }

    /// Turns the answer for every socket that has closed meanwhile into [`Ownership::Gone`]. `exists` asks
    /// sock_diag for the inode once more; without this a socket that closed during the search looks like one
    /// of the kernel's, or like a hidden one.
    pub fn settle(&mut self, mut exists: impl FnMut(u64) -> bool) {
        let gone = self.number(Ownership::Gone);
        self.others.iter_mut().filter(|(inode, _)| !exists(*inode)).for_each(|(_, answer)| *answer = gone);
    }

    /// Every process that holds, carries or registered one of them, some more than once.
    pub fn pids(&self) -> impl Iterator<Item = u32> {
        let others = self.answers.iter().flat_map(Ownership::holdings).map(|holding| holding.pid);
        self.held.iter().map(|hit| hit.pid).chain(others)
    }

    /// An entry for each socket.
    pub(super) fn into_map(self) -> BTreeMap<u64, Ownership> {
        let by_inode = self.held.chunk_by(|a, b| a.inode == b.inode);
        let held = by_inode.filter_map(|hits| Some((hits.first()?.inode, Ownership::Held(holdings(hits)))));
        let others = self.others().map(|(inode, owner)| (inode, owner.clone()));
        held.chain(others).collect()
    }

    fn place(&self, inode: u64) -> Result<usize, usize> {
        self.others.binary_search_by_key(&inode, |(inode, _)| *inode)
    }

    fn answer(&self, number: u32) -> &Ownership {
        self.answers.get(number as usize).unwrap_or(&Ownership::NotAsked)
    }

    fn number(&mut self, answer: Ownership) -> u32 {
        let from = self.answers.len().saturating_sub(LOOKED_BACK);
        let known = self.answers[from..].iter().position(|known| *known == answer);
        let at = known.map_or(self.answers.len(), |at| from + at);
        if known.is_none() {
            self.answers.push(answer);
        }
        u32::try_from(at).unwrap_or(u32::MAX)
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
        assert_eq!(owners.others().collect::<Vec<_>>(), [(2, &Ownership::NotAsked)]);
        owners.settle(|_| false);
        check(&owners, 2, Ownership::Gone);
        owners.insert(2, Ownership::Hidden);
        owners.insert(9, Ownership::Hidden);
        owners.insert(1, Ownership::Gone);
        owners.insert(9, held(9, &[1]));
        owners.insert(9, Ownership::NotAsked);
        check(&owners, 1, Ownership::Gone);
        check(&owners, 2, Ownership::Hidden);
        check(&owners, 9, Ownership::NotAsked);
        owners.settle(|inode| inode != 9);
        check(&owners, 9, Ownership::Gone);
        check(&owners, 2, Ownership::Hidden);
        assert_eq!(owners.into_map().into_keys().collect::<Vec<_>>(), [1, 2, 4, 5, 6, 9]);
    }
}
