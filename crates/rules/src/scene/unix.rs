//! Scenes of unix sockets: paths and abstract names.
//!
//! Kernel functions: `unix_bind_bsd`, `unix_bind_abstract`. /run is the stage's own in these scenes.

use super::Act::*;
use super::Kind::*;
use super::Place::{Abstract, Path};
use super::Step::*;
use super::{Answer, AskedBy, Expect, IN_USE, OK, Scene, Step, TOM, Thing, Wanted};
use crate::cause::Cause;
use crate::verdict::{Call, Errno};

/// The path of these scenes.
const SOCKET: &str = "/run/app.sock";

/// Unix sockets do not know SO_REUSEPORT (since Linux 6.12).
const NO_REUSEPORT: Answer = Some((Errno::EOPNOTSUPP, Call::Setsockopt));
const TAKEN: Expect = Expect { plain: IN_USE, reuseaddr: IN_USE, reuseport: NO_REUSEPORT };
const FREE: Expect = Expect { plain: OK, reuseaddr: OK, reuseport: NO_REUSEPORT };

/// A server on that path.
const SERVER: &[Step<'static>] = &[
    Actor("server", 0),
    Does("server", Socket("s", UnixStream)),
    Does("server", Bind("s", Path(SOCKET))),
    Does("server", Listen("s", 16)),
];

/// A server on an abstract name.
const ABSTRACT_SERVER: &[Step<'static>] = &[
    Actor("server", 0),
    Does("server", Socket("s", UnixStream)),
    Does("server", Bind("s", Abstract("app"))),
    Does("server", Listen("s", 16)),
];

