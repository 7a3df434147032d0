//! Carrying out one act: each arm is the system call that its Display shows.
//!
//! Not here: fork, exit and the end of the main thread, which change the actor itself.

use super::named;
use crate::stage::network;
use crate::sys;
use inuse_rules::scene::{Act, Kind, Opt, Place};
use rustix::net::{
    AddressFamily, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, Shutdown, SocketAddrUnix,
    SocketFlags, SocketType, accept, bind, connect, listen, recv, send, sendmsg, shutdown, socket_with,
    socketpair, sockopt,
};
use rustix::thread::UnshareFlags;
use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::process::CommandExt as _;
use std::process::Command;
use std::time::{Duration, Instant};

/// How long an actor waits for something that the kernel is about to do.
const PATIENCE: Duration = Duration::from_secs(3);

/// Does it, and remembers what it opened.
pub(super) fn perform(open: &mut Vec<(String, OwnedFd)>, act: &Act<'_>) -> io::Result<()> {
    match *act {
        Act::Socket(s, kind) => open.push((s.to_owned(), socket(kind)?)),
        Act::Set(s, opt, on) => set(named(open, s)?, opt, on)?,
        Act::Bind(s, Place::Inet(address)) => bind(named(open, s)?, &address)?,
        Act::Bind(s, place) => bind(named(open, s)?, &unix(&place)?)?,
        Act::Listen(s, backlog) => listen(named(open, s)?, backlog)?,
        Act::Connect(s, place) => connect_now(named(open, s)?, &place)?,
        Act::ConnectLater(s, place) => connect_later(named(open, s)?, &place)?,
        Act::Accept(s, new) => {
            let fd = accept(named(open, s)?)?;
            open.push((new.to_owned(), fd));
        }
        Act::Send(s, bytes) => fill(named(open, s)?, bytes as usize)?,
        Act::Recv(s, bytes) => {
            let mut buffer = vec![0; (bytes as usize).min(1 << 20)];
            recv(named(open, s)?, buffer.as_mut_slice(), RecvFlags::empty())?;
        }
        Act::ShutdownWrite(s) => shutdown(named(open, s)?, Shutdown::Write)?,
        Act::ShutdownRead(s) => shutdown(named(open, s)?, Shutdown::Read)?,
        Act::Close(s) => {
            named(open, s)?;
            open.retain(|(name, _)| name != s);
        }
        Act::Exec(words) => {
            let (program, arguments) = words.split_first().ok_or(io::ErrorKind::InvalidInput)?;
            return Err(Command::new(program).args(arguments).exec());
        }
        Act::Socketpair(a, b) => {
            let (one, other) =
                socketpair(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::empty(), None)?;
            open.push((a.to_owned(), one));
            open.push((b.to_owned(), other));
        }
        Act::SendDescriptor(over, what) => send_descriptor(named(open, over)?, named(open, what)?)?,
        Act::RingRegister(ring, s) => {
            let fd = sys::ring::ring()?;
            sys::ring::register(fd.as_fd(), named(open, s)?)?;
            open.push((ring.to_owned(), fd));
        }
        Act::ThreadWithOwnFiles => thread_with_own_files()?,
        Act::OwnSession => drop(rustix::process::setsid()?),
        Act::CloseOnInterrupt => sys::interrupt::closes_and_exits()?,
        Act::OwnNetwork => {
            sys::thread::unshare(UnshareFlags::NEWNET)?;
            network::loopback_up()?;
        }
        Act::Fork(_) | Act::EndMainThread | Act::Exit => {
            return Err(io::Error::other("this act belongs to the actor itself"));
        }
    }
    Ok(())
}

