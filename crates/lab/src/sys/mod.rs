//! The few calls that have no safe form, one idea a file.

pub(crate) mod fork;
pub(crate) mod ring;
pub(crate) mod thread;
