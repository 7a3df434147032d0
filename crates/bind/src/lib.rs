//! Bind errors that explain themselves.
//!
//! ```no_run
//! fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     let server = inuse_bind::listen("0.0.0.0:8080")?;
//!     for connection in server.incoming() {
//!         // …
//!     }
//!     Ok(())
//! }
//! ```
//!
//! When the port is taken, this program ends with
//!
//! ```text
//! Error: cannot bind 0.0.0.0:8080: Address already in use. node (pid 4412) listens on 0.0.0.0:8080. Ask node (pid 4412) to end: inuse free tcp/0.0.0.0:8080
//! ```
//!
//! # What is here
//!
//! | you want | take |
//! |---|---|
//! | a TCP listener, with the options that a server should have | [`listen`] |
//! | another option, UDP, or a unix socket | [`Listen`] |
//! | to start while the old server is still ending | [`Listen::wait`] |
//! | any port, beginning with this one | [`Listen::or_next_port`] |
//! | the socket that systemd, or `inuse run`, holds for you | nothing more: [`listen`] takes it; [`Listen::name`] by its name |
//! | an explanation for a bind that a framework made | [`explain`] |
//! | everything about an address, without binding it | [`why`](fn@why) |
//! | to end when Ctrl+C is pressed or `docker stop` is called | [`shutdown_signal`] |
//! | to wait until an address is free, or served | [`Waiter`] |
//!
//! [`guide`] goes through the usual mistakes with `socket`, `setsockopt`, `bind` and `listen`, each in C and with
//! this crate. The folder `examples` has recipes for tokio, mio and axum, and one for a graceful end.
//!
//! # What it costs
//!
//! Binding costs what the system calls cost. An error costs some milliseconds, and at most 100 for the search for
//! the owner; an answer says when that was not enough. There is no async runtime, no thread, and besides this
//! workspace's own crates the tree is rustix, linux-raw-sys, bitflags and libc: seven crates in all. It needs
//! Rust 1.88. The feature `snapshot-file` (the file form of what was seen) brings serde, and is off by default.
//!
//! # What it never does
//!
//! It signals no process, destroys no socket, and loads no BPF and no seccomp filter: what acts on other programs is
//! in another crate, which this one does not link. The one thing that it removes is a unix socket file which
//! provably nobody serves, and only to put its own there.
//!
//! # Other systems
//!
//! On Linux everything works; elsewhere on Unix (macOS) the sockets and their options do, and an error says that who
//! holds the address cannot be seen. Waiting then means to try again every 100 ms, and a stale socket file stays.
#![deny(missing_docs)]

#[doc = include_str!("../../../docs/guide-from-c.md")]
pub mod guide {}

/// Its program is compiled with the examples of this crate.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
mod readme {}

mod error;
#[cfg(target_os = "linux")]
mod explain;
#[cfg(all(target_os = "linux", feature = "snapshot-file"))]
pub mod file;
mod inherit;
mod listen;
mod parts;
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

/// The words of a [`Report`]: verdicts, causes, sockets, owners, cures.
pub use inuse_rules as rules;

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
