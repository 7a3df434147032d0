//! Sockets that the parent left open for this process (sd_listen_fds(3)): systemd's socket units,
//! systemd-socket-activate(1), `inuse run`, and every other program that speaks `LISTEN_FDS`.
//!
//! # When, and in which thread
//!
//! The first [`crate::Listen::bind`] or [`inherited`] of the process takes **all** announced descriptors over, at
//! once and under a lock: any thread may do it, and two do not get the same socket. From then on each has
//! close-on-exec set; those that nobody asks for stay open until the process ends, so that a connection in their
//! queues is not reset. Until then a program that another thread starts would inherit them, so listen before you
//! start programs. Nothing else in the process may close or take over the numbers from 3 on: do not use a second
//! library for `LISTEN_FDS` beside this one.
//!
//! The environment is read once and stays as it is: changing it while another thread may read it is unsound.
//! Children are not misled, since `LISTEN_PID` names this process and not them.
//!
//! Not here: what the words mean (`words`), what can be wrong with them (`fault`), and the one unsafe step
//! (`sys::inherited`).

mod fault;
mod words;

pub(crate) use fault::Fault;

use crate::parts::family;
use crate::sys;
use inuse_rules::address::{Address, Transport, UnixKind, UnixName};
use rustix::fd::{AsFd, OwnedFd};
use rustix::net::{AddressFamily, SocketAddrAny, SocketAddrUnix, SocketType, getsockname, sockopt};
use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};
use words::{FIRST, Words};

/// What the parent left: nothing was looked at yet, or what is still there for the taking.
static LEFT: Mutex<Option<Result<Vec<Held>, Fault>>> = Mutex::new(None);

/// A descriptor that the parent left, and that nobody has taken yet.
#[derive(Debug)]
struct Held {
    fd: OwnedFd,
    name: String,
    /// `None` for what is no socket, or one of a kind that is not listened on.
    address: Option<Address>,
}

/// A descriptor that the parent left for this process, as [`inherited`] tells of it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Inherited {
    /// Its name in `LISTEN_FDNAMES`; "unknown" where the parent gave none.
    pub name: String,
    /// What it is bound to; `None` for what is no TCP, UDP or unix socket, or not bound.
    pub address: Option<Address>,
}

/// What the parent left and nobody has taken yet, in the parent's order. Takes everything over, if that has not
/// happened yet.
///
/// # Errors
/// When the parent's announcement is malformed.
pub fn inherited() -> Result<Vec<Inherited>, crate::Error> {
    with_left(|held| {
        held.iter().map(|held| Inherited { name: held.name.clone(), address: held.address.clone() }).collect()
    })
    .map_err(crate::Error::inherited)
}

/// Takes the inherited socket for this address, if there is one. With a name only sockets of that name are
/// looked at, and port 0 means whatever port the parent has chosen.
pub(crate) fn take(
    wanted: &Address,
    v6only: Option<bool>,
    name: Option<&str>,
) -> Result<Option<OwnedFd>, Fault> {
    with_left(|held| {
        let named = |held: &&Held| name.is_none_or(|name| held.name == name);
        let fits = |held: &Held| held.address.as_ref().is_some_and(|is| same(is, wanted, name.is_some()));
        let Some(index) = held.iter().position(|one| named(&one) && fits(one)) else {
            let other = held.iter().find(|one| name.is_some() && named(one));
            return other.map_or(Ok(None), |other| {
                let is =
                    other.address.as_ref().map_or("no socket of this kind".to_owned(), Address::to_string);
                Err(Fault::Mismatch { name: other.name.clone(), is, wanted: wanted.to_string() })
            });
        };
        if let (Some(asked), AddressFamily::INET6) = (v6only, family(wanted))
            && let Ok(only) = sockopt::ipv6_v6only(&held[index].fd)
            && only != asked
        {
            return Err(Fault::V6only { address: wanted.to_string(), only });
        }
        Ok(Some(held.remove(index).fd))
    })?
}

/// Takes everything over at the first call, and shows what is left.
fn with_left<T>(look: impl FnOnce(&mut Vec<Held>) -> T) -> Result<T, Fault> {
    let mut left = LEFT.lock().unwrap_or_else(PoisonError::into_inner);
    left.get_or_insert_with(adopt).as_mut().map(look).map_err(|fault| fault.clone())
}

fn adopt() -> Result<Vec<Held>, Fault> {
    let announced = Words::of_this_process().read(std::process::id(), own_pidfd)?;
    let fds = sys::inherited::adopt(FIRST..FIRST + announced.count).map_err(Fault::NotOpen)?;
    let named = fds.into_iter().enumerate();
    Ok(named
        .map(|(place, fd)| Held { name: announced.name(place).to_owned(), address: bound_to(&fd), fd })
        .collect())
}

