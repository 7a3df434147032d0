//! A question to the kernel that failed: the act, the object, and what would help.
//!
//! Not here: partial views, which are results (`seen`).

use std::fmt;
use std::io;

/// Why a fact could not be had at all.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// A system call failed.
    Io {
        /// What was being done ("read", "open").
        act: &'static str,
        /// To what ("/proc/net").
        object: String,
        /// What the kernel answered.
        source: io::Error,
    },
    /// The kernel refused for want of a privilege.
    Denied {
        /// What was being done.
        act: &'static str,
        /// To what.
        object: String,
        /// The privilege that is missing, as a sentence part ("CAP_SYS_PTRACE").
        needs: String,
    },
    /// The object is no longer there, or is no longer the one that was meant.
    Gone {
        /// What is gone.
        object: String,
    },
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Io { act, object, source } => write!(f, "cannot {act} {object}: {source}"),
            Error::Denied { act, object, needs } => write!(f, "may not {act} {object}: it needs {needs}"),
            Error::Gone { object } => write!(f, "{object} is gone"),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Error::Io { source, .. } => Some(source),
            Error::Denied { .. } | Error::Gone { .. } => None,
        }
    }
}
