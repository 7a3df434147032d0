//! The options of a live socket in another process, which no listing of sockets shows. Here the four that decide a
//! bind: SO_REUSEADDR, SO_REUSEPORT, IPV6_V6ONLY and the bound device; in the modules below every option.
//!
//! A duplicate is made by pidfd_getfd(2), checked to be the socket meant, asked, and dropped before the
//! answer is returned: while it is held it keeps the address taken. Nothing is set without the feature
//! `set-options`. The right to do so is that of ptrace(2), `PTRACE_MODE_ATTACH_REALCREDS`.
//!
//! Not here: sockets without a holder (TIME_WAIT, orphans), and those that no table of open files has.

pub mod form;
pub mod fresh;
pub mod live;
mod measure;
pub mod spec;
pub mod table;
pub mod value;
pub mod words;

use crate::process::{status::Status, users};
use crate::sys::getsockopt::socket_int;
use crate::{duplicate, procfs};
use inuse_rules::socket::Learned;
use inuse_rules::{BlindSpot, Holding, Options};
use rustix::fd::{AsFd, AsRawFd as _, OwnedFd};
use rustix::io::Errno;
use rustix::net::{AddressFamily, sockopt};
use std::fmt;

const CAP_SYS_PTRACE: u64 = 1 << 19;

/// What getsockopt(2) says of a live socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LiveOptions {
    /// `SO_REUSEADDR`.
    #[doc(alias = "SO_REUSEADDR")]
    pub reuseaddr: bool,
    /// `SO_REUSEPORT`.
    #[doc(alias = "SO_REUSEPORT")]
    pub reuseport: bool,
    /// `IPV6_V6ONLY`; `None` when the socket is not `AF_INET6`.
    #[doc(alias = "IPV6_V6ONLY")]
    pub v6only: Option<bool>,
    /// Interface index of `SO_BINDTODEVICE`, 0 for none.
    #[doc(alias = "SO_BINDTODEVICE")]
    pub device: u32,
}

impl From<LiveOptions> for Options {
    fn from(live: LiveOptions) -> Options {
        Options {
            reuseaddr: Some(live.reuseaddr),
            reuseport: Some(live.reuseport),
            // getsockopt answers with the effective value, which is what a bind is judged by.
            v6only: Some(live.v6only.unwrap_or(false)),
            learned: Learned::Getsockopt,
        }
    }
}

/// Why a socket's options were not read.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Unread {
    /// The process has ended or closed it, or that descriptor is another socket by now.
    Gone,
    /// The process has nothing open under that number.
    Closed,
    /// What the process has open under that number is no socket.
    NoSocket,
    /// The kernel refused.
    Refused {
        /// What is missing, as a sentence part ("CAP_SYS_PTRACE, since …").
        needs: String,
        /// Whether root would be allowed to.
        by_root: bool,
    },
    /// This kernel has no pidfd_getfd(2) (before 5.6; for one thread's own table before 6.9), or a seccomp profile
    /// says so.
    TooOld,
    /// Something else failed.
    Other(Errno),
}

/// Reads the options of the socket that a process holds. `inode` is its inode in sockfs, and `cookie`
/// its `SO_COOKIE`, where known; a descriptor that is no longer that socket is [`Unread::Gone`]. The holding
/// is one of [`Ownership::Held`](inuse_rules::Ownership::Held): a carrier or a ring has other descriptors.
pub fn read(holding: &Holding, inode: u64, cookie: Option<u64>) -> Result<LiveOptions, Unread> {
    let mut worst = Unread::Gone;
    for &fd in &holding.fds {
        let read =
            duplicate::socket(holding.pid, holding.tid, fd, inode).and_then(|socket| ask(&socket, cookie));
        match read {
            Ok(options) => return Ok(options),
            // This number was closed or reused; the socket may have another.
            Err(Errno::STALE | Errno::BADF) => {}
            Err(errno) => {
                worst = reason(holding.pid, errno);
                break;
            }
        }
    }
    Err(worst)
}

