//! sock_diag(7): the kernel's own list of tcp, udp and unix sockets, without privilege.
//!
//! Pure bytes: [`bytecode`] (the filter that runs in the kernel), `inet` and `unix` (requests and rows).
//! The descriptor is here, in [`SockDiag`]. Who has a socket open is not here: no netlink message says it.

pub mod bytecode;
mod inet;
mod query;
mod unix;

#[cfg(feature = "bpf")]
pub(crate) use inet::{AF_INET, AF_INET6};
pub(crate) use query::state;
pub use query::{InetQuery, Ports, States};
pub use unix::UnixRow;

use crate::error::Error;
use crate::netlink::answer::Answer;
use crate::netlink::socket::Netlink;
use crate::netlink::wire::{self, Request};
use crate::netns::Netns;
use crate::seen::Seen;
use crate::version;
use bytecode::{Condition, assemble};
use inuse_rules::{BlindSpot, Socket, State, Transport};
use rustix::io::Errno;
use rustix::net::netlink::SOCK_DIAG;

/// How often a dump that was interrupted is asked for again.
const TRIES: u32 = 3;

/// A conversation with sock_diag in one network namespace.
pub struct SockDiag {
    netlink: Netlink,
    kernel: (u16, u16),
    equality: bool,
}

/// What a dump was like, besides its rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Walked {
    /// Whether bound, not listening tcp sockets would have been among the rows (Linux 6.8).
    pub bound_inactive: bool,
    /// The kernel said that the table changed under the dump: rows may be missing or twice there.
    pub interrupted: bool,
    /// Rows that this program cannot read.
    pub unreadable: u32,
}

/// Rows of a dump, and whether bound, not listening sockets are among them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rows {
    /// The rows, in the order in which they were dumped.
    pub sockets: Vec<Socket>,
    /// Whether bound, not listening tcp sockets would be among them (Linux 6.8).
    pub bound_inactive: bool,
}

impl SockDiag {
    /// Opens a conversation about that namespace.
    pub fn open(netns: &Netns) -> Result<SockDiag, Error> {
        let kernel = version::kernel_version().map_or((0, 0), |version| (version.major, version.minor));
        Ok(SockDiag { netlink: Netlink::open(netns, Some(SOCK_DIAG))?, kernel, equality: true })
    }

    /// Hands each wanted tcp or udp socket to `each`, as the kernel sends them: in one walk through its
    /// table, filtered there. Nothing is collected, and nothing asked twice: an interrupted walk says so.
    pub fn inet(&mut self, query: &InetQuery, each: &mut dyn FnMut(Socket)) -> Result<Walked, Error> {
        self.filtered(query, &query.ports.conditions(), each)
    }

    /// The wanted tcp or udp sockets. A walk that the kernel calls interrupted is repeated a few times.
    pub fn inet_rows(&mut self, query: &InetQuery) -> Result<Seen<Rows>, Error> {
        let mut sockets = Vec::new();
        let seen = settled(sockets_of(query.transport), || {
            sockets.clear();
            self.inet(query, &mut |socket| sockets.push(socket))
        })?;
        let rows = Rows { sockets, bound_inactive: seen.found.bound_inactive };
        Ok(Seen { found: rows, blind: seen.blind })
    }

    /// Cookies of the wanted sockets whose port was not asked for with bind() (`SOCK_BINDPORT_LOCK`):
    /// chosen by connect(), or a listener's child. Every small time-wait socket is among them, whatever
    /// its port's history.
    pub fn port_not_asked_for(&mut self, query: &InetQuery) -> Result<Vec<u64>, Error> {
        let mut conditions = query.ports.conditions();
        conditions.push(Condition::PortNotAskedFor);
        let mut cookies = Vec::new();
        self.filtered(query, &conditions, &mut |socket| cookies.push(socket.cookie))?;
        Ok(cookies)
    }

