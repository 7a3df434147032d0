//! Removing a stale socket file, and only that.
//!
//! It must be a socket; nobody in unix_diag of any network namespace that may be entered is behind it; a
//! connection to it is refused; and at that moment it is still the same file. The window that remains: the
//! microseconds between the last look and unlinkat(2), in which another program could replace it.

use crate::parts::unix_type;
use inuse_kernel::netns::Netns;
use inuse_kernel::sockdiag::States;
use inuse_kernel::{SockDiag, elsewhere, path_fact, unixpath};
use inuse_rules::UnixKind;
use inuse_rules::snapshot::{FileKind, PathFact};
use inuse_rules::socket::FileId;
use rustix::fs::{AtFlags, CWD, unlinkat};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with};

/// A socket file, as it was when somebody looked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SocketFile {
    /// Where it stands.
    pub path: Vec<u8>,
    /// Which file it is.
    pub file: FileId,
    /// The type of the socket that is to take its place.
    pub kind: UnixKind,
}

impl SocketFile {
    /// The socket file at this path, if one stands there.
    pub fn at(path: &[u8], kind: UnixKind) -> Option<SocketFile> {
        match path_fact(path) {
            PathFact::Exists { kind: FileKind::Socket, file } => {
                Some(SocketFile { path: path.to_vec(), file, kind })
            }
            _ => None,
        }
    }

    /// Removes it, if it is proven that nobody is behind it. False when it was gone already.
    ///
    /// # Errors
    /// Why it stays, as a sentence part ("a server answers behind it").
    pub fn remove(&self, netns: &Netns, diag: &mut SockDiag) -> Result<bool, String> {
        self.nobody_behind(netns, diag)?;
        self.refuses()?;
        if SocketFile::at(&self.path, self.kind).as_ref() != Some(self) {
            return Err("it is not the file that it was".into());
        }
        match unlinkat(CWD, self.path.as_slice(), AtFlags::empty()) {
            Ok(()) => Ok(true),
            Err(Errno::NOENT) => Ok(false),
            Err(errno) => Err(format!("it could not be removed: {errno}")),
        }
    }

    /// No socket in this namespace, or in another that may be entered, has that file.
    fn nobody_behind(&self, netns: &Netns, diag: &mut SockDiag) -> Result<(), String> {
        let mut sockets = Vec::new();
        let asked = diag.unix(States::ALL, &mut |row| sockets.push(row.socket));
        asked.map_err(|error| error.to_string())?;
        unixpath::settle_device(&self.path, self.file, &mut sockets);
        let here = sockets.iter().any(|socket| socket.file == Some(self.file));
        let there = elsewhere::unix_elsewhere(netns, self.file, elsewhere::DEFAULT_LIMIT);
        if here || !there.found.is_empty() {
            return Err("a socket is behind it".into());
        }
        Ok(())
    }

    /// A connection is refused. A datagram socket's comes first: it reaches nobody's queue of connections, and
    /// a server of another type, even one that does not listen, answers it with another error.
    fn refuses(&self) -> Result<(), String> {
        for kind in [SocketType::DGRAM, unix_type(self.kind)] {
            let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
            let answer = SocketAddrUnix::new(self.path.as_slice())
                .and_then(|address| connect(&socket_with(AddressFamily::UNIX, kind, flags, None)?, &address));
            match answer {
                Err(Errno::CONNREFUSED) => {}
                Err(Errno::ACCESS) => return Err("a connection to it, which would show whether a server is behind it, is not allowed to this user".into()),
                Ok(()) | Err(_) => return Err("a server answers behind it".into()),
            }
        }
        Ok(())
    }
}
