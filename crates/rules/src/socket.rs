//! One row of kernel fact: a socket, or what is left of one.
//!
//! Not here: who has it open (`owner`) and what follows from it (`judge`).

use crate::address::{Address, Transport};
use crate::owner::Ownership;
use core::net::SocketAddr;

/// A socket's state by its sock_diag name (`include/net/tcp_states.h`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum State {
    /// `TCP_ESTABLISHED`; also a connected datagram or unix socket.
    Established,
    /// `TCP_SYN_SENT`.
    SynSent,
    /// `TCP_SYN_RECV`: a request; it never blocks a bind.
    SynRecv,
    /// `TCP_FIN_WAIT1`.
    FinWait1,
    /// `TCP_FIN_WAIT2`.
    FinWait2,
    /// `TCP_TIME_WAIT`.
    TimeWait,
    /// `TCP_CLOSE` of a datagram or unix socket: open, not connected (`UNCONN` in ss).
    Unconn,
    /// `TCP_CLOSE_WAIT`.
    CloseWait,
    /// `TCP_LAST_ACK`.
    LastAck,
    /// `TCP_LISTEN`.
    Listen,
    /// `TCP_CLOSING`.
    Closing,
    /// A TCP socket in `TCP_CLOSE` that holds a port: bound, not listening, not connected
    /// (sock_diag's `TCP_BOUND_INACTIVE`, Linux 6.8).
    Bound,
}

impl State {
    /// Every state, in the kernel's order.
    pub const ALL: [State; 12] = [
        State::Established,
        State::SynSent,
        State::SynRecv,
        State::FinWait1,
        State::FinWait2,
        State::TimeWait,
        State::Unconn,
        State::CloseWait,
        State::LastAck,
        State::Listen,
        State::Closing,
        State::Bound,
    ];

    /// The name that JSON and the views use.
    pub const fn name(self) -> &'static str {
        match self {
            State::Established => "ESTABLISHED",
            State::SynSent => "SYN_SENT",
            State::SynRecv => "SYN_RECV",
            State::FinWait1 => "FIN_WAIT_1",
            State::FinWait2 => "FIN_WAIT_2",
            State::TimeWait => "TIME_WAIT",
            State::Unconn => "UNCONN",
            State::CloseWait => "CLOSE_WAIT",
            State::LastAck => "LAST_ACK",
            State::Listen => "LISTEN",
            State::Closing => "CLOSING",
            State::Bound => "BOUND",
        }
    }

    /// The state with that name.
    pub fn from_name(name: &str) -> Option<State> {
        State::ALL.into_iter().find(|state| state.name() == name)
    }
}

/// The options that decide a bind, as the kernel keeps them; `None` is *not known*.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Options {
    /// `sk_reuse`, set by `SO_REUSEADDR`.
    pub reuseaddr: Option<bool>,
    /// `sk_reuseport`, set by `SO_REUSEPORT`.
    pub reuseport: Option<bool>,
    /// The *effective* `sk_ipv6only`: bind() to a real IPv6 address forces it on, a child inherits its
    /// listener's, a client that was never bound keeps the option. Always `Some(false)` for `AF_INET`.
    pub v6only: Option<bool>,
    /// How the two reuse options became known.
    pub learned: Learned,
}

/// The road by which a socket's options became known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Learned {
    /// They are not known.
    #[default]
    NotYet,
    /// pidfd_getfd(2) and getsockopt(2) on the live socket.
    Getsockopt,
    /// A BPF `iter/tcp` program that reads `struct sock_common`.
    Bpf,
    /// A bind that never listened (`--probe`).
    Probe,
    /// Taken from a living socket of the same server, whose options children inherit.
    Sibling,
}

/// What a socket's timer counts down to (`idiag_timer`), and the milliseconds left when it was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Timer {
    /// Which timer it is.
    pub kind: TimerKind,
    /// Milliseconds left. For [`TimerKind::TimeWait`] a lower bound: the timer wheel may add up to 5 s.
    pub left_ms: u32,
}

/// Which timer a row shows (`inet_diag_msg.idiag_timer`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TimerKind {
    /// 1: retransmission, loss probe or reordering.
    Retransmit,
    /// 2: keepalive, a SYN's, or an orphan's FIN_WAIT_2 before its last `TCP_TIMEWAIT_LEN`.
    Keepalive,
    /// 3: the end of a TIME_WAIT or FIN_WAIT_2 mini-socket.
    TimeWait,
    /// 4: zero-window probe.
    Probe,
}

