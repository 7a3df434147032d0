//! One try: socket(), every option, bind(), and listen() where the type has it; in this order, always.
//!
//! Not here: what to do when it fails (`mod.rs`), and inherited sockets (`crate::inherit`).

use super::options::Options;
use crate::parts::{family, socket_type};
use inuse_rules::address::{Address, UnixName};
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{Mode, chmod, lstat};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketType, bind, listen, socket_with};
use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;

/// What a socket is to be, besides its address.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) options: Options,
    /// Waiting connections; the kernel cuts it to its `somaxconn`.
    pub(crate) backlog: i32,
    pub(crate) nonblocking: bool,
    /// Permission bits of a unix socket's file.
    pub(crate) mode: Option<u32>,
}

#[cfg(target_os = "linux")]
impl Plan {
    /// The same in the words of the rule.
    pub(crate) fn attempt(&self, address: &Address) -> inuse_rules::Attempt {
        crate::explain::attempt(address, &self.options)
    }
}

/// What [`Failure::act`] says where bind(2) itself failed.
pub(crate) const BIND: &str = "bind";

/// The call that failed, and how.
#[derive(Debug)]
pub(crate) struct Failure {
    /// What could not be done, as a sentence part: "bind", "set SO_REUSEPORT for".
    pub(crate) act: String,
    pub(crate) source: io::Error,
}

impl Failure {
    pub(crate) fn new(act: impl Into<String>, source: impl Into<io::Error>) -> Failure {
        Failure { act: act.into(), source: source.into() }
    }
}

/// Tries it once.
pub(crate) fn open(address: &Address, plan: &Plan) -> Result<OwnedFd, Failure> {
    let (family, kind) = (family(address), socket_type(address));
    let socket =
        new_socket(family, kind, plan.nonblocking).map_err(|e| Failure::new("make a socket for", e))?;
    let set = plan.options.set(&socket, family);
    set.map_err(|(option, error)| Failure::new(format!("set {option} for"), error))?;
    let bound = match address {
        Address::Inet { local, .. } => bind(&socket, local),
        Address::Unix { name, .. } => bind_unix(&socket, name, plan.mode),
    };
    bound.map_err(|error| Failure::new(BIND, error))?;
    if listens(address) {
        listen(&socket, plan.backlog).map_err(|error| Failure::new("listen on", error))?;
    }
    Ok(socket)
}

/// Whether sockets of this type are listened on.
pub(crate) fn listens(address: &Address) -> bool {
    socket_type(address) != SocketType::DGRAM
}

/// A socket that no program started from here inherits, from its first moment on.
#[cfg(target_os = "linux")]
fn new_socket(family: AddressFamily, kind: SocketType, nonblocking: bool) -> rustix::io::Result<OwnedFd> {
    use rustix::net::SocketFlags;
    let mut flags = SocketFlags::CLOEXEC;
    flags.set(SocketFlags::NONBLOCK, nonblocking);
    socket_with(family, kind, flags, None)
}

/// The same where socket() knows no flags: a program started in between by another thread inherits it.
#[cfg(not(target_os = "linux"))]
fn new_socket(family: AddressFamily, kind: SocketType, nonblocking: bool) -> rustix::io::Result<OwnedFd> {
    let socket = socket_with(family, kind, rustix::net::SocketFlags::empty(), None)?;
    rustix::io::fcntl_setfd(&socket, rustix::io::FdFlags::CLOEXEC)?;
    set_nonblocking(&socket, nonblocking)?;
    Ok(socket)
}

/// O_NONBLOCK as asked; it belongs to the socket, so everybody who shares it sees it change.
pub(crate) fn set_nonblocking(socket: impl AsFd, nonblocking: bool) -> rustix::io::Result<()> {
    rustix::io::ioctl_fionbio(socket, nonblocking)
}

/// Binds a unix name. A file gets its mode at birth where the system can do that (`unix_bind_bsd` takes it from
/// the socket), less what the umask takes away; that is added afterwards, so the file is never wider than asked.
fn bind_unix(socket: &OwnedFd, name: &UnixName, mode: Option<u32>) -> rustix::io::Result<()> {
    match name {
        UnixName::Path(path) => {
            let address = SocketAddrUnix::new(path.as_slice())?;
            let mode = mode.map(|bits| Mode::from_raw_mode(bits as _));
            #[cfg(target_os = "linux")]
            if let Some(mode) = mode {
                rustix::fs::fchmod(socket, mode)?;
            }
            bind(socket, &address)?;
            let path = OsStr::from_bytes(path);
            match mode {
                Some(mode) if lstat(path).is_ok_and(|file| Mode::from_raw_mode(file.st_mode) != mode) => {
                    chmod(path, mode)
                }
                _ => Ok(()),
            }
        }
        #[cfg(target_os = "linux")]
        UnixName::Abstract(name) => bind(socket, &SocketAddrUnix::new_abstract_name(name)?),
        _ => Err(rustix::io::Errno::INVAL),
    }
}
