//! Everything that a judgement may know: sockets, owners, sysctls, addresses, and what was not seen.
//!
//! A snapshot is of one network namespace. It says for which ports it is complete, so that "no socket
//! there" and "nobody asked" stay two things.

use crate::address::Transport;
use crate::attempt::Attempt;
use crate::owner::Process;
use crate::socket::{FileId, Socket};
use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;
use core::net::IpAddr;

/// Kernel facts about one network namespace at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// When it was taken, in milliseconds since the Unix epoch.
    pub taken_ms: u64,
    /// The running kernel.
    pub kernel: Option<KernelVersion>,
    /// Inode of the network namespace.
    pub netns: Option<u64>,
    /// The process that asks about its own bind (the library does; the command asks for others).
    pub asker: Option<u32>,
    /// The effective user of the process that looked, whomever the attempt is judged for.
    pub asker_uid: Option<u32>,
    /// How completely each port was asked for.
    pub coverage: Coverage,
    /// The rows that a bind is judged against, in the order in which sock_diag dumps them.
    pub sockets: Vec<Socket>,
    /// Other ends of those sockets on this machine; evidence only, never judged.
    pub peers: Vec<Socket>,
    /// Listeners on the same address in other network namespaces; evidence only, never judged.
    pub elsewhere: Vec<Elsewhere>,
    /// The processes that own any of the above, by pid.
    pub processes: BTreeMap<u32, Process>,
    /// Kernel settings.
    pub sysctls: Sysctls,
    /// What the kernel says of the local addresses that were asked about.
    pub locality: BTreeMap<(IpAddr, u32), Locality>,
    /// What stands at the unix path that was asked about.
    pub path: Option<PathFact>,
    /// Binds that were tried for real, by somebody who asked for that.
    pub probed: Vec<Probed>,
    /// What could not be seen.
    pub blind: Vec<BlindSpot>,
}

impl Snapshot {
    /// Notes once that something was not seen.
    pub fn blind_to(&mut self, spot: BlindSpot) {
        if !self.blind.contains(&spot) {
            self.blind.push(spot);
        }
    }
}

/// A bind that was tried for real, and closed at once without listening.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Probed {
    /// What was tried.
    pub attempt: Attempt,
    /// Whether the kernel said EADDRINUSE.
    pub refused: bool,
}

/// A kernel's version as far as the bind rule depends on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KernelVersion {
    /// 6 of 6.18.44.
    pub major: u16,
    /// 18 of 6.18.44.
    pub minor: u16,
    /// The whole `uname -r`; hostile until escaped.
    pub release: String,
}

impl KernelVersion {
    /// Whether one walk of sock_diag brings both address families, in the order of the kernel's own chain:
    /// since Linux 5.9 it does not ask for a family.
    pub fn dumps_one_chain(&self) -> bool {
        (self.major, self.minor) >= (5, 9)
    }
}

/// How completely a port was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Depth {
    /// Only LISTEN sockets: the cheap question (one hash bucket).
    Listening,
    /// Every state that the kernel can show.
    Every,
}

/// For which questions the list of sockets is complete.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Coverage {
    /// Ports asked for one by one.
    pub ports: BTreeMap<(Transport, u16), Depth>,
    /// Transports of which every socket is there.
    pub whole: Vec<Transport>,
    /// False when this kernel cannot list bound, not listening TCP sockets (before 6.8).
    pub bound_inactive: bool,
    /// Whether unix sockets were asked for.
    pub unix: bool,
    /// Whether the server of the unix path that was asked about was looked for in every network namespace:
    /// only then does "none was seen" mean that there is none.
    pub unix_everywhere: bool,
    /// Whether the order of `sockets` is that of the kernel's own chain across address families.
    /// Where sock_diag walks a chain once for both families, a live snapshot says so
    /// ([`KernelVersion::dumps_one_chain`]).
    pub one_chain: bool,
}

impl Coverage {
    /// How completely that port was asked for, if at all.
    pub fn of(&self, transport: Transport, port: u16) -> Option<Depth> {
        if self.whole.contains(&transport) {
            return Some(Depth::Every);
        }
        self.ports.get(&(transport, port)).copied()
    }
}