/// A file in the file system, as `unix_diag` and `stat` name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileId {
    /// Device number in the form that `stat` reports (`st_dev`).
    pub dev: u64,
    /// Inode number of the socket *file* (not of the socket).
    pub ino: u64,
}

/// One socket, or what is left of one, in the snapshot's network namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Socket {
    /// Its local address (`sk_rcv_saddr`: a wildcard-bound client becomes concrete at connect()).
    pub address: Address,
    /// The other end, when it is connected.
    pub remote: Option<SocketAddr>,
    /// Its state.
    pub state: State,
    /// Whether it is the kernel's small time-wait socket: TIME_WAIT, and an orphaned FIN_WAIT_2 that
    /// moved there. Such a row keeps its options and device, and has no uid.
    pub mini: bool,
    /// Inode of the socket in sockfs; 0 for TIME_WAIT, orphans and what waits in an accept queue.
    pub inode: u64,
    /// `SO_COOKIE`: names this socket for as long as the kernel runs. 0 when not known.
    pub cookie: u64,
    /// The uid that the kernel counts for SO_REUSEPORT; `None` where it reports none.
    pub uid: Option<u32>,
    /// The options that decide a bind.
    pub options: Options,
    /// Whether its port was asked for with bind() (`SOCK_BINDPORT_LOCK`), not chosen by connect().
    pub bound_explicitly: Option<bool>,
    /// Bytes not yet read; for a listener, connections not yet accepted.
    pub recv_q: u32,
    /// Bytes not yet acknowledged; for a listener, its backlog.
    pub send_q: u32,
    /// The running timer, if there is one.
    pub timer: Option<Timer>,
    /// Cgroup v2 id of the socket, 0 when not known.
    pub cgroup: u64,
    /// The socket file a unix socket was bound to.
    pub file: Option<FileId>,
    /// Who has it open.
    pub owners: Ownership,
    /// So many rows besides, of which no answer tells one from this ([`crate::alike`]); of TIME_WAITs it
    /// is the one that stays longest.
    pub alike: u32,
}

impl Socket {
    /// A row with an address and a state and nothing else known; fill in what is.
    pub const fn new(address: Address, state: State) -> Socket {
        let v4 = matches!(address, Address::Inet { local: SocketAddr::V4(_), .. });
        Socket {
            address,
            remote: None,
            state,
            mini: matches!(state, State::TimeWait),
            inode: 0,
            cookie: 0,
            uid: None,
            options: Options {
                reuseaddr: None,
                reuseport: None,
                v6only: if v4 { Some(false) } else { None },
                learned: Learned::NotYet,
            },
            bound_explicitly: None,
            recv_q: 0,
            send_q: 0,
            timer: None,
            cgroup: 0,
            file: None,
            owners: Ownership::NotAsked,
            alike: 0,
        }
    }

    /// For how many rows it stands, itself included.
    pub const fn count(&self) -> u64 {
        self.alike as u64 + 1
    }

    /// Transport, local address and device, if this is an IP socket.
    pub const fn inet(&self) -> Option<(Transport, SocketAddr, u32)> {
        self.address.inet()
    }

    /// Whether this is the other end of that connection, on the same machine. An IPv4 end and an
    /// IPv4-mapped one can be the two ends of one connection.
    pub fn is_other_end_of(&self, other: &Socket) -> bool {
        let same = |a: SocketAddr, b: SocketAddr| {
            a.port() == b.port() && (a.ip() == b.ip() || a.ip().to_canonical() == b.ip().to_canonical())
        };
        match (self.inet(), self.remote, other.inet(), other.remote) {
            (Some((t, local, _)), Some(remote), Some((u, there, _)), Some(here)) => {
                t == u && same(local, here) && same(remote, there)
            }
            _ => false,
        }
    }

    /// Whether no process can close it: the small time-wait sockets, and full sockets in a closing
    /// state without an inode.
    pub const fn ownerless(&self) -> bool {
        self.mini
            || (self.inode == 0
                && matches!(self.state, State::FinWait1 | State::FinWait2 | State::LastAck | State::Closing))
    }
}
