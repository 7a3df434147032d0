//! The supervisor's end: starting the handler, telling it about generations, hearing what happens.
//!
//! Not here: what the handler does (`handler`).

use super::channel::{self, Received};
use super::event::{Event, Kept};
use super::stand_in::StandIn;
use super::wire::{self, Order};
use super::{Generation, handler};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::io::Errno;
use std::ffi::OsString;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// How long the handler may take to read what it is told, and to answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// How the stand-in is started, and what the handler does.
#[derive(Clone, Debug)]
pub struct KeepOptions {
    /// The program that calls [`stand_in_main`](super::stand_in_main()), and the arguments by which it knows to.
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
    stand_in: Arc<AtomicU32>,
}

impl Keeper {
    /// Starts the handler, a thread of this process, and the stand-in, a child of this process in a session of its
    /// own.
    ///
    /// The handler stops threads of the programs for a moment by ptrace(2): a wait for a child that is one of them may
    /// hear of the stop, also without `WUNTRACED`, and must not take it for the end.
    pub fn start(options: &KeepOptions) -> io::Result<Keeper> {
        let stand_in = StandIn::start(options.program.clone(), options.arguments.clone())?;
        let (here, there) = channel::pair()?;
        let keeper = Keeper { channel: here, stand_in: stand_in.pid() };
        keeper.tell(&Order::Begin { raise_backlog: options.raise_backlog }, &[])?;
        handler::start(there, stand_in)?;
        Ok(keeper)
    }

    /// The stand-in's process now: a child of this one, which must not be counted among the program's, and should be
    /// waited for when it ends. One that ends too early is replaced.
    pub fn stand_in(&self) -> u32 {
        self.stand_in.load(Ordering::Relaxed)
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
    /// `BrokenPipe` when the handler is gone, which it never should be: nothing is kept any more.
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
            io::Error::new(io::ErrorKind::BrokenPipe, "what keeps the listeners is gone")
        }
        Errno::TIMEDOUT | Errno::AGAIN => {
            io::Error::new(io::ErrorKind::TimedOut, "what keeps the listeners does not answer")
        }
        other => other.into(),
    }
}
