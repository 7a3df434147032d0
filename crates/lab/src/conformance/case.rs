//! A case as data: the old sockets in the order in which they came to be, and the attempt.
//!
//! Nothing here knows what the kernel answers. How a case is staged is in `tcp` and `udp`, where cases
//! come from in `generate`.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use inuse_rules::Transport;

/// The IPv4 address of the second device of the private namespace.
pub const LINK4: Ipv4Addr = Ipv4Addr::new(10, 99, 0, 1);
/// The IPv6 address of the second device of the private namespace.
pub const LINK6: Ipv6Addr = Ipv6Addr::new(0xfd99, 0, 0, 0, 0, 0, 0, 1);

/// The addresses that cases use: each of another kind in the eyes of `inet_rcv_saddr_equal`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spot {
    /// `0.0.0.0`.
    Any4,
    /// `127.0.0.1`.
    Loop4,
    /// `127.0.0.2`.
    OtherLoop4,
    /// The second device's IPv4 address.
    Link4,
    /// `::`.
    Any6,
    /// `::1`.
    Loop6,
    /// The second device's IPv6 address.
    Link6,
    /// `::ffff:127.0.0.1`.
    MappedLoop,
    /// `::ffff:0.0.0.0`.
    MappedAny,
}

impl Spot {
    /// All of them.
    pub const ALL: [Spot; 9] = [
        Spot::Any4,
        Spot::Loop4,
        Spot::OtherLoop4,
        Spot::Link4,
        Spot::Any6,
        Spot::Loop6,
        Spot::Link6,
        Spot::MappedLoop,
        Spot::MappedAny,
    ];

    /// The address itself.
    pub fn ip(self) -> IpAddr {
        let mapped = |v4: Ipv4Addr| IpAddr::V6(v4.to_ipv6_mapped());
        match self {
            Spot::Any4 => Ipv4Addr::UNSPECIFIED.into(),
            Spot::Loop4 => Ipv4Addr::LOCALHOST.into(),
            Spot::OtherLoop4 => Ipv4Addr::new(127, 0, 0, 2).into(),
            Spot::Link4 => LINK4.into(),
            Spot::Any6 => Ipv6Addr::UNSPECIFIED.into(),
            Spot::Loop6 => Ipv6Addr::LOCALHOST.into(),
            Spot::Link6 => LINK6.into(),
            Spot::MappedLoop => mapped(Ipv4Addr::LOCALHOST),
            Spot::MappedAny => mapped(Ipv4Addr::UNSPECIFIED),
        }
    }

    /// The address with a port.
    pub fn at(self, port: u16) -> SocketAddr {
        SocketAddr::new(self.ip(), port)
    }

    /// Whether a socket of that address is `AF_INET6`.
    pub fn v6(self) -> bool {
        self.ip().is_ipv6()
    }

    /// Whether it is one of the second device's addresses.
    pub fn on_link(self) -> bool {
        matches!(self, Spot::Link4 | Spot::Link6)
    }

    /// Whether it is a loopback address.
    pub fn on_loopback(self) -> bool {
        matches!(self, Spot::Loop4 | Spot::OtherLoop4 | Spot::Loop6 | Spot::MappedLoop)
    }
}

/// `SO_BINDTODEVICE`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Device {
    /// Not bound to a device.
    Free,
    /// `lo`.
    Loopback,
    /// The second device.
    Link,
}

/// How a socket is made before bind(): the address and every option that the rule looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Make {
    /// The address to bind.
    pub spot: Spot,
    /// `SO_REUSEADDR`.
    pub reuseaddr: bool,
    /// `SO_REUSEPORT`.
    pub reuseport: bool,
    /// `IPV6_V6ONLY`; means nothing for `AF_INET`.
    pub v6only: bool,
    /// The effective uid at socket().
    pub uid: u32,
    /// `SO_BINDTODEVICE`.
    pub device: Device,
}

impl Make {
    /// A socket without options, made by root.
    pub const fn plain(spot: Spot) -> Make {
        Make { spot, reuseaddr: false, reuseport: false, v6only: false, uid: 0, device: Device::Free }
    }
}

/// When a socket that is no longer there was closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stay {
    /// It is still open.
    Stays,
    /// Closed before the next one came.
    LeavesAtOnce,
    /// Closed after all the others had come.
    LeavesLast,
}

/// Who opened the connection whose local port is the port of the case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// A listener accepted it, as this uid; the listener stays or is closed afterwards.
    Accepted {
        /// The effective uid at accept().
        uid: u32,
        /// Whether the listener stays.
        listener: bool,
    },
    /// A client that bound its port.
    BoundClient,
    /// A client whose port connect() chose.
    Client,
}

