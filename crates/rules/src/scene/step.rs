//! The staging language: what an actor (a real process) and the stage itself can be told to do.
//!
//! A step is data. Displayed, it reads like the C call that it is: `server: listen(s, 16)`.
//! Not here: carrying it out (the lab's business), and the scenes that are told in it.

use crate::socket::State;
use crate::verdict::Errno;
use core::fmt;
use core::net::{IpAddr, SocketAddr};

/// One thing that happens on the stage. `'a` is `'static` in the scenes, and free for those who stage
/// something of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step<'a> {
    /// A new process of that name (its `comm`) and uid, a child of pid 1.
    Actor(&'a str, u32),
    /// That actor does something, and it succeeds.
    Does(&'a str, Act<'a>),
    /// That actor tries something, and the kernel refuses it with that error.
    Fails(&'a str, Act<'a>, Errno),
    /// That actor gets a signal.
    Signal(&'a str, Signal),
    /// A kernel setting of the stage's network namespace, by its path under /proc/sys (`net/…`).
    Sysctl(&'a str, &'a str),
    /// A network interface appears, and is brought up.
    Interface(&'a str, Device),
    /// An address is added to an interface, with the whole address as its prefix.
    Address(&'a str, IpAddr),
    /// Something that is no socket appears at a path in /run, which is the stage's own.
    Create(&'a str, Thing),
    /// A file, whatever it is, disappears from its path in /run.
    Remove(&'a str),
    /// The stage holds its breath until the kernel shows a row.
    Await(Sight),
}

/// What an actor can do. The first `&str` names the socket (or descriptor) within that actor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act<'a> {
    /// socket(2), without `SOCK_CLOEXEC`, as most servers call it.
    Socket(&'a str, Kind),
    /// setsockopt(2).
    Set(&'a str, Opt, bool),
    /// bind(2).
    Bind(&'a str, Place<'a>),
    /// listen(2) with that backlog.
    Listen(&'a str, i32),
    /// connect(2) that does not wait for the other end.
    ConnectLater(&'a str, Place<'a>),
    /// connect(2).
    Connect(&'a str, Place<'a>),
    /// accept(2) on the first; the second is the new connection's name.
    Accept(&'a str, &'a str),
    /// send(2) of up to that many bytes, as many as the kernel takes without waiting.
    Send(&'a str, u32),
    /// recv(2) of up to that many bytes, waiting for the first.
    Recv(&'a str, u32),
    /// shutdown(2) of the sending side.
    ShutdownWrite(&'a str),
    /// shutdown(2) of the receiving side; a listener gives up listening by it, and keeps its port.
    ShutdownRead(&'a str),
    /// close(2).
    Close(&'a str),
    /// fork(2): the child is an actor of the given name that inherits every descriptor.
    Fork(&'a str),
    /// execve(2) of a program found in PATH; descriptors stay open, and the actor takes no more orders.
    Exec(&'a [&'a str]),
    /// socketpair(2) of unix stream sockets with these two names.
    Socketpair(&'a str, &'a str),
    /// sendmsg(2) over the first, with the second as an `SCM_RIGHTS` descriptor.
    SendDescriptor(&'a str, &'a str),
    /// io_uring_setup(2) under the first name, and io_uring_register(2) of the second as its file.
    RingRegister(&'a str, &'a str),
    /// A thread starts and takes a table of open files of its own: unshare(2) with `CLONE_FILES`. What
    /// is open now stays open in that thread, whatever the others close.
    ThreadWithOwnFiles,
    /// The main thread ends; another one goes on.
    EndMainThread,
    /// setsid(2): out of the process group that the terminal's Ctrl+C reaches.
    OwnSession,
    /// sigaction(2): from now on SIGINT runs a handler that closes every socket of the actor, whenever it was
    /// opened, and ends the process with status 0.
    CloseOnInterrupt,
    /// unshare(2) with `CLONE_NEWNET`: a network namespace of its own, with loopback up.
    OwnNetwork,
    /// exit(2).
    Exit,
}

/// What kind of socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "each is the family and type that its Display prints")]
pub enum Kind {
    Tcp4,
    Tcp6,
    Udp4,
    Udp6,
    UnixStream,
    UnixDatagram,
    UnixSeqpacket,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Kind; 7] = [
        Kind::Tcp4,
        Kind::Tcp6,
        Kind::Udp4,
        Kind::Udp6,
        Kind::UnixStream,
        Kind::UnixDatagram,
        Kind::UnixSeqpacket,
    ];

    /// Family and type, as socket(2) takes them.
    pub const fn arguments(self) -> &'static str {
        match self {
            Kind::Tcp4 => "AF_INET, SOCK_STREAM",
            Kind::Tcp6 => "AF_INET6, SOCK_STREAM",
            Kind::Udp4 => "AF_INET, SOCK_DGRAM",
            Kind::Udp6 => "AF_INET6, SOCK_DGRAM",
            Kind::UnixStream => "AF_UNIX, SOCK_STREAM",
            Kind::UnixDatagram => "AF_UNIX, SOCK_DGRAM",
            Kind::UnixSeqpacket => "AF_UNIX, SOCK_SEQPACKET",
        }
    }

    /// Whether listen() follows bind().
    pub const fn listens(self) -> bool {
        !matches!(self, Kind::Udp4 | Kind::Udp6 | Kind::UnixDatagram)
    }

    /// Whether it speaks IPv6.
    pub const fn v6(self) -> bool {
        matches!(self, Kind::Tcp6 | Kind::Udp6)
    }
}

/// A socket option that is on or off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "each is the kernel's option of that name")]
pub enum Opt {
    Reuseaddr,
    Reuseport,
    V6only,
    Freebind,
    /// `SO_LINGER` with zero seconds: close() resets the connection.
    Linger0,
}

impl Opt {
    /// Every option.
    pub const ALL: [Opt; 5] = [Opt::Reuseaddr, Opt::Reuseport, Opt::V6only, Opt::Freebind, Opt::Linger0];

    /// The kernel's name for it.
    pub const fn name(self) -> &'static str {
        match self {
            Opt::Reuseaddr => "SO_REUSEADDR",
            Opt::Reuseport => "SO_REUSEPORT",
            Opt::V6only => "IPV6_V6ONLY",
            Opt::Freebind => "IP_FREEBIND",
            Opt::Linger0 => "SO_LINGER 0",
        }
    }
}

/// The name that bind(2) or connect(2) is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place<'a> {
    /// An IP address and port.
    Inet(SocketAddr),
    /// A path in the file system.
    Path(&'a str),
    /// An abstract unix name, without its leading NUL.
    Abstract(&'a str),
}

/// A signal that the stage sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// SIGKILL; the step ends when the process is gone.
    Kill,
    /// SIGSTOP; the step ends when the process stands still.
    Stop,
    /// SIGCONT.
    Continue,
    /// SIGINT to the process group, as the terminal sends it for Ctrl+C; the step ends when the process is
    /// gone.
    Interrupt,
}

impl Signal {
    /// Every signal.
    pub const ALL: [Signal; 4] = [Signal::Kill, Signal::Stop, Signal::Continue, Signal::Interrupt];

    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Signal::Kill => "SIGKILL",
            Signal::Stop => "SIGSTOP",
            Signal::Continue => "SIGCONT",
            Signal::Interrupt => "SIGINT",
        }
    }
}

/// Something at a path that is no socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Thing {
    /// An empty regular file.
    File,
    /// A directory.
    Directory,
    /// A named pipe.
    Fifo,
    /// A symbolic link to nothing.
    DanglingLink,
}

impl Thing {
    /// Every thing.
    pub const ALL: [Thing; 4] = [Thing::File, Thing::Directory, Thing::Fifo, Thing::DanglingLink];

    /// The shell command that makes one.
    pub const fn command(self) -> &'static str {
        match self {
            Thing::File => "touch",
            Thing::Directory => "mkdir",
            Thing::Fifo => "mkfifo",
            Thing::DanglingLink => "ln -s /nowhere",
        }
    }
}

/// A network interface beside loopback.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Device {
    /// One end of a virtual cable; the other end has a name of the kernel's choice and is up too.
    Veth,
    /// A VXLAN tunnel's end: the kernel itself opens a datagram socket on that port for it.
    Vxlan(u16),
}

/// A row that the stage waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sight {
    /// The TCP row's local address and port.
    pub local: SocketAddr,
    /// Its state.
    pub state: State,
}

impl fmt::Display for Step<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Step::Actor(name, uid) => write!(f, "{name}: a process of uid {uid}"),
            Step::Does(who, act) => write!(f, "{who}: {act}"),
            Step::Fails(who, act, errno) => write!(f, "{who}: {act} = -1 {errno}"),
            Step::Signal(who, signal) => write!(f, "stage: kill({who}, {})", signal.name()),
            Step::Sysctl(key, value) => write!(f, "stage: echo {value} > /proc/sys/{key}"),
            Step::Interface(name, Device::Veth) => write!(f, "stage: ip link add {name} type veth"),
            Step::Interface(name, Device::Vxlan(port)) => {
                write!(f, "stage: ip link add {name} type vxlan dstport {port}")
            }
            Step::Address(name, ip) => write!(f, "stage: ip address add {ip} dev {name}"),
            Step::Create(path, thing) => write!(f, "stage: {} {path}", thing.command()),
            Step::Remove(path) => write!(f, "stage: unlink({path})"),
            Step::Await(sight) => write!(f, "stage: wait until {} is {}", sight.local, sight.state.name()),
        }
    }
}

