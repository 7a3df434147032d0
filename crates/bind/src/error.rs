//! The one error of this crate: what could not be done, why, and what helps.
//!
//! Not here: finding that out (`explain`).

#[cfg(target_os = "linux")]
use crate::why::Report;
use std::fmt;
use std::io;

/// Why there is no socket, in a sentence that names the culprit.
///
/// Displayed, it is the short answer to "why does this bind fail?", as it was when the error happened:
///
/// ```text
/// cannot bind 127.0.0.1:8080: Address already in use. node (pid 4412) listens on 127.0.0.1:8080. Ask node (pid 4412) to end: inuse free tcp/127.0.0.1:8080
/// ```
///
/// It names programs and pids, and never the arguments of other people's processes. `Debug` is the same text,
/// since that is what `fn main() -> Result<(), Error>` prints. The operating system's own error is the
/// [`source`](std::error::Error::source), and `?` turns this into an [`io::Error`] of the same kind:
///
/// ```
/// # fn main() -> Result<(), std::io::Error> {
/// let first = inuse_bind::listen("127.0.0.1:0")?;
/// let error = inuse_bind::listen(first.local_addr()?).unwrap_err();
/// assert_eq!(error.kind(), std::io::ErrorKind::AddrInUse);
/// assert!(error.to_string().contains("This very process already holds"), "{error}");
/// let error: std::io::Error = error.into();
/// assert_eq!(error.kind(), std::io::ErrorKind::AddrInUse);
/// # Ok(())
/// # }
/// ```
pub struct Error(Box<Inner>);

struct Inner {
    /// "cannot bind 127.0.0.1:80".
    act: String,
    source: io::Error,
    /// Cause and cure, where they are known.
    answer: Option<String>,
    #[cfg(target_os = "linux")]
    report: Option<Report>,
}

impl Error {
    pub(crate) fn new(act: impl Into<String>, source: impl Into<io::Error>) -> Error {
        Error(Box::new(Inner {
            act: act.into(),
            source: source.into(),
            answer: None,
            #[cfg(target_os = "linux")]
            report: None,
        }))
    }

    /// The same with cause and cure.
    pub(crate) fn answered(mut self, answer: Option<String>) -> Error {
        self.0.answer = answer;
        self
    }

    /// The same with everything that was found out.
    #[cfg(target_os = "linux")]
    pub(crate) fn reported(mut self, report: Option<Report>) -> Error {
        self.0.report = report;
        self
    }

    /// The parent's announcement is not what it should be.
    pub(crate) fn inherited(fault: crate::inherit::Fault) -> Error {
        let source = io::Error::new(io::ErrorKind::InvalidInput, fault);
        Error::new("cannot take over the sockets that the parent announced", source)
    }

    /// The kind of the operating system's error.
    pub fn kind(&self) -> io::ErrorKind {
        self.0.source.kind()
    }

    /// The errno, where the operating system gave one: `EADDRINUSE` is 98 on Linux and 48 on macOS.
    pub fn raw_os_error(&self) -> Option<i32> {
        self.0.source.raw_os_error()
    }

    /// Everything that was found out when the error happened: the verdict, the cause by name, every holder with its
    /// owners, all cures. `None` where there was nothing to find out, as for a name that does not resolve.
    #[cfg(target_os = "linux")]
    pub fn report(&self) -> Option<&Report> {
        self.0.report.as_ref()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Inner { act, source, answer, .. } = &*self.0;
        write!(f, "{act}: {}", plain(source))?;
        match answer {
            Some(answer) => write!(f, ". {answer}"),
            None => Ok(()),
        }
    }
}

/// What strerror(3) says, without the number that the standard library puts behind it.
fn plain(error: &io::Error) -> String {
    let text = error.to_string();
    match text.split_once(" (os error ") {
        Some((plain, _)) => plain.to_owned(),
        None => text,
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.0.source)
    }
}

impl From<Error> for io::Error {
    /// Keeps the kind and the text; [`io::Error::get_ref`] still leads to this error.
    fn from(error: Error) -> io::Error {
        io::Error::new(error.kind(), error)
    }
}

/// The same error once more.
pub(crate) fn copy(error: &io::Error) -> io::Error {
    match error.raw_os_error() {
        Some(errno) => io::Error::from_raw_os_error(errno),
        None => io::Error::new(error.kind(), error.to_string()),
    }
}
