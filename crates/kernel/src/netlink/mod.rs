//! Netlink: a question to the kernel, and its answer as a stream of messages.
//!
//! [`wire`] turns bytes into messages and attributes, [`answer`] says when an answer is complete and
//! what it was worth: both know no descriptor. [`socket`] owns the descriptor and knows no protocol. What
//! the payloads mean is the business of `sockdiag` and `locality`. See netlink(7), and
//! Documentation/userspace-api/netlink/intro.rst in the kernel's tree.

pub(crate) mod answer;
pub(crate) mod socket;
pub(crate) mod wire;
