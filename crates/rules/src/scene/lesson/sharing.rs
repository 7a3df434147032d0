//! Lessons about several servers on one port.
//!
//! Not here: one server after the other (`restarts`).

use super::{Lesson, Part};
use crate::cause::Cause;
use crate::cure::Action;
use crate::scene::Act::*;
use crate::scene::Kind::Tcp4;
use crate::scene::Opt::{Reuseaddr, Reuseport};
use crate::scene::Place::Inet;
use crate::scene::Step::*;
use crate::scene::leftovers::CAREFUL_SERVER;
use crate::scene::{ANY, HERE, P, Step, Wanted, v4};
use crate::verdict::Errno::EADDRINUSE;
use core::net::{Ipv4Addr, SocketAddr};

const SECOND_AT: SocketAddr = v4(Ipv4Addr::new(127, 0, 0, 2), P);
const THIRD_AT: SocketAddr = v4(Ipv4Addr::new(127, 0, 0, 3), P);

/// A server with SO_REUSEPORT.
const FIRST_OF_TWO: &[Step<'static>] = &[
    Actor("first", 0),
    Does("first", Socket("s", Tcp4)),
    Does("first", Set("s", Reuseport, true)),
    Does("first", Bind("s", Inet(HERE))),
    Does("first", Listen("s", 32)),
];
const SECOND_OF_TWO: &[Step<'static>] = &[
    Actor("second", 0),
    Does("second", Socket("s", Tcp4)),
    Does("second", Set("s", Reuseport, true)),
    Does("second", Bind("s", Inet(HERE))),
    Does("second", Listen("s", 32)),
];

pub(super) const LESSONS: &[Lesson] = &[
    Lesson {
        name: "different-local-addresses",
        title: "Several servers on one port, each on an IP address of its own: no conflict.",
        story: "Three servers want port 8080. The machine has several addresses, and each server asks for one of \
                them.",
        parts: &[
            Part::Steps(
                &[
                    Actor("first", 0),
                    Does("first", Socket("s", Tcp4)),
                    Does("first", Bind("s", Inet(HERE))),
                    Does("first", Listen("s", 16)),
                ],
                "The first binds 127.0.0.1.",
            ),
            Part::Steps(
                &[
                    Actor("second", 0),
                    Does("second", Socket("s", Tcp4)),
                    Does("second", Bind("s", Inet(SECOND_AT))),
                    Does("second", Listen("s", 16)),
                ],
                "The second binds 127.0.0.2, the same port. No option is needed: what must differ is the pair of \
                 address and port.",
            ),
            Part::Steps(
                &[
                    Actor("client", 0),
                    Does("client", Socket("c", Tcp4)),
                    Does("client", Connect("c", Inet(SECOND_AT))),
                    Does("second", Accept("s", "a")),
                ],
                "A client of 127.0.0.2 reaches the second server, and only that one.",
            ),
            Part::Steps(
                &[
                    Actor("third", 0),
                    Does("third", Socket("s", Tcp4)),
                    Fails("third", Bind("s", Inet(ANY)), EADDRINUSE),
                    Does("third", Exit),
                ],
                "The third asks for 0.0.0.0, which is every address, those two included. It is refused.",
            ),
            Part::Why(Wanted::tcp(ANY), Cause::WildcardVsSpecific, "Why? Address and port overlap."),
            Part::Change("The cure: the third asks for an address of its own, too."),
            Part::Steps(
                &[
                    Actor("third-again", 0),
                    Does("third-again", Socket("s", Tcp4)),
                    Does("third-again", Bind("s", Inet(THIRD_AT))),
                    Does("third-again", Listen("s", 16)),
                ],
                "127.0.0.3 is free, and the bind succeeds: three servers, one port.",
            ),
        ],
        moral: "A TCP address is an IP address *and* a port. 0.0.0.0 is not one more address: it is all of them.",
    },
    Lesson {
        name: "same-address-twice",
        title: "Two servers on the very same address and port: refused, SO_REUSEADDR or not.",
        story: "A server listens. Somebody starts it a second time. Both set SO_REUSEADDR, and that does not help: it \
                is no permission to share with a server that lives.",
        parts: &[
            Part::Steps(CAREFUL_SERVER, "The first server listens. It has set SO_REUSEADDR."),
            Part::Steps(
                &[
                    Actor("second", 0),
                    Does("second", Socket("s", Tcp4)),
                    Does("second", Set("s", Reuseaddr, true)),
                    Fails("second", Bind("s", Inet(HERE)), EADDRINUSE),
                    Does("second", Exit),
                ],
                "The second has set it as well, and is refused.",
            ),
            Part::Why(
                Wanted::tcp(HERE).with(true, false),
                Cause::Listener,
                "Why? The old socket listens. SO_REUSEADDR looks past what is left of connections, never past a \
                 listener. And it stops nobody: the first server serves on.",
            ),
            Part::Cure(
                Action::StopProcess,
                "One of the two has to go. The first is asked to end, with SIGTERM.",
            ),
            Part::Steps(
                &[
                    Actor("second-again", 0),
                    Does("second-again", Socket("s", Tcp4)),
                    Does("second-again", Set("s", Reuseaddr, true)),
                    Does("second-again", Bind("s", Inet(HERE))),
                    Does("second-again", Listen("s", 16)),
                ],
                "The bind succeeds.",
            ),
        ],
        moral: "On Linux SO_REUSEADDR does not let two servers listen on one address. See reuseport-pair for the \
                option that does.",
    },
    Lesson {
        name: "reuseport-pair",
        title: "Two servers on the very same address after all, with SO_REUSEPORT: clients are shared out.",
        story: "Two servers of one user set SO_REUSEPORT, both of them, before bind(). Then ten clients come.",
        parts: &[
            Part::Steps(FIRST_OF_TWO, "The first server sets SO_REUSEPORT and listens."),
            Part::Steps(
                SECOND_OF_TWO,
                "The second does the same, on the same address and port, and is not refused: both set the option, and \
                 both belong to one user.",
            ),
            Part::Steps(
                &[Actor("clients", 0)],
                "Now ten clients connect. Neither server accepts them yet, so that Recv-Q of each listener counts \
                 those that the kernel gave to it.",
            ),
            Part::Repeat(
                10,
                &[Does("clients", Socket("c", Tcp4)), Does("clients", Connect("c", Inet(HERE)))],
                "A client connects. Which listener gets it, the kernel decides by a hash of the addresses and ports.",
            ),
            Part::Steps(
                &[
                    Actor("third", 0),
                    Does("third", Socket("s", Tcp4)),
                    Fails("third", Bind("s", Inet(HERE)), EADDRINUSE),
                    Does("third", Exit),
                ],
                "A third server comes without the option, and is refused.",
            ),
            Part::Why(Wanted::tcp(HERE), Cause::Listener, "Why? Everyone on the address must have set it."),
            Part::Change("The cure: the third sets SO_REUSEPORT before bind(), too."),
            Part::Steps(
                &[
                    Actor("third-again", 0),
                    Does("third-again", Socket("s", Tcp4)),
                    Does("third-again", Set("s", Reuseport, true)),
                    Does("third-again", Bind("s", Inet(HERE))),
                    Does("third-again", Listen("s", 32)),
                ],
                "The bind succeeds. From now on new clients are shared out among three; those that wait already stay \
                 where they are.",
            ),
        ],
        moral: "SO_REUSEPORT shares an address among servers of one user that all set it. It is made for workers of \
                one program; two different programs would each get some of the clients, by chance.",
    },
];
