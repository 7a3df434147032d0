//! Lessons about how a server ends, and who lives on.
//!
//! Not here: what its connections leave behind (`restarts`).

use super::{Lesson, Part};
use crate::cause::Cause;
use crate::cure::Action;
use crate::scene::Act::*;
use crate::scene::Kind::Tcp4;
use crate::scene::Opt::Reuseaddr;
use crate::scene::Place::Inet;
use crate::scene::Step::*;
use crate::scene::holders::SERVER;
use crate::scene::leftovers::CLIENT;
use crate::scene::{HERE, NEXT_DOOR, Signal, Wanted, row};
use crate::socket::State;
use crate::verdict::Errno::EADDRINUSE;

pub(super) const LESSONS: &[Lesson] = &[
    Lesson {
        name: "ctrl-c-and-the-child",
        title: "Ctrl+C ends the server, but a program that it had started survives and keeps the port.",
        story: "A server starts a helper program and gives no thought to the descriptors that it passes on. Later \
                somebody presses Ctrl+C.",
        parts: &[
            Part::Steps(SERVER, "The server listens. Its socket is not close-on-exec, as socket() makes it."),
            Part::Steps(
                &[
                    Does("server", Fork("child")),
                    Does("child", OwnSession),
                    Does("child", Exec(&["sleep", "1000"])),
                ],
                "The server forks. The child leaves the terminal's process group, as a daemon does, and becomes \
                 another program. The listening socket stays open in it.",
            ),
            Part::Steps(
                &[Signal("server", Signal::Interrupt)],
                "Ctrl+C: the terminal sends SIGINT to every process of the foreground group. The server ends; the \
                 child is in another group and hears nothing.",
            ),
            Part::Steps(
                &[
                    Actor("server-2", 0),
                    Does("server-2", Socket("s", Tcp4)),
                    Does("server-2", Set("s", Reuseaddr, true)),
                    Fails("server-2", Bind("s", Inet(HERE)), EADDRINUSE),
                    Does("server-2", Exit),
                ],
                "The server is started again, and is refused. SO_REUSEADDR is no help: somebody still listens.",
            ),
            Part::Why(
                Wanted::tcp(HERE).with(true, false),
                Cause::ListenerInherited,
                "Why? The port is held by a program that never called bind().",
            ),
            Part::Cure(Action::StopProcess, "The heir is asked to end, with SIGTERM."),
            Part::Steps(
                &[
                    Actor("server-3", 0),
                    Does("server-3", Socket("s", Tcp4)),
                    Does("server-3", Set("s", Reuseaddr, true)),
                    Does("server-3", Bind("s", Inet(HERE))),
                    Does("server-3", Listen("s", 16)),
                ],
                "The bind succeeds. So that it does not come back: SOCK_CLOEXEC at socket().",
            ),
        ],
        moral: "A socket is closed when its last descriptor is. Make sockets close-on-exec (SOCK_CLOEXEC), and nobody \
                inherits them by accident.",
    },
    Lesson {
        name: "signal-handler",
        title: "A handler that closes everything on SIGINT: what it changes, and that TIME_WAIT is not part of it.",
        story: "Two servers get Ctrl+C while a client is connected. The first has no handler and is simply ended; the \
                second closes its connection and its listener first. Both are then started again.",
        parts: &[
            Part::Steps(SERVER, "The first server has no signal handler."),
            Part::Steps(CLIENT, "A client connects."),
            Part::Steps(
                &[Signal("server", Signal::Interrupt), row(HERE, State::FinWait2)],
                "Ctrl+C ends the process. Its kernel closes every descriptor, as close() would: a FIN goes out.",
            ),
            Part::Steps(
                &[Does("client", Close("c")), row(HERE, State::TimeWait)],
                "The client closes second. TIME_WAIT is on the server's side.",
            ),
            Part::Steps(
                &[
                    Actor("careful", 0),
                    Does("careful", Socket("s", Tcp4)),
                    Does("careful", Set("s", Reuseaddr, true)),
                    Does("careful", Bind("s", Inet(NEXT_DOOR))),
                    Does("careful", Listen("s", 16)),
                    Does("careful", CloseOnInterrupt),
                    Actor("client-2", 0),
                    Does("client-2", Socket("c", Tcp4)),
                    Does("client-2", Connect("c", Inet(NEXT_DOOR))),
                    Does("careful", Accept("s", "a")),
                ],
                "The second server, on the next port, sets SO_REUSEADDR and installs a handler for SIGINT, which \
                 closes every socket and calls _exit(). A client connects.",
            ),
            Part::Steps(
                &[Signal("careful", Signal::Interrupt), row(NEXT_DOOR, State::FinWait2)],
                "Ctrl+C runs the handler. On the wire the same happens: a FIN goes out. What a handler does change: \
                 the program may finish an answer, write its files, and end with status 0.",
            ),
            Part::Steps(
                &[Does("client-2", Close("c")), row(NEXT_DOOR, State::TimeWait)],
                "The client closes second, and TIME_WAIT is on the server's side again: it belongs to the connection, \
                 not to the listener, and the server was first to close.",
            ),
            Part::Steps(
                &[
                    Actor("careful-2", 0),
                    Does("careful-2", Socket("s", Tcp4)),
                    Fails("careful-2", Bind("s", Inet(NEXT_DOOR)), EADDRINUSE),
                    Does("careful-2", Exit),
                ],
                "A restart without SO_REUSEADDR is refused. The handler did not help.",
            ),
            Part::Why(Wanted::tcp(NEXT_DOOR), Cause::TimeWait, "Why? The same as without a handler."),
            Part::Change("The cure is the option, in every start: SO_REUSEADDR before bind()."),
            Part::Steps(
                &[
                    Actor("careful-3", 0),
                    Does("careful-3", Socket("s", Tcp4)),
                    Does("careful-3", Set("s", Reuseaddr, true)),
                    Does("careful-3", Bind("s", Inet(NEXT_DOOR))),
                    Does("careful-3", Listen("s", 16)),
                ],
                "The bind succeeds: the old server had the option, and so has the new one.",
            ),
        ],
        moral: "kill -9, exit() and a careful handler leave the same TIME_WAIT. Write a handler to finish your work, \
                and set SO_REUSEADDR to be able to start again.",
    },
];
