//! A question to the kernel that failed: the act, the object, and what would help.
//!
//! Three refusals that people mix up are told apart: the kernel said no (a privilege would help), the
//! thing is not there (a module, a namespace, a process), and the kernel does not know the question (it
//! is too old, or was built without). Not here: partial views, which are results (`seen`).

use inuse_rules::BlindSpot;
use rustix::io::Errno;
use std::fmt;
use std::io;

/// Why a fact could not be had at all.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// A system call failed, for another reason than the ones below.
    Io {
        /// What was being done ("read", "open").
        act: &'static str,
        /// To what ("/proc/net").
        object: String,
        /// What the kernel answered.
        source: io::Error,
    },
    /// The kernel refused for want of a privilege (`EPERM`, `EACCES`).
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
    /// There is no such thing (`ENOENT`, `ENODEV`, `ENXIO`).
    NotThere {
        /// What was being done.
        act: &'static str,
        /// To what.
        object: String,
        /// What the kernel answered.
        errno: Errno,
    },
    /// sock_diag(7) answers `ENOENT` for a protocol whose module is not there and cannot be loaded.
    NoModule {
        /// What was asked for ("the tcp sockets").
        object: String,
        /// The module that would answer ("tcp_diag").
        module: &'static str,
    },
    /// This kernel does not know the question (`EINVAL`, `EOPNOTSUPP`, `ENOSYS`, `EPROTONOSUPPORT`,
    /// `EAFNOSUPPORT`).
    Unsupported {
        /// What was being done.
        act: &'static str,
        /// To what.
        object: String,
        /// What the kernel answered.
        errno: Errno,
    },
    /// Bytes that the interface does not allow.
    Malformed {
        /// Where they came from.
        object: String,
        /// What is wrong with them.
        what: &'static str,
    },
}

impl Error {
    /// The error of an act that the kernel refused. Where the answer is a lack of privilege, `Denied`
    /// says that root has it; name a finer one where it is known.
    pub fn new(act: &'static str, object: impl Into<String>, errno: Errno) -> Error {
        let object = object.into();
        match errno {
            Errno::PERM | Errno::ACCESS => Error::Denied { act, object, needs: "root".into() },
            Errno::SRCH => Error::Gone { object },
            Errno::NOENT | Errno::NODEV | Errno::NXIO => Error::NotThere { act, object, errno },
            Errno::INVAL | Errno::OPNOTSUPP | Errno::NOSYS | Errno::PROTONOSUPPORT | Errno::AFNOSUPPORT => {
                Error::Unsupported { act, object, errno }
            }
            _ => Error::Io { act, object, source: errno.into() },
        }
    }

    /// The same refusal, naming the privilege that would help.
    pub fn needing(self, privilege: &str) -> Error {
        match self {
            Error::Denied { act, object, .. } => Error::Denied { act, object, needs: privilege.into() },
            other => other,
        }
    }

    /// The same as something that was not seen, for a result that is useful without it.
    pub fn blind_spot(&self) -> BlindSpot {
        let remedy = match self {
            Error::Denied { needs, .. } => privileged_remedy(needs),
            Error::NoModule { module, .. } => format!("load the kernel module: modprobe {module}"),
            Error::Unsupported { .. } => "a newer kernel, or one built with this interface".into(),
            Error::NotThere { .. } | Error::Gone { .. } => "check that it exists".into(),
            Error::Io { .. } | Error::Malformed { .. } => "ask again".into(),
        };
        BlindSpot { what: self.to_string(), remedy }
    }
}

/// What helps where a privilege is missing ("root", "CAP_SYS_PTRACE").
pub(crate) fn privileged_remedy(needs: &str) -> String {
    remedy_for(rustix::process::geteuid().is_root(), needs)
}

/// Root is not sent to itself: what it lacks was taken from it, or counts in its own namespaces only.
fn remedy_for(root: bool, needs: &str) -> String {
    match (root, needs) {
        (false, "root") => "run it as root".into(),
        (false, needs) => format!("run it as root, or with {needs}"),
        (true, "root") => "run it outside this container or namespace, as the host's root".into(),
        (true, needs) => {
            format!("run it with {needs}, or outside this container or namespace, as the host's root")
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Io { act, object, source } => write!(f, "cannot {act} {object}: {source}"),
            Error::Denied { act, object, needs } => write!(f, "may not {act} {object}: it needs {needs}"),
            Error::Gone { object } => write!(f, "{object} is gone"),
            Error::NotThere { act, object, .. } => write!(f, "cannot {act} {object}: there is none"),
            Error::NoModule { object, module } => {
                write!(f, "cannot ask for {object}: this kernel has no {module}")
            }
            Error::Unsupported { act, object, errno } => {
                write!(f, "cannot {act} {object}: this kernel does not know how ({errno})")
            }
            Error::Malformed { object, what } => write!(f, "cannot read {object}: {what}"),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Error::Io { source, .. } => Some(source),
            Error::NotThere { errno, .. } | Error::Unsupported { errno, .. } => Some(errno),
            _ => None,
        }
    }
}

impl From<Error> for io::Error {
    /// Keeps the kind, so that `?` into `io::Error` works.
    fn from(error: Error) -> io::Error {
        let kind = match &error {
            Error::Io { source, .. } => source.kind(),
            Error::Denied { .. } => io::ErrorKind::PermissionDenied,
            Error::Gone { .. } | Error::NotThere { .. } => io::ErrorKind::NotFound,
            Error::NoModule { .. } | Error::Unsupported { .. } => io::ErrorKind::Unsupported,
            Error::Malformed { .. } => io::ErrorKind::InvalidData,
        };
        io::Error::new(kind, error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_are_told_apart() {
        let check = |errno, text: &str, kind| {
            let error = Error::new("open", "/run/netns/blue", errno);
            assert!(error.to_string().starts_with(text), "{error}");
            assert_eq!(io::Error::from(error).kind(), kind);
        };
        use io::ErrorKind::*;
        check(Errno::PERM, "may not open /run/netns/blue: it needs root", PermissionDenied);
        check(Errno::ACCESS, "may not open /run/netns/blue: it needs root", PermissionDenied);
        check(Errno::NOENT, "cannot open /run/netns/blue: there is none", NotFound);
        check(Errno::SRCH, "/run/netns/blue is gone", NotFound);
        check(Errno::OPNOTSUPP, "cannot open /run/netns/blue: this kernel does not know how", Unsupported);
        check(Errno::INVAL, "cannot open /run/netns/blue: this kernel does not know how", Unsupported);
        check(Errno::NOSPC, "cannot open /run/netns/blue: ", StorageFull);
    }

    #[test]
    fn a_blind_spot_names_the_privilege() {
        let error = Error::new("enter", "the network namespace blue", Errno::PERM).needing("CAP_SYS_ADMIN");
        assert!(error.blind_spot().remedy.contains("with CAP_SYS_ADMIN"), "{error}");
        assert_eq!(remedy_for(false, "root"), "run it as root");
        assert_eq!(remedy_for(false, "CAP_BPF"), "run it as root, or with CAP_BPF");
        for needs in ["root", "CAP_BPF"] {
            let remedy = remedy_for(true, needs);
            assert!(!remedy.contains("run it as root") && remedy.contains("outside"), "{remedy}");
        }
    }
}