/// What became of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Both ends live.
    Established,
    /// Established, in the accept queue.
    Queued,
    /// The handshake is not finished on the server's side (`TCP_DEFER_ACCEPT`).
    SynRecv,
    /// The handshake is not finished on the client's side.
    SynSent,
    /// The peer closed.
    CloseWait,
    /// shutdown() with data that the peer does not take.
    FinWait1,
    /// close() with data that the peer does not take.
    FinWait1Orphan,
    /// shutdown(), acknowledged.
    FinWait2,
    /// close(), acknowledged, with `TCP_LINGER2` above a minute: a full socket.
    FinWait2Orphan,
    /// close(), acknowledged: a mini-socket.
    FinWait2Mini,
    /// shutdown() after the peer's, not acknowledged.
    LastAck,
    /// close() after the peer's, not acknowledged.
    LastAckOrphan,
    /// Both shut down, ours not acknowledged.
    Closing,
    /// Both shut down, ours closed and not acknowledged.
    ClosingOrphan,
    /// We closed first, then the peer.
    TimeWait,
    /// The peer reset it.
    Reset,
    /// A client connected to itself.
    ItsOwnPeer,
}

impl End {
    /// All of them.
    pub const ALL: [End; 17] = [
        End::Established,
        End::Queued,
        End::SynRecv,
        End::SynSent,
        End::CloseWait,
        End::FinWait1,
        End::FinWait1Orphan,
        End::FinWait2,
        End::FinWait2Orphan,
        End::FinWait2Mini,
        End::LastAck,
        End::LastAckOrphan,
        End::Closing,
        End::ClosingOrphan,
        End::TimeWait,
        End::Reset,
        End::ItsOwnPeer,
    ];
}

/// What became of an old TCP or UDP socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// bind(), nothing else.
    Bound(Stay),
    /// TCP: bind() and listen().
    Listen(Stay),
    /// TCP: a listener after shutdown(): bound again.
    ShutListener,
    /// TCP: a connection.
    Connection {
        /// Who opened it.
        role: Role,
        /// What became of it.
        end: End,
        /// For a `::` socket that speaks both: whether the other end is IPv4.
        over_v4: bool,
    },
    /// UDP: bind() and connect().
    Connected,
    /// UDP: connect() without bind().
    AutoConnected,
    /// UDP: bind(), connect(), and connect() to nowhere again.
    Disconnected,
}

/// An option that was changed right after bind() (and listen()).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Later {
    /// Nothing was changed.
    Nothing,
    /// `SO_REUSEADDR`.
    Reuseaddr(bool),
    /// `SO_REUSEPORT`.
    Reuseport(bool),
}

/// An old socket: how it was made and what became of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Old {
    /// How it was made.
    pub make: Make,
    /// What was changed after bind().
    pub later: Later,
    /// What became of it.
    pub fate: Fate,
}

/// Old sockets in the order of creation, and the attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Case {
    /// TCP or UDP.
    pub transport: Transport,
    /// The old sockets. One whose own bind fails is simply not there.
    pub olds: Vec<Old>,
    /// The attempt: socket(), options, bind(), and for TCP listen().
    pub attempt: Make,
}

impl fmt::Display for Make {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.spot.ip() {
            IpAddr::V4(ip) => write!(f, "{ip}")?,
            IpAddr::V6(ip) => write!(f, "[{ip}]")?,
        }
        for (on, name) in [
            (self.reuseaddr, "REUSEADDR"),
            (self.reuseport, "REUSEPORT"),
            (self.v6only && self.spot.v6(), "V6ONLY"),
        ] {
            if on {
                write!(f, " {name}")?;
            }
        }
        match self.device {
            Device::Free => {}
            Device::Loopback => f.write_str(" device=lo")?,
            Device::Link => f.write_str(" device=link")?,
        }
        write!(f, " uid={}", self.uid)
    }
}

impl fmt::Display for Old {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.make)?;
        match self.later {
            Later::Nothing => {}
            Later::Reuseaddr(on) => write!(f, ", then REUSEADDR {}", if on { "on" } else { "off" })?,
            Later::Reuseport(on) => write!(f, ", then REUSEPORT {}", if on { "on" } else { "off" })?,
        }
        write!(f, ": {:?}", self.fate)
    }
}

impl fmt::Display for Case {
    /// The staging in words, a line a socket.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, old) in self.olds.iter().enumerate() {
            writeln!(f, "  {}. {} {old}", i + 1, self.transport.name())?;
        }
        write!(f, "  attempt: {} {}", self.transport.name(), self.attempt)
    }
}
