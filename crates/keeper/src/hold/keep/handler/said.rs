//! What is told to the supervisor, without ever waiting for it; and the sentences about what makes keeping
//! impossible, each said once.

use super::super::channel;
use super::super::event::Event;
use super::super::wire::event_to_bytes;
use rustix::fd::OwnedFd;
use rustix::io::Errno;
use std::collections::{BTreeSet, VecDeque};

/// The most events that wait for the supervisor.
const MOST: usize = 1024;

/// The most of them where one more is left out without a word if it is a minor one.
const MOST_MINOR: usize = 64;

/// What is still to be told.
#[derive(Default)]
pub(super) struct Said {
    waiting: VecDeque<Vec<u8>>,
    lost: u32,
    once: BTreeSet<&'static str>,
}

impl Said {
    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    pub(super) fn event(&mut self, event: Event) {
        if self.waiting.len() >= MOST {
            self.lost = self.lost.saturating_add(1);
        } else {
            self.waiting.push_back(event_to_bytes(&event));
        }
    }

    /// What may be left out where a program does it again and again.
    pub(super) fn minor(&mut self, event: Event) {
        if self.waiting.len() < MOST_MINOR {
            self.event(event);
        }
    }

    /// Tells as much as the supervisor has room for. Fails when it is gone.
    pub(super) fn send(&mut self, control: &OwnedFd) -> Result<(), Errno> {
        while let Some(bytes) = self.waiting.front() {
            match channel::send(control, bytes, &[]) {
                Ok(()) => _ = self.waiting.pop_front(),
                Err(Errno::AGAIN | Errno::NOBUFS | Errno::NOMEM | Errno::INTR) => return Ok(()),
                Err(errno) => return Err(errno),
            }
            if self.lost > 0 && self.waiting.is_empty() {
                let count = std::mem::take(&mut self.lost);
                self.waiting.push_back(event_to_bytes(&Event::Lost { count }));
            }
        }
        Ok(())
    }

    /// Why a duplicate of a program's socket could not be had.
    pub(super) fn no_duplicate(&mut self, errno: Errno) {
        let sentence = match errno {
            Errno::PERM | Errno::ACCESS => refused(),
            Errno::NOSYS => {
                "listeners cannot be kept: pidfd_getfd(2) needs Linux 5.6, or a container's profile that knows it"
            }
            Errno::MFILE | Errno::NFILE => {
                "no more listeners can be kept: the limit of open files is reached; raise it (ulimit -n)"
            }
            // It is no descriptor of the caller, or the caller is gone.
            _ => return,
        };
        self.impossible(sentence);
    }

    /// Why a kept socket could not be put into a program.
    pub(super) fn no_exchange(&mut self, errno: Errno) {
        let sentence = match errno {
            Errno::INVAL | Errno::NOTTY => {
                "a kept listener cannot be given to a program: the kernel needs to be Linux 5.9 or newer"
            }
            Errno::MFILE | Errno::BADF => {
                "a kept listener could not be given to a program: its limit of open files is reached; raise it (ulimit -n)"
            }
            _ => return,
        };
        self.impossible(sentence);
    }

    pub(super) fn full(&mut self) {
        self.impossible(
            "no more listeners can be kept than 1024, or than the limit of open files (ulimit -n) leaves room for; the \
             others are bound anew in each generation",
        );
    }

    fn impossible(&mut self, sentence: &'static str) {
        if self.once.insert(sentence) {
            self.event(Event::Impossible { sentence: sentence.into() });
        }
    }
}

/// Which of the checks of ptrace(2) stands in the way.
fn refused() -> &'static str {
    let yama = std::fs::read_to_string("/proc/sys/kernel/yama/ptrace_scope").unwrap_or_default();
    match yama.trim() {
        "2" => {
            "listeners cannot be kept: kernel.yama.ptrace_scope forbids it; start inuse with CAP_SYS_PTRACE \
             (as root), or have the sockets bound for the program with -l ADDR"
        }
        "3" => {
            "listeners cannot be kept: kernel.yama.ptrace_scope is 3, which forbids it to everybody until the \
             next start; have the sockets bound for the program with -l ADDR"
        }
        _ => {
            "listeners cannot be kept: a program runs as another user or is not dumpable, or a container's profile \
             forbids pidfd_getfd(2); start inuse with CAP_SYS_PTRACE (for docker: --cap-add SYS_PTRACE), or have \
             the sockets bound for the program with -l ADDR"
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::wire::event_from_bytes;
    use super::*;

    #[test]
    fn a_supervisor_that_does_not_read_loses_events_and_hears_how_many() {
        let (here, there) = channel::pair().expect("a pair");
        let mut said = Said::default();
        let event = || Event::Impossible { sentence: "x".repeat(400) };
        for _ in 0..10_000 {
            said.event(event());
            said.send(&there).expect("open");
        }
        let (mut told, mut lost) = (0, 0);
        while told + lost < 10_000 {
            said.send(&there).expect("open");
            match channel::receive(&here).expect("open").and_then(|got| event_from_bytes(&got.bytes)) {
                Some(Event::Lost { count }) => lost += count,
                Some(_) => told += 1,
                None => panic!("{told} told and {lost} lost, and nothing more comes"),
            }
        }
        assert!(lost > 0 && told > MOST as u32);
        drop(here);
        // A process that another test starts just now has it open until its exec.
        let until = std::time::Instant::now() + std::time::Duration::from_secs(10);
        loop {
            said.event(event());
            if said.send(&there).is_err() {
                break;
            }
            assert!(std::time::Instant::now() < until, "the other end is closed, and nobody says so");
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
    }

    #[test]
    fn a_sentence_is_said_once() {
        let mut said = Said::default();
        for _ in 0..10 {
            said.no_duplicate(Errno::PERM);
            said.no_duplicate(Errno::BADF);
            said.full();
        }
        assert_eq!(said.waiting.len(), 2);
    }
}
