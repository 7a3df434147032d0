//! Scenes in which the addresses differ and yet overlap, or look as if they did and do not; and
//! connections that came by a server's port from the client's side.
//!
//! Kernel function: `inet_rcv_saddr_equal`. Not here: the options of the two sides (`options`).

use super::Act::*;
use super::Kind::*;
use super::Place::Inet;
use super::Step::*;
use super::holders::SERVER;
use super::{ANY, ANY6, AskedBy, Expect, HERE, HERE6, IN_USE, OK, Opt, P, Scene, Step, Wanted, row, v4, v6};
use crate::cause::Cause;
use crate::socket::State;
use core::net::{Ipv4Addr, Ipv6Addr};

/// A server on `[::]`, which takes IPv4 as well.
const DUAL_SERVER: &[Step<'static>] = &[
    Actor("server", 0),
    Does("server", Socket("s", Tcp6)),
    Does("server", Set("s", Opt::V6only, false)),
    Does("server", Bind("s", Inet(ANY6))),
    Does("server", Listen("s", 16)),
];

/// A server on `[::]` that speaks IPv6 only.
const V6ONLY_SERVER: &[Step<'static>] = &[
    Actor("server", 0),
    Does("server", Socket("s", Tcp6)),
    Does("server", Set("s", Opt::V6only, true)),
    Does("server", Bind("s", Inet(ANY6))),
    Does("server", Listen("s", 16)),
];

/// A server on `0.0.0.0`.
const V4_SERVER: &[Step<'static>] = &[
    Actor("server", 0),
    Does("server", Socket("s", Tcp4)),
    Does("server", Bind("s", Inet(ANY))),
    Does("server", Listen("s", 16)),
];

/// A client on `[::1]`, accepted.
const V6_CLIENT: &[Step<'static>] = &[
    Actor("client", 0),
    Does("client", Socket("c", Tcp6)),
    Does("client", Connect("c", Inet(HERE6))),
    Does("server", Accept("s", "a")),
];

/// Where the outgoing connections of these scenes lead.
const BACKEND_AT: core::net::SocketAddr = v4(Ipv4Addr::LOCALHOST, 5432);

/// The same by IPv6.
const BACKEND6_AT: core::net::SocketAddr = v6(Ipv6Addr::LOCALHOST, 5432);

/// 127.0.0.1:8080 as an IPv6 socket writes it.
const MAPPED: core::net::SocketAddr = v6(Ipv4Addr::LOCALHOST.to_ipv6_mapped(), P);

/// Something to connect to.
const BACKEND: &[Step<'static>] = &[
    Actor("backend", 0),
    Does("backend", Socket("s", Tcp4)),
    Does("backend", Bind("s", Inet(BACKEND_AT))),
    Does("backend", Listen("s", 16)),
];

/// The ephemeral range shrunk until the kernel has no choice: an even port is taken first.
const RANGE_OF_ONE: Step<'static> = Sysctl("net/ipv4/ip_local_port_range", "8080 8081");

