//! What the kernel would say to an attempt, by which rule, because of which sockets.

use crate::address::Transport;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::net::IpAddr;

/// What the kernel would say to socket(), the options, bind() and (where the type has it) listen().
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// The answer.
    pub outcome: Outcome,
    /// Set where the answer rests on a behaviour that a distribution may have backported away.
    pub version_note: Option<&'static str>,
}

/// The answer itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Every call succeeds.
    Ok,
    /// One call fails.
    Refused(Refusal),
    /// Facts are missing, and they decide.
    Unknown {
        /// The answers that the missing facts allow, `None` standing for success; at least two,
        /// or none where nothing was asked yet.
        possible: Vec<Option<Errno>>,
        /// The facts that would decide, cheapest first.
        missing: Vec<Fact>,
        /// The sockets that may stand in the way, by index into the snapshot.
        by: Vec<usize>,
    },
}

/// Which call fails, how, by which rule, and who is in the way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The error.
    pub errno: Errno,
    /// The call that returns it.
    pub at: Call,
    /// The rule that decides.
    pub rule: Rule,
    /// The sockets in the way, by index into [`crate::Snapshot::sockets`].
    pub by: Vec<usize>,
}

impl Verdict {
    /// The errno, when it is known to be refused.
    pub fn errno(&self) -> Option<Errno> {
        match &self.outcome {
            Outcome::Refused(refusal) => Some(refusal.errno),
            _ => None,
        }
    }

    /// The sockets in the way, or that may be.
    pub fn by(&self) -> &[usize] {
        match &self.outcome {
            Outcome::Ok => &[],
            Outcome::Refused(refusal) => &refusal.by,
            Outcome::Unknown { by, .. } => by,
        }
    }

    /// The facts that are missing.
    pub fn missing(&self) -> &[Fact] {
        match &self.outcome {
            Outcome::Unknown { missing, .. } => missing,
            _ => &[],
        }
    }
}

/// The call that fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Call {
    /// setsockopt(2).
    Setsockopt,
    /// bind(2).
    Bind,
    /// listen(2).
    Listen,
    /// connect(2).
    Connect,
}

impl Call {
    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Call::Setsockopt => "setsockopt",
            Call::Bind => "bind",
            Call::Listen => "listen",
            Call::Connect => "connect",
        }
    }
}

/// The errors that the modelled calls return.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs, reason = "each is the errno of that name; meaning() says it in words")]
pub enum Errno {
    EADDRINUSE,
    EADDRNOTAVAIL,
    EACCES,
    EPERM,
    EINVAL,
    ENODEV,
    ENOENT,
    ENOTDIR,
    ELOOP,
    EROFS,
    ENAMETOOLONG,
    EAFNOSUPPORT,
    EAGAIN,
    ENETUNREACH,
    EOPNOTSUPP,
}

impl Errno {
    /// Every errno that the model can answer.
    pub const ALL: [Errno; 15] = [
        Errno::EADDRINUSE,
        Errno::EADDRNOTAVAIL,
        Errno::EACCES,
        Errno::EPERM,
        Errno::EINVAL,
        Errno::ENODEV,
        Errno::ENOENT,
        Errno::ENOTDIR,
        Errno::ELOOP,
        Errno::EROFS,
        Errno::ENAMETOOLONG,
        Errno::EAFNOSUPPORT,
        Errno::EAGAIN,
        Errno::ENETUNREACH,
        Errno::EOPNOTSUPP,
    ];

    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Errno::EADDRINUSE => "EADDRINUSE",
            Errno::EADDRNOTAVAIL => "EADDRNOTAVAIL",
            Errno::EACCES => "EACCES",
            Errno::EPERM => "EPERM",
            Errno::EINVAL => "EINVAL",
            Errno::ENODEV => "ENODEV",
            Errno::ENOENT => "ENOENT",
            Errno::ENOTDIR => "ENOTDIR",
            Errno::ELOOP => "ELOOP",
            Errno::EROFS => "EROFS",
            Errno::ENAMETOOLONG => "ENAMETOOLONG",
            Errno::EAFNOSUPPORT => "EAFNOSUPPORT",
            Errno::EAGAIN => "EAGAIN",
            Errno::ENETUNREACH => "ENETUNREACH",
            Errno::EOPNOTSUPP => "EOPNOTSUPP",
        }
    }

    /// Its number on Linux (asm-generic).
    pub const fn linux(self) -> i32 {
        match self {
            Errno::EPERM => 1,
            Errno::ENOENT => 2,
            Errno::EAGAIN => 11,
            Errno::EACCES => 13,
            Errno::ENODEV => 19,
            Errno::ENOTDIR => 20,
            Errno::EINVAL => 22,
            Errno::EROFS => 30,
            Errno::ENAMETOOLONG => 36,
            Errno::ELOOP => 40,
            Errno::EOPNOTSUPP => 95,
            Errno::EAFNOSUPPORT => 97,
            Errno::EADDRINUSE => 98,
            Errno::EADDRNOTAVAIL => 99,
            Errno::ENETUNREACH => 101,
        }
    }

    /// What strerror(3) says.
    pub const fn meaning(self) -> &'static str {
        match self {
            Errno::EPERM => "Operation not permitted",
            Errno::ENOENT => "No such file or directory",
            Errno::EAGAIN => "Resource temporarily unavailable",
            Errno::EACCES => "Permission denied",
            Errno::ENODEV => "No such device",
            Errno::ENOTDIR => "Not a directory",
            Errno::ELOOP => "Too many levels of symbolic links",
            Errno::EINVAL => "Invalid argument",
            Errno::EROFS => "Read-only file system",
            Errno::ENAMETOOLONG => "File name too long",
            Errno::EOPNOTSUPP => "Operation not supported",
            Errno::EAFNOSUPPORT => "Address family not supported by protocol",
            Errno::EADDRINUSE => "Address already in use",
            Errno::EADDRNOTAVAIL => "Cannot assign requested address",
            Errno::ENETUNREACH => "Network is unreachable",
        }
    }
}

