//! Live sockets of other processes: found by process and descriptor, proven by start time and cookie, asked for
//! any option of the table, and, with the feature `set-options`, set.
//!
//! A [`Live`] is a duplicate. While it is held the socket stays open even if its owner closes it, so it is dropped
//! before anything is written or waited for; what was seen of it stays as [`Traits`] and values.
//!
//! Not here: which options to ask for (`table`), which sockets (`keeper`), and words about errors.

use super::form::Form;
use super::spec::{Level, Readable, Sockets, Spec};
use super::value::{self, Value};
use super::{Unread, reason};
use crate::process::stat::Stat;
use crate::sys::getsockopt;
use crate::{duplicate, procfs};
use inuse_rules::{Address, State, Transport, UnixKind, UnixName};
use rustix::fd::{AsFd as _, OwnedFd};
use rustix::io::Errno;
use rustix::net::{SocketAddrAny, SocketAddrUnix, getpeername, getsockname, sockopt};
use std::net::SocketAddr;

/// Room for the largest value in the table: a list of groups, or a security label.
const ROOM: usize = 4096;
/// `IPPROTO_MPTCP`.
const MPTCP: i32 = 262;
/// Descriptors looked at in one process.
const MOST_DESCRIPTORS: usize = 1 << 20;

/// The arguments of socket(2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SocketKind {
    /// `SO_DOMAIN`.
    pub family: i32,
    /// `SO_TYPE`.
    pub kind: i32,
    /// `SO_PROTOCOL`.
    pub protocol: i32,
}

impl SocketKind {
    /// The kind in the words of the table.
    pub fn sockets(self) -> Sockets {
        match (self.family, self.protocol) {
            (libc::AF_INET | libc::AF_INET6, libc::IPPROTO_TCP | MPTCP) => Sockets::TCP,
            (libc::AF_INET | libc::AF_INET6, libc::IPPROTO_UDP) => Sockets::UDP,
            (libc::AF_UNIX, _) => Sockets::UNIX,
            _ => Sockets::OTHER,
        }
    }

    /// Whether it has that option: by protocol, and by family.
    pub fn has(self, spec: &Spec) -> bool {
        spec.on.has(self.sockets()) && (spec.level != Level::Ipv6 || self.family == libc::AF_INET6)
    }

    /// "tcp", "udp", "unix", or the number of another family.
    pub fn name(self) -> String {
        match (self.family, self.sockets()) {
            (libc::AF_INET, Sockets::TCP) => "tcp (IPv4)".into(),
            (_, Sockets::TCP) => "tcp (IPv6)".into(),
            (libc::AF_INET, Sockets::UDP) => "udp (IPv4)".into(),
            (_, Sockets::UDP) => "udp (IPv6)".into(),
            (_, Sockets::UNIX) => match self.kind {
                libc::SOCK_DGRAM => "unix datagram".into(),
                libc::SOCK_SEQPACKET => "unix seqpacket".into(),
                _ => "unix stream".into(),
            },
            (libc::AF_NETLINK, _) => "netlink".into(),
            (libc::AF_PACKET, _) => "packet".into(),
            (libc::AF_VSOCK, _) => "vsock".into(),
            (libc::AF_INET | libc::AF_INET6, _) => format!("IP protocol {}", self.protocol),
            (family, _) => format!("family {family}"),
        }
    }
}

/// What a live socket is, besides its options.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Traits {
    /// What it was made as.
    pub kind: SocketKind,
    /// Its inode in sockfs.
    pub inode: u64,
    /// `SO_COOKIE`, 0 where the kernel has none (before 4.12).
    pub cookie: u64,
    /// `SO_NETNS_COOKIE`, where the kernel has one (5.14).
    pub netns: Option<u64>,
    /// Its own address; `None` for other families than IP and unix.
    pub address: Option<Address>,
    /// The other end.
    pub remote: Option<SocketAddr>,
    /// Its state; `None` where nothing tells.
    pub state: Option<State>,
}

/// A process (or a thread with a table of its own) whose sockets can be duplicated, by a pidfd: it never comes to
/// mean another process.
#[derive(Debug)]
pub struct Table {
    pidfd: OwnedFd,
    pid: u32,
    tid: Option<u32>,
    start_ticks: u64,
}

