//! Real programs under `inuse run`, and what their clients see while they are restarted and killed.
//!
//! `programs` has them, each as Debian ships it or as its own documentation writes it down; `supervisor` starts
//! `inuse run` and hears what it tells; `play` restarts and kills under a load. Not here: the load itself (`load`).

mod play;
mod programs;
mod supervisor;

pub use play::{Figures, QUEUED, Rounds, play};
pub use programs::{ALL, Program, Way, python};
pub use supervisor::{Ctl, PATIENCE, Scratch, Supervisor, Told, end_marked, run, tree};

pub(crate) use supervisor::send;

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU8, Ordering};

/// A server that takes its sockets by LISTEN_FDS and ends well when it is told to: a script of Python.
pub const SERVER: &str = include_str!("../../../../examples/python/server.py");

/// The port on every address of [`address`]: below those of outgoing connections.
pub const PORT: u16 = 8080;

/// An address of loopback that no other test of this run has, and no other run of late: connections of that one may
/// still be in TIME_WAIT.
pub fn address() -> SocketAddr {
    static NEXT: AtomicU8 = AtomicU8::new(1);
    let run = std::process::id();
    let [.., high, low] = run.to_be_bytes();
    SocketAddr::from(([127, 192 + high % 63, low, NEXT.fetch_add(1, Ordering::Relaxed)], PORT))
}