impl fmt::Display for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A fact that a judgement lacks.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fact {
    /// The LISTEN sockets of a port.
    Listeners(Transport, u16),
    /// All sockets of a port, in every state.
    Sockets(Transport, u16),
    /// All sockets of a transport (a bind to port 0).
    Everything(Transport),
    /// Whether an address, with the scope or device it names, is ours.
    Locality(IpAddr, u32),
    /// `ip_unprivileged_port_start`.
    UnprivilegedPortStart,
    /// `ip_local_port_range` and `ip_local_reserved_ports`.
    LocalPortRange,
    /// What stands at the unix path.
    Path,
    /// The unix sockets.
    UnixSockets,
    /// The socket's `IPV6_V6ONLY`, by index.
    V6only(usize),
    /// The socket's `SO_REUSEADDR`, by index.
    Reuseaddr(usize),
    /// The socket's `SO_REUSEPORT`, by index.
    Reuseport(usize),
    /// The uid that the kernel counts for the socket, by index.
    Uid(usize),
    /// The order in which sockets with SO_REUSEPORT came to this port: no interface shows it.
    ReuseportHistory,
    /// Which ports of the ephemeral range a bind() has held: no interface shows it.
    PortHistory,
    /// Which of an IPv4 and an IPv6 datagram socket stands first in the kernel's chain: no interface
    /// shows it.
    UdpOrder,
    /// Whether a connected unix socket was bound to its name or accepted from a listener that was,
    /// by index.
    UnixAccepted(usize),
}

impl Fact {
    /// The socket that the fact is about.
    pub const fn socket(&self) -> Option<usize> {
        match self {
            Fact::V6only(i)
            | Fact::Reuseaddr(i)
            | Fact::Reuseport(i)
            | Fact::Uid(i)
            | Fact::UnixAccepted(i) => Some(*i),
            _ => None,
        }
    }

    /// The fact in words; a socket is called by the number that `name_socket` gives it.
    pub fn describe(&self, name_socket: impl Fn(usize) -> String) -> String {
        use alloc::format;
        match self {
            Fact::Listeners(t, port) => format!("the listeners of {}/{port}", t.name()),
            Fact::Sockets(t, port) => format!("the sockets of {}/{port}", t.name()),
            Fact::Everything(t) => format!("all {} sockets", t.name()),
            Fact::Locality(ip, _) => format!("whether {ip} is an address of this machine"),
            Fact::UnprivilegedPortStart => "net.ipv4.ip_unprivileged_port_start".into(),
            Fact::LocalPortRange => "net.ipv4.ip_local_port_range".into(),
            Fact::Path => "what stands at the path".into(),
            Fact::UnixSockets => "the unix sockets".into(),
            Fact::V6only(i) => format!("{}: IPV6_V6ONLY", name_socket(*i)),
            Fact::Reuseaddr(i) => format!("{}: SO_REUSEADDR", name_socket(*i)),
            Fact::Reuseport(i) => format!("{}: SO_REUSEPORT", name_socket(*i)),
            Fact::Uid(i) => format!("{}: uid", name_socket(*i)),
            Fact::ReuseportHistory => {
                "in which order SO_REUSEPORT sockets came to this port (no interface shows it)".into()
            }
            Fact::PortHistory => "which ephemeral ports a bind() has held (no interface shows it)".into(),
            Fact::UdpOrder => {
                "which datagram socket stands first in the kernel's chain (no interface shows it)".into()
            }
            Fact::UnixAccepted(i) => format!("{}: whether it was bound or accepted", name_socket(*i)),
        }
    }
}

