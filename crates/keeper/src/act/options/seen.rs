//! What a look at live sockets finds: whose they are, what their options say, what is out of reach; or why there is
//! nothing to look at.
//!
//! Not here: the look itself (`look`).

use inuse_kernel::Error;
use inuse_kernel::options::Unread;
use inuse_kernel::options::fresh::Changed;
use inuse_kernel::options::live::Traits;
use inuse_kernel::options::spec::Spec;
use inuse_kernel::options::value::Value;
use inuse_rules::{Address, BlindSpot};
use rustix::io::Errno;
use std::fmt;

/// Whose options are meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subject {
    /// Every socket that holds one of these addresses, and the connections of those that listen.
    Addresses(Vec<Address>),
    /// Every socket of a process.
    Process(u32),
    /// One descriptor of a process.
    Descriptor(u32, u32),
}

/// What is asked of the sockets.
#[derive(Clone, Copy, Debug, Default)]
pub struct Question<'a> {
    /// The options asked for by name; none asks for all.
    pub wanted: &'a [&'static Spec],
    /// Whether everything is kept, of however many sockets.
    pub in_full: bool,
}

/// A process that has a socket open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// Process.
    pub pid: u32,
    /// Thread, where only its own table has the socket.
    pub tid: Option<u32>,
    /// When it started, in clock ticks since boot.
    pub start_ticks: u64,
    /// Its name, as it chose it.
    pub comm: Vec<u8>,
    /// The descriptors.
    pub fds: Vec<u32>,
}

/// An option of a socket.
#[derive(Clone, Debug)]
pub struct Reading {
    /// The option.
    pub spec: &'static Spec,
    /// Its value, or what the kernel said instead.
    pub value: Result<Value, Errno>,
    /// What every new socket of the kind says.
    pub preset: Option<Value>,
    /// Whether the program changed it.
    pub changed: Changed,
}

/// A socket, and what its options say.
#[derive(Clone, Debug)]
pub struct Found {
    /// What it is.
    pub traits: Traits,
    /// Who has it open, at least one.
    pub holders: Vec<Holder>,
    /// Its options: all that it has, or, where there are many sockets, those that were changed; or those asked for; or
    /// none yet.
    pub readings: Vec<Reading>,
}

/// What holds the address and is out of reach.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Beyond {
    /// Connections that wait to be accepted: no process has them yet.
    pub queued: usize,
    /// Connections that were closed and still talk to their peer.
    pub orphans: usize,
    /// Connections in TIME_WAIT.
    pub time_wait: usize,
    /// Sockets of processes whose open files the caller may not see.
    pub hidden: usize,
    /// Sockets in a message or an io_uring, of the kernel, or of another pid namespace.
    pub elsewhere: usize,
}

/// Everything that a plan rests on.
#[derive(Clone, Debug)]
pub struct Look {
    /// What was asked for.
    pub subject: Subject,
    /// The sockets: those that listen first, then those that are bound, then connections.
    pub found: Vec<Found>,
    /// Whether every option of every socket is there.
    pub in_full: bool,
    /// What is out of reach.
    pub beyond: Beyond,
    /// What could not be seen.
    pub blind: Vec<BlindSpot>,
}

/// Why there is nothing to look at.
#[derive(Debug)]
pub enum NotFound {
    /// There is no such process.
    NoProcess(u32),
    /// That number is a thread's, of this process.
    Thread(u32, u32),
    /// The process has nothing open under that number.
    Closed(u32, u32),
    /// What it has open there is no socket.
    NoSocket(u32, u32),
    /// The rights are missing: which, and whether root has them.
    Refused {
        /// What is missing, as a sentence part.
        needs: String,
        /// Whether root would be allowed to.
        by_root: bool,
    },
    /// There is no pidfd_getfd(2).
    TooOld,
    /// The kernel cannot be asked.
    Blind(Error),
    /// Something else failed.
    Other(u32, Errno),
}

impl fmt::Display for NotFound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NotFound::NoProcess(pid) => write!(f, "there is no process {pid}"),
            NotFound::Thread(tid, pid) => write!(f, "{tid} is a thread of process {pid}: ask for pid:{pid}"),
            NotFound::Closed(pid, fd) => write!(f, "process {pid} has no descriptor {fd} (EBADF)"),
            NotFound::NoSocket(pid, fd) => {
                write!(f, "descriptor {fd} of process {pid} is no socket (ENOTSOCK)")
            }
            NotFound::Refused { needs, .. } => {
                write!(f, "the sockets may not be asked: that needs {needs}")
            }
            NotFound::TooOld => write!(
                f,
                "the sockets cannot be asked: this kernel has no pidfd_getfd(2) (Linux 5.6), or a seccomp profile says so"
            ),
            NotFound::Blind(error) => write!(f, "the kernel cannot be asked: {error}"),
            NotFound::Other(pid, errno) => write!(f, "process {pid} cannot be asked: {errno}"),
        }
    }
}

impl std::error::Error for NotFound {}

/// Why a socket of a process could not be had.
pub(super) fn not_found(pid: u32, fd: u32, why: Unread) -> NotFound {
    match why {
        Unread::Closed => NotFound::Closed(pid, fd),
        Unread::NoSocket => NotFound::NoSocket(pid, fd),
        Unread::Refused { needs, by_root } => NotFound::Refused { needs, by_root },
        // The kernel opens no pidfd of a thread that is not its process's first.
        Unread::TooOld | Unread::Other(Errno::NOENT)
            if process_of(pid).is_some_and(|leader| leader != pid) =>
        {
            NotFound::Thread(pid, process_of(pid).unwrap_or(pid))
        }
        Unread::Other(errno) => NotFound::Other(pid, errno),
        Unread::TooOld => NotFound::TooOld,
        _ => NotFound::NoProcess(pid),
    }
}

/// The process that a thread belongs to.
fn process_of(tid: u32) -> Option<u32> {
    let status = std::fs::read_to_string(format!("/proc/{tid}/status")).ok()?;
    status.lines().find_map(|line| line.strip_prefix("Tgid:")?.trim().parse().ok())
}
