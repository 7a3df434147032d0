//! `SOL_IP`: what matters to servers (ip(7), do_ip_setsockopt). IPv6 sockets have these options too.
//!
//! Not here: joining and leaving multicast groups, and what raw sockets and routing daemons use.

use super::super::form::{Form, Unit};
use super::super::spec::{Level, Sockets, Spec};
use super::{PMTU, STRUCTURE, number, within};

const fn ip(number: i32, name: &'static str, form: Form) -> Spec {
    Spec::new(Level::Ip, number, name, form)
}

const MESSAGES: &str = "the program then gets messages beside its data, of a form that it must expect";

pub(super) const OPTIONS: &[Spec] = &[
    ip(15, "IP_FREEBIND", Form::Switch)
        .says("Lets a bind name an address that this machine does not have yet: no EADDRNOTAVAIL."),
    ip(19, "IP_TRANSPARENT", Form::Switch).since("2.6.24").says(
        "Lets a proxy bind any address, for redirected traffic; it needs CAP_NET_ADMIN or CAP_NET_RAW.",
    ),
    ip(24, "IP_BIND_ADDRESS_NO_PORT", Form::Switch).since("4.2").says(
        "A bind to port 0 takes no port yet: connect() chooses it, so that many connections can share one.",
    ),
    ip(51, "IP_LOCAL_PORT_RANGE", Form::PortRange)
        .default("none, for net.ipv4.ip_local_port_range")
        .since("6.3")
        .says("The ports from which the kernel chooses for this socket."),
    ip(1, "IP_TOS", number(0, 255))
        .default("0")
        .says("The type of service of its packets (DSCP and ECN); it also sets SO_PRIORITY."),
    ip(2, "IP_TTL", number(1, 255))
        .default("net.ipv4.ip_default_ttl")
        .forced("packets with too small a number do not reach their peer")
        .says("How many routers its packets may pass."),
    ip(21, "IP_MINTTL", number(0, 255))
        .default("0")
        .since("2.6.34")
        .forced("packets from further away are dropped")
        .says("Drops packets that have come from further away than this."),
    ip(10, "IP_MTU_DISCOVER", PMTU)
        .default("want, or as net.ipv4.ip_no_pmtu_disc says")
        .since("2.2")
        .says("How it finds the largest packet that reaches the peer."),
    ip(14, "IP_MTU", within(0, 65535, Unit::Bytes))
        .since("2.2")
        .fact()
        .says("The largest packet on the way to the peer; only a connected socket has one."),
    ip(11, "IP_RECVERR", Form::Switch)
        .since("2.2")
        .forced("send() and recv() then fail with errors that the network reports")
        .says("Reports errors of the network with all details on the error queue."),
    ip(26, "IP_RECVERR_RFC4884", Form::Switch)
        .since("5.9")
        .forced(MESSAGES)
        .says("Adds the extensions of RFC 4884 to what IP_RECVERR reports."),
    ip(8, "IP_PKTINFO", Form::Switch)
        .since("2.2")
        .forced(MESSAGES)
        .says("Gives the receiver of a datagram the address and interface that it came to."),
    ip(20, "IP_RECVORIGDSTADDR", Form::Switch)
        .alias(&["IP_ORIGDSTADDR"])
        .since("2.6.29")
        .forced(MESSAGES)
        .says("Gives the receiver the address that a redirected datagram was sent to."),
    ip(12, "IP_RECVTTL", Form::Switch)
        .since("2.2")
        .forced(MESSAGES)
        .says("Gives the receiver the TTL of each datagram."),
    ip(13, "IP_RECVTOS", Form::Switch)
        .since("2.2")
        .forced(MESSAGES)
        .says("Gives the receiver the type of service of each datagram."),
    ip(6, "IP_RECVOPTS", Form::Switch)
        .since("2.2")
        .forced(MESSAGES)
        .says("Gives the receiver the IP options of each datagram."),
    ip(7, "IP_RETOPTS", Form::Switch)
        .alias(&["IP_RECVRETOPTS"])
        .since("2.2")
        .forced(MESSAGES)
        .says("Gives the receiver the IP options of each datagram as they came."),
    ip(18, "IP_PASSSEC", Form::Switch)
        .since("2.6.17")
        .forced(MESSAGES)
        .says("Gives the receiver the security label of each datagram."),
    ip(25, "IP_RECVFRAGSIZE", Form::Switch)
        .since("4.10")
        .on(Sockets::UDP)
        .forced(MESSAGES)
        .says("Gives the receiver the size of the largest fragment of each datagram."),
    ip(23, "IP_CHECKSUM", Form::Switch)
        .since("4.0")
        .on(Sockets::UDP)
        .forced(MESSAGES)
        .says("Gives the receiver the checksum of each datagram."),
    ip(50, "IP_UNICAST_IF", Form::Opaque)
        .since("3.4")
        .disturbs("its value is an interface's number in network byte order")
        .never("SO_BINDTODEVICE says the same by name")
        .says("The interface for outgoing packets."),
    ip(49, "IP_MULTICAST_ALL", Form::Switch)
        .default("on")
        .since("2.6.31")
        .on(Sockets::UDP)
        .forced("the program may lose or gain datagrams of groups that others joined")
        .says("Whether datagrams of all groups that anybody here joined arrive, or only of its own."),
    ip(33, "IP_MULTICAST_TTL", number(0, 255))
        .default("1")
        .since("1.2")
        .on(Sockets::UDP)
        .says("How many routers its multicast packets may pass."),
    ip(34, "IP_MULTICAST_LOOP", Form::Switch)
        .default("on")
        .since("1.2")
        .says("Whether multicast packets also come back to this machine."),
    ip(4, "IP_OPTIONS", Form::Opaque)
        .since("2.2")
        .disturbs("its value is a list of options as bytes")
        .never(STRUCTURE)
        .says("IP options in its packets, which most routers drop."),
];