/// Kernel settings that bear on a bind. `None`: not read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sysctls {
    /// `net.ipv4.ip_unprivileged_port_start`.
    pub unprivileged_port_start: Option<u16>,
    /// `net.ipv4.ip_local_port_range`, both ends included.
    pub local_port_range: Option<(u16, u16)>,
    /// `net.ipv4.ip_local_reserved_ports`, as inclusive ranges.
    pub reserved_ports: Option<Vec<(u16, u16)>>,
    /// `net.ipv4.tcp_fin_timeout`, in seconds: governs orphaned FIN_WAIT_2, not TIME_WAIT.
    pub tcp_fin_timeout: Option<u32>,
    /// `net.ipv4.tcp_rfc1337`.
    pub tcp_rfc1337: Option<bool>,
    /// `net.ipv4.ip_nonlocal_bind`.
    pub nonlocal_bind_v4: Option<bool>,
    /// `net.ipv6.ip_nonlocal_bind`.
    pub nonlocal_bind_v6: Option<bool>,
    /// `net.ipv6.bindv6only`: the default of `IPV6_V6ONLY`.
    pub bindv6only: Option<bool>,
    /// `net.ipv4.ip_autobind_reuse`.
    pub autobind_reuse: Option<bool>,
    /// `net.ipv4.tcp_tw_reuse`: 0 off, 1 on, 2 loopback only. Bears on connect(), never on bind().
    pub tcp_tw_reuse: Option<u8>,
}

impl Sysctls {
    /// Whether a port is in `ip_local_reserved_ports`.
    pub fn reserves(&self, port: u16) -> bool {
        self.reserved_ports.iter().flatten().any(|&(low, high)| (low..=high).contains(&port))
    }

    /// Whether outgoing connections may be given this port.
    pub fn ephemeral(&self, port: u16) -> bool {
        self.local_port_range.is_some_and(|(low, high)| (low..=high).contains(&port)) && !self.reserves(port)
    }
}

/// Whether an address may be bound here (`inet_addr_type_table`, `ipv6_chk_addr`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Locality {
    /// It is ours: local, broadcast or multicast.
    Local,
    /// It is on no interface.
    NotLocal,
    /// IPv6, assigned, and duplicate address detection is still running.
    Tentative,
    /// IPv6, assigned, and duplicate address detection failed: it never becomes usable by itself.
    DadFailed,
    /// A link-local address without the scope that says on which link.
    NeedsScope,
    /// The scope or device names no interface.
    NoDevice,
}

/// What stands at a unix path (lstat, and whether the directory may be written).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PathFact {
    /// Nothing, and the directory can be written by the asker.
    Absent,
    /// Nothing, and the directory refuses: bind() would give EACCES.
    AbsentUnwritable,
    /// Nothing, and the file system is mounted read-only.
    ReadOnly,
    /// A directory on the way is missing.
    NoDirectory,
    /// Something on the way is no directory.
    NotADirectory,
    /// The links on the way lead in a circle, or are too many.
    TooManyLinks,
    /// A directory on the way may not be searched.
    NotSearchable,
    /// Something is there.
    Exists {
        /// What it is.
        kind: FileKind,
        /// Which file.
        file: FileId,
    },
}

/// What kind of file stands at a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileKind {
    /// A socket file.
    Socket,
    /// A regular file.
    Regular,
    /// A directory.
    Directory,
    /// A named pipe.
    Fifo,
    /// A symbolic link whose target exists.
    Symlink,
    /// A symbolic link that leads nowhere.
    DanglingSymlink,
    /// A device.
    Device,
}

impl FileKind {
    /// In words.
    pub const fn name(self) -> &'static str {
        match self {
            FileKind::Socket => "socket",
            FileKind::Regular => "regular file",
            FileKind::Directory => "directory",
            FileKind::Fifo => "named pipe",
            FileKind::Symlink => "symbolic link",
            FileKind::DanglingSymlink => "dangling symbolic link",
            FileKind::Device => "device",
        }
    }
}

/// A listener on the same address in another network namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Elsewhere {
    /// Inode of that namespace.
    pub netns: u64,
    /// A process that lives there.
    pub pid: u32,
    /// The socket.
    pub socket: Socket,
}

/// Something that could not be seen, and what would show it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlindSpot {
    /// What was not seen, as a sentence part ("owners of 3 processes of user postgres").
    pub what: String,
    /// What would show it ("run it as root").
    pub remedy: String,
}