/// The inode number of a pidfd of this process, where it names the process: on pidfs, since Linux 6.9.
#[cfg(target_os = "linux")]
fn own_pidfd() -> Option<u64> {
    use rustix::process::{PidfdFlags, getpid, pidfd_open};
    const PID_FS_MAGIC: u64 = 0x5049_4446;
    let pidfd = pidfd_open(getpid(), PidfdFlags::empty()).ok()?;
    let on_pidfs = u64::try_from(rustix::fs::fstatfs(&pidfd).ok()?.f_type) == Ok(PID_FS_MAGIC);
    on_pidfs.then(|| rustix::fs::fstat(&pidfd).ok().map(|stat| stat.st_ino)).flatten()
}

#[cfg(not(target_os = "linux"))]
fn own_pidfd() -> Option<u64> {
    None
}

/// What a socket is bound to, as far as its type says what it is.
fn bound_to(socket: impl AsFd) -> Option<Address> {
    let fd = socket.as_fd();
    let kind = sockopt::socket_type(fd).ok()?;
    let name = getsockname(fd).ok()?;
    if let Ok(local) = SocketAddr::try_from(name.clone()) {
        let transport = match kind {
            SocketType::STREAM if is_tcp(fd) => Transport::Tcp,
            SocketType::DGRAM => Transport::Udp,
            _ => return None,
        };
        return Some(Address::Inet { transport, local, device: 0 });
    }
    let kind = match kind {
        SocketType::STREAM => UnixKind::Stream,
        SocketType::DGRAM => UnixKind::Datagram,
        SocketType::SEQPACKET => UnixKind::Seqpacket,
        _ => return None,
    };
    Some(Address::Unix { kind, name: unix_name(name)? })
}

fn unix_name(name: SocketAddrAny) -> Option<UnixName> {
    let name = SocketAddrUnix::try_from(name).ok()?;
    #[cfg(target_os = "linux")]
    if let Some(name) = name.abstract_name() {
        return Some(UnixName::Abstract(name.to_vec()));
    }
    name.path().map(|path| UnixName::Path(path.to_bytes().to_vec()))
}

/// TCP or MPTCP: SCTP has stream sockets as well.
#[cfg(target_os = "linux")]
fn is_tcp(fd: impl AsFd) -> bool {
    use rustix::net::ipproto;
    matches!(sockopt::socket_protocol(fd), Ok(Some(ipproto::TCP | ipproto::MPTCP)))
}

#[cfg(not(target_os = "linux"))]
fn is_tcp(_: impl AsFd) -> bool {
    true
}

/// Whether a socket that is bound to `is` does for `wanted`.
fn same(is: &Address, wanted: &Address, any_port: bool) -> bool {
    let (Some((transport, local, _)), Some((wanted_transport, at, _))) = (is.inet(), wanted.inet()) else {
        return is == wanted;
    };
    let scope = |addr: SocketAddr| match addr {
        SocketAddr::V6(addr) => addr.scope_id(),
        SocketAddr::V4(_) => 0,
    };
    let port = local.port() == at.port() || (any_port && at.port() == 0);
    port && transport == wanted_transport && local.ip() == at.ip() && scope(local) == scope(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(is: Address, wanted: Address, any_port: bool, expect: bool) {
        assert_eq!(same(&is, &wanted, any_port), expect, "{is} for {wanted}");
    }

    #[test]
    fn only_the_same_address_does() {
        let tcp = |text: &str| Address::tcp(text.parse().unwrap());
        let udp = |text: &str| Address::udp(text.parse().unwrap());
        check(tcp("127.0.0.1:80"), tcp("127.0.0.1:80"), false, true);
        check(tcp("127.0.0.1:80"), tcp("127.0.0.1:81"), false, false);
        check(tcp("127.0.0.1:80"), tcp("0.0.0.0:80"), false, false);
        check(tcp("[::]:80"), tcp("0.0.0.0:80"), false, false);
        check(tcp("127.0.0.1:80"), udp("127.0.0.1:80"), false, false);
        check(tcp("[fe80::1%2]:80"), tcp("[fe80::1%3]:80"), false, false);
        // Only who names the socket leaves the port to the parent.
        check(tcp("127.0.0.1:80"), tcp("127.0.0.1:0"), false, false);
        check(tcp("127.0.0.1:80"), tcp("127.0.0.1:0"), true, true);
        let unix = |kind, path: &str| Address::Unix { kind, name: UnixName::Path(path.into()) };
        check(unix(UnixKind::Stream, "/a"), unix(UnixKind::Stream, "/a"), false, true);
        check(unix(UnixKind::Stream, "/a"), unix(UnixKind::Datagram, "/a"), false, false);
        check(unix(UnixKind::Stream, "/a"), unix(UnixKind::Stream, "/b"), false, false);
    }
}
