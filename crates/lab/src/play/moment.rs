//! What there is to tell at one moment of a play. Not here: how it looks.

use crate::stage::{End, Segment};
use inuse_bind::Report;
use inuse_rules::cure::Cure;
use inuse_rules::scene::{Act, Device, Step};
use inuse_rules::socket::State;
use inuse_rules::{Cause, Errno};
use std::net::SocketAddr;
use std::time::Duration;

/// One part of a play, played.
#[derive(Clone, Debug)]
pub struct Moment {
    /// Counted from 1.
    pub number: usize,
    /// Since the beginning.
    pub after: Duration,
    /// What a reader should know about it.
    pub says: String,
    /// What was done, one thing after the other.
    pub acts: Vec<Acted>,
    /// What kind of moment it is, and what belongs to that.
    pub told: Told,
}

/// The kinds of moments.
#[derive(Clone, Debug)]
pub enum Told {
    /// The actors do something.
    Steps,
    /// They do it again.
    Round {
        /// Which time, counted from 1.
        number: u32,
        /// Of how many.
        of: u32,
    },
    /// It was asked why.
    Why {
        /// The answer.
        report: Box<Report>,
        /// The cause that the scene states.
        expected: Cause,
        /// Whether it came out.
        as_told: bool,
    },
    /// The program is changed.
    Change,
    /// A cure was carried out.
    Cure(Box<Cure>),
    /// No cure can be carried out on a stage.
    NoCure,
    /// It is being waited.
    Waiting {
        /// For what.
        at: SocketAddr,
        /// How long it has been in its state.
        passed: Duration,
    },
    /// The wait is over.
    Waited {
        /// For what.
        at: SocketAddr,
        /// How long it was in its state.
        passed: Duration,
        /// Whether that is what the scene states.
        as_told: bool,
        /// Seconds.
        at_least: u32,
        /// Seconds.
        at_most: u32,
    },
}

impl Told {
    /// The stable word for it in JSON.
    pub const fn kind(&self) -> &'static str {
        match self {
            Told::Steps => "steps",
            Told::Round { .. } => "round",
            Told::Why { .. } => "why",
            Told::Change => "change",
            Told::Cure(_) => "cure",
            Told::NoCure => "no-cure",
            Told::Waiting { .. } => "waiting",
            Told::Waited { .. } => "waited",
        }
    }
}

/// One call, and what was to be seen after it.
#[derive(Clone, Debug)]
pub struct Acted {
    /// Who.
    pub who: String,
    /// What, as the C call that it is.
    pub call: String,
    /// For a bind or listen: `None` when it succeeded, else why not.
    pub bind: Option<Option<Errno>>,
    /// Every socket that the kernel shows.
    pub ends: Vec<Seen>,
    /// What the kernel no longer shows.
    pub gone: Vec<Gone>,
    /// Segments that passed.
    pub segments: Vec<Segment>,
}

impl Acted {
    /// The errno, where it was refused.
    pub fn refused(&self) -> Option<Errno> {
        self.bind.flatten()
    }
}

/// A socket, and whose it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Names this socket for the length of a play, through the change to a small time-wait socket.
    pub id: usize,
    /// The actor that has it open, or had.
    pub whose: String,
    /// The socket.
    pub end: End,
    /// Its state at the last look; `None` when it is new.
    pub before: Option<State>,
    /// Whether anything about it is new.
    pub news: bool,
}

/// A socket that is gone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gone {
    /// As of [`Seen`].
    pub id: usize,
    /// Whose it was.
    pub whose: String,
    /// Its local address.
    pub local: String,
    /// The state in which it was last seen.
    pub state: State,
}

/// Who does it, and the call.
pub(super) fn as_told(step: &Step<'_>) -> (String, String) {
    match step {
        Step::Actor(name, uid) => ((*name).to_owned(), format!("a new process of uid {uid}")),
        Step::Does(who, act) => ((*who).to_owned(), act.to_string()),
        Step::Fails(who, act, errno) => ((*who).to_owned(), format!("{act} = -1 {errno}")),
        Step::Signal(who, signal) => ("terminal".into(), format!("kill({who}, {})", signal.name())),
        Step::Await(sight) => ("kernel".into(), format!("{} is {}", sight.local, sight.state.name())),
        Step::Sysctl(key, value) => ("root".into(), format!("sysctl -w {}={value}", key.replace('/', "."))),
        Step::Interface(name, Device::Veth) => ("root".into(), format!("ip link add {name} type veth")),
        Step::Interface(name, Device::Vxlan(port)) => {
            ("root".into(), format!("ip link add {name} type vxlan dstport {port}"))
        }
        Step::Address(name, ip) => ("root".into(), format!("ip address add {ip} dev {name}")),
        Step::Create(path, thing) => ("root".into(), format!("{} {path}", thing.command())),
        Step::Remove(path) => ("root".into(), format!("rm {path}")),
    }
}

/// For a step that binds or listens: how it came out.
pub(super) fn answer(step: &Step<'_>) -> Option<Option<Errno>> {
    match step {
        Step::Does(_, Act::Bind(..) | Act::Listen(..)) => Some(None),
        Step::Fails(_, _, errno) => Some(Some(*errno)),
        _ => None,
    }
}
