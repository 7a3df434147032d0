//! Lessons about SO_REUSEADDR that is set, and set wrongly.
//!
//! Not here: an old socket that lacked it (`restarts`).

use super::restarts::{CAREFUL, CLIENT_CLOSES_SECOND, SERVER_CLOSES_FIRST, SERVER_ENDS};
use super::{Lesson, Part};
use crate::cause::Cause;
use crate::scene::Act::*;
use crate::scene::Kind::Tcp4;
use crate::scene::Opt::Reuseaddr;
use crate::scene::Place::Inet;
use crate::scene::Step::*;
use crate::scene::leftovers::CLIENT;
use crate::scene::{HERE, Step, Wanted};
use crate::verdict::Errno::EADDRINUSE;

/// The option after bind(): it works as long as nothing is in the way.
const TOO_LATE_SERVER: &[Step<'static>] = &[
    Actor("server", 0),
    Does("server", Socket("s", Tcp4)),
    Does("server", Bind("s", Inet(HERE))),
    Does("server", Set("s", Reuseaddr, true)),
    Does("server", Listen("s", 16)),
];

/// The same program again.
const TOO_LATE_AGAIN: &[Step<'static>] = &[
    Actor("server-2", 0),
    Does("server-2", Socket("s", Tcp4)),
    Fails("server-2", Bind("s", Inet(HERE)), EADDRINUSE),
    Does("server-2", Exit),
];

/// The option with the value 0: switched off, which it was anyway.
const ZERO: &[Step<'static>] = &[
    Actor("server-2", 0),
    Does("server-2", Socket("s", Tcp4)),
    Does("server-2", Set("s", Reuseaddr, false)),
    Fails("server-2", Bind("s", Inet(HERE)), EADDRINUSE),
    Does("server-2", Exit),
];

/// As it should be.
const RIGHT: &[Step<'static>] = &[
    Actor("server-3", 0),
    Does("server-3", Socket("s", Tcp4)),
    Does("server-3", Set("s", Reuseaddr, true)),
    Does("server-3", Bind("s", Inet(HERE))),
    Does("server-3", Listen("s", 16)),
];

pub(super) const LESSONS: &[Lesson] = &[
    Lesson {
        name: "option-after-bind",
        title: "SO_REUSEADDR is set, but after bind(): the first start works, the restart is refused.",
        story: "The line is there, in the wrong place: setsockopt() stands behind bind(). Nobody notices at the first \
                start, when the port is free.",
        parts: &[
            Part::Steps(
                TOO_LATE_SERVER,
                "The first start. bind() comes first, and succeeds because nothing is in the way; setsockopt() \
                 succeeds too, so that nothing warns.",
            ),
            Part::Steps(CLIENT, "A client connects."),
            Part::Steps(SERVER_CLOSES_FIRST, "The server closes first."),
            Part::Steps(CLIENT_CLOSES_SECOND, "The client closes second: TIME_WAIT on the server's side."),
            Part::Steps(SERVER_ENDS, "The server ends."),
            Part::Steps(
                TOO_LATE_AGAIN,
                "The same program is started again. bind() is refused, and the line that would have helped is never \
                 reached.",
            ),
            Part::Why(
                Wanted::tcp(HERE),
                Cause::TimeWait,
                "Why? At the moment of bind() the new socket has no option. The answer also says what it would be \
                 with SO_REUSEADDR.",
            ),
            Part::Change("The cure: the two lines change places. First setsockopt(), then bind()."),
            Part::Steps(
                RIGHT,
                "The bind succeeds. The old socket did get its option, late as it was, and so had the connection that \
                 it accepted afterwards.",
            ),
        ],
        moral: "Options count at the moment of bind(): socket(), setsockopt(), bind(), listen(), in this order.",
    },
    Lesson {
        name: "option-value-zero",
        title: "setsockopt() is called in the right place, with a value that is 0: nothing is switched on.",
        story: "A new release calls setsockopt(s, SOL_SOCKET, SO_REUSEADDR, &value, sizeof value), but value was \
                never given its 1. The call succeeds.",
        parts: &[
            Part::Steps(CAREFUL, "The old release, with SO_REUSEADDR as it should be."),
            Part::Steps(CLIENT, "A client connects."),
            Part::Steps(SERVER_CLOSES_FIRST, "The server closes first."),
            Part::Steps(CLIENT_CLOSES_SECOND, "The client closes second: TIME_WAIT on the server's side."),
            Part::Steps(SERVER_ENDS, "The old release ends."),
            Part::Steps(
                ZERO,
                "The new release sets the option to 0. setsockopt() returns 0, which means that it succeeded: it \
                 switched the option off, as asked. bind() is refused.",
            ),
            Part::Why(
                Wanted::tcp(HERE),
                Cause::TimeWait,
                "Why? To the kernel this is a bind without the option.",
            ),
            Part::Change("The cure: int value = 1."),
            Part::Steps(RIGHT, "The bind succeeds, beside the TIME_WAIT."),
        ],
        moral: "A variable that was not initialised may be 1 today and 0 tomorrow. Check with getsockopt(), or see \
                what 'inuse why' says about the socket.",
    },
];
