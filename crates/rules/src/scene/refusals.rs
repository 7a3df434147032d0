//! Scenes in which the address itself cannot be had, whoever else is there.
//!
//! Kernel functions: `__inet_bind`, `inet_csk_find_open_port`. Not here: refusals by a security module,
//! which one machine cannot stage for everybody.

use super::Act::*;
use super::Kind::*;
use super::Place::Inet;
use super::Step::*;
use super::{Expect, OK, Scene, TOM, Wanted, v4};
use crate::cause::Cause;
use crate::verdict::{Call, Errno};
use core::net::{IpAddr, Ipv4Addr, SocketAddr};

/// A port that ordinary users may not bind.
const HTTP: SocketAddr = v4(Ipv4Addr::LOCALHOST, 80);
/// An address of the documentation range, on no interface unless a scene adds it.
pub(super) const ELSEWHERE: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 7);
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
        asker: TOM,
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
        asker: TOM,
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
        asker: 0,
    },
    Scene {
        name: "free-local-address",
        cause: Cause::Free,
        also: &[],
        story: "The same address, once it is on an interface.",
        acts: &[&[LocalAddress(IpAddr::V4(ELSEWHERE))]],
        attempt: Wanted::tcp(v4(ELSEWHERE, 8080)),
        expect: Expect::always(OK),
        twin: "not-local",
        asker: 0,
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
        asker: 0,
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
        asker: 0,
    },
];
