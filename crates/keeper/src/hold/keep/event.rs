//! What the handler tells the supervisor.
//!
//! Not here: how it travels (`wire`).

use super::Generation;
use inuse_rules::Address;

/// Something that happened to a kept socket, or that keeps sockets from being kept.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// A generation's first process has the filter.
    Entered {
        /// Which.
        generation: Generation,
        /// no_new_privs was set for want of `CAP_SYS_ADMIN`: set-uid programs below run without their rights.
        no_new_privs: bool,
    },
    /// A generation asked to bind what is not kept, and the kernel decides. Of many in a row some are not told.
    LeftToKernel {
        /// Which.
        generation: Generation,
        /// How.
        bind: Bind,
    },
    /// A generation listens; a datagram socket is bound.
    Listening {
        /// Which.
        generation: Generation,
        /// Where.
        address: Address,
        /// It is the socket of an earlier generation, or one that was bound for it.
        adopted: bool,
    },
    /// A generation asked for a short queue and got a longer one.
    Raised {
        /// Which.
        generation: Generation,
        /// Of which socket.
        address: Address,
        /// What it asked for.
        from: u32,
        /// What it got: `net.core.somaxconn`, most often.
        to: u32,
    },
    /// Two living generations share a socket in a way that one of them may notice.
    Shared {
        /// The one that came later.
        generation: Generation,
        /// Of which socket.
        address: Address,
        /// What they share.
        what: String,
    },
    /// The connections that waited in a queue are lost.
    QueueReset {
        /// Whose act it was.
        generation: Generation,
        /// Of which socket.
        address: Address,
        /// Why.
        why: String,
    },
    /// A kept socket that a generation did not bind by the time that it was ready, or could not get.
    Unclaimed {
        /// The generation.
        generation: Generation,
        /// Where.
        address: Address,
        /// The name under which it was bound for the program.
        name: Option<String>,
        /// Connections that waited in its queue, where that is known.
        waiting: Option<u32>,
        /// It is no longer kept. What was bound for the program stays.
        dropped: bool,
        /// Why it was not taken.
        why: String,
    },
    /// Something makes keeping impossible; one sentence with what to do. Each is said once.
    Impossible {
        /// The sentence.
        sentence: String,
    },
    /// The stand-in, which answers when the supervisor is killed, was killed itself.
    StandInLost {
        /// Another one is there. If not, another one is tried every second.
        replaced: bool,
    },
    /// So many events could not be told, since the supervisor did not read.
    Lost {
        /// How many.
        count: u32,
    },
}

/// A bind as the kernel is asked for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bind {
    /// Where.
    pub address: Address,
    /// SO_REUSEADDR is set.
    pub reuseaddr: bool,
    /// SO_REUSEPORT is set.
    pub reuseport: bool,
    /// IPV6_V6ONLY is set, or the address leaves IPv4 out anyway.
    pub v6only: bool,
}

/// A kept socket as it is now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// Where.
    pub address: Address,
    /// The name under which it was bound for the program.
    pub name: Option<String>,
    /// It accepts connections. A datagram socket never does.
    pub listening: bool,
    /// Connections that wait to be accepted, and how many may, for TCP.
    pub queue: Option<(u32, u32)>,
    /// The living generations that have it, oldest first.
    pub generations: Vec<Generation>,
}