pub(super) const SCENES: &[Scene] = &[
    Scene {
        name: "dual-stack",
        cause: Cause::DualStack,
        also: &[Cause::Listener],
        story: "A server listens on [::] and has not set IPV6_V6ONLY, so that it takes IPv4 as well. \
                Another one wants 0.0.0.0.",
        acts: &[DUAL_SERVER],
        attempt: Wanted::tcp(ANY),
        expect: Expect::always(IN_USE),
        twin: "free-v6only-pair",
        asker: AskedBy::User(0),
    },
    Scene {
        name: "dual-stack-reverse",
        cause: Cause::DualStack,
        also: &[Cause::Listener],
        story: "A server listens on 0.0.0.0, and another one wants [::] without IPV6_V6ONLY: it would take \
                IPv4 too, and that is taken.",
        acts: &[V4_SERVER],
        attempt: Wanted::tcp(ANY6),
        expect: Expect::always(IN_USE),
        twin: "free-v6only-newcomer",
        asker: AskedBy::User(0),
    },
    Scene {
        name: "free-v6only-pair",
        cause: Cause::Free,
        also: &[],
        story: "A server listens on [::] with IPV6_V6ONLY, so 0.0.0.0 is free.",
        acts: &[V6ONLY_SERVER],
        attempt: Wanted::tcp(ANY),
        expect: Expect::always(OK),
        twin: "dual-stack",
        asker: AskedBy::User(0),
    },
    Scene {
        name: "free-v6only-newcomer",
        cause: Cause::Free,
        also: &[],
        story: "A server listens on 0.0.0.0, and another one wants [::] with IPV6_V6ONLY: no conflict.",
        acts: &[V4_SERVER],
        attempt: Wanted::tcp(ANY6).v6only(),
        expect: Expect::always(OK),
        twin: "dual-stack-reverse",
        asker: AskedBy::User(0),
    },
    Scene {
        name: "v6-blocks-v4",
        cause: Cause::V6BlocksV4,
        also: &[Cause::EstablishedLeftover],
        story: "A server on [::] closed its listener, and a connection on [::1] goes on. Pure IPv6, one \
                would think; but it refuses 0.0.0.0.",
        acts: &[DUAL_SERVER, V6_CLIENT, &[Does("server", Close("s"))]],
        attempt: Wanted::tcp(ANY),
        expect: Expect::always(IN_USE),
        twin: "free-beside-v6-connection",
        asker: AskedBy::User(0),
    },
    Scene {
        name: "v6-blocks-v4-time-wait",
        cause: Cause::V6BlocksV4,
        also: &[Cause::TimeWait],
        story: "A server on [::] exited and left a TIME_WAIT on [::1]. Until that is gone, 0.0.0.0 is \
                refused.",
        acts: &[
            DUAL_SERVER,
            V6_CLIENT,
            &[
                Does("server", Close("a")),
                row(HERE6, State::FinWait2),
                Does("client", Close("c")),
                Does("server", Exit),
                row(HERE6, State::TimeWait),
            ],
        ],
        attempt: Wanted::tcp(ANY),
        expect: Expect::always(IN_USE),
        twin: "free-after-v6only",
        asker: AskedBy::User(0),
    },
    Scene {
        name: "free-beside-v6-connection",
        cause: Cause::Free,
        also: &[],
        story: "A connection on [::1] outlives its listener on [::], and 127.0.0.1 is asked for: no conflict.",
        acts: &[DUAL_SERVER, V6_CLIENT, &[Does("server", Close("s"))]],
        attempt: Wanted::tcp(HERE),
        expect: Expect::always(OK),
        twin: "v6-blocks-v4",
        asker: AskedBy::User(0),
    },
    Scene {
        name: "free-after-v6only",
        cause: Cause::Free,
        also: &[],
        story: "A server on [::] with IPV6_V6ONLY left a TIME_WAIT on [::1]. A V6ONLY server's connections \
                are V6ONLY too, and 0.0.0.0 is free.",
        acts: &[
            V6ONLY_SERVER,
            V6_CLIENT,
            &[
                Does("server", Close("a")),
                row(HERE6, State::FinWait2),
                Does("client", Close("c")),
                Does("server", Exit),
                row(HERE6, State::TimeWait),
            ],
        ],
        attempt: Wanted::tcp(ANY),
        expect: Expect::always(OK),
        twin: "v6-blocks-v4-time-wait",
        asker: AskedBy::User(0),
    },
    Scene {
        name: "wildcard-vs-specific",
        cause: Cause::WildcardVsSpecific,
        also: &[Cause::Listener],
        story: "A server listens on 127.0.0.1, and another one wants 0.0.0.0, which includes it.",
        acts: &[SERVER],
        attempt: Wanted::tcp(ANY),
        expect: Expect::always(IN_USE),
        twin: "listener",
        asker: AskedBy::User(0),
    },
    Scene {
        name: "wildcard-vs-specific-reverse",
        cause: Cause::WildcardVsSpecific,
        also: &[Cause::Listener],
        story: "A server listens on 0.0.0.0, and another one wants 127.0.0.1.",
        acts: &[V4_SERVER],
        attempt: Wanted::tcp(HERE),
        expect: Expect::always(IN_USE),
        twin: "listener-same-wildcard",
        asker: AskedBy::User(0),
    },
    Scene {
        name: "wildcard-vs-specific-udp",
        cause: Cause::WildcardVsSpecific,
        also: &[Cause::Udp],
        story: "A datagram server has 127.0.0.1, and another one wants 0.0.0.0.",
        acts: &[&[
            Actor("server", 0),
            Does("server", Socket("s", Udp4)),
            Does("server", Bind("s", Inet(HERE))),
        ]],
        attempt: Wanted::udp(ANY),
        expect: Expect::always(IN_USE),
        twin: "udp",
        asker: AskedBy::User(0),
    },
    Scene {
        name: "listener-same-wildcard",
        cause: Cause::Listener,
        also: &[],
        story: "A server listens on 0.0.0.0, and another one wants exactly that.",
        acts: &[V4_SERVER],
        attempt: Wanted::tcp(ANY),
        expect: Expect::always(IN_USE),
        twin: "wildcard-vs-specific-reverse",
        asker: AskedBy::User(0),
    },
    Scene {
        name: "listener-mapped",
        cause: Cause::Listener,
        also: &[],
        story: "A server listens on 127.0.0.1 by an IPv6 socket, as ::ffff:127.0.0.1. That is the very address.",
        acts: &[&[
            Actor("server", 0),
            Does("server", Socket("s", Tcp6)),
            Does("server", Bind("s", Inet(MAPPED))),
            Does("server", Listen("s", 16)),
        ]],
        attempt: Wanted::tcp(HERE),
        expect: Expect::always(IN_USE),
        twin: "dual-stack",
        asker: AskedBy::User(0),
    },
    Scene {
        name: "ephemeral-collision",
        cause: Cause::EphemeralCollision,
        also: &[],
        story: "A program connected to a database, and the kernel gave its end of the connection the port \
                that the server wants, since that lies in the ephemeral range.",
        acts: &[
            BACKEND,
            &[
                RANGE_OF_ONE,
                Actor("app", 0),
                Does("app", Socket("c", Tcp4)),
                Does("app", Connect("c", Inet(BACKEND_AT))),
                Does("backend", Accept("s", "a")),
                row(HERE, State::Established),
            ],
        ],
        attempt: Wanted::tcp(HERE),
        expect: Expect::always(IN_USE),
        twin: "established-leftover",
        asker: AskedBy::User(0),
    },
    Scene {
        name: "ephemeral-collision-bound",
        cause: Cause::EphemeralCollision,
        also: &[],
        story: "A program bound its end of an outgoing connection itself, to a port of the ephemeral range.",
        acts: &[
            BACKEND,
            &[
                Sysctl("net/ipv4/ip_local_port_range", "8000 9000"),
                Actor("app", 0),
                Does("app", Socket("c", Tcp4)),
                Does("app", Bind("c", Inet(HERE))),
                Does("app", Connect("c", Inet(BACKEND_AT))),
                Does("backend", Accept("s", "a")),
            ],
        ],
        attempt: Wanted::tcp(HERE),
        expect: Expect::always(IN_USE),
        twin: "bound-not-listening",
        asker: AskedBy::User(0),
    },
    Scene {
        name: "ephemeral-collision-v6",
        cause: Cause::EphemeralCollision,
        also: &[Cause::V6BlocksV4],
        story: "An outgoing IPv6 connection was given the port, and 0.0.0.0 is refused on its account.",
        acts: &[&[
            Actor("backend", 0),
            Does("backend", Socket("s", Tcp6)),
            Does("backend", Bind("s", Inet(BACKEND6_AT))),
            Does("backend", Listen("s", 16)),
            RANGE_OF_ONE,
            Actor("app", 0),
            Does("app", Socket("c", Tcp6)),
            Does("app", Connect("c", Inet(BACKEND6_AT))),
            Does("backend", Accept("s", "a")),
            row(HERE6, State::Established),
        ]],
        attempt: Wanted::tcp(ANY),
        expect: Expect::always(IN_USE),
        twin: "v6-blocks-v4",
        asker: AskedBy::User(0),
    },
    Scene {
        name: "ephemeral-collision-syn-sent",
        cause: Cause::EphemeralCollision,
        also: &[],
        story: "A program is still trying to reach a database that does not answer, and its end of the connection \
                to be has the port.",
        acts: &[
            &[
                Actor("backend", 0),
                Does("backend", Socket("s", Tcp4)),
                Does("backend", Bind("s", Inet(BACKEND_AT))),
                // Room for one connection, which another client takes.
                Does("backend", Listen("s", 0)),
                Actor("other", 0),
                Does("other", Socket("c", Tcp4)),
                Does("other", Connect("c", Inet(BACKEND_AT))),
            ],
            &[
                RANGE_OF_ONE,
                Actor("app", 0),
                Does("app", Socket("c", Tcp4)),
                Does("app", ConnectLater("c", Inet(BACKEND_AT))),
                row(HERE, State::SynSent),
            ],
        ],
        attempt: Wanted::tcp(HERE),
        expect: Expect::always(IN_USE),
        twin: "bound-not-listening",
        asker: AskedBy::User(0),
    },
    Scene {
        name: "self-connect",
        cause: Cause::SelfConnect,
        also: &[],
        story: "A client tried again and again to reach a server that was down. Once the kernel gave it the \
                server's own port, and the client connected to itself.",
        acts: &[&[
            RANGE_OF_ONE,
            Actor("client", 0),
            Does("client", Socket("c", Tcp4)),
            Does("client", Connect("c", Inet(HERE))),
        ]],
        attempt: Wanted::tcp(HERE),
        expect: Expect::always(IN_USE),
        twin: "ephemeral-collision",
        asker: AskedBy::User(0),
    },
];
