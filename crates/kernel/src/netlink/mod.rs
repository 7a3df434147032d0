//! Netlink: a question to the kernel, and its answer as a stream of messages.
//!
//! [`wire`] turns bytes into messages and attributes and knows no descriptor; [`socket`] owns the
//! descriptor and knows no protocol. What the payloads mean is the business of `sockdiag` and
//! `locality`. See netlink(7), and Documentation/userspace-api/netlink/intro.rst in the kernel's tree.

pub(crate) mod socket;
pub(crate) mod wire;
