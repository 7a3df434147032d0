//! Removing a stale socket file, and only that.
//!
//! It must be a socket; nobody in unix_diag of any network namespace that may be entered is behind it; a
//! connection to it is refused; and at that moment it is still the same file. The window that remains: the
//! microseconds between the last look and unlinkat(2), in which another program could replace it.

use super::Deed;
use crate::act::plan::StaleFile;
use inuse_kernel::netns::Netns;
use inuse_kernel::sockdiag::States;
use inuse_kernel::{SockDiag, elsewhere, path_fact, unixpath};
use inuse_rules::address::{UnixKind, escape};
use inuse_rules::snapshot::{FileKind, PathFact};
use rustix::fs::{AtFlags, CWD, unlinkat};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with};

/// Removes it, if it is stale.
pub(super) fn run(netns: &Netns, diag: &mut SockDiag, stale: &StaleFile) -> Deed {
    let name = escape(&stale.path);
    if let Err(why) = nobody_behind(netns, diag, stale).and_then(|()| refuses(stale)) {
        return Deed::left(format!("{name} stays: {why}"));
    }
    if !is_the_same(stale) {
        return Deed::left(format!("{name} stays: it is not the file that it was"));
    }
    match unlinkat(CWD, stale.path.as_slice(), AtFlags::empty()) {
        Ok(()) => Deed::done(format!("{name} removed: nobody was behind it")),
        Err(Errno::NOENT) => Deed::left(format!("{name} was gone already")),
        Err(errno) => Deed::left(format!("{name} could not be removed: {errno}")),
    }
}

fn is_the_same(stale: &StaleFile) -> bool {
    path_fact(&stale.path) == PathFact::Exists { kind: FileKind::Socket, file: stale.file }
}

/// No socket in this namespace, or in another that may be entered, has that file.
fn nobody_behind(netns: &Netns, diag: &mut SockDiag, stale: &StaleFile) -> Result<(), String> {
    let mut sockets = Vec::new();
    let asked = diag.unix(States::ALL, &mut |row| sockets.push(row.socket));
    asked.map_err(|error| error.to_string())?;
    unixpath::settle_device(&stale.path, stale.file, &mut sockets);
    let here = sockets.iter().any(|socket| socket.file == Some(stale.file));
    let there = elsewhere::unix_elsewhere(netns, stale.file, elsewhere::DEFAULT_LIMIT);
    if here || !there.found.is_empty() {
        return Err("a socket is behind it".into());
    }
    Ok(())
}

/// A connection is refused. A datagram socket's comes first: it reaches nobody's queue of connections, and a
/// server of another type, even one that does not listen, answers it with another error.
fn refuses(stale: &StaleFile) -> Result<(), String> {
    let own = match stale.kind {
        UnixKind::Stream => SocketType::STREAM,
        UnixKind::Datagram => SocketType::DGRAM,
        UnixKind::Seqpacket => SocketType::SEQPACKET,
    };
    for kind in [SocketType::DGRAM, own] {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let answer = SocketAddrUnix::new(stale.path.as_slice())
            .and_then(|address| connect(&socket_with(AddressFamily::UNIX, kind, flags, None)?, &address));
        match answer {
            Err(Errno::CONNREFUSED) => {}
            Err(Errno::ACCESS) => return Err("whether a server is behind it may not be asked".into()),
            Ok(()) | Err(_) => return Err("a server answers behind it".into()),
        }
    }
    Ok(())
}
