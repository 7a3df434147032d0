//! Keeping the program's own listeners, as long as that is possible: starting with it, and going on without it.
//!
//! Where it is not possible the program runs all the same, without the filter. Two generations cannot listen on one
//! address then, so that a new one starts when the old one has ended.

use super::Supervisor;
use crate::hold::keep::set_uid_obstacle;
use crate::hold::listeners::{Heard, Listeners};
use crate::hold::log::{Step, Warning};
use crate::hold::program::Program;
use crate::hold::ready::Ready;
use crate::hold::unseen::unseen;
use rustix::fd::{AsFd as _, BorrowedFd};

impl Supervisor<'_> {
    /// Starts the handler, if listeners are to be kept.
    pub(super) fn start_keeping(&mut self) {
        if !self.options.keep {
            return;
        }
        self.bound = std::mem::take(&mut self.options.sockets);
        match Listeners::start(&self.bound) {
            Ok(listeners) => self.listeners = Some(listeners),
            Err(error) => self.stop_keeping(&format!("listeners cannot be kept: {error}")),
        }
    }

    /// Goes on without the filter, from the next generation on.
    pub(super) fn stop_keeping(&mut self, why: &str) {
        self.listeners = None;
        self.machine.set_overlap(false);
        if self.options.ready == Ready::Listen {
            // That cannot be seen any more.
            self.options.ready = Ready::Auto;
        }
        let mut bound = std::mem::take(&mut self.bound);
        bound.retain_mut(|held| held.listen());
        let given = !bound.is_empty();
        self.options.sockets.extend(bound);
        self.tell(&Step::Warning(Warning::NotKept { why: why.into(), given }));
    }

    /// A program that would lose the rights of its file runs without the filter.
    pub(super) fn see_rights(&mut self, program: &Program) {
        let obstacle = self.listeners.as_ref().and(program.path()).and_then(set_uid_obstacle);
        if let Some(obstacle) = obstacle {
            self.stop_keeping(&obstacle);
        }
    }

    /// Takes what the handler has to say.
    pub(super) fn hear_listeners(&mut self) {
        let Some(Heard { steps, impossible, gone }) = self.listeners.as_mut().map(Listeners::hear) else {
            return;
        };
        for step in &steps {
            self.tell(step);
        }
        if let Some(sentence) = impossible {
            if !self.bound.is_empty() {
                // What is bound for the program stands in the way of its own bind.
                return self.stop_keeping(&sentence);
            }
            // Not all is kept: a new generation could not bind what is not.
            self.machine.set_overlap(false);
            self.tell(&Step::Warning(Warning::NotKept { why: sentence, given: false }));
        }
        if gone {
            self.stop_keeping("what keeps listeners has failed");
        }
    }

    /// A generation has proven itself.
    pub(super) fn listeners_proven(&mut self, number: u32) {
        self.see_unseen(number);
        let newest = self.generations.keys().max().copied().unwrap_or(number);
        if let Some(listeners) = &mut self.listeners {
            listeners.proven(number, newest);
        }
    }

    /// A listener that the filter did not see is not kept: two generations cannot have it at once.
    fn see_unseen(&mut self, number: u32) {
        let (Some(listeners), Some(generation)) = (&self.listeners, self.generations.get_mut(&number)) else {
            return;
        };
        if self.told_unseen {
            return;
        }
        if let Some(address) = unseen(&mut generation.tree, |address| listeners.has(number, address)) {
            self.told_unseen = true;
            self.machine.set_overlap(false);
            self.tell(&Step::Warning(Warning::NotSeen { address }));
        }
    }

    /// What poll(2) is to watch.
    pub(super) fn listeners_fd(&self) -> Option<BorrowedFd<'_>> {
        self.listeners.as_ref().map(|listeners| listeners.as_fd())
    }
}