impl Unread {
    /// The same as something that was not seen.
    pub fn blind_spot(&self, pid: u32) -> BlindSpot {
        let remedy = match self {
            Unread::Gone | Unread::Closed | Unread::NoSocket => "look again".to_owned(),
            Unread::Refused { needs, by_root: true } => format!("run it as root (sudo): it needs {needs}"),
            Unread::Refused { needs, .. } => format!("it needs {needs}"),
            Unread::TooOld => "a newer kernel, or a seccomp profile that permits it".to_owned(),
            Unread::Other(_) => "try again".to_owned(),
        };
        BlindSpot { what: format!("socket options in process {pid}: {self}"), remedy }
    }
}

impl fmt::Display for Unread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Unread::Gone => f.write_str("the process no longer has that socket"),
            Unread::Closed => f.write_str("the process has nothing open under that number"),
            Unread::NoSocket => f.write_str("what the process has open under that number is no socket"),
            Unread::Refused { needs, .. } => write!(f, "reading them needs {needs}"),
            Unread::TooOld => f.write_str("there is no pidfd_getfd(2): Linux has it from 5.6 on"),
            Unread::Other(errno) => errno.fmt(f),
        }
    }
}

impl std::error::Error for Unread {}

/// Takes the duplicate by reference, so that its owner above drops it as soon as this returns.
fn ask(socket: &OwnedFd, cookie: Option<u64>) -> Result<LiveOptions, Errno> {
    let socket = socket.as_fd();
    if let Some(cookie) = cookie.filter(|&cookie| cookie != 0)
        && sockopt::socket_cookie(socket)? != cookie
    {
        return Err(Errno::STALE);
    }
    let v6 = sockopt::socket_domain(socket)? == AddressFamily::INET6;
    Ok(LiveOptions {
        reuseaddr: sockopt::socket_reuseaddr(socket)?,
        reuseport: sockopt::socket_reuseport(socket)?,
        v6only: if v6 { Some(sockopt::ipv6_v6only(socket)?) } else { None },
        device: u32::try_from(socket_int(socket, libc::SO_BINDTOIFINDEX)?).unwrap_or(0),
    })
}

fn reason(pid: u32, errno: Errno) -> Unread {
    match errno {
        Errno::SRCH => Unread::Gone,
        Errno::PERM | Errno::ACCESS => missing_right(pid),
        Errno::NOSYS | Errno::INVAL => Unread::TooOld,
        other => Unread::Other(other),
    }
}

/// Which of ptrace(2)'s checks stands in the way, as far as it shows (`__ptrace_may_access`,
/// `yama_ptrace_access_check`).
fn missing_right(pid: u32) -> Unread {
    let root = procfs::open_root();
    let read = |path: &str, most| root.as_ref().ok().and_then(|root| procfs::read(root, path, most).ok());
    let status = |who: &str| read(&format!("{who}/status"), 64 * 1024).map(|bytes| Status::parse(&bytes));
    let yama = read("sys/kernel/yama/ptrace_scope", 16).and_then(|bytes| procfs::decimal(bytes.trim_ascii()));
    let (own, other) = (status("self").unwrap_or_default(), status(&pid.to_string()).unwrap_or_default());
    // One's own descriptors pass every check of ptrace(2): what is refused even there is forbidden altogether.
    let forbidden = duplicate::table(std::process::id(), None)
        .and_then(|table| duplicate::descriptor(&table, table.as_raw_fd().unsigned_abs()))
        .is_err_and(|errno| errno == Errno::PERM);
    let needs = why_refused(&own, &other, pid, yama, forbidden, users::name);
    let by_root = yama != Some(3) && !forbidden && own.capabilities & CAP_SYS_PTRACE == 0;
    Unread::Refused { needs, by_root }
}

