//! The walk: every descriptor of every process (or of every thread with a table of its own), with the
//! text of its link. One getdents per some hundred descriptors, one readlink each, no allocation.
//!
//! Not here: what is looked for; the visitor decides. Follows `proc_readfd_common` and `proc_fd_link`
//! in `fs/proc/fd.c`.

use crate::procfs::{self, DirBuf};
use crate::sys::kcmp;
use rustix::fd::{AsFd, BorrowedFd};
#[cfg(feature = "bpf")]
use rustix::fs::AtFlags;
use rustix::io::Errno;
use std::collections::BTreeSet;
use std::ffi::CStr;
use std::io::Write as _;
use std::mem::MaybeUninit;
use std::num::NonZero;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::Builder;
use std::time::Instant;

/// The clock is asked once in so many descriptors.
const STRIDE: u32 = 256;
/// Threads that walk at the same time: the kernel's locks let more be of little use.
const MOST_WORKERS: usize = 8;
/// So many processes are sooner walked than a thread is started.
const WORTH_A_THREAD: usize = 64;
/// The stack of such a thread: a [`DirBuf`] and little else.
const STACK: usize = 128 * 1024;

/// Where a descriptor is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    /// The process.
    pub(super) pid: u32,
    /// The thread, when the table of open files is its own.
    pub(super) tid: Option<u32>,
    /// The descriptor's number.
    pub(super) fd: u32,
}

/// One open descriptor in one table of open files.
pub(super) struct Entry<'a> {
    /// Where it is.
    pub(super) place: Place,
    /// What it is: `socket:[1]`, `/dev/null`, `anon_inode:[io_uring]`. Cut when longer than any of these.
    pub(super) link: &'a [u8],
    /// The table's directory, `/proc/PID/fd` or `/proc/PID/task/TID/fd`.
    pub(super) dir: BorrowedFd<'a>,
}

impl Entry<'_> {
    /// The descriptor's fdinfo, at most `most` bytes. Reached from the table's own directory, so it is of
    /// the same process whatever became of the pid.
    pub(super) fn info(&self, most: usize) -> rustix::io::Result<Vec<u8>> {
        let path = SmallPath::new(format_args!("../fdinfo/{}", self.place.fd));
        procfs::read(self.dir, path.as_c_str(), most)
    }
}

/// Every process that /proc lists now.
pub(super) fn processes(root: impl AsFd) -> rustix::io::Result<Vec<u32>> {
    let mut pids = Vec::new();
    procfs::numbers(root, &mut procfs::dir_buf(), |_, pid| pids.push(pid))?;
    Ok(pids)
}

/// When a search must be over; never, where nobody set a time.
#[derive(Clone, Copy)]
pub(super) struct Until(pub(super) Option<Instant>);

impl Until {
    pub(super) fn is_over(self) -> bool {
        self.0.is_some_and(|end| Instant::now() >= end)
    }
}

/// How a walk went.
#[derive(Default)]
pub(super) struct Walked {
    /// Processes of which a table could not be read, or not to the end, for want of permission.
    pub(super) refused: BTreeSet<u32>,
    /// Processes of which a table was not read, or not to the end, for want of time.
    pub(super) unread: BTreeSet<u32>,
}

impl Walked {
    fn note(&mut self, pid: u32, read: rustix::io::Result<()>) {
        match read {
            Err(Errno::ACCESS | Errno::PERM) => _ = self.refused.insert(pid),
            Err(Errno::TIME) => _ = self.unread.insert(pid),
            // It has ended.
            Ok(()) | Err(_) => {}
        }
    }

    /// Adds how another part of the walk went.
    pub(super) fn add(&mut self, other: Walked) {
        self.refused.extend(other.refused);
        self.unread.extend(other.unread);
    }
}

/// Visits every descriptor in the tables of these processes. Each visitor works in a thread of its own and
/// gets whole processes; one that finds no thread leaves its share to the others.
pub(super) fn tables<V: FnMut(&Entry<'_>) + Send>(
    root: impl AsFd,
    pids: &[u32],
    until: Until,
    visitors: impl IntoIterator<Item = V>,
) -> Walked {
    let root = root.as_fd();
    let next = AtomicUsize::new(0);
    let work = |mut visit: V| {
        let mut buf = procfs::dir_buf();
        let mut walked = Walked::default();
        while let Some(&pid) = pids.get(next.fetch_add(1, Ordering::Relaxed)) {
            let path = SmallPath::new(format_args!("{pid}/fd"));
            walked.note(pid, table(root, &path, pid, None, until, &mut buf, &mut visit));
        }
        walked
    };
    let work = &work;
    std::thread::scope(|scope| {
        let mut visitors = visitors.into_iter();
        let mine = visitors.next();
        let start = |visit| thread().spawn_scoped(scope, move || work(visit));
        let others: Vec<_> = visitors.map_while(|visit| start(visit).ok()).collect();
        let mut walked = mine.map(work).unwrap_or_default();
        others.into_iter().filter_map(|thread| thread.join().ok()).for_each(|other| walked.add(other));
        walked
    })
}

