//! The views of an answer: for people (`human`) and for programs (`json`).

pub mod ctl;
pub mod free;
pub mod free_json;
pub mod human;
pub mod json;
pub mod lab;
pub mod ls;
pub mod ls_json;
pub mod opts;
pub mod opts_json;
mod rows;
pub mod run;
mod run_json;
pub mod wait;
pub(crate) mod wording;
mod wrap;

use inuse_rules::{Diagnosis, Snapshot, Socket};
use std::sync::Arc;

/// The answer to one attempt, with the facts it rests on.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The facts.
    pub snapshot: Arc<Snapshot>,
    /// What follows from them.
    pub diagnosis: Diagnosis,
}

impl Answer {
    /// The sockets to show, by index into the snapshot: those of the diagnosis, and any other that a
    /// verdict names.
    pub fn shown(&self) -> Vec<usize> {
        let Diagnosis { verdict, plain, reuseaddr, reuseport, holders, .. } = &self.diagnosis;
        let verdicts = [verdict, plain, reuseaddr, reuseport];
        let named = holders.iter().chain(verdicts.into_iter().flat_map(|verdict| verdict.by()));
        let mut fresh = vec![true; self.snapshot.sockets.len()];
        named
            .copied()
            .filter(|&index| fresh.get_mut(index).is_some_and(|fresh| std::mem::replace(fresh, false)))
            .collect()
    }

    /// The sockets that stand in the way of the attempt, or of a plain bind where the attempt succeeds.
    pub fn in_the_way(&self) -> Vec<usize> {
        let Diagnosis { verdict, plain, .. } = &self.diagnosis;
        let by = if verdict.by().is_empty() { plain.by() } else { verdict.by() };
        by.iter().copied().filter(|&index| index < self.snapshot.sockets.len()).collect()
    }

    /// The other end of a connection, when it is on this machine.
    pub fn peer(&self, socket: &Socket) -> Option<&Socket> {
        self.snapshot.peers.iter().find(|peer| peer.is_other_end_of(socket))
    }
}