    /// Looks at one socket again: tcp and udp by addresses and cookie, unix by inode and cookie. `None`: it
    /// is gone.
    pub fn get(&mut self, socket: &Socket) -> Result<Option<Socket>, Error> {
        let Some((transport, local, device)) = socket.inet() else { return self.get_unix(socket) };
        if let (Transport::Tcp, Some(remote)) = (transport, socket.remote) {
            return self.get_connected(socket, local, remote, device);
        }
        // The kernel looks up a socket without a remote end as a packet would find it, which need not be
        // this one; so this is a walk.
        let mut found = None;
        self.inet(&InetQuery::port(transport, local.port()), &mut |row| {
            if row.cookie == socket.cookie {
                found = Some(row);
            }
        })?;
        Ok(found)
    }

    /// The other end of a tcp connection, if it is in this namespace. The kernel finds it as a packet would.
    pub fn other_end(&mut self, socket: &Socket) -> Result<Option<Socket>, Error> {
        let (Some((Transport::Tcp, local, device)), Some(remote)) = (socket.inet(), socket.remote) else {
            return Ok(None);
        };
        let request = inet::ask_exact(remote, local, device, inet::NO_COOKIE);
        let found = self.netlink.ask("a tcp socket", request, |payload| inet::row(Transport::Tcp, payload));
        // Where there is no such connection, the packet would reach a listener.
        Ok(still(found)?.filter(|row| row.is_other_end_of(socket) && row.cookie != socket.cookie))
    }

    /// Hands each unix socket in one of these states to `each`.
    pub fn unix(&mut self, states: States, each: &mut dyn FnMut(UnixRow)) -> Result<Walked, Error> {
        let mut walked = Walked::default();
        let dumped =
            self.netlink.dump("the unix sockets", unix::ask(states), &mut |_, payload| match unix::row(
                payload,
            ) {
                Some(row) => each(row),
                None => walked.unreadable += 1,
            });
        walked.interrupted = dumped.map_err(|error| module_missing(error, "unix_diag"))?.interrupted;
        Ok(walked)
    }

    /// The unix sockets in these states. A walk that the kernel calls interrupted is repeated a few times.
    pub fn unix_rows(&mut self, states: States) -> Result<Seen<Vec<UnixRow>>, Error> {
        let mut rows = Vec::new();
        let seen = settled("the unix sockets", || {
            rows.clear();
            self.unix(states, &mut |row| rows.push(row))
        })?;
        Ok(Seen { found: rows, blind: seen.blind })
    }

    fn get_connected(
        &mut self,
        socket: &Socket,
        local: std::net::SocketAddr,
        remote: std::net::SocketAddr,
        device: u32,
    ) -> Result<Option<Socket>, Error> {
        let request = inet::ask_exact(local, remote, device, socket.cookie);
        still(self.netlink.ask("a tcp socket", request, |payload| inet::row(Transport::Tcp, payload)))
    }

    fn get_unix(&mut self, socket: &Socket) -> Result<Option<Socket>, Error> {
        let Some(request) = unix::ask_exact(socket.inode, socket.cookie) else { return Ok(None) };
        still(self.netlink.ask("a unix socket", request, |payload| Some(unix::row(payload)?.socket)))
    }

    /// One walk where the kernel can, else one for each family; without equality operations where it
    /// refuses them.
    fn filtered(
        &mut self,
        query: &InetQuery,
        conditions: &[Condition],
        each: &mut dyn FnMut(Socket),
    ) -> Result<Walked, Error> {
        if self.equality {
            match self.walk(query, &assemble(conditions), each) {
                Err(Error::Unsupported { .. }) if !conditions.is_empty() => self.equality = false,
                done => return done,
            }
        }
        let conditions: Vec<_> =
            conditions.iter().flat_map(|condition| condition.without_equality()).collect();
        self.walk(query, &assemble(&conditions), each)
    }

    fn walk(
        &mut self,
        query: &InetQuery,
        program: &[u8],
        each: &mut dyn FnMut(Socket),
    ) -> Result<Walked, Error> {
        let mut walked = Walked { bound_inactive: self.kernel >= (6, 8), ..Walked::default() };
        if self.kernel >= (5, 9) || query.transport == Transport::Tcp {
            self.walk_once(query.transport, inet::ask_any_family(query, program), &mut walked, each)?;
        } else {
            for family in [inet::AF_INET, inet::AF_INET6] {
                let request = inet::ask_family(family, query, program);
                self.walk_once(query.transport, request, &mut walked, each)?;
            }
        }
        Ok(walked)
    }

