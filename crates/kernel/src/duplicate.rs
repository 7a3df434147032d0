//! A duplicate of a socket that another process has open: pidfd_open(2), pidfd_getfd(2), and the proof
//! that it is the socket meant.
//!
//! While the duplicate exists the socket stays open even if its owner closes it, so it keeps the address
//! taken: callers ask their question and drop it, and never hold it across output or waiting.
//!
//! Not here: what is asked of it (`options`, `owners`).

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fd::OwnedFd;
use rustix::io::{Errno, Result};
use rustix::process::{Pid, PidfdFlags, PidfdGetfdFlags};

/// The socket with this inode that the process (or the thread, for a table of its own) has as `fd`.
/// ESTALE when that descriptor is something else by now; EPERM without the rights of ptrace(2).
pub(crate) fn socket(pid: u32, tid: Option<u32>, fd: u32, inode: u64) -> Result<OwnedFd> {
    let duplicate = descriptor(&table(pid, tid)?, fd)?;
    match socket_inode(&duplicate)? {
        Some(found) if found == inode => Ok(duplicate),
        _ => Err(Errno::STALE),
    }
}

/// A pidfd of a process, or of a thread, for a table of its own.
pub(crate) fn table(pid: u32, tid: Option<u32>) -> Result<OwnedFd> {
    match tid {
        None => rustix::process::pidfd_open(task(pid)?, PidfdFlags::empty()),
        // Linux 6.9; EINVAL before.
        Some(tid) => {
            rustix::process::pidfd_open(task(tid)?, PidfdFlags::from_bits_retain(libc::PIDFD_THREAD))
        }
    }
}

/// What the owner of that table has as `fd`, whatever it is. EBADF where it has nothing there.
pub(crate) fn descriptor(table: &OwnedFd, fd: u32) -> Result<OwnedFd> {
    let fd = i32::try_from(fd).map_err(|_| Errno::BADF)?;
    rustix::process::pidfd_getfd(table, fd, PidfdGetfdFlags::empty())
}

/// Whether the process or thread of a pidfd has not ended.
pub(crate) fn is_alive(table: &OwnedFd) -> bool {
    let mut polled = [PollFd::new(table, PollFlags::IN)];
    matches!(poll(&mut polled, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })), Ok(0))
}

/// The inode of an open socket in sockfs, as its link in /proc shows it; `None` for any other file.
pub(crate) fn socket_inode(fd: &OwnedFd) -> Result<Option<u64>> {
    let stat = rustix::fs::fstat(fd)?;
    let is_socket = rustix::fs::FileType::from_raw_mode(stat.st_mode) == rustix::fs::FileType::Socket;
    Ok(is_socket.then_some(stat.st_ino))
}

fn task(id: u32) -> Result<Pid> {
    i32::try_from(id).ok().and_then(Pid::from_raw).ok_or(Errno::SRCH)
}
