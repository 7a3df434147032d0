//! Taking away a connection, or what is left of one: through `SOCK_DESTROY`, or without any privilege by a
//! connection attempt that makes the two ends disagree.

use super::Deed;
use super::stop::is_there;
use crate::act::plan::Dropped;
use inuse_kernel::destroy::{Destroyer, Doomed};
use inuse_kernel::netns::Netns;
use inuse_kernel::sockdiag::InetQuery;
use inuse_kernel::{SockDiag, sysctls};
use inuse_rules::{Socket, State, Transport};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, connect, socket_with, sockopt};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// How long the kernel may take to settle it; it takes milliseconds.
const PATIENCE: Duration = Duration::from_millis(300);

/// Has the kernel drop a connection, after a last look at it.
pub(super) fn destroy(netns: &Netns, diag: &mut SockDiag, dropped: &Dropped) -> Deed {
    let name = name(&dropped.socket);
    let row = match diag.get(&dropped.socket) {
        Ok(Some(row)) => row,
        Ok(None) => return Deed::left(format!("{name} was gone already")),
        Err(error) => return Deed::left(format!("{name}: {error}")),
    };
    // It may have disconnected meanwhile and listen now; then it is no connection any more.
    if Doomed::of(&row).as_ref() != Ok(&dropped.doomed) {
        return Deed::left(format!("{name} is not what it was, and was left alone"));
    }
    match Destroyer::open(netns).and_then(|mut destroyer| destroyer.destroy(&dropped.doomed)) {
        Ok(true) => Deed::done(format!("{name} ({}) destroyed", row.state.name())),
        Ok(false) => Deed::left(format!("{name} was gone already")),
        Err(error) => Deed::left(format!("{name}: {error}")),
    }
}

/// Removes a TIME_WAIT without privilege. Its other end's address and port are bound, and a connection to
/// the server's address is begun: the kernel answers for the TIME_WAIT with an ACK that fits no connection
/// of ours, our side answers that with a RST, and the RST ends the TIME_WAIT (RFC 1337 calls it
/// assassination). The half-open connection is then closed; it leaves nothing.
///
/// Where somebody listens on the port the SYN would reach them instead, so that is looked at just before.
/// The window that remains: a server that starts to listen within these microseconds sees one connection
/// that is reset at once.
pub(super) fn displace(netns: &Netns, diag: &mut SockDiag, socket: &Socket) -> Deed {
    let name = name(socket);
    let (Some((Transport::Tcp, local, 0)), Some(remote)) = (socket.inet(), socket.remote) else {
        return Deed::left(format!("{name} is no TIME_WAIT that could be removed this way"));
    };
    match diag.get(socket) {
        Ok(Some(row)) if row.state == State::TimeWait => {}
        Ok(_) => return Deed::left(format!("{name} was gone already")),
        Err(error) => return Deed::left(format!("{name}: {error}")),
    }
    if sysctls(netns).ok().and_then(|seen| seen.found.tcp_rfc1337) != Some(false) {
        return Deed::left(format!("{name} stays: net.ipv4.tcp_rfc1337 protects it"));
    }
    let mut listens = false;
    let asked = diag.inet(&InetQuery::listeners(Transport::Tcp, local.port()), &mut |_| listens = true);
    if listens || asked.is_err() {
        return Deed::left(format!("{name} stays: somebody listens on its port, and would be reached"));
    }
    let begun = match netns.inside(|| begin(canonical(remote), canonical(local))) {
        Ok(Ok(begun)) => begun,
        Ok(Err(errno)) => {
            return Deed::left(format!("{name} stays: its other end cannot be bound ({errno})"));
        }
        Err(error) => return Deed::left(format!("{name}: {error}")),
    };
    let deadline = Instant::now() + PATIENCE;
    while is_there(diag, socket) && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(1));
    }
    drop(begun);
    if is_there(diag, socket) {
        return Deed::left(format!("{name} stays: the kernel did not give it up"));
    }
    Deed::done(format!("{name} (TIME_WAIT) removed by a connection attempt from its other end"))
}

/// A connection that is begun and not waited for. Whatever comes of it, its close leaves nothing.
fn begin(from: SocketAddr, to: SocketAddr) -> Result<rustix::fd::OwnedFd, Errno> {
    let family = if from.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let socket = socket_with(family, SocketType::STREAM, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK, None)?;
    sockopt::set_socket_linger(&socket, Some(Duration::ZERO))?;
    bind(&socket, &from)?;
    match connect(&socket, &to) {
        Ok(()) | Err(Errno::INPROGRESS) => Ok(socket),
        Err(errno) => Err(errno),
    }
}

/// An IPv4 address that stands mapped in an IPv6 one means the same packets.
fn canonical(address: SocketAddr) -> SocketAddr {
    match address {
        SocketAddr::V6(v6) if v6.ip().to_ipv4_mapped().is_some() => {
            (v6.ip().to_canonical(), v6.port()).into()
        }
        other => other,
    }
}

fn name(socket: &Socket) -> String {
    match (socket.inet(), socket.remote) {
        (Some((_, local, _)), Some(remote)) => format!("{local} to {remote}"),
        _ => socket.address.to_string(),
    }
}
