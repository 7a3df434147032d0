//! What this caller cannot see of other processes, and what would show it: tables of open files that
//! could not be read, a /proc that hides processes (`hidepid`), a pid namespace that is not the first.
//!
//! Not here: the search itself. Follows `proc_fd_permission`, `has_pid_permissions` and
//! `include/linux/proc_ns.h`.

use crate::process::{mounts, stat, status, users};
use crate::procfs;
use inuse_rules::BlindSpot;
use rustix::fd::AsFd;
use rustix::io::Errno;
use std::collections::{BTreeMap, BTreeSet};

/// `PROC_PID_INIT_INO`: the inode of the first pid namespace.
const FIRST_PID_NAMESPACE: u64 = 0xEFFF_FFFC;

/// The capability that opens every process's table.
const CAP_SYS_PTRACE: u32 = 19;

/// Users named in one blind spot.
const MOST_TOLD: usize = 8;

/// What this caller can see of processes.
pub(super) struct View {
    /// Processes with tables that could not be read, by effective user.
    unreadable: BTreeMap<Option<u32>, usize>,
    /// The mount option that hides whole processes from this caller.
    hidepid: Option<String>,
    first_namespace: bool,
    /// Whether the caller has the capability that ought to open everything.
    sees_all: bool,
    uid: u32,
}

/// The processes whose table was refused, sorted by what that means. Those of neither list are kernel
/// threads and processes that have ended, which have no table to hide.
#[derive(Default)]
pub(super) struct Refused {
    /// They may hold sockets unseen.
    pub(super) hiding: Vec<u32>,
    /// Their main thread has ended, which makes /proc/PID/fd root's; their other threads may be readable.
    pub(super) threads_only: Vec<u32>,
}

impl Refused {
    /// Sorts what the walk was refused.
    pub(super) fn sort(root: impl AsFd, refused: &BTreeSet<u32>) -> Refused {
        let mut sorted = Refused::default();
        for &pid in refused {
            match procfs::read(&root, format!("{pid}/stat"), 4096) {
                Ok(bytes) => match stat::Stat::parse(&bytes) {
                    Some(stat) if stat.kernel_thread() => {}
                    Some(stat) if !stat.main_thread_ended() => sorted.hiding.push(pid),
                    Some(stat) if stat.threads > 1 => sorted.threads_only.push(pid),
                    Some(_) => {}
                    None => sorted.hiding.push(pid),
                },
                Err(Errno::NOENT | Errno::SRCH) => {}
                // /proc hides even its state.
                Err(_) => sorted.hiding.push(pid),
            }
        }
        sorted
    }
}

impl View {
    /// What this caller sees, given the processes that may hold sockets unseen.
    pub(super) fn take(root: impl AsFd, hiding: impl Iterator<Item = u32>) -> View {
        let root = root.as_fd();
        let mut unreadable = BTreeMap::new();
        for pid in hiding.collect::<BTreeSet<u32>>() {
            let uid = procfs::read(root, format!("{pid}/status"), 4096).ok();
            let uid = uid.and_then(|bytes| status::Status::parse(&bytes).uid);
            *unreadable.entry(uid).or_insert(0) += 1;
        }
        let own = procfs::read(root, c"self/status", 16 * 1024).unwrap_or_default();
        let own = status::Status::parse(&own);
        let sees_all = own.capabilities & (1 << CAP_SYS_PTRACE) != 0;
        let mountinfo = procfs::read(root, c"self/mountinfo", 1 << 20).unwrap_or_default();
        let hidepid =
            mounts::hidden_processes(&mountinfo, |gid| own.groups.contains(&gid)).filter(|_| !sees_all);
        let first_namespace = in_first_pid_namespace(root);
        View { unreadable, hidepid, first_namespace, sees_all, uid: rustix::process::geteuid().as_raw() }
    }

    /// Whether a process of this pid namespace may hold a socket unseen.
    pub(super) fn hides(&self) -> bool {
        !self.unreadable.is_empty() || self.hidepid.is_some()
    }

    /// Whether this is the first pid namespace, from which every process shows.
    pub(super) fn first_namespace(&self) -> bool {
        self.first_namespace
    }

    /// Whether a socket of this user is the caller's, whose processes are rarely hidden.
    pub(super) fn is_own(&self, uid: Option<u32>) -> bool {
        uid == Some(self.uid)
    }

    /// What was not seen, given the users of the sockets that have no owner to show.
    pub(super) fn blind(&self, unexplained: &[Option<u32>]) -> Vec<BlindSpot> {
        let mut blind = Vec::new();
        let remedy = match (self.sees_all, self.uid) {
            (true, _) => "run it outside of the security policy or user namespace that refuses this",
            (false, 0) => "run it with CAP_SYS_PTRACE",
            (false, _) => "run it as root (sudo)",
        };
        let count: usize = self.unreadable.values().sum();
        if count > 0 {
            let mut what = format!("the open files of {count} {}", plural(count));
            let mut owners: Vec<u32> = unexplained.iter().copied().flatten().collect();
            owners.sort_unstable();
            owners.dedup();
            owners.truncate(MOST_TOLD);
            for uid in owners {
                let theirs = self.unreadable.get(&Some(uid)).copied().unwrap_or(0);
                let user = user(uid);
                what += &match theirs {
                    0 => format!("; a hidden socket belongs to {user}"),
                    _ => format!("; a hidden socket belongs to {user}, who runs {theirs} of them"),
                };
            }
            blind.push(BlindSpot { what, remedy: remedy.to_owned() });
        }
        if let Some(option) = &self.hidepid {
            blind.push(BlindSpot {
                what: format!("processes of other users: /proc is mounted with {option}"),
                remedy: remedy.to_owned(),
            });
        }
        if !self.first_namespace {
            blind.push(BlindSpot {
                what: "processes outside this pid namespace".to_owned(),
                remedy: "run it on the host (for a container: docker run --pid=host)".to_owned(),
            });
        }
        blind
    }
}

/// Whether the caller is in the first pid namespace.
pub(super) fn in_first_pid_namespace(root: impl AsFd) -> bool {
    procfs::namespace(root, c"self/ns/pid").is_ok_and(|inode| inode == FIRST_PID_NAMESPACE)
}

/// A /proc whose numbers are not those of the caller's pid namespace: its pids mean nothing here.
pub(super) fn foreign_proc(root: impl AsFd) -> Vec<BlindSpot> {
    let own = rustix::process::getpid().as_raw_nonzero().to_string();
    match procfs::link(root, c"self") {
        Ok(target) if target == own.as_bytes() => Vec::new(),
        _ => vec![BlindSpot {
            what: "process ids of this pid namespace: /proc belongs to another one".to_owned(),
            remedy: "mount the right proc (unshare --mount-proc)".to_owned(),
        }],
    }
}

/// A search that was stopped before its end.
pub(super) fn out_of_time(processes: usize) -> BlindSpot {
    let were = if processes == 1 { "process was" } else { "processes were" };
    BlindSpot {
        what: format!(
            "some of the owners: the open files of {processes} {were} not searched when the time was over"
        ),
        remedy: "ask without a limit of time".to_owned(),
    }
}

fn user(uid: u32) -> String {
    match users::name(uid) {
        Some(name) => format!("user {name}"),
        None => format!("uid {uid}"),
    }
}

const fn plural(count: usize) -> &'static str {
    if count == 1 { "process" } else { "processes" }
}
