//! Where a play is played: private namespaces where they are to be had, else free loopback ports of the
//! machine, for plays that need no more than loopback.

use super::PlayError;
use crate::stage::{Stage, StageError};
use inuse_rules::scene::lesson::Play;
use inuse_rules::scene::{Act, AskedBy, Place, Sight, Step, Wanted};
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, socket_with};
use std::net::{Ipv4Addr, SocketAddr};

/// The ports of the plays that use nothing but loopback.
const PORTS: [u16; 2] = [8080, 8081];
/// Where free ports are looked for: below the range that outgoing connections get theirs from.
const FROM: u16 = 8080;
const TO: u16 = 9080;

/// The place of a play.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ground {
    /// User, network, pid and mount namespaces, or all of these but the first.
    Namespace {
        /// A process whose network namespace it is, as this machine numbers it.
        pid: u32,
        /// Whether there is a user namespace too.
        of_a_user: bool,
    },
    /// Ports of the machine's own loopback.
    Loopback {
        /// The ports that stand for those of the scene, in the same order.
        ports: [u16; 2],
        /// Why there are no namespaces.
        why: String,
    },
}

/// Opens the best place that this play can have.
pub(super) fn find(play: &Play) -> Result<(Stage, Ground), PlayError> {
    let why = match Stage::open() {
        Ok(stage) => {
            if let Some(need) = play.needs().into_iter().find(|need| !stage.offers(*need)) {
                return Err(PlayError::Unavailable(format!("it needs {}", need.says())));
            }
            let pid = stage.helper_pid();
            let ours = std::fs::read_link("/proc/self/ns/user").ok();
            let of_a_user = std::fs::read_link(format!("/proc/{pid}/ns/user")).ok() != ours;
            return Ok((stage, Ground::Namespace { pid, of_a_user }));
        }
        Err(StageError::Unavailable(why)) => why,
        Err(error) => return Err(error.into()),
    };
    if !needs_only_loopback(play) {
        return Err(PlayError::Unavailable(format!(
            "it needs namespaces of its own, which this machine does not give ({why}); run it as root"
        )));
    }
    let ports = free_ports().ok_or_else(|| {
        PlayError::Unavailable(format!("no two ports in a row from {FROM} to {TO} are free"))
    })?;
    Ok((Stage::here()?, Ground::Loopback { ports, why }))
}

/// Whether nothing of it could be felt beyond loopback.
pub fn needs_only_loopback(play: &Play) -> bool {
    let inet = |at: &SocketAddr| at.ip().is_loopback() && PORTS.contains(&at.port());
    let place = |place: &Place<'_>| matches!(place, Place::Inet(at) if inet(at));
    let step = |step: &Step<'static>| match step {
        Step::Actor(_, uid) => *uid == 0,
        Step::Does(_, Act::Bind(_, at) | Act::Connect(_, at) | Act::ConnectLater(_, at)) => place(at),
        // What is refused is felt by nobody.
        Step::Fails(_, Act::Bind(_, Place::Inet(at)), _) => PORTS.contains(&at.port()),
        Step::Await(sight) => inet(&sight.local),
        Step::Does(_, Act::OwnNetwork) => false,
        Step::Does(..) | Step::Fails(..) | Step::Signal(..) => true,
        Step::Sysctl(..) | Step::Interface(..) | Step::Address(..) | Step::Create(..) | Step::Remove(_) => {
            false
        }
    };
    let attempt = match play {
        Play::Lesson(_) => true,
        Play::Scene(scene) => {
            let listens = scene.steps().any(|step| matches!(step, Step::Does(_, Act::Listen(..))));
            place(&scene.attempt.place) && matches!(scene.asker, AskedBy::User(0)) && listens
        }
    };
    attempt && play.steps().into_iter().all(step)
}

/// Two free ports in a row on every loopback address that plays use, tried by binds without any option.
fn free_ports() -> Option<[u16; 2]> {
    let free = |port: u16| {
        let socket = socket_with(AddressFamily::INET, SocketType::STREAM, SocketFlags::CLOEXEC, None).ok()?;
        // Another one on any address would be in the way too.
        bind(&socket, &SocketAddr::from((Ipv4Addr::UNSPECIFIED, port))).ok()
    };
    (FROM..TO)
        .step_by(2)
        .map(|port| [port, port + 1])
        .find(|ports| ports.iter().all(|port| free(*port).is_some()))
}

impl Ground {
    /// The ports to look at; none means all.
    pub fn ports(&self) -> &[u16] {
        match self {
            Ground::Namespace { .. } => &[],
            Ground::Loopback { ports, .. } => ports,
        }
    }

    fn address(&self, mut at: SocketAddr) -> SocketAddr {
        if let Ground::Loopback { ports, .. } = self
            && let Some((_, port)) = PORTS.iter().zip(ports).find(|(known, _)| **known == at.port())
        {
            at.set_port(*port);
        }
        at
    }

    fn place<'a>(&self, place: Place<'a>) -> Place<'a> {
        match place {
            Place::Inet(at) => Place::Inet(self.address(at)),
            other => other,
        }
    }

    fn act(&self, act: Act<'static>) -> Act<'static> {
        match act {
            Act::Bind(s, place) => Act::Bind(s, self.place(place)),
            Act::Connect(s, place) => Act::Connect(s, self.place(place)),
            Act::ConnectLater(s, place) => Act::ConnectLater(s, self.place(place)),
            other => other,
        }
    }

    /// A step on this ground's ports.
    pub(super) fn moved(&self, step: &Step<'static>) -> Step<'static> {
        match *step {
            Step::Does(who, act) => Step::Does(who, self.act(act)),
            Step::Fails(who, act, errno) => Step::Fails(who, self.act(act), errno),
            Step::Await(Sight { local, state }) => Step::Await(Sight { local: self.address(local), state }),
            other => other,
        }
    }

    /// An attempt on this ground's ports. Without namespaces it is the caller's own.
    pub(super) fn wanted(&self, wanted: &Wanted) -> Wanted {
        Wanted { place: self.place(wanted.place), ..*wanted }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lessons_but_one_need_only_loopback() {
        let check = |name: &str, expect| {
            assert_eq!(needs_only_loopback(&Play::by_name(name).unwrap()), expect, "{name}");
        };
        check("time-wait", true);
        check("different-local-addresses", true);
        check("ctrl-c-and-the-child", true);
        check("wait-it-out", false);
        check("listener", true);
        check("wildcard-vs-specific", false);
        check("ephemeral-collision", false);
        check("unix-live", false);
        check("time-wait-reuseport", false);
    }

    #[test]
    fn ports_move_together() {
        let ground = Ground::Loopback { ports: [9000, 9001], why: String::new() };
        let moved = |at: &str| ground.address(at.parse().unwrap()).to_string();
        assert_eq!(moved("127.0.0.1:8080"), "127.0.0.1:9000");
        assert_eq!(moved("127.0.0.2:8081"), "127.0.0.2:9001");
        assert_eq!(moved("127.0.0.1:5432"), "127.0.0.1:5432");
    }
}
