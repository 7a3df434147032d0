//! The processes of a generation: its first one, and all that descend from it.
//!
//! We are the reaper of our descendants (`PR_SET_CHILD_SUBREAPER`), so a process whose parents have ended
//! becomes our child; that it belongs to a generation then shows in its environment, or was seen before. A
//! process is signalled through a pidfd alone, and only after the pidfd was shown to be of a child of the
//! parent that named it. Process groups and sessions say nothing here: programs choose them as they like.

use super::sys::message::Sender;
use inuse_kernel::process::stat::Stat;
use rustix::fd::OwnedFd;
use rustix::process::{Pid, PidfdFlags, Signal, geteuid, pidfd_open, pidfd_send_signal};
use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;

/// Where a generation's processes carry its number: `PID of the supervisor:generation`.
pub(super) const MARK: &str = "INUSE_GENERATION";

/// The most processes of one generation that are looked at.
const MOST: usize = 10_000;

/// Rounds of killing: a process that forks faster than it is killed gets so many tries.
const ROUNDS: usize = 20;

/// Bytes of a process's environment that are looked through.
const MOST_ENVIRONMENT: u64 = 256 * 1024;

/// One process: a number alone may come to mean another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Member {
    pub(super) pid: u32,
    start_ticks: u64,
}

/// What is known of the processes of one generation.
#[derive(Debug)]
pub(super) struct Tree {
    mark: String,
    first: u32,
    /// When that one started.
    since: u64,
    seen: BTreeSet<Member>,
}

impl Tree {
    pub(super) fn new(generation: u32, first: u32) -> Tree {
        let seen: BTreeSet<Member> = member(first).into_iter().collect();
        let since = seen.first().map_or(u64::MAX, |first| first.start_ticks);
        Tree { mark: mark(generation), first, since, seen }
    }

    /// Those that were seen of it.
    pub(super) fn pids(&self) -> impl Iterator<Item = u32> {
        self.seen.iter().map(|member| member.pid)
    }

    /// Takes in what its first process has just left behind: children of ours that are nobody else's. They show no
    /// mark where a program wrote over its environment, as nginx does, for its title.
    pub(super) fn adopt(&mut self, is_others: impl Fn(u32) -> bool) {
        let own = fs::metadata("/proc/self/exe").map(|exe| (exe.dev(), exe.ino()));
        for child in children(std::process::id()) {
            let Some(member) = member(child).filter(|member| member.start_ticks >= self.since) else {
                continue;
            };
            // What copies output, and stands in for us. One that is just ending has no file any more.
            let exe = fs::metadata(format!("/proc/{child}/exe")).map(|exe| (exe.dev(), exe.ino()));
            let is_own = exe.is_err() || matches!((&exe, &own), (Ok(exe), Ok(own)) if exe == own);
            if !is_own && !is_others(child) && marks(child).is_none_or(|mark| mark == self.mark.as_bytes()) {
                self.seen.insert(member);
            }
        }
    }

    /// Every process of it that lives now.
    pub(super) fn members(&mut self) -> Vec<Member> {
        let own = children(std::process::id());
        let mut found: Vec<Member> = Vec::new();
        for child in own {
            let Some(member) = member(child) else { continue };
            if child == self.first || self.seen.contains(&member) || self.carries_mark(child) {
                found.push(member);
            }
        }
        let mut at = 0;
        while let Some(parent) = found.get(at).copied() {
            at += 1;
            let more = children(parent.pid).into_iter().filter_map(member);
            let room = MOST.saturating_sub(found.len());
            found.extend(more.take(room));
        }
        found.retain(|member| !is_over(member.pid));
        self.seen = found.iter().copied().chain(member(self.first)).collect();
        found
    }

    /// Whether this process is one of them.
    pub(super) fn has(&mut self, pid: u32) -> bool {
        let is_it = |member: &Member| member.pid == pid;
        (self.seen.iter().any(is_it) && member(pid).is_some_and(|now| self.seen.contains(&now)))
            || self.members().iter().any(is_it)
    }

