//! Evidence: the only way to a signal.
//!
//! A [`Target`] is made by [`Target::check`] alone, in this order: pidfd_open(2) of the pid, then
//! `/proc/PID` as a directory, then through that directory the start time and the descriptor that is the
//! socket, then the pidfd once more, which must still be alive. A pid is not given out again while its
//! process lives, so the directory and the pidfd are then of one process: the one that was looked at, with
//! the socket in its hands.
//!
//! The window that remains: between the check and the signal that process may close the socket, or become
//! another program by execve(2); it is then asked to end although it no longer holds the address. Another
//! process cannot be hit: a pidfd never comes to name one.

use super::plan::{Hold, Road, Suspect};
use inuse_kernel::owners;
use inuse_kernel::process::stat::Stat;
use inuse_rules::Ownership;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{CWD, Dir, Mode, OFlags, openat, readlinkat_raw};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use std::fmt;
use std::fs::File;
use std::io::Read as _;
use std::mem::MaybeUninit;

/// The most bytes of a stat file; the kernel's are below 1 KiB.
const MOST_STAT: u64 = 4096;

/// A process that was proven, just now, to be the one that was seen, and to hold what it was seen with.
#[derive(Debug)]
pub struct Target {
    pidfd: OwnedFd,
    directory: OwnedFd,
    suspect: Suspect,
    stopped: bool,
}

/// Why a suspect is no target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unfit {
    /// It has ended.
    Gone,
    /// Its pid names another process by now.
    Another,
    /// It no longer has the socket.
    LetGo,
    /// It is never a target: process 1, or this very process.
    Never,
    /// The kernel does not let us look.
    Refused(Errno),
}

impl fmt::Display for Unfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Unfit::Gone => f.write_str("it had ended already"),
            Unfit::Another => f.write_str("its pid names another process by now, which was left alone"),
            Unfit::LetGo => f.write_str("it had let go already, and was left alone"),
            Unfit::Never => f.write_str("it is never signalled"),
            Unfit::Refused(errno) => {
                write!(f, "it could not be looked at again ({errno}), and was left alone")
            }
        }
    }
}

impl Target {
    /// Looks at a suspect again.
    ///
    /// # Errors
    /// When it is not provably the same process with the same socket.
    pub fn check(suspect: &Suspect) -> Result<Target, Unfit> {
        let pid = suspect.process.pid;
        if pid <= 1 || pid == std::process::id() {
            return Err(Unfit::Never);
        }
        let number = i32::try_from(pid).ok().and_then(Pid::from_raw).ok_or(Unfit::Never)?;
        let pidfd = pidfd_open(number, PidfdFlags::empty()).map_err(unfit)?;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let directory = openat(CWD, format!("/proc/{pid}"), flags, Mode::empty()).map_err(unfit)?;
        let mut target = Target { pidfd, directory, suspect: suspect.clone(), stopped: false };
        target.look_again()?;
        Ok(target)
    }

    /// The same check once more, of the same process: before a second signal.
    ///
    /// # Errors
    /// As [`Target::check`].
    pub fn look_again(&mut self) -> Result<(), Unfit> {
        let stat = stat(&self.directory)?;
        if stat.start_ticks != self.suspect.process.start_ticks {
            return Err(Unfit::Another);
        }
        if !self.suspect.holds.iter().any(|hold| self.has(hold)) {
            return Err(if self.is_alive() { Unfit::LetGo } else { Unfit::Gone });
        }
        if !self.is_alive() {
            return Err(Unfit::Gone);
        }
        self.stopped = stat.state == b'T';
        Ok(())
    }

    /// Sends it a signal, through its pidfd.
    ///
    /// # Errors
    /// `ESRCH` when it has ended, `EPERM` when it is another user's.
    pub fn signal(&self, signal: Signal) -> Result<(), Errno> {
        pidfd_send_signal(&self.pidfd, signal)
    }

    /// Whether it was stopped when it was looked at: it sees no SIGTERM until it is continued.
    pub fn is_stopped(&self) -> bool {
        self.stopped
    }

    /// Whether it has not ended (all of its threads).
    pub fn is_alive(&self) -> bool {
        let mut polled = [PollFd::new(&self.pidfd, PollFlags::IN)];
        matches!(poll(&mut polled, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })), Ok(0))
    }

    /// The process as it was seen.
    pub fn suspect(&self) -> &Suspect {
        &self.suspect
    }

    /// Readable when it has ended.
    pub fn pidfd(&self) -> BorrowedFd<'_> {
        self.pidfd.as_fd()
    }

    fn has(&self, hold: &Hold) -> bool {
        match hold.road {
            Road::Process => in_table(&self.directory, "fd", hold),
            Road::Thread(tid) => in_table(&self.directory, &format!("task/{tid}/fd"), hold),
            // No descriptor of its own names the socket: the whole search is done again, and the pidfd, which
            // is looked at last, says that the pid still means this process.
            Road::Flight | Road::Ring => {
                let wanted = owners::Wanted { inode: hold.inode, uid: None };
                let found = owners::find(&[wanted], &owners::FindOptions::default()).found;
                let owner = found.get(&hold.inode);
                let certain = !matches!(owner, Some(Ownership::InFlight { proven: false, .. }));
                let holdings = owner.map(Ownership::holdings).unwrap_or_default();
                certain && holdings.iter().any(|holding| holding.pid == self.suspect.process.pid)
            }
        }
    }
}

/// Whether a table of open files has the socket: at the numbers that were seen, or anywhere.
fn in_table(directory: &OwnedFd, table: &str, hold: &Hold) -> bool {
    let wanted = format!("socket:[{}]", hold.inode);
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let Ok(table) = openat(directory, table, flags, Mode::empty()) else { return false };
    let is_it = |name: &[u8]| {
        let mut buffer = [MaybeUninit::uninit(); 64];
        matches!(readlinkat_raw(&table, name, &mut buffer), Ok((target, _)) if *target == *wanted.as_bytes())
    };
    if hold.fds.iter().any(|fd| is_it(fd.to_string().as_bytes())) {
        return true;
    }
    let entries = Dir::read_from(&table).into_iter().flatten().flatten();
    entries.into_iter().any(|entry| is_it(entry.file_name().to_bytes()))
}

fn stat(directory: &OwnedFd) -> Result<Stat, Unfit> {
    let file = openat(directory, "stat", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).map_err(unfit)?;
    let mut bytes = Vec::new();
    File::from(file)
        .take(MOST_STAT)
        .read_to_end(&mut bytes)
        .map_err(|error| unfit(Errno::from_io_error(&error).unwrap_or(Errno::IO)))?;
    Stat::parse(&bytes).ok_or(Unfit::Gone)
}

fn unfit(errno: Errno) -> Unfit {
    match errno {
        Errno::SRCH | Errno::NOENT => Unfit::Gone,
        errno => Unfit::Refused(errno),
    }
}
