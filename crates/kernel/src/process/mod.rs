//! What is known of a process, from /proc (proc(5)).
//!
//! Every file is read through one descriptor of `/proc/PID`, so the facts are of one process even if its
//! pid is given out again meanwhile. What the process chose itself (name, arguments) is bounded here and
//! stays bytes; escaping it is the views' duty.
//!
//! The files' formats are pure functions in the modules below; they take any bytes and never panic.

pub mod cgroup;
pub mod containers;
pub mod fdinfo;
pub mod mounts;
pub mod publishes;
pub mod stat;
pub mod status;
pub mod syscall;
pub mod users;

use crate::procfs;
use inuse_rules::Process;
use inuse_rules::owner::Ancestor;
use rustix::fd::{AsFd, BorrowedFd};
use stat::Stat;
use status::Status;

/// Arguments kept of a command line.
pub const MOST_ARGUMENTS: usize = 64;

/// Bytes kept of a command line.
pub const MOST_CMDLINE: usize = 4096;

/// Stands as the last argument where a command line was cut.
pub const CUT: &[u8] = "…".as_bytes();

/// Steps up the family tree.
const MOST_ANCESTORS: usize = 32;

/// Bytes of stat, status and cgroup; the kernel's own are below 2 KiB, save for the groups of a user in
/// thousands of them and a cgroup nested without sense.
const MOST_FILE: usize = 64 * 1024;

/// Reads what is known of a process; `None` when there is none with this pid, or it cannot be seen.
pub fn read(pid: u32) -> Option<Process> {
    let root = procfs::open_root().ok()?;
    read_in(root.as_fd(), pid)
}

/// What a table of many processes shows of one: `comm`, `exe`, user, unit, container and what it publishes.
/// All else stays at its default, since each file of /proc costs as much as all of that is worth there.
pub fn brief(pid: u32) -> Option<Process> {
    let root = procfs::open_root().ok()?;
    let dir = procfs::open_dir(root, pid.to_string()).ok()?;
    let mut comm = procfs::read(&dir, c"comm", 64).ok()?;
    comm.truncate(comm.strip_suffix(b"\n").unwrap_or(&comm).len());
    let uid = procfs::read(&dir, c"status", MOST_FILE).ok().and_then(|bytes| Status::parse(&bytes).uid);
    let exe = procfs::link(&dir, c"exe").ok();
    let cgroup = procfs::read(&dir, c"cgroup", MOST_FILE).ok();
    let cgroup = cgroup.as_deref().and_then(cgroup::path);
    let cmdline =
        || procfs::read(&dir, c"cmdline", MOST_CMDLINE + 1).map(|b| arguments(&b)).unwrap_or_default();
    Some(Process {
        pid,
        uid,
        user: uid.and_then(users::name),
        unit: cgroup.and_then(cgroup::unit),
        container: cgroup.and_then(cgroup::container),
        publishes: publishes::read(&comm, exe.as_deref(), &[])
            .and_then(|_| publishes::read(&comm, exe.as_deref(), &cmdline())),
        exe,
        comm,
        ..Process::default()
    })
}

/// When a process started, in clock ticks since boot. Together with the pid this names the process: ask
/// again before acting on a pid that was read earlier.
pub fn start_ticks(pid: u32) -> Option<u64> {
    let root = procfs::open_root().ok()?;
    stat_of(root.as_fd(), pid).map(|stat| stat.start_ticks)
}

/// The parent of a process; `None` when there is none with this pid.
pub fn parent(pid: u32) -> Option<u32> {
    let root = procfs::open_root().ok()?;
    stat_of(root.as_fd(), pid).map(|stat| stat.ppid)
}

fn read_in(root: BorrowedFd<'_>, pid: u32) -> Option<Process> {
    let dir = procfs::open_dir(root, pid.to_string()).ok()?;
    let stat = Stat::parse(&procfs::read(&dir, c"stat", MOST_FILE).ok()?)?;
    let status =
        procfs::read(&dir, c"status", MOST_FILE).map(|bytes| Status::parse(&bytes)).unwrap_or_default();
    let exe = procfs::link(&dir, c"exe").ok();
    let cmdline = procfs::read(&dir, c"cmdline", MOST_CMDLINE + 1).map(|b| arguments(&b)).unwrap_or_default();
    let cgroup = procfs::read(&dir, c"cgroup", MOST_FILE).ok();
    let cgroup = cgroup.as_deref().and_then(cgroup::path);
    Some(Process {
        pid,
        uid: status.uid,
        user: status.uid.and_then(users::name),
        state: stat.state,
        ppid: stat.ppid,
        session: stat.session,
        tty: stat.tty(),
        start_ticks: stat.start_ticks,
        started_ms: since_epoch(stat.start_ticks),
        threads: stat.threads,
        ancestry: ancestry(root, &stat),
        unit: cgroup.and_then(cgroup::unit),
        container: cgroup.and_then(cgroup::container),
        cgroup: cgroup.map(<[u8]>::to_vec),
        publishes: publishes::read(&stat.comm, exe.as_deref(), &cmdline),
        cwd: procfs::link(&dir, c"cwd").ok(),
        netns: procfs::namespace(&dir, c"ns/net").ok(),
        exe,
        cmdline,
        comm: stat.comm,
    })
}