/// Polls a condition every millisecond, for as long as an actor is patient.
pub(super) fn until(condition: impl Fn() -> io::Result<bool>) -> io::Result<()> {
    let deadline = Instant::now() + PATIENCE;
    while !condition()? {
        if Instant::now() > deadline {
            return Err(io::ErrorKind::TimedOut.into());
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    Ok(())
}

/// A socket that, like that of most servers, is *not* close-on-exec: what a child inherits is what some
/// scenes are about.
fn socket(kind: Kind) -> io::Result<OwnedFd> {
    let (family, kind) = match kind {
        Kind::Tcp4 => (AddressFamily::INET, SocketType::STREAM),
        Kind::Tcp6 => (AddressFamily::INET6, SocketType::STREAM),
        Kind::Udp4 => (AddressFamily::INET, SocketType::DGRAM),
        Kind::Udp6 => (AddressFamily::INET6, SocketType::DGRAM),
        Kind::UnixStream => (AddressFamily::UNIX, SocketType::STREAM),
        Kind::UnixDatagram => (AddressFamily::UNIX, SocketType::DGRAM),
        Kind::UnixSeqpacket => (AddressFamily::UNIX, SocketType::SEQPACKET),
    };
    Ok(socket_with(family, kind, SocketFlags::empty(), None)?)
}

fn set(s: BorrowedFd<'_>, opt: Opt, on: bool) -> io::Result<()> {
    Ok(match opt {
        Opt::Reuseaddr => sockopt::set_socket_reuseaddr(s, on),
        Opt::Reuseport => sockopt::set_socket_reuseport(s, on),
        Opt::V6only => sockopt::set_ipv6_v6only(s, on),
        Opt::Freebind => sockopt::set_ip_freebind(s, on),
        Opt::Linger0 => sockopt::set_socket_linger(s, on.then_some(Duration::ZERO)),
    }?)
}

fn connect_now(s: BorrowedFd<'_>, place: &Place<'_>) -> io::Result<()> {
    Ok(match place {
        Place::Inet(address) => connect(s, address),
        place => connect(s, &unix(place)?),
    }?)
}

/// Starts to connect, and leaves the socket non-blocking.
fn connect_later(s: BorrowedFd<'_>, place: &Place<'_>) -> io::Result<()> {
    rustix::io::ioctl_fionbio(s, true)?;
    match connect_now(s, place) {
        Err(error) if error.raw_os_error() == Some(libc::EINPROGRESS) => Ok(()),
        other => other,
    }
}

fn unix(place: &Place<'_>) -> io::Result<SocketAddrUnix> {
    Ok(match place {
        Place::Path(path) => SocketAddrUnix::new(*path),
        Place::Abstract(name) => SocketAddrUnix::new_abstract_name(name.as_bytes()),
        Place::Inet(_) => Err(rustix::io::Errno::INVAL),
    }?)
}

/// Sends until the kernel takes no more, or that many bytes are sent; at least one must be taken.
fn fill(s: BorrowedFd<'_>, bytes: usize) -> io::Result<()> {
    let chunk = vec![b'x'; bytes.min(64 * 1024)];
    let mut sent = 0;
    while sent < bytes {
        let piece = chunk.get(..bytes - sent).unwrap_or(&chunk);
        match send(s, piece, SendFlags::DONTWAIT | SendFlags::NOSIGNAL) {
            Ok(more) => sent += more,
            Err(rustix::io::Errno::AGAIN) if sent > 0 => break,
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

fn send_descriptor(over: BorrowedFd<'_>, what: BorrowedFd<'_>) -> io::Result<()> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let what = [what];
    control.push(SendAncillaryMessage::ScmRights(&what));
    sendmsg(over, &[IoSlice::new(b"x")], &mut control, SendFlags::NOSIGNAL)?;
    Ok(())
}

/// Starts a thread with a table of open files of its own, which then does nothing until the process
/// ends.
fn thread_with_own_files() -> io::Result<()> {
    let (tell, told) = std::sync::mpsc::channel();
    std::thread::Builder::new().spawn(move || {
        let _ = tell.send(sys::thread::unshare(UnshareFlags::FILES));
        loop {
            std::thread::park();
        }
    })?;
    told.recv_timeout(PATIENCE).map_err(io::Error::other)?
}
