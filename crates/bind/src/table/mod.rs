//! All sockets with their owners, in one pass: the rows of `inuse ls`.
//!
//! The kernel filters by protocol, state and port; the search for owners is one for all rows, and each
//! process is read once, in brief. A row keeps only what a table shows, since there may be 100,000 of them.
//!
//! Not here: what a bind would answer (`why`), and how a row is printed.

mod filter;
mod gather;
mod moved;
mod rows;
mod site;

pub use filter::{Filter, Pattern, Protocol};
pub use gather::gather;
pub use rows::Rows;
pub use site::Site;

use inuse_kernel::elsewhere::Place;
use inuse_kernel::netns::NetnsName;
use inuse_kernel::owners::Owners;
use inuse_rules::owner::{NoOwner, Ownership, Process};
use inuse_rules::{Address, BlindSpot, Socket, State};
use std::collections::BTreeMap;
use std::net::SocketAddr;

/// Where to look, and for what.
#[derive(Clone, Debug, Default)]
pub struct TableOptions {
    /// Another network namespace than the caller's own.
    pub netns: Option<NetnsName>,
    /// Every network namespace that can be found and entered, the caller's own among them.
    pub all_netns: bool,
    /// Which rows are wanted.
    pub filter: Filter,
}

/// One socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// Its local address.
    pub address: Address,
    /// The other end, when it is connected.
    pub remote: Option<SocketAddr>,
    /// Its inode in sockfs, 0 for what no process can have open.
    pub inode: u64,
    /// Its uid, as sock_diag reports it.
    pub uid: Option<u32>,
    /// Bytes not yet read; for a listener, connections not yet accepted.
    pub recv_q: u32,
    /// Bytes not yet acknowledged; for a listener, its backlog.
    pub send_q: u32,
    /// The namespace it belongs to, as an index into [`Table::places`].
    pub place: u16,
    /// Its state.
    pub state: State,
    /// Why no process can have it, where sock_diag already says so.
    no_owner: Option<NoOwner>,
}

impl Row {
    /// What of a socket of that namespace is kept.
    pub fn new(socket: Socket, place: u16) -> Row {
        Row {
            address: socket.address,
            remote: socket.remote,
            inode: socket.inode,
            uid: socket.uid,
            recv_q: socket.recv_q,
            send_q: socket.send_q,
            place,
            state: socket.state,
            no_owner: match socket.owners {
                Ownership::Nobody(why) => Some(why),
                _ => None,
            },
        }
    }

    /// Whether it waits for others: a listener, or a datagram socket without a peer.
    pub fn serves(&self) -> bool {
        matches!(self.state, State::Listen | State::Unconn)
    }
}

/// All rows, sorted by protocol, port and address, and who they belong to.
#[derive(Clone, Debug, Default)]
pub struct Table {
    /// When it was taken, in milliseconds since the Unix epoch.
    pub taken_ms: u64,
    /// The namespaces that were asked; `None` is the caller's own where /proc does not name it.
    pub places: Vec<Option<Place>>,
    /// Inode of the caller's own namespace.
    pub own_netns: Option<u64>,
    /// The rows.
    pub rows: Rows,
    /// The processes that own one of them, by pid, in brief.
    pub processes: BTreeMap<u32, Process>,
    /// Names of interfaces that sockets are bound to, by namespace and index.
    pub interfaces: BTreeMap<(u16, u32), String>,
    /// Rows that a filter by owner passed over because their owner is hidden: they may fit.
    pub hidden_elsewhere: usize,
    /// Why owners are hidden, where some are.
    pub owners_blind: Vec<BlindSpot>,
    /// Who has a socket open, by its inode.
    pub owners: Owners,
}

impl Table {
    /// Who has it open.
    pub fn owner(&self, row: &Row) -> Ownership {
        row.no_owner.map_or_else(|| self.owners.get(row.inode), Ownership::Nobody)
    }

    /// The processes that hold it, carry it or registered it, each once.
    pub fn holders(&self, row: &Row) -> Vec<(u32, Option<&Process>)> {
        self.holders_of(&self.owner(row))
    }

    /// The processes of such an owner, each once.
    pub fn holders_of(&self, owner: &Ownership) -> Vec<(u32, Option<&Process>)> {
        // A process with several tables of open files stands there once for each, one behind the other.
        let by_process = owner.holdings().chunk_by(|a, b| a.pid == b.pid);
        let pids = by_process.filter_map(|holdings| holdings.first()).map(|holding| holding.pid);
        pids.map(|pid| (pid, self.processes.get(&pid))).collect()
    }
}

/// The name under which people know a program: `comm`, or the executable's name where the main thread is
/// called as a runtime calls all of them.
pub fn program(process: &Process) -> &[u8] {
    match process.comm.as_slice() {
        b"MainThread" | b"" => inuse_rules::diagnose::program(process),
        comm => comm,
    }
}