fn stat_of(root: BorrowedFd<'_>, pid: u32) -> Option<Stat> {
    Stat::parse(&procfs::read(root, format!("{pid}/stat"), MOST_FILE).ok()?)
}

/// Parent, grandparent and so on. A parent is older than its child: a younger one has only been given
/// the pid, and ends the line, which also rules out circles (the bound catches equal times).
fn ancestry(root: BorrowedFd<'_>, child: &Stat) -> Vec<Ancestor> {
    let mut ancestors: Vec<Ancestor> = Vec::new();
    let (mut pid, mut younger) = (child.ppid, child.start_ticks);
    while pid != 0 && ancestors.len() < MOST_ANCESTORS && ancestors.iter().all(|known| known.pid != pid) {
        let Some(stat) = stat_of(root, pid).filter(|stat| stat.start_ticks <= younger) else { break };
        ancestors.push(Ancestor { pid, comm: stat.comm, start_ticks: stat.start_ticks });
        (pid, younger) = (stat.ppid, stat.start_ticks);
    }
    ancestors
}

/// The arguments of a command line, at most [`MOST_ARGUMENTS`] and [`MOST_CMDLINE`] bytes, then [`CUT`].
/// A program that rewrote its title leaves empty ones at the end, which say nothing.
fn arguments(cmdline: &[u8]) -> Vec<Vec<u8>> {
    let kept = cmdline.get(..MOST_CMDLINE).unwrap_or(cmdline);
    let mut cut = kept.len() < cmdline.len();
    let end = kept.iter().rposition(|&b| b != 0).map_or(0, |last| last + 1);
    let Some(kept) = kept.get(..end).filter(|kept| !kept.is_empty()) else { return Vec::new() };
    let mut words = kept.split(|&b| b == 0).map(<[u8]>::to_vec);
    let mut arguments: Vec<Vec<u8>> = words.by_ref().take(MOST_ARGUMENTS).collect();
    cut |= words.next().is_some();
    if cut {
        arguments.push(CUT.to_vec());
    }
    arguments
}

/// Milliseconds since the Unix epoch of a moment in clock ticks since boot. The clock of boot goes on
/// during suspend, as start times do (`task_struct.start_boottime`).
fn since_epoch(ticks: u64) -> Option<u64> {
    let boot = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    let since_boot_ms =
        u64::try_from(boot.tv_sec).ok()? * 1000 + u64::try_from(boot.tv_nsec).ok()? / 1_000_000;
    let started_ms = ticks.checked_mul(1000)? / rustix::param::clock_ticks_per_second().max(1);
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).ok()?;
    u64::try_from(now.as_millis()).ok()?.checked_sub(since_boot_ms.checked_sub(started_ms)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn command_lines_are_bounded() {
        let check = |bytes: &[u8], expect: &[&[u8]]| assert_eq!(arguments(bytes), expect);
        check(b"node\0server.js\0", &[b"node", b"server.js"]);
        check(b"node\0\0--\0", &[b"node", b"", b"--"]);
        check(b"nginx: master process\0\0\0\0", &[b"nginx: master process"]);
        check(b"no end", &[b"no end"]);
        check(b"", &[]);
        check(b"\0\0", &[]);

        let many = arguments(&b"x\0".repeat(100));
        assert_eq!((many.len(), many.last().map(Vec::as_slice)), (MOST_ARGUMENTS + 1, Some(CUT)));
        let long = arguments(&vec![b'x'; MOST_CMDLINE + 1]);
        assert_eq!((long[0].len(), &long[1][..]), (MOST_CMDLINE, CUT));
    }

    #[test]
    fn this_process_is_read_whole() {
        let me = read(std::process::id()).expect("this process");
        assert_eq!(me.uid, Some(rustix::process::geteuid().as_raw()));
        assert_eq!(
            me.exe.as_deref(),
            std::env::current_exe().ok().map(|p| p.into_os_string().into_encoded_bytes()).as_deref()
        );
        // A parent outside of our pid namespace has no number, and hidepid= hides one of another user.
        let is_seen = |pid: &u32| std::path::Path::new(&format!("/proc/{pid}/stat")).exists();
        assert_eq!(me.ancestry.first().map(|a| a.pid), Some(me.ppid).filter(is_seen));
        assert!(me.netns.is_some() && me.threads >= 1 && me.state == b'R' || me.state == b'S');
        let age = std::time::UNIX_EPOCH.elapsed().expect("after 1970").as_millis() as u64
            - me.started_ms.expect("a start");
        assert!(age < 3_600_000, "started {age} ms ago");
        assert_eq!(start_ticks(me.pid), Some(me.start_ticks));
    }

    #[test]
    fn in_brief_it_is_the_same_process() {
        let (me, brief) =
            (read(std::process::id()).expect("this"), super::brief(std::process::id()).expect("this"));
        let told = |p: Process| (p.pid, p.exe, p.uid, p.user, p.unit, p.container, p.publishes);
        assert_eq!(brief.comm, me.comm);
        assert_eq!(told(brief), told(me));
    }

    #[test]
    fn no_process_is_nothing() {
        assert_eq!(read(0), None);
        assert_eq!(brief(0), None);
        assert_eq!(read(u32::MAX), None);
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes: Vec<u8>) {
            prop_assert!(arguments(&bytes).len() <= MOST_ARGUMENTS + 1);
        }
    }
}