impl fmt::Display for Act<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Act::Socket(s, kind) => write!(f, "{s} = socket({})", kind.arguments()),
            Act::Set(s, opt, on) => write!(f, "setsockopt({s}, {}, {})", opt.name(), u8::from(*on)),
            Act::Bind(s, place) => write!(f, "bind({s}, {place})"),
            Act::Listen(s, backlog) => write!(f, "listen({s}, {backlog})"),
            Act::ConnectLater(s, place) => write!(f, "connect({s}, {place}) with O_NONBLOCK"),
            Act::Connect(s, place) => write!(f, "connect({s}, {place})"),
            Act::Accept(s, new) => write!(f, "{new} = accept({s})"),
            Act::Send(s, bytes) => write!(f, "send({s}, {bytes} bytes, MSG_DONTWAIT)"),
            Act::Recv(s, bytes) => write!(f, "recv({s}, {bytes} bytes)"),
            Act::ShutdownWrite(s) => write!(f, "shutdown({s}, SHUT_WR)"),
            Act::ShutdownRead(s) => write!(f, "shutdown({s}, SHUT_RD)"),
            Act::Close(s) => write!(f, "close({s})"),
            Act::Fork(child) => write!(f, "fork() = {child}"),
            Act::Exec(words) => {
                f.write_str("execve(")?;
                for (i, word) in words.iter().enumerate() {
                    write!(f, "{}{word}", if i == 0 { "" } else { " " })?;
                }
                f.write_str(")")
            }
            Act::Socketpair(a, b) => write!(f, "socketpair(AF_UNIX, SOCK_STREAM) = {a}, {b}"),
            Act::SendDescriptor(over, what) => write!(f, "sendmsg({over}, SCM_RIGHTS {what})"),
            Act::RingRegister(ring, s) => {
                write!(f, "{ring} = io_uring_setup(); io_uring_register({ring}, IORING_REGISTER_FILES, {s})")
            }
            Act::ThreadWithOwnFiles => f.write_str("pthread_create(); in it: unshare(CLONE_FILES)"),
            Act::EndMainThread => f.write_str("pthread_create(); pthread_exit() in the main thread"),
            Act::OwnSession => f.write_str("setsid()"),
            Act::CloseOnInterrupt => f.write_str("sigaction(SIGINT, close_all_and_exit)"),
            Act::OwnNetwork => f.write_str("unshare(CLONE_NEWNET)"),
            Act::Exit => f.write_str("exit(0)"),
        }
    }
}

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::Inet(address) => address.fmt(f),
            Place::Path(path) => f.write_str(path),
            Place::Abstract(name) => write!(f, "@{name}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    #[test]
    fn a_step_reads_like_the_call_that_it_is() {
        let check = |step: Step<'_>, expect: &str| assert_eq!(step.to_string(), expect);
        let here = "127.0.0.1:8080".parse().unwrap();
        check(Step::Actor("server", 1000), "server: a process of uid 1000");
        check(
            Step::Does("server", Act::Socket("s", Kind::Tcp6)),
            "server: s = socket(AF_INET6, SOCK_STREAM)",
        );
        check(
            Step::Does("server", Act::Set("s", Opt::V6only, true)),
            "server: setsockopt(s, IPV6_V6ONLY, 1)",
        );
        check(Step::Does("server", Act::Bind("s", Place::Inet(here))), "server: bind(s, 127.0.0.1:8080)");
        check(
            Step::Fails("second", Act::Listen("s", 16), Errno::EADDRINUSE),
            "second: listen(s, 16) = -1 EADDRINUSE",
        );
        check(Step::Does("child", Act::Exec(&["sleep", "1000"])), "child: execve(sleep 1000)");
        check(
            Step::Await(Sight { local: here, state: State::TimeWait }),
            "stage: wait until 127.0.0.1:8080 is TIME_WAIT",
        );
    }
}
