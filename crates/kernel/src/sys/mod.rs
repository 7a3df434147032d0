//! The calls that need `unsafe`, one idea a file, and what they take.

pub(crate) mod attach_filter;
#[cfg(feature = "bpf")]
pub(crate) mod bpf;
pub(crate) mod classic_bpf;
pub(crate) mod ext_ack;
pub(crate) mod getsockopt;
pub(crate) mod kcmp;
#[cfg(feature = "bpf")]
pub(crate) mod mapped;
pub(crate) mod ns_owner;
#[cfg(feature = "set-options")]
pub(crate) mod setsockopt;
