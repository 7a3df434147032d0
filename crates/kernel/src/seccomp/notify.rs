//! Questions and answers: the descriptor where the notifications of one filter arrive.
//!
//! A question may be withdrawn at any moment, by the caller's death or a signal. So [`Notifications::valid`] is
//! asked after each look at the caller and before what was seen is used: only then was it this caller that was
//! looked at.
//!
//! Not here: looking at the caller (`target`).

use super::filter::Call;
use super::sys::notify as raw;
use rustix::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd};
use rustix::io::Errno;

/// A task that waits in a call for an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Notification {
    /// Names the question.
    pub id: u64,
    /// The thread that asks, in the pid namespace of the process that receives; 0 when it is not in there.
    pub tid: u32,
    /// The call; `None` for a number that the filter does not ask about.
    pub call: Option<Call>,
    /// Its arguments.
    pub arguments: [u64; 6],
}

/// What the caller gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The kernel carries out the call, and reads its arguments again.
    Continue,
    /// The call is not carried out and returns 0.
    Done,
    /// The call is not carried out and fails.
    Fails(Errno),
}

/// Where the questions of one filter arrive. Readable when there is one, hung up when no task has the filter
/// any more.
#[derive(Debug)]
pub struct Notifications {
    fd: OwnedFd,
    /// As large as the kernel's structures.
    buffer: Vec<u64>,
}

impl Notifications {
    /// Takes the descriptor that [`install`](super::install()) gave.
    pub fn new(fd: OwnedFd) -> Result<Notifications, Errno> {
        let (question, answer) = raw::sizes()?;
        let needed = question.max(answer).max(size_of::<libc::seccomp_notif>());
        Ok(Notifications { fd, buffer: vec![0; needed.div_ceil(8)] })
    }

    /// The next question; `None` when it was withdrawn. Only to be called when poll(2) says that there is one:
    /// before Linux 6.6 it waits for ever when there is none.
    pub fn receive(&mut self) -> Result<Option<Notification>, Errno> {
        match raw::receive(&self.fd, &mut self.buffer) {
            Ok(asked) => Ok(Some(Notification {
                id: asked.id,
                tid: asked.pid,
                call: Call::from_number(asked.data.nr),
                arguments: asked.data.args,
            })),
            Err(Errno::NOENT | Errno::INTR) => Ok(None),
            Err(errno) => Err(errno),
        }
    }

    /// Whether the caller still waits.
    #[doc(alias = "SECCOMP_IOCTL_NOTIF_ID_VALID")]
    pub fn valid(&self, id: u64) -> bool {
        raw::valid(&self.fd, id).is_ok()
    }

    /// Makes the caller's descriptor `number` our `file`, as dup2(2) does. May be repeated.
    #[doc(alias = "SECCOMP_IOCTL_NOTIF_ADDFD")]
    pub fn put(&self, id: u64, file: BorrowedFd<'_>, number: u32, cloexec: bool) -> Result<(), Errno> {
        let srcfd = u32::try_from(file.as_raw_fd()).map_err(|_| Errno::BADF)?;
        let newfd_flags = if cloexec { libc::O_CLOEXEC as u32 } else { 0 };
        let flags = libc::SECCOMP_ADDFD_FLAG_SETFD as u32;
        raw::add_fd(&self.fd, &libc::seccomp_notif_addfd { id, flags, srcfd, newfd: number, newfd_flags })
    }

    /// Answers. ENOENT when nobody waits for it any more.
    pub fn answer(&mut self, id: u64, answer: Answer) -> Result<(), Errno> {
        let flags = match answer {
            Answer::Continue => libc::SECCOMP_USER_NOTIF_FLAG_CONTINUE as u32,
            _ => 0,
        };
        let error = match answer {
            Answer::Fails(errno) => -errno.raw_os_error(),
            _ => 0,
        };
        raw::send(&self.fd, &libc::seccomp_notif_resp { id, val: 0, error, flags }, &mut self.buffer)
    }
}

impl AsFd for Notifications {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}
