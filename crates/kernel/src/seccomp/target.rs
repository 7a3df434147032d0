//! The task that asks: its memory and its descriptors, through one descriptor of `/proc/TID`.
//!
//! `/proc/TID` stays with that very task, and a question that is still valid after a look proves that the look
//! was at the caller. Memory is read through `/proc/TID/mem` and not with process_vm_readv(2): the kernel does not
//! wait there for a page that the caller keeps back with userfaultfd(2), so a caller cannot hold us up.
//!
//! Everything needs the right of ptrace(2), `PTRACE_MODE_ATTACH`.

use crate::process::fdinfo;
use crate::{duplicate, procfs};
use rustix::fd::OwnedFd;
use rustix::fs::{Mode, OFlags};
use rustix::io::{Errno, Result};
use rustix::process::{Pid, PidfdFlags, PidfdGetfdFlags};

/// Bytes of a status or fdinfo file.
const MOST_FILE: usize = 64 * 1024;

/// A task that waits for an answer.
#[derive(Debug)]
pub struct Target {
    tid: u32,
    dir: OwnedFd,
}

impl Target {
    /// The task with this id.
    pub fn new(tid: u32) -> Result<Target> {
        Ok(Target { tid, dir: procfs::open_dir(procfs::open_root()?, tid.to_string())? })
    }

    /// Its thread id.
    pub fn tid(&self) -> u32 {
        self.tid
    }

    /// Its process.
    pub fn tgid(&self) -> Result<u32> {
        let status = procfs::read(&self.dir, c"status", MOST_FILE)?;
        tgid(&status).ok_or(Errno::INVAL)
    }

    /// Fills `into` from the caller's memory and says how much there was before it ended.
    pub fn memory(&self, address: u64, into: &mut [u8]) -> Result<usize> {
        let mem = rustix::fs::openat(&self.dir, c"mem", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
        // An offset is signed; user space ends far below.
        if i64::try_from(address).is_err() {
            return Err(Errno::FAULT);
        }
        rustix::io::pread(&mem, into, address)
    }

    /// A directory of the task for looking up paths as it does: its working directory, or its root.
    pub fn place(&self, relative: bool) -> Result<OwnedFd> {
        let name = if relative { c"cwd" } else { c"root" };
        rustix::fs::openat(&self.dir, name, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
    }

    /// The path of its working directory, as this process would see it.
    pub fn cwd(&self) -> Result<Vec<u8>> {
        procfs::link(&self.dir, c"cwd")
    }

    /// The numbers under which it has the socket with this inode.
    pub fn numbers_of(&self, inode: u64) -> Result<Vec<u32>> {
        let fds = procfs::open_dir(&self.dir, c"fd")?;
        let mut numbers = Vec::new();
        procfs::numbers(&fds, &mut procfs::dir_buf(), |name, fd| {
            if procfs::link(&fds, name).ok().and_then(|link| procfs::socket_inode(&link)) == Some(inode) {
                numbers.push(fd);
            }
        })?;
        Ok(numbers)
    }

    /// The inode of the socket that it has as `fd`; `None` for any other file, and for none.
    pub fn socket(&self, fd: u32) -> Option<u64> {
        procfs::socket_inode(&procfs::link(&self.dir, format!("fd/{fd}")).ok()?)
    }

    /// Whether its descriptor closes on exec. A duplicate does not tell: it is another descriptor.
    pub fn close_on_exec(&self, fd: u32) -> bool {
        let fdinfo = procfs::read(&self.dir, format!("fdinfo/{fd}"), MOST_FILE);
        fdinfo.ok().and_then(|text| fdinfo::close_on_exec(&text)).unwrap_or(false)
    }

    /// A duplicate of a descriptor of its process (pidfd_getfd(2), Linux 5.6). A thread with a table of its own
    /// needs Linux 6.9.
    pub fn duplicate(&self, fd: u32) -> Result<OwnedFd> {
        let fd = i32::try_from(fd).map_err(|_| Errno::BADF)?;
        let thread = PidfdFlags::from_bits_retain(libc::PIDFD_THREAD);
        let pidfd = match rustix::process::pidfd_open(task(self.tid)?, thread) {
            // Before 6.9 a pidfd is of a whole process.
            Err(Errno::INVAL) => rustix::process::pidfd_open(task(self.tgid()?)?, PidfdFlags::empty())?,
            opened => opened?,
        };
        rustix::process::pidfd_getfd(&pidfd, fd, PidfdGetfdFlags::empty())
    }
}

/// The inode of an open socket, as its link in /proc shows it; `None` for any other file.
pub fn socket_inode(fd: &OwnedFd) -> Option<u64> {
    duplicate::socket_inode(fd).ok().flatten()
}

fn task(id: u32) -> Result<Pid> {
    i32::try_from(id).ok().and_then(Pid::from_raw).ok_or(Errno::SRCH)
}

fn tgid(status: &[u8]) -> Option<u32> {
    let mut lines = status.split(|&b| b == b'\n');
    let value = lines.find_map(|line| line.strip_prefix(b"Tgid:"))?;
    procfs::decimal(value.trim_ascii()).and_then(|id| u32::try_from(id).ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;
    use std::os::fd::AsRawFd as _;

    #[test]
    fn a_task_is_read() {
        let target =
            Target::new(rustix::thread::gettid().as_raw_nonzero().get() as u32).expect("this thread");
        assert_eq!(target.tgid(), Ok(std::process::id()));
        let words = *b"some words";
        let mut read = [0; 10];
        let address = words.as_ptr().expose_provenance() as u64;
        assert_eq!(target.memory(address, &mut read), Ok(10));
        assert_eq!(read, words);
        for nowhere in [0, 1, u64::MAX, 1 << 63, 1 << 47] {
            assert!(target.memory(nowhere, &mut read).is_err(), "{nowhere:#x}");
        }

        let socket = TcpListener::bind("127.0.0.1:0").expect("loopback");
        let fd = socket.as_raw_fd() as u32;
        let duplicate = target.duplicate(fd).expect("our own");
        assert_eq!(target.socket(fd), socket_inode(&duplicate));
        drop(duplicate);
        assert!(target.close_on_exec(fd));
        assert_eq!(target.socket(fd).and_then(|inode| target.numbers_of(inode).ok()), Some(vec![fd]));
        assert_eq!(target.socket(1 << 20), None);
        assert_eq!(target.duplicate(1 << 20).err(), Some(Errno::BADF));
        assert_eq!(target.duplicate(u32::MAX).err(), Some(Errno::BADF));
    }

    #[test]
    fn the_process_of_a_thread() {
        let check = |status: &[u8], expect| assert_eq!(tgid(status), expect, "{}", status.escape_ascii());
        check(b"Name:\tx\nTgid:\t77\nNgid:\t0\n", Some(77));
        check(b"Tgid:\n", None);
        check(b"Tgid:\t99999999999\n", None);
        check(b"", None);
    }
}
