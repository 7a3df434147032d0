//! Acting on other processes' sockets.
//!
//! [`act`] frees an address: a plan that can be read before it is run, evidence for every process that is
//! signalled, and a proof at the end.
//! [`hold`] keeps an address across restarts and crashes of the program that serves it.
//!
//! Not here: terminal output, and finding out who holds what (`inuse_bind::why`).

pub mod act;
pub mod hold;
