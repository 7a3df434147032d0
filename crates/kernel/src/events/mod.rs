//! Things that happen to sockets, paths and processes, to sleep on: what a waiter needs so that it does
//! not have to ask again and again.
//!
//! [`Closings`] hears of sockets that were freed, `paths` of files that were removed or renamed, and a
//! pidfd becomes readable when its process has ended. What an event means for an address is not said
//! here: it is a reason to look again, no more. Nothing announces the end of a TIME_WAIT or of an
//! abstract unix name; who waits for those must ask.

mod closings;
mod filter;
mod paths;

pub use closings::Closings;

use crate::error::Error;
use crate::netns::Netns;
use inuse_rules::Transport;
use paths::Paths;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fd::OwnedFd;
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use std::collections::BTreeMap;
use std::time::Duration;

/// Processes watched at a time: any one of them keeps a socket open, so more would tell nothing new.
const MOST_PROCESSES: usize = 64;

/// What may wake a sleeper.
pub struct Events {
    closings: Option<Closings>,
    paths: Option<Paths>,
    processes: BTreeMap<u32, OwnedFd>,
    ended: bool,
}

impl Events {
    /// Subscribes to the end of sockets on these ports in that namespace; no port, no subscription.
    /// What happens from now on is not lost, even if nobody sleeps yet.
    ///
    /// # Errors
    /// When the kernel refuses the subscription. [`Events::silent`] is then what is left.
    pub fn open(netns: &Netns, ports: &[(Transport, u16)]) -> Result<Events, Error> {
        let closings = if ports.is_empty() { None } else { Some(Closings::open(netns, ports)?) };
        Ok(Events { closings, ..Events::silent() })
    }

    /// No subscription to sockets.
    pub fn silent() -> Events {
        Events { closings: None, paths: None, processes: BTreeMap::new(), ended: false }
    }

    /// Whether the end of sockets is announced.
    pub fn hears_closings(&self) -> bool {
        self.closings.is_some()
    }

    /// Watches what stands at this path, and the directories that lead there, instead of any path before.
    /// False when something stands there that cannot be watched: inotify(7) asks for the right to read it.
    pub fn watch_path(&mut self, path: &[u8]) -> bool {
        if self.paths.is_none() {
            self.paths = Paths::open().ok();
        }
        self.paths.as_mut().is_some_and(|paths| paths.watch(path))
    }

    /// Watches for the end of these processes, instead of any before. One that has ended already, or that
    /// cannot be watched, is left out.
    pub fn watch_processes(&mut self, pids: impl IntoIterator<Item = u32>) {
        let mut before = std::mem::take(&mut self.processes);
        for pid in pids {
            if self.processes.len() >= MOST_PROCESSES {
                break;
            }
            let known = before.remove(&pid);
            let task = i32::try_from(pid).ok().and_then(Pid::from_raw);
            let opened = || pidfd_open(task?, PidfdFlags::empty()).ok();
            if let Some(process) = known.or_else(opened) {
                self.processes.insert(pid, process);
            }
        }
    }

    /// Whether one of the watched processes has ended since this was last asked.
    pub fn take_ended(&mut self) -> bool {
        std::mem::take(&mut self.ended)
    }

    /// Sleeps until something happens or the time is over; `None` sleeps without limit. True when there
    /// is a reason to look again.
    pub fn sleep(&mut self, time: Option<Duration>) -> bool {
        let time = time.map(|time| Timespec {
            tv_sec: time.as_secs().try_into().unwrap_or(i64::MAX),
            tv_nsec: time.subsec_nanos().into(),
        });
        let mut polled: Vec<PollFd<'_>> = Vec::with_capacity(self.processes.len() + 2);
        polled.extend(self.closings.as_ref().map(|closings| PollFd::new(closings, PollFlags::IN)));
        polled.extend(self.paths.as_ref().map(|paths| PollFd::new(paths, PollFlags::IN)));
        polled.extend(self.processes.values().map(|process| PollFd::new(process, PollFlags::IN)));
        match poll(&mut polled, time.as_ref()) {
            Ok(0) => return false,
            // A signal handler ran: no reason to look again, and none to go on sleeping.
            Err(Errno::INTR) => return false,
            Ok(_) => {}
            Err(_) => return true,
        }
        let others = polled.len() - self.processes.len();
        let ended: Vec<bool> = polled.iter().skip(others).map(|one| !one.revents().is_empty()).collect();
        let mut happened = ended.contains(&true);
        self.ended |= happened;
        // A pidfd stays readable: it has said what it can.
        let mut ended = ended.into_iter();
        self.processes.retain(|_, _| !ended.next().unwrap_or(false));
        happened |= self.closings.as_ref().is_some_and(Closings::drain);
        happened |= self.paths.as_mut().is_some_and(Paths::drain);
        happened
    }
}
