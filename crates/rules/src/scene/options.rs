//! Scenes in which the options of the two sides decide.
//!
//! Kernel function: `inet_bind_conflict`. Not here: SO_REUSEADDR against a TIME_WAIT (`leftovers`).

use super::Act::*;
use super::Kind::*;
use super::Place::Inet;
use super::Step::*;
use super::holders::SERVER;
use super::{ANN, AskedBy, Expect, HERE, IN_USE, OK, Opt, Scene, Step, TOM, Wanted};
use crate::cause::Cause;
use crate::verdict::Errno;

/// A server with SO_REUSEPORT, of the user 1000.
const SHARING_SERVER: &[Step<'static>] = &[
    Actor("server", TOM),
    Does("server", Socket("s", Tcp4)),
    Does("server", Set("s", Opt::Reuseport, true)),
    Does("server", Bind("s", Inet(HERE))),
    Does("server", Listen("s", 16)),
];

/// Two processes with SO_REUSEADDR have the same name; neither listens yet.
const TWO_BOUND: &[Step<'static>] = &[
    Actor("first", 0),
    Does("first", Socket("s", Tcp4)),
    Does("first", Set("s", Opt::Reuseaddr, true)),
    Does("first", Bind("s", Inet(HERE))),
    Actor("second", 0),
    Does("second", Socket("s", Tcp4)),
    Does("second", Set("s", Opt::Reuseaddr, true)),
    Does("second", Bind("s", Inet(HERE))),
];

pub(super) const SCENES: &[Scene] = &[
    Scene {
        name: "reuseport-mismatch",
        cause: Cause::ReuseportMismatch,
        also: &[Cause::Listener],
        story: "Two servers set SO_REUSEPORT to share a port, but they run as different users.",
        acts: &[SHARING_SERVER],
        attempt: Wanted::tcp(HERE).by(ANN).with(false, true),
        expect: Expect::always(IN_USE),
        twin: "split-brain-reuseport",
        asker: AskedBy::User(0),
    },
    Scene {
        name: "reuseport-mismatch-root",
        cause: Cause::ReuseportMismatch,
        also: &[Cause::Listener],
        story: "Two servers set SO_REUSEPORT, the first as an ordinary user and the newcomer as root: root is no \
                exception.",
        acts: &[SHARING_SERVER],
        attempt: Wanted::tcp(HERE).with(false, true),
        expect: Expect::always(IN_USE),
        twin: "split-brain-reuseport",
        asker: AskedBy::User(0),
    },
    Scene {
        name: "reuseport-mismatch-old-lacks-it",
        cause: Cause::ReuseportMismatch,
        also: &[Cause::Listener],
        story: "The newcomer sets SO_REUSEPORT. The server that listens already has not.",
        acts: &[SERVER],
        attempt: Wanted::tcp(HERE).with(false, true),
        expect: Expect::always(IN_USE),
        twin: "listener",
        asker: AskedBy::User(0),
    },
    Scene {
        name: "split-brain-reuseport",
        cause: Cause::SplitBrain,
        also: &[],
        story: "Two servers of one user share a port by SO_REUSEPORT, and a third one joins them: the \
                kernel shares the connections out among them, wanted or not.",
        acts: &[
            SHARING_SERVER,
            &[
                Actor("another", TOM),
                Does("another", Socket("s", Tcp4)),
                Does("another", Set("s", Opt::Reuseport, true)),
                Does("another", Bind("s", Inet(HERE))),
                Does("another", Listen("s", 16)),
            ],
        ],
        attempt: Wanted::tcp(HERE).by(TOM).with(false, true),
        expect: Expect { plain: IN_USE, reuseaddr: IN_USE, reuseport: OK },
        twin: "reuseport-mismatch",
        asker: AskedBy::User(0),
    },
    Scene {
        name: "second-listen",
        cause: Cause::SecondListen,
        also: &[Cause::Listener],
        story: "Two servers set SO_REUSEADDR and both could bind. The first one listens, and the second \
                was refused by listen(), not by bind(). Whoever comes now is refused by bind().",
        acts: &[
            TWO_BOUND,
            &[Does("first", Listen("s", 16)), Fails("second", Listen("s", 16), Errno::EADDRINUSE)],
        ],
        attempt: Wanted::tcp(HERE).with(true, false),
        expect: Expect::always(IN_USE),
        twin: "free-nobody-listens",
        asker: AskedBy::User(0),
    },
    Scene {
        name: "free-nobody-listens",
        cause: Cause::Free,
        also: &[],
        story: "Two servers with SO_REUSEADDR are bound to the port and neither listens: a third one with \
                the option may bind, and listen.",
        acts: &[TWO_BOUND],
        attempt: Wanted::tcp(HERE).with(true, false),
        expect: Expect { plain: IN_USE, reuseaddr: OK, reuseport: IN_USE },
        twin: "second-listen",
        asker: AskedBy::User(0),
    },
    Scene {
        name: "free-udp-reuseaddr",
        cause: Cause::Free,
        also: &[],
        story: "A datagram server with SO_REUSEADDR, and a newcomer with it: any number may have the address, and \
                the last one gets the datagrams.",
        acts: &[&[
            Actor("server", 0),
            Does("server", Socket("s", Udp4)),
            Does("server", Set("s", Opt::Reuseaddr, true)),
            Does("server", Bind("s", Inet(HERE))),
        ]],
        attempt: Wanted::udp(HERE).with(true, false),
        expect: Expect { plain: IN_USE, reuseaddr: OK, reuseport: IN_USE },
        twin: "udp",
        asker: AskedBy::User(0),
    },
];