impl Table {
    /// Opens it. A pid is not given out again while its process lives, so that the start time is of the very
    /// process that the pidfd means if that still lives afterwards.
    ///
    /// # Errors
    /// [`Unread::Gone`] when there is no such process.
    pub fn open(pid: u32, tid: Option<u32>) -> Result<Table, Unread> {
        let pidfd = duplicate::table(pid, tid).map_err(|errno| reason(pid, errno))?;
        let root = procfs::open_root().map_err(Unread::Other)?;
        let stat = procfs::read(root, format!("{pid}/stat"), 4096).ok().and_then(|bytes| Stat::parse(&bytes));
        match stat {
            Some(stat) if duplicate::is_alive(&pidfd) => {
                Ok(Table { pidfd, pid, tid, start_ticks: stat.start_ticks })
            }
            _ => Err(Unread::Gone),
        }
    }

    /// When the process started, in clock ticks since boot.
    pub fn start_ticks(&self) -> u64 {
        self.start_ticks
    }

    /// The sockets in the table: descriptor and inode, by descriptor.
    ///
    /// # Errors
    /// [`Unread::Refused`] when the table may not be read.
    pub fn sockets(&self) -> Result<Vec<(u32, u64)>, Unread> {
        let mut found = Vec::new();
        let path = match self.tid {
            None => format!("/proc/{}/fd", self.pid),
            Some(tid) => format!("/proc/{}/task/{tid}/fd", self.pid),
        };
        let mut refused = None;
        let listed = procfs::open_dir(rustix::fs::CWD, path).and_then(|dir| {
            procfs::numbers(&dir, &mut procfs::dir_buf(), |name, fd| match procfs::link(&dir, name) {
                Ok(link) if found.len() < MOST_DESCRIPTORS => {
                    found.extend(procfs::socket_inode(&link).map(|inode| (fd, inode)));
                }
                Err(errno @ (Errno::ACCESS | Errno::PERM)) => refused = Some(errno),
                _ => {}
            })
        });
        if let Some(errno) = listed.err().or(refused) {
            return Err(reason(self.pid, errno));
        }
        if !duplicate::is_alive(&self.pidfd) {
            return Err(Unread::Gone);
        }
        found.sort_unstable();
        Ok(found)
    }

    /// The socket that the process has as `fd`.
    ///
    /// # Errors
    /// [`Unread::Closed`] when nothing is there, [`Unread::NoSocket`] when it is another file.
    pub fn socket(&self, fd: u32) -> Result<Live, Unread> {
        let socket = duplicate::descriptor(&self.pidfd, fd).map_err(|errno| match errno {
            Errno::BADF => Unread::Closed,
            errno => reason(self.pid, errno),
        })?;
        let inode = duplicate::socket_inode(&socket).map_err(Unread::Other)?.ok_or(Unread::NoSocket)?;
        let int = |option| getsockopt::socket_int(&socket, option).map_err(Unread::Other);
        let kind = SocketKind {
            family: int(libc::SO_DOMAIN)?,
            kind: int(libc::SO_TYPE)?,
            protocol: int(libc::SO_PROTOCOL)?,
        };
        Ok(Live { socket, kind, inode })
    }
}

/// A duplicate of a live socket, to be dropped soon.
#[derive(Debug)]
pub struct Live {
    socket: OwnedFd,
    kind: SocketKind,
    inode: u64,
}

impl Live {
    /// A socket of our own, of that kind, for what is true of every new one.
    pub(super) fn of(socket: OwnedFd, kind: SocketKind) -> Live {
        Live { socket, kind, inode: 0 }
    }

    /// Whether it is the socket with that inode and cookie; a cookie of 0 is not known.
    pub fn is(&self, inode: u64, cookie: u64) -> bool {
        let same = || sockopt::socket_cookie(&self.socket).is_ok_and(|found| found == cookie);
        self.inode == inode && (cookie == 0 || same())
    }

