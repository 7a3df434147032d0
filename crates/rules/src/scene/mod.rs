//! The scenes: every cause that one machine can stage, as data.
//!
//! A scene says how to bring the situation about, what is then attempted, and, *written by hand after
//! looking at the real kernel*, what a bind must answer and what the cause must be called. Nothing in
//! these expectations is computed by [`judge()`](fn@crate::judge): they are what it is held against.
//!
//! Each scene has a twin: a scene that looks much like it and must get another name.
//! Not here: playing them (the lab crate).

mod elsewhere;
mod holders;
mod leftovers;
pub mod lesson;
mod options;
mod overlaps;
mod refusals;
mod step;
mod unix;

pub use step::{Act, Device, Kind, Opt, Place, Sight, Signal, Step, Thing};

use crate::address::{Address, Transport, UnixKind, UnixName};
use crate::attempt::Attempt;
use crate::cause::Cause;
use crate::socket::State;
use crate::verdict::{Call, Errno};
use alloc::vec::Vec;
use core::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};

/// A situation with its name, its staging and its hand-written answers.
#[derive(Clone, Copy, Debug)]
pub struct Scene {
    /// Its name: the cause's code, or that and what is special.
    pub name: &'static str,
    /// *The* cause that must come out.
    pub cause: Cause,
    /// Causes that must be among those listed under *also*.
    pub also: &'static [Cause],
    /// What happened, in two or three plain sentences.
    pub story: &'static str,
    /// How to bring it about: lists of steps, played one after the other.
    pub acts: &'static [&'static [Step<'static>]],
    /// What is then attempted.
    pub attempt: Wanted,
    /// What the kernel answers to it.
    pub expect: Expect,
    /// The name of a scene that looks much like this one and has another cause.
    pub twin: &'static str,
    /// Who asks why.
    pub asker: AskedBy,
}

impl Scene {
    /// Its steps, in order.
    pub fn steps(&self) -> impl Iterator<Item = &'static Step<'static>> + use<> {
        self.acts.iter().flat_map(|act| act.iter())
    }

    /// What the machine must offer for it, read off its steps.
    pub fn needs(&self) -> Vec<Need> {
        let mut needs = needs(self.steps());
        let mut add = |need, wanted: bool| {
            if wanted && !needs.contains(&need) {
                needs.push(need);
            }
        };
        let others = matches!(self.asker, AskedBy::User(1..) | AskedBy::Outside) || self.attempt.uid != 0;
        add(Need::Uids, others);
        add(Need::Ipv6, self.attempt.kind.v6());
        needs
    }
}

/// What the machine must offer for these steps.
fn needs(steps: impl Iterator<Item = &'static Step<'static>>) -> Vec<Need> {
    let mut needs = Vec::new();
    for step in steps {
        let need = match step {
            Step::Actor(_, 1..) => Need::Uids,
            Step::Does(_, Act::Socket(_, kind)) if kind.v6() => Need::Ipv6,
            Step::Does(_, Act::RingRegister(..)) => Need::IoUring,
            _ => continue,
        };
        if !needs.contains(&need) {
            needs.push(need);
        }
    }
    needs
}

/// Who asks why the attempt fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AskedBy {
    /// A process of its own, of that uid: somebody types a command.
    User(u32),
    /// That actor, about its own bind: a program that uses the library.
    Actor(&'static str),
    /// Root of the machine, who sees every process, about the stage's network namespace.
    Outside,
}

/// What the machine must offer for a scene, beyond namespaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// Processes of several users: staging as root.
    Uids,
    /// IPv6.
    Ipv6,
    /// io_uring_setup(2) permitted.
    IoUring,
}

impl Need {
    /// In words.
    pub const fn says(self) -> &'static str {
        match self {
            Need::Uids => "processes of several users (run it as root)",
            Need::Ipv6 => "IPv6",
            Need::IoUring => "io_uring (see the sysctl kernel.io_uring_disabled)",
        }
    }
}

/// The attempt of a scene, as static data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// The socket.
    pub kind: Kind,
    /// The name to bind.
    pub place: Place<'static>,
    /// `SO_REUSEADDR`, in the attempt whose verdict counts.
    pub reuseaddr: bool,
    /// `SO_REUSEPORT`, in the attempt whose verdict counts.
    pub reuseport: bool,
    /// `IPV6_V6ONLY`.
    pub v6only: bool,
    /// The effective uid.
    pub uid: u32,
}

impl Wanted {
    /// A plain bind of that name by root.
    pub const fn plain(kind: Kind, place: Place<'static>) -> Wanted {
        Wanted { kind, place, reuseaddr: false, reuseport: false, v6only: false, uid: 0 }
    }

    /// A plain TCP bind by root.
    pub const fn tcp(local: SocketAddr) -> Wanted {
        let kind = if local.is_ipv4() { Kind::Tcp4 } else { Kind::Tcp6 };
        Wanted::plain(kind, Place::Inet(local))
    }

    /// A plain UDP bind by root.
    pub const fn udp(local: SocketAddr) -> Wanted {
        let kind = if local.is_ipv4() { Kind::Udp4 } else { Kind::Udp6 };
        Wanted::plain(kind, Place::Inet(local))
    }

    /// A plain bind of a unix stream socket to a path.
    pub const fn path(path: &'static str) -> Wanted {
        Wanted::plain(Kind::UnixStream, Place::Path(path))
    }

    /// The same by another user.
    pub const fn by(self, uid: u32) -> Wanted {
        Wanted { uid, ..self }
    }

    /// The same with these two options.
    pub const fn with(self, reuseaddr: bool, reuseport: bool) -> Wanted {
        Wanted { reuseaddr, reuseport, ..self }
    }

