//! Reads a staged case back: the rows as sock_diag dumps them, with what the stage knows of each.

use std::io;

use inuse_kernel::netns::Netns;
use inuse_kernel::sockdiag::{InetQuery, SockDiag};
use inuse_kernel::version::kernel_version;
use inuse_rules::snapshot::{Depth, KernelVersion};
use inuse_rules::socket::{Learned, Options};
use inuse_rules::{Snapshot, Socket, State, Transport};

use super::situation::Facts;

/// Dumps the sockets of one network namespace.
pub struct Looker {
    diag: SockDiag,
}

impl Looker {
    /// A reader for the current network namespace.
    ///
    /// # Errors
    /// As for socket(2).
    pub fn new() -> io::Result<Looker> {
        Ok(Looker { diag: SockDiag::open(&Netns::current()).map_err(io::Error::other)? })
    }

    /// The sockets that a query asks for, in the order of the dump. Of connections it says whether they
    /// asked for their port, as `why` finds it out.
    ///
    /// # Errors
    /// What the kernel says to the dump.
    pub fn rows(&mut self, query: &InetQuery) -> io::Result<Vec<Socket>> {
        let mut rows = Vec::new();
        self.diag.inet(query, &mut |row| rows.push(row)).map_err(io::Error::other)?;
        let connection = |row: &Socket| row.remote.is_some() && !row.mini;
        if query.transport == Transport::Tcp && rows.iter().any(connection) {
            let chosen = self.diag.port_not_asked_for(query).map_err(io::Error::other)?;
            for row in rows.iter_mut().filter(|row| connection(row)) {
                row.bound_explicitly = Some(!chosen.contains(&row.cookie));
            }
        }
        Ok(rows)
    }
}

/// Adds to a row what the stage knows of the socket; `None` where nothing is known of one that could stand
/// in the way.
pub fn complete(mut socket: Socket, facts: Option<&Facts>) -> Option<Socket> {
    match facts {
        Some(facts) => {
            socket.options = Options {
                reuseaddr: Some(facts.reuseaddr),
                reuseport: Some(facts.reuseport),
                v6only: Some(facts.v6only),
                learned: Learned::Getsockopt,
            };
            Some(socket)
        }
        None => (socket.state == State::SynRecv).then_some(socket),
    }
}

/// The running kernel, read once.
#[derive(Clone, Debug)]
pub struct Kernel(Option<KernelVersion>);

impl Kernel {
    /// From uname(2).
    pub fn running() -> Kernel {
        Kernel(kernel_version())
    }

    /// The release as text.
    pub fn release(&self) -> &str {
        self.0.as_ref().map_or("unknown", |kernel| &kernel.release)
    }

    /// Whether the bind bucket remembers SO_REUSEADDR (`tb->fastreuse`, dead since Linux 6.8).
    pub fn remembers_reuseaddr(&self) -> bool {
        self.0.as_ref().is_some_and(|kernel| (kernel.major, kernel.minor) < (6, 8))
    }

    /// An empty snapshot of this kernel.
    pub fn snapshot(&self) -> Snapshot {
        let mut snapshot = Snapshot { kernel: self.0.clone(), ..Snapshot::default() };
        snapshot.coverage.bound_inactive = true;
        snapshot.coverage.one_chain = self.0.as_ref().is_some_and(KernelVersion::dumps_one_chain);
        snapshot
    }

    /// A snapshot that is complete for one port.
    pub fn snapshot_of(&self, transport: Transport, port: u16, sockets: Vec<Socket>) -> Snapshot {
        let mut snapshot = self.snapshot();
        snapshot.coverage.ports.insert((transport, port), Depth::Every);
        snapshot.sockets = sockets;
        snapshot
    }
}
