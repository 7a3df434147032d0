//! The types that serde sees: mirrors of the rules crate's types, with the conversions both ways.
//!
//! A struct is mirrored by naming its fields once more; the compiler says when one is missing. Bytes that
//! somebody chose are a string when they are UTF-8, else `{"hex": "…"}`.

use inuse_rules::Attempt;
use inuse_rules::address::{Address, Transport, UnixKind, UnixName};
use inuse_rules::owner::{
    Ancestor, Container, Holding, NoOwner, Ownership, Process, Publishes, Runtime, Unit,
};
use inuse_rules::snapshot::{
    BlindSpot, Coverage, Depth, Elsewhere, FileKind, KernelVersion, Locality, PathFact, Probed, Snapshot,
    Sysctls,
};
use inuse_rules::socket::{FileId, Learned, Options, Socket, State, Timer, TimerKind};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

/// A type of the domain that has a mirror for the file.
pub(super) trait Mirror: Sized {
    type As;
    fn mirror(&self) -> Self::As;
    fn unmirror(shape: Self::As) -> Self;
}

macro_rules! plain {
    ($($type:ty),*) => {$(
        impl Mirror for $type {
            type As = $type;
            fn mirror(&self) -> $type { self.clone() }
            fn unmirror(shape: $type) -> $type { shape }
        }
    )*};
}

macro_rules! list {
    ($($type:ty),*) => {$(
        impl Mirror for Vec<$type> {
            type As = Vec<<$type as Mirror>::As>;
            fn mirror(&self) -> Self::As { self.iter().map(Mirror::mirror).collect() }
            fn unmirror(shape: Self::As) -> Self { shape.into_iter().map(Mirror::unmirror).collect() }
        }
    )*};
}

macro_rules! words {
    ($($shape:ident mirrors $type:ident { $($variant:ident),* })*) => {$(
        #[derive(Serialize, Deserialize)]
        #[serde(rename_all = "kebab-case")]
        pub(super) enum $shape { $($variant),* }

        impl Mirror for $type {
            type As = $shape;
            fn mirror(&self) -> $shape {
                match self { $($type::$variant => $shape::$variant),* }
            }
            fn unmirror(shape: $shape) -> $type {
                match shape { $($shape::$variant => $type::$variant),* }
            }
        }
    )*};
}

