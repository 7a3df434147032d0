//! Scenes about *who* holds the address: a live listener, its heirs, its remains in unusual places.
//!
//! Not here: connections that outlive their listener (`leftovers`).

use super::Act::*;
use super::Kind::*;
use super::Place::Inet;
use super::Step::*;
use super::{ANY, AskedBy, Device, Expect, HERE, IN_USE, P, Scene, Signal, Step, TOM, Wanted};
use crate::cause::Cause;

/// The server of most scenes: one process, one listener, no option set.
pub(super) const SERVER: &[Step<'static>] = &[
    Actor("server", 0),
    Does("server", Socket("s", Tcp4)),
    Does("server", Bind("s", Inet(HERE))),
    Does("server", Listen("s", 16)),
];

/// A socket that has a name and does not listen.
const BOUND: &[Step<'static>] =
    &[Actor("server", 0), Does("server", Socket("s", Tcp4)), Does("server", Bind("s", Inet(HERE)))];

pub(super) const SCENES: &[Scene] = &[
    Scene {
        name: "listener",
        cause: Cause::Listener,
        also: &[],
        story: "An old instance of the server is still running and listens on the port.",
        acts: &[SERVER],
        attempt: Wanted::tcp(HERE),
        expect: Expect::always(IN_USE),
        twin: "listener-inherited",
        asker: AskedBy::User(0),
    },
    Scene {
        name: "listener-with-client",
        cause: Cause::Listener,
        also: &[],
        story: "A server listens, and a client is connected to it. The client's socket names the port too, \
                as its other end, but only the server stands in the way.",
        acts: &[
            SERVER,
            &[
                Actor("client", 0),
                Does("client", Socket("c", Tcp4)),
                Does("client", Connect("c", Inet(HERE))),
                Does("server", Accept("s", "a")),
            ],
        ],
        attempt: Wanted::tcp(HERE),
        expect: Expect::always(IN_USE),
        twin: "established-leftover",
        asker: AskedBy::User(0),
    },
    Scene {
        name: "listener-of-another-user",
        cause: Cause::Listener,
        also: &[],
        story: "A server of the user 1000 listens, and root asks. Root may see whose it is.",
        acts: &[&[
            Actor("server", TOM),
            Does("server", Socket("s", Tcp4)),
            Does("server", Bind("s", Inet(HERE))),
            Does("server", Listen("s", 16)),
        ]],
        attempt: Wanted::tcp(HERE),
        expect: Expect::always(IN_USE),
        twin: "owner-hidden",
        asker: AskedBy::User(0),
    },
    Scene {
        name: "owner-hidden",
        cause: Cause::OwnerHidden,
        also: &[Cause::Listener],
        story: "Root's server listens, and an ordinary user asks. The kernel says that the port is taken \
                and by which user, but not by which process.",
        acts: &[SERVER],
        attempt: Wanted::tcp(HERE).by(TOM),
        expect: Expect::always(IN_USE),
        twin: "listener-of-another-user",
        asker: AskedBy::User(TOM),
    },
    Scene {
        name: "listener-inherited",
        cause: Cause::ListenerInherited,
        also: &[],
        story: "A server started a program without closing its listening descriptor, and then exited. The \
                program, a mere sleep, inherited the socket and keeps the port.",
        acts: &[
            SERVER,
            &[Does("server", Fork("child")), Does("child", Exec(&["sleep", "1000"])), Does("server", Exit)],
        ],
        attempt: Wanted::tcp(HERE),
        expect: Expect::always(IN_USE),
        twin: "listener",
        asker: AskedBy::User(0),
    },
    Scene {
        name: "listener-beside-heir",
        cause: Cause::Listener,
        also: &[],
        story: "A server listens, and a program that it started inherited the socket. The one to stop is the server; \
                the other has to follow.",
        acts: &[SERVER, &[Does("server", Fork("child")), Does("child", Exec(&["sleep", "1000"]))]],
        attempt: Wanted::tcp(HERE),
        expect: Expect::always(IN_USE),
        twin: "listener-inherited",
        asker: AskedBy::User(0),
    },
    Scene {
        name: "workers-outlived-master",
        cause: Cause::WorkersOutlivedMaster,
        also: &[],
        story: "A pre-forking server's master died. Its three workers are now children of pid 1 and share \
                the listening socket: stopping one of them frees nothing.",
        acts: &[
            &[
                Actor("master", 0),
                Does("master", Socket("s", Tcp4)),
                Does("master", Bind("s", Inet(HERE))),
                Does("master", Listen("s", 16)),
            ],
            &[
                Does("master", Fork("worker-1")),
                Does("master", Fork("worker-2")),
                Does("master", Fork("worker-3")),
                Signal("master", Signal::Kill),
            ],
        ],
        attempt: Wanted::tcp(HERE),
        expect: Expect::always(IN_USE),
        twin: "listener-with-workers",
        asker: AskedBy::User(0),
    },
    Scene {
        name: "listener-with-workers",
        cause: Cause::Listener,
        also: &[],
        story: "A pre-forking server is alive and well: a master and two workers share the socket. They \
                are one server: to stop it is to stop the master, and its workers with it.",
        acts: &[SERVER, &[Does("server", Fork("worker-1")), Does("server", Fork("worker-2"))]],
        attempt: Wanted::tcp(HERE),
        expect: Expect::always(IN_USE),
        twin: "workers-outlived-master",
        asker: AskedBy::User(0),
    },
    Scene {
        name: "suspended",
        cause: Cause::Suspended,
        also: &[Cause::Listener],
        story: "Somebody pressed Ctrl-Z: the server is stopped, answers nobody, and still holds the port.",
        acts: &[SERVER, &[Signal("server", Signal::Stop)]],
        attempt: Wanted::tcp(HERE),
        expect: Expect::always(IN_USE),
        twin: "listener",
        asker: AskedBy::User(0),
    },
    Scene {
        name: "bound-not-listening",
        cause: Cause::BoundNotListening,
        also: &[],
        story: "A process called bind() and never listen(). The port is taken, and netstat shows nothing.",
        acts: &[BOUND],
        attempt: Wanted::tcp(HERE),
        expect: Expect::always(IN_USE),
        twin: "listener",
        asker: AskedBy::User(0),
    },
    Scene {
        name: "bound-not-listening-shutdown",
        cause: Cause::BoundNotListening,
        also: &[],
        story: "A server called shutdown() on its listener: it listens no more, and keeps the port.",
        acts: &[SERVER, &[Does("server", ShutdownRead("s"))]],
        attempt: Wanted::tcp(HERE),
        expect: Expect::always(IN_USE),
        twin: "listener",
        asker: AskedBy::User(0),
    },
    Scene {
        name: "in-flight",
        cause: Cause::InFlight,
        also: &[],
        story: "A process sent its listening descriptor over a unix socket and closed its own copy. Nobody \
                has received it: the listener lives inside a message.",
        acts: &[
            SERVER,
            &[
                Does("server", Socketpair("here", "there")),
                Does("server", SendDescriptor("here", "s")),
                Does("server", Close("s")),
            ],
        ],
        attempt: Wanted::tcp(HERE),
        expect: Expect::always(IN_USE),
        twin: "listener",
        asker: AskedBy::User(0),
    },
    Scene {
        name: "io-uring-file",
        cause: Cause::IoUringFile,
        also: &[],
        story: "A server registered its listener with an io_uring and closed the descriptor. The port is \
                held by the ring, and no table of open files shows the socket.",
        acts: &[SERVER, &[Does("server", RingRegister("ring", "s")), Does("server", Close("s"))]],
        attempt: Wanted::tcp(HERE),
        expect: Expect::always(IN_USE),
        twin: "listener-with-ring",
        asker: AskedBy::User(0),
    },
    Scene {
        name: "listener-with-ring",
        cause: Cause::Listener,
        also: &[],
        story: "A server registered its listener with an io_uring and kept the descriptor open too: an \
                ordinary holder.",
        acts: &[SERVER, &[Does("server", RingRegister("ring", "s"))]],
        attempt: Wanted::tcp(HERE),
        expect: Expect::always(IN_USE),
        twin: "io-uring-file",
        asker: AskedBy::User(0),
    },
    Scene {
        name: "thread-fd-table",
        cause: Cause::ThreadFdTable,
        also: &[],
        story: "A thread took a table of open files of its own. The process closed its listener, but the \
                thread's copy is still open, and /proc/PID/fd does not show it.",
        acts: &[SERVER, &[Does("server", ThreadWithOwnFiles), Does("server", Close("s"))]],
        attempt: Wanted::tcp(HERE),
        expect: Expect::always(IN_USE),
        twin: "listener",
        asker: AskedBy::User(0),
    },
    Scene {
        name: "thread-fd-table-main-exited",
        cause: Cause::ThreadFdTable,
        also: &[],
        story: "The main thread of a server has exited and its other threads live on. The process looks \
                like a zombie whose /proc/PID/fd cannot be read, and yet it listens.",
        acts: &[SERVER, &[Does("server", EndMainThread)]],
        attempt: Wanted::tcp(HERE),
        expect: Expect::always(IN_USE),
        twin: "listener",
        asker: AskedBy::User(0),
    },
    Scene {
        name: "own-process",
        cause: Cause::OwnProcess,
        also: &[Cause::Listener],
        story: "A program binds the same address twice, and asks why the second bind fails.",
        acts: &[SERVER],
        attempt: Wanted::tcp(HERE),
        expect: Expect::always(IN_USE),
        twin: "listener",
        asker: AskedBy::Actor("server"),
    },
    Scene {
        name: "udp",
        cause: Cause::Udp,
        also: &[],
        story: "A datagram server has the port.",
        acts: &[&[
            Actor("server", 0),
            Does("server", Socket("s", Udp4)),
            Does("server", Bind("s", Inet(ANY))),
        ]],
        attempt: Wanted::udp(ANY),
        expect: Expect::always(IN_USE),
        twin: "free-other-protocol",
        asker: AskedBy::User(0),
    },
    Scene {
        name: "kernel-socket",
        cause: Cause::KernelSocket,
        also: &[Cause::Udp],
        story: "The kernel itself has the port, for the end of a tunnel: no process is there to stop.",
        acts: &[&[Interface("tunnel", Device::Vxlan(P))]],
        attempt: Wanted::udp(ANY),
        expect: Expect::always(IN_USE),
        twin: "udp",
        asker: AskedBy::Outside,
    },
];
