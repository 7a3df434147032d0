//! The calls that need `unsafe`, one idea a file.

pub(super) mod descriptors;
pub(super) mod inherit;
pub(super) mod message;
pub(super) mod number;
pub(super) mod peer;
pub(super) mod signals;
