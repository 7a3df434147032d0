//! The kinds of socket that a [`super::Listen`] can make, and which options each has: a type that does not have
//! an option does not compile with it.

use rustix::fd::{AsFd, AsRawFd, BorrowedFd, IntoRawFd, OwnedFd, RawFd};
use std::io;
use std::net::{TcpListener, UdpSocket};
use std::os::unix::net::{UnixDatagram, UnixListener};

/// A kind of socket that [`super::Listen::bind`] gives. Sealed: these five are all.
pub trait Socket: From<OwnedFd> + sealed::Sealed {}
/// It has an IP address and a port.
pub trait InetSocket: Socket {}
/// It has a name in the file system, or an abstract one.
pub trait UnixSocket: Socket {}
/// It is listened on.
pub trait Listener: Socket {}

impl Socket for TcpListener {}
impl Socket for UdpSocket {}
impl Socket for UnixListener {}
impl Socket for UnixDatagram {}
impl Socket for SeqpacketListener {}
impl InetSocket for TcpListener {}
impl InetSocket for UdpSocket {}
impl UnixSocket for UnixListener {}
impl UnixSocket for UnixDatagram {}
impl UnixSocket for SeqpacketListener {}
impl Listener for TcpListener {}
impl Listener for UnixListener {}
impl Listener for SeqpacketListener {}

mod sealed {
    pub trait Sealed {}
    impl Sealed for std::net::TcpListener {}
    impl Sealed for std::net::UdpSocket {}
    impl Sealed for std::os::unix::net::UnixListener {}
    impl Sealed for std::os::unix::net::UnixDatagram {}
    impl Sealed for super::SeqpacketListener {}
}

/// A listening unix socket whose connections keep the borders of messages (`SOCK_SEQPACKET`), which the standard
/// library does not have.
#[derive(Debug)]
pub struct SeqpacketListener(OwnedFd);

impl SeqpacketListener {
    /// Waits for the next connection. Its descriptor is close-on-exec.
    ///
    /// # Errors
    /// As accept(2); `WouldBlock` when the listener is non-blocking and nobody waits.
    pub fn accept(&self) -> io::Result<OwnedFd> {
        #[cfg(target_os = "linux")]
        let connection = rustix::net::accept_with(&self.0, rustix::net::SocketFlags::CLOEXEC)?;
        #[cfg(not(target_os = "linux"))]
        let connection = rustix::net::accept(&self.0)?;
        Ok(connection)
    }
}

impl From<OwnedFd> for SeqpacketListener {
    fn from(fd: OwnedFd) -> SeqpacketListener {
        SeqpacketListener(fd)
    }
}

impl From<SeqpacketListener> for OwnedFd {
    fn from(listener: SeqpacketListener) -> OwnedFd {
        listener.0
    }
}

impl AsFd for SeqpacketListener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl AsRawFd for SeqpacketListener {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

impl IntoRawFd for SeqpacketListener {
    fn into_raw_fd(self) -> RawFd {
        self.0.into_raw_fd()
    }
}
