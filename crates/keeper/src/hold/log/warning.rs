//! What may become trouble, and what is not as it was asked for.

use super::words;
use std::fmt;

/// What is told with every reason why nothing is kept.
const WITHOUT: &str = "it runs without that, and a restart ends the old process before it starts the new one";

/// Each of them, with what it is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Warning {
    /// A port may be given to an outgoing connection.
    EphemeralPort {
        /// Which.
        port: u16,
    },
    /// More sockets than most programs take.
    ManySockets {
        /// So many.
        count: usize,
    },
    /// `inuse ctl` cannot reach the supervisor.
    NoCtl {
        /// Why.
        error: String,
    },
    /// Listeners are not kept, all or some of them.
    NotKept {
        /// Why, and what helps.
        why: String,
        /// What is bound for the program is given to it instead.
        given: bool,
    },
    /// A listener that the filter did not see.
    NotSeen {
        /// Where.
        address: String,
    },
    /// A generation does not wait where it was given a socket.
    NotWaiting {
        /// Which.
        generation: u32,
        /// Where.
        addresses: Vec<String>,
    },
    /// Two generations share a socket in a way that one may notice.
    Shared {
        /// The one that came later.
        generation: u32,
        /// Of which socket.
        address: String,
        /// What they share.
        what: String,
    },
    /// What waited in a queue is lost.
    QueueReset {
        /// Whose act it was.
        generation: u32,
        /// Of which socket.
        address: String,
        /// Why.
        why: String,
    },
    /// A kept socket that a generation did not take.
    Unclaimed {
        /// Which generation.
        generation: u32,
        /// Where.
        address: String,
        /// Connections in its queue, where that is known.
        waiting: Option<u32>,
        /// It is no longer kept.
        dropped: bool,
        /// Why.
        why: String,
    },
    /// The process that answers when the supervisor is killed was killed itself.
    StandInLost {
        /// Another one is there.
        replaced: bool,
    },
    /// Events of kept listeners that could not be told.
    Lost {
        /// So many.
        count: u32,
    },
    /// A program shut its listener down.
    ShutDown {
        /// Which.
        address: String,
        /// It listens again.
        again: bool,
    },
    /// A program changed the flag that all generations share.
    Nonblocking {
        /// Of which socket.
        address: String,
        /// It is set now.
        set: bool,
    },
}

words! {
    Warning, about, ABOUT:
    EphemeralPort "ephemeral-port",
    ManySockets "many-sockets",
    NoCtl "no-ctl",
    NotKept "not-kept",
    NotSeen "not-seen",
    NotWaiting "not-waiting",
    Shared "shared",
    QueueReset "queue-reset",
    Unclaimed "unclaimed",
    StandInLost "stand-in-lost",
    Lost "lost",
    ShutDown "shut-down",
    Nonblocking "nonblocking",
}

impl Warning {
    /// The generation that it is about.
    pub fn generation(&self) -> Option<u32> {
        match self {
            Warning::NotWaiting { generation, .. }
            | Warning::Shared { generation, .. }
            | Warning::QueueReset { generation, .. }
            | Warning::Unclaimed { generation, .. } => Some(*generation),
            _ => None,
        }
    }
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Warning::EphemeralPort { port } => write!(
                f,
                "port {port} lies in the range for outgoing connections (net.ipv4.ip_local_port_range): while nobody \
                 holds it, any of them may be given it"
            ),
            Warning::ManySockets { count } => write!(f, "{count} sockets are more than most programs take"),
            Warning::NoCtl { error } => write!(f, "'inuse ctl' cannot reach this supervisor: {error}"),
            Warning::NotKept { why, given } => {
                let given = if *given { ", and is given what -l binds by LISTEN_FDS" } else { "" };
                write!(f, "{why}; {WITHOUT}{given}")
            }
            Warning::NotSeen { address } => write!(
                f,
                "{address} cannot be kept, since the filter does not see how the program listens there (through an \
                 io_uring, or with 32 bits): have it bound with -l ADDR; {WITHOUT}"
            ),
            Warning::NotWaiting { generation, addresses } => write!(
                f,
                "generation {generation} does not wait for connections on {}: does it know LISTEN_FDS?",
                addresses.join(", ")
            ),
            Warning::Shared { generation, address, what } => {
                write!(f, "generation {generation} and one before it share {address}, and with it {what}")
            }
            Warning::QueueReset { address, why, .. } => write!(f, "the queue of {address} was reset: {why}"),
            Warning::Unclaimed { address, waiting, dropped, why, .. } => {
                let kept = match dropped {
                    true => "is no longer kept",
                    false => "is kept for the program, which did not take it",
                };
                write!(f, "{address} {kept}: {why}")?;
                match waiting {
                    Some(waiting @ 1..) if *dropped => {
                        write!(f, "; {waiting} connections in its queue were lost")
                    }
                    Some(waiting @ 1..) => write!(f, "; {waiting} connections wait in its queue"),
                    _ => Ok(()),
                }
            }
            Warning::StandInLost { replaced: true } => f.write_str(
                "the process that answers when this one is killed was killed itself; another took its place",
            ),
            Warning::StandInLost { replaced: false } => f.write_str(
                "the process that answers when this one is killed was killed itself, and another cannot be started: \
                 should this one be killed now, what runs can bind nothing new",
            ),
            Warning::Lost { count } => {
                write!(f, "{count} events of kept listeners came too fast to be told")
            }
            Warning::ShutDown { address, again: true } => write!(
                f,
                "{address} was shut down by the program and listens again; connections in its queue were lost"
            ),
            Warning::ShutDown { address, again: false } => {
                write!(f, "{address} was shut down by the program and cannot listen again")
            }
            Warning::Nonblocking { address, set } => {
                let how = if *set { "set" } else { "took away" };
                write!(f, "the program {how} O_NONBLOCK on {address}; all generations share that flag")
            }
        }
    }
}
