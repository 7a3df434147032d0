//! The steps of a plan, as data: what is done, to whom, as it was seen.
//!
//! Not here: which steps a plan has (the other files of this folder), their sentences (`words`), and doing them.

use super::StaleFile;
use inuse_kernel::destroy::Doomed;
use inuse_rules::Socket;
use inuse_rules::cure::Command;
use inuse_rules::owner::Process;
use std::net::SocketAddr;

/// One thing that is done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// SIGTERM to each process, then waiting for the sockets to go.
    Stop(Stop),
    /// Units are stopped by their service manager.
    StopUnits(Managed),
    /// A container is stopped by its runtime.
    StopContainer(Managed),
    /// Sockets that are closing this very moment are waited for.
    AwaitClose(Vec<Socket>),
    /// The kernel is told to drop one connection.
    Destroy(Dropped),
    /// A TIME_WAIT is removed without any privilege, by a connection attempt from its other end's address.
    Displace(Socket),
    /// Many TIME_WAITs of one local address are removed, by either road.
    Clear(Clear),
    /// A stale socket file is removed.
    Unlink(StaleFile),
    /// What the stopped ones leave behind is taken away, or waited for.
    Sweep(Sweep),
}

impl Step {
    /// The stable word for it in JSON.
    pub const fn action(&self) -> &'static str {
        match self {
            Step::Stop(_) => "stop-processes",
            Step::StopUnits(_) => "stop-unit",
            Step::StopContainer(_) => "stop-container",
            Step::AwaitClose(_) => "wait",
            Step::Destroy(_) => "destroy",
            Step::Displace(_) => "displace",
            Step::Clear(clear) if clear.destroy => "destroy",
            Step::Clear(_) => "displace",
            Step::Unlink(_) => "unlink",
            Step::Sweep(_) => "sweep",
        }
    }

    /// Whether both do the same. TIME_WAITs come and go between two looks.
    pub fn resembles(&self, other: &Step) -> bool {
        match (self, other) {
            (Step::Clear(a), Step::Clear(b)) => {
                (a.local, a.device, a.destroy) == (b.local, b.device, b.destroy)
            }
            _ => self.says() == other.says(),
        }
    }
}

/// Processes that are asked to end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stop {
    /// Every process that has one of the sockets, eldest first.
    pub suspects: Vec<Suspect>,
    /// The sockets that have to go.
    pub sockets: Vec<Socket>,
    /// Whether SIGKILL may follow.
    pub kill: bool,
}

/// A process that is to be signalled, as it was seen. It is looked at again before that.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Suspect {
    /// The process.
    pub process: Process,
    /// The sockets that it has, and how.
    pub holds: Vec<Hold>,
}

/// How a process has a socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hold {
    /// The socket's inode in sockfs.
    pub inode: u64,
    /// The table, message or ring that has it.
    pub road: Road,
    /// The descriptors' numbers.
    pub fds: Vec<u32>,
}

/// The road from a process to a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Road {
    /// Its table of open files.
    Process,
    /// The table of one of its threads.
    Thread(u32),
    /// A unix socket of it carries the descriptor in a message.
    Flight,
    /// An io_uring of it has the socket registered.
    Ring,
}

/// Something that a manager is asked to stop.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Managed {
    /// What is stopped, by name; hostile until escaped.
    pub names: Vec<String>,
    /// The command that does it.
    pub command: Command,
    /// The sockets that have to go.
    pub sockets: Vec<Socket>,
}

/// A connection that is destroyed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dropped {
    /// It, as it was seen.
    pub socket: Socket,
    /// It, as the kernel is told.
    pub doomed: Doomed,
    /// False where its program bound the port itself and keeps it until it closes the socket.
    pub frees: bool,
}

/// TIME_WAITs that are removed together: each is looked for at that time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Clear {
    /// Their local address.
    pub local: SocketAddr,
    /// The interface that they are bound to, 0 for none.
    pub device: u32,
    /// Whether the kernel is told to drop them; else each is removed by a connection attempt from its other end.
    pub destroy: bool,
    /// How many there were.
    pub count: u64,
    /// Some of them.
    pub examples: Vec<Socket>,
}

/// What is taken away after something was stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sweep {
    /// What stands in for the address.
    pub over: Over,
}

/// Where a sweep goes over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Over {
    /// A port, where connections may leave something.
    Port {
        /// Whether the kernel can be told to drop it.
        destroy: bool,
    },
    /// A path, where the file may stay.
    Path,
}
