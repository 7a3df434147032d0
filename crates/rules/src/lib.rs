//! The words of `inuse` as types, and its decisions as pure functions.
//!
//! What lives here: addresses, sockets, owners, attempts, snapshots; the kernel's bind rule (`judge`);
//! the causes, their precedence and their cures; the scenes as data. All input is an argument.
//!
//! What deliberately does not: any I/O (the crate is `no_std`), JSON, colours, and every Linux call.
//! Facts are gathered elsewhere and handed in as a [`Snapshot`]; where one is missing, the verdict
//! *names* it and the asker may fetch it and ask again.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod address;
pub mod alike;
pub mod attempt;
pub mod cause;
pub mod cure;
pub mod diagnose;
pub mod diagnosis;
pub mod explain;
pub mod infer;
pub mod judge;
pub mod known;
pub mod owner;
pub mod scene;
pub mod snapshot;
pub mod socket;
pub mod verdict;
pub mod written;

pub use address::{Address, Transport, UnixKind, UnixName};
pub use attempt::Attempt;
pub use cause::Cause;
pub use cure::{Cure, Promise};
pub use diagnose::diagnose;
pub use diagnosis::Diagnosis;
pub use judge::{Connect, judge, judge_connect};
pub use owner::{Holding, Ownership, Process};
pub use snapshot::{BlindSpot, Snapshot};
pub use socket::{Options, Socket, State};
pub use verdict::{Call, Errno, Fact, Outcome, Rule, Verdict};
