//! Processes that share a kept listener with one that has shut it down: each is made to see that, and nobody else.
//!
//! The real shutdown would end the listener for a newer generation too, and reset its queue. So a thread that sleeps
//! on it is turned (`seccomp::turn`): it asks us, gets sockets in the place of its process's descriptors of the
//! listener that never listened, and its accept() fails as it does on one that was shut down. A process that is busy
//! meanwhile is looked at again until it comes back to sleep; a connection that it takes before it sleeps it serves.
//!
//! Not here: whether this is the way (`shutdown`), and other processes than those of the generation.

use super::super::Generation;
use super::super::key::Kind;
use super::{Answer, Asked, Keeping};
use inuse_kernel::process;
use inuse_kernel::seccomp::{self, Turned, Waits};
use rustix::io::Errno;
use std::time::{Duration, Instant};

/// The most processes that are made to leave at a time.
pub(super) const MOST: usize = 1024;
/// The most threads that were turned and have not asked yet: none takes longer than a moment.
const MOST_TURNED: usize = 128;
/// From one look at them to the next, and not more than this part of the time goes into it.
const PAUSE: Duration = Duration::from_millis(10);
const SHARE: u32 = 10;

/// Those who are to leave a listener.
pub(super) struct Leaving {
    generation: Generation,
    inode: u64,
    kind: Kind,
    /// Each with the time of its start: a number alone may come to mean another one.
    processes: Vec<(u32, u64)>,
}

impl Leaving {
    pub(super) fn new(generation: Generation, inode: u64, kind: Kind, processes: &[u32]) -> Leaving {
        let of = |&pid: &u32| Some((pid, process::start_ticks(pid)?));
        Leaving { generation, inode, kind, processes: processes.iter().filter_map(of).collect() }
    }
}

/// A thread that asks next.
pub(super) struct Turning {
    tid: u32,
    arguments: [u64; 3],
    inode: u64,
    kind: Kind,
    /// What its call fails with.
    errno: Errno,
}

impl Keeping {
    /// Turns those that sleep now. Gives back those who have the listener still, and when to look again.
    pub(super) fn leave(&mut self, mut leaving: Leaving) -> Option<(Duration, Leaving)> {
        let began = Instant::now();
        let inode = leaving.inode;
        if !self.sockets.by_inode(inode)?.claims.contains(&leaving.generation) {
            return None;
        }
        leaving.processes.retain(|&(pid, start)| {
            let has = seccomp::Target::new(pid).and_then(|target| target.numbers_of(inode));
            process::start_ticks(pid) == Some(start) && has.is_ok_and(|numbers| !numbers.is_empty())
        });
        let processes: Vec<u32> = leaving.processes.iter().map(|(pid, _)| *pid).collect();
        for waiter in seccomp::waiters(inode, &processes, 0).unwrap_or_default() {
            if waiter.how == Waits::ByNumber && seccomp::interrupt(waiter.tid).is_ok() {
                self.later.turns(waiter.tid, inode, leaving.kind);
            }
        }
        (!processes.is_empty()).then(|| (PAUSE.max(began.elapsed() * SHARE), leaving))
    }

    /// Lets a thread go on that was interrupted. `false`: not yet.
    pub(super) fn turn(&mut self, tid: u32, inode: u64, kind: Kind) -> bool {
        match seccomp::turn(tid, inode) {
            Turned::NotYet => return false,
            Turned::Not => {}
            Turned::Asks { arguments, accepts } => {
                if self.turned.len() >= MOST_TURNED {
                    self.turned.remove(0);
                }
                // As `inet_csk_accept` and `unix_accept` say it of what does not listen.
                let errno = if accepts { Errno::INVAL } else { Errno::INTR };
                self.turned.push(Turning { tid, arguments, inode, kind, errno });
            }
        }
        true
    }

    /// The answer to a thread that asks since it was turned.
    pub(super) fn has_turned(&mut self, asked: &Asked<'_>) -> Option<Answer> {
        let is_it =
            |one: &Turning| one.tid == asked.target.tid() && asked.arguments.starts_with(&one.arguments);
        let at = self.turned.iter().position(is_it)?;
        let Turning { inode, kind, errno, .. } = self.turned.remove(at);
        // What could not be replaced is found asleep again, and turned again.
        let _ = self.replace(asked, kind, inode);
        Some(Answer::Fails(errno))
    }
}
