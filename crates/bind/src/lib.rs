//! Bind errors that explain themselves.
//!
//! [`why::Asker`] gathers the facts about an address from the running kernel and says what a bind would
//! get, because of whom, and what to do about it. [`wait::Waiter`] sleeps until a bind would succeed, or until
//! somebody listens. [`resolve`] turns what people write into addresses,
//! and the feature `snapshot-file` adds the file form of a snapshot, so that it can be judged elsewhere.
//!
//! Not here, and not reachable through here: signalling a process and destroying a socket.

#[cfg(feature = "snapshot-file")]
pub mod file;
pub mod resolve;
pub mod wait;
pub mod why;

pub use wait::Waiter;
pub use why::{Asker, Report, WhyOptions};
