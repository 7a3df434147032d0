//! Scenes about what a server leaves behind: connections and their remains after the listener is gone.
//!
//! Not here: leftovers that matter because addresses overlap (`overlaps`).

use super::Act::*;
use super::Kind::*;
use super::Place::Inet;
use super::Step::*;
use super::holders::SERVER;
use super::{ANN, AskedBy, Expect, HERE, IN_USE, OK, Opt, Scene, Step, TOM, Wanted, row};
use crate::cause::Cause;
use crate::socket::State;

/// As `SERVER`, by a careful programmer: with SO_REUSEADDR.
pub(super) const CAREFUL_SERVER: &[Step<'static>] = &[
    Actor("server", 0),
    Does("server", Socket("s", Tcp4)),
    Does("server", Set("s", Opt::Reuseaddr, true)),
    Does("server", Bind("s", Inet(HERE))),
    Does("server", Listen("s", 16)),
];

/// As `SERVER`, with SO_REUSEPORT, of the user 1000.
const SHARING_SERVER: &[Step<'static>] = &[
    Actor("server", TOM),
    Does("server", Socket("s", Tcp4)),
    Does("server", Set("s", Opt::Reuseport, true)),
    Does("server", Bind("s", Inet(HERE))),
    Does("server", Listen("s", 16)),
];

/// A client of that server, accepted.
pub(super) const CLIENT: &[Step<'static>] = &[
    Actor("client", 0),
    Does("client", Socket("c", Tcp4)),
    Does("client", Connect("c", Inet(HERE))),
    Does("server", Accept("s", "a")),
];

/// The server closes first, the client afterwards: a TIME_WAIT on the server's side. Were the client in
/// haste, a second copy of the server's FIN might find the client's socket gone, and the RST that answers
/// it would end the TIME_WAIT (RFC 1337).
const SERVER_CLOSES_FIRST: &[Step<'static>] = &[
    Does("server", Close("a")),
    row(HERE, State::FinWait2),
    Does("client", Close("c")),
    Does("server", Exit),
    row(HERE, State::TimeWait),
];

