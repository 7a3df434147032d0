//! Scenes in which nothing stands in the way, though somebody may serve the port elsewhere.
//!
//! Not here: the free twins of other causes, which stand beside those.

use super::Act::*;
use super::Kind::*;
use super::Place::Inet;
use super::Step::*;
use super::holders::SERVER;
use super::refusals::ELSEWHERE;
use super::{ANY, AskedBy, Expect, HERE, HERE6, IN_USE, OK, Scene, Step, Wanted, v4};
use crate::cause::Cause;
use core::net::{IpAddr, Ipv4Addr};

/// A second server, on the IPv6 loopback address.
const V6_SERVER: &[Step<'static>] = &[
    Actor("v6-server", 0),
    Does("v6-server", Socket("s", Tcp6)),
    Does("v6-server", Bind("s", Inet(HERE6))),
    Does("v6-server", Listen("s", 16)),
];

pub(super) const SCENES: &[Scene] = &[
    Scene {
        name: "free",
        cause: Cause::Free,
        also: &[],
        story: "Nobody is there.",
        acts: &[],
        attempt: Wanted::tcp(HERE),
        expect: Expect::always(OK),
        twin: "listener",
        asker: AskedBy::User(0),
    },
    Scene {
        name: "free-other-port",
        cause: Cause::Free,
        also: &[],
        story: "A server listens on the next port.",
        acts: &[SERVER],
        attempt: Wanted::tcp(v4(Ipv4Addr::LOCALHOST, 8081)),
        expect: Expect::always(OK),
        twin: "listener",
        asker: AskedBy::User(0),
    },
    Scene {
        name: "free-other-protocol",
        cause: Cause::Free,
        also: &[],
        story: "A TCP server has the port number. A datagram socket may have it too.",
        acts: &[SERVER],
        attempt: Wanted::udp(HERE),
        expect: Expect::always(OK),
        twin: "udp",
        asker: AskedBy::User(0),
    },
    Scene {
        name: "other-netns",
        cause: Cause::OtherNetns,
        also: &[],
        story: "A server listens on the very address, but in a network namespace of its own, as a container \
                has. It is no conflict.",
        acts: &[&[
            Actor("server", 0),
            Does("server", OwnNetwork),
            Does("server", Socket("s", Tcp4)),
            Does("server", Bind("s", Inet(HERE))),
            Does("server", Listen("s", 16)),
        ]],
        attempt: Wanted::tcp(HERE),
        expect: Expect::always(OK),
        twin: "listener",
        asker: AskedBy::User(0),
    },
    Scene {
        name: "split-brain",
        cause: Cause::SplitBrain,
        also: &[],
        story: "One server answers on 127.0.0.1 and another one on [::1]: which of them `localhost` means \
                depends on the client. A third address is still free.",
        acts: &[&[Address("lo", IpAddr::V4(ELSEWHERE))], SERVER, V6_SERVER],
        attempt: Wanted::tcp(v4(ELSEWHERE, 8080)),
        expect: Expect::always(OK),
        twin: "free-beside-one-server",
        asker: AskedBy::User(0),
    },
    Scene {
        name: "wildcard-vs-specific-split-brain",
        cause: Cause::WildcardVsSpecific,
        also: &[Cause::Listener, Cause::SplitBrain],
        story: "One server answers on 127.0.0.1 and another one on [::1], and somebody wants 0.0.0.0. The first of \
                them is in the way; the second is good to know.",
        acts: &[SERVER, V6_SERVER],
        attempt: Wanted::tcp(ANY),
        expect: Expect::always(IN_USE),
        twin: "split-brain",
        asker: AskedBy::User(0),
    },
    Scene {
        name: "free-beside-one-server",
        cause: Cause::Free,
        also: &[],
        story: "A server listens on 127.0.0.1, and another address of the machine is asked for.",
        acts: &[&[Address("lo", IpAddr::V4(ELSEWHERE))], SERVER],
        attempt: Wanted::tcp(v4(ELSEWHERE, 8080)),
        expect: Expect::always(OK),
        twin: "split-brain",
        asker: AskedBy::User(0),
    },
];
