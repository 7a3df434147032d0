//! Lessons about a server that is started again: what the old one left behind, and for how long.
//!
//! Not here: how the option is set (`options`).

use super::{Lesson, Part};
use crate::cause::Cause;
use crate::cure::Action;
use crate::scene::Act::*;
use crate::scene::Kind::Tcp4;
use crate::scene::Opt::Reuseaddr;
use crate::scene::Place::Inet;
use crate::scene::Step::*;
use crate::scene::holders::SERVER;
use crate::scene::leftovers::{CAREFUL_SERVER, CLIENT};
use crate::scene::{HERE, NEXT_DOOR, Step, Wanted, row};
use crate::socket::State;
use crate::verdict::Errno::EADDRINUSE;

/// The server closes the connection first, the client second.
pub(super) const SERVER_CLOSES_FIRST: &[Step<'static>] =
    &[Does("server", Close("a")), row(HERE, State::FinWait2)];
pub(super) const CLIENT_CLOSES_SECOND: &[Step<'static>] =
    &[Does("client", Close("c")), row(HERE, State::TimeWait)];
pub(super) const SERVER_ENDS: &[Step<'static>] = &[Does("server", Exit)];

/// A restart without any option, which is refused.
const PLAIN_RESTART: &[Step<'static>] = &[
    Actor("server-2", 0),
    Does("server-2", Socket("s", Tcp4)),
    Fails("server-2", Bind("s", Inet(HERE)), EADDRINUSE),
    Does("server-2", Exit),
];

/// A restart with SO_REUSEADDR, which is refused all the same.
const CAREFUL_RESTART_REFUSED: &[Step<'static>] = &[
    Actor("server-2", 0),
    Does("server-2", Socket("s", Tcp4)),
    Does("server-2", Set("s", Reuseaddr, true)),
    Fails("server-2", Bind("s", Inet(HERE)), EADDRINUSE),
    Does("server-2", Exit),
];

/// A restart with SO_REUSEADDR, which serves a client and closes first.
const CAREFUL_RESTART: &[Step<'static>] = &[
    Actor("server-3", 0),
    Does("server-3", Socket("s", Tcp4)),
    Does("server-3", Set("s", Reuseaddr, true)),
    Does("server-3", Bind("s", Inet(HERE))),
    Does("server-3", Listen("s", 16)),
];
const ITS_CLIENT: &[Step<'static>] = &[
    Actor("client-2", 0),
    Does("client-2", Socket("c", Tcp4)),
    Does("client-2", Connect("c", Inet(HERE))),
    Does("server-3", Accept("s", "a")),
    Does("server-3", Close("a")),
    row(HERE, State::FinWait2),
    Does("client-2", Close("c")),
    row(HERE, State::TimeWait),
    Does("server-3", Exit),
];
const NEXT_CAREFUL_RESTART: &[Step<'static>] = &[
    Actor("server-4", 0),
    Does("server-4", Socket("s", Tcp4)),
    Does("server-4", Set("s", Reuseaddr, true)),
    Does("server-4", Bind("s", Inet(HERE))),
    Does("server-4", Listen("s", 16)),
];

/// A whole life of a careful server on the port next door.
const CAREFUL_LIFE: &[Step<'static>] = &[
    Actor("careful", 0),
    Does("careful", Socket("s", Tcp4)),
    Does("careful", Set("s", Reuseaddr, true)),
    Does("careful", Bind("s", Inet(NEXT_DOOR))),
    Does("careful", Listen("s", 16)),
    Actor("client", 0),
    Does("client", Socket("c", Tcp4)),
    Does("client", Connect("c", Inet(NEXT_DOOR))),
    Does("careful", Accept("s", "a")),
    Does("careful", Close("a")),
    row(NEXT_DOOR, State::FinWait2),
    Does("client", Close("c")),
    Does("careful", Exit),
    Does("client", Exit),
    row(NEXT_DOOR, State::TimeWait),
];

const TIME_WAIT: Lesson = Lesson {
    name: "time-wait",
    title: "The server closes first and is started again: refused, and for a minute nobody holds the port.",
    story: "A server without any option serves one client, closes the connection before the client does, and \
            ends. Then it is started again.",
    parts: &[
        Part::Steps(
            SERVER,
            "A server starts. It sets no option. After listen() the kernel completes handshakes for it.",
        ),
        Part::Steps(
            CLIENT,
            "A client connects: SYN, SYN-ACK, ACK. Both ends are ESTABLISHED, and the server's new socket has the \
             same local port as its listener.",
        ),
        Part::Steps(
            SERVER_CLOSES_FIRST,
            "The server closes first. Its kernel sends a FIN and, once that is acknowledged, waits in FIN_WAIT_2 for \
             the client's. The client is in CLOSE_WAIT: it has been told, and has not closed yet.",
        ),
        Part::Steps(
            CLIENT_CLOSES_SECOND,
            "The client closes second, and is done at once. Who closed first gets the TIME_WAIT: its kernel keeps the \
             addresses for a minute, in case a segment of this connection is still on its way.",
        ),
        Part::Steps(
            SERVER_ENDS,
            "The server ends. Its listener is gone; the TIME_WAIT stays and has no process.",
        ),
        Part::Steps(PLAIN_RESTART, "The server is started again, and bind() is refused."),
        Part::Why(Wanted::tcp(HERE), Cause::TimeWait, "Why? Nobody listens, and no process has the port."),
        Part::Steps(
            CAREFUL_RESTART_REFUSED,
            "The usual advice, SO_REUSEADDR, comes too late this time: the kernel asks for it on the old socket too, \
             and that was made without it.",
        ),
        Part::Cure(
            Action::Destroy,
            "So what is left is dropped by hand. The other way is to wait until it has passed, which takes a minute.",
        ),
        Part::Steps(CAREFUL_RESTART, "Now the bind succeeds. This server sets SO_REUSEADDR, before bind()."),
        Part::Steps(ITS_CLIENT, "It serves a client, closes first, and ends: a TIME_WAIT again, as before."),
        Part::Steps(
            NEXT_CAREFUL_RESTART,
            "And yet the next start succeeds at once: both the old socket and the new one have SO_REUSEADDR. The \
             TIME_WAIT is still there; it is merely not in the way.",
        ),
    ],
    moral: "Whoever closes first gets the TIME_WAIT, and keeps the port for a minute. SO_REUSEADDR in the server, \
            always, before bind(): it kills nothing, it lets the next start bind beside what is left.",
};

const FIN_WAIT_2: Lesson = Lesson {
    name: "fin-wait-2",
    title: "The client sleeps and never closes: CLOSE_WAIT on its side, FIN_WAIT_2 on the server's.",
    story: "A client connects and then sleeps: it neither reads nor closes. The server sends to it, gives up and \
            ends.",
    parts: &[
        Part::Steps(SERVER, "A server starts. It sets no option."),
        Part::Steps(CLIENT, "A client connects, and goes to sleep."),
        Part::Repeat(
            3,
            &[Does("server", Send("a", 100))],
            "The server sends 100 bytes. The client's kernel acknowledges them and keeps them: Recv-Q on the client's \
             side counts what its program has not read.",
        ),
        Part::Steps(
            &[Does("server", Exit), row(HERE, State::FinWait2)],
            "The server ends, and its kernel closes the connection: a FIN goes out. The client's kernel acknowledges \
             it, so the server's side is in FIN_WAIT_2, without a process. The client's side is in CLOSE_WAIT. Its \
             Recv-Q is one more than the bytes: the FIN counts, until the program has read that far.",
        ),
        Part::Steps(PLAIN_RESTART, "The server is started again, and bind() is refused."),
        Part::Why(Wanted::tcp(HERE), Cause::FinWait2, "Why? The old connection is only half closed."),
        Part::Cure(
            Action::Destroy,
            "The client does not close, and it is somebody else's program. The kernel would give up after \
             tcp_fin_timeout; here the orphan is dropped now. The client is told nothing: its side stays in \
             CLOSE_WAIT, and whatever it sends later is answered with a reset.",
        ),
        Part::Steps(
            CAREFUL_RESTART,
            "Now the bind succeeds. This server sets SO_REUSEADDR, so that the next sleeping client will not be in \
             the way.",
        ),
    ],
    moral: "FIN_WAIT_2 without a process means: we have closed, the other side has not. CLOSE_WAIT means: the other \
            side has closed, our program has not. CLOSE_WAIT never times out; only close() ends it.",
};

const WITHOUT_AND_WITH: Lesson = Lesson {
    name: "without-and-with-reuseaddr",
    title: "Ten restarts without SO_REUSEADDR, all refused; ten with it, all well.",
    story: "Two servers that differ in one line. Each serves a client, closes first, and is started again and again.",
    parts: &[
        Part::Steps(SERVER, "The first server does not set SO_REUSEADDR."),
        Part::Steps(CLIENT, "A client connects."),
        Part::Steps(SERVER_CLOSES_FIRST, "The server closes first."),
        Part::Steps(CLIENT_CLOSES_SECOND, "The client closes second: TIME_WAIT on the server's side."),
        Part::Steps(SERVER_ENDS, "The server ends."),
        Part::Repeat(
            10,
            PLAIN_RESTART,
            "A restart is refused. It would be for a minute, however often one tries.",
        ),
        Part::Why(
            Wanted::tcp(HERE),
            Cause::TimeWait,
            "Why? What is left of one single connection is enough.",
        ),
        Part::Change(
            "The cure is one line before bind(): setsockopt(s, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one). It is \
             shown on the next port, where no server without it has been.",
        ),
        Part::Repeat(
            10,
            CAREFUL_LIFE,
            "The second server sets it. It starts, serves a client, closes first and ends; then the same again. Each \
             time one more TIME_WAIT is left, and none of them is in the way.",
        ),
    ],
    moral: "With SO_REUSEADDR on both the old socket and the new one, a TIME_WAIT does not refuse a bind. The option \
            removes nothing: count the TIME_WAITs.",
};

const OLD_SERVER: Lesson = Lesson {
    name: "old-server-without-option",
    title: "The new release sets SO_REUSEADDR and is refused all the same: the old one had not set it.",
    story: "A server without SO_REUSEADDR has run for years. The option is added, the new release is started, and \
            fails as ever. Is the option useless?",
    parts: &[
        Part::Steps(SERVER, "The old release starts, without the option."),
        Part::Steps(CLIENT, "A client connects."),
        Part::Steps(SERVER_CLOSES_FIRST, "The server closes first."),
        Part::Steps(CLIENT_CLOSES_SECOND, "The client closes second: TIME_WAIT on the server's side."),
        Part::Steps(SERVER_ENDS, "The old release ends."),
        Part::Steps(
            CAREFUL_RESTART_REFUSED,
            "The new release sets SO_REUSEADDR before bind(), as it should, and is refused.",
        ),
        Part::Why(
            Wanted::tcp(HERE).with(true, false),
            Cause::TimeWait,
            "Why? The kernel asks both sockets. The one in TIME_WAIT remembers that it did not have the option.",
        ),
        Part::Cure(Action::Destroy, "Once, and for the last time, what the old release left has to go."),
        Part::Steps(CAREFUL_RESTART, "The new release starts."),
        Part::Steps(ITS_CLIENT, "It closes first too and leaves a TIME_WAIT, but one that has the option."),
        Part::Steps(NEXT_CAREFUL_RESTART, "From now on every restart succeeds at once."),
    ],
    moral: "The option must have been set on the socket that left the TIME_WAIT. After adding it, expect one more \
            refusal.",
};

const WAIT_IT_OUT: Lesson = Lesson {
    name: "wait-it-out",
    title: "What tcp_fin_timeout is and is not: two ports are waited for, with the seconds measured.",
    story: "tcp_fin_timeout is set to 5 seconds, as many guides advise. One server leaves a TIME_WAIT, another one a \
            FIN_WAIT_2. Which of them does the setting shorten?",
    parts: &[
        Part::Steps(
            &[Sysctl("net/ipv4/tcp_fin_timeout", "5")],
            "The setting, in this network namespace only: 5 seconds instead of 60.",
        ),
        Part::Steps(SERVER, "A server on one port."),
        Part::Steps(CLIENT, "A client connects."),
        Part::Steps(SERVER_CLOSES_FIRST, "The server closes first."),
        Part::Steps(CLIENT_CLOSES_SECOND, "The client closes second. This port has a TIME_WAIT now."),
        Part::Steps(SERVER_ENDS, "The server ends."),
        Part::Steps(PLAIN_RESTART, "A restart is refused."),
        Part::Why(Wanted::tcp(HERE), Cause::TimeWait, "Why?"),
        Part::Steps(
            &[
                Actor("other", 0),
                Does("other", Socket("s", Tcp4)),
                Does("other", Bind("s", Inet(NEXT_DOOR))),
                Does("other", Listen("s", 16)),
                Actor("sleeper", 0),
                Does("sleeper", Socket("c", Tcp4)),
                Does("sleeper", Connect("c", Inet(NEXT_DOOR))),
                Does("other", Accept("s", "a")),
                Does("other", Exit),
                row(NEXT_DOOR, State::FinWait2),
            ],
            "Another server on the next port ends while its client sleeps. This port has a FIN_WAIT_2 now.",
        ),
        Part::Steps(
            &[
                Actor("other-2", 0),
                Does("other-2", Socket("s", Tcp4)),
                Fails("other-2", Bind("s", Inet(NEXT_DOOR)), EADDRINUSE),
                Does("other-2", Exit),
            ],
            "A restart of that one is refused as well.",
        ),
        Part::Why(Wanted::tcp(NEXT_DOOR), Cause::FinWait2, "Why?"),
        Part::Wait(
            Wanted::tcp(NEXT_DOOR),
            3,
            12,
            "The port with the FIN_WAIT_2 is tried until the bind succeeds. This is what tcp_fin_timeout is for: how \
             long an orphan waits for the other side's FIN.",
        ),
        Part::Wait(
            Wanted::tcp(HERE),
            58,
            75,
            "The port with the TIME_WAIT is tried until the bind succeeds. The setting has nothing to do with it: a \
             TIME_WAIT lasts 60 seconds on Linux, a constant in the kernel's source (TCP_TIMEWAIT_LEN), and its timer \
             may ring some seconds late.",
        ),
    ],
    moral: "tcp_fin_timeout is the patience in FIN_WAIT_2, not the length of TIME_WAIT. No setting shortens a \
            TIME_WAIT on Linux. The cure is SO_REUSEADDR, not waiting.",
};

pub(super) const LESSONS: &[Lesson] = &[TIME_WAIT, FIN_WAIT_2, WITHOUT_AND_WITH, OLD_SERVER, WAIT_IT_OUT];

/// As `CAREFUL_SERVER` of the scenes; its connection is closed first and its process ends.
pub(super) const CAREFUL: &[Step<'static>] = CAREFUL_SERVER;