/// The server exits and the client never closes its end.
const SERVER_EXITS: &[Step<'static>] = &[Does("server", Exit), row(HERE, State::FinWait2)];

pub(super) const SCENES: &[Scene] = &[
    Scene {
        name: "time-wait",
        cause: Cause::TimeWait,
        also: &[],
        story: "The server closed a connection first and exited. The remains of the connection keep the \
                port for a minute, and since the server had not set SO_REUSEADDR, setting it now is no use.",
        acts: &[SERVER, CLIENT, SERVER_CLOSES_FIRST],
        attempt: Wanted::tcp(HERE),
        expect: Expect::always(IN_USE),
        twin: "fin-wait-2",
        asker: AskedBy::User(0),
    },
    Scene {
        name: "time-wait-reuseaddr",
        cause: Cause::TimeWait,
        also: &[],
        story: "A server with SO_REUSEADDR closed first and left a TIME_WAIT. A successor that sets it too can bind at \
                once.",
        acts: &[CAREFUL_SERVER, CLIENT, SERVER_CLOSES_FIRST],
        attempt: Wanted::tcp(HERE),
        expect: Expect { plain: IN_USE, reuseaddr: OK, reuseport: IN_USE },
        twin: "free-after-reuseaddr",
        asker: AskedBy::User(0),
    },
    Scene {
        name: "time-wait-reuseport",
        cause: Cause::TimeWait,
        also: &[],
        story: "The remains of a server with SO_REUSEPORT. A successor that sets it can bind, whoever runs it: a \
                TIME_WAIT has no user.",
        acts: &[SHARING_SERVER, CLIENT, SERVER_CLOSES_FIRST],
        attempt: Wanted::tcp(HERE).by(ANN),
        expect: Expect { plain: IN_USE, reuseaddr: IN_USE, reuseport: OK },
        twin: "reuseport-mismatch",
        asker: AskedBy::User(ANN),
    },
    Scene {
        name: "free-after-reuseaddr",
        cause: Cause::Free,
        also: &[],
        story: "A TIME_WAIT of a server with SO_REUSEADDR, and a successor that sets the option as well: \
                nothing stands in its way.",
        acts: &[CAREFUL_SERVER, CLIENT, SERVER_CLOSES_FIRST],
        attempt: Wanted::tcp(HERE).with(true, false),
        expect: Expect { plain: IN_USE, reuseaddr: OK, reuseport: IN_USE },
        twin: "time-wait-reuseaddr",
        asker: AskedBy::User(0),
    },
    Scene {
        name: "free-peer-closed-first",
        cause: Cause::Free,
        also: &[],
        story: "The client closed the connection first: the TIME_WAIT is on its side, under its port, and \
                the server's port is free at once.",
        acts: &[
            SERVER,
            CLIENT,
            &[
                Does("client", ShutdownWrite("c")),
                row(HERE, State::CloseWait),
                Does("server", Exit),
                Does("client", Close("c")),
            ],
        ],
        attempt: Wanted::tcp(HERE),
        expect: Expect::always(OK),
        twin: "time-wait",
        asker: AskedBy::User(0),
    },
    Scene {
        name: "fin-wait-2",
        cause: Cause::FinWait2,
        also: &[],
        story: "The server is gone, and its client has not closed its end. The kernel waits for the client \
                for tcp_fin_timeout, with nobody to own the socket.",
        acts: &[SERVER, CLIENT, SERVER_EXITS],
        attempt: Wanted::tcp(HERE),
        expect: Expect::always(IN_USE),
        twin: "time-wait",
        asker: AskedBy::User(0),
    },
    Scene {
        name: "fin-wait-2-reuseaddr",
        cause: Cause::FinWait2,
        also: &[],
        story: "A server with SO_REUSEADDR ended, and its client does not close: a successor that sets the option too \
                can bind.",
        acts: &[CAREFUL_SERVER, CLIENT, SERVER_EXITS],
        attempt: Wanted::tcp(HERE),
        expect: Expect { plain: IN_USE, reuseaddr: OK, reuseport: IN_USE },
        twin: "time-wait-reuseaddr",
        asker: AskedBy::User(0),
    },
    Scene {
        name: "close-wait",
        cause: Cause::CloseWait,
        also: &[],
        story: "A process stopped listening and leaks a connection that its client closed long ago.",
        acts: &[
            SERVER,
            CLIENT,
            &[Does("server", Close("s")), Does("client", Close("c")), row(HERE, State::CloseWait)],
        ],
        attempt: Wanted::tcp(HERE),
        expect: Expect::always(IN_USE),
        twin: "established-leftover",
        asker: AskedBy::User(0),
    },
    Scene {
        name: "established-leftover",
        cause: Cause::EstablishedLeftover,
        also: &[],
        story: "A server closed its listener to finish its connections in peace, and one of them goes on.",
        acts: &[SERVER, CLIENT, &[Does("server", Close("s"))]],
        attempt: Wanted::tcp(HERE),
        expect: Expect::always(IN_USE),
        twin: "close-wait",
        asker: AskedBy::User(0),
    },
    Scene {
        name: "closing-orphan",
        cause: Cause::ClosingOrphan,
        also: &[],
        story: "The server sent much, closed and exited. Its client does not read, so the kernel still has \
                bytes to deliver for a process that is gone.",
        acts: &[
            SERVER,
            CLIENT,
            &[Does("server", Send("a", 16 << 20)), Does("server", Exit), row(HERE, State::FinWait1)],
        ],
        attempt: Wanted::tcp(HERE),
        expect: Expect::always(IN_USE),
        twin: "fin-wait-2",
        asker: AskedBy::User(0),
    },
    Scene {
        name: "closing-orphan-last-ack",
        cause: Cause::ClosingOrphan,
        also: &[],
        story: "The client had said that it would send no more, and does not read. The server sent much and exited: \
                the last of it is still to be delivered.",
        acts: &[
            SERVER,
            CLIENT,
            &[
                Does("client", ShutdownWrite("c")),
                row(HERE, State::CloseWait),
                Does("server", Send("a", 16 << 20)),
                Does("server", Exit),
                row(HERE, State::LastAck),
            ],
        ],
        attempt: Wanted::tcp(HERE),
        expect: Expect::always(IN_USE),
        twin: "close-wait",
        asker: AskedBy::User(0),
    },
];