fn why_refused(
    own: &Status,
    other: &Status,
    pid: u32,
    yama: Option<u64>,
    forbidden: bool,
    name: impl Fn(u32) -> Option<String>,
) -> String {
    if yama == Some(3) {
        return "a kernel started anew with kernel.yama.ptrace_scope below 3: at 3 nobody may".to_owned();
    }
    if forbidden {
        return "a seccomp profile without the ban on pidfd_getfd(2), which a container's default one has (there \
                --cap-add SYS_PTRACE lifts it)"
            .to_owned();
    }
    if own.capabilities & CAP_SYS_PTRACE != 0 {
        return "CAP_SYS_PTRACE in the user namespace of that process, and no security policy against it"
            .to_owned();
    }
    match (other.uid, yama) {
        (Some(uid), _) if other.uid != own.uid => {
            let user = name(uid).map_or_else(|| format!("uid {uid}"), |name| format!("user {name}"));
            format!("CAP_SYS_PTRACE, since process {pid} belongs to {user}")
        }
        (_, Some(scope @ 1..)) => {
            format!("CAP_SYS_PTRACE, since kernel.yama.ptrace_scope is {scope}")
        }
        _ if other.capabilities & !own.capabilities != 0 => {
            format!("CAP_SYS_PTRACE, since process {pid} has more capabilities than the caller")
        }
        _ => {
            format!(
                "CAP_SYS_PTRACE, since process {pid} is not dumpable (PR_SET_DUMPABLE), or has other group ids"
            )
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{TcpListener, UdpSocket};

    fn own(socket: impl AsFd) -> (Holding, u64) {
        let socket = socket.as_fd();
        let inode = rustix::fs::fstat(socket).expect("an open socket").st_ino;
        let fds = vec![socket.as_raw_fd() as u32];
        (Holding { pid: std::process::id(), tid: None, fds, cloexec: None }, inode)
    }

    #[test]
    fn options_are_those_of_the_socket() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback");
        let (holding, inode) = own(&listener);
        let expect = LiveOptions { reuseaddr: true, reuseport: false, v6only: None, device: 0 };
        let cookie = sockopt::socket_cookie(&listener).expect("a cookie");
        assert_eq!(read(&holding, inode, Some(cookie)), Ok(expect));
        assert_eq!(read(&holding, inode, None), Ok(expect));
        assert_eq!(read(&holding, inode, Some(cookie + 1)), Err(Unread::Gone));
        assert_eq!(read(&holding, inode + 1, None), Err(Unread::Gone));

        let six = UdpSocket::bind("[::1]:0").expect("loopback");
        sockopt::set_socket_reuseport(&six, true).expect("any time");
        let (holding, inode) = own(&six);
        let expect = LiveOptions { reuseaddr: false, reuseport: true, v6only: Some(true), device: 0 };
        assert_eq!(read(&holding, inode, None), Ok(expect));
    }

    #[test]
    fn an_ended_process_is_gone() {
        let holding = Holding { pid: i32::MAX as u32, tid: None, fds: vec![3], cloexec: None };
        assert_eq!(read(&holding, 1, None), Err(Unread::Gone));
    }

    #[test]
    fn a_refusal_names_the_missing_right() {
        let user = |uid, capabilities| Status { uid: Some(uid), groups: Vec::new(), capabilities };
        let name = |uid| (uid == 0).then(|| "root".to_owned());
        let check = |own: Status, other, yama, expect: &str| {
            let got = why_refused(&own, &other, 7, yama, false, name);
            assert!(got.contains(expect), "{got}");
        };
        check(user(1000, 0), user(0, 0), None, "process 7 belongs to user root");
        check(user(1000, 0), user(33, 0), Some(1), "process 7 belongs to uid 33");
        check(user(1000, 0), user(1000, 0), Some(1), "kernel.yama.ptrace_scope is 1");
        check(user(1000, 0), user(1000, 0), Some(0), "not dumpable");
        check(user(0, u64::MAX), user(0, 0), Some(3), "below 3");
        check(user(0, u64::MAX), user(0, 0), Some(0), "security policy");
        check(user(1000, 0), Status::default(), None, "not dumpable");
        check(user(1000, 0), user(1000, 1 << 10), Some(0), "more capabilities");
        let got = why_refused(&user(1000, 0), &user(1000, 0), 7, None, true, name);
        assert!(got.contains("seccomp"), "{got}");
    }
}
