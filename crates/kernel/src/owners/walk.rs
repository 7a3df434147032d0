//! The walk: every descriptor of every process (or of every thread with a table of its own), with the
//! text of its link. One getdents per some hundred descriptors, one readlink each, no allocation.
//!
//! Not here: what is looked for. The visitor decides, and whatever else can enumerate open files (a BPF
//! `task_file` iterator) may call the same visitor. Follows `proc_readfd_common` and `proc_fd_link`
//! in `fs/proc/fd.c`.

use crate::procfs::{self, DirBuf};
use crate::sys::kcmp;
use rustix::fd::{AsFd, BorrowedFd};
use rustix::io::Errno;
use std::cell::Cell;
use std::collections::BTreeSet;
use std::ffi::CStr;
use std::io::Write as _;
use std::mem::MaybeUninit;
use std::time::Instant;

/// Descriptors between two looks at the clock: some milliseconds' worth.
const DESCRIPTORS_A_LOOK: u32 = 1024;

/// Until when a walk may go on, and whether that ended it.
#[derive(Default)]
pub(super) struct Until {
    deadline: Option<Instant>,
    came: Cell<bool>,
}

impl Until {
    /// Until this moment; `None`: to the end.
    pub(super) fn new(deadline: Option<Instant>) -> Until {
        Until { deadline, came: Cell::new(false) }
    }

    /// Whether the moment has come; once it has, that stays.
    pub(super) fn has_come(&self) -> bool {
        if !self.came.get() {
            self.came.set(self.deadline.is_some_and(|deadline| deadline <= Instant::now()));
        }
        self.came.get()
    }
}

/// One open descriptor in one table of open files.
pub(super) struct Entry<'a> {
    /// The process.
    pub(super) pid: u32,
    /// The thread, when the table is its own.
    pub(super) tid: Option<u32>,
    /// The descriptor's number.
    pub(super) fd: u32,
    /// What it is: `socket:[1]`, `/dev/null`, `anon_inode:[io_uring]`. Cut when longer than any of these.
    pub(super) link: &'a [u8],
    /// The table's directory, `/proc/PID/fd` or `/proc/PID/task/TID/fd`.
    pub(super) dir: BorrowedFd<'a>,
}

impl Entry<'_> {
    /// The descriptor's fdinfo, at most `most` bytes. Reached from the table's own directory, so it is of
    /// the same process whatever became of the pid.
    pub(super) fn info(&self, most: usize) -> rustix::io::Result<Vec<u8>> {
        let path = SmallPath::new(format_args!("../fdinfo/{}", self.fd));
        procfs::read(self.dir, path.as_c_str(), most)
    }
}

/// Every process that /proc lists now.
pub(super) fn processes(root: impl AsFd) -> rustix::io::Result<Vec<u32>> {
    let mut pids = Vec::new();
    procfs::numbers(root, &mut procfs::dir_buf(), |_, pid| pids.push(pid))?;
    Ok(pids)
}

/// Visits every descriptor in the tables of these processes. Gives those whose table could not be read, or
/// not to the end, for want of permission. Once the time is over, it stops where it is.
pub(super) fn tables(
    root: impl AsFd,
    pids: &[u32],
    until: &Until,
    mut visit: impl FnMut(&Entry<'_>),
) -> BTreeSet<u32> {
    let root = root.as_fd();
    let mut buf = procfs::dir_buf();
    let mut refused = BTreeSet::new();
    for &pid in pids {
        if until.has_come() {
            break;
        }
        let path = SmallPath::new(format_args!("{pid}/fd"));
        if let Err(Errno::ACCESS | Errno::PERM) = table(root, &path, pid, None, until, &mut buf, &mut visit) {
            refused.insert(pid);
        }
    }
    refused
}

/// Visits every descriptor in the table of every thread of these processes that does not share its
/// process's table: after unshare(CLONE_FILES), or when the main thread has exited. A table that several
/// of them share is visited once. Gives the processes of which a table was refused.
pub(super) fn threads(
    root: impl AsFd,
    pids: &[u32],
    until: &Until,
    mut visit: impl FnMut(&Entry<'_>),
) -> BTreeSet<u32> {
    let root = root.as_fd();
    let mut buf = procfs::dir_buf();
    let (mut tids, mut tables, mut refused) = (Vec::new(), Vec::new(), BTreeSet::new());
    for &pid in pids {
        if until.has_come() {
            break;
        }
        tids.clear();
        tables.clear();
        tables.push(pid);
        let path = SmallPath::new(format_args!("{pid}/task"));
        let Ok(tasks) = procfs::open_dir(root, path.as_c_str()) else { continue };
        let _ = procfs::numbers(&tasks, &mut buf, |_, tid| tids.push(tid));
        for &tid in tids.iter().filter(|&&tid| tid != pid) {
            // Where kcmp is not permitted or not built in, the table is looked through all the same.
            if tables.iter().any(|&other| kcmp::same_files(other, tid) == Ok(true)) {
                continue;
            }
            tables.push(tid);
            let path = SmallPath::new(format_args!("{tid}/fd"));
            let seen = table(tasks.as_fd(), &path, pid, Some(tid), until, &mut buf, &mut visit);
            if let Err(Errno::ACCESS | Errno::PERM) = seen {
                refused.insert(pid);
            }
        }
    }
    refused
}

/// Visits one table; the first refused link ends it, since the rest would be refused as well.
fn table(
    at: BorrowedFd<'_>,
    path: &SmallPath,
    pid: u32,
    tid: Option<u32>,
    until: &Until,
    buf: &mut DirBuf,
    visit: &mut impl FnMut(&Entry<'_>),
) -> rustix::io::Result<()> {
    let table = procfs::open_dir(at, path.as_c_str())?;
    let dir = table.as_fd();
    let mut target = [MaybeUninit::<u8>::uninit(); 64];
    let mut refused = None;
    let mut seen = 0u32;
    procfs::numbers(dir, buf, |name, fd| {
        seen = seen.wrapping_add(1);
        if refused.is_some()
            || (seen.is_multiple_of(DESCRIPTORS_A_LOOK) && until.has_come())
            || until.came.get()
        {
            return;
        }
        match rustix::fs::readlinkat_raw(dir, name, &mut target) {
            Ok((link, _)) => visit(&Entry { pid, tid, fd, link, dir }),
            Err(error @ (Errno::ACCESS | Errno::PERM)) => refused = Some(error),
            Err(_) => {}
        }
    })?;
    refused.map_or(Ok(()), Err)
}

/// A short path in a buffer on the stack.
struct SmallPath([u8; 32]);

impl SmallPath {
    /// Every caller's path fits: two numbers of ten digits and a word.
    fn new(text: std::fmt::Arguments<'_>) -> SmallPath {
        let mut bytes = [0; 32];
        let _ = (&mut bytes[..31]).write_fmt(text);
        SmallPath(bytes)
    }

    fn as_c_str(&self) -> &CStr {
        CStr::from_bytes_until_nul(&self.0).unwrap_or(c"")
    }
}