macro_rules! rules {
    ($($(#[$doc:meta])* $name:ident $code:literal $function:literal $says:literal;)*) => {
        /// A rule of the kernel that refuses an attempt. Each has its line in
        /// docs/kernel-behaviour.md.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Rule { $($(#[$doc])* #[doc = $says] $name,)* }

        impl Rule {
            /// Every rule.
            pub const ALL: &'static [Rule] = &[$(Rule::$name),*];

            /// The stable word for it in JSON.
            pub const fn code(self) -> &'static str {
                match self { $(Rule::$name => $code,)* }
            }

            /// The kernel function that applies it.
            pub const fn kernel_function(self) -> &'static str {
                match self { $(Rule::$name => $function,)* }
            }

            /// The rule as a sentence.
            pub const fn sentence(self) -> &'static str {
                match self { $(Rule::$name => $says,)* }
            }
        }
    };
}

rules! {
    NotLocal "not-local" "__inet_bind, __inet6_bind"
        "The address must be on an interface of this machine, unless IP_FREEBIND, IP_TRANSPARENT or ip_nonlocal_bind says otherwise.";
    Tentative "tentative" "ipv6_chk_addr"
        "An IPv6 address cannot be bound while duplicate address detection runs, nor after it failed.";
    NeedsScope "needs-scope" "__inet6_bind"
        "A link-local IPv6 address needs the interface it is meant for.";
    NoDevice "no-device" "__inet6_bind"
        "The interface that the address names must exist.";
    PrivilegedPort "privileged-port" "inet_port_requires_bind_service"
        "A port below ip_unprivileged_port_start needs CAP_NET_BIND_SERVICE in the user namespace that owns the network namespace.";
    MappedV6only "mapped-v6only" "__inet6_bind"
        "An IPv4-mapped address cannot be bound by a socket that speaks IPv6 only.";
    Multicast "tcp-multicast" "__inet6_bind"
        "A TCP socket cannot be bound to an IPv6 multicast address.";
    ListenerNeverShares "listener-never-shares" "inet_bind_conflict"
        "SO_REUSEADDR never shares an address with a socket that listens.";
    OldLacksReuseaddr "old-lacks-reuseaddr" "inet_bind_conflict"
        "SO_REUSEADDR counts only if the old socket has it too; this one was made without it.";
    OldLacksReuseport "old-lacks-reuseport" "inet_bind_conflict"
        "SO_REUSEPORT counts only if the old socket has it too; this one was made without it.";
    ReuseportUid "reuseport-uid" "inet_bind_conflict"
        "SO_REUSEPORT shares only between sockets of the same effective user; root is no exception.";
    NewLacksReuseaddr "new-lacks-reuseaddr" "inet_bind_conflict"
        "Without SO_REUSEADDR (or SO_REUSEPORT) on the new socket, every overlapping socket refuses it.";
    NoFreePort "no-free-port" "inet_csk_find_open_port, udp_lib_get_port"
        "A bind to port 0 needs a port in ip_local_port_range on which no overlapping socket stands at all.";
    NoFreePortToConnect "no-free-port-to-connect" "__inet_hash_connect"
        "A connect without bind needs a port in ip_local_port_range that no bind() holds and whose address pair is free.";
    UdpTaken "udp-taken" "udp_lib_lport_inuse"
        "The first overlapping datagram socket decides: without SO_REUSEADDR on both, or SO_REUSEPORT on both and the same user, it refuses.";
    UnixNameExists "unix-name-exists" "unix_bind_bsd"
        "A name that exists in the file system refuses the bind, whatever stands there and whether or not anybody serves it.";
    UnixAbstractTaken "unix-abstract-taken" "unix_bind_abstract"
        "An abstract name belongs to one socket of each type in a network namespace.";
    UnixNoDirectory "unix-no-directory" "unix_bind_bsd"
        "Everything on the way to a unix path must be a directory that exists.";
    UnixReadOnly "unix-read-only" "filename_create"
        "The file system of a unix path must not be mounted read-only.";
    UnixUnwritable "unix-unwritable" "unix_bind_bsd"
        "The directory of a unix path must be writable and searchable.";
    UnixOption "unix-reuseport" "sk_setsockopt"
        "Unix sockets do not have SO_REUSEPORT.";
}
