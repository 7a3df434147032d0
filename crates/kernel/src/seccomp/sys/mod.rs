//! The calls of user notification that need `unsafe`, one idea a file.

pub(super) mod install;
pub(super) mod notify;
pub(super) mod process;
pub(super) mod ptrace;
pub(super) mod sockopt;
