//! Bind errors that explain themselves.
#![deny(missing_docs)]

mod error;
#[cfg(target_os = "linux")]
mod explain;
#[cfg(all(target_os = "linux", feature = "snapshot-file"))]
pub mod file;
mod inherit;
mod listen;
#[cfg(target_os = "linux")]
pub mod resolve;
mod shutdown;
#[cfg(target_os = "linux")]
pub mod stale;
mod sys;
#[cfg(target_os = "linux")]
pub mod table;
#[cfg(target_os = "linux")]
pub mod wait;
#[cfg(target_os = "linux")]
pub mod why;

pub use error::Error;
pub use inherit::{Inherited, inherited};
pub use listen::{InetSocket, Keepalive, Listen, Listener, SeqpacketListener, Socket, UnixSocket, listen};
pub use shutdown::{ShutdownSignal, Signal, shutdown_signal};
#[cfg(target_os = "linux")]
pub use wait::Waiter;
#[cfg(target_os = "linux")]
pub use why::{Asker, Report, WhyOptions};

use std::io;
use std::net::ToSocketAddrs;

/// Says why a TCP bind that somebody else's code made has failed: the error of tokio, hyper or the standard
/// library in, the explained one out.
///
/// ```
/// use std::net::TcpListener;
///
/// let first = TcpListener::bind("127.0.0.1:0")?;
/// let address = first.local_addr()?;
/// let error = TcpListener::bind(address).unwrap_err();
/// let explained = inuse_bind::explain(&error, address);
/// assert!(explained.to_string().contains("Address already in use. "), "{explained}");
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// It is taken that SO_REUSEADDR was set, as all of these do; [`Listen::explain`] says it for other options and
/// kinds of sockets.
pub fn explain(error: &io::Error, address: impl ToSocketAddrs) -> Error {
    Listen::tcp(address).explain(error)
}

/// Says everything about a TCP bind to this address, as [`listen`] would make it: whether it succeeds, who is in
/// the way, what helps. Nothing is bound. [`Listen::why`] says it for other options and kinds of sockets.
///
/// # Errors
/// When the address cannot be read, or the kernel has no sock_diag.
#[cfg(target_os = "linux")]
pub fn why(address: impl ToSocketAddrs) -> Result<Report, Error> {
    Listen::tcp(address).why()
}
