//! The calls that need `unsafe`, one idea a file.

pub(crate) mod ignored;
