//! Keeping what a program listens on, without its help: the program's next generation gets the very socket, and
//! with it the connections that wait in its queue, whatever happened to the one before.
//!
//! A generation is started under a filter ([`enter`]) that asks about its bind, listen and shutdown. The answers
//! come from a thread of the supervisor, the handler: at listen() it takes a duplicate of the program's socket, and when
//! a later generation binds the same address, it puts that socket in the place of the one which the program made. The
//! supervisor tells the handler about generations and hears what happens ([`Keeper`]). A small process, the stand-in
//! ([`stand_in_main`]), outlives a supervisor that dies, and lets the calls pass then until the last task with the filter
//! is gone; without it they would fail with ENOSYS for ever.
//!
//! What is shared by the generations that have the same socket: O_NONBLOCK, the backlog, every socket option;
//! SO_REUSEADDR is always set on a kept TCP listener. A
//! program that sets other options before its bind than its predecessor did does not get them: the socket keeps
//! those that it has. A program that closes its listener in the middle of its life and never binds it again
//! leaves a queue that nobody reads until the generation after it is ready.
//!
//! This is a convenience and no security boundary: see `inuse_kernel::seccomp`.
//!
//! Not here: starting, stopping and watching processes.

mod channel;
mod enter;
mod event;
mod fields;
mod handler;
mod keeper;
mod key;
mod sockets;
mod stand_in;
mod wire;

pub use enter::{enter, set_uid_obstacle};
pub use event::{Bind, Event, Kept};
pub use keeper::{KeepOptions, Keeper};
pub(super) use key::address_of;
pub use stand_in::stand_in_main;

/// A run of the program that is supervised; the supervisor counts them.
pub type Generation = u32;
