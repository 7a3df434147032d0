//! A staged case: the sockets that are there, what is known of those that nobody can ask any more, and
//! the real attempt.
//!
//! How the old sockets of a protocol are driven into their states is in `tcp` and `udp`. Reading them back
//! with sock_diag is in `look`.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use inuse_rules::{Address, Call, Socket, State, Transport};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, sockopt};
use rustix::process::Uid;
use rustix::thread::set_thread_res_uid;

use super::case::{Device, LINK4, LINK6, Make, Spot};
use super::ground::{Ground, LINK_NAME};
use crate::sys::{fsuid::with_fsuid, sockopt as raw};

/// Linux 5.0; libc has no name for it.
const SO_BINDTOIFINDEX: i32 = 62;

/// What no dump shows of a socket, as read from the socket itself while it could be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Facts {
    /// `SO_REUSEADDR`.
    pub reuseaddr: bool,
    /// `SO_REUSEPORT`.
    pub reuseport: bool,
    /// The effective `IPV6_V6ONLY`.
    pub v6only: bool,
}

/// What the kernel said: `None` for success, and the call that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The error, if one call failed.
    pub errno: Option<Errno>,
    /// The call that failed; the last one where none did.
    pub at: Call,
}

impl Answer {
    /// Every call succeeded.
    pub const fn success(at: Call) -> Answer {
        Answer { errno: None, at }
    }

    /// A call failed.
    pub const fn failure(errno: Errno, at: Call) -> Answer {
        Answer { errno: Some(errno), at }
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.errno {
            None => f.write_str("that it succeeds"),
            Some(errno) => {
                let number = errno.raw_os_error();
                match inuse_rules::Errno::ALL.iter().find(|known| known.linux() == number) {
                    Some(known) => write!(f, "{known} at {}", self.at.name()),
                    None => write!(f, "errno {number} at {}", self.at.name()),
                }
            }
        }
    }
}

/// The sockets of a case, on their port.
#[derive(Debug)]
pub struct Situation<'g> {
    /// Where it is staged.
    pub ground: &'g Ground,
    /// The port.
    pub port: u16,
    /// What is known of each socket, by cookie.
    pub facts: BTreeMap<u64, Facts>,
    /// The live sockets of the port, and whether each asked for it with bind().
    live: Vec<(OwnedFd, bool)>,
    /// Listeners that may have connections in their queues.
    listeners: Vec<OwnedFd>,
    /// Other ends: closed with a reset, so that they leave nothing.
    peers: Vec<OwnedFd>,
    /// Sockets that leave when all have come.
    leaving: Vec<OwnedFd>,
}

impl<'g> Situation<'g> {
    /// An empty stage.
    pub fn new(ground: &'g Ground, port: u16) -> Situation<'g> {
        Situation {
            ground,
            port,
            facts: BTreeMap::new(),
            live: Vec::new(),
            listeners: Vec::new(),
            peers: Vec::new(),
            leaving: Vec::new(),
        }
    }

    /// A socket as `make` describes it, not yet bound.
    ///
    /// # Errors
    /// What socket() or setsockopt() says.
    pub fn open(&self, transport: Transport, make: &Make) -> Result<OwnedFd, Errno> {
        open(transport, make)
    }

    /// Keeps a socket of the port until the end.
    pub fn keep(&mut self, socket: OwnedFd, explicit: bool) {
        self.live.push((socket, explicit));
    }

    /// Keeps a listener until the end; its queue is looked through when the attempt is over.
    pub fn keep_listener(&mut self, socket: OwnedFd) {
        self.listeners.push(socket);
    }

    /// Closes a socket when all have come.
    pub fn close_last(&mut self, socket: OwnedFd) {
        self.leaving.push(socket);
    }

    /// Keeps an other end.
    pub fn keep_peer(&mut self, socket: OwnedFd) {
        self.peers.push(socket);
    }

    /// Writes down what is known of a socket before it is closed.
    pub fn note(&mut self, socket: impl AsFd) {
        if let Some((cookie, facts)) = read_facts(&socket) {
            self.facts.insert(cookie, facts);
        }
    }

    /// All have come: those that leave last leave.
    pub fn ready(&mut self) {
        self.leaving.clear();
    }

    /// A connection in any of the listeners' queues, with the listener's place in the list.
    pub fn accept_any(&self, uid: u32) -> Option<(OwnedFd, usize)> {
        self.listeners.iter().enumerate().find_map(|(i, listener)| Some((accept(listener, uid)?, i)))
    }

    /// Closes the listener at that place.
    pub fn close_listener(&mut self, place: usize) {
        if place < self.listeners.len() {
            self.listeners.remove(place);
        }
    }

    /// Makes the attempt: socket, options, bind and, for TCP, listen.
    pub fn attempt(&self, transport: Transport, make: &Make) -> Answer {
        attempt(transport, make, self.port)
    }

    /// Reads what is known of every socket that is still there. It empties the accept queues, so it comes
    /// after the attempt.
    pub fn learn(&mut self) {
        while let Some((socket, _)) = self.accept_any(0) {
            self.note(&socket);
            reset(socket);
        }
        for (socket, _) in &self.live {
            self.facts.extend(read_facts(socket));
        }
        for socket in &self.listeners {
            self.facts.extend(read_facts(socket));
        }
    }
}

impl Situation<'_> {
    /// Bound TCP sockets that the dump left out: before Linux 6.8 it knows none that does not listen.
    pub fn left_out(&self, rows: &[Socket]) -> Vec<Socket> {
        // One that did not bind gives its port up when its connection ends.
        let bound = self.live.iter().filter(|(_, explicit)| *explicit);
        let missing = bound.filter_map(|(socket, _)| {
            let cookie = sockopt::socket_cookie(socket).ok()?;
            let local = SocketAddr::try_from(rustix::net::getsockname(socket).ok()?).ok()?;
            if local.port() != self.port || rows.iter().any(|row| row.cookie == cookie) {
                return None;
            }
            let device = raw::get_int(socket, libc::SOL_SOCKET, SO_BINDTOIFINDEX).ok()?;
            let device = u32::try_from(device).ok()?;
            let mut row =
                Socket::new(Address::Inet { transport: Transport::Tcp, local, device }, State::Bound);
            row.cookie = cookie;
            // The owner of a socket's inode is the uid that the kernel counts.
            row.uid = Some(rustix::fs::fstat(socket).ok()?.st_uid);
            Some(row)
        });
        missing.collect()
    }
}