    /// What it is.
    pub fn traits(&self) -> Traits {
        let Live { socket, kind, inode } = self;
        let local = getsockname(socket).ok();
        let device = match kind.sockets() {
            Sockets::TCP | Sockets::UDP => {
                getsockopt::socket_int(socket, libc::SO_BINDTOIFINDEX).unwrap_or(0)
            }
            _ => 0,
        };
        let transport = match kind.sockets() {
            Sockets::TCP => Some(Transport::Tcp),
            Sockets::UDP => Some(Transport::Udp),
            _ => None,
        };
        let address = match (transport, local.clone().and_then(inet)) {
            (Some(transport), Some(local)) => {
                Some(Address::Inet { transport, local, device: u32::try_from(device).unwrap_or(0) })
            }
            _ => local.and_then(|local| unix(*kind, local)),
        };
        Traits {
            kind: *kind,
            inode: *inode,
            cookie: sockopt::socket_cookie(socket).unwrap_or(0),
            netns: self.unsigned(libc::SO_NETNS_COOKIE),
            address,
            remote: getpeername(socket).ok().flatten().and_then(inet),
            state: self.state(),
        }
    }

    /// The value of an option. Nothing is asked that would take something away from the program.
    ///
    /// # Errors
    /// What the kernel says: ENOPROTOOPT when it does not know the option; EOPNOTSUPP also where the table says
    /// that it cannot be read.
    pub fn get(&self, spec: &Spec) -> Result<Value, Errno> {
        if spec.readable != Readable::Yes {
            return Err(Errno::OPNOTSUPP);
        }
        if spec.form == Form::Filter {
            // Asked with no room at all, the kernel says how many instructions there are.
            let length = getsockopt::bytes(&self.socket, spec.level.number(), spec.number, &mut [])?;
            return Ok(Value::Filter(u32::try_from(length).unwrap_or(u32::MAX)));
        }
        let mut room = [0; ROOM];
        let length = getsockopt::bytes(&self.socket, spec.level.number(), spec.number, &mut room)?;
        let bytes = room.get(..length).unwrap_or(&room);
        value::decode(spec.form, bytes).ok_or(Errno::OPNOTSUPP)
    }

    /// Sets an option.
    ///
    /// # Errors
    /// What the kernel says; EINVAL also for a value of another type.
    #[cfg(feature = "set-options")]
    pub fn set(&self, spec: &Spec, value: &Value) -> Result<(), Errno> {
        let bytes = value::encode(spec.form, value).ok_or(Errno::INVAL)?;
        crate::sys::setsockopt::bytes(&self.socket, spec.level.number(), spec.number, &bytes)
    }

    fn unsigned(&self, option: i32) -> Option<u64> {
        let mut bytes = [0; 8];
        getsockopt::bytes(&self.socket, libc::SOL_SOCKET, option, &mut bytes).ok()?;
        Some(u64::from_ne_bytes(bytes))
    }

    fn state(&self) -> Option<State> {
        let listens = sockopt::socket_acceptconn(&self.socket).unwrap_or(false);
        if listens {
            return Some(State::Listen);
        }
        match self.kind.sockets() {
            Sockets::TCP => {
                let mut info = [0; 8];
                getsockopt::bytes(&self.socket, libc::SOL_TCP, libc::TCP_INFO, &mut info).ok()?;
                let [state, ..] = info;
                crate::sockdiag::state(state, true)
            }
            Sockets::OTHER => None,
            _ if getpeername(self.socket.as_fd()).is_ok_and(|peer| peer.is_some()) => {
                Some(State::Established)
            }
            _ => Some(State::Unconn),
        }
    }
}

fn inet(address: SocketAddrAny) -> Option<SocketAddr> {
    SocketAddr::try_from(address).ok()
}

fn unix(kind: SocketKind, address: SocketAddrAny) -> Option<Address> {
    let address = SocketAddrUnix::try_from(address).ok()?;
    let kind = match kind.kind {
        libc::SOCK_STREAM => UnixKind::Stream,
        libc::SOCK_DGRAM => UnixKind::Datagram,
        libc::SOCK_SEQPACKET => UnixKind::Seqpacket,
        _ => return None,
    };
    let name = match (address.path_bytes(), address.abstract_name()) {
        (Some(path), _) => UnixName::Path(path.to_vec()),
        (_, Some(name)) => UnixName::Abstract(name.to_vec()),
        _ => UnixName::Unnamed,
    };
    Some(Address::Unix { kind, name })
}
