//! A socket that the supervisor holds for its program.
//!
//! The generations share one open file description: O_NONBLOCK, the backlog and shutdown(2) of one are those
//! of all. A listener that a program shuts down listens again at once; what had waited in its queue is lost.

use super::keep::address_of;
use super::log::{Step, Warning};
use inuse_kernel::seccomp;
use inuse_rules::Address;
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{OFlags, fcntl_getfl, fstat};
use rustix::net::{AddressFamily, SocketType, sockopt};

/// The largest backlog: the kernel cuts it to `net.core.somaxconn`.
const BACKLOG: i32 = i32::MAX;

/// A socket that is held.
#[derive(Debug)]
pub struct Held {
    /// Its name for the program (`LISTEN_FDNAMES`).
    pub name: String,
    /// Its address, as it is shown.
    pub address: String,
    socket: OwnedFd,
    listens: bool,
    nonblocking: bool,
}

impl Held {
    /// Holds it.
    pub fn new(name: impl Into<String>, address: impl Into<String>, socket: OwnedFd) -> Held {
        let listens = sockopt::socket_acceptconn(&socket).unwrap_or(false);
        let nonblocking = is_nonblocking(&socket);
        Held { name: name.into(), address: address.into(), socket, listens, nonblocking }
    }

    /// The word of the command line; `None` for a family that has none.
    pub fn protocol(&self) -> Option<&'static str> {
        address_of(self).as_ref().map(protocol)
    }

    /// Has it listen, for a program that takes it as it is. `false`: it cannot, since another one does there.
    pub(super) fn listen(&mut self) -> bool {
        let is_stream = sockopt::socket_type(&self.socket).is_ok_and(|kind| kind != SocketType::DGRAM);
        if is_stream && !self.listens {
            self.listens = rustix::net::listen(&self.socket, BACKLOG).is_ok();
            return self.listens;
        }
        true
    }

    /// The inode by which /proc names it.
    pub(super) fn inode(&self) -> Option<u64> {
        fstat(&self.socket).ok().map(|stat| stat.st_ino)
    }

    /// Whether a shutdown(2) would show in poll(2).
    pub(super) fn listens(&self) -> bool {
        self.listens
    }

    /// Connections that wait to be accepted, for TCP.
    pub(super) fn queued(&self) -> Option<u32> {
        let is_tcp = sockopt::socket_domain(&self.socket).is_ok_and(|domain| domain != AddressFamily::UNIX);
        let queue = (self.listens && is_tcp).then(|| seccomp::queue(&self.socket).ok()).flatten();
        queue.map(|queue| queue.waiting)
    }

    /// Makes it listen again, if it was shut down.
    pub(super) fn revive(&mut self) -> Option<Step> {
        if !self.listens || is_well(&self.socket) {
            return None;
        }
        // Should that not help, it is not tried again: poll(2) would never sleep.
        self.listens = rustix::net::listen(&self.socket, BACKLOG).is_ok() && is_well(&self.socket);
        Some(Step::Warning(Warning::ShutDown { address: self.address.clone(), again: self.listens }))
    }

    /// A warning, once, when a program changed what all generations share.
    pub(super) fn changed(&mut self) -> Option<Step> {
        let now = is_nonblocking(&self.socket);
        let changed = now != self.nonblocking;
        self.nonblocking = now;
        changed.then(|| Step::Warning(Warning::Nonblocking { address: self.address.clone(), set: now }))
    }
}

impl AsFd for Held {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// The word of the command line.
pub(super) fn protocol(address: &Address) -> &'static str {
    match address {
        Address::Inet { transport, .. } => transport.name(),
        Address::Unix { kind, .. } => kind.scheme(),
    }
}

fn is_nonblocking(socket: &OwnedFd) -> bool {
    fcntl_getfl(socket).is_ok_and(|flags| flags.contains(OFlags::NONBLOCK))
}

fn is_well(socket: &OwnedFd) -> bool {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    let mut polled = [PollFd::new(socket, PollFlags::empty())];
    let _ = poll(&mut polled, Some(&Timespec { tv_sec: 0, tv_nsec: 0 }));
    let hung_up = polled.iter().any(|polled| polled.revents().contains(PollFlags::HUP));
    !hung_up && sockopt::socket_acceptconn(socket).unwrap_or(false)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};

    #[test]
    fn a_listener_that_was_shut_down_listens_again() {
        // A port that the kernel chose is given back by shutdown(2); one that was asked for stays.
        let chooser = rustix::net::socket(AddressFamily::INET, SocketType::STREAM, None).expect("a socket");
        sockopt::set_socket_reuseaddr(&chooser, true).expect("an option");
        rustix::net::bind(&chooser, &SocketAddr::from(([127, 0, 0, 1], 0))).expect("a port");
        let address = rustix::net::getsockname(&chooser).expect("its address");
        let address = SocketAddr::try_from(address).expect("an IP address");
        let listener = TcpListener::bind(address).expect("a port that nobody listens on");
        let mut held = Held::new("web", "it", OwnedFd::from(listener));
        assert!(held.listens() && held.revive().is_none());
        rustix::net::shutdown(&held, rustix::net::Shutdown::Both).expect("a listener");
        assert!(TcpStream::connect(address).is_err());
        assert!(held.revive().is_some() && held.revive().is_none());
        let stream = TcpStream::connect(address).expect("it listens");
        stream.shutdown(Shutdown::Both).expect("a connection");
    }

    #[test]
    fn a_unix_listener_stays_shut_down() {
        let name = format!("/tmp/inuse-held-{}", std::process::id());
        let listener = std::os::unix::net::UnixListener::bind(&name).expect("a path");
        std::fs::remove_file(&name).expect("it was ours");
        let mut held = Held::new("web", "it", OwnedFd::from(listener));
        rustix::net::shutdown(&held, rustix::net::Shutdown::Both).expect("a listener");
        assert!(held.revive().is_some());
        assert!(!held.listens() && held.revive().is_none());
    }

    #[test]
    fn a_flag_that_changed_is_told_once() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let other = listener.try_clone().expect("a duplicate");
        let mut held = Held::new("web", "it", OwnedFd::from(listener));
        assert!(held.changed().is_none());
        other.set_nonblocking(true).expect("a socket");
        assert!(held.changed().is_some() && held.changed().is_none());
    }
}
