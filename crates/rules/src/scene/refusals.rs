//! Scenes in which the address itself cannot be had, whoever else is there.
//!
//! Kernel functions: `__inet_bind`, `inet_csk_find_open_port`. Not here: refusals by a security module,
//! which one machine cannot stage for everybody.

use super::Act::*;
use super::Kind::*;
use super::Place::Inet;
use super::Step::*;
use super::{AskedBy, Device, Expect, OK, Scene, TOM, Wanted, v4, v6};
use crate::cause::Cause;
use crate::verdict::{Call, Errno};
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// A port that ordinary users may not bind.
const HTTP: SocketAddr = v4(Ipv4Addr::LOCALHOST, 80);
/// An address of the documentation range, on no interface unless a scene adds it.
pub(super) const ELSEWHERE: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 7);
/// An IPv6 address of the documentation range, on no interface unless a scene adds it.
const ELSEWHERE6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 7);
/// An address that means nothing without an interface.
const LINK_LOCAL: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1);
/// A name that asks the kernel to choose the port.
const ANY_PORT: SocketAddr = v4(Ipv4Addr::LOCALHOST, 0);

pub(super) const SCENES: &[Scene] = &[
    Scene {
        name: "privileged",
        cause: Cause::Privileged,
        also: &[],
        story: "An ordinary user wants port 80.",
        acts: &[],
        attempt: Wanted::tcp(HTTP).by(TOM),
        expect: Expect::always(Some((Errno::EACCES, Call::Bind))),
        twin: "free-unprivileged-start",
        asker: AskedBy::User(TOM),
    },
    Scene {
        name: "free-unprivileged-start",
        cause: Cause::Free,
        also: &[],
        story: "An ordinary user wants port 80, on a machine that lets ordinary users have it.",
        acts: &[&[Sysctl("net/ipv4/ip_unprivileged_port_start", "80")]],
        attempt: Wanted::tcp(HTTP).by(TOM),
        expect: Expect::always(OK),
        twin: "privileged",
        asker: AskedBy::User(TOM),
    },
    Scene {
        name: "not-local",
        cause: Cause::NotLocal,
        also: &[],
        story: "The address in the configuration belongs to no interface of this machine.",
        acts: &[],
        attempt: Wanted::tcp(v4(ELSEWHERE, 8080)),
        expect: Expect::always(Some((Errno::EADDRNOTAVAIL, Call::Bind))),
        twin: "free-local-address",
        asker: AskedBy::User(0),
    },
    Scene {
        name: "not-local-before-privileged",
        cause: Cause::NotLocal,
        also: &[],
        story: "An ordinary user wants port 80 of an address that is on no interface. For IPv4 the kernel looks at \
                the address first.",
        acts: &[],
        attempt: Wanted::tcp(v4(ELSEWHERE, 80)).by(TOM),
        expect: Expect::always(Some((Errno::EADDRNOTAVAIL, Call::Bind))),
        twin: "privileged-before-not-local",
        asker: AskedBy::User(TOM),
    },
    Scene {
        name: "privileged-before-not-local",
        cause: Cause::Privileged,
        also: &[],
        story: "An ordinary user wants port 80 of an IPv6 address that is on no interface: there the kernel looks at the \
                port first.",
        acts: &[],
        attempt: Wanted::tcp(v6(ELSEWHERE6, 80)).by(TOM),
        expect: Expect::always(Some((Errno::EACCES, Call::Bind))),
        twin: "not-local-before-privileged",
        asker: AskedBy::User(TOM),
    },
    Scene {
        name: "not-local-tentative",
        cause: Cause::NotLocal,
        also: &[],
        story: "The address has just been added, and the kernel is still asking the network whether somebody else \
                has it. Until that is over it cannot be bound.",
        acts: &[&[
            Sysctl("net/ipv6/conf/default/dad_transmits", "100"),
            Interface("eth0", Device::Veth),
            Address("eth0", IpAddr::V6(ELSEWHERE6)),
        ]],
        attempt: Wanted::tcp(v6(ELSEWHERE6, 8080)),
        expect: Expect::always(Some((Errno::EADDRNOTAVAIL, Call::Bind))),
        twin: "free-local-address",
        asker: AskedBy::User(0),
    },
    Scene {
        name: "not-local-needs-scope",
        cause: Cause::NotLocal,
        also: &[],
        story: "A link-local address was written without the interface that it is meant for.",
        acts: &[],
        attempt: Wanted::tcp(v6(LINK_LOCAL, 8080)),
        expect: Expect::always(Some((Errno::EINVAL, Call::Bind))),
        twin: "free",
        asker: AskedBy::User(0),
    },
    Scene {
        name: "free-local-address",
        cause: Cause::Free,
        also: &[],
        story: "An address of an interface of this machine is asked for, and nobody has the port.",
        acts: &[&[Address("lo", IpAddr::V4(ELSEWHERE))]],
        attempt: Wanted::tcp(v4(ELSEWHERE, 8080)),
        expect: Expect::always(OK),
        twin: "not-local",
        asker: AskedBy::User(0),
    },
    Scene {
        name: "ephemeral-exhausted",
        cause: Cause::EphemeralExhausted,
        also: &[],
        story: "A program lets the kernel choose a port, and every port of the range is taken.",
        acts: &[&[
            Sysctl("net/ipv4/ip_local_port_range", "40000 40001"),
            Actor("server", 0),
            Does("server", Socket("s", Tcp4)),
            Does("server", Bind("s", Inet(v4(Ipv4Addr::LOCALHOST, 40000)))),
            Does("server", Listen("s", 16)),
            Does("server", Socket("t", Tcp4)),
            Does("server", Bind("t", Inet(v4(Ipv4Addr::LOCALHOST, 40001)))),
            Does("server", Listen("t", 16)),
        ]],
        attempt: Wanted::tcp(ANY_PORT),
        expect: Expect::always(Some((Errno::EADDRINUSE, Call::Bind))),
        twin: "free-one-port-left",
        asker: AskedBy::User(0),
    },
    Scene {
        name: "free-one-port-left",
        cause: Cause::Free,
        also: &[],
        story: "A program lets the kernel choose a port, and one of the range is left.",
        acts: &[&[
            Sysctl("net/ipv4/ip_local_port_range", "40000 40001"),
            Actor("server", 0),
            Does("server", Socket("s", Tcp4)),
            Does("server", Bind("s", Inet(v4(Ipv4Addr::LOCALHOST, 40000)))),
            Does("server", Listen("s", 16)),
        ]],
        attempt: Wanted::tcp(ANY_PORT),
        expect: Expect::always(OK),
        twin: "ephemeral-exhausted",
        asker: AskedBy::User(0),
    },
];