    fn walk_once(
        &mut self,
        transport: Transport,
        request: Request,
        walked: &mut Walked,
        each: &mut dyn FnMut(Socket),
    ) -> Result<(), Error> {
        let dumped = self.netlink.dump(sockets_of(transport), request, &mut |_, payload| {
            match inet::row(transport, payload) {
                Some(socket) => {
                    // A distribution may have brought this to an older kernel: a row proves it.
                    walked.bound_inactive |= socket.state == State::Bound;
                    each(socket);
                }
                None => walked.unreadable += 1,
            }
        });
        let module = match transport {
            Transport::Tcp => "tcp_diag",
            Transport::Udp => "udp_diag",
        };
        walked.interrupted |= dumped.map_err(|error| module_missing(error, module))?.interrupted;
        Ok(())
    }
}

/// The answer to a question about one socket; `None` for one that is gone.
fn still(answer: Result<Socket, Error>) -> Result<Option<Socket>, Error> {
    match answer {
        Ok(row) => Ok(Some(row)),
        Err(Error::NotThere { .. }) => Ok(None),
        // What named it is there again, as another socket.
        Err(Error::Io { source, .. }) if source.raw_os_error() == Some(Errno::STALE.raw_os_error()) => {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// All of them, in the words of an error.
pub const fn sockets_of(transport: Transport) -> &'static str {
    match transport {
        Transport::Tcp => "the tcp sockets",
        Transport::Udp => "the udp sockets",
    }
}

fn module_missing(error: Error, module: &'static str) -> Error {
    match error {
        Error::NotThere { object, .. } => Error::NoModule { object, module },
        other => other,
    }
}

/// Walks until the kernel calls it whole, a few times at most; what stays doubtful is a blind spot. Each walk
/// begins with forgetting what the one before it brought.
///
/// # Errors
/// Those of the walk.
pub fn settled(object: &str, mut walk: impl FnMut() -> Result<Walked, Error>) -> Result<Seen<Walked>, Error> {
    let mut walked = walk()?;
    for _ in 1..TRIES {
        if !walked.interrupted {
            break;
        }
        walked = walk()?;
    }
    let mut blind = Vec::new();
    if walked.interrupted {
        blind.push(BlindSpot {
            what: format!("some of {object}: the list changed while it was read, {TRIES} times"),
            remedy: "ask again when fewer connections come and go".into(),
        });
    }
    if walked.unreadable > 0 {
        blind.push(BlindSpot {
            what: format!(
                "{} of {object}: the kernel describes them in a way that is not known here",
                walked.unreadable
            ),
            remedy: "a newer version of this program".into(),
        });
    }
    Ok(Seen { found: walked, blind })
}

/// A request that does something to one tcp socket.
#[cfg(feature = "destroy")]
pub(crate) fn exact_request(
    kind: u16,
    local: std::net::SocketAddr,
    remote: std::net::SocketAddr,
    device: u32,
    cookie: u64,
) -> Request {
    Request::act(kind, &inet::exact(local, remote, device, cookie))
}

/// The rows in one datagram, however broken: bytes in, facts out. `None` reads unix rows.
#[doc(hidden)]
pub fn rows_in(datagram: &[u8], transport: Option<Transport>) -> Vec<Socket> {
    let mut rows = Vec::new();
    let sequence = wire::u32_at(datagram, 8).unwrap_or(0);
    // How the answer ends is of no interest here, only that it is read.
    let _ = Answer::of_dump(sequence).take(datagram, &mut |_, payload| {
        rows.extend(match transport {
            Some(transport) => inet::row(transport, payload),
            None => unix::row(payload).map(|row| row.socket),
        });
    });
    rows
}

#[cfg(test)]
mod tests;