/// A scene with something at the path that is no socket.
const fn obstacle(
    name: &'static str,
    acts: &'static [&'static [Step<'static>]],
    story: &'static str,
) -> Scene {
    Scene {
        name,
        cause: Cause::UnixNotASocket,
        also: &[],
        story,
        acts,
        attempt: Wanted::path(SOCKET),
        expect: TAKEN,
        twin: "unix-stale",
        asker: AskedBy::User(0),
    }
}

pub(super) const SCENES: &[Scene] = &[
    Scene {
        name: "unix-live",
        cause: Cause::UnixLive,
        also: &[],
        story: "A server serves the path.",
        acts: &[SERVER],
        attempt: Wanted::path(SOCKET),
        expect: TAKEN,
        twin: "unix-stale",
        asker: AskedBy::User(0),
    },
    Scene {
        name: "unix-live-abstract",
        cause: Cause::UnixLive,
        also: &[],
        story: "A server serves the abstract name.",
        acts: &[ABSTRACT_SERVER],
        attempt: Wanted::plain(UnixStream, Abstract("app")),
        expect: TAKEN,
        twin: "free-abstract-other-type",
        asker: AskedBy::User(0),
    },
    Scene {
        name: "unix-live-not-listening",
        cause: Cause::UnixLive,
        also: &[],
        story: "A server has bound the path and does not listen yet. A connection is refused, as it would be if the \
                file were stale; but it is not.",
        acts: &[&[
            Actor("server", 0),
            Does("server", Socket("s", UnixStream)),
            Does("server", Bind("s", Path(SOCKET))),
        ]],
        attempt: Wanted::path(SOCKET),
        expect: TAKEN,
        twin: "unix-stale",
        asker: AskedBy::User(0),
    },
    Scene {
        name: "unix-live-other-netns",
        cause: Cause::UnixLive,
        also: &[Cause::OtherNetns],
        story: "A server in another network namespace serves the path. The socket tables of this namespace do not \
                show it, and removing the file would cut it off.",
        acts: &[&[
            Actor("server", 0),
            Does("server", OwnNetwork),
            Does("server", Socket("s", UnixStream)),
            Does("server", Bind("s", Path(SOCKET))),
            Does("server", Listen("s", 16)),
        ]],
        attempt: Wanted::path(SOCKET),
        expect: TAKEN,
        twin: "unix-stale",
        asker: AskedBy::User(0),
    },
    Scene {
        name: "owner-hidden-unix-other-netns",
        cause: Cause::OwnerHidden,
        also: &[Cause::UnixStale],
        story: "A server in another network namespace serves the path, and an ordinary user asks, who may not look in \
                there. Nobody is seen, which is not the same as nobody being there: the file must not be called stale.",
        acts: &[&[
            Actor("server", 0),
            Does("server", OwnNetwork),
            Does("server", Socket("s", UnixStream)),
            Does("server", Bind("s", Path(SOCKET))),
            Does("server", Listen("s", 16)),
        ]],
        attempt: Wanted::path(SOCKET).by(TOM),
        expect: TAKEN,
        twin: "unix-live-other-netns",
        asker: AskedBy::User(TOM),
    },
    Scene {
        name: "unix-stale",
        cause: Cause::UnixStale,
        also: &[],
        story: "A server crashed and left its socket file behind. Nobody serves it, and the name is taken.",
        acts: &[SERVER, &[Does("server", Exit)]],
        attempt: Wanted::path(SOCKET),
        expect: TAKEN,
        twin: "unix-live",
        asker: AskedBy::User(0),
    },
    Scene {
        name: "unix-stale-beside-unlinked",
        cause: Cause::UnixStale,
        also: &[],
        story: "One server's socket file was removed and another server made one of the same name, and then \
                died. The first is alive and says that it has that path, but the file is not its own.",
        acts: &[
            SERVER,
            &[
                Remove(SOCKET),
                Actor("another", 0),
                Does("another", Socket("s", UnixStream)),
                Does("another", Bind("s", Path(SOCKET))),
                Does("another", Exit),
            ],
        ],
        attempt: Wanted::path(SOCKET),
        expect: TAKEN,
        twin: "unix-live",
        asker: AskedBy::User(0),
    },
    Scene {
        name: "free-unix-unlinked",
        cause: Cause::Free,
        also: &[],
        story: "A server is alive, but its socket file was removed: the name is free.",
        acts: &[SERVER, &[Remove(SOCKET)]],
        attempt: Wanted::path(SOCKET),
        expect: FREE,
        twin: "unix-live",
        asker: AskedBy::User(0),
    },
    Scene {
        name: "free-abstract-other-type",
        cause: Cause::Free,
        also: &[],
        story: "A stream server has the abstract name, and a datagram socket wants it: each type has names \
                of its own.",
        acts: &[ABSTRACT_SERVER],
        attempt: Wanted::plain(UnixDatagram, Abstract("app")),
        expect: FREE,
        twin: "unix-live-abstract",
        asker: AskedBy::User(0),
    },
    obstacle(
        "unix-not-a-socket",
        &[&[Create(SOCKET, Thing::File)]],
        "A regular file stands at the path of the socket.",
    ),
    obstacle(
        "unix-not-a-socket-directory",
        &[&[Create(SOCKET, Thing::Directory)]],
        "A directory stands at the path of the socket, as when a container mounts a path that was missing.",
    ),
    obstacle(
        "unix-not-a-socket-fifo",
        &[&[Create(SOCKET, Thing::Fifo)]],
        "A named pipe stands at the path of the socket.",
    ),
    obstacle(
        "unix-not-a-socket-link",
        &[&[Create(SOCKET, Thing::DanglingLink)]],
        "A symbolic link that leads nowhere stands at the path: nothing is there, and the name is taken.",
    ),
    Scene {
        name: "denied-unix-directory",
        cause: Cause::Denied,
        also: &[],
        story: "An ordinary user wants a socket in a directory of root.",
        acts: &[&[Create("/run/private", Thing::Directory)]],
        attempt: Wanted::path("/run/private/app.sock").by(TOM),
        expect: Expect {
            plain: Some((Errno::EACCES, Call::Bind)),
            reuseaddr: Some((Errno::EACCES, Call::Bind)),
            reuseport: NO_REUSEPORT,
        },
        twin: "unix-live",
        asker: AskedBy::User(TOM),
    },
];
