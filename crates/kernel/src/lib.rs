//! Linux facts about sockets, their owners and their namespaces.
//!
//! What lives here: sock_diag (tcp, udp, unix), owners and processes, the options of other processes'
//! sockets, network namespaces and what a capability counts in them, sysctls, what is a local address, what stands at a unix path, and the events
//! that announce a change of these. Every
//! answer is a fact in the words of `inuse-rules`, and what could not be seen comes with it as a blind
//! spot.
//!
//! What deliberately does not: decisions (no function here says what a bind would answer), output, and
//! anything that changes the machine. Nothing here binds, connects or signals; the feature `destroy`, off
//! by default, adds the one act that the kernel offers here, and the feature `seccomp` answering system calls
//! of programs that were started under a filter.

#[cfg(feature = "bpf")]
pub mod bpf;
pub mod caps;
#[cfg(feature = "destroy")]
pub mod destroy;
mod duplicate;
pub mod elsewhere;
pub mod error;
pub mod events;
pub mod locality;
mod netlink;
pub mod netns;
pub mod options;
pub mod owners;
pub mod process;
mod procfs;
#[cfg(feature = "seccomp")]
pub mod seccomp;
pub mod seen;
pub mod sockdiag;
mod sys;
pub mod sysctl;
pub mod unixpath;
pub mod version;

pub use elsewhere::elsewhere;
pub use error::Error;
pub use locality::locality;
pub use netns::{Netns, NetnsName};
pub use seen::Seen;
pub use sockdiag::SockDiag;
pub use sysctl::sysctls;
pub use unixpath::path_fact;
pub use version::kernel_version;
