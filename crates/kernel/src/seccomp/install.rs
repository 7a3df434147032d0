//! Putting the filter on the calling thread.
//!
//! The kernel wants `CAP_SYS_ADMIN` or no_new_privs for that. Where the capability is there it is used, so
//! that set-uid programs below keep working; else no_new_privs is set, and they run without their rights,
//! for ever and in every descendant (prctl(2), `PR_SET_NO_NEW_PRIVS`).
//!
//! Not here: what becomes of the descriptor (the caller must give it away before it makes a filtered call).

use super::{filter, sys};
use rustix::fd::OwnedFd;
use rustix::io::Errno;
use std::fmt;

/// Puts the filter on the calling thread, and so on all that it will fork or execute. The descriptor is
/// where the questions arrive; it is CLOEXEC. `true`: no_new_privs had to be set.
///
/// For a process with a single thread: others of the same process would stay without a filter. From now on a
/// filtered call waits until somebody who has the descriptor answers, and fails with ENOSYS when nobody has it.
pub fn install() -> Result<(OwnedFd, bool), Refused> {
    let program = filter::program().ok_or(Refused::Architecture)?;
    match sys::install::with_listener(&program) {
        Ok(fd) => Ok((fd, false)),
        // Neither the capability nor no_new_privs.
        Err(Errno::ACCESS) => {
            rustix::thread::set_no_new_privs(true).map_err(Refused::from)?;
            let fd = sys::install::with_listener(&program).map_err(Refused::from)?;
            Ok((fd, true))
        }
        Err(errno) => Err(errno.into()),
    }
}

/// Why the filter could not be put there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refused {
    /// EBUSY: a filter above has the one listener that a line of filters can have.
    Nested,
    /// EPERM or EACCES: a container's own filter, or a security module.
    Denied,
    /// ENOSYS or EINVAL: user notification came with Linux 5.0.
    TooOld,
    /// The numbers of the calls are not known for this architecture.
    Architecture,
    /// Something else.
    Other(Errno),
}

impl From<Errno> for Refused {
    fn from(errno: Errno) -> Refused {
        match errno {
            Errno::BUSY => Refused::Nested,
            Errno::PERM | Errno::ACCESS => Refused::Denied,
            Errno::NOSYS | Errno::INVAL => Refused::TooOld,
            other => Refused::Other(other),
        }
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refused::Nested => f.write_str(
                "another program above already answers for system calls, and the kernel allows one: \
                 start this one outside of it",
            ),
            Refused::Denied => f.write_str(
                "seccomp(2) is not permitted here: run the container with a profile that allows it \
                 (for docker: --security-opt seccomp=unconfined)",
            ),
            Refused::TooOld => {
                f.write_str("this kernel has no user notification of seccomp: it needs Linux 5.9")
            }
            Refused::Architecture => f.write_str("the calls of this architecture are not known here"),
            Refused::Other(errno) => write!(f, "seccomp(2) failed: {errno}"),
        }
    }
}

impl std::error::Error for Refused {}