    /// Whether what this process said is the generation's word. One that has ended since, as `systemd-notify` in a
    /// script may, can no longer be placed: it is believed if it was our own user's, who could do us worse.
    pub(super) fn may_speak(&mut self, sender: Sender) -> bool {
        self.has(sender.pid) || (is_over(sender.pid) && sender.uid == geteuid().as_raw())
    }

    /// Sends a signal to those that are left.
    pub(super) fn signal(&mut self, signal: Signal) {
        for member in self.members() {
            if let Some(pidfd) = open(member) {
                let _ = pidfd_send_signal(&pidfd, signal);
            }
        }
    }

    /// Kills all of them, also those that are born meanwhile.
    pub(super) fn kill(&mut self) {
        for _ in 0..ROUNDS {
            let members = self.members();
            let mut any = false;
            for member in members {
                if let Some(pidfd) = open(member) {
                    any |= pidfd_send_signal(&pidfd, Signal::KILL).is_ok();
                }
            }
            if !any {
                return;
            }
        }
    }

    fn carries_mark(&self, pid: u32) -> bool {
        marks(pid).is_some_and(|mark| mark == self.mark.as_bytes())
    }
}

/// The mark in the environment of a process.
fn marks(pid: u32) -> Option<Vec<u8>> {
    let mut environment = Vec::new();
    let file = File::open(format!("/proc/{pid}/environ")).ok()?;
    // What could be read counts.
    let _ = file.take(MOST_ENVIRONMENT).read_to_end(&mut environment);
    let mut variables = environment.split(|byte| *byte == 0);
    variables.find_map(|variable| Some(variable.strip_prefix(MARK.as_bytes())?.strip_prefix(b"=")?.to_vec()))
}

/// What stands in the environment of a generation.
pub(super) fn mark(generation: u32) -> String {
    format!("{}:{generation}", std::process::id())
}

/// The children of a process, of all of its threads.
pub(super) fn children(pid: u32) -> Vec<u32> {
    let Ok(threads) = fs::read_dir(format!("/proc/{pid}/task")) else { return Vec::new() };
    let lists =
        threads.flatten().filter_map(|thread| fs::read_to_string(thread.path().join("children")).ok());
    lists
        .flat_map(|list| list.split_whitespace().filter_map(|n| n.parse().ok()).collect::<Vec<u32>>())
        .collect()
}

fn stat(pid: u32) -> Option<Stat> {
    Stat::parse(&fs::read(format!("/proc/{pid}/stat")).ok()?)
}

fn member(pid: u32) -> Option<Member> {
    Some(Member { pid, start_ticks: stat(pid)?.start_ticks })
}

/// Whether it only waits to be reaped.
fn is_over(pid: u32) -> bool {
    stat(pid).is_none_or(|stat| stat.main_thread_ended() && stat.threads <= 1)
}

/// A pidfd of that very process: opened first, then looked at again.
fn open(wanted: Member) -> Option<OwnedFd> {
    let number = i32::try_from(wanted.pid).ok().and_then(Pid::from_raw)?;
    let pidfd = pidfd_open(number, PidfdFlags::empty()).ok()?;
    (wanted.pid > 1 && member(wanted.pid) == Some(wanted)).then_some(pidfd)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::{Command, Stdio};

    #[test]
    fn a_tree_is_seen_and_killed_whole() {
        let mut child = Command::new("sh")
            .args(["-c", "sh -c 'sleep 60 & sleep 60' & sleep 60; true"])
            .env(MARK, mark(7))
            .stdin(Stdio::null())
            .spawn()
            .expect("a shell");
        let mut tree = Tree::new(7, child.id());
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
        while tree.members().len() < 5 {
            assert!(std::time::Instant::now() < deadline, "{:?}", tree.members());
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        assert!(tree.has(child.id()) && !tree.has(std::process::id()) && !tree.has(1));
        tree.kill();
        child.wait().expect("it was killed");
        assert!(tree.members().is_empty());
    }
}
