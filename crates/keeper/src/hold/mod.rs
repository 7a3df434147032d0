//! Keeping an address across restarts and crashes of the program that serves it.
//!
//! [`run`] supervises one program: it holds the sockets, starts generations of the program, and puts a new one
//! in the place of the old one without a moment in which nobody listens. What it decides is [`supervise`], a
//! pure state machine; everything around it asks the kernel and does as it is told.
//!
//! One thread and one poll(2), and another such thread for what is kept ([`keep`]). Nothing that the program needs lives
//! in the supervisor alone: when it dies, the program goes on serving.
//!
//! Not here: freeing an address (`act`, which this never imports), binding one (`inuse_bind`), and terminal
//! output: who calls is told each [`log::Step`].

mod before;
pub mod ctl;
pub mod exit;
mod generation;
mod given;
mod held;
pub mod keep;
mod listen_fds;
mod listeners;
pub mod log;
mod notify;
mod output;
mod program;
mod ready;
mod run;
mod spawn;
pub mod supervise;
mod sys;
mod tree;
mod unseen;
mod watch;

pub use given::given;
pub use held::Held;
pub use listen_fds::is_name;
pub use output::{TEE, tee};
pub use program::{NOT_FOUND, NOT_RUNNABLE};
pub use ready::Ready;
pub use run::{Options, run};
pub use spawn::{STUB, stub};

/// The word that makes the command the process that keeps listeners.
pub const KEEP: &str = "__keep";

/// The name of a socket that was given none (`LISTEN_FDNAMES`, as systemd has it).
pub const UNNAMED: &str = "unknown";
