//! The supervisor's end: starting the handler, telling it about generations, hearing what happens.
//!
//! Not here: what the handler does (`handler`).

use super::channel::{self, Received};
use super::event::{Event, Kept};
use super::wire::{self, Order};
use super::{Generation, handler};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::io::Errno;
use std::ffi::OsString;
use std::io;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

/// How long the handler may take to read what it is told, and to answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// How the handler is started, and what it does.
#[derive(Clone, Debug)]
pub struct KeepOptions {
    /// The program that calls [`handler_main`](super::handler_main()), and the arguments by which it knows to.
    pub program: PathBuf,
    /// See `program`.
    pub arguments: Vec<OsString>,
    /// A queue that a program asks for is made as long as the kernel allows (`net.core.somaxconn`).
    pub raise_backlog: bool,
}

impl Default for KeepOptions {
    /// Ourselves, with `__keep`; queues are raised.
    fn default() -> KeepOptions {
        KeepOptions {
            program: "/proc/self/exe".into(),
            arguments: vec![crate::hold::KEEP.into()],
            raise_backlog: true,
        }
    }
}

/// The handler, as the supervisor sees it. Readable (as a descriptor) when [`next_event`](Keeper::next_event) has
/// something. Dropping it lets every kept socket go; the handler goes on answering for those who live.
#[derive(Debug)]
pub struct Keeper {
    channel: OwnedFd,
    pid: u32,
}

impl Keeper {
    /// Starts the handler. It is a child of the caller, in a session of its own, and must not be ended before
    /// the programs under its filter: their bind, listen and shutdown would fail with ENOSYS.
    pub fn start(options: &KeepOptions) -> io::Result<Keeper> {
        let (here, there) = channel::pair()?;
        let child = Command::new(&options.program)
            .args(&options.arguments)
            .env_clear()
            .current_dir("/")
            .stdin(Stdio::from(there))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        let keeper = Keeper { channel: here, pid: child.id() };
        keeper.tell(&Order::Begin { raise_backlog: options.raise_backlog }, &[])?;
        // A program that is no handler ends or says nothing, and an answer proves that it is one.
        keeper.status()?;
        Ok(keeper)
    }

    /// The handler's process: a child of the caller, which must neither signal it nor count it among the
    /// program's, and should wait for it when it ends.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// What the stub needs for [`enter`](super::enter()): to be inherited by it.
    pub fn channel(&self) -> BorrowedFd<'_> {
        self.channel.as_fd()
    }

    /// Gives a socket that is bound for the program, with its name: the first bind of its address gets it.
    ///
    /// # Errors
    /// When the socket is not bound, or of a kind that is not kept, and when the handler is gone.
    pub fn preload(&self, name: &str, socket: BorrowedFd<'_>) -> io::Result<()> {
        if super::key::Key::of(socket)?.is_none() {
            let what = format!("the socket for {name} is not bound, or of a kind that cannot be kept");
            return Err(io::Error::new(io::ErrorKind::InvalidInput, what));
        }
        self.tell(&Order::Preload { name: name.to_owned() }, &[socket])
    }

    /// The generation is ready: kept sockets that it did not bind are let go, and named in events.
    pub fn ready(&self, generation: Generation) -> io::Result<()> {
        self.tell(&Order::Ready { generation }, &[])
    }

    /// Nothing of the generation lives any more. Its sockets are kept for the next one.
    pub fn ended(&self, generation: Generation) -> io::Result<()> {
        self.tell(&Order::Ended { generation }, &[])
    }

    /// The next event that is there; `None` for none now. Never waits.
    ///
    /// # Errors
    /// `BrokenPipe` when the handler is gone: nothing is kept any more, and programs under its filter fail to bind
    /// until they are started anew without it, or under another.
    pub fn next_event(&self) -> io::Result<Option<Event>> {
        while let Some(Received { bytes, .. }) = channel::receive(&self.channel).map_err(gone)? {
            // What is not understood cannot come from a handler of this program; it is passed over.
            if let Some(event) = wire::event_from_bytes(&bytes) {
                return Ok(Some(event));
            }
        }
        Ok(None)
    }

    /// The sockets that are kept now.
    pub fn status(&self) -> io::Result<Vec<Kept>> {
        let (here, there) = channel::pair()?;
        self.tell(&Order::Status, &[there.as_fd()])?;
        drop(there);
        let mut kept = Vec::new();
        loop {
            let bytes = channel::receive_patiently(&here, PATIENCE).map_err(gone)?.bytes;
            if bytes == handler::END_OF_STATUS {
                return Ok(kept);
            }
            kept.extend(wire::kept_from_bytes(&bytes));
        }
    }

    fn tell(&self, order: &Order, descriptors: &[BorrowedFd<'_>]) -> io::Result<()> {
        channel::send_patiently(&self.channel, &order.to_bytes(), descriptors, PATIENCE).map_err(gone)
    }
}

impl AsFd for Keeper {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.channel.as_fd()
    }
}

fn gone(errno: Errno) -> io::Error {
    match errno {
        Errno::PIPE | Errno::CONNRESET | Errno::NOTCONN => {
            io::Error::new(io::ErrorKind::BrokenPipe, "the process that keeps the listeners is gone")
        }
        Errno::TIMEDOUT | Errno::AGAIN => {
            io::Error::new(io::ErrorKind::TimedOut, "the process that keeps the listeners does not answer")
        }
        other => other.into(),
    }
}
