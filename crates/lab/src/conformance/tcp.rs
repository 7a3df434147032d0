//! Drives TCP sockets into every state, on loopback, without waiting.
//!
//! Loopback delivers within the system call, so nearly every state is reached when the call returns. Two
//! things need help: a FIN is acknowledged up to 40 ms late unless the peer reads it and asks for
//! `TCP_QUICKACK` then, and a FIN stays unacknowledged only behind data that the other end does not take. What state a socket really reached is for the dump to say; nothing here is taken for granted.

use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use inuse_rules::Transport;
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::io::Errno;
use rustix::net::{AddressFamily, Shutdown, SocketFlags, SocketType, sockopt};

use super::case::{Device, End, Fate, Later, Make, Old, Role, Stay};
use super::ground::LINK_NAME;
use super::situation::{Situation, reachable, reset, unmapped};
use crate::sys::fsuid::with_fsuid;
use crate::sys::sockopt as raw;

/// `IP_LOCAL_PORT_RANGE` would do for newer kernels; the sysctl does for all.
const LINGER2_SECONDS: i32 = 100;

/// Stages one old socket. Whatever fails on the way is simply not there afterwards.
pub fn stage(situation: &mut Situation<'_>, old: &Old) -> Option<()> {
    let make = &old.make;
    match old.fate {
        Fate::Bound(stay) => {
            let socket = bound(situation, old)?;
            leave(situation, socket, stay, false);
        }
        Fate::Listen(stay) => {
            let socket = bound(situation, old)?;
            let listens = rustix::net::listen(&socket, 16).is_ok();
            leave(situation, socket, stay, listens);
        }
        Fate::ShutListener => {
            let socket = bound(situation, old)?;
            let _ = rustix::net::listen(&socket, 16);
            let _ = rustix::net::shutdown(&socket, Shutdown::Both);
            situation.keep(socket, true);
        }
        Fate::Connection { role: Role::Accepted { uid, listener }, end, over_v4 } => {
            accepted(situation, old, uid, listener, end, over_v4)?;
        }
        Fate::Connection { role: Role::BoundClient, end, over_v4 } => {
            let socket = bound(situation, old)?;
            client(situation, socket, make, true, end, over_v4)?;
        }
        Fate::Connection { role: Role::Client, end, over_v4 } => {
            let socket = situation.open(Transport::Tcp, make).ok()?;
            change(&socket, old.later);
            client(situation, socket, make, false, end, over_v4)?;
        }
        Fate::Connected | Fate::AutoConnected | Fate::Disconnected => {}
    }
    Some(())
}

fn bound(situation: &Situation<'_>, old: &Old) -> Option<OwnedFd> {
    let socket = situation.open(Transport::Tcp, &old.make).ok()?;
    rustix::net::bind(&socket, &old.make.spot.at(situation.port)).ok()?;
    change(&socket, old.later);
    Some(socket)
}

/// Changes an option after bind().
pub fn change(socket: impl AsFd, later: Later) {
    let _ = match later {
        Later::Nothing => Ok(()),
        Later::Reuseaddr(on) => sockopt::set_socket_reuseaddr(socket, on),
        Later::Reuseport(on) => sockopt::set_socket_reuseport(socket, on),
    };
}

fn leave(situation: &mut Situation<'_>, socket: OwnedFd, stay: Stay, listens: bool) {
    match stay {
        Stay::Stays if listens => situation.keep_listener(socket),
        Stay::Stays => situation.keep(socket, true),
        Stay::LeavesAtOnce => drop(socket),
        Stay::LeavesLast => situation.close_last(socket),
    }
}

/// A connection that a listener takes, and its listener.
fn accepted(
    situation: &mut Situation<'_>,
    old: &Old,
    uid: u32,
    listener_stays: bool,
    end: End,
    over_v4: bool,
) -> Option<()> {
    let listener = bound(situation, old)?;
    if end == End::SynRecv {
        let _ = raw::set_int(&listener, libc::IPPROTO_TCP, libc::TCP_DEFER_ACCEPT, 10);
    }
    if rustix::net::listen(&listener, 16).is_err() {
        situation.keep(listener, true);
        return None;
    }
    // The connection may land with a mate of the same SO_REUSEPORT group, so every queue is looked at.
    situation.keep_listener(listener);
    let at = SocketAddr::new(reachable(&old.make, over_v4), situation.port);
    let peer = peer(unmapped(at), old.make.device)?;
    // In SYN_RECV and in a queue it is nobody's; those two end here.
    if matches!(end, End::SynRecv | End::Queued) {
        situation.keep_peer(peer);
        return None;
    }
    let Some((socket, place)) = situation.accept_any(uid) else {
        reset(peer);
        return None;
    };
    if !listener_stays {
        situation.close_listener(place);
    }
    drive(situation, socket, peer, false, end);
    Some(())
}