    /// The same with `IPV6_V6ONLY`.
    pub const fn v6only(self) -> Wanted {
        Wanted { v6only: true, ..self }
    }

    /// The attempt in the words that judgements take.
    pub fn attempt(&self) -> Attempt {
        let unix = |kind, place: Place<'_>| Address::Unix {
            kind,
            name: match place {
                Place::Path(path) => UnixName::Path(path.as_bytes().to_vec()),
                Place::Abstract(name) => UnixName::Abstract(name.as_bytes().to_vec()),
                Place::Inet(_) => UnixName::Unnamed,
            },
        };
        let address = match (self.kind, self.place) {
            (Kind::Udp4 | Kind::Udp6, Place::Inet(local)) => {
                Address::Inet { transport: Transport::Udp, local, device: 0 }
            }
            (_, Place::Inet(local)) => Address::Inet { transport: Transport::Tcp, local, device: 0 },
            (Kind::UnixDatagram, place) => unix(UnixKind::Datagram, place),
            (Kind::UnixSeqpacket, place) => unix(UnixKind::Seqpacket, place),
            (_, place) => unix(UnixKind::Stream, place),
        };
        Attempt {
            reuseaddr: self.reuseaddr,
            reuseport: self.reuseport,
            v6only: self.v6only,
            uid: self.uid,
            net_bind_service: self.uid == 0,
            ..Attempt::plain(address)
        }
    }
}

/// The kernel's answers to the attempt with neither option, with SO_REUSEADDR, and with SO_REUSEPORT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Expect {
    /// Neither option.
    pub plain: Answer,
    /// `SO_REUSEADDR` alone.
    pub reuseaddr: Answer,
    /// `SO_REUSEPORT` alone.
    pub reuseport: Answer,
}

impl Expect {
    /// The same answer, whatever the options.
    const fn always(answer: Answer) -> Expect {
        Expect { plain: answer, reuseaddr: answer, reuseport: answer }
    }
}

/// One answer: `None` when socket, options, bind and listen all succeed.
pub type Answer = Option<(Errno, Call)>;

const OK: Answer = None;
const IN_USE: Answer = Some((Errno::EADDRINUSE, Call::Bind));

/// Every scene.
pub fn all() -> impl Iterator<Item = &'static Scene> {
    GROUPS.into_iter().flat_map(|(_, scenes)| scenes)
}

/// The scenes by what they are about.
pub const GROUPS: [(&str, &[Scene]); 7] = [
    ("Who has the address", holders::SCENES),
    ("What a server leaves behind", leftovers::SCENES),
    ("Addresses that overlap, or do not", overlaps::SCENES),
    ("Options of both sides", options::SCENES),
    ("Other refusals", refusals::SCENES),
    ("Unix sockets", unix::SCENES),
    ("Nothing in the way", elsewhere::SCENES),
];

/// The scene of that name.
pub fn by_name(name: &str) -> Option<&'static Scene> {
    all().find(|scene| scene.name == name)
}

/// The port of most scenes.
const P: u16 = 8080;
/// `127.0.0.1:8080`.
const HERE: SocketAddr = v4(Ipv4Addr::LOCALHOST, P);
/// `127.0.0.1:8081`, for what needs two ports.
const NEXT_DOOR: SocketAddr = v4(Ipv4Addr::LOCALHOST, P + 1);
/// `0.0.0.0:8080`.
const ANY: SocketAddr = v4(Ipv4Addr::UNSPECIFIED, P);
/// `[::1]:8080`.
const HERE6: SocketAddr = v6(Ipv6Addr::LOCALHOST, P);
/// `[::]:8080`.
const ANY6: SocketAddr = v6(Ipv6Addr::UNSPECIFIED, P);
/// An ordinary user.
const TOM: u32 = 1000;
/// Another one.
const ANN: u32 = 1001;

const fn v4(ip: Ipv4Addr, port: u16) -> SocketAddr {
    SocketAddr::V4(SocketAddrV4::new(ip, port))
}

const fn v6(ip: Ipv6Addr, port: u16) -> SocketAddr {
    SocketAddr::V6(SocketAddrV6::new(ip, port, 0, 0))
}

/// A TCP row that the stage waits for.
const fn row(local: SocketAddr, state: State) -> Step<'static> {
    Step::Await(Sight { local, state })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_each_twin_has_another_cause() {
        for scene in all() {
            assert_eq!(all().filter(|other| other.name == scene.name).count(), 1, "{}", scene.name);
            let twin =
                by_name(scene.twin).unwrap_or_else(|| panic!("{}: no twin {}", scene.name, scene.twin));
            assert_ne!(twin.cause, scene.cause, "{} and its twin {}", scene.name, twin.name);
            assert!(!scene.also.contains(&scene.cause), "{}", scene.name);
            assert!(scene.name.starts_with(scene.cause.code()), "{} is named for its cause", scene.name);
        }
    }

    #[test]
    fn steps_speak_of_actors_and_sockets_that_exist() {
        for scene in all() {
            let mut actors = alloc::vec!["stage"];
            for step in scene.steps() {
                match step {
                    Step::Actor(name, _) => actors.push(name),
                    Step::Does(who, act) => {
                        assert!(actors.contains(who), "{}: {step}", scene.name);
                        if let Act::Fork(child) = act {
                            actors.push(child);
                        }
                    }
                    Step::Fails(who, _, _) | Step::Signal(who, _) => {
                        assert!(actors.contains(who), "{}: {step}", scene.name);
                    }
                    _ => {}
                }
                // A process name is cut off after 15 bytes.
                assert!(actors.iter().all(|name| name.len() <= 15), "{}", scene.name);
            }
        }
    }
}
