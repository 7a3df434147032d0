//! Who has a socket open: processes, a descriptor in flight, an io_uring, the kernel, nobody; or why
//! that could not be seen.
//!
//! Not here: reading /proc (the kernel crate) and judging who may be stopped.

use alloc::string::String;
use alloc::vec::Vec;

/// Who has a socket open.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Ownership {
    /// Nobody has looked yet.
    #[default]
    NotAsked,
    /// At least one process (or thread) has it in its table of open files.
    Held(Vec<Holding>),
    /// It is in nobody's table, but inside a unix socket as an undelivered `SCM_RIGHTS` message.
    InFlight {
        /// Processes that hold an end of a unix socket that carries descriptors.
        carriers: Vec<Holding>,
        /// True when the very inode was seen by `MSG_PEEK`; false for "one of these".
        proven: bool,
    },
    /// It is in nobody's table, but registered with these processes' io_uring.
    IoUring(Vec<Holding>),
    /// Nobody has it, and that is the whole truth.
    Nobody(NoOwner),
    /// Somebody has it, and the asker was not allowed to see who.
    Hidden,
    /// It closed between two looks.
    Gone,
}

/// Why a socket has no owner, or none that shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoOwner {
    /// A TIME_WAIT: the process closed it, the kernel keeps the address pair.
    TimeWait,
    /// Closed by its process, still talking to its peer.
    Orphan,
    /// A connection that waits to be accepted: it belongs to its listener.
    AcceptQueue,
    /// A half-open request.
    Request,
    /// Everything was searched, and only the kernel is left.
    Kernel,
    /// Nothing in this pid namespace has it; another one may.
    OtherPidNamespace,
}

impl NoOwner {
    /// The stable word for it in JSON.
    pub const fn code(self) -> &'static str {
        match self {
            NoOwner::TimeWait => "time-wait",
            NoOwner::Orphan => "orphan",
            NoOwner::AcceptQueue => "accept-queue",
            NoOwner::Request => "request",
            NoOwner::Kernel => "kernel",
            NoOwner::OtherPidNamespace => "other-pid-namespace",
        }
    }
}

impl Ownership {
    /// The processes that hold it, carry it or registered it; empty when there are none.
    pub fn holdings(&self) -> &[Holding] {
        match self {
            Ownership::Held(h) | Ownership::IoUring(h) | Ownership::InFlight { carriers: h, .. } => h,
            _ => &[],
        }
    }
}

/// One table of open files that has the socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holding {
    /// The process (thread group) id, in the asker's pid namespace.
    pub pid: u32,
    /// The thread, when only its own table has the socket.
    pub tid: Option<u32>,
    /// The descriptors' numbers; for an io_uring the ring's, for one in flight the unix socket's.
    pub fds: Vec<u32>,
    /// Whether every one of those descriptors is close-on-exec; `None` when it was not read.
    pub cloexec: Option<bool>,
}

/// What is known of a process. Bytes are as the kernel gave them: hostile until escaped.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Process {
    /// Process id in the asker's pid namespace.
    pub pid: u32,
    /// `comm`: at most 15 bytes, chosen by the process.
    pub comm: Vec<u8>,
    /// Target of /proc/PID/exe, where readable (a replaced file ends in " (deleted)").
    pub exe: Option<Vec<u8>>,
    /// Arguments, bounded in number and length by the reader.
    pub cmdline: Vec<Vec<u8>>,
    /// Working directory, where readable.
    pub cwd: Option<Vec<u8>>,
    /// Effective user id.
    pub uid: Option<u32>,
    /// That user's name in /etc/passwd.
    pub user: Option<String>,
    /// State letter of /proc/PID/stat: `R S D T t Z X I`.
    pub state: u8,
    /// Parent.
    pub ppid: u32,
    /// Session id.
    pub session: u32,
    /// Controlling terminal (`pts/3`), if any.
    pub tty: Option<String>,
    /// Start, in clock ticks since boot: together with the pid it names the process.
    pub start_ticks: u64,
    /// Start, in milliseconds since the Unix epoch.
    pub started_ms: Option<u64>,
    /// Threads in the process, as /proc/PID/stat counts them.
    pub threads: u32,
    /// Parent, grandparent … up to pid 1 or the first that could not be read.
    pub ancestry: Vec<Ancestor>,
    /// Path in the cgroup hierarchy that systemd or a container runtime uses.
    pub cgroup: Option<Vec<u8>>,
    /// The systemd unit that the cgroup path names.
    pub unit: Option<Unit>,
    /// The container that the cgroup path names.
    pub container: Option<Container>,
    /// docker-proxy and its like: the published container address that the arguments name.
    pub publishes: Option<Publishes>,
    /// Inode of its network namespace, where readable.
    pub netns: Option<u64>,
}

/// One step up the family tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ancestor {
    /// Process id.
    pub pid: u32,
    /// `comm`, hostile until escaped.
    pub comm: Vec<u8>,
    /// Start, in clock ticks since boot.
    pub start_ticks: u64,
}

/// A systemd unit, taken from a cgroup path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unit {
    /// `nginx.service`, `session-3.scope` …; hostile until escaped.
    pub name: String,
    /// The uid of the `user@UID.service` manager that runs it; `None` for the system's.
    pub user_manager: Option<u32>,
}

/// A container, taken from a cgroup path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Container {
    /// Who runs it.
    pub runtime: Runtime,
    /// Its id or name as the runtime's command takes it; hostile until escaped.
    pub id: String,
}

/// A container runtime, as far as a cgroup path tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Runtime {
    /// Docker.
    Docker,
    /// Podman (libpod).
    Podman,
    /// containerd through CRI (Kubernetes).
    Containerd,
    /// CRI-O (Kubernetes).
    CriO,
    /// LXC or LXD.
    Lxc,
    /// systemd-nspawn and other machined machines.
    Machine,
}

impl Runtime {
    /// Its name in JSON and prose.
    pub const fn name(self) -> &'static str {
        match self {
            Runtime::Docker => "docker",
            Runtime::Podman => "podman",
            Runtime::Containerd => "containerd",
            Runtime::CriO => "cri-o",
            Runtime::Lxc => "lxc",
            Runtime::Machine => "machine",
        }
    }
}

/// What a port-publishing helper forwards to, from its own arguments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Publishes {
    /// `docker-proxy`, `dockerd`, `rootlessport`, `pasta`, `slirp4netns`, `conmon`.
    pub helper: String,
    /// The container's address, if the arguments name it.
    pub container_ip: Option<core::net::IpAddr>,
    /// The container's port, if the arguments name it.
    pub container_port: Option<u16>,
    /// The container that has that address on this machine, if exactly one has.
    pub container: Option<Container>,
}

impl Container {
    /// The id as people type it: its first twelve digits.
    pub fn short_id(&self) -> String {
        self.id.chars().take(12).collect()
    }
}

impl Publishes {
    /// The command that speaks to the runtime whose helper it is.
    pub fn tool(&self) -> &'static str {
        if self.helper.starts_with("docker") { "docker" } else { "podman" }
    }
}