/// A thread that shares the work; it may not be had.
pub(super) fn thread() -> Builder {
    Builder::new().stack_size(STACK)
}

/// How many visitors are worth their threads for so many processes.
pub(super) fn workers(pids: usize) -> usize {
    let processors = std::thread::available_parallelism().map_or(1, NonZero::get);
    processors.min(MOST_WORKERS).min(pids / WORTH_A_THREAD + 1)
}

/// Whether these processes have at least so many descriptors. Linux 6.2 tells, by the size of /proc/PID/fd;
/// before, each process counts for a few.
#[cfg(feature = "bpf")]
pub(super) fn has_descriptors(root: impl AsFd, pids: &[u32], many: u64) -> bool {
    /// What a process has on the average.
    const FEW: u64 = 16;
    let root = root.as_fd();
    let size = |path: &CStr| rustix::fs::statat(root, path, AtFlags::empty()).map_or(0, |stat| stat.st_size);
    let told = size(c"self/fd") > 0;
    let mut sum = 0;
    pids.iter().any(|pid| {
        sum += match told {
            true => u64::try_from(size(SmallPath::new(format_args!("{pid}/fd")).as_c_str())).unwrap_or(0),
            false => FEW,
        };
        sum >= many
    })
}

/// Visits one descriptor, if it is still there.
#[cfg(feature = "bpf")]
pub(super) fn descriptor(
    root: impl AsFd,
    place: Place,
    visit: impl FnOnce(&Entry<'_>),
) -> rustix::io::Result<()> {
    let table = match place.tid {
        None => SmallPath::new(format_args!("{}/fd", place.pid)),
        Some(tid) => SmallPath::new(format_args!("{}/task/{tid}/fd", place.pid)),
    };
    let table = procfs::open_dir(root, table.as_c_str())?;
    let dir = table.as_fd();
    let mut target = [MaybeUninit::<u8>::uninit(); 64];
    let name = SmallPath::new(format_args!("{}", place.fd));
    let (link, _) = rustix::fs::readlinkat_raw(dir, name.as_c_str(), &mut target)?;
    visit(&Entry { place, link, dir });
    Ok(())
}

/// Visits every descriptor in the table of every thread of these processes that does not share its
/// process's table: after unshare(CLONE_FILES), or when the main thread has exited. A table that several
/// of them share is visited once.
pub(super) fn threads(
    root: impl AsFd,
    pids: &[u32],
    until: Until,
    mut visit: impl FnMut(&Entry<'_>),
) -> Walked {
    let root = root.as_fd();
    let mut buf = procfs::dir_buf();
    let mut walked = Walked::default();
    let (mut tids, mut tables) = (Vec::new(), Vec::new());
    for &pid in pids {
        if until.is_over() {
            walked.unread.insert(pid);
            continue;
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
            walked.note(pid, table(tasks.as_fd(), &path, pid, Some(tid), until, &mut buf, &mut visit));
        }
    }
    walked
}

/// Visits one table; the first refused link ends it, since the rest would be refused as well. ETIME where
/// the time is over before its end.
fn table(
    at: BorrowedFd<'_>,
    path: &SmallPath,
    pid: u32,
    tid: Option<u32>,
    until: Until,
    buf: &mut DirBuf,
    visit: &mut impl FnMut(&Entry<'_>),
) -> rustix::io::Result<()> {
    if until.is_over() {
        return Err(Errno::TIME);
    }
    let table = procfs::open_dir(at, path.as_c_str())?;
    let dir = table.as_fd();
    let mut target = [MaybeUninit::<u8>::uninit(); 64];
    let mut stopped = None;
    let mut count = 0u32;
    procfs::numbers(dir, buf, |name, fd| {
        if stopped.is_some() {
            return;
        }
        match rustix::fs::readlinkat_raw(dir, name, &mut target) {
            Ok((link, _)) => visit(&Entry { place: Place { pid, tid, fd }, link, dir }),
            Err(error @ (Errno::ACCESS | Errno::PERM)) => stopped = Some(error),
            Err(_) => {}
        }
        count = count.wrapping_add(1);
        if count.is_multiple_of(STRIDE) && until.is_over() {
            stopped = Some(Errno::TIME);
        }
    })?;
    stopped.map_or(Ok(()), Err)
}

/// A short path in a buffer on the stack.
struct SmallPath([u8; 40]);

impl SmallPath {
    /// Every caller's path fits: two numbers of ten digits and two words.
    fn new(text: std::fmt::Arguments<'_>) -> SmallPath {
        let mut bytes = [0; 40];
        let _ = (&mut bytes[..39]).write_fmt(text);
        SmallPath(bytes)
    }

    fn as_c_str(&self) -> &CStr {
        CStr::from_bytes_until_nul(&self.0).unwrap_or(c"")
    }
}
