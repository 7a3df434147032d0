//! The calls that need `unsafe`, one idea a file.

pub(crate) mod ext_ack;
pub(crate) mod getsockopt;
pub(crate) mod kcmp;
