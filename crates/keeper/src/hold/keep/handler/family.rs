//! Which generation a process belongs to: known for those that asked, and for their descendants by the line of
//! parents.
//!
//! A process that has left its family (its parent ended, and another took it in) and never asked anything is of no
//! generation.

use super::Generation;
use inuse_kernel::process;
use std::collections::BTreeMap;

/// The most processes that are remembered.
const MOST: usize = 4096;
/// Steps up the line.
const MOST_STEPS: usize = 64;

/// The processes that asked.
#[derive(Default)]
pub(super) struct Family(BTreeMap<u32, Generation>);

impl Family {
    pub(super) fn knows(&mut self, tgid: u32, generation: Generation) {
        if self.0.len() < MOST || self.0.contains_key(&tgid) {
            self.0.insert(tgid, generation);
        }
    }

    pub(super) fn ended(&mut self, generation: Generation) {
        self.0.retain(|_, of| *of != generation);
    }

    /// The generation of a process, if it has one.
    pub(super) fn of(&self, tgid: u32) -> Option<Generation> {
        let mut at = tgid;
        for _ in 0..MOST_STEPS {
            if let Some(&generation) = self.0.get(&at) {
                return Some(generation);
            }
            at = process::parent(at).filter(|&parent| parent > 1)?;
        }
        None
    }
}
