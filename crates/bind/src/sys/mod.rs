//! The calls that need `unsafe`, one idea a file.

#[cfg(target_os = "linux")]
pub(crate) mod device;
pub(crate) mod inherited;
pub(crate) mod signals;