macro_rules! fields {
    ($($shape:ident mirrors $type:ident { $($(#[$how:meta])* $field:ident: $of:ty),* $(,)? })*) => {$(
        #[derive(Serialize, Deserialize)]
        pub(super) struct $shape { $($(#[$how])* $field: <$of as Mirror>::As),* }

        impl Mirror for $type {
            type As = $shape;
            fn mirror(&self) -> $shape {
                $shape { $($field: self.$field.mirror()),* }
            }
            fn unmirror(shape: $shape) -> $type {
                $type { $($field: Mirror::unmirror(shape.$field)),* }
            }
        }
    )*};
}

/// What is left out of a file: older versions knew of no such field.
fn is_zero(number: &u32) -> bool {
    *number == 0
}

plain!(bool, u8, u16, u32, u64, String, IpAddr, SocketAddr, (u16, u16), (IpAddr, u32));
list!(Vec<u8>, u32, (u16, u16), Transport, Socket, Elsewhere, Ancestor, Holding, Probed, BlindSpot);

impl<T: Mirror> Mirror for Option<T> {
    type As = Option<T::As>;
    fn mirror(&self) -> Self::As {
        self.as_ref().map(Mirror::mirror)
    }
    fn unmirror(shape: Self::As) -> Self {
        shape.map(Mirror::unmirror)
    }
}

words! {
    TransportShape mirrors Transport { Tcp, Udp }
    UnixKindShape mirrors UnixKind { Stream, Datagram, Seqpacket }
    LearnedShape mirrors Learned { NotYet, Getsockopt, Bpf, Probe, Sibling }
    TimerKindShape mirrors TimerKind { Retransmit, Keepalive, TimeWait, Probe }
    RuntimeShape mirrors Runtime { Docker, Podman, Containerd, CriO, Lxc, Machine }
    NoOwnerShape mirrors NoOwner { TimeWait, Orphan, AcceptQueue, Request, Kernel, OtherPidNamespace }
    DepthShape mirrors Depth { Listening, Every }
    LocalityShape mirrors Locality { Local, NotLocal, Tentative, DadFailed, NeedsScope, NoDevice }
    FileKindShape mirrors FileKind { Socket, Regular, Directory, Fifo, Symlink, DanglingSymlink, Device }
    StateShape mirrors State {
        Established, SynSent, SynRecv, FinWait1, FinWait2, TimeWait, Unconn, CloseWait, LastAck, Listen,
        Closing, Bound
    }
}

fields! {
    AttemptShape mirrors Attempt {
        address: Address, reuseaddr: bool, reuseport: bool, v6only: bool, uid: u32, net_bind_service: bool,
        freebind: bool,
    }
    SnapshotShape mirrors Snapshot {
        taken_ms: u64, kernel: Option<KernelVersion>, netns: Option<u64>, asker: Option<u32>, asker_uid: Option<u32>,
        coverage: Coverage,
        sockets: Vec<Socket>, peers: Vec<Socket>, elsewhere: Vec<Elsewhere>,
        processes: BTreeMap<u32, Process>, sysctls: Sysctls,
        locality: BTreeMap<(IpAddr, u32), Locality>, path: Option<PathFact>,
        probed: Vec<Probed>, blind: Vec<BlindSpot>,
    }
    CoverageShape mirrors Coverage {
        ports: BTreeMap<(Transport, u16), Depth>, whole: Vec<Transport>, bound_inactive: bool, one_chain: bool, unix: bool,
        unix_everywhere: bool,
    }
    KernelShape mirrors KernelVersion { major: u16, minor: u16, release: String }
    SysctlsShape mirrors Sysctls {
        unprivileged_port_start: Option<u16>, local_port_range: Option<(u16, u16)>,
        reserved_ports: Option<Vec<(u16, u16)>>, tcp_fin_timeout: Option<u32>, tcp_rfc1337: Option<bool>,
        nonlocal_bind_v4: Option<bool>, nonlocal_bind_v6: Option<bool>, bindv6only: Option<bool>,
        autobind_reuse: Option<bool>, tcp_tw_reuse: Option<u8>,
    }
    ElsewhereShape mirrors Elsewhere { netns: u64, pid: u32, socket: Socket }
    ProbedShape mirrors Probed { attempt: Attempt, refused: bool }
    BlindSpotShape mirrors BlindSpot { what: String, remedy: String }
    SocketShape mirrors Socket {
        address: Address, remote: Option<SocketAddr>, state: State, mini: bool, inode: u64, cookie: u64,
        uid: Option<u32>, options: Options, bound_explicitly: Option<bool>, recv_q: u32, send_q: u32,
        timer: Option<Timer>, cgroup: u64, file: Option<FileId>, owners: Ownership,
        #[serde(default, skip_serializing_if = "is_zero")]
        alike: u32,
    }
    OptionsShape mirrors Options {
        reuseaddr: Option<bool>, reuseport: Option<bool>, v6only: Option<bool>, learned: Learned,
    }
    TimerShape mirrors Timer { kind: TimerKind, left_ms: u32 }
    FileIdShape mirrors FileId { dev: u64, ino: u64 }
    HoldingShape mirrors Holding { pid: u32, tid: Option<u32>, fds: Vec<u32>, cloexec: Option<bool> }
    ProcessShape mirrors Process {
        pid: u32, comm: Vec<u8>, exe: Option<Vec<u8>>, cmdline: Vec<Vec<u8>>, cwd: Option<Vec<u8>>,
        uid: Option<u32>, user: Option<String>, state: u8, ppid: u32, session: u32, tty: Option<String>,
        start_ticks: u64, started_ms: Option<u64>, threads: u32, ancestry: Vec<Ancestor>,
        cgroup: Option<Vec<u8>>, unit: Option<Unit>, container: Option<Container>,
        publishes: Option<Publishes>, netns: Option<u64>,
    }
    AncestorShape mirrors Ancestor { pid: u32, comm: Vec<u8>, start_ticks: u64 }
    UnitShape mirrors Unit { name: String, user_manager: Option<u32> }
    ContainerShape mirrors Container { runtime: Runtime, id: String }
    PublishesShape mirrors Publishes {
        helper: String, container_ip: Option<IpAddr>, container_port: Option<u16>,
        container: Option<Container>,
    }
}

/// Bytes: text where they are UTF-8, else hexadecimal.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
pub(super) enum Bytes {
    Text(String),
    Hex(Hex),
}

#[derive(Serialize, Deserialize)]
pub(super) struct Hex {
    #[serde(serialize_with = "write_hex", deserialize_with = "read_hex")]
    hex: Vec<u8>,
}

fn write_hex<S: serde::Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    let text: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    serializer.serialize_str(&text)
}

fn read_hex<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
    let text = String::deserialize(deserializer)?;
    let digit = |byte: u8| (byte as char).to_digit(16);
    text.as_bytes()
        .chunks(2)
        .map(|pair| match pair {
            [high, low] => digit(*high).zip(digit(*low)).map(|(high, low)| (high * 16 + low) as u8),
            _ => None,
        })
        .collect::<Option<_>>()
        .ok_or_else(|| serde::de::Error::custom("bytes in hexadecimal expected"))
}

impl Mirror for Vec<u8> {
    type As = Bytes;
    fn mirror(&self) -> Bytes {
        match str::from_utf8(self) {
            Ok(text) => Bytes::Text(text.to_owned()),
            Err(_) => Bytes::Hex(Hex { hex: self.clone() }),
        }
    }
    fn unmirror(shape: Bytes) -> Vec<u8> {
        match shape {
            Bytes::Text(text) => text.into_bytes(),
            Bytes::Hex(hex) => hex.hex,
        }
    }
}

impl Mirror for (Transport, u16) {
    type As = (TransportShape, u16);
    fn mirror(&self) -> Self::As {
        (self.0.mirror(), self.1)
    }
    fn unmirror((transport, port): Self::As) -> Self {
        (Mirror::unmirror(transport), port)
    }
}

/// A map is a list of pairs: the keys of a JSON object are strings, and ours are not.
impl<K: Mirror + Ord, V: Mirror> Mirror for BTreeMap<K, V> {
    type As = Vec<(K::As, V::As)>;
    fn mirror(&self) -> Self::As {
        self.iter().map(|(key, value)| (key.mirror(), value.mirror())).collect()
    }
    fn unmirror(shape: Self::As) -> Self {
        shape.into_iter().map(|(key, value)| (Mirror::unmirror(key), Mirror::unmirror(value))).collect()
    }
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum AddressShape {
    Inet { transport: TransportShape, local: SocketAddr, device: u32 },
    Unix { kind: UnixKindShape, name: UnixNameShape },
}

impl Mirror for Address {
    type As = AddressShape;
    fn mirror(&self) -> AddressShape {
        match self {
            Address::Inet { transport, local, device } => {
                AddressShape::Inet { transport: transport.mirror(), local: *local, device: *device }
            }
            Address::Unix { kind, name } => AddressShape::Unix { kind: kind.mirror(), name: name.mirror() },
        }
    }
    fn unmirror(shape: AddressShape) -> Address {
        match shape {
            AddressShape::Inet { transport, local, device } => {
                Address::Inet { transport: Mirror::unmirror(transport), local, device }
            }
            AddressShape::Unix { kind, name } => {
                Address::Unix { kind: Mirror::unmirror(kind), name: Mirror::unmirror(name) }
            }
        }
    }
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum UnixNameShape {
    Path(Bytes),
    Abstract(Bytes),
    Unnamed,
}

impl Mirror for UnixName {
    type As = UnixNameShape;
    fn mirror(&self) -> UnixNameShape {
        match self {
            UnixName::Path(path) => UnixNameShape::Path(path.mirror()),
            UnixName::Abstract(name) => UnixNameShape::Abstract(name.mirror()),
            UnixName::Unnamed => UnixNameShape::Unnamed,
        }
    }
    fn unmirror(shape: UnixNameShape) -> UnixName {
        match shape {
            UnixNameShape::Path(path) => UnixName::Path(Mirror::unmirror(path)),
            UnixNameShape::Abstract(name) => UnixName::Abstract(Mirror::unmirror(name)),
            UnixNameShape::Unnamed => UnixName::Unnamed,
        }
    }
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum OwnershipShape {
    NotAsked,
    Held(Vec<HoldingShape>),
    InFlight { carriers: Vec<HoldingShape>, proven: bool },
    IoUring(Vec<HoldingShape>),
    Nobody(NoOwnerShape),
    Hidden,
    Gone,
}

impl Mirror for Ownership {
    type As = OwnershipShape;
    fn mirror(&self) -> OwnershipShape {
        match self {
            Ownership::NotAsked => OwnershipShape::NotAsked,
            Ownership::Held(holdings) => OwnershipShape::Held(holdings.mirror()),
            Ownership::InFlight { carriers, proven } => {
                OwnershipShape::InFlight { carriers: carriers.mirror(), proven: *proven }
            }
            Ownership::IoUring(holdings) => OwnershipShape::IoUring(holdings.mirror()),
            Ownership::Nobody(why) => OwnershipShape::Nobody(why.mirror()),
            Ownership::Hidden => OwnershipShape::Hidden,
            Ownership::Gone => OwnershipShape::Gone,
        }
    }
    fn unmirror(shape: OwnershipShape) -> Ownership {
        match shape {
            OwnershipShape::NotAsked => Ownership::NotAsked,
            OwnershipShape::Held(holdings) => Ownership::Held(Mirror::unmirror(holdings)),
            OwnershipShape::InFlight { carriers, proven } => {
                Ownership::InFlight { carriers: Mirror::unmirror(carriers), proven }
            }
            OwnershipShape::IoUring(holdings) => Ownership::IoUring(Mirror::unmirror(holdings)),
            OwnershipShape::Nobody(why) => Ownership::Nobody(Mirror::unmirror(why)),
            OwnershipShape::Hidden => Ownership::Hidden,
            OwnershipShape::Gone => Ownership::Gone,
        }
    }
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum PathFactShape {
    Absent,
    AbsentUnwritable,
    ReadOnly,
    NoDirectory,
    NotADirectory,
    TooManyLinks,
    NotSearchable,
    Exists { kind: FileKindShape, file: FileIdShape },
}

impl Mirror for PathFact {
    type As = PathFactShape;
    fn mirror(&self) -> PathFactShape {
        match self {
            PathFact::Absent => PathFactShape::Absent,
            PathFact::AbsentUnwritable => PathFactShape::AbsentUnwritable,
            PathFact::ReadOnly => PathFactShape::ReadOnly,
            PathFact::NoDirectory => PathFactShape::NoDirectory,
            PathFact::NotADirectory => PathFactShape::NotADirectory,
            PathFact::TooManyLinks => PathFactShape::TooManyLinks,
            PathFact::NotSearchable => PathFactShape::NotSearchable,
            PathFact::Exists { kind, file } => {
                PathFactShape::Exists { kind: kind.mirror(), file: file.mirror() }
            }
        }
    }
    fn unmirror(shape: PathFactShape) -> PathFact {
        match shape {
            PathFactShape::Absent => PathFact::Absent,
            PathFactShape::AbsentUnwritable => PathFact::AbsentUnwritable,
            PathFactShape::ReadOnly => PathFact::ReadOnly,
            PathFactShape::NoDirectory => PathFact::NoDirectory,
            PathFactShape::NotADirectory => PathFact::NotADirectory,
            PathFactShape::TooManyLinks => PathFact::TooManyLinks,
            PathFactShape::NotSearchable => PathFact::NotSearchable,
            PathFactShape::Exists { kind, file } => {
                PathFact::Exists { kind: Mirror::unmirror(kind), file: Mirror::unmirror(file) }
            }
        }
    }
}
