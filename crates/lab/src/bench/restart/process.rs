//! A process that restarts a server or is one, with its end; and the memory of processes.

use crate::zoo::{self, PATIENCE};
use rustix::fd::OwnedFd;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use std::fs;
use std::io;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// How long a kind word has.
const KIND: Duration = Duration::from_secs(5);

/// A process that was started here. With this value ends all that descends from it.
pub(super) struct Process(Child);

impl Process {
    pub(super) fn start(words: &[&str]) -> io::Result<Process> {
        let (name, words) = words.split_first().ok_or(io::ErrorKind::InvalidInput)?;
        let mut command = Command::new(name);
        command.args(words).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command.spawn().map(Process).map_err(|error| io::Error::new(error.kind(), format!("{name}: {error}")))
    }

    pub(super) fn pid(&self) -> u32 {
        self.0.id()
    }

    pub(super) fn send(&self, signal: Signal) -> io::Result<()> {
        zoo::send(self.pid(), signal)
    }

    /// Waits for its end.
    pub(super) fn ended(&mut self) -> io::Result<()> {
        match self.ends_within(PATIENCE) {
            true => Ok(()),
            false => Err(io::Error::other("the server does not end")),
        }
    }

    fn ends_within(&mut self, time: Duration) -> bool {
        let until = Instant::now() + time;
        loop {
            match self.0.try_wait() {
                Ok(None) if Instant::now() < until => std::thread::sleep(Duration::from_millis(1)),
                Ok(None) => return false,
                Ok(Some(_)) | Err(_) => return true,
            }
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.ends_within(Duration::ZERO) {
            return;
        }
        // Held by descriptors, so that what is killed in the end is nobody else with the same number.
        let all: Vec<OwnedFd> = zoo::tree(self.pid()).into_iter().filter_map(pidfd).collect();
        let _ = self.send(Signal::TERM);
        self.ends_within(KIND);
        for process in &all {
            let _ = pidfd_send_signal(process, Signal::KILL);
        }
        let _ = self.0.wait();
    }
}

fn pidfd(pid: u32) -> Option<OwnedFd> {
    pidfd_open(Pid::from_raw(i32::try_from(pid).ok()?)?, PidfdFlags::empty()).ok()
}

/// What a process has in memory, in KiB; of several that do the same, what the largest has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Memory {
    /// Which process it is, in words.
    pub(super) whose: &'static str,
    /// How many there are of it.
    pub(super) count: usize,
    /// `VmHWM`: the most that it had, with the pages of its program, which it shares.
    pub(super) peak: u64,
    /// `RssAnon`: what is its own, now.
    pub(super) own: u64,
}

impl Memory {
    /// Of `inuse run` and its helpers: all that run the same program.
    pub(super) fn of_supervisor(pid: u32) -> Vec<Memory> {
        let program = |pid: u32| fs::read_link(format!("/proc/{pid}/exe")).ok();
        let own = program(pid);
        let same = zoo::tree(pid).into_iter().filter(|&pid| program(pid) == own);
        let mut all: Vec<Memory> = Vec::new();
        for memory in same.filter_map(|pid| Memory::of(pid, role(pid))) {
            match all.iter_mut().find(|other| other.whose == memory.whose) {
                Some(other) => {
                    other.count += 1;
                    other.peak = other.peak.max(memory.peak);
                    other.own = other.own.max(memory.own);
                }
                None => all.push(memory),
            }
        }
        all
    }

    /// Of one process.
    pub(super) fn of(pid: u32, whose: &'static str) -> Option<Memory> {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name))?;
            line.split_whitespace().next()?.parse().ok()
        };
        Some(Memory { whose, count: 1, peak: field("VmHWM:")?, own: field("RssAnon:")? })
    }
}

/// What a process of `inuse run` does, by its first argument.
fn role(pid: u32) -> &'static str {
    let words = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    match words.split(|&byte| byte == 0).nth(1) {
        Some(b"__keep") => "its stand-in",
        Some(b"__tee") => "its copier",
        _ => "supervisor",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_of_it_ends_with_the_value() -> io::Result<()> {
        let process = Process::start(&["sh", "-c", "trap '' TERM; sleep 1000 & sleep 1000 & wait"])?;
        let until = Instant::now() + PATIENCE;
        while zoo::tree(process.pid()).len() < 3 {
            assert!(Instant::now() < until, "the shell starts nothing");
            std::thread::sleep(Duration::from_millis(5));
        }
        let all: Vec<OwnedFd> = zoo::tree(process.pid()).into_iter().filter_map(pidfd).collect();
        assert_eq!(all.len(), 3);
        drop(process);
        // Readable is the descriptor of a process that has ended, also of one that nobody has waited for.
        for process in &all {
            let mut ended = [rustix::event::PollFd::new(process, rustix::event::PollFlags::IN)];
            let five = rustix::event::Timespec { tv_sec: 5, tv_nsec: 0 };
            assert_eq!(rustix::event::poll(&mut ended, Some(&five))?, 1);
        }
        Ok(())
    }

    #[test]
    fn memory_of_this_process() {
        let all = Memory::of_supervisor(std::process::id());
        let [this, ..] = &all[..] else { panic!("{all:?}") };
        assert_eq!(this.whose, "supervisor");
        assert!(this.peak > this.own && this.own > 0, "{this:?}");
        assert_eq!(Memory::of(u32::MAX, "nobody"), None);
    }
}
