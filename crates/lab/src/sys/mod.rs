//! The few calls that have no safe form, one idea a file.

pub(crate) mod fork;
pub(crate) mod fsuid;
pub(crate) mod interrupt;
pub(crate) mod ring;
pub(crate) mod rusage;
pub(crate) mod sockopt;
pub(crate) mod thread;
