//! Network namespaces: the caller's own, or another by name, process or path.
//!
//! A socket belongs for its whole life to the namespace in which it was made, and /proc/sys/net shows
//! that of the task which looks (`current->nsproxy->net_ns`). So a short-lived thread enters the
//! namespace (setns(2)), makes the socket or reads the file, and ends; the caller's threads never move.
//! See network_namespaces(7) and ip-netns(8).

use crate::error::Error;
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{Mode, OFlags, fstat, fstatfs, open};
use rustix::io::Errno;
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// Where ip-netns(8) keeps named namespaces; the second is the first's old name.
const NAMED: [&str; 2] = ["/run/netns", "/var/run/netns"];

/// `NSFS_MAGIC`: what statfs(2) says of a namespace file.
const NSFS_MAGIC: u32 = 0x6e73_6673;

/// How a namespace is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NetnsName {
    /// A name of ip-netns(8): a file in /run/netns.
    Name(String),
    /// The namespace that a process lives in.
    Pid(u32),
    /// A file: /proc/PID/ns/net, or something that one was bind-mounted on.
    Path(PathBuf),
}

impl NetnsName {
    /// Reads it as people write it: with a slash it is a path, a number is a process, else a name.
    pub fn new(written: &OsStr) -> NetnsName {
        let text = written.to_string_lossy();
        if written.as_bytes().contains(&b'/') {
            NetnsName::Path(written.into())
        } else if let Ok(pid) = text.parse() {
            NetnsName::Pid(pid)
        } else {
            NetnsName::Name(text.into_owned())
        }
    }

    fn paths(&self) -> Vec<PathBuf> {
        match self {
            NetnsName::Name(name) => NAMED.iter().map(|folder| Path::new(folder).join(name)).collect(),
            NetnsName::Pid(pid) => vec![format!("/proc/{pid}/ns/net").into()],
            NetnsName::Path(path) => vec![path.clone()],
        }
    }
}

impl std::fmt::Display for NetnsName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            NetnsName::Name(name) => {
                write!(f, "the network namespace {}", inuse_rules::address::escape(name.as_bytes()))
            }
            NetnsName::Pid(pid) => write!(f, "the network namespace of process {pid}"),
            NetnsName::Path(path) => {
                let path = inuse_rules::address::escape(path.as_os_str().as_bytes());
                write!(f, "the network namespace {path}")
            }
        }
    }
}

/// A network namespace that can be asked.
#[derive(Debug)]
pub struct Netns {
    /// The namespace to enter; `None` for the caller's own.
    other: Option<OwnedFd>,
    inode: Option<u64>,
    name: String,
}

impl Netns {
    /// The caller's own namespace. Needs nothing, not even /proc.
    pub fn current() -> Netns {
        let inode = rustix::fs::stat("/proc/thread-self/ns/net").ok().map(|stat| stat.st_ino);
        Netns { other: None, inode, name: "the current network namespace".into() }
    }

    /// Another namespace. Opening /proc/PID/ns/net needs the right to trace that process; *entering*
    /// needs `CAP_SYS_ADMIN`, and is tried here, so that everything that follows works.
    pub fn open(name: &NetnsName) -> Result<Netns, Error> {
        let mut failed = Errno::NOENT;
        for path in name.paths() {
            match open(&path, OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK, Mode::empty()) {
                Ok(fd) => return Netns::from_fd(fd, name.to_string()),
                Err(errno) => failed = errno,
            }
        }
        Err(Error::new("open", name.to_string(), failed).needing("CAP_SYS_PTRACE"))
    }

    fn from_fd(fd: OwnedFd, name: String) -> Result<Netns, Error> {
        let is_namespace = fstatfs(&fd).is_ok_and(|stat| u32::try_from(stat.f_type) == Ok(NSFS_MAGIC));
        if !is_namespace {
            return Err(Error::Malformed { object: name, what: "this is no namespace file" });
        }
        let inode = fstat(&fd).map_err(|errno| Error::new("examine", name.clone(), errno))?.st_ino;
        if Netns::current().inode == Some(inode) {
            return Ok(Netns { name, ..Netns::current() });
        }
        let netns = Netns { other: Some(fd), inode: Some(inode), name };
        netns.inside(|| ())?;
        Ok(netns)
    }

    /// The inode by which /proc/PID/ns/net names it (`net:[4026531840]`); `None` without /proc.
    pub fn inode(&self) -> Option<u64> {
        self.inode
    }

    /// Whether it is the caller's own.
    pub fn is_current(&self) -> bool {
        self.other.is_none()
    }

    /// A descriptor of the namespace's file. Needs /proc for the caller's own.
    pub(crate) fn file(&self) -> Result<OwnedFd, Errno> {
        match &self.other {
            Some(other) => rustix::io::fcntl_dupfd_cloexec(other, 0),
            None => open("/proc/thread-self/ns/net", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()),
        }
    }

    /// Runs `act` in this namespace: at once in the caller's own, else in a thread that ends with it.
    /// What `act` opens stays in that namespace.
    ///
    /// # Errors
    /// When the namespace may no longer be entered, or no thread can be started.
    pub fn inside<T: Send>(&self, act: impl FnOnce() -> T + Send) -> Result<T, Error> {
        let Some(other) = &self.other else { return Ok(act()) };
        std::thread::scope(|scope| {
            let thread = std::thread::Builder::new().stack_size(256 * 1024).spawn_scoped(scope, || {
                move_into_link_name_space(other.as_fd(), Some(LinkNameSpaceType::Network))?;
                Ok(act())
            });
            let thread = thread.map_err(|_| Error::new("start", "a thread", Errno::AGAIN))?;
            let result = thread.join().unwrap_or(Err(Errno::FAULT));
            result.map_err(|errno| match errno {
                Errno::INVAL => Error::Malformed {
                    object: self.name.clone(),
                    what: "this is a namespace of another kind",
                },
                errno => Error::new("enter", self.name.clone(), errno).needing("CAP_SYS_ADMIN"),
            })
        })
    }
}