/// The connecting end of a connection to a listener of the case.
fn peer(at: SocketAddr, device: Device) -> Option<OwnedFd> {
    let family = if at.is_ipv6() { AddressFamily::INET6 } else { AddressFamily::INET };
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = rustix::net::socket_with(family, SocketType::STREAM, flags, None).ok()?;
    if device == Device::Link {
        raw::bind_to_device(&socket, LINK_NAME).ok()?;
    }
    connect(&socket, at)?;
    Some(socket)
}

/// A client of which the port is that of the case.
fn client(
    situation: &mut Situation<'_>,
    socket: OwnedFd,
    make: &Make,
    explicit: bool,
    end: End,
    over_v4: bool,
) -> Option<()> {
    let ip = reachable(make, over_v4);
    let to = match end {
        End::SynSent => situation.ground.tarpit_at(ip),
        End::ItsOwnPeer => SocketAddr::new(ip, situation.port),
        _ => situation.ground.sink_at(ip),
    };
    let begin = || match end {
        End::SynSent => begin_connect(&socket, to),
        _ => connect(&socket, to),
    };
    let connected = if explicit {
        begin()
    } else {
        situation.ground.with_range(situation.port, situation.port, begin).ok().flatten()
    };
    let port = rustix::net::getsockname(&socket).ok().and_then(|a| SocketAddr::try_from(a).ok())?.port();
    if connected.is_none() || matches!(end, End::SynSent | End::ItsOwnPeer) {
        if port == situation.port {
            situation.keep(socket, explicit);
        }
        return None;
    }
    let peer = from_sink(situation)?;
    drive(situation, socket, peer, explicit, end);
    Some(())
}

/// The sink's end of the connection that has just come from the port of the case.
fn from_sink(situation: &Situation<'_>) -> Option<OwnedFd> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    loop {
        let (socket, from) =
            with_fsuid(0, || rustix::net::acceptfrom_with(&situation.ground.sink, flags)).ok()?;
        let from = from.and_then(|a| SocketAddr::try_from(a).ok())?;
        if from.port() == situation.port {
            return Some(socket);
        }
        reset(socket);
    }
}

/// connect(), and a short wait where loopback did not finish it within the call.
fn connect(socket: impl AsFd, to: SocketAddr) -> Option<()> {
    begin_connect(&socket, to)?;
    let mut poll = [PollFd::new(&socket, PollFlags::OUT)];
    let moment = Timespec::try_from(Duration::from_millis(50)).ok()?;
    let ready = rustix::event::poll(&mut poll, Some(&moment)).ok()?;
    (ready > 0 && sockopt::socket_error(&socket).ok()?.is_ok()).then_some(())
}

fn begin_connect(socket: impl AsFd, to: SocketAddr) -> Option<()> {
    match rustix::net::connect(socket, &to) {
        Ok(()) | Err(Errno::INPROGRESS) => Some(()),
        Err(_) => None,
    }
}

/// Drives our end of an established connection to its end.
fn drive(situation: &mut Situation<'_>, socket: OwnedFd, peer: OwnedFd, explicit: bool, end: End) {
    let both = |fd: &OwnedFd| rustix::net::shutdown(fd, Shutdown::Write);
    let fills = [
        End::FinWait1,
        End::FinWait1Orphan,
        End::LastAck,
        End::LastAckOrphan,
        End::Closing,
        End::ClosingOrphan,
    ];
    if fills.contains(&end) {
        fill(&socket);
    }
    if matches!(end, End::LastAck | End::LastAckOrphan) {
        let _ = both(&peer);
    }
    if end == End::FinWait2Orphan {
        let _ = raw::set_int(&socket, libc::IPPROTO_TCP, libc::TCP_LINGER2, LINGER2_SECONDS);
    }
    situation.note(&socket);
    match end {
        End::CloseWait => {
            let _ = both(&peer);
        }
        End::FinWait1 | End::FinWait2 | End::LastAck | End::Closing => {
            let _ = both(&socket);
        }
        End::Reset => {
            reset(peer);
            situation.keep(socket, explicit);
            return;
        }
        _ => {}
    }
    match end {
        End::FinWait1Orphan
        | End::FinWait2Orphan
        | End::FinWait2Mini
        | End::LastAckOrphan
        | End::ClosingOrphan
        | End::TimeWait => drop(socket),
        _ => situation.keep(socket, explicit),
    }
    match end {
        // The peer reads the end, and then acknowledges it now and not with its next data.
        End::FinWait2 | End::FinWait2Orphan | End::FinWait2Mini => {
            let _ = rustix::net::recv(&peer, &mut [0u8; 8][..], rustix::net::RecvFlags::empty());
            let _ = sockopt::set_tcp_quickack(&peer, true);
        }
        End::Closing | End::ClosingOrphan => {
            let _ = both(&peer);
        }
        End::TimeWait => return drop(peer),
        _ => {}
    }
    situation.keep_peer(peer);
}

/// Writes until the peer's window and our buffer are full.
fn fill(socket: impl AsFd) {
    let data = [0u8; 16384];
    while rustix::net::send(&socket, &data, rustix::net::SendFlags::NOSIGNAL).is_ok() {}
}