impl Drop for Situation<'_> {
    fn drop(&mut self) {
        for socket in self.peers.drain(..) {
            reset(socket);
        }
        for (socket, _) in self.live.drain(..) {
            reset(socket);
        }
    }
}

/// Runs `act` with the effective uid of another user, and so without any capability.
///
/// # Errors
/// Where the user cannot be changed.
pub fn as_user<T>(uid: u32, act: impl FnOnce() -> T) -> io::Result<T> {
    if uid == 0 {
        return Ok(act());
    }
    set_thread_res_uid(None, Some(Uid::from_raw(uid)), None)?;
    let result = act();
    set_thread_res_uid(None, Some(Uid::ROOT), None)?;
    Ok(result)
}

/// A socket as `make` describes it, not yet bound.
///
/// # Errors
/// What socket() or setsockopt() says.
pub fn open(transport: Transport, make: &Make) -> Result<OwnedFd, Errno> {
    let family = if make.spot.v6() { AddressFamily::INET6 } else { AddressFamily::INET };
    let kind = match transport {
        Transport::Tcp => SocketType::STREAM,
        Transport::Udp => SocketType::DGRAM,
    };
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = with_fsuid(make.uid, || rustix::net::socket_with(family, kind, flags, None))?;
    if make.reuseaddr {
        sockopt::set_socket_reuseaddr(&socket, true)?;
    }
    if make.reuseport {
        sockopt::set_socket_reuseport(&socket, true)?;
    }
    if make.spot.v6() {
        sockopt::set_ipv6_v6only(&socket, make.v6only)?;
    }
    let device = match make.device {
        Device::Free => return Ok(socket),
        Device::Loopback => "lo",
        Device::Link => LINK_NAME,
    };
    raw::bind_to_device(&socket, device).map_err(|e| Errno::from_io_error(&e).unwrap_or(Errno::INVAL))?;
    Ok(socket)
}

/// socket, options, bind and, for TCP, listen.
pub fn attempt(transport: Transport, make: &Make, port: u16) -> Answer {
    let socket = match open(transport, make) {
        Ok(socket) => socket,
        Err(errno) => return Answer::failure(errno, Call::Setsockopt),
    };
    if let Err(errno) = rustix::net::bind(&socket, &make.spot.at(port)) {
        return Answer::failure(errno, Call::Bind);
    }
    if transport == Transport::Udp {
        return Answer::success(Call::Bind);
    }
    match rustix::net::listen(&socket, 8) {
        Ok(()) => Answer::success(Call::Listen),
        Err(errno) => Answer::failure(errno, Call::Listen),
    }
}

/// A connection from a listener's queue, accepted as `uid`.
pub fn accept(listener: impl AsFd, uid: u32) -> Option<OwnedFd> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    with_fsuid(uid, || rustix::net::accept_with(listener, flags)).ok()
}

/// Closes with a reset, so that neither end stays behind.
pub fn reset(socket: OwnedFd) {
    let _ = sockopt::set_socket_linger(&socket, Some(Duration::ZERO));
}

/// The address at which a socket of that make is reached, or from which it reaches others of its kind.
pub fn reachable(make: &Make, over_v4: bool) -> IpAddr {
    let link = make.device == Device::Link;
    let v4 = if link { LINK4 } else { Ipv4Addr::LOCALHOST };
    let v6 = if link { LINK6 } else { Ipv6Addr::LOCALHOST };
    match make.spot {
        Spot::Any4 => v4.into(),
        Spot::Any6 if over_v4 && !make.v6only => v4.to_ipv6_mapped().into(),
        Spot::Any6 => v6.into(),
        Spot::MappedAny => v4.to_ipv6_mapped().into(),
        concrete => concrete.ip(),
    }
}

/// The same address without the mapping: what an IPv4 client calls it.
pub fn unmapped(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

fn read_facts(socket: impl AsFd) -> Option<(u64, Facts)> {
    let cookie = sockopt::socket_cookie(&socket).ok()?;
    let facts = Facts {
        reuseaddr: sockopt::socket_reuseaddr(&socket).ok()?,
        reuseport: sockopt::socket_reuseport(&socket).ok()?,
        // IPv4 sockets do not have the option.
        v6only: sockopt::ipv6_v6only(&socket).unwrap_or(false),
    };
    Some((cookie, facts))
}
