//! SIGINT and SIGTERM as something to wait for.
//!
//! A signal handler may do next to nothing (signal-safety(7)), and a library cannot know what else the program
//! runs. So the handler writes one byte into a socket, and the program waits on the other end where it waits anyway.
//!
//! Why not signalfd(2): it gets only signals that are blocked in **every** thread, and a library that is called
//! from one thread cannot block them in those that run already; besides, programs that are started from here would
//! inherit the blocked mask, and could not be ended with Ctrl+C. A handler has neither trouble: it counts for all
//! threads, and execve(2) resets it.

use crate::sys::signals::{self, Disposition};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use rustix::io::Errno;
use rustix::net::{RecvFlags, recv};
use std::io;
use std::os::unix::net::UnixStream;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The reading end; made once in the life of the process.
static READER: Mutex<Option<OwnedFd>> = Mutex::new(None);

/// Signals that [`ShutdownSignal::received`] tells at most.
const MOST: usize = 64;

/// A signal that asks a server to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// SIGINT: somebody pressed Ctrl+C.
    Interrupt,
    /// SIGTERM: a service manager, a container runtime or kill(1).
    Terminate,
}

/// Waits for SIGINT and SIGTERM. Its descriptor becomes readable with the first of them, and stays so for
/// everybody who has one: the end is announced, not handed to whoever reads first.
#[derive(Debug)]
pub struct ShutdownSignal(OwnedFd);

/// From now on SIGINT and SIGTERM do not end the process, but are told by what this gives. It may be called any
/// number of times, from any thread. A signal that the parent had set to be ignored, as nohup(1) does, stays so.
///
/// ```
/// use std::time::Duration;
///
/// let shutdown = inuse_bind::shutdown_signal()?;
/// std::thread::spawn(|| {
///     // Serve. The main thread ends the program when somebody asks for that.
/// });
/// assert_eq!(shutdown.wait_timeout(Duration::from_millis(10))?, None);
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// # Errors
/// `AlreadyExists` when something else in this process handles one of them; `sigaction`'s and `socketpair`'s.
pub fn shutdown_signal() -> io::Result<ShutdownSignal> {
    let mut reader = READER.lock().unwrap_or_else(PoisonError::into_inner);
    if reader.is_none() {
        let numbers = [libc::SIGINT, libc::SIGTERM];
        let now =
            numbers.iter().map(|&number| signals::disposition(number)).collect::<io::Result<Vec<_>>>()?;
        if now.contains(&Disposition::Handled) {
            let says = "something else in this process handles SIGINT or SIGTERM already";
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, says));
        }
        let (read, write) = UnixStream::pair()?;
        read.set_nonblocking(true)?;
        write.set_nonblocking(true)?;
        signals::write_to(write.into());
        for (&number, now) in numbers.iter().zip(now) {
            if now == Disposition::Default {
                signals::handle(number)?;
            }
        }
        *reader = Some(read.into());
    }
    match &*reader {
        Some(reader) => Ok(ShutdownSignal(reader.try_clone()?)),
        None => Err(Errno::BADF.into()),
    }
}

impl ShutdownSignal {
    /// Sleeps until the first signal; returns at once if it has come.
    ///
    /// # Errors
    /// As poll(2).
    pub fn wait(&self) -> io::Result<Signal> {
        loop {
            if let Some(signal) = self.until(None)? {
                return Ok(signal);
            }
        }
    }

    /// The same for at most this time; `None` when it is over.
    ///
    /// # Errors
    /// As poll(2).
    pub fn wait_timeout(&self, at_most: Duration) -> io::Result<Option<Signal>> {
        self.until(Instant::now().checked_add(at_most))
    }

    /// All signals so far, in their order, the first 64 of them: a second one says that somebody is impatient.
    pub fn received(&self) -> Vec<Signal> {
        let mut bytes = [0; MOST];
        // Left where they are, for everybody else who waits.
        let got = recv(&self.0, bytes.as_mut_slice(), RecvFlags::PEEK).map_or(0, |(got, _)| got);
        let told = bytes.iter().take(got);
        told.map(|&byte| if i32::from(byte) == libc::SIGINT { Signal::Interrupt } else { Signal::Terminate })
            .collect()
    }

    fn until(&self, deadline: Option<Instant>) -> io::Result<Option<Signal>> {
        loop {
            if let Some(&first) = self.received().first() {
                return Ok(Some(first));
            }
            let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
            if left == Some(Duration::ZERO) {
                return Ok(None);
            }
            let time = left.map(|left| Timespec {
                tv_sec: left.as_secs().try_into().unwrap_or(i64::MAX),
                tv_nsec: left.subsec_nanos().into(),
            });
            match poll(&mut [PollFd::new(&self.0, PollFlags::IN)], time.as_ref()) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
    }
}

impl AsFd for ShutdownSignal {
    /// Readable once a signal has come. Do not read from it: [`ShutdownSignal::received`] tells what came.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl From<ShutdownSignal> for OwnedFd {
    /// For what takes any descriptor. Do not read from it, as for [`AsFd`].
    fn from(signal: ShutdownSignal) -> OwnedFd {
        signal.0
    }
}

impl From<ShutdownSignal> for UnixStream {
    /// For runtimes that take sockets: `tokio::net::UnixStream::from_std(signal.into())?.readable().await`. Do not
    /// read from it, as for [`AsFd`].
    fn from(signal: ShutdownSignal) -> UnixStream {
        signal.0.into()
    }
}

impl AsRawFd for ShutdownSignal {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}
