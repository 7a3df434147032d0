//! The stage's outer process: it leaves the caller's namespaces before it has any thread, and forks
//! pid 1 of the stage.
//!
//! As root: network, pid and mount namespaces. Otherwise, or where root may not, a user namespace as
//! well, in which the one uid that the caller has is 0. When the caller goes, pid 1 is killed, and the
//! kernel kills all that is left in the pid namespace with it.

use super::{channel, init};
use crate::sys::fork::{Forked, fork};
use crate::sys::thread::unshare;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fd::OwnedFd;
use rustix::process::{
    Pid, PidfdFlags, Signal, WaitOptions, getegid, geteuid, pidfd_open, pidfd_send_signal, waitpid,
};
use rustix::thread::UnshareFlags;
use std::io;

/// Namespaces that a stage has of its own, whoever opens it.
const PRIVATE: UnshareFlags =
    UnshareFlags::NEWNET.union(UnshareFlags::NEWPID).union(UnshareFlags::NEWNS).union(UnshareFlags::NEWIPC);

/// Becomes the helper; standard input is the control pipe.
pub(crate) fn main() -> ! {
    let code = match run() {
        Ok(()) => 0,
        Err(why) => {
            // The caller reads this as the answer to its opening the stage.
            let _ = channel::send(rustix::stdio::stdin(), &["fail", &why], &[]);
            1
        }
    };
    std::process::exit(code)
}

/// Becomes a stage without namespaces of its own, for scenes that are content with a loopback port of the
/// machine; standard input is the control pipe. Orphans of the scene come to this process, and end with it.
pub(crate) fn here() -> ! {
    let adopts = rustix::process::set_child_subreaper(Some(rustix::process::getpid()));
    match adopts.map_err(|error| error.to_string()).and_then(|()| control_pipe()) {
        Ok(control) => init::here(control),
        Err(_) => std::process::exit(1),
    }
}

fn control_pipe() -> Result<OwnedFd, String> {
    rustix::io::fcntl_dupfd_cloexec(rustix::stdio::stdin(), 3).map_err(|e| format!("the control pipe: {e}"))
}

fn run() -> Result<(), String> {
    let control = control_pipe()?;
    let uids = leave_namespaces().map_err(|error| format!("private namespaces: {error}"))?;
    match fork().map_err(|error| format!("fork: {error}"))? {
        Forked::Child => {
            // The caller's end is watched by the helper; should the helper itself be killed, so are we.
            let _ = rustix::process::set_parent_process_death_signal(Some(Signal::KILL));
            init::main(control, uids)
        }
        Forked::Parent(pid) => watch(&control, pid).map_err(|error| format!("watching pid 1: {error}")),
    }
}

/// Leaves the caller's namespaces; true when the stage may have processes of several users.
fn leave_namespaces() -> io::Result<bool> {
    if geteuid().is_root() && unshare(PRIVATE).is_ok() {
        return Ok(std::fs::read_to_string("/proc/self/uid_map").is_ok_and(|map| has_users(&map)));
    }
    let (uid, gid) = (geteuid().as_raw(), getegid().as_raw());
    unshare(PRIVATE | UnshareFlags::NEWUSER)?;
    std::fs::write("/proc/self/setgroups", "deny")?;
    std::fs::write("/proc/self/uid_map", format!("0 {uid} 1"))?;
    std::fs::write("/proc/self/gid_map", format!("0 {gid} 1"))?;
    Ok(false)
}

/// Whether a uid_map has the users of the scenes; that of a container's root may have none but root.
fn has_users(map: &str) -> bool {
    map.lines().any(|line| {
        let numbers: Vec<u64> = line.split_ascii_whitespace().filter_map(|word| word.parse().ok()).collect();
        matches!(numbers[..], [first, _, count] if first <= 1000 && first + count > 1001)
    })
}

/// Waits until pid 1 of the stage has ended, and kills it when the caller is gone.
fn watch(control: &OwnedFd, pid: Pid) -> io::Result<()> {
    let init = pidfd_open(pid, PidfdFlags::empty())?;
    loop {
        let mut polled = [PollFd::new(&init, PollFlags::IN), PollFd::new(control, PollFlags::empty())];
        match poll(&mut polled, None) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        let [of_init, of_control] = polled.map(|polled| !polled.revents().is_empty());
        if of_control && !of_init {
            pidfd_send_signal(&init, Signal::KILL)?;
        }
        if of_control || of_init {
            waitpid(Some(pid), WaitOptions::empty())?;
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::has_users;

    #[test]
    fn a_map_with_root_alone_has_no_users() {
        let check = |map: &str, expect| assert_eq!(has_users(map), expect, "{map}");
        check("         0          0 4294967295\n", true);
        check("         0       1000          1\n", false);
        check("0 1000 1\n1 100000 65536\n", true);
        check("0 1000 1\n1 100000 1000\n", false);
        check("", false);
    }
}
